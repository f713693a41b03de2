//! Layer 6: use cases and background tasks. Request threads read the engine and enqueue; the committer alone applies.
//!
//! Invariant: the only layer with a wall clock; knows nothing of HTTP or JSON; no lock is held across an await on the way
//! of a decision or a reward.

pub mod backup;
pub mod clock;
pub mod committer;
pub mod companions;
pub mod counts;
pub mod decide;
pub mod entropy;
pub mod error;
pub mod events;
pub mod experiments;
pub mod health;
pub mod inspect;
mod judging;
pub mod ledger;
pub mod lost;
pub mod prefetch;
pub mod profiles;
pub mod rebuild;
mod recent;
pub mod recovery;
pub mod refresher;
mod replay;
pub mod report;
pub mod retention;
pub mod reward;
pub mod sample_ratio;
pub mod spans;
pub mod track;
pub mod verify;
pub mod visitor;
mod visitors;
mod watcher;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::domain::{ExperimentKey, Probability};
use crate::engine::Engine;
use crate::engine::secret::Secret;
use crate::service::clock::Clock;
use crate::service::committer::{Committer, Due, Queue, Shared};
use crate::service::counts::Counts;
use crate::service::entropy::Entropy;
use crate::service::error::StartError;
use crate::service::health::Health;
use crate::service::recent::Recent;
use crate::service::recovery::Recovered;
use crate::service::retention::{Keeper, Retention};
use crate::service::spans::Tracer;
use crate::service::visitors::Visitors;
use crate::service::watcher::Watcher;
use crate::store::Store;

/// How a service runs. The defaults suit a site.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Longest time an answered exposure waits for its sync.
    pub commit_interval: Duration,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// Time between two attempts while the store refuses.
    pub retry_interval: Duration,
    /// Most events waiting for a commit; more are refused.
    pub queue_events: usize,
    /// Most allocations waiting to be computed; more wait for their segment's next event.
    pub queue_refreshes: usize,
    /// Most visitors whose assignments are kept in memory; others are read from the store.
    pub cached_visitors: usize,
    /// Whether visitors' ids and contexts are kept beside the decisions that count.
    pub companions: bool,
    /// Share of visitors that are in the control group of every experiment.
    pub holdout: Probability,
    /// How much of the journal is kept.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_millis(20),
            checkpoint_interval: Duration::from_secs(5),
            retry_interval: Duration::from_secs(1),
            queue_events: 65_536,
            queue_refreshes: 16_384,
            cached_visitors: 65_536,
            companions: true,
            holdout: Probability::ZERO,
            retention: Retention::default(),
        }
    }
}

/// A running service: share it by [`Arc`]; [`Service::stop`] ends it in order.
pub struct Service {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    queue: Queue,
    health: Arc<Health>,
    counts: Arc<Counts>,
    /// How many allocations wait, and nothing else: what is asked goes to the refresher.
    refreshes: Receiver<Due>,
    visitors: Arc<Visitors>,
    companions: bool,
    /// Held while companions of erased visitors are taken out.
    erasing: Arc<tokio::sync::Mutex<()>>,
    recent: Recent,
    /// Changes of experiments, one at a time: each is checked against what the one before left. Not on the way of decisions.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// Refused rewards and activations since the start: by experiment, or under `None` where no experiment could be told.
    refused: Mutex<BTreeMap<Option<ExperimentKey>, u64>>,
    store: Arc<dyn Store>,
    /// Held while blocks are dropped from the journal, and by whoever needs them to stay.
    dropping: Arc<Mutex<()>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped to stop what watches experiments and keeps the journal within its bound.
    watching: Mutex<Option<Sender<()>>>,
    recovered: Recovered,
}

impl Service {
    /// Recovers what the store holds and starts the background threads. `seed` must be drawn anew for every process.
    ///
    /// # Errors
    /// If the store cannot be read, what it holds does not fit together, or a thread cannot be started.
    pub fn start(
        store: Arc<dyn Store>,
        secret: Secret,
        seed: u64,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StartError> {
        let entropy = Entropy::new(seed);
        let engine = Arc::new(Engine::new(secret, entropy.bits()).holding_out(options.holdout));
        let recovered = recovery::recover(&engine, &*store)?;
        let health = Arc::new(Health::default());
        let (queue, events) = Queue::bounded(options.queue_events, Arc::clone(&health));
        let (jobs, refreshes) = crossbeam_channel::bounded(options.queue_refreshes);
        let counts: Arc<Counts> = Arc::default();
        let visitors = Arc::new(Visitors::new(Arc::clone(&store), options.cached_visitors)?);
        let shared = Shared {
            engine: Arc::clone(&engine),
            store: Arc::clone(&store),
            health: Arc::clone(&health),
            visitors: Arc::clone(&visitors),
            counts: Arc::clone(&counts),
        };
        let committer = Committer::new(shared, events, jobs, options);
        let committing = spawn("mabel-committer", move || committer.run())?;
        let refresher = refresher::Refresher::new(refreshes.clone(), queue.clone(), Arc::clone(&counts));
        let refreshing = spawn("mabel-refresher", move || refresher.run())?;
        let changing = Arc::new(tokio::sync::Mutex::new(()));
        let (watching, stop) = crossbeam_channel::bounded(0);
        let watcher = Watcher {
            engine: Arc::clone(&engine),
            clock: Arc::clone(&clock),
            queue: queue.clone(),
            changing: Arc::clone(&changing),
            stop: stop.clone(),
        };
        let watcher = spawn("mabel-watcher", move || watcher.run())?;
        let dropping: Arc<Mutex<()>> = Arc::default();
        let keeper =
            Keeper::new(Arc::clone(&store), Arc::clone(&clock), options.retention, Arc::clone(&dropping), stop);
        let keeper = spawn("mabel-keeper", move || keeper.run())?;
        Ok(Self {
            engine,
            clock,
            entropy,
            queue,
            health,
            counts,
            refreshes,
            visitors,
            companions: options.companions,
            erasing: Arc::default(),
            recent: Recent::new(),
            changing,
            refused: Mutex::default(),
            store,
            dropping,
            threads: Mutex::new(vec![committing, refreshing, watcher, keeper]),
            watching: Mutex::new(Some(watching)),
            recovered,
        })
    }

    /// Commits everything that is queued, saves a checkpoint, closes the store and waits for the threads. Afterwards
    /// decisions answer the default, and rewards are refused. Calling it again does nothing.
    pub fn stop(&self) {
        drop(self.watching.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.queue.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a background thread had panicked; its message is above");
            }
        }
    }

    /// Forgets what has no meaning any more; to be called every second or so.
    pub fn sweep(&self) {
        self.recent.sweep(self.clock.now());
    }

    /// The state.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Whether it can record, and if not, why.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What happened since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Tells somebody of what takes time from now on; the first who is named stays.
    pub fn trace(&self, tracer: Arc<dyn Tracer>) {
        let _ = self.counts.tracer.set(tracer);
    }

    /// Who is told of what takes time, if anybody is.
    #[must_use]
    pub fn tracer(&self) -> Option<&Arc<dyn Tracer>> {
        self.counts.tracer.get()
    }

    /// Events that wait for a commit.
    #[must_use]
    pub fn waiting_events(&self) -> usize {
        self.queue.waiting()
    }

    /// Allocations that wait to be computed.
    #[must_use]
    pub fn waiting_refreshes(&self) -> usize {
        self.refreshes.len()
    }

    /// The number of the journal's newest block.
    #[must_use]
    pub fn journal_head(&self) -> u64 {
        self.store.head().number
    }

    /// What was found at the start.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    pub(crate) fn count_refused(&self, experiment: Option<ExperimentKey>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(experiment).or_default() += 1;
    }

    pub(crate) fn refused(&self, experiment: Option<&ExperimentKey>) -> u64 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(&experiment.cloned()).copied().unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("engine", &self.engine).finish_non_exhaustive()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| StartError::Thread(error.to_string()))
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
