//! A store that fails when it is told to, around any other: one for every test and simulation of trouble. It fails as a store
//! on disk does: after a change that failed it takes no other until [`Store::recover`].

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::guard::{not_open, uncertain};
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, Head, Place, Row, Rows, Space, StateRow, Store, StoreError,
};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before anything was done: a full disk.
    Before,
    /// After it was done, with an error all the same: a sync that failed behind a write that did not.
    After,
}

/// Fails, holds and slows the calls to another store. Told nothing, it does nothing. Closing it leaves the other one open,
/// for the next life.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    /// Held for a moment only, never while the other store works.
    told: Mutex<Told>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    calls: u64,
    /// By the number of the call, until it has come.
    faults: BTreeMap<u64, Fault>,
    refuses: bool,
    holds: bool,
    waits: bool,
    pause: Duration,
    closed: bool,
    /// The head before a change that failed, until somebody makes certain what it left.
    uncertain: Option<Head>,
}

impl FaultyStore {
    /// Around another store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, told: Mutex::default(), released: Condvar::new() }
    }

    /// How many calls there were that can fail: all but those for the head and the base.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.told().calls
    }

    /// The call of this number, counted from the first one, will fail in this way.
    pub fn fail_call(&self, number: u64, fault: Fault) {
        self.told().faults.insert(number, fault);
    }

    /// How many of the calls that are to fail have not come yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.told().faults.len()
    }

    /// Whether every change and every recovery fails, before it was done, until told otherwise.
    pub fn refuse(&self, refuses: bool) {
        self.told().refuses = refuses;
    }

    /// Whether calls that change something wait, until told otherwise.
    pub fn hold(&self, holds: bool) {
        self.told().holds = holds;
        self.released.notify_all();
    }

    /// Whether a call waits because of [`Self::hold`].
    #[must_use]
    pub fn waits(&self) -> bool {
        self.told().waits
    }

    /// Every call takes at least this long.
    pub fn slow_down(&self, pause: Duration) {
        self.told().pause = pause;
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing that can panic runs under this lock.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and says whether and how it fails.
    fn count(&self, action: &'static str) -> Result<Option<Fault>, StoreError> {
        let mut told = self.told();
        told.calls += 1;
        let call = told.calls;
        let fault = told.faults.remove(&call);
        let (pause, closed) = (told.pause, told.closed);
        drop(told);
        std::thread::sleep(pause);
        if closed { Err(not_open(action)) } else { Ok(fault) }
    }

    fn read<T>(&self, action: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.count(action)?.map_or_else(work, |_| Err(injected(action)))
    }

    fn change<T>(&self, action: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = self.count(action)?;
        let held = self.released.wait_while(self.told(), |told| {
            told.waits = told.holds;
            told.holds
        });
        let told = held.unwrap_or_else(PoisonError::into_inner);
        let (refuses, is_uncertain) = (told.refuses, told.uncertain.is_some());
        drop(told);
        if is_uncertain {
            return Err(uncertain(action));
        }
        let before = self.inner.head();
        let done = match fault {
            None if refuses => Err(injected(action)),
            None => work(),
            Some(Fault::Before) => Err(injected(action)),
            Some(Fault::After) => work().and_then(|_| Err(injected(action))),
        };
        if done.is_err() {
            self.told().uncertain = Some(before);
        }
        done
    }
}

fn injected(action: &'static str) -> StoreError {
    StoreError::Unavailable { action, detail: "it was told to fail".into() }
}

impl Store for FaultyStore {
    fn head(&self) -> Head {
        self.told().uncertain.unwrap_or_else(|| self.inner.head())
    }

    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        self.change("append to the journal", || self.inner.append(blocks, rows))
    }

    /// No fault of its own: when there is time depends on the clock, and a fault's turn must not.
    fn tidy(&self) -> Result<bool, StoreError> {
        if self.told().refuses { Err(injected("tidy")) } else { self.inner.tidy() }
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        self.read("read rows", || self.inner.rows(space, prefix, after, limit))
    }

    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        self.read("read rows", || self.inner.place(space, key))
    }

    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        self.change("forget rows", || self.inner.forget(space, below, limit))
    }

    fn base(&self) -> Head {
        self.inner.base()
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        match self.read("read the journal", || Ok(self.inner.blocks(from))) {
            Ok(blocks) => blocks,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn begin(&self, base: Head) -> Result<(), StoreError> {
        self.change("begin a journal", || self.inner.begin(base))
    }

    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        self.change("drop old blocks", || self.inner.drop_blocks(through, limit))
    }

    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        self.change("save a checkpoint", || self.inner.save_checkpoint(kind, block, rows))
    }

    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        self.read("read the checkpoint", || self.inner.load_checkpoint(kind))
    }

    fn recover(&self) -> Result<Head, StoreError> {
        let action = "open the database anew";
        if self.count(action)?.is_some() || self.told().refuses {
            return Err(injected(action));
        }
        let head = self.inner.recover()?;
        self.told().uncertain = None;
        Ok(head)
    }

    fn close(&self) -> Result<(), StoreError> {
        let action = "close the database";
        let fault = self.count(action)?;
        self.told().closed = true;
        fault.map_or(Ok(()), |_| Err(injected(action)))
    }
}

impl std::fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStore").field("told", &self.told).finish_non_exhaustive()
    }
}
