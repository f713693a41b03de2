//! A small site for tests: a service on a store in memory, a clock that stands until it is moved, visitors of two devices.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Context, ExperimentKey, GoalKey, Seed, Span, Timestamp, Value, VariationKey};
use crate::engine::definition::*;
use crate::engine::reward::{Action, Reward};
use crate::engine::secret::Secret;
use crate::policy::Parameters;
use crate::service::clock::ManualClock;
use crate::service::decide::Query;
use crate::service::retention::Retention;
use crate::service::reward::Subject;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;
use crate::store::{CheckpointKind, Store};

pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) struct Site {
    pub(crate) service: Service,
    clock: Arc<ManualClock>,
    visitors: u64,
    /// Receipts of which a reward was acknowledged.
    pub(crate) rewarded: Vec<String>,
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

impl Site {
    /// On a store that may hold an earlier life of it.
    pub(crate) fn on(store: Arc<dyn Store>, at: Timestamp) -> Self {
        Self::keeping(store, at, Retention::default())
    }

    /// The same with a bound of its own for the journal.
    pub(crate) fn keeping(store: Arc<dyn Store>, at: Timestamp, retention: Retention) -> Self {
        let clock = Arc::new(ManualClock::new(at));
        let options = Options {
            commit_interval: Duration::from_millis(1),
            checkpoint_interval: Duration::from_millis(5),
            retention,
            ..Options::default()
        };
        let service = Service::start(store, Secret::new([5; 32]), 6, Arc::clone(&clock) as _, options).expect("starts");
        Self { service, clock, visitors: 0, rewarded: Vec::new() }
    }

    /// Saves an experiment that pools as it is told.
    pub(crate) fn save(&self, key: &str, pooling: &str) {
        let variations =
            ["plain", "bold", "loud"].map(|key| Variation::new(VariationKey::new(key).expect("a key"), "1"));
        let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
        let parameters = Parameters::new().with("pooling", crate::policy::Parameter::Text(pooling.into()));
        let parameters = crate::policy::with_defaults("thompson", &parameters, 3).expect("allowed");
        let policy = PolicyChoice::new("thompson", parameters);
        let device = crate::domain::AttributeName::new("device").expect("a name");
        let definition = Definition {
            segments: Segments::By(vec![device]),
            ..Definition::new(ExperimentKey::new(key).expect("a key"), variations.to_vec(), vec![goal], policy)
        };
        run(self.service.save(definition, Status::Running)).expect("saved");
    }

    /// So many visitors, one after the other; every one is committed before the next. Some convert.
    pub(crate) fn visit(&mut self, key: &str, count: u64) {
        for _ in 0..count {
            self.visitors += 1;
            let seed = Seed(9).child(self.visitors);
            let mut context = Context::new();
            let device = if seed.0.is_multiple_of(3) { "mobile" } else { "desktop" };
            assert!(context.insert("device".into(), Value::Text(device.into())), "there is room for one");
            let query = Query::new(key, None, &context);
            let answer = run(self.service.decide(&query)).expect("there is an experiment");
            let receipt = answer.receipt.clone().expect("recorded");
            let rate = [0.05, 0.2, 0.4][answer.variation];
            let value = if seed.child(1).uniform() < rate { 1.0 } else { 0.0 };
            let reward = Reward {
                action: Action::Reward,
                goal: None,
                value: Some(value),
                currency: None,
                reward_id: None,
                occurred_at: None,
            };
            run(self.service.reward(Subject::Receipt(&receipt), &reward)).expect("recorded");
            self.rewarded.push(receipt);
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        use crate::service::clock::Clock as _;
        self.clock.now()
    }

    pub(crate) fn pass(&self, span: Span) {
        self.set(self.now() + span);
    }

    pub(crate) fn set(&self, at: Timestamp) {
        self.clock.set(at);
    }

    /// What it reports, and what it would report after a restart.
    pub(crate) fn totals(&self, key: &str) -> String {
        self.settle();
        format!("{:?}", self.service.report(key).expect("there").totals)
    }

    /// Waits until nothing is being computed in the background: several looks, for one thing asks for the next.
    fn settle(&self) {
        let mut quiet = 0;
        for _ in 0..5_000 {
            let computing = self.service.experiments().iter().any(|experiment| {
                let active = experiment.active_full();
                active.current().pool.is_fitting() || active.segments().iter().any(|part| part.tallies().refreshing)
            });
            quiet = if computing { 0 } else { quiet + 1 };
            if quiet == 4 {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("it never came to rest");
    }

    /// Stops it and opens its store again, for whoever looks at it at rest.
    pub(crate) fn rest(self, store: &MemoryStore) -> Timestamp {
        let now = self.now();
        self.service.stop();
        store.reopen();
        now
    }

    /// Waits until everything that was committed is in the current checkpoint.
    pub(crate) fn checkpointed(&self, store: &dyn Store) {
        for _ in 0..2_000 {
            if store.load_checkpoint(CheckpointKind::Current).is_ok_and(|saved| saved.block == store.head().number) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("no checkpoint caught up");
    }
}
