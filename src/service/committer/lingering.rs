//! For whom a commit waits: the real committer over an inbox that hands out waves of events and writes down what it is asked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::domain::{ExperimentKey, Timestamp};
use crate::engine::event::Event;
use crate::engine::secret::Secret;
use crate::service::committer::*;
use crate::store::memory::MemoryStore;

/// How many of a wave are waited for, and how many not.
type Wave = (usize, usize);

struct Script {
    waves: RefCell<VecDeque<Wave>>,
    now: RefCell<VecDeque<Waiting>>,
    /// How many each lingering was told to be enough.
    lingered: Rc<RefCell<Vec<usize>>>,
    receivers: RefCell<Vec<oneshot::Receiver<Result<Committed, CommitError>>>>,
}

impl Script {
    fn waiting_for(&self, awaited: bool) -> Waiting {
        let experiment = ExperimentKey::new("hero").expect("a key");
        let reply = awaited.then(|| {
            let (reply, receiver) = oneshot::channel();
            self.receivers.borrow_mut().push(receiver);
            reply
        });
        Waiting { event: Event::ExperimentDeleted { experiment, at: Timestamp::from_millis(1) }, beside: None, reply }
    }
}

impl Inbox for Script {
    fn next(&self, batch: &mut Vec<Passing>, _: Instant) -> Next {
        let Some((awaited, others)) = self.waves.borrow_mut().pop_front() else { return Next::Closed };
        let wave = std::iter::repeat_n(true, awaited).chain(std::iter::repeat_n(false, others));
        self.now.borrow_mut().extend(wave.map(|awaited| self.waiting_for(awaited)));
        let Some(first) = self.now.borrow_mut().pop_front() else { return Next::Nothing };
        batch.push(Passing::One(first));
        Next::Came
    }

    fn take(&self, batch: &mut Vec<Passing>, _: usize) -> bool {
        batch.extend(self.now.borrow_mut().drain(..).map(Passing::One));
        false
    }

    fn call_at(&self, _: usize) {}

    fn doze(&self, _: Instant) {}

    fn linger(&self, _: Instant, enough: usize) {
        self.lingered.borrow_mut().push(enough);
    }

    fn attend(&self) {}

    fn waiting(&self) -> usize {
        self.now.borrow().len()
    }
}

/// How many each commit was told to be enough, of those that waited for more.
fn lingered(waves: &[Wave]) -> Vec<usize> {
    let store = Arc::new(MemoryStore::new());
    let shared = Shared {
        engine: Arc::new(Engine::new(Secret::new([7; 32]), 1)),
        store: store.clone(),
        health: Arc::default(),
        visitors: Arc::new(Visitors::new(store, 4).expect("readable")),
        counts: Arc::default(),
    };
    let lingered = Rc::default();
    let script = Script {
        waves: RefCell::new(waves.iter().copied().collect()),
        now: RefCell::default(),
        lingered: Rc::clone(&lingered),
        receivers: RefCell::default(),
    };
    let (jobs, _due) = crossbeam_channel::bounded::<Due>(4);
    Committer::new(shared, script, jobs, Options::default()).run();
    lingered.take()
}

#[test]
fn whoever_is_alone_is_not_waited_for() {
    assert!(lingered(&[(1, 0), (1, 0), (3, 0)]).is_empty());
    assert!(lingered(&[(1, 900), (1, 0)]).is_empty(), "however much nobody waited for");
}

#[test]
fn half_as_many_as_waited_last_are_enough() {
    // The first of a wave is taken already.
    assert_eq!(lingered(&[(3, 0), (5, 0), (1, 0), (1, 0)]), [1, 2]);
    assert_eq!(lingered(&[(7, 2), (1, 0)]), [3], "most were waited for");
}

#[test]
fn where_most_is_waited_for_by_nobody_it_waits_for_enough_of_all() {
    assert_eq!(lingered(&[(2, 9), (2, 9), (2, 0), (1, 0)]), [ENOUGH - 1, ENOUGH - 1, 0]);
}
