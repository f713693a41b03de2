//! The way to the committer and its end. What passes through is said by small traits, so that the same code runs over real channels
//! and over those of a model whose interleavings a seed chooses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::engine::event::Event;
use crate::engine::ledger::{Judgement, Outcome, Standing};
use crate::engine::refresh::RefreshJob;
use crate::service::committer::{ENOUGH, MAX_BATCH};
use crate::service::counts::moment;
use crate::service::error::CommitError;
use crate::service::health::Health;
use crate::store::record::EncodedCompanion;
use crate::store::record::profile::EncodedProfile;

/// What whoever waited is told: no more of the judgement, which would be copied and freed by another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether a reward counts.
    pub standing: Standing,
}

/// What was recorded.
pub(crate) struct Committed {
    /// The event, of those that the writer had something to fill in.
    pub(crate) filled: Option<Event>,
    told: Told,
}

impl Committed {
    pub(super) fn of(event: Event, judgement: &Judgement) -> Self {
        let filled = matches!(event, Event::Aliased(_) | Event::VisitorErased(_)).then_some(event);
        Self { filled, told: Told { outcome: judgement.outcome, standing: judgement.standing } }
    }
}

/// What is kept beside an event and no replay looks at.
pub(crate) enum Beside {
    /// Who a decision was for, and what was known of the visitor.
    Companion(EncodedCompanion),
    /// What a profile says that was saved.
    Profile(EncodedProfile),
}

/// An event on its way.
pub(crate) struct Waiting {
    pub(super) event: Event,
    pub(super) beside: Option<Beside>,
    /// Who waits until it is durable and applied.
    pub(super) reply: Option<oneshot::Sender<Result<Committed, CommitError>>>,
}

/// Why nothing was taken.
pub(crate) enum Untaken {
    Full,
    /// The other end is gone.
    Gone,
}

/// Where requests put events: bounded.
pub(crate) trait Outbox {
    fn try_send(&self, waiting: Waiting) -> Result<(), Untaken>;
    /// Waits for room; `false` if the other end is gone.
    fn send(&self, waiting: Waiting) -> bool;
}

/// What the committer finds.
#[expect(clippy::large_enum_variant, reason = "it is looked at and gone; a box would cost every event an allocation")]
pub(crate) enum Next {
    Event(Waiting),
    Nothing,
    /// And nothing more will come: every [`Outbox`] is gone, and all that they took has been found.
    Closed,
}

/// Where the committer finds events, in the order in which they were taken.
pub(crate) trait Inbox {
    /// The next one; waits for it until a deadline.
    fn next(&self, deadline: Instant) -> Next;

    /// Takes what is there, until a batch has so many; says whether nothing more will come.
    fn take(&self, batch: &mut Vec<Waiting>, most: usize) -> bool;

    /// Sleeps until a moment, but not longer than until somebody waits for an answer, [`ENOUGH`] are there, or nothing more will come.
    /// Whoever came since [`Self::attend`] is seen.
    fn doze(&self, until: Instant);

    /// Sleeps until a moment, but not longer than until so many are there, or [`ENOUGH`], or nothing more will come.
    fn linger(&self, until: Instant, enough: usize);

    /// Forgets who waits for an answer: all that came before is about to be taken.
    fn attend(&self);

    /// About how many are there.
    fn waiting(&self) -> usize;
}

/// Where the committer puts what is due to be computed: bounded, and it never waits.
pub(crate) trait Jobs {
    /// Hands it over, or back.
    fn offer(&self, job: RefreshJob) -> Result<(), RefreshJob>;
}

/// However few are there: it may have been taken already when its sender looks.
const AT_ONCE: usize = 0;

/// The near end of a real channel. An event that nobody waits for wakes nobody, unless [`ENOUGH`] are there: else each would cost the
/// request a system call.
pub(crate) struct Entrance {
    events: Sender<Waiting>,
    /// Rung where somebody waits for an answer, and where [`ENOUGH`] are there, however long a doze may be; holds one ring.
    bell: Sender<()>,
    /// How many must be there before it rings for somebody who waits.
    enough: Arc<AtomicUsize>,
}

/// Its far end.
pub(crate) struct Exit {
    events: Receiver<Waiting>,
    bell: Receiver<()>,
    enough: Arc<AtomicUsize>,
}

impl Entrance {
    fn came(&self, awaited: bool) {
        let enough = if awaited { self.enough.load(Ordering::SeqCst).min(MAX_BATCH) } else { ENOUGH };
        if self.events.len() < enough {
            return;
        }
        // Full: it has rung already. The other end gone: nobody to wake.
        let _ = self.bell.try_send(());
    }
}

impl Outbox for Entrance {
    fn try_send(&self, waiting: Waiting) -> Result<(), Untaken> {
        let awaited = waiting.reply.is_some();
        self.events.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => Untaken::Full,
            TrySendError::Disconnected(_) => Untaken::Gone,
        })?;
        self.came(awaited);
        Ok(())
    }

    fn send(&self, waiting: Waiting) -> bool {
        let awaited = waiting.reply.is_some();
        let taken = self.events.send(waiting).is_ok();
        self.came(awaited);
        taken
    }
}

impl Inbox for Exit {
    fn next(&self, deadline: Instant) -> Next {
        match self.events.recv_deadline(deadline) {
            Ok(waiting) => Next::Event(waiting),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn take(&self, batch: &mut Vec<Waiting>, most: usize) -> bool {
        while batch.len() < most {
            match self.events.try_recv() {
                Ok(waiting) => batch.push(waiting),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    fn doze(&self, until: Instant) {
        // However it ends, what is there is taken next.
        let _ = self.bell.recv_deadline(until);
    }

    fn linger(&self, until: Instant, enough: usize) {
        self.enough.store(enough, Ordering::SeqCst);
        self.attend();
        // Whoever comes from here on knows how many are enough.
        if self.events.len() < enough {
            self.doze(until);
        }
        self.enough.store(AT_ONCE, Ordering::SeqCst);
    }

    fn attend(&self) {
        let _ = self.bell.try_recv();
    }

    fn waiting(&self) -> usize {
        self.events.len()
    }
}

/// An allocation to be computed, and since when.
pub(crate) struct Due {
    pub(crate) job: RefreshJob,
    pub(crate) since: Instant,
}

impl Jobs for Sender<Due> {
    fn offer(&self, job: RefreshJob) -> Result<(), RefreshJob> {
        self.try_send(Due { job, since: moment() }).map_err(|refused| refused.into_inner().job)
    }
}

/// The way to the committer. Cheap to clone; never blocks a request.
pub(crate) struct Queue<O: Outbox = Entrance> {
    /// Taken away by [`Queue::stop`]: whoever is sending still holds it, so that the other end is told that nothing more will come
    /// after the last event that was taken, and not before.
    events: Arc<ArcSwapOption<O>>,
    pub(super) health: Arc<Health>,
}

impl<O: Outbox> Clone for Queue<O> {
    fn clone(&self) -> Self {
        Self { events: Arc::clone(&self.events), health: Arc::clone(&self.health) }
    }
}

impl Queue {
    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.events.load().as_ref().map_or(0, |entrance| entrance.events.len())
    }

    /// One over a real channel, and its other end.
    pub(crate) fn bounded(capacity: usize, health: Arc<Health>) -> (Self, Exit) {
        let (events, taken) = crossbeam_channel::bounded(capacity);
        let (bell, rung) = crossbeam_channel::bounded(1);
        let enough = Arc::new(AtomicUsize::new(AT_ONCE));
        let exit = Exit { events: taken, bell: rung, enough: Arc::clone(&enough) };
        (Self::new(Entrance { events, bell, enough }, health), exit)
    }
}

impl<O: Outbox> Queue<O> {
    pub(crate) fn new(events: O, health: Arc<Health>) -> Self {
        Self { events: Arc::new(ArcSwapOption::from_pointee(events)), health }
    }

    /// Hands over an event that nobody waits for.
    pub(crate) fn offer(&self, event: Event, beside: Option<Beside>) -> Result<(), CommitError> {
        self.send(Waiting { event, beside, reply: None })
    }

    /// Hands over an event; the answer comes once it is durable and applied.
    pub(crate) fn submit(&self, event: Event) -> Result<Pending, CommitError> {
        self.submit_with(event, None)
    }

    /// The same with who the event is about.
    pub(crate) fn submit_with(&self, event: Event, beside: Option<Beside>) -> Result<Pending, CommitError> {
        let (reply, pending) = oneshot::channel();
        self.send(Waiting { event, beside, reply: Some(reply) })?;
        Ok(Pending(pending))
    }

    /// Hands over an event from a background thread, waiting for room; `false` once the committer is gone or told to stop.
    pub(crate) fn push(&self, event: Event) -> bool {
        self.events.load_full().is_some_and(|events| events.send(Waiting { event, beside: None, reply: None }))
    }

    /// Takes nothing more. The committer commits what was taken, and ends.
    pub(crate) fn stop(&self) {
        self.events.store(None);
    }

    fn send(&self, waiting: Waiting) -> Result<(), CommitError> {
        let taken = self.events.load().as_ref().map_or(Err(Untaken::Gone), |events| events.try_send(waiting));
        taken.map_err(|untaken| match untaken {
            Untaken::Full => CommitError::Overloaded,
            Untaken::Gone => {
                CommitError::Unavailable(self.health.trouble().unwrap_or_else(|| "the server is stopping".into()))
            }
        })
    }
}

/// A commit under way.
pub struct Pending(oneshot::Receiver<Result<Committed, CommitError>>);

/// One that several wait for.
pub(crate) type SharedPending = Shared<BoxFuture<'static, Result<Told, CommitError>>>;

impl Pending {
    /// Waits for it.
    ///
    /// # Errors
    /// If it could not be recorded: then nothing was.
    pub async fn done(self) -> Result<Told, CommitError> {
        self.committed().await.map(|committed| committed.told)
    }

    /// The same for several.
    pub(crate) fn shared(self) -> SharedPending {
        self.done().boxed().shared()
    }

    /// The same, and what was recorded.
    pub(crate) async fn committed(self) -> Result<Committed, CommitError> {
        self.0.await.unwrap_or_else(|_| Err(CommitError::Unavailable("the server is stopping".into())))
    }

    /// The same on a background thread, which it blocks.
    pub(crate) fn wait(self) -> Result<Told, CommitError> {
        let committed = self.0.blocking_recv();
        committed
            .unwrap_or_else(|_| Err(CommitError::Unavailable("the server is stopping".into())))
            .map(|committed| committed.told)
    }

    /// The answer if it is there.
    #[cfg(test)]
    pub(crate) fn answered(&mut self) -> Option<Result<Told, CommitError>> {
        use tokio::sync::oneshot::error::TryRecvError;
        match self.0.try_recv() {
            Ok(answer) => Some(answer.map(|committed| committed.told)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(CommitError::Unavailable("the server is stopping".into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Who wakes the committer.

    use super::*;
    use crate::domain::{ExperimentKey, Timestamp};

    fn event() -> Event {
        Event::ExperimentDeleted {
            experiment: ExperimentKey::new("hero").expect("a key"),
            at: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn who_lingers_is_woken_once_and_by_the_last_of_those_it_waits_for() {
        let (queue, exit) = Queue::bounded(9, Arc::default());
        let _first = queue.submit(event()).expect("room");
        exit.enough.store(3, Ordering::SeqCst);
        exit.attend();
        let _second = queue.submit(event()).expect("room");
        assert!(exit.bell.try_recv().is_err(), "one is missing");
        let _third = queue.submit(event()).expect("room");
        assert!(exit.bell.try_recv().is_ok(), "all are there");
        // They are there already: who lingers until the end of time comes back, and is woken by one alone from then on.
        exit.linger(moment() + std::time::Duration::from_secs(1 << 30), 3);
        let _fourth = queue.submit(event()).expect("room");
        assert!(exit.bell.try_recv().is_ok(), "somebody waits");
    }

    #[test]
    fn as_much_is_taken_as_a_batch_has_room_for_and_the_end_is_told_when_all_of_it_is() {
        let (queue, exit) = Queue::bounded(9, Arc::default());
        for _ in 0..5 {
            assert!(queue.offer(event(), None).is_ok());
        }
        let mut batch = Vec::new();
        assert!(!exit.take(&mut batch, 3) && batch.len() == 3);
        queue.stop();
        assert!(!exit.take(&mut batch, 4) && batch.len() == 4, "one is still there");
        assert!(exit.take(&mut batch, 9) && batch.len() == 5);
    }

    #[test]
    fn exposures_wake_nobody_until_enough_are_there_and_whoever_waits_wakes_at_once() {
        let (queue, exit) = Queue::bounded(2 * ENOUGH, Arc::default());
        for _ in 1..ENOUGH {
            assert!(queue.offer(event(), None).is_ok());
        }
        assert!(exit.bell.try_recv().is_err(), "one less than enough");
        assert!(queue.offer(event(), None).is_ok());
        assert!(exit.bell.try_recv().is_ok(), "enough");
        let (queue, exit) = Queue::bounded(2, Arc::default());
        assert!(queue.submit(event()).is_ok());
        assert!(exit.bell.try_recv().is_ok(), "somebody waits");
    }
}
