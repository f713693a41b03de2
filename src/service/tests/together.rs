//! Queries that come together are decided, recorded and told as if each had come alone.

use crate::domain::{AttributeName, DecisionId, Probability, SegmentKey, Value};
use crate::service::companions::{Theirs, contexts_of};
use crate::service::decide::DecisionName;
use crate::service::tests::*;
use crate::service::verify::verify;
use crate::store::{Store, record};

const COUNT: usize = 400;

fn by_device(key: &str, change: impl FnOnce(&mut Definition)) -> Definition {
    let device = AttributeName::new("device").expect("a name");
    let mut definition = definition(Durability::Group);
    definition.key = ExperimentKey::new(key).expect("a key");
    definition.segments = Segments::By(vec![device]);
    change(&mut definition);
    definition
}

/// Four contexts, one of them empty; with them in turn, runs of the same and of others come.
fn contexts() -> [Context<'static>; 4] {
    let of =
        |device: &'static str, visits| Context::from([("device", Value::from(device)), ("visits", Value::Int(visits))]);
    [of("mobile", 1), of("mobile", 2), of("desktop", 1), Context::new()]
}

fn queries<'q>(
    visitors: &'q [String],
    contexts: &'q [Context<'static>],
    excluded: &'q [VariationKey],
) -> Vec<Query<'q>> {
    let query = |(index, visitor): (usize, &'q String)| {
        let experiment = ["hero", "hero", "held", "stays", "contextual", "nothing"][index / 7 % 6];
        let context = &contexts[index / 5 % contexts.len()];
        Query {
            exclude: if index % 11 == 3 { excluded } else { &[] },
            decision_id: (index % 3 == 1).then_some("order-7"),
            defer: index % 17 == 2,
            consent: index % 19 != 4,
            ..Query::new(experiment, Some(visitor), context)
        }
    };
    visitors.iter().enumerate().map(query).collect()
}

#[test]
fn what_is_asked_together_is_decided_recorded_and_told_as_if_it_came_alone() {
    let memory = Arc::new(MemoryStore::new());
    let store = Arc::new(FaultyStore::new(memory.clone()));
    let service = service(&store, quick());
    for definition in [
        by_device("hero", |_| {}),
        by_device("held", |definition| definition.control = Probability::new(0.5).expect("a probability")),
        by_device("stays", |definition| definition.unit = Unit::Visitor),
        by_device("contextual", |definition| {
            let parameters = crate::policy::with_defaults("linear-thompson", &Parameters::new(), 2).expect("defaults");
            definition.policy = PolicyChoice::new("linear-thompson", parameters);
            let (name, levels) = (AttributeName::new("device").expect("a name"), vec!["mobile".to_owned()]);
            definition.attributes = vec![Attribute { name, encoding: Encoding::Levels(levels) }];
        }),
    ] {
        run(service.save(definition, Status::Running)).expect("saved");
    }
    let visitors: Vec<String> = (0..COUNT).map(|index| format!("v-{index}")).collect();
    let (contexts, excluded) = (contexts(), [VariationKey::new("plain").expect("a key")]);
    let queries = queries(&visitors, &contexts, &excluded);
    let mut told = Vec::new();
    run(service.decide_all(&queries, |query, answer| {
        told.push((
            query.visitor,
            answer.map(|answer| (answer.why, answer.decision_id.clone(), answer.segment.as_deref().cloned())),
        ));
    }));
    assert_eq!(
        told.iter().map(|(visitor, _)| *visitor).collect::<Vec<_>>(),
        queries.iter().map(|query| query.visitor).collect::<Vec<_>>()
    );
    until("all of them", || {
        service.waiting_events() == 0
            && store
                .load_checkpoint(crate::store::CheckpointKind::Current)
                .is_ok_and(|saved| saved.block == store.head().number)
    });

    // In the journal each stands once that counts, with its segment, and none that does not.
    let mut recorded: std::collections::BTreeMap<DecisionId, SegmentKey> = std::collections::BTreeMap::new();
    let blocks = store.blocks(1).map(|block| block.expect("whole"));
    for event in blocks.flat_map(|block| record::decode_events(block.payload()).collect::<Vec<_>>()) {
        if let Some(found) = event.expect("whole").decision() {
            assert!(recorded.insert(found.decision, found.segment.clone()).is_none(), "{found:?} came twice");
        }
    }
    let mut counted = 0;
    for (query, (_, answer)) in queries.iter().zip(&told) {
        let Ok((why, name, segment)) = answer else {
            assert_eq!(
                (query.experiment, answer.as_ref().err()),
                ("nothing", Some(&crate::engine::error::NoExperiment::Unknown))
            );
            continue;
        };
        let device = match query.context.get("device") {
            Some(Value::Text(device)) => format!("device={device}"),
            _ => "device=(missing)".to_owned(),
        };
        match (why, segment) {
            (Why::Decided(Reason::NoConsent), None) => assert!(!query.consent && query.experiment == "stays"),
            (Why::Decided(Reason::AllExcluded), None) => assert!(!query.exclude.is_empty()),
            (Why::Decided(Reason::Policy | Reason::Control), Some(segment)) => {
                assert_eq!(segment.as_str(), device, "{query:?}");
                let DecisionName::Minted(decision) = name else { continue };
                let counts = !query.defer || query.experiment == "stays";
                assert_eq!(recorded.get(decision), Some(segment).filter(|_| counts), "{query:?}");
                counted += usize::from(counts);
            }
            other => panic!("{query:?}: {other:?}"),
        }
    }
    assert!(counted > COUNT / 4, "{counted}");

    // Beside it stands who each was for and what was known, of those who consent.
    for (query, (_, answer)) in queries.iter().zip(&told) {
        let visitor = query.visitor.expect("given");
        let identities = [service.engine().token(visitor)].into();
        let known =
            contexts_of(&*store, &Theirs { engine: service.engine(), visitors: &identities }).expect("readable");
        for known in &known.newest {
            assert!(query.consent && known.visitor == visitor && known.record.experiment.as_str() == query.experiment);
            assert_eq!(known.context.as_ref(), Some(query.context), "{query:?}");
        }
        let named = query.consent && answer.as_ref().is_ok_and(|(_, _, segment)| segment.is_some());
        let counts = named && (!query.defer || query.experiment == "stays");
        assert_eq!(known.count, usize::from(counts), "{query:?}");
    }
    service.stop();
    memory.reopen();
    let verified = verify(&*memory, &mut |_| {}).expect("readable");
    assert!(verified.passed(), "{:#?}", verified.differences);
}
