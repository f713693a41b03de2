//! The real way to the committer: events one by one, or those of one request together, which costs one passage for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use crate::engine::event::Event;
use crate::service::committer::queue::{Beside, Inbox, Next, Outbox, Untaken, Waiting};
use crate::service::committer::{ENOUGH, MAX_BATCH};
use crate::service::error::CommitError;
use crate::service::health::Health;

/// However few are there: it may have been taken already when its sender looks.
const AT_ONCE: usize = 0;
/// After how long a background thread looks again for room.
const PATIENCE: Duration = Duration::from_millis(1);

enum Passing {
    One(Waiting),
    Several(Vec<Waiting>),
}

/// What both ends know.
struct Between {
    /// Most events under way.
    capacity: usize,
    /// How many are, or have been promised room.
    under_way: AtomicUsize,
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

/// The near end of a real channel. An event that nobody waits for wakes nobody, unless [`ENOUGH`] are there: else each would cost the
/// request a system call.
pub(crate) struct Entrance {
    /// Bounded by what is promised.
    events: Sender<Passing>,
    /// Rung where somebody waits for an answer, and where [`ENOUGH`] are there, however long a doze may be; holds one ring.
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

    /// Takes what was promised room; `false` if the other end is gone.
    fn pass(&self, passing: Passing, awaited: bool) -> bool {
        if self.events.send(passing).is_err() {
            return false;
        }
        let enough = if awaited { self.between.enough.load(Ordering::SeqCst).min(MAX_BATCH) } else { ENOUGH };
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
            return Err(Untaken::Full);
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
    /// For how many more there is room.
    left: usize,
    several: Vec<Waiting>,
}

impl<'q> Room<'q> {
    /// For so many events, or for as many as there is room for; for none where the queue takes nothing more.
    pub(super) fn at(entrance: Option<Arc<Entrance>>, most: usize, health: &'q Health) -> Self {
        let left = entrance.as_ref().map_or(0, |entrance| entrance.between.promise(most));
        Self { entrance, health, left, several: Vec::with_capacity(left) }
    }

    /// As [`super::Queue::offer`].
    pub(crate) fn offer(&mut self, event: Event, beside: Option<Beside>) -> Result<(), CommitError> {
        let untaken = if self.entrance.is_none() { Untaken::Gone } else { Untaken::Full };
        self.left = self.left.checked_sub(1).ok_or_else(|| untaken.told(self.health))?;
        self.several.push(Waiting { event, beside, reply: None });
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let Some(entrance) = &self.entrance else { return };
        entrance.between.release(self.left);
        if self.several.is_empty() {
            return;
        }
        let count = self.several.len();
        if !entrance.pass(Passing::Several(std::mem::take(&mut self.several)), false) {
            // The committer has ended by a bug: what it had taken is lost the same way.
            self.health.count_lost(count as u64);
            tracing::error!(exposures = count, "answered exposures found no committer");
        }
    }
}

impl Exit {
    fn found(&self, passing: Passing, batch: &mut Vec<Waiting>) {
        let before = batch.len();
        match passing {
            Passing::One(waiting) => batch.push(waiting),
            Passing::Several(mut several) => batch.append(&mut several),
        }
        self.between.release(batch.len() - before);
    }
}

impl Inbox for Exit {
    fn next(&self, batch: &mut Vec<Waiting>, deadline: Instant) -> Next {
        match self.events.recv_deadline(deadline) {
            Ok(passing) => {
                self.found(passing, batch);
                Next::Came
            }
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn take(&self, batch: &mut Vec<Waiting>, most: usize) -> bool {
        while batch.len() < most {
            match self.events.try_recv() {
                Ok(passing) => self.found(passing, batch),
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
mod tests {
    //! Who wakes the committer.

    use super::*;
    use crate::domain::{ExperimentKey, Timestamp};
    use crate::service::committer::Queue;
    use crate::service::counts::moment;

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
        exit.between.enough.store(3, Ordering::SeqCst);
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

    #[test]
    fn what_was_promised_room_is_handed_over_together_and_the_end_is_told_after_it() {
        let health = Arc::<Health>::default();
        let (queue, exit) = Queue::bounded(5, Arc::clone(&health));
        assert!(queue.offer(event(), None).is_ok());
        let mut room = queue.room(9);
        assert_eq!(queue.waiting(), 5, "one, and room for four");
        assert!(matches!(queue.offer(event(), None), Err(CommitError::Overloaded)), "all room is promised");
        let taken = (0..9).filter(|_| room.offer(event(), None).is_ok()).count();
        assert_eq!(taken, 4);
        queue.stop();
        let mut batch = Vec::new();
        assert!(exit.next(&mut batch, moment()) == Next::Came && batch.len() == 1);
        assert!(exit.next(&mut batch, moment()) == Next::Nothing, "more may come");
        drop(room);
        assert!(exit.next(&mut batch, moment()) == Next::Came && batch.len() == 5);
        assert!(exit.next(&mut batch, moment()) == Next::Closed);
        assert!(matches!(queue.room(1).offer(event(), None), Err(CommitError::Unavailable(_))));
        assert_eq!(health.exposures_lost(), 0);
    }

    #[test]
    fn room_that_is_not_needed_is_given_back_and_what_finds_nobody_is_counted() {
        let health = Arc::<Health>::default();
        let (queue, exit) = Queue::bounded(5, Arc::clone(&health));
        let mut room = queue.room(3);
        assert!(room.offer(event(), None).is_ok());
        drop(room);
        assert_eq!(queue.waiting(), 1);
        let mut batch = Vec::new();
        assert!(!exit.take(&mut batch, 9) && batch.len() == 1 && queue.waiting() == 0);
        let mut room = queue.room(2);
        assert!(room.offer(event(), None).is_ok() && room.offer(event(), None).is_ok());
        drop(exit);
        drop(room);
        assert_eq!(health.exposures_lost(), 2);
        assert!(matches!(queue.offer(event(), None), Err(CommitError::Unavailable(_))));
    }

    #[test]
    fn a_background_thread_waits_for_room_and_is_told_where_there_will_be_none() {
        let (queue, exit) = Queue::bounded(1, Arc::default());
        let fill = || assert!(queue.offer(event(), None).is_ok());
        fill();
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| queue.push(event()));
            let mut batch = Vec::new();
            while batch.len() < 2 {
                exit.take(&mut batch, 2);
            }
            assert!(pushing.join().expect("no panic"));
            fill();
            let pushing = scope.spawn(|| queue.push(event()));
            drop(exit);
            assert!(!pushing.join().expect("no panic"));
        });
    }
}
