//! The contract of [`Store`], run on every store. A store that can be restarted is restarted wherever a promise must
//! survive that.

mod checkpoints;
mod journal;
mod lives;
mod rows;

use std::sync::Arc;

use crate::store::disk::DiskStore;
use crate::store::faulty::FaultyStore;
use crate::store::journaled::JournaledStore;
use crate::store::memory::MemoryStore;
use crate::store::redb::RedbStore;
use crate::store::*;

/// Which store, and where a test gives it a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    Disk,
    Redb,
    /// Around memory, told nothing.
    Faulty,
    /// A journal in files, before sled and before redb.
    Journaled,
    JournaledRedb,
}

/// Every store there is.
pub(super) const KINDS: [Kind; 6] =
    [Kind::Memory, Kind::Disk, Kind::Redb, Kind::Faulty, Kind::Journaled, Kind::JournaledRedb];

/// A store and what it takes to restart it.
pub(super) struct Bench {
    kind: Kind,
    store: Option<Arc<dyn Store>>,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let mut bench = Self { kind, store: None, directory };
        bench.store = Some(bench.open());
        bench
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("the store is open"))
    }

    fn survives(&self) -> bool {
        !matches!(self.kind, Kind::Memory | Kind::Faulty)
    }

    /// Closes and opens again, as a new process would. Memory does not survive that and is left alone.
    fn restart(&mut self) {
        if !self.survives() {
            return;
        }
        if let Some(store) = self.store.take() {
            store.close().expect("it closes");
        }
        self.store = Some(self.open());
    }

    fn open(&self) -> Arc<dyn Store> {
        let (path, options) = (self.directory.path(), DiskOptions::default());
        let (store, notes): (Arc<dyn Store>, _) = match self.kind {
            Kind::Memory => (Arc::new(MemoryStore::new()), Vec::new()),
            Kind::Faulty => (Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()))), Vec::new()),
            Kind::Disk => {
                let opened = DiskStore::open(path, options).expect("it opens");
                (Arc::new(opened.store), opened.notes)
            }
            Kind::Redb => {
                let opened = RedbStore::open(path, options).expect("it opens");
                (Arc::new(opened.store), opened.notes)
            }
            Kind::Journaled => {
                let database = DiskStore::open(path, options).expect("it opens").store;
                let opened = JournaledStore::open(path, options, Box::new(database)).expect("it opens");
                (Arc::new(opened.store), opened.notes)
            }
            Kind::JournaledRedb => {
                let database = RedbStore::open(path, options).expect("it opens").store;
                let opened = JournaledStore::open(path, options, Box::new(database)).expect("it opens");
                (Arc::new(opened.store), opened.notes)
            }
        };
        assert_eq!(notes, Vec::<String>::new());
        store
    }
}

/// Runs a part of the contract on every store.
fn check(part: impl Fn(&mut Bench)) {
    for kind in KINDS {
        let mut bench = Bench::new(kind);
        part(&mut bench);
        if matches!(kind, Kind::Disk | Kind::Journaled) {
            let blobs = bench.directory.path().join("sled/blobs");
            let blobs = std::fs::read_dir(blobs).expect("sled's directory");
            assert_eq!(blobs.count(), 0, "pages that are never synced");
        }
    }
}

/// Blocks with these payloads that continue the head.
pub(super) fn chain(head: Head, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Block> {
    let mut head = head;
    let block = |payload| {
        let block = Block::after(head, payload);
        head = block.head();
        block
    };
    payloads.into_iter().map(block).collect()
}

pub(super) fn append(store: &dyn Store, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Block> {
    let blocks = chain(store.head(), payloads);
    store.append(&blocks, &[]).expect("it appends");
    blocks
}

pub(super) fn read(store: &dyn Store, from: u64) -> Vec<Block> {
    store.blocks(from).collect::<Result<_, _>>().expect("every block is whole")
}

/// Bytes that do not compress or repeat.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn row(space: Space, key: &[u8], value: &[u8]) -> Row {
    Row { space, key: key.to_vec(), value: Some(value.to_vec()) }
}

fn state(key: &[u8], value: Option<Vec<u8>>) -> StateRow {
    StateRow { key: key.to_vec(), value }
}

fn all_rows(store: &dyn Store, space: Space) -> Rows {
    store.rows(space, &[], None, usize::MAX).expect("readable")
}
