//! The one writer: takes waiting events, writes them as blocks with their ledger rows in one synced batch, applies them in
//! that order, answers whoever waits. Between commits it saves checkpoints. After a failure it asks the store what survived
//! before it tries again (`committer/doubt.rs`).

mod channel;
mod doubt;
mod draft;
mod exposures;
mod forgetting;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::engine::Engine;
use crate::engine::ledger::Judgement;
use crate::engine::refresh::RefreshJob;
use crate::service::Options;
pub(crate) use crate::service::committer::channel::{Exit, Room};
use crate::service::committer::doubt::Doubt;
use crate::service::committer::draft::{Draft, Memory};
pub use crate::service::committer::queue::Pending;
pub(crate) use crate::service::committer::queue::{
    Beside, Committed, Due, Inbox, Jobs, Next, Passing, Queue, SharedPending, Told, Waiting,
};
use crate::service::counts::{Counts, moment};
use crate::service::error::CommitError;
use crate::service::health::Health;
use crate::service::spans::Fact;
use crate::service::visitors::Visitors;
use crate::store::record;
use crate::store::{CheckpointKind, StateRow, Store, StoreError};

/// Most events of one commit where somebody waits, but for what its first and its last request bring together: bounds the time that a lone reward
/// waits for those beside it.
const MAX_BATCH: usize = 4_096;
/// The same where nobody waits and requests are [batches](BATCHES): what a commit takes whatever it holds, a sync and pages of the database, is
/// then a good part of a decision. Whoever comes to wait meanwhile waits for it.
const MAX_BATCH_OF_BATCHES: usize = 16_384;
/// Room that is kept from one commit to the next: for a batch and what a request brings together, so that none grows.
const KEPT_EVENTS: usize = 2 * MAX_BATCH;
/// So many events are committed before their interval is over, though nobody waits for them: where there is one core, requests stand still for
/// as long as a commit is worked on.
const ENOUGH: usize = 512;
/// Where so many events come at once on average, requests are batches. Each of these takes longer than a commit keeps it from being worked
/// on: then more are committed together, and what the store puts off waits until there is much of it, which costs less.
const BATCHES: usize = 4;
/// What they are given between what the store had put off and the commit that follows, whoever comes to wait meanwhile.
const BREATH: Duration = Duration::from_millis(1);

/// How many events a batch has.
fn events(batch: &[Passing]) -> usize {
    batch.iter().map(Passing::events).sum()
}

/// What a committer shares with those who read.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) health: Arc<Health>,
    pub(crate) visitors: Arc<Visitors>,
    pub(crate) counts: Arc<Counts>,
}

pub(crate) struct Committer<I: Inbox = Exit, J: Jobs = Sender<Due>> {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    events: I,
    jobs: J,
    health: Arc<Health>,
    visitors: Arc<Visitors>,
    counts: Arc<Counts>,
    options: Options,
    memory: Memory,
    /// Rows of a checkpoint that could not be saved yet.
    unsaved: BTreeMap<Vec<u8>, StateRow>,
    last_checkpoint: Instant,
    doubt: Doubt,
    /// When the store last refused.
    failed_at: Option<Instant>,
    /// Whether the last batch was as large as one may be: then more is there already.
    full: bool,
    /// Whether what the last commit wrote came in batches, how many waited for it, whether most of what it wrote nobody waited for, and how long it took.
    in_batches: bool,
    answered: usize,
    flowing: bool,
    took: Duration,
}

impl<I: Inbox, J: Jobs> Committer<I, J> {
    pub(crate) fn new(shared: Shared, events: I, jobs: J, options: Options) -> Self {
        let Shared { engine, store, health, visitors, counts } = shared;
        Self {
            engine,
            store,
            events,
            jobs,
            health,
            visitors,
            counts,
            options,
            memory: Memory::default(),
            unsaved: BTreeMap::new(),
            last_checkpoint: moment(),
            doubt: Doubt::default(),
            failed_at: None,
            full: false,
            in_batches: false,
            answered: 0,
            flowing: false,
            took: Duration::ZERO,
        }
    }

    /// Runs until its queue is told to stop, and all that was taken by then is committed.
    pub(crate) fn run(mut self) {
        let mut due = Vec::new();
        self.engine.due(&mut due);
        self.hand_out(due);
        // What is carried over from a commit that failed, and what comes. One piece of memory for all batches, as for judgements.
        let mut batch: Vec<Passing> = Vec::new();
        let mut stopping = false;
        while !stopping {
            stopping = self.gather(&mut batch);
            // An empty commit asks a store that refused whether it records again.
            if !batch.is_empty() || self.health.failing() || self.doubt.open {
                batch = self.commit(batch);
            }
            if self.last_checkpoint.elapsed() >= self.options.checkpoint_interval {
                self.checkpoint();
            }
        }
        if !batch.is_empty() || self.doubt.open {
            // The last chance, however lately it was refused.
            self.failed_at = None;
            batch = self.commit(batch);
        }
        let lost = batch.iter().map(|passing| passing.exposures() as u64).sum::<u64>() + self.doubt.exposures();
        if lost > 0 {
            self.health.count_lost(lost);
            tracing::error!(exposures = lost, "answered exposures could not be recorded before the end");
        }
        self.checkpoint();
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the store did not close");
        }
    }

    /// Fills the batch: at once if somebody waits or [`ENOUGH`] are there, or in batches [`MAX_BATCH_OF_BATCHES`], else for a commit interval, so that exposures share a sync. Says
    /// whether nothing more will come.
    fn gather(&mut self, batch: &mut Vec<Passing>) -> bool {
        let dozes = !std::mem::take(&mut self.full);
        let idle = if self.health.failing() { self.options.retry_interval } else { Duration::from_millis(250) };
        match self.events.next(batch, moment() + idle) {
            Next::Came => {}
            Next::Nothing => return false,
            Next::Closed => return true,
        }
        let awaited = batch.last().is_some_and(Passing::is_awaited);
        let unawaited = !awaited && self.answered == 0;
        let most = if self.in_batches && unawaited { MAX_BATCH_OF_BATCHES } else { MAX_BATCH };
        let enough = if self.in_batches { most } else { ENOUGH };
        self.events.call_at(enough);
        if !awaited && dozes && self.events.waiting() < enough {
            self.events.doze(moment() + self.options.commit_interval);
        }
        if unawaited && !self.in_batches {
            self.tidy();
        }
        self.linger();
        self.events.attend();
        let before = events(batch);
        // What is carried does not count: else a store that refuses would keep the queue from ever being read.
        let closed = self.events.take(batch, most);
        self.full = events(batch) >= before + most;
        closed
    }

    /// Lets the store do what it has put off, where nobody waits: not together with a commit, so that requests which share a core with both
    /// do not stand still for both.
    fn tidy(&self) {
        if self.health.failing() {
            return;
        }
        match self.store.tidy() {
            Ok(false) => {}
            Ok(true) => std::thread::sleep(BREATH),
            // What was recorded stays recorded; the commit that follows meets the same trouble.
            Err(error) => tracing::warn!(%error, "the store could not do what it had put off"),
        }
    }

    /// Whoever was answered last is about to come again, and a commit costs nearly the same for one as for all of them: gives them as
    /// long as the last commit took, or until half of them are there. Half, since with all of them in one commit nobody would be left
    /// whose request could be worked on while it is synced. Whoever was alone is not waited for. Where more is written than is waited
    /// for, others who will wait come all the while, and each commit for a few of them keeps all from being answered: it takes a third
    /// of the time at most, or what [`ENOUGH`] take.
    fn linger(&self) {
        let (patience, enough) =
            if self.flowing { (self.took * 2, ENOUGH) } else { (self.took, self.answered.div_ceil(2)) };
        if self.answered > 1 {
            let until = moment() + patience.min(self.options.commit_interval);
            // One is taken already.
            self.events.linger(until, enough.saturating_sub(1));
        }
    }

    /// Writes, syncs, applies, answers. What nobody waits for comes back if the store refused.
    fn commit(&mut self, batch: Vec<Passing>) -> Vec<Passing> {
        let began = moment();
        if self.too_early() {
            let detail = self.health.trouble().unwrap_or_default();
            return self.refuse(batch, &StoreError::Unavailable { action: "record", detail });
        }
        let mut batch: Vec<Passing> = match self.resolve() {
            Ok(again) if again.is_empty() => batch,
            // What failed before goes first.
            Ok(again) => again.into_iter().chain(batch).collect(),
            Err(error) => {
                self.trouble(&error);
                return self.refuse(batch, &error);
            }
        };
        let mut draft = match Draft::of(&mut batch, &*self.store, std::mem::take(&mut self.memory)) {
            Ok(draft) => draft,
            Err(error) => {
                self.trouble(&error);
                return self.refuse(batch, &error);
            }
        };
        let events = events(&batch);
        let facts = [("mabel.events", events), ("mabel.blocks", draft.blocks.len())];
        let facts = facts.map(|(name, count)| (name, Fact::Number(count as u64)));
        match self.store.append(&draft.blocks, &draft.rows) {
            Ok(()) => {
                self.counts.events.fetch_add(events as u64, Ordering::Relaxed);
                if self.health.failing() {
                    tracing::info!("the store records again");
                }
                self.health.set(None);
                self.in_batches = events > 0 && events >= BATCHES * batch.len();
                self.answered = batch.iter().filter(|passing| passing.is_awaited()).count();
                self.flowing = 2 * self.answered < events;
                self.settle(&mut batch, &mut draft.judgements);
                self.memory = draft.into_memory();
                self.took = began.elapsed();
                self.counts.commits.ended(began);
                self.counts.worked("commit", began, false, &facts);
                batch.shrink_to(KEPT_EVENTS);
                batch
            }
            Err(error) => {
                self.counts.worked("commit", began, true, &facts);
                self.doubt(batch, draft, &error)
            }
        }
    }

    /// Applies what is on disk and answers; batch and judgements are empty afterwards.
    fn settle(&self, batch: &mut Vec<Passing>, judgements: &mut Vec<Result<Judgement, CommitError>>) {
        let mut jobs = Vec::new();
        let mut applying = self.engine.applying(&mut jobs);
        let mut ratios = self.counts.sample_ratios.looking();
        for (passing, judgement) in batch.iter().zip(&*judgements) {
            let Ok(judgement) = judgement else { continue };
            match passing {
                Passing::One(Waiting { event, .. }) => {
                    applying.apply(event, judgement);
                    self.visitors.saw(event, judgement);
                    ratios.saw(event, judgement);
                }
                Passing::Exposures(exposures) => {
                    // What becomes due is computed from what all of them left, and not from those of one variation.
                    exposures.for_each_kind(|record, times, is_last| {
                        if is_last {
                            applying.expose(record);
                        } else {
                            applying.count_exposures(record, times);
                        }
                        ratios.saw_exposures(record, times);
                    });
                }
            }
        }
        drop(ratios);
        // All at once, when all is applied: whoever waits for several is then woken once and not for each, which costs more than
        // all the rest of a reward.
        for (passing, judgement) in batch.iter_mut().zip(&*judgements) {
            if let Passing::One(Waiting { event, reply, .. }) = passing
                && let Some(reply) = reply.take()
            {
                // Whoever waited may have gone; the event is recorded all the same.
                let _ = reply.send(judgement.as_ref().map(|it| Committed::of(event, it)).map_err(Clone::clone));
            }
        }
        batch.clear();
        judgements.clear();
        self.hand_out(jobs);
    }

    fn hand_out(&self, jobs: Vec<RefreshJob>) {
        for job in jobs {
            if let Err(job) = self.jobs.offer(job) {
                self.engine.abandon(&job);
            }
        }
    }

    fn checkpoint(&mut self) {
        self.last_checkpoint = moment();
        let changes = self.engine.changes();
        let saved = changes.records.iter().map(record::encode_state);
        for row in saved.chain(changes.gone.iter().map(record::encode_gone)) {
            self.unsaved.insert(row.key.clone(), row);
        }
        if self.unsaved.is_empty() || self.doubt.open {
            return;
        }
        let rows: Vec<StateRow> = self.unsaved.values().cloned().collect();
        match self.store.save_checkpoint(CheckpointKind::Current, self.store.head().number, &rows) {
            Ok(()) => self.unsaved.clear(),
            Err(error) => {
                self.doubt.open = true;
                tracing::error!(%error, "a checkpoint could not be saved; the journal still holds everything");
                return;
            }
        }
        self.forget();
    }
}

impl<I: Inbox, J: Jobs> Drop for Committer<I, J> {
    /// However it ends, even by a bug: from here on nothing is recorded, and `/readyz` says so.
    fn drop(&mut self) {
        self.health.set(Some("the committer has ended".into()));
    }
}

#[cfg(test)]
mod lingering;
#[cfg(test)]
mod model;
