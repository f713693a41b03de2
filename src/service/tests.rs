//! The service without HTTP: a store that can be told to refuse, a clock that stands.

mod clock;
mod concurrent;
mod corrections;
mod faults;
mod power_cut;
mod repeats;
mod together;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Context, ExperimentKey, GoalKey, Span, Timestamp, VariationKey};
use crate::engine::decide::Reason;
use crate::engine::definition::*;
use crate::engine::ledger::Outcome;
use crate::engine::reward::{Action, Reward};
use crate::engine::secret::Secret;
use crate::policy::Parameters;
use crate::service::clock::ManualClock;
use crate::service::decide::{Answer, Query, Why};
use crate::service::error::{CommitError, FeedbackError};
use crate::service::reward::Subject;
use crate::service::{Options, Service};
use crate::store::faulty::FaultyStore;
use crate::store::memory::MemoryStore;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A store in memory that can be told to refuse, or to hold its writer.
fn faulty() -> Arc<FaultyStore> {
    Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())))
}

fn service(store: &Arc<FaultyStore>, options: Options) -> Service {
    let clock = Arc::new(ManualClock::new(START));
    Service::start(store.clone(), Secret::new([5; 32]), 6, clock, options).expect("starts")
}

fn quick() -> Options {
    Options {
        commit_interval: Duration::from_millis(1),
        checkpoint_interval: Duration::from_millis(5),
        retry_interval: Duration::from_millis(2),
        ..Options::default()
    }
}

fn definition(durability: Durability) -> Definition {
    let variations = ["plain", "bold"].map(|key| Variation::new(VariationKey::new(key).expect("a key"), "1"));
    let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
    let parameters = crate::policy::with_defaults("thompson", &Parameters::new(), 2).expect("defaults");
    let policy = PolicyChoice::new("thompson", parameters);
    let key = ExperimentKey::new("hero").expect("a key");
    Definition { durability, ..Definition::new(key, variations.to_vec(), vec![goal], policy) }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn saved(store: &Arc<FaultyStore>, options: Options, durability: Durability) -> Service {
    let service = service(store, options);
    run(service.save(definition(durability), Status::Running)).expect("saved");
    service
}

fn decide(service: &Service) -> Arc<Answer<'static>> {
    let context = Context::new();
    let query = Query::new("hero", Some("v"), &context);
    run(service.decide(&query)).expect("there is an experiment")
}

fn reward(service: &Service, receipt: &str) -> Result<Outcome, FeedbackError> {
    let reward =
        Reward { action: Action::Reward, goal: None, value: None, currency: None, reward_id: None, occurred_at: None };
    run(service.reward(Subject::Receipt(receipt), &reward)).map(|rewarding| rewarding.outcome)
}

fn exposures(service: &Service) -> u64 {
    service.report("hero").expect("there").totals.exposures
}

#[expect(clippy::disallowed_methods, reason = "waits for background threads in real time")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_store_that_refuses_costs_no_answer_and_recovers_by_itself() {
    let store = faulty();
    let service = saved(&store, quick(), Durability::Group);
    let before = decide(&service);
    let receipt = before.receipt.clone().expect("recorded");
    until("the first exposure", || exposures(&service) == 1);
    store.refuse(true);
    // Answered before anybody knew; it waits and is recorded later.
    assert_eq!(decide(&service).why, Why::Decided(Reason::Policy));
    until("trouble", || service.health().trouble().is_some());
    let fallen = decide(&service);
    assert_eq!((fallen.why, fallen.variation, fallen.receipt.as_ref()), (Why::Unavailable, 0, None));
    assert!(matches!(reward(&service, &receipt), Err(FeedbackError::Commit(CommitError::Unavailable(_)))));
    store.refuse(false);
    until("recovery", || service.health().trouble().is_none());
    until("the exposure that waited", || exposures(&service) == 2);
    assert_eq!(decide(&service).why, Why::Decided(Reason::Policy));
    assert_eq!(reward(&service, &receipt), Ok(Outcome::Recorded), "what was refused was not half-recorded");
    assert_eq!(reward(&service, &receipt), Ok(Outcome::Repeated));
    assert_eq!(service.health().exposures_lost(), 0);
}

/// Where it cannot be told what a visitor stays with, the default is shown and nothing is made up; whoever is known stays.
#[test]
fn an_unreadable_assignment_is_answered_by_the_default() {
    let store = faulty();
    let service = service(&store, quick());
    run(service.save(Definition { unit: Unit::Visitor, ..definition(Durability::Group) }, Status::Running))
        .expect("saved");
    let known = decide(&service);
    assert_eq!(known.why, Why::Decided(Reason::Policy));
    store.refuse(true);
    let again = decide(&service);
    assert_eq!((again.why, &again.decision_id), (Why::Decided(Reason::Sticky), &known.decision_id), "it is in memory");
    let context = Context::new();
    let ask = || {
        let (experiment, visitor) = ("hero", Some("somebody else"));
        let query = Query::new(experiment, visitor, &context);
        run(service.decide(&query)).expect("there is an experiment")
    };
    let fallen = ask();
    assert_eq!((fallen.why, fallen.variation, fallen.receipt.as_ref()), (Why::Unavailable, 0, None));
    store.refuse(false);
    until("recovery", || ask().why == Why::Decided(Reason::Policy));
    assert_eq!(exposures(&service), 2, "nothing was counted meanwhile");
}

#[test]
fn more_exposures_than_one_commit_takes_wait_and_block_nobody() {
    let store = faulty();
    let service = saved(&store, quick(), Durability::Group);
    let receipt = decide(&service).receipt.clone().expect("recorded");
    until("the first exposure", || exposures(&service) == 1);
    store.hold(true);
    let answered = (0..9_000).filter(|_| decide(&service).why == Why::Decided(Reason::Policy)).count() as u64;
    assert_eq!(answered, 9_000);
    store.refuse(true);
    store.hold(false);
    until("trouble", || service.health().trouble().is_some());
    // Behind a whole batch that is carried: answered all the same.
    assert!(matches!(reward(&service, &receipt), Err(FeedbackError::Commit(CommitError::Unavailable(_)))));
    store.refuse(false);
    until("all that waited", || exposures(&service) == 1 + answered);
    assert_eq!((service.health().exposures_lost(), reward(&service, &receipt)), (0, Ok(Outcome::Recorded)));
}

#[test]
fn a_full_queue_answers_the_default_and_refuses_rewards() {
    let store = faulty();
    let service = saved(&store, Options { queue_events: 4, ..quick() }, Durability::Group);
    let receipt = decide(&service).receipt.clone().expect("recorded");
    until("the first exposure", || exposures(&service) == 1);
    store.hold(true);
    // A queue that is full before its reader waits does not stay full.
    until("a writer that waits", || {
        decide(&service);
        store.waits()
    });
    until("a full queue", || decide(&service).why == Why::Overloaded);
    let fallen = decide(&service);
    assert_eq!((fallen.variation, fallen.receipt.as_ref(), fallen.propensity.to_bits()), (0, None, 1.0_f64.to_bits()));
    assert_eq!(reward(&service, &receipt), Err(FeedbackError::Commit(CommitError::Overloaded)));
    store.hold(false);
    until("room", || decide(&service).why == Why::Decided(Reason::Policy));
    // That decision may have taken the last of it. Nothing was left of the rewards that were refused: the first to be taken is no repeat.
    until("room for a reward", || reward(&service, &receipt) == Ok(Outcome::Recorded));
}

#[test]
fn a_synced_decision_is_recorded_when_it_is_answered() {
    let store = faulty();
    let service = saved(&store, Options { commit_interval: Duration::from_secs(5), ..quick() }, Durability::Sync);
    for index in 1..=3 {
        assert_eq!(decide(&service).why, Why::Decided(Reason::Policy));
        assert_eq!(exposures(&service), index);
    }
    store.refuse(true);
    let fallen = decide(&service);
    assert_eq!((fallen.why, fallen.receipt.as_ref()), (Why::Unavailable, None));
}

#[test]
fn a_restart_finds_everything_with_and_without_a_checkpoint() {
    for checkpoint_interval in [Duration::from_millis(1), Duration::from_secs(3_600)] {
        let inner = Arc::new(MemoryStore::new());
        let life = || Arc::new(FaultyStore::new(inner.clone()));
        let options = Options { checkpoint_interval, ..quick() };
        let first = saved(&life(), options, Durability::Group);
        let receipts: Vec<String> = (0..200).map(|_| decide(&first).receipt.clone().expect("recorded")).collect();
        for receipt in receipts.iter().step_by(3) {
            assert_eq!(reward(&first, receipt), Ok(Outcome::Recorded));
        }
        first.stop();
        assert_eq!(decide(&first).why, Why::Unavailable, "a stopped service still answers the default");
        assert!(first.health().trouble().is_some(), "and says that it is not ready");
        let before = format!("{:?}", first.report("hero").expect("there").totals);
        let second = service(&life(), options);
        assert_eq!(before, format!("{:?}", second.report("hero").expect("there").totals));
        assert_eq!(reward(&second, &receipts[0]), Ok(Outcome::Repeated));
        assert_eq!(reward(&second, &receipts[1]), Ok(Outcome::Recorded));
    }
}

#[test]
fn of_many_at_once_one_reward_is_the_first() {
    let store = faulty();
    let service = Arc::new(saved(&store, quick(), Durability::Group));
    let receipts: Vec<String> = (0..50).map(|_| decide(&service).receipt.clone().expect("recorded")).collect();
    let recorded: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    receipts.iter().filter(|receipt| reward(&service, receipt) == Ok(Outcome::Recorded)).count()
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("no panic")).sum()
    });
    assert_eq!(recorded, receipts.len());
    let counts = service.report("hero").expect("there").rewards;
    assert_eq!((counts.recorded, counts.repeated), (50, 350));
}
