//! Layer 5: what survives. A journal of chained blocks, rows beside it, and checkpoints, behind one trait with one contract
//! battery (`store/contract.rs`) run on every store.
//!
//! Invariant: a store interprets nothing it keeps; what bytes mean is in `record` alone. No async, no clock.

pub mod archive;
pub mod disk;
pub mod faulty;
mod guard;
mod head_file;
pub mod journaled;
mod location;
pub mod memory;
pub mod opened;
pub mod record;
pub mod redb;
mod stored;

pub use crate::store::location::{Database, Location, open};

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
         restore a backup (`mabel restore`), or start with --accept-loss to go on without what is missing"
    )]
    Loss {
        /// Number of the last block that is there.
        found: u64,
        /// Number of a block known to have been committed.
        expected: u64,
    },
}

/// One link of the journal: events as bytes, the hash of the block before, and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    number: u64,
    previous: BlockHash,
    payload: Vec<u8>,
    hash: BlockHash,
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

/// What a row beside the journal is about. Rows of one space are ordered by their keys, and nothing else is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Facts about decisions, by decision, a row for each: what earlier builds wrote. They are read, and none is added.
    Ledger,
    /// Which variation a visitor stays with, by experiment and visitor.
    Assignment,
    /// Who a visitor turned out to be, by visitor.
    Alias,
    /// Visitors that were erased, by experiment and visitor.
    Erased,
    /// Who decisions were for and what was known of them, by block of the journal.
    Companion,
    /// Facts about decisions, by decision, many in a row: who came first (see `record::page`).
    LedgerPage,
    /// What is known of visitors ahead of their requests, by visitor.
    Profile,
    /// How far the files of a journal have got into a database, which [`journaled::JournaledStore`] keeps there and shows nobody.
    Journal,
}

impl Space {
    /// Every space there is for users of a store.
    pub const ALL: [Self; 7] =
        [Self::Ledger, Self::Assignment, Self::Alias, Self::Erased, Self::Companion, Self::LedgerPage, Self::Profile];

    /// Its number in stored bytes: the place in [`Self::ALL`].
    const fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A change of one row beside the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub space: Space,
    /// At most [`MAX_KEY_BYTES`].
    pub key: Vec<u8>,
    /// At most [`MAX_VALUE_BYTES`]; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// Which checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// What a recovery begins with: saved every few seconds.
    Current,
    /// What a verification begins with: the state after the last block that retention may have dropped.
    Sealed,
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

/// Keys and values of rows, in order of key.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Where a key stands among the rows of a space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Key and value of the last row that is not above it.
    pub row: Option<(Vec<u8>, Vec<u8>)>,
    /// Key of the first row above it.
    pub next: Option<Vec<u8>>,
}

/// Blocks in order, read one at a time.
pub type Blocks<'a> = Box<dyn Iterator<Item = Result<Block, StoreError>> + 'a>;

/// What survives. Changes wait for each other; the committer alone appends, and any thread may read.
pub trait Store: Send + Sync {
    /// The end of the journal.
    fn head(&self) -> Head;

    /// Appends blocks and changes rows as one atomic batch that is durable (survives power loss) on return. The first
    /// block continues [`Self::head`], each next one the one before; of several changes of one row the last counts.
    /// Without blocks and rows a store on a medium writes something all the same: success says that it takes changes.
    /// Cost: one sync, however many blocks.
    ///
    /// # Errors
    /// Then either nothing was recorded, or the store refuses every further change until [`Self::recover`], because it
    /// cannot know.
    ///
    /// # Panics
    /// If the blocks do not continue the head: the committer has a bug.
    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError>;

    /// Does some of what a store has put off so that [`Self::append`] is short, if there is enough to be worth it, and says whether: for
    /// when nobody waits for one. A store that is never given the time takes it within an append.
    ///
    /// # Errors
    /// As after a failed [`Self::append`], the store may refuse to go on; what was recorded stays recorded.
    fn tidy(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Rows of a space whose keys begin with a prefix and are above `after`, in order of key, at most `limit` of them; those
    /// of the last successful [`Self::append`] included.
    ///
    /// # Errors
    /// If the medium cannot be read.
    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError>;

    /// Where a key stands among the rows of a space.
    ///
    /// # Errors
    /// If the medium cannot be read.
    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError>;

    /// Removes rows of a space whose keys are below a key, at most `limit` of them, lowest first; says how many.
    /// Need not be durable: what comes back after a crash is removed again.
    ///
    /// # Errors
    /// If the medium refuses; some may then be gone.
    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError>;

    /// The last block that was dropped; zeros if there is the whole journal.
    fn base(&self) -> Head;

    /// Blocks from a number on, or from the first that was not dropped, each checked: its number, its place in the chain, its
    /// hash.
    fn blocks(&self, from: u64) -> Blocks<'_>;

    /// Lets the journal of an empty store continue a block that was dropped elsewhere: for a restored one.
    ///
    /// # Errors
    /// If the medium refuses.
    ///
    /// # Panics
    /// If the store is not empty.
    fn begin(&self, base: Head) -> Result<(), StoreError>;

    /// Drops the oldest blocks up to a number, at most `limit` of them and none that the current checkpoint does not include,
    /// since a recovery needs them; says how many. Need not be durable, as for [`Self::forget`].
    ///
    /// # Errors
    /// If the medium refuses; some may then be gone.
    ///
    /// # Panics
    /// If the number lies beyond the sealed checkpoint: a verification would have nothing to begin with.
    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError>;

    /// Saves changed rows with the number of the last block they include, as one atomic batch, durable on return.
    ///
    /// # Errors
    /// Then the checkpoint before is still whole; as after a failed [`Self::append`], the store may refuse to go on.
    ///
    /// # Panics
    /// If the block lies beyond the head: the committer has a bug.
    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError>;

    /// The last checkpoint of a kind.
    ///
    /// # Errors
    /// If it cannot be read or is not whole.
    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError>;

    /// Makes certain what failed changes left, without a restart: where it has to, it opens the medium anew, during which
    /// reads may be refused. The head is then what survived, a failed append included as a whole or not at all, and changes
    /// are taken again. Does nothing where nothing is uncertain.
    ///
    /// # Errors
    /// If the medium still refuses: then it may be called again, and until it succeeds changes are refused. As at an opening,
    /// if what is there is damaged or less than had been appended.
    fn recover(&self) -> Result<Head, StoreError>;

    /// Makes everything durable and lets go of the medium. Called once, last.
    ///
    /// # Errors
    /// If the medium refuses.
    fn close(&self) -> Result<(), StoreError>;
}

/// Longest value handed to a medium in one piece: longer ones would go where sled never syncs (DESIGN §6). sled keeps up to
/// 17 entries in one page and pages of up to 128 KiB in its log: 17 of these and their keys stay below that.
pub const MAX_VALUE_BYTES: usize = 7_000;

/// Longest key of a [`Row`].
pub const MAX_KEY_BYTES: usize = 64;

/// How a store on disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskOptions {
    /// Memory for the database's cache of pages, in bytes.
    pub cache_bytes: u64,
    /// Go on without blocks that are known to have been committed and are not there. What is not whole is set aside.
    pub accept_loss: bool,
}

impl Default for DiskOptions {
    /// 64 MiB, and no loss.
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, accept_loss: false }
    }
}

impl Block {
    /// Of encoded events; hashed here, once.
    #[must_use]
    pub fn new(number: u64, previous: BlockHash, payload: Vec<u8>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&number.to_le_bytes());
        hasher.update(&previous);
        hasher.update(&payload);
        let hash = *hasher.finalize().as_bytes();
        Self { number, previous, payload, hash }
    }

    /// The one that continues a journal.
    #[must_use]
    pub fn after(head: Head, payload: Vec<u8>) -> Self {
        Self::new(head.number + 1, head.hash, payload)
    }

    /// From 1, without gaps.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Hash of the block before; zeros for the first.
    #[must_use]
    pub const fn previous(&self) -> &BlockHash {
        &self.previous
    }

    /// Encoded events.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// BLAKE3 of all of it.
    #[must_use]
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The end of a journal that it is the last block of.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash }
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
            block.number(),
            head.number
        );
        head = block.head();
        head
    });
    heads.collect()
}

/// Rows that a medium could not take in one piece are a bug of whoever made them.
fn check_rows(rows: &[Row]) {
    for Row { space, key, value } in rows {
        let length = value.as_ref().map_or(0, Vec::len);
        assert!(
            key.len() <= MAX_KEY_BYTES && length <= MAX_VALUE_BYTES,
            "a row of {space:?} has a key of {} and a value of {length} bytes",
            key.len()
        );
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod power_cut;
