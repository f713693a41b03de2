//! The real way to the committer: events one by one, or those of one request together, which costs one passage for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use crate::engine::event::{DecisionRecord, Event};
use crate::service::committer::exposures::Exposures;
use crate::service::committer::queue::{Beside, Inbox, Next, Outbox, Passing, Untaken, Waiting};
use crate::service::committer::{ENOUGH, MAX_BATCH};
use crate::service::error::CommitError;
use crate::service::health::Health;
use crate::store::record::About;

/// However few are there: it may have been taken already when its sender looks.
const AT_ONCE: usize = 0;
/// For how many events a request asks room at once.
const PLACES: usize = 64;
/// After how long a background thread looks again for room.
const PATIENCE: Duration = Duration::from_millis(1);

/// What both ends know.
struct Between {
    /// Most events under way.
    capacity: usize,
    /// How many are, or have been promised room.
    under_way: AtomicUsize,
    /// How many must be there before it rings though nobody waits.
    unawaited: AtomicUsize,
    /// How many must be there before it rings for somebody who waits.
    enough: AtomicUsize,
    /// Nobody takes anything any more.
    closed: AtomicBool,
}

impl Between {
    /// Promises room for so many events, or for as many as there is room for.
    fn promise(&self, most: usize) -> usize {
        let before = self.under_way.fetch_add(most, Ordering::SeqCst);
        let promised = self.capacity.saturating_sub(before).min(most);
        self.release(most - promised);
        promised
    }

    fn release(&self, count: usize) {
        if count > 0 {
            self.under_way.fetch_sub(count, Ordering::SeqCst);
        }
    }

    fn waiting(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }
}

/// The near end of a real channel. An event that nobody waits for wakes nobody, unless enough are there: else each would cost the
/// request a system call.
pub(crate) struct Entrance {
    /// Bounded by what is promised.
    events: Sender<Passing>,
    /// Rung where somebody waits for an answer, and where enough are there, however long a doze may be; holds one ring.
    bell: Sender<()>,
    between: Arc<Between>,
}

/// Its far end.
pub(crate) struct Exit {
    events: Receiver<Passing>,
    bell: Receiver<()>,
    between: Arc<Between>,
}

/// Both ends of a channel with room for so many events.
pub(super) fn bounded(capacity: usize) -> (Entrance, Exit) {
    let (events, taken) = crossbeam_channel::unbounded();
    let (bell, rung) = crossbeam_channel::bounded(1);
    let between = Arc::new(Between {
        capacity,
        under_way: AtomicUsize::new(0),
        unawaited: AtomicUsize::new(ENOUGH),
        enough: AtomicUsize::new(AT_ONCE),
        closed: AtomicBool::new(false),
    });
    let exit = Exit { events: taken, bell: rung, between: Arc::clone(&between) };
    (Entrance { events, bell, between }, exit)
}

impl Entrance {
    /// How many events are under way, or have been promised room.
    pub(super) fn waiting(&self) -> usize {
        self.between.waiting()
    }

    /// Takes what was promised room; `false`, and the room is given back, if the other end is gone.
    fn pass(&self, passing: Passing, awaited: bool) -> bool {
        let events = passing.events();
        if self.events.send(passing).is_err() {
            self.between.release(events);
            return false;
        }
        let Between { enough, unawaited, .. } = &*self.between;
        let enough =
            if awaited { enough.load(Ordering::SeqCst).min(MAX_BATCH) } else { unawaited.load(Ordering::SeqCst) };
        if self.waiting() >= enough {
            // Full: it has rung already. The other end gone: nobody to wake.
            let _ = self.bell.try_send(());
        }
        true
    }

    fn pass_one(&self, waiting: Waiting) -> bool {
        let awaited = waiting.reply.is_some();
        self.pass(Passing::One(waiting), awaited)
    }
}

impl Outbox for Entrance {
    fn try_send(&self, waiting: Waiting) -> Result<(), Untaken> {
        if self.between.promise(1) == 0 {
            let closed = self.between.closed.load(Ordering::SeqCst);
            return Err(if closed { Untaken::Gone } else { Untaken::Full });
        }
        if self.pass_one(waiting) { Ok(()) } else { Err(Untaken::Gone) }
    }

    fn send(&self, waiting: Waiting) -> bool {
        while self.between.promise(1) == 0 {
            if self.between.closed.load(Ordering::SeqCst) {
                return false;
            }
            std::thread::sleep(PATIENCE);
        }
        self.pass_one(waiting)
    }
}

/// Room for events of one request that go together and that nobody waits for. What it takes is handed over when it is let go, whatever
/// else happens; the other end is not told before then that nothing more will come.
pub(crate) struct Room<'q> {
    entrance: Option<Arc<Entrance>>,
    health: &'q Health,
    /// For how many more there is room, and how many more may come for which none was asked yet.
    left: usize,
    unasked: usize,
    several: Vec<Passing>,
}

impl<'q> Room<'q> {
    /// For so many events. Room is asked for as they come: many requests make nothing happen.
    pub(super) const fn at(entrance: Option<Arc<Entrance>>, most: usize, health: &'q Health) -> Self {
        Self { entrance, health, left: 0, unasked: most, several: Vec::new() }
    }

    /// As [`super::Queue::offer`].
    pub(crate) fn offer(&mut self, event: Event, beside: Option<Beside>) -> Result<(), CommitError> {
        self.take_place()?;
        self.several.push(Passing::One(Waiting { event, beside, reply: None }));
        Ok(())
    }

    /// The same of an exposure of which nothing was excluded and that others can be like.
    pub(crate) fn expose(&mut self, record: &DecisionRecord, about: Option<About<'_>>) -> Result<(), CommitError> {
        self.take_place()?;
        match self.several.last_mut() {
            Some(Passing::Exposures(exposures)) if exposures.takes(record) => exposures.push(record, about),
            _ => {
                // Most batches have but one kind of them; of many kinds there are few each.
                let more = if self.several.is_empty() { self.left + self.unasked } else { 0 };
                self.several.push(Passing::Exposures(Exposures::beginning(record, about, more)));
            }
        }
        Ok(())
    }

    fn take_place(&mut self) -> Result<(), CommitError> {
        let Some(entrance) = &self.entrance else { return Err(Untaken::Gone.told(self.health)) };
        if self.left == 0 {
            let asked = self.unasked.min(PLACES);
            self.left = entrance.between.promise(asked);
            self.unasked -= asked;
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| Untaken::Full.told(self.health))?;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let Some(entrance) = &self.entrance else { return };
        entrance.between.release(self.left);
        let lost: usize = self
            .several
            .drain(..)
            .map(Passing::without_room)
            .map(|passing| (passing.exposures(), entrance.pass(passing, false)))
            .filter_map(|(exposures, is_taken)| (!is_taken).then_some(exposures))
            .sum();
        if lost > 0 {
            // The committer has ended by a bug: what it had taken is lost the same way.
            self.health.count_lost(lost as u64);
            tracing::error!(exposures = lost, "answered exposures found no committer");
        }
    }
}

impl Exit {
    /// Says how many events it is.
    fn found(&self, passing: Passing, batch: &mut Vec<Passing>) -> usize {
        let events = passing.events();
        batch.push(passing);
        self.between.release(events);
        events
    }
}

impl Inbox for Exit {
    fn next(&self, batch: &mut Vec<Passing>, deadline: Instant) -> Next {
        match self.events.recv_deadline(deadline) {
            Ok(passing) => {
                self.found(passing, batch);
                Next::Came
            }
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn take(&self, batch: &mut Vec<Passing>, most: usize) -> bool {
        let mut taken = 0;
        while taken < most {
            match self.events.try_recv() {
                Ok(passing) => taken += self.found(passing, batch),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    fn call_at(&self, enough: usize) {
        self.between.unawaited.store(enough, Ordering::SeqCst);
    }

    fn doze(&self, until: Instant) {
        // However it ends, what is there is taken next.
        let _ = self.bell.recv_deadline(until);
    }

    fn linger(&self, until: Instant, enough: usize) {
        self.between.enough.store(enough, Ordering::SeqCst);
        self.attend();
        // Whoever comes from here on knows how many are enough.
        if self.waiting() < enough {
            self.doze(until);
        }
        self.between.enough.store(AT_ONCE, Ordering::SeqCst);
    }

    fn attend(&self) {
        let _ = self.bell.try_recv();
    }

    fn waiting(&self) -> usize {
        self.between.waiting()
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.between.closed.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
