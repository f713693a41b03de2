//! Erased, a visitor leaves the counts of a history without it.

use super::*;
use crate::engine::event::Assigned;

/// One thing that a site does.
#[derive(Debug, Clone)]
enum Deed {
    Decide { visitor: usize, experiment: usize, defer: bool },
    Reward { visitor: usize, experiment: usize, id: u8 },
    Activate { visitor: usize, experiment: usize },
    Alias { anonymous: usize, visitor: usize },
    Pass { hours: u64 },
}

const EXPERIMENTS: [&str; 2] = ["hero", "banner"];

fn deed() -> impl Strategy<Value = Deed> {
    let (visitor, experiment) = (0..6_usize, 0..2_usize);
    prop_oneof![
        4 => (visitor.clone(), experiment.clone(), prop::bool::weighted(0.3))
            .prop_map(|(visitor, experiment, defer)| Deed::Decide { visitor, experiment, defer }),
        4 => (visitor.clone(), experiment.clone(), 0..3_u8)
            .prop_map(|(visitor, experiment, id)| Deed::Reward { visitor, experiment, id }),
        1 => (visitor.clone(), experiment).prop_map(|(visitor, experiment)| Deed::Activate { visitor, experiment }),
        1 => (visitor.clone(), visitor).prop_map(|(anonymous, visitor)| Deed::Alias { anonymous, visitor }),
        1 => (1..40_u64).prop_map(|hours| Deed::Pass { hours }),
    ]
}

fn name(visitor: usize) -> String {
    format!("visitor-{visitor}")
}

/// What is refused is refused: the deeds are random.
fn act(world: &World, deed: &Deed) {
    let subject = |visitor: &String, experiment: usize| (visitor.clone(), EXPERIMENTS[experiment]);
    match deed {
        Deed::Decide { visitor, experiment, defer } => {
            world.decide_with(EXPERIMENTS[*experiment], &name(*visitor), |query| query.defer = *defer);
        }
        Deed::Reward { visitor, experiment, id } => {
            let (visitor, experiment) = subject(&name(*visitor), *experiment);
            let _ = world.reward(Subject::Visitor { experiment, visitor: &visitor }, &format!("r{id}"));
        }
        Deed::Activate { visitor, experiment } => {
            let (visitor, experiment) = subject(&name(*visitor), *experiment);
            let _ = run(world.service.activate(Subject::Visitor { experiment, visitor: &visitor }));
        }
        Deed::Alias { anonymous, visitor } => {
            let _ = run(world.service.alias(&name(*anonymous), &name(*visitor)));
        }
        Deed::Pass { hours } => world.clock.set(world.now() + Span::HOUR.times(*hours)),
    }
}

/// The digest of what a journal's events come to without those of its erased visitors, up to their erasures.
fn digest_without_the_erased(store: &MemoryStore) -> [u8; 32] {
    let events: Vec<Event> = store
        .blocks(1)
        .flat_map(|block| record::decode_events(block.expect("whole").payload()).collect::<Vec<_>>())
        .collect::<Result<_, _>>()
        .expect("readable");
    let erasures: Vec<(usize, &VisitorErased)> = events
        .iter()
        .enumerate()
        .filter_map(
            |(index, event)| {
                if let Event::VisitorErased(erased) = event { Some((index, &**erased)) } else { None }
            },
        )
        .collect();
    // A decision that somebody else adopted stays.
    let shared = |erased: &VisitorErased, decision| {
        erased.assignments.iter().any(|known| known.record.decision == decision && known.shared)
    };
    let gone: HashSet<DecisionId> = erasures
        .iter()
        .flat_map(|(_, erased)| &erased.assignments)
        .filter(|known| !known.shared)
        .map(|known| known.record.decision)
        .collect();
    let later = |index: usize, visitor, decision: Option<DecisionId>| {
        let next = erasures.iter().find(|(at, erased)| *at > index && erased.visitors.contains(&visitor));
        next.is_some_and(|(_, erased)| !decision.is_some_and(|decision| shared(erased, decision)))
    };
    let kept = events.iter().enumerate().filter(|(index, event)| {
        if let Event::Assigned(Assigned { record, visitor, .. }) = event {
            return !gone.contains(&record.decision) && !later(*index, *visitor, Some(record.decision));
        }
        if let Event::Aliased(aliased) = event {
            return !later(*index, aliased.visitor, None);
        }
        let about_them = event.feedback_of().is_some_and(|record| gone.contains(&record.decision));
        !about_them && !matches!(event, Event::VisitorErased(_))
    });
    let mut payload = Vec::new();
    for (index, event) in kept {
        let mut event = event.clone();
        // What somebody else adopted is theirs alone: under its first name it would keep whoever comes back from a new draw.
        if let Event::Assigned(assigned) = &mut event
            && erasures.iter().any(|(at, erased)| *at > index && shared(erased, assigned.record.decision))
        {
            assigned.visitor = VisitorToken(assigned.record.decision.0);
        }
        record::encode_event(&event, &mut record::Before::default(), &mut payload);
    }
    let without = MemoryStore::new();
    without.append(&[Block::after(without.head(), payload)], &[]).expect("taken");
    rebuild(&without, &mut |_| {}).expect("whole");
    digest(&without)
}

fn digest(store: &MemoryStore) -> [u8; 32] {
    let engine = Engine::new(Secret::new(SECRET), 0);
    recover(&engine, store).expect("readable");
    engine.tallies_digest()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_counts_are_those_of_a_history_without_the_visitor(
        before in proptest::collection::vec(deed(), 5..60),
        between in proptest::collection::vec(deed(), 0..20),
        erased in 0..6_usize,
        second in 0..6_usize,
    ) {
        let world = World::new();
        world.save(definition("banner", Unit::Visitor));
        before.iter().for_each(|deed| act(&world, deed));
        let whole = world.service.engine().tallies_digest();
        run(world.service.erase(&name(erased))).expect("erased");
        prop_assert_eq!(world.service.visitor(&name(erased)).expect("readable"), KnownVisitor::default());
        let without = digest_without_the_erased(&world.store);
        prop_assert_eq!(world.service.engine().tallies_digest(), without);
        let had = world.service.engine().tallies_digest() != whole;
        // Life goes on; somebody who is not known any more comes back as somebody new, and goes again.
        between.iter().for_each(|deed| act(&world, deed));
        run(world.service.erase(&name(erased))).expect("erased");
        run(world.service.erase(&name(second))).expect("erased");
        let live = world.service.engine().tallies_digest();
        let store = world.end();
        prop_assert_eq!(digest(&store), live, "after a restart");
        prop_assert_eq!(digest_without_the_erased(&store), live, "had something: {}", had);
        rebuild(&*store, &mut |_| {}).expect("whole");
        prop_assert_eq!(digest(&store), live, "rebuilt");
        let verified = verify(&*store, &mut |_| {}).expect("readable");
        prop_assert!(verified.passed(), "{:#?}", verified.differences);
    }
}

#[test]
fn receipts_and_rewards_of_an_erased_visitor_are_refused_and_it_may_come_back() {
    let mut world = World::new();
    world.save(definition("banner", Unit::Decision));
    let [hero, banner] =
        ["hero", "banner"].map(|key| world.decide_with(key, "v", |_| {}).receipt.clone().expect("recorded"));
    let other = world.decide_with("banner", "w", |_| {}).receipt.clone().expect("recorded");
    assert_eq!(world.reward(Subject::Receipt(&hero), "r").expect("taken"), Outcome::Recorded);
    world.clock.set(START + Span::SECOND);
    let done = run(world.service.erase("v")).expect("erased");
    let expected = ErasureDone {
        identities: 1,
        assignments: 1,
        exposures: 1,
        outcomes: 1,
        aliases: 0,
        contexts: 2,
        profiles: 0,
        anonymous: vec![ExperimentKey::new("banner").expect("a key")],
        at: START + Span::SECOND,
    };
    assert_eq!(done, expected);
    let gone = |error| matches!(error, FeedbackError::Reward(RewardError::Receipt(ReceiptError::Erased)));
    for life in 0..2 {
        for receipt in [&hero, &banner] {
            assert!(world.reward(Subject::Receipt(receipt), "s").is_err_and(gone), "life {life}");
            assert!(run(world.service.activate(Subject::Receipt(receipt))).is_err_and(gone));
        }
        assert_eq!(world.reward_visitor("v").expect_err("nobody"), FeedbackError::Reward(RewardError::Unassigned));
        let followed = world.decide_with("banner", "v", |query| query.receipt = Some(banner.as_str()));
        assert_eq!(followed.receipt_refused, Some(ReceiptError::Erased));
        world.restart();
    }
    assert_eq!(world.reward(Subject::Receipt(&other), "r").expect("taken"), Outcome::Recorded, "somebody else's");
    assert_eq!(world.counted("hero"), (0, 0));
    world.clock.set(START + Span::HOUR);
    let back = world.decide("v");
    assert_eq!((back.why, world.counted("hero")), (Why::Decided(Reason::Policy), (1, 0)), "somebody new");
    assert_eq!(
        world.reward(Subject::Receipt(back.receipt.as_ref().expect("recorded")), "r").expect("taken"),
        Outcome::Recorded
    );
    world.end();
}

/// What was on its way when the visitor was erased must not be counted after it.
#[test]
fn a_reward_that_is_judged_after_the_erasure_counts_nothing() {
    let world = World::new();
    world.decide("v");
    let subject = Subject::Visitor { experiment: "hero", visitor: "v" };
    for _ in 0..30 {
        world.clock.set(world.now() + Span::SECOND);
        std::thread::scope(|scope| {
            let rewarding = scope.spawn(|| world.reward(subject, "r"));
            let erasing = scope.spawn(|| run(world.service.erase("v")));
            let _ = rewarding.join().expect("answered");
            erasing.join().expect("answered").expect("erased");
        });
        assert_eq!(world.counted("hero"), (0, 0));
        world.clock.set(world.now() + Span::SECOND);
        world.decide("v");
    }
    world.end();
}
