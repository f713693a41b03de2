//! The way to the committer and its end. What passes through is said by small traits, so that the same code runs over real channels
//! and over those of a model whose interleavings a seed chooses.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use crossbeam_channel::Sender;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;

use crate::engine::event::Event;
use crate::engine::ledger::{Judgement, Outcome, Standing};
use crate::engine::refresh::RefreshJob;
use crate::service::committer::channel::{self, Entrance, Exit, Room};
use crate::service::committer::exposures::Exposures;
use crate::service::counts::moment;
use crate::service::error::CommitError;
use crate::service::health::Health;
use crate::store::record::profile::EncodedProfile;
use crate::store::record::{About, EncodedCompanion};

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
    pub(super) fn of(event: &Event, judgement: &Judgement) -> Self {
        let filled = matches!(event, Event::Aliased(_) | Event::VisitorErased(_)).then(|| event.clone());
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

impl From<About<'_>> for Beside {
    fn from(about: About<'_>) -> Self {
        Self::Companion(about.into())
    }
}

/// An event on its way.
pub(crate) struct Waiting {
    pub(super) event: Event,
    pub(super) beside: Option<Beside>,
    /// Who waits until it is durable and applied.
    pub(super) reply: Option<Reply>,
}

/// What comes to the committer at once.
pub(crate) enum Passing {
    One(Waiting),
    Exposures(Exposures),
}

impl Passing {
    /// How many events it is.
    pub(super) fn events(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Exposures(exposures) => exposures.count(),
        }
    }

    /// How many of them are exposures.
    pub(super) fn exposures(&self) -> usize {
        match self {
            Self::One(waiting) => usize::from(matches!(waiting.event, Event::Exposed(_))),
            Self::Exposures(exposures) => exposures.count(),
        }
    }

    /// Gives back memory where much is not needed: how many events there may be bounds it.
    pub(super) fn without_room(mut self) -> Self {
        if let Self::Exposures(exposures) = &mut self {
            exposures.give_back_room();
        }
        self
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::One(waiting) if waiting.reply.is_some())
    }

    /// Who waits for it: is told and waits no more.
    pub(super) fn take_reply(&mut self) -> Option<Reply> {
        match self {
            Self::One(waiting) => waiting.reply.take(),
            Self::Exposures(_) => None,
        }
    }
}

/// The way back to whoever waits.
pub(crate) type Reply = oneshot::Sender<Result<Committed, CommitError>>;

/// Why nothing was taken.
pub(crate) enum Untaken {
    Full,
    /// The other end is gone.
    Gone,
}

impl Untaken {
    /// As whoever brought the event is told.
    pub(super) fn told(self, health: &Health) -> CommitError {
        match self {
            Self::Full => CommitError::Overloaded,
            Self::Gone => CommitError::Unavailable(health.trouble().unwrap_or_else(|| "the server is stopping".into())),
        }
    }
}

/// Where requests put events: bounded.
pub(crate) trait Outbox {
    fn try_send(&self, waiting: Waiting) -> Result<(), Untaken>;
    /// Waits for room; `false` if the other end is gone.
    fn send(&self, waiting: Waiting) -> bool;
}

/// What the committer finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// An event, or several that came together.
    Came,
    Nothing,
    /// And nothing more will come: every [`Outbox`] is gone, and all that they took has been found.
    Closed,
}

/// Where the committer finds events, in the order in which they were taken.
pub(crate) trait Inbox {
    /// Takes what comes next; waits for it until a deadline.
    fn next(&self, batch: &mut Vec<Passing>, deadline: Instant) -> Next;

    /// Takes what is there, until it has taken so many events, and a few more where several came together; says whether nothing more will
    /// come.
    fn take(&self, batch: &mut Vec<Passing>, most: usize) -> bool;

    /// How many are enough from now on, though nobody waits for an answer, to end a sleep.
    fn call_at(&self, enough: usize);

    /// Sleeps until a moment, but not longer than until somebody waits for an answer, [enough](Self::call_at) are there, or nothing more
    /// will come. Whoever came since [`Self::attend`] is seen.
    fn doze(&self, until: Instant);

    /// Sleeps until a moment, but not longer than until so many are there, or [enough](Self::call_at), or nothing more will come.
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
    /// How many events wait, or have been promised room.
    pub(crate) fn waiting(&self) -> usize {
        self.events.load().as_ref().map_or(0, |entrance| entrance.waiting())
    }

    /// One over a real channel, and its other end.
    pub(crate) fn bounded(capacity: usize, health: Arc<Health>) -> (Self, Exit) {
        let (entrance, exit) = channel::bounded(capacity);
        (Self::new(entrance, health), exit)
    }

    /// Room for so many events that go together, as far as there is any.
    pub(crate) fn room(&self, most: usize) -> Room<'_> {
        Room::at(self.events.load_full(), most, &self.health)
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
        taken.map_err(|untaken| untaken.told(&self.health))
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
