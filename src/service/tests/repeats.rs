//! What a repeated decision id gets.

use crate::service::tests::*;

fn ask<'a>(visitor: Option<&'a str>, context: &'a Context<'a>) -> Query<'a> {
    Query { decision_id: Some("order-7"), ..Query::new("hero", visitor, context) }
}

#[test]
fn a_repeat_waits_for_the_commit_that_the_first_waited_for() {
    let store = faulty();
    let options = Options { checkpoint_interval: Duration::from_secs(3_600), ..quick() };
    let service = saved(&store, options, Durability::Sync);
    let context = Context::new();
    for fails in [false, true] {
        let visitor = format!("v, {fails}");
        let query = ask(Some(&visitor), &context);
        store.hold(true);
        let first = service.decide_now(&query).expect("there is an experiment").answer;
        until("a commit", || store.waits());
        std::thread::scope(|threads| {
            let repeat = threads.spawn(|| run(service.decide(&query)).expect("there is an experiment"));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!repeat.is_finished(), "nothing is on disk yet");
            store.refuse(fails);
            store.hold(false);
            let repeat = repeat.join().expect("no panic");
            if fails {
                // Whoever asked first has gone, so that nobody else could tell that this was not recorded.
                assert_eq!((repeat.why, repeat.receipt.as_ref()), (Why::Unavailable, None));
            } else {
                assert_eq!((&repeat.receipt, exposures(&service)), (&first.receipt, 1));
            }
        });
    }
    store.refuse(false);
    until("a new decision", || run(service.decide(&ask(Some("v, true"), &context))).expect("there").receipt.is_some());
    assert_eq!(exposures(&service), 2);
}

#[test]
fn an_id_of_another_visitor_is_another_id() {
    let service = saved(&faulty(), quick(), Durability::Group);
    let context = Context::new();
    let decide = |visitor| run(service.decide(&ask(visitor, &context))).expect("there is an experiment");
    let (alice, other, nobody) = (decide(Some("alice")), decide(Some("mallory")), decide(None));
    assert_eq!((alice.minted.as_ref(), other.minted.as_ref()), (None, None), "they brought ids");
    assert!(nobody.minted.is_some());
    assert!(alice.receipt != other.receipt && nobody.receipt != alice.receipt);
    assert_eq!(decide(Some("alice")).receipt, alice.receipt);
    assert_eq!(decide(None).minted, nobody.minted, "one that was minted is repeated as well");
    until("three exposures", || exposures(&service) == 3);
}

#[test]
fn an_id_seeds_the_draw_of_its_visitor_and_of_whoever_brings_none() {
    let service = saved(&faulty(), quick(), Durability::Group);
    let context = Context::new();
    let uniform = |visitor, consent| {
        let query = Query { explain: true, consent, ..ask(visitor, &context) };
        let answer = run(service.decide(&query)).expect("there is an experiment");
        answer.basis.as_ref().expect("explained").uniform.to_bits()
    };
    let drawn = [Some("alice"), Some("mallory"), None].map(|visitor| {
        let drawn = uniform(visitor, true);
        assert_eq!(uniform(visitor, true), drawn, "{visitor:?}: whenever it is asked");
        drawn
    });
    let others = [None, None].map(|visitor| uniform(visitor, false));
    let all: std::collections::BTreeSet<u64> = drawn.into_iter().chain(others).collect();
    assert_eq!(all.len(), 5, "without consent each stands alone: {all:?}");
}

#[test]
fn what_nobody_asks_for_again_is_forgotten_after_a_minute() {
    let clock = Arc::new(ManualClock::new(START));
    let service = Service::start(faulty(), Secret::new([5; 32]), 6, clock.clone(), quick()).expect("starts");
    run(service.save(definition(Durability::Group), Status::Running)).expect("saved");
    let context = Context::new();
    run(service.decide(&ask(Some("v"), &context))).expect("there is an experiment");
    clock.set(START + Span::SECOND.times(59));
    service.sweep();
    assert_eq!(service.recent.len(), 1);
    clock.set(START + Span::SECOND.times(60));
    service.sweep();
    assert_eq!(service.recent.len(), 0);
}
