//! Layer 5: what survives. A journal of chained blocks, the ledger, and checkpoints, behind one trait with one contract
//! battery (`store/contract.rs`) run on every store.
//!
//! Invariant: a store interprets nothing it keeps; what bytes mean is in `record` alone. No async, no clock.

pub mod disk;
pub mod memory;
pub mod record;

use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::{DecisionId, Timestamp};
use crate::store::disk::{DiskOptions, DiskStore};
use crate::store::memory::MemoryStore;

/// A store's failure, by what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium refused: disk full, read-only, gone. Trying again later may succeed; nothing was recorded.
    #[error("the store could not {action}: {detail}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// What the medium said.
        detail: String,
    },
    /// What is there is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Committed blocks are missing.
    #[error(
        "the store has lost committed blocks: it ends at block {found}, but block {expected} had been committed; \
         restore a backup, or start with --accept-loss to go on without what is missing"
    )]
    Loss {
        /// Number of the last block that is there.
        found: u64,
        /// Number of a block known to have been committed.
        expected: u64,
    },
}

/// One link of the journal: events as bytes, and the hash of the block before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// From 1, without gaps.
    pub number: u64,
    /// Hash of the block before; zeros for the first.
    pub previous: BlockHash,
    /// Encoded events.
    pub payload: Vec<u8>,
}

/// BLAKE3 of a block's number, previous hash and payload.
pub type BlockHash = [u8; 32];

/// The end of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Number of the last block; 0 if there is none.
    pub number: u64,
    /// Its hash; zeros if there is none.
    pub hash: BlockHash,
}

/// One ledger entry as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// Whose.
    pub decision: DecisionId,
    /// Distinguishes entries of one decision: a digest of what they are about.
    pub detail: [u8; 16],
    /// The encoded entry, at most [`MAX_VALUE_BYTES`].
    pub value: Vec<u8>,
}

/// One row of a checkpoint: state by name. Values of any length; a store splits them as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Name, at most 1,024 bytes.
    pub key: Vec<u8>,
    /// New value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// A checkpoint as read back: rows, by key, and the last block they include.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Number of the last block whose effects are in the rows; 0 if no checkpoint was ever saved.
    pub block: u64,
    /// Every row that is there, in order of key.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Blocks in order, read one at a time.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<Block, StoreError>> + 'a>;

/// What survives. One writer (the committer) calls the methods that change; any thread may read.
pub trait Store: Send + Sync {
    /// The end of the journal.
    fn head(&self) -> Head;

    /// Appends blocks and ledger rows as one atomic batch that is durable (survives power loss) on return. The first
    /// block continues [`Self::head`], each next one the one before; rows replace rows of the same decision and detail.
    /// Cost: one sync, however many blocks.
    ///
    /// # Errors
    /// Then either nothing was recorded, or the store refuses every further append until it is opened again, because it
    /// cannot know.
    ///
    /// # Panics
    /// If the blocks do not continue the head: the committer has a bug.
    fn append(&self, blocks: &[Block], ledger: &[LedgerRow]) -> Result<(), StoreError>;

    /// All ledger rows of a decision, those of the last successful [`Self::append`] included, in order of detail.
    ///
    /// # Errors
    /// If the medium cannot be read.
    fn ledger(&self, decision: DecisionId) -> Result<Vec<LedgerRow>, StoreError>;

    /// Forgets ledger rows of decisions made before a time, at most `limit` of them, oldest first; says how many.
    /// Need not be durable: what comes back after a crash is forgotten again.
    ///
    /// # Errors
    /// If the medium refuses; some may then be forgotten.
    fn forget_ledger(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Blocks from a number on, each checked: its number, its place in the chain, its hash.
    fn blocks(&self, from: u64) -> Blocks<'_>;

    /// Saves changed rows with the number of the last block they include, as one atomic batch, durable on return.
    ///
    /// # Errors
    /// Then the checkpoint before is still whole; as after a failed [`Self::append`], the store may refuse to go on.
    ///
    /// # Panics
    /// If the block lies beyond the head: the committer has a bug.
    fn save_checkpoint(&self, block: u64, rows: &[StateRow]) -> Result<(), StoreError>;

    /// The last checkpoint.
    ///
    /// # Errors
    /// If it cannot be read or is not whole.
    fn load_checkpoint(&self) -> Result<Checkpoint, StoreError>;

    /// Makes everything durable and lets go of the medium. Called once, last.
    ///
    /// # Errors
    /// If the medium refuses.
    fn close(&self) -> Result<(), StoreError>;
}

/// Longest value handed to a medium in one piece: longer ones would go where sled never syncs (DESIGN §6). sled keeps up to
/// 17 entries in one page and pages of up to 128 KiB in its log: 17 of these and their keys stay below that.
pub const MAX_VALUE_BYTES: usize = 7_000;

/// Where a store keeps what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In memory, gone with the process.
    Memory,
    /// In a directory on disk.
    Directory(PathBuf),
}

impl From<&str> for Location {
    /// `memory`, or else the path of a directory.
    fn from(text: &str) -> Self {
        if text == "memory" { Self::Memory } else { Self::Directory(text.into()) }
    }
}

/// Opens the store of a location, new if there is none. Whatever a recovery did is logged as a warning.
///
/// # Errors
/// As [`DiskStore::open`] says.
pub fn open(location: &Location, options: DiskOptions) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match location {
        Location::Memory => Arc::new(MemoryStore::new()),
        Location::Directory(directory) => Arc::new(DiskStore::open(directory, options)?.store_with_notes_logged()),
    })
}

impl Block {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&self.previous);
        hasher.update(&self.payload);
        *hasher.finalize().as_bytes()
    }
}

/// The head after each of the blocks, the first of which continues `head`.
///
/// # Panics
/// If the blocks do not continue the head.
fn heads_after(mut head: Head, blocks: &[Block]) -> Vec<Head> {
    let heads = blocks.iter().map(|block| {
        assert!(
            block.number == head.number + 1 && block.previous == head.hash,
            "block {} was appended after block {}, which it does not continue",
            block.number,
            head.number
        );
        head = Head { number: block.number, hash: block.hash() };
        head
    });
    heads.collect()
}

/// The first decision that [`Store::forget_ledger`] keeps; `None` if the time lies beyond every id's.
fn first_kept(before: Timestamp) -> Option<DecisionId> {
    let first = DecisionId::first_at(before);
    (first.time() == before).then_some(first)
}

#[cfg(test)]
mod contract;
