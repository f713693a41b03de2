//! Every call to the store fails once, in every way, and a client that tries again finds everything exactly once.

use crate::service::report::VariationReport;
use crate::service::tests::*;
use crate::store::faulty::Fault;
use crate::store::{Block, Row, Space, Store};

/// What a site saw.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    receipts: u64,
    rewards: u64,
    repeats: u64,
    refusals: u64,
}

/// A checkpoint after every commit, so that the calls come in nearly the same order each time.
fn options() -> Options {
    Options { checkpoint_interval: Duration::ZERO, ..quick() }
}

fn start(store: &Arc<FaultyStore>) -> Service {
    let mut started = None;
    until("a start", || {
        let clock = Arc::new(ManualClock::new(START));
        started = Service::start(store.clone(), Secret::new([5; 32]), 6, clock, options()).ok();
        started.is_some()
    });
    started.expect("started")
}

/// A site that tries again whatever it was refused: an experiment, exposures, a reward for each second of them.
fn visit(service: &Service, seen: &mut Seen) {
    until("the experiment", || run(service.save(definition(Durability::Group), Status::Running)).is_ok());
    for index in 0..8 {
        let mut receipt = None;
        until("a decision", || {
            let answer = decide(service);
            assert!(answer.receipt.is_some() || answer.why == Why::Unavailable, "{:?}", answer.why);
            receipt.clone_from(&answer.receipt);
            receipt.is_some()
        });
        seen.receipts += 1;
        let receipt = receipt.expect("recorded");
        if index % 2 == 0 {
            continue;
        }
        seen.rewards += 1;
        until("a reward", || match reward(service, &receipt) {
            Ok(Outcome::Recorded) => true,
            Ok(Outcome::Repeated) => {
                seen.repeats += 1;
                true
            }
            Ok(outcome) => panic!("{outcome:?}"),
            Err(FeedbackError::Commit(CommitError::Unavailable(_))) => {
                seen.refusals += 1;
                false
            }
            Err(error) => panic!("{error}"),
        });
    }
    until("every exposure", || exposures(service) >= seen.receipts && service.health().trouble().is_none());
}

/// What was counted, by variation and goal. What is computed of it in the background comes a moment later.
fn state(service: &Service) -> String {
    let report = service.report("hero").expect("there");
    let counted = |variation: &VariationReport| {
        let goals: Vec<_> = variation.goals.iter().map(|(key, goal)| (key.clone(), goal.conversions)).collect();
        (variation.variation.clone(), variation.exposures, goals)
    };
    let variations: Vec<_> = report.totals.variations.iter().map(counted).collect();
    format!("{} {:?} {variations:?} {:?}", report.definition, report.status, report.rewards)
}

fn check(service: &Service, seen: &Seen, name: &str) {
    let report = service.report("hero").expect("there");
    let goals = report.totals.variations.iter().flat_map(|variation| &variation.goals);
    let conversions: u64 = goals.map(|(_, goal)| goal.conversions).sum();
    assert_eq!(report.totals.exposures, seen.receipts, "{name}");
    assert_eq!(conversions, seen.rewards, "{name}: {seen:?}");
    assert_eq!((report.rewards.recorded, report.rewards.repeated), (seen.rewards, seen.repeats), "{name}");
    assert_eq!(service.health().exposures_lost(), 0, "{name}");
}

/// A store that holds the same journal and ledger, and no checkpoint.
fn without_checkpoint(inner: &MemoryStore) -> Arc<FaultyStore> {
    let blocks: Vec<Block> = inner.blocks(1).collect::<Result<_, _>>().expect("whole");
    let rows = inner.rows(Space::LedgerPage, &[], None, usize::MAX).expect("readable");
    let row = |(key, value)| Row { space: Space::LedgerPage, key, value: Some(value) };
    let store = MemoryStore::new();
    store.append(&blocks, &rows.into_iter().map(row).collect::<Vec<_>>()).expect("appended");
    Arc::new(FaultyStore::new(Arc::new(store)))
}

/// One life with trouble, one after it, and one from the journal alone.
fn check_lives(prepare: impl Fn(&FaultyStore), name: &str) -> (Seen, Arc<FaultyStore>) {
    let inner = Arc::new(MemoryStore::new());
    let store = Arc::new(FaultyStore::new(inner.clone()));
    prepare(&store);
    let mut seen = Seen::default();
    let first = start(&store);
    visit(&first, &mut seen);
    check(&first, &seen, name);
    let before = state(&first);
    first.stop();
    let second = start(&Arc::new(FaultyStore::new(inner.clone())));
    check(&second, &seen, name);
    assert_eq!(state(&second), before, "{name}: after a restart");
    second.stop();
    let replayed = start(&without_checkpoint(&inner));
    assert_eq!(replayed.recovered().blocks, inner.head().number, "{name}");
    assert_eq!(state(&replayed), before, "{name}: replayed from the beginning");
    (seen, store)
}

#[test]
fn every_call_fails_once_in_every_way_and_everything_is_there_exactly_once() {
    use Fault::{After, Before};
    // The second fault of a pair nearly always meets the recovery from the first.
    let (mut calls, mut refusals, mut repeats) = (0, 0, 0);
    for ways in [&[Before][..], &[After], &[Before, Before], &[After, Before]] {
        for number in 1.. {
            let name = format!("call {number} fails: {ways:?}");
            let prepare =
                |store: &FaultyStore| ways.iter().zip(number..).for_each(|(way, call)| store.fail_call(call, *way));
            let (seen, store) = check_lives(prepare, &name);
            refusals += seen.refusals;
            repeats += seen.repeats;
            if store.faults_left() > 0 {
                break;
            }
            calls += 1;
        }
    }
    assert!(calls > 60, "only {calls} calls were made to fail");
    assert!(refusals > 0 && repeats > 0, "{refusals} refusals, {repeats} repeats: the test tested little");
}

#[test]
fn a_slow_store_costs_time_and_nothing_else() {
    let (seen, _) = check_lives(|store| store.slow_down(Duration::from_millis(15)), "slow");
    assert_eq!((seen.receipts, seen.rewards, seen.repeats, seen.refusals), (8, 4, 0, 0));
}

#[test]
fn a_sync_that_fails_once_is_found_out_at_once() {
    let store = faulty();
    let service =
        saved(&store, Options { checkpoint_interval: Duration::from_secs(3_600), ..quick() }, Durability::Group);
    let receipts: Vec<String> = (0..20).map(|_| decide(&service).receipt.clone().expect("recorded")).collect();
    until("the exposures", || exposures(&service) == 20);
    for receipt in &receipts {
        // The next append, or the reading before it: who is answered at all is answered the truth.
        store.fail_call(store.calls() + 2, Fault::After);
        until("a reward", || match reward(&service, receipt) {
            Ok(outcome) => {
                assert_eq!(outcome, Outcome::Recorded);
                true
            }
            Err(_) => false,
        });
        until("recovery", || service.health().trouble().is_none());
    }
    let counts = service.report("hero").expect("there").rewards;
    assert_eq!((counts.recorded, counts.repeated), (20, 0));
    assert_eq!(service.health().exposures_lost(), 0);
}
