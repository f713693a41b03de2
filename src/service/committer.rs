//! The one writer: takes waiting events, writes them as blocks with their ledger rows in one synced batch, applies them in
//! that order, answers whoever waits. Between commits it saves checkpoints. After a failure it asks the store what survived
//! before it tries again (`committer/doubt.rs`).

mod doubt;
mod draft;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::ledger::{Judgement, Outcome, Standing};
use crate::engine::refresh::RefreshJob;
use crate::service::Options;
use crate::service::committer::doubt::Doubt;
use crate::service::committer::draft::Draft;
use crate::service::error::CommitError;
use crate::service::health::Health;
use crate::store::record;
use crate::store::{CheckpointKind, Space, StateRow, Store, StoreError};

/// Most events of one commit: bounds the time a lone reward waits behind others.
const MAX_BATCH: usize = 4_096;
/// Ledger entries are kept as long as any receipt can be valid: the longest window and 90 days.
const LEDGER_SPAN: crate::domain::Span = crate::domain::Span::DAY.times(365 + 90);
/// Most ledger entries forgotten between two commits.
const FORGET_AT_ONCE: usize = 10_000;

#[expect(clippy::large_enum_variant, reason = "the small one is sent once; a box would cost every event an allocation")]
enum Message {
    Event(Event, Option<Reply>),
    Stop,
}

/// What whoever waited is told: no more of the judgement, which would be copied and freed by another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether a reward counts.
    pub standing: Standing,
}

type Reply = oneshot::Sender<Result<Told, CommitError>>;

/// The way to the committer. Cheap to clone; never blocks a request.
#[derive(Clone)]
pub struct Queue {
    messages: Sender<Message>,
    health: Arc<Health>,
}

impl Queue {
    pub(crate) fn new(capacity: usize, health: Arc<Health>) -> (Self, Events) {
        let (messages, receiver) = crossbeam_channel::bounded(capacity);
        (Self { messages, health }, Events(receiver))
    }

    /// Hands over an event that nobody waits for.
    pub(crate) fn offer(&self, event: Event) -> Result<(), CommitError> {
        self.send(Message::Event(event, None))
    }

    /// Hands over an event; the answer comes once it is durable and applied.
    pub(crate) fn submit(&self, event: Event) -> Result<Pending, CommitError> {
        let (reply, pending) = oneshot::channel();
        self.send(Message::Event(event, Some(reply)))?;
        Ok(Pending(pending))
    }

    /// Hands over an event from a background thread, waiting for room; `false` once the committer is gone.
    pub(crate) fn push(&self, event: Event) -> bool {
        self.messages.send(Message::Event(event, None)).is_ok()
    }

    /// Asks the committer to commit what is queued and end.
    pub(crate) fn stop(&self) {
        // An error means it has ended already.
        let _ = self.messages.send(Message::Stop);
    }

    fn send(&self, message: Message) -> Result<(), CommitError> {
        self.messages.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => CommitError::Overloaded,
            TrySendError::Disconnected(_) => {
                CommitError::Unavailable(self.health.trouble().unwrap_or_else(|| "the server is stopping".into()))
            }
        })
    }
}

/// The committer's end of the queue.
pub(crate) struct Events(Receiver<Message>);

/// A commit under way.
pub struct Pending(oneshot::Receiver<Result<Told, CommitError>>);

impl Pending {
    /// Waits for it.
    ///
    /// # Errors
    /// If it could not be recorded: then nothing was.
    pub async fn done(self) -> Result<Told, CommitError> {
        self.0.await.unwrap_or_else(|_| Err(CommitError::Unavailable("the server is stopping".into())))
    }

    /// The same on a background thread, which it blocks.
    pub(crate) fn wait(self) -> Result<Told, CommitError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(CommitError::Unavailable("the server is stopping".into())))
    }
}

type Waiting = (Event, Option<Reply>);

pub(crate) struct Committer {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    messages: Receiver<Message>,
    jobs: Sender<RefreshJob>,
    health: Arc<Health>,
    options: Options,
    /// Rows of a checkpoint that could not be saved yet.
    unsaved: BTreeMap<Vec<u8>, StateRow>,
    last_checkpoint: Instant,
    doubt: Doubt,
    /// When the store last refused.
    failed_at: Option<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "waits for real time to pass; no event's time comes from it")]
fn instant() -> Instant {
    Instant::now()
}

impl Committer {
    pub(crate) fn new(
        engine: Arc<Engine>,
        store: Arc<dyn Store>,
        Events(messages): Events,
        jobs: Sender<RefreshJob>,
        health: Arc<Health>,
        options: Options,
    ) -> Self {
        Self {
            engine,
            store,
            messages,
            jobs,
            health,
            options,
            unsaved: BTreeMap::new(),
            last_checkpoint: instant(),
            doubt: Doubt::default(),
            failed_at: None,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut due = Vec::new();
        self.engine.due(&mut due);
        self.hand_out(due);
        let mut carried: Vec<Waiting> = Vec::new();
        let mut stopping = false;
        while !stopping {
            let mut batch = std::mem::take(&mut carried);
            stopping = self.gather(&mut batch);
            // An empty commit asks a store that refused whether it records again.
            if !batch.is_empty() || self.health.failing() || self.doubt.open {
                carried = self.commit(batch);
            }
            if self.last_checkpoint.elapsed() >= self.options.checkpoint_interval {
                self.checkpoint();
            }
        }
        if !carried.is_empty() || self.doubt.open {
            // The last chance, however lately it was refused.
            self.failed_at = None;
            carried = self.commit(carried);
        }
        let lost = carried.iter().filter(|(event, _)| matches!(event, Event::Exposed(_))).count() as u64;
        let lost = lost + self.doubt.exposures();
        if lost > 0 {
            self.health.count_lost(lost);
            tracing::error!(exposures = lost, "answered exposures could not be recorded before the end");
        }
        self.checkpoint();
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the store did not close");
        }
    }

    /// Fills the batch: at once if somebody waits, else for a commit interval, so that exposures share a sync. Says
    /// whether to stop after it.
    fn gather(&self, batch: &mut Vec<Waiting>) -> bool {
        let idle = if self.health.failing() { self.options.retry_interval } else { Duration::from_millis(250) };
        let mut deadline = instant() + idle;
        let mut awaited = false;
        let mut first = true;
        // What is carried does not count: else a store that refuses would keep the queue from ever being read.
        let most = batch.len() + MAX_BATCH;
        // What waits already is most of what comes: a batch that grows is copied again and again.
        batch.reserve(self.messages.len().min(MAX_BATCH));
        while batch.len() < most {
            let message = if awaited {
                match self.messages.try_recv() {
                    Ok(message) => message,
                    Err(_) => return false,
                }
            } else {
                match self.messages.recv_deadline(deadline) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => return false,
                    Err(RecvTimeoutError::Disconnected) => return true,
                }
            };
            match message {
                Message::Event(event, reply) => {
                    awaited |= reply.is_some();
                    batch.push((event, reply));
                }
                Message::Stop => {
                    // What was queued behind the stop was accepted too.
                    while let Ok(Message::Event(event, reply)) = self.messages.try_recv() {
                        batch.push((event, reply));
                    }
                    return true;
                }
            }
            if first {
                first = false;
                deadline = instant() + self.options.commit_interval;
            }
        }
        false
    }

    /// Writes, syncs, applies, answers. What nobody waits for comes back if the store refused.
    fn commit(&mut self, batch: Vec<Waiting>) -> Vec<Waiting> {
        if self.too_early() {
            let detail = self.health.trouble().unwrap_or_default();
            return self.refuse(batch, &StoreError::Unavailable { action: "record", detail });
        }
        let batch: Vec<Waiting> = match self.resolve() {
            Ok(again) if again.is_empty() => batch,
            // What failed before goes first.
            Ok(again) => again.into_iter().chain(batch).collect(),
            Err(error) => {
                self.trouble(&error);
                return self.refuse(batch, &error);
            }
        };
        let draft = match Draft::of(&batch, &*self.store) {
            Ok(draft) => draft,
            Err(error) => {
                self.trouble(&error);
                return self.refuse(batch, &error);
            }
        };
        match self.store.append(&draft.blocks, &draft.rows) {
            Ok(()) => {
                if self.health.failing() {
                    tracing::info!("the store records again");
                }
                self.health.set(None);
                self.settle(batch, draft.judgements);
                Vec::new()
            }
            Err(error) => self.doubt(batch, draft, &error),
        }
    }

    fn settle(&self, batch: Vec<Waiting>, judgements: Vec<Result<Judgement, CommitError>>) {
        let mut jobs = Vec::new();
        for ((event, _), judgement) in batch.iter().zip(&judgements) {
            if let Ok(judgement) = judgement {
                self.engine.apply(event, judgement, &mut jobs);
            }
        }
        // All at once, when all is applied: whoever waits for several is then woken once and not for each, which costs more than
        // all the rest of a reward.
        for ((_, reply), judgement) in batch.into_iter().zip(judgements) {
            if let Some(reply) = reply {
                // Whoever waited may have gone; the event is recorded all the same.
                let _ = reply.send(judgement.map(|Judgement { outcome, standing, .. }| Told { outcome, standing }));
            }
        }
        self.hand_out(jobs);
    }

    fn hand_out(&self, jobs: Vec<RefreshJob>) {
        for job in jobs {
            if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.jobs.try_send(job) {
                self.engine.abandon(&job);
            }
        }
    }

    fn checkpoint(&mut self) {
        self.last_checkpoint = instant();
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

    /// Forgets what no receipt can ask for any more. Measured by the newest decision, so that it needs no clock.
    fn forget(&mut self) {
        let newest = self.engine.experiments().iter().map(|experiment| experiment.newest_decision()).max();
        let Some(before) = newest.map(|newest| newest.minus(LEDGER_SPAN)) else { return };
        let below = record::ledger_key_at(before);
        // A page reaches up to the next one: of those that begin before, the last may hold what can still be asked for.
        let forgotten = self.store.place(Space::LedgerPage, &below).and_then(|place| match place.row {
            Some((last, _)) => self.store.forget(Space::LedgerPage, &last, FORGET_AT_ONCE),
            None => Ok(0),
        });
        let single = self.store.forget(Space::Ledger, &below, FORGET_AT_ONCE);
        if let Err(error) = forgotten.and(single) {
            self.doubt.open = true;
            tracing::warn!(%error, "old ledger entries could not be forgotten");
        }
    }
}

impl Drop for Committer {
    /// However it ends, even by a bug: from here on nothing is recorded, and `/readyz` says so.
    fn drop(&mut self) {
        self.health.set(Some("the committer has ended".into()));
    }
}
