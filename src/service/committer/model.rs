//! A model of the committer, its queue and the refresh of segments: the real committer, queue, engine and store, over channels
//! whose every interleaving is chosen by a seed (shuttle). Requests, the refresher and whoever stops the service race each other;
//! now and then the store fails. Whatever the order: what was taken is recorded once or counted as lost, whoever waits is answered
//! the truth, nothing deadlocks, and no segment waits for an allocation that nobody computes.
//!
//! What stands in for something else: the channels (crossbeam's in production), the deadline of a wait (here it may pass at any
//! moment), and the refresher's loop. A failure prints a schedule; `shuttle::replay` repeats it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::rand::Rng as _;
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};

use crate::domain::{Aggregation, AttributeName, Context, DecisionId, RewardId, Slot, Span, Value};
use crate::engine::decide::{Explain, Request, RequestId};
use crate::engine::definition::{Segments, Status};
use crate::engine::event::{Event, Rewarded};
use crate::engine::ledger::Outcome;
use crate::engine::secret::Secret;
use crate::engine::tests::driver::{START, definition};
use crate::policy::{Parameter, Parameters};
use crate::service::committer::queue::{Outbox, Untaken};
use crate::service::committer::*;
use crate::service::recovery::recover;
use crate::service::verify::verify;
use crate::store::faulty::{Fault, FaultyStore};
use crate::store::memory::MemoryStore;

impl Outbox for SyncSender<Waiting> {
    fn try_send(&self, waiting: Waiting) -> Result<(), Untaken> {
        Self::try_send(self, waiting).map_err(|error| match error {
            TrySendError::Full(_) => Untaken::Full,
            TrySendError::Disconnected(_) => Untaken::Gone,
        })
    }

    fn send(&self, waiting: Waiting) -> bool {
        Self::send(self, waiting).is_ok()
    }
}

impl Inbox for Receiver<Waiting> {
    fn next(&self, batch: &mut Vec<Passing>, _: Instant) -> Next {
        let found = match self.try_recv() {
            Err(TryRecvError::Empty) if shuttle::rand::thread_rng().gen_bool(0.5) => return Next::Nothing,
            Err(TryRecvError::Empty) => self.recv().ok(),
            found => found.ok(),
        };
        let Some(waiting) = found else { return Next::Closed };
        batch.push(Passing::One(waiting));
        Next::Came
    }

    fn take(&self, batch: &mut Vec<Passing>, most: usize) -> bool {
        for _ in 0..most {
            match self.try_recv() {
                Ok(waiting) => batch.push(Passing::One(waiting)),
                Err(error) => return matches!(error, TryRecvError::Disconnected),
            }
        }
        false
    }

    fn call_at(&self, _: usize) {}

    fn doze(&self, _: Instant) {
        shuttle::thread::yield_now();
    }

    fn linger(&self, _: Instant, _: usize) {
        shuttle::thread::yield_now();
    }

    fn attend(&self) {}

    fn waiting(&self) -> usize {
        0
    }
}

/// Jobs on their way to be computed.
struct Due {
    jobs: SyncSender<RefreshJob>,
    counts: Arc<Counts>,
}

/// How many jobs were taken, and how many handed back.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    handed_back: AtomicU64,
}

impl Jobs for Due {
    fn offer(&self, job: RefreshJob) -> Result<(), RefreshJob> {
        match self.jobs.try_send(job) {
            Ok(()) => {
                self.counts.taken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                self.counts.handed_back.fetch_add(1, Ordering::Relaxed);
                Err(job)
            }
        }
    }
}

/// What a site saw.
#[derive(Debug, Default)]
struct Seen {
    exposures: u64,
    /// Decisions whose reward was answered as recorded, or as known already.
    rewarded: Vec<DecisionId>,
    /// Decisions whose reward was refused.
    refused: Vec<DecisionId>,
}

type ModelQueue = Queue<SyncSender<Waiting>>;

/// Waits as a request does: others run meanwhile.
fn answer(mut pending: Pending) -> Result<Told, CommitError> {
    loop {
        if let Some(answer) = pending.answered() {
            return answer;
        }
        shuttle::thread::yield_now();
    }
}

/// Two visitors, one after the other; some convert.
fn site(engine: &Engine, queue: &ModelQueue, site: u64) -> Seen {
    let mut seen = Seen::default();
    for visitor in 0..2_u64 {
        let device = if site.is_multiple_of(2) { "mobile" } else { "desktop" };
        let context = Context::from([("device", Value::from(device))]);
        let request = Request {
            visitor: "v",
            token: None,
            assignment: None,
            visitor_given: true,
            context: &context,
            exclude: &[],
            defer: false,
            receipt: None,
            id: RequestId::Minted(u128::from(site * 16 + visitor)),
            now: START + Span::SECOND,
        };
        let decision = engine.decide("hero", &request, Explain::No).expect("there is an experiment");
        let record = decision.record.as_deref().cloned().expect("it runs");
        if queue.offer(decision.event().expect("it counts"), None).is_err() {
            continue;
        }
        seen.exposures += 1;
        if visitor == 1 {
            continue;
        }
        let event = Event::Rewarded(Rewarded {
            record: record.clone(),
            deferred: false,
            goal: Slot(0),
            value: 1,
            reward_id: RewardId::new("purchase").expect("an id"),
            arrived_at: START + Span::SECOND,
            occurred_at: None,
            window: Span::DAY,
            cap: None,
            aggregation: Aggregation::First,
        });
        match queue.submit(event).and_then(answer) {
            Ok(judgement) => {
                assert!(matches!(judgement.outcome, Outcome::Recorded | Outcome::Repeated), "{judgement:?}");
                seen.rewarded.push(record.decision);
            }
            Err(_) => seen.refused.push(record.decision),
        }
    }
    seen
}

/// How often the journal has each decision's exposure and reward, and how many computed allocations.
#[derive(Debug, Default)]
struct Journal {
    exposures: BTreeMap<DecisionId, u64>,
    rewards: BTreeMap<DecisionId, u64>,
    computed: u64,
}

impl Journal {
    fn of(store: &dyn Store) -> Self {
        let mut journal = Self::default();
        for block in store.blocks(1) {
            for event in record::decode_events(block.expect("whole").payload()) {
                let event = event.expect("whole");
                if let Event::Exposed(exposed) = &event {
                    *journal.exposures.entry(exposed.record.decision).or_default() += 1;
                } else if let Some(record) = event.feedback_of() {
                    *journal.rewards.entry(record.decision).or_default() += 1;
                }
                journal.computed += u64::from(matches!(event, Event::AllocationComputed(_)));
            }
        }
        journal
    }
}

/// One life: three sites, a refresher, and a stop that comes when it likes.
fn life(fails: bool, jobs_capacity: usize) {
    let mut dice = shuttle::rand::thread_rng();
    let memory = Arc::new(MemoryStore::new());
    let store = Arc::new(FaultyStore::new(memory.clone()));
    let engine = Arc::new(Engine::new(Secret::new([7; 32]), 1));
    let health = Arc::new(Health::default());
    let (events, inbox) = sync_channel(3);
    let queue: ModelQueue = Queue::new(events, Arc::clone(&health));
    let (jobs, due) = sync_channel(jobs_capacity);
    let counts: Arc<Counts> = Arc::default();
    let options = Options {
        checkpoint_interval: if dice.gen_bool(0.5) { Duration::ZERO } else { Duration::MAX },
        retry_interval: Duration::ZERO,
        ..Options::default()
    };
    let jobs = Due { jobs, counts: Arc::clone(&counts) };
    let visitors = Arc::new(Visitors::new(store.clone(), 4).expect("readable"));
    let committer = {
        let (engine, store, health, counts) = (Arc::clone(&engine), store.clone(), Arc::clone(&health), Arc::default());
        Committer::new(Shared { engine, store, health, visitors, counts }, inbox, jobs, options)
    };
    let committer = shuttle::thread::spawn(move || committer.run());
    let refresher = {
        let queue = queue.clone();
        shuttle::thread::spawn(move || {
            while let Ok(job) = due.recv() {
                if !queue.push(job.compute()) {
                    return;
                }
            }
        })
    };
    let saved = engine.save(experiment(), Status::Running, START).expect("usable").expect("new");
    queue.submit(Event::ExperimentSaved(Arc::new(saved))).and_then(answer).expect("nothing has failed yet");
    if fails {
        let way = if dice.gen_bool(0.5) { Fault::Before } else { Fault::After };
        (0..dice.gen_range(1..3)).for_each(|_| store.fail_call(store.calls() + dice.gen_range(1..12), way));
    }
    let sites: Vec<_> = (0..3)
        .map(|number| {
            let (engine, queue) = (Arc::clone(&engine), queue.clone());
            shuttle::thread::spawn(move || site(&engine, &queue, number))
        })
        .collect();
    for _ in 0..dice.gen_range(0..60) {
        shuttle::thread::yield_now();
    }
    queue.stop();
    let seen: Vec<Seen> = sites.into_iter().map(|site| site.join().expect("no panic")).collect();
    committer.join().expect("no panic");
    refresher.join().expect("no panic");
    check(&engine, &memory, &health, &seen);
    check_refreshes(&engine, &memory, &counts);
}

fn experiment() -> crate::engine::definition::Definition {
    let alone = Parameters::new().with("pooling", Parameter::Text("none".into()));
    let device = AttributeName::new("device").expect("a name");
    crate::engine::definition::Definition { segments: Segments::By(vec![device]), ..definition("thompson", alone) }
}

fn check(engine: &Engine, memory: &Arc<MemoryStore>, health: &Health, seen: &[Seen]) {
    let journal = Journal::of(&**memory);
    let exposures: u64 = seen.iter().map(|seen| seen.exposures).sum();
    assert!(journal.exposures.values().chain(journal.rewards.values()).all(|times| *times == 1), "{journal:?}");
    let recorded = journal.exposures.len() as u64;
    assert_eq!(recorded + health.exposures_lost(), exposures, "taken exposures are recorded or counted as lost");
    for decision in seen.iter().flat_map(|seen| &seen.rewarded) {
        assert!(journal.rewards.contains_key(decision), "{decision} was acknowledged");
    }
    let known = seen.iter().map(|seen| seen.rewarded.len() + seen.refused.len()).sum::<usize>();
    assert!(journal.rewards.len() <= known, "{journal:?}, {seen:?}");
    let again = Engine::new(Secret::new([0; 32]), 0);
    recover(&again, &**memory).expect("whole");
    assert_eq!(engine.state(), again.state(), "what was applied is what is recorded");
    assert!(verify(&**memory, &mut |_| {}).expect("readable").passed());
}

/// A segment is marked as long as its allocation is on the way, and one that is due is marked. What is handed back, because there
/// is no room or the refresher has ended, waits for the segment's next event or the next start, which finds it.
fn check_refreshes(engine: &Engine, memory: &Arc<MemoryStore>, counts: &Counts) {
    let segments = engine.experiment("hero").expect("there").active_full().segments();
    let marked = segments.iter().filter(|segment| segment.tallies().refreshing).count() as u64;
    let on_the_way = counts.taken.load(Ordering::Relaxed) - Journal::of(&**memory).computed;
    assert_eq!(marked, on_the_way, "marked segments, and allocations that are on the way");
    let handed_back = counts.handed_back.load(Ordering::Relaxed);
    let again = Engine::new(Secret::new([0; 32]), 0);
    recover(&again, &**memory).expect("whole");
    let mut jobs = Vec::new();
    again.due(&mut jobs);
    for segment in segments {
        let tallies = segment.tallies();
        let due = tallies.due.is(tallies.counted());
        assert!(!due || tallies.refreshing || handed_back > 0, "{:?} is due and forgotten", segment.key());
        let found = jobs.iter().any(|job| job.key().2 == Some(segment.key().cloned()));
        assert!(!due || found, "{:?} is due and the next start does not find it", segment.key());
    }
}

fn model(seed: u64, lives: usize, fails: bool, jobs_capacity: usize) {
    let mut config = shuttle::Config::new();
    // The engine needs more than the default.
    config.stack_size = 1 << 20;
    let runner = shuttle::Runner::new(RandomScheduler::new_from_seed(seed, lives), config);
    runner.run(move || life(fails, jobs_capacity));
}

#[test]
fn whatever_the_order_what_was_taken_is_recorded_once() {
    model(1, 300, false, 16);
}

#[test]
fn whatever_the_order_a_full_queue_of_jobs_forgets_no_segment() {
    model(2, 150, false, 1);
}

#[test]
fn whatever_the_order_a_store_that_fails_leaves_everything_once_or_counted() {
    model(3, 300, true, 16);
}
