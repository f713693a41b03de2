//! Everything at once: eight writers, somebody who saves definitions, somebody who reads reports, a clock that moves, and
//! checkpoints all the while. Nobody can say in which order it came but the journal; replayed by one thread, from nothing but
//! its blocks, it leaves the same state and the same ledger, bit for bit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::domain::{AttributeName, DecisionId, Probability, RewardId, Seed, Value, VisitorToken};
use crate::engine::Engine;
use crate::engine::assignment::AssignmentEntry;
use crate::engine::known::{Asked, Known, Remembered};
use crate::engine::ledger::{LedgerEntry, Position, judge};
use crate::service::clock::Clock as _;
use crate::service::ledger::each_fact;
use crate::service::tests::*;
use crate::service::verify::verify;
use crate::store::disk::DiskStore;
use crate::store::{DiskOptions, Space, Store, record};

const WRITERS: u64 = 8;
const STEPS: u64 = 150;
const KEYS: [&str; 4] = ["apart", "borrowing", "features", "sticky"];

/// What the threads share.
struct Site {
    service: Service,
    clock: Arc<ManualClock>,
    /// Of every writer, for every other: the same decision is rewarded, amended and retracted from several sides.
    receipts: Mutex<Vec<String>>,
    outcomes: Mutex<BTreeMap<String, u64>>,
    reports: AtomicU64,
    writing: AtomicBool,
}

/// A version of an experiment; every third one has another window, and so begins an epoch.
fn version(key: &str, number: u64) -> Definition {
    let (kind, parameters) = match key {
        "apart" => ("thompson", Parameters::new().with("pooling", crate::policy::Parameter::Text("none".into()))),
        "borrowing" | "sticky" => ("thompson", Parameters::new()),
        _ => ("linear-thompson", Parameters::new()),
    };
    let device = AttributeName::new("device").expect("a name");
    let levels = vec!["mobile".to_owned(), "desktop".to_owned()];
    let mut definition = definition(Durability::Group);
    definition.unit = if key == "sticky" { Unit::Visitor } else { Unit::Decision };
    definition.key = ExperimentKey::new(key).expect("a key");
    let parameters = crate::policy::with_defaults(kind, &parameters, 2).expect("defaults");
    definition.policy =
        PolicyChoice { floor: [0.0, 0.01][usize::from(number % 2 == 1)], ..PolicyChoice::new(kind, parameters) };
    definition.control = Probability::new(0.1).expect("a share");
    definition.segments = Segments::By(vec![device.clone()]);
    definition.goals[0].window = Span::DAY.times(1 + number / 3 % 4);
    definition.goals[0].delay = if key == "borrowing" { Delay::Survival } else { Delay::None };
    definition.attributes = vec![Attribute { name: device, encoding: Encoding::Levels(levels) }];
    definition
}

impl Site {
    fn on(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let options = Options { checkpoint_interval: Duration::ZERO, ..quick() };
        let service = Service::start(store, Secret::new([5; 32]), 6, Arc::clone(&clock) as _, options).expect("starts");
        for key in KEYS {
            run(service.save(version(key, 0), Status::Running)).expect("saved");
        }
        let (receipts, outcomes) = (Mutex::default(), Mutex::default());
        Self { service, clock, receipts, outcomes, reports: AtomicU64::new(0), writing: AtomicBool::new(true) }
    }

    fn count(&self, what: impl Into<String>) {
        *self.outcomes.lock().expect("whole").entry(what.into()).or_default() += 1;
    }

    /// Decides, activates, rewards, amends and retracts, by dice.
    fn write(&self, seed: Seed) {
        for index in 0..STEPS {
            let dice = seed.child(index);
            let draw = |what: u64, among: u64| dice.child(what).0 % among;
            let device = ["mobile", "desktop"][usize::from(draw(0, 3) == 0)];
            let context = Context::from([("device", Value::from(device))]);
            let visitor = format!("v-{}", draw(1, 500));
            let query = Query {
                experiment: KEYS[usize::try_from(draw(2, 4)).expect("small")],
                visitor: Some(&visitor),
                minted: false,
                context: &context,
                exclude: &[],
                defer: draw(3, 4) == 0,
                receipt: None,
                decision_id: None,
                explain: false,
                consent: draw(11, 20) > 0,
            };
            let answer = run(self.service.decide(&query)).expect("there is an experiment");
            let closed = [Reason::NotRunning, Reason::NoConsent].map(Why::Decided).contains(&answer.why);
            assert!(answer.receipt.is_some() || closed, "{:?}", answer.why);
            self.receipts.lock().expect("whole").extend(answer.receipt.clone());
            // Mostly the decisions of the last moments, by whichever writer.
            let receipt = {
                let receipts = self.receipts.lock().expect("whole");
                let back = usize::try_from(draw(4, 24)).expect("small");
                receipts.get(receipts.len().saturating_sub(1 + back)).cloned()
            };
            let Some(receipt) = receipt else { continue };
            if draw(5, 3) == 0 {
                let outcome =
                    run(self.service.activate(Subject::Receipt(&receipt))).map(|outcome| format!("{outcome:?}"));
                self.count(format!("activate {}", outcome.unwrap_or_else(|error| error.to_string())));
            }
            self.feed_back(&receipt, Action::Reward, dice);
            if draw(9, 3) == 0 {
                self.feed_back(&receipt, Action::Amend, dice.child(20));
            }
            if draw(10, 4) == 0 {
                self.feed_back(&receipt, Action::Retract, dice.child(21));
            }
        }
    }

    fn feed_back(&self, receipt: &str, action: Action, dice: Seed) {
        let draw = |what: u64, among: u64| dice.child(what).0 % among;
        let id = RewardId::new(["a", "b"][usize::from(draw(7, 4) == 0)]).expect("an id");
        let value = (draw(8, 2) == 0).into();
        let reward = Reward {
            action,
            goal: None,
            value: (action != Action::Retract).then_some(value),
            currency: None,
            reward_id: Some(&id),
            occurred_at: None,
        };
        let what = match run(self.service.reward(Subject::Receipt(receipt), &reward)) {
            Ok(rewarding) => format!("{:?}", rewarding.outcome),
            Err(FeedbackError::Reward(_)) => "refused".into(),
            Err(error @ (FeedbackError::Commit(_) | FeedbackError::Unreadable(_))) => {
                panic!("the store never fails here: {error}")
            }
        };
        self.count(format!("{action:?} {what}"));
    }

    /// New versions and epochs, pauses and starts, while the clock goes on.
    fn change(&self, seed: Seed) {
        for number in 1.. {
            if !self.writing.load(Ordering::Relaxed) {
                return;
            }
            let key = KEYS[usize::try_from(number % 4).expect("small")];
            run(self.service.save(version(key, number / 4), Status::Running)).expect("saved");
            for status in [Status::Paused, Status::Running] {
                run(self.service.set_status(KEYS[0], status)).expect("set");
            }
            self.clock.set(self.clock.now() + Span::from_millis(seed.child(number).0 % 1_800_000));
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// What people see must never fall apart, whatever goes on meanwhile.
    fn read(&self) {
        while self.writing.load(Ordering::Relaxed) {
            for key in KEYS {
                let report = self.service.report(key).expect("there");
                assert!(report.totals.variations.iter().all(|v| v.exposures <= report.totals.exposures), "{report:?}");
                self.reports.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn play(&self, seed: Seed) {
        std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..WRITERS).map(|writer| scope.spawn(move || self.write(seed.child(writer)))).collect();
            let others = [scope.spawn(move || self.change(seed.child(WRITERS))), scope.spawn(move || self.read())];
            let written: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            self.writing.store(false, Ordering::Relaxed);
            let joined = written.into_iter().chain(others.map(std::thread::ScopedJoinHandle::join));
            assert!(joined.filter(Result::is_err).count() == 0, "a thread failed; seed {}", seed.0);
        });
    }
}

/// As rows of a store are.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn state(engine: &Engine) -> Rows {
    let rows = engine.state().iter().map(record::encode_state).collect::<Vec<_>>();
    rows.into_iter().map(|row| (row.key, row.value.expect("a state has a value"))).collect()
}

/// One thread, the blocks, and nothing else: no row that is there already, no committer's code.
fn replayed(store: &dyn Store) -> (Rows, Rows, Vec<LedgerEntry>) {
    let engine = Engine::new(Secret::new([0; 32]), 0);
    let mut rows = Rows::new();
    let mut facts: BTreeMap<DecisionId, Vec<LedgerEntry>> = BTreeMap::new();
    let mut assignments: BTreeMap<VisitorToken, Vec<AssignmentEntry>> = BTreeMap::new();
    for block in store.blocks(1) {
        let block = block.expect("whole");
        for (index, event) in (0..).zip(record::decode_events(block.payload())) {
            let event = event.expect("whole");
            let known = match event.asks() {
                Asked::Decision(decision) => {
                    Known { facts: facts.get(&decision).cloned().unwrap_or_default(), ..Known::default() }
                }
                Asked::Visitor(_, visitor) => {
                    Known { assignments: assignments.get(&visitor).cloned().unwrap_or_default(), ..Known::default() }
                }
                Asked::Nothing => Known::default(),
            };
            let position = Position { block: block.number(), index };
            let judgement = judge(&event, position, &known);
            let mut jobs = Vec::new();
            engine.apply(&event, &judgement, &mut jobs);
            jobs.iter().for_each(|job| engine.abandon(job));
            let mut left = Vec::new();
            event.leaves(position, &judgement, &mut left);
            let mut written = Vec::new();
            for remembered in left {
                record::encode_remembered(&remembered, &mut written);
                match remembered {
                    Remembered::Fact(entry) => facts.entry(entry.decision).or_default().push(entry),
                    Remembered::Assignment(entry) => assignments.entry(entry.visitor).or_default().push(entry),
                    Remembered::Alias(_) | Remembered::Erased { .. } => panic!("nobody is joined or erased here"),
                }
            }
            rows.extend(written.into_iter().map(|row| (row.key, row.value.expect("a row has a value"))));
        }
    }
    (state(&engine), rows, facts.into_values().flatten().collect())
}

fn check(site: &Site, at_rest: impl FnOnce() -> Arc<dyn Store>, name: &str) {
    site.service.stop();
    let live = state(site.service.engine());
    let store = at_rest();
    let (state_again, assignments_again, facts_again) = replayed(&*store);
    assert!(live.len() > 8, "{name}: only {} rows of state", live.len());
    for (key, value) in &live {
        let again = state_again.get(key);
        assert_eq!(again, Some(value), "{name}: row {} of the state", String::from_utf8_lossy(key));
    }
    assert_eq!(live.len(), state_again.len(), "{name}: rows of the state");
    let assignments: Rows =
        store.rows(Space::Assignment, &[], None, usize::MAX).expect("readable").into_iter().collect();
    assert!(
        assignments == assignments_again,
        "{name}: {} assignments, replayed {}",
        assignments.len(),
        assignments_again.len()
    );
    let mut facts = Vec::new();
    each_fact(&*store, |entry| facts.push(entry)).expect("readable");
    assert!(facts == facts_again, "{name}: {} facts, replayed {}", facts.len(), facts_again.len());
    let verified = verify(&*store, &mut |_| {}).expect("readable");
    assert!(verified.passed(), "{name}: {:#?}", verified.differences);
    let outcomes = site.outcomes.lock().expect("whole");
    let reports = site.reports.load(Ordering::Relaxed);
    println!("{name}: {} events in {} blocks, {reports} reports, {outcomes:?}", verified.events, verified.head);
    for rare in ["activate Recorded", "activate Repeated", "Reward Repeated", "Amend Recorded", "Retract Recorded"] {
        assert!(outcomes.get(rare).is_some_and(|count| *count > 5), "{name}: too few of {rare:?}: {outcomes:?}");
    }
    assert!(reports > 3 && verified.events > WRITERS * STEPS, "{name}: the test tested little");
}

/// So many seeds; the actions repeat with a seed, their interleaving does not.
fn seeds() -> impl Iterator<Item = (Seed, String)> {
    (1..=2).map(|seed| (Seed(seed), format!("seed {seed}")))
}

#[test]
fn what_many_threads_did_is_what_one_thread_replays() {
    for (seed, name) in seeds() {
        let inner = Arc::new(MemoryStore::new());
        let site = Site::on(Arc::new(FaultyStore::new(inner.clone())));
        site.play(seed);
        check(&site, || inner, &format!("memory, {name}"));
    }
}

fn on_disk(directory: &Path) -> Arc<dyn Store> {
    Arc::new(DiskStore::open(directory, DiskOptions::default()).expect("it opens").store)
}

#[test]
fn what_many_threads_did_on_disk_is_what_one_thread_replays() {
    let (seed, name) = seeds().next().expect("there is one");
    let directory = tempfile::tempdir().expect("a directory");
    let site = Site::on(on_disk(directory.path()));
    site.play(seed);
    check(&site, || on_disk(directory.path()), &format!("disk, {name}"));
}
