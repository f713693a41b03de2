//! Whatever was decided is drawn again bit for bit, under every kind of policy, across restarts; what came of it is listed; and
//! what is gone is said to be gone.

use std::sync::Arc;

use crate::domain::{AttributeName, Context, ExperimentKey, GoalKey, RewardId, Span, VariationKey};
use crate::engine::definition::*;
use crate::engine::ledger::{Fact, Outcome, Standing};
use crate::engine::reward::{Action, Reward};
use crate::engine::secret::Secret;
use crate::policy::{Parameter, Parameters, with_defaults};
use crate::service::bench::{START, Site, run};
use crate::service::clock::ManualClock;
use crate::service::decide::{Answer, Query};
use crate::service::inspect::*;
use crate::service::retention::{Keeper, Retention};
use crate::service::reward::Subject;
use crate::store::memory::MemoryStore;

/// A policy, with its pooling where it has one.
const KINDS: [(&str, Option<&str>); 6] = [
    ("thompson", Some("none")),
    ("thompson", Some("partial")),
    ("ucb", Some("complete")),
    ("uniform", None),
    ("linear-thompson", None),
    ("logistic-thompson", None),
];

fn definition(kind: &str, pooling: Option<&str>) -> Definition {
    let variations = ["plain", "bold", "loud"].map(|key| Variation::new(VariationKey::new(key).expect("a key"), "1"));
    let goals = ["purchase", "visit"].map(|key| {
        let role = if key == "purchase" { Role::Primary } else { Role::Secondary };
        Goal::conversion(GoalKey::new(key).expect("a key"), role, Span::DAY)
    });
    let given = pooling
        .map_or_else(Parameters::new, |pooling| Parameters::new().with("pooling", Parameter::Text(pooling.into())));
    let policy =
        PolicyChoice { floor: 0.05, ..PolicyChoice::new(kind, with_defaults(kind, &given, 3).expect("allowed")) };
    let device = AttributeName::new("device").expect("a name");
    let levels = Encoding::Levels(vec!["mobile".into(), "desktop".into()]);
    let key = format!("{kind}-{}", pooling.unwrap_or("alone"));
    Definition {
        segments: Segments::By(vec![device.clone()]),
        attributes: vec![Attribute { name: device, encoding: levels }],
        ..Definition::new(ExperimentKey::new(&key).expect("a key"), variations.to_vec(), goals.to_vec(), policy)
    }
}

/// How one visitor comes.
#[derive(Clone, Copy)]
struct Visit<'a> {
    experiment: &'a str,
    device: &'a str,
    excluded: Option<&'a str>,
    defer: bool,
    decision_id: Option<&'a str>,
}

fn decide(site: &Site, visit: Visit<'_>) -> Arc<Answer<'static>> {
    let context = Context::from([("device", visit.device.into())]);
    let exclude: Vec<VariationKey> = visit.excluded.iter().map(|key| VariationKey::new(key).expect("a key")).collect();
    let query = Query {
        exclude: &exclude,
        defer: visit.defer,
        decision_id: visit.decision_id,
        ..Query::new(visit.experiment, None, &context)
    };
    run(site.service.decide(&query)).expect("there is an experiment")
}

fn send(site: &Site, action: Action, receipt: &str, id: &str, value: Option<f64>) -> Outcome {
    let id = RewardId::new(id).expect("an id");
    let reward = Reward { action, goal: None, value, currency: None, reward_id: Some(&id), occurred_at: None };
    run(site.service.reward(Subject::Receipt(receipt), &reward)).expect("taken").outcome
}

fn inspect(store: &MemoryStore, receipt: &str, given: Option<&str>) -> Result<DecisionInspection, InspectError> {
    inspect_decision(store, Secret::new([5; 32]), receipt, given, &mut |_| {})
}

/// The draw gives the variation and the propensity that were answered.
fn expect_drawn(store: &MemoryStore, answer: &Answer<'_>, given: Option<&str>) -> DecisionInspection {
    let found = inspect(store, answer.receipt.as_ref().expect("recorded"), given).expect("found");
    let key = &found.receipt.record.experiment;
    let drawn = found.draw.as_ref().unwrap_or_else(|failure| panic!("{key}: {failure}"));
    let settings = found.settings.as_ref().expect("found with the draw");
    assert_eq!(drawn.variation, answer.variation, "{key}: {drawn:?}");
    let place = settings.variations_by_key().iter().position(|index| *index == drawn.variation).expect("one of them");
    assert_eq!(drawn.propensities[place].to_bits(), answer.propensity.to_bits(), "{key}: {drawn:?}");
    found
}

#[test]
fn every_draw_is_done_again_bit_for_bit() {
    let store = Arc::new(MemoryStore::new());
    let mut answers: Vec<(Arc<Answer<'static>>, Option<String>)> = Vec::new();
    for life in 0..2 {
        let mut site = Site::on(store.clone(), START + Span::HOUR.times(life));
        for (kind, pooling) in KINDS {
            let mut definition = definition(kind, pooling);
            // A second definition with another floor: what was drawn under the first must still be told.
            definition.policy.floor += 0.01 * life as f64;
            let key = definition.key.to_string();
            run(site.service.save(definition, Status::Running)).expect("saved");
            site.visit(&key, 60);
            for index in 0..12_usize {
                let given = index.is_multiple_of(4).then(|| format!("request-{life}-{index}"));
                let visit = Visit {
                    experiment: &key,
                    device: ["mobile", "desktop", "watch"][index % 3],
                    excluded: index.is_multiple_of(5).then_some("bold"),
                    defer: false,
                    decision_id: given.as_deref(),
                };
                answers.push((decide(&site, visit), given));
            }
        }
        site.rest(&store);
    }
    for (answer, given) in &answers {
        let found = expect_drawn(&store, answer, given.as_deref());
        let contextual = found.settings.as_ref().is_some_and(|settings| settings.is_contextual());
        let allocation = found.allocation.as_ref().expect("found with the draw");
        assert_ne!(allocation.again, Some(false), "{allocation:?}");
        assert_eq!(matches!(allocation.origin, Origin::Replay(_)), contextual && found.happenings.len() == 1);
        assert!(found.excluded.is_some() && found.older.is_empty());
    }
    let (answer, _) = answers.iter().find(|(_, given)| given.is_some()).expect("some have one");
    let error = inspect(&store, answer.receipt.as_ref().expect("recorded"), Some("another")).expect_err("another's");
    assert!(matches!(error, InspectError::OtherDecision { .. }), "{error}");
}

#[test]
fn whatever_came_of_a_decision_is_listed() {
    let store = Arc::new(MemoryStore::new());
    let site = Site::on(store.clone(), START);
    let definition = definition("thompson", Some("none"));
    let key = definition.key.to_string();
    run(site.service.save(definition, Status::Running)).expect("saved");
    let visit = Visit { experiment: &key, device: "mobile", excluded: None, defer: true, decision_id: None };
    let deferred = decide(&site, visit).receipt.clone().expect("recorded");
    let unseen = decide(&site, visit).receipt.clone().expect("recorded");
    assert_eq!(send(&site, Action::Reward, &deferred, "order-1", None), Outcome::Recorded);
    run(site.service.activate(Subject::Receipt(&deferred))).expect("taken");
    assert_eq!(send(&site, Action::Reward, &deferred, "order-1", None), Outcome::Repeated);
    assert_eq!(send(&site, Action::Amend, &deferred, "order-1", Some(0.0)), Outcome::Recorded);
    assert_eq!(send(&site, Action::Retract, &deferred, "order-1", None), Outcome::Recorded);
    site.pass(Span::DAY.times(2));
    assert_eq!(send(&site, Action::Reward, &deferred, "order-2", None), Outcome::Late);
    site.rest(&store);
    let found = inspect(&store, &deferred, None).expect("found");
    let outcomes: Vec<Outcome> = found.happenings.iter().map(|happening| happening.outcome).collect();
    use Outcome::{Late, Recorded, Repeated};
    assert_eq!(outcomes, [Recorded, Recorded, Repeated, Recorded, Recorded, Late]);
    assert_eq!(found.happenings[0].standing, Standing::AwaitsActivation);
    assert_eq!((found.excluded, found.older.len()), (None, 0));
    let found = inspect(&store, &unseen, None).expect("found");
    assert!(found.happenings.is_empty() && found.draw.is_ok());
    assert!(matches!(inspect(&store, "nonsense", None), Err(InspectError::Receipt(ReceiptError::Malformed))));
    let foreign = inspect_decision(&*store, Secret::new([6; 32]), &unseen, None, &mut |_| {});
    assert!(matches!(foreign, Err(InspectError::Receipt(ReceiptError::Foreign))));
    let other = inspect(&MemoryStore::new(), &unseen, None);
    assert!(matches!(other, Err(InspectError::OtherStore(_))));
}

#[test]
fn what_is_gone_with_the_oldest_blocks_is_said_to_be_gone() {
    let store = Arc::new(MemoryStore::new());
    let mut site = Site::on(store.clone(), START);
    let mut definition = definition("thompson", Some("none"));
    let key = definition.key.to_string();
    run(site.service.save(definition.clone(), Status::Running)).expect("saved");
    let visit = Visit { experiment: &key, device: "mobile", excluded: None, defer: false, decision_id: None };
    site.visit(&key, 20);
    let receipt = decide(&site, visit).receipt.clone().expect("recorded");
    assert_eq!(send(&site, Action::Reward, &receipt, "order-1", None), Outcome::Recorded);
    definition.policy.floor = 0.01;
    run(site.service.save(definition, Status::Running)).expect("saved");
    site.pass(Span::HOUR.times(3));
    site.visit(&key, 20);
    let later = decide(&site, visit);
    site.checkpointed(&*store);
    let (_running, stop) = crossbeam_channel::bounded(0);
    let retention = Retention { span: Span::HOUR, bytes: u64::MAX };
    let mut keeper = Keeper::new(store.clone(), Arc::new(ManualClock::new(START)), retention, Arc::default(), stop);
    assert!(keeper.look(site.now()).expect("dropped") > 0);
    site.rest(&store);
    let found = inspect(&store, &receipt, None).expect("found");
    assert!(found.journal.0 > 1 && found.happenings.is_empty() && found.settings.is_none());
    assert_eq!(found.draw, Err(RedrawFailure::NoDefinition));
    let [entry] = &found.older[..] else { panic!("{:?}", found.older) };
    assert!(matches!(&entry.fact, Fact::Rewarded(reward) if reward.reward_id.as_str() == "order-1"));
    expect_drawn(&store, &later, None);
}

#[test]
fn a_segment_is_shown_as_it_stands_and_a_wrong_name_gets_those_like_it() {
    let store = Arc::new(MemoryStore::new());
    let mut site = Site::on(store.clone(), START);
    let definition = definition("thompson", Some("none"));
    let key = definition.key.to_string();
    run(site.service.save(definition, Status::Running)).expect("saved");
    site.visit(&key, 90);
    for device in ["watch", "tablet", "television", "car"] {
        decide(&site, Visit { experiment: &key, device, excluded: None, defer: false, decision_id: None });
    }
    site.rest(&store);
    let found = inspect_segment(&*store, &key, "device=desktop", None).expect("found");
    let conversions: u64 =
        (0..3).map(|slot| found.learning.conversions(crate::domain::Slot(slot), found.active.settings.primary())).sum();
    assert_eq!(found.events, found.learning.all_exposures() + conversions);
    assert!(found.learning.all_exposures() > 40 && found.segments == 6 && found.due_at > 0);
    assert!((found.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let said = |experiment: &str, segment: &str, epoch| {
        inspect_segment(&*store, experiment, segment, epoch).expect_err("no such").to_string()
    };
    let unknown = said(&key, "device=dekstop", None);
    assert!(unknown.contains("of its 6 segments") && unknown.contains("\"device=desktop\""), "{unknown}");
    assert!(said("hero", "all", None).contains("there are \"thompson-none\""));
    assert!(said(&key, "device=desktop", Some(4)).contains("no epoch 4"));
}
