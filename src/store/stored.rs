//! What stores on disk have in common: a block's bytes and the check of its place, the mark of a checkpoint, and the verdict
//! over what an open found.

use std::fs::{self, File};
use std::path::Path;

use crate::store::guard::refused;
use crate::store::{Block, BlockHash, Checkpoint, Head, StoreError};

/// Blocks that are read and checked at every open: some tens of megabytes. Older ones are checked when they are read.
pub(super) const EXAMINED_BLOCKS: u64 = 10_000;

/// The version of [`CheckpointMark`]'s bytes.
const MARK_VERSION: u8 = 1;

/// Bytes before a block's payload: its hash and the hash of the block before.
pub(super) const BLOCK_HEADER_BYTES: usize = 64;

/// A block's bytes.
pub(super) fn block_value(hash: &BlockHash, previous: &BlockHash, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(BLOCK_HEADER_BYTES + payload.len());
    value.extend_from_slice(hash);
    value.extend_from_slice(previous);
    value.extend_from_slice(payload);
    value
}

/// The block of these bytes and its hash, if it continues the block before.
pub(super) fn checked_block(number: u64, value: &[u8], before: &BlockHash) -> Result<(Block, BlockHash), StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("block {number} {what}"));
    let (hash, previous, payload) = split_block(value).ok_or_else(|| damaged("is shorter than its header"))?;
    if previous != *before {
        return Err(damaged("does not continue the block before it"));
    }
    let block = Block::new(number, previous, payload.to_vec());
    if block.hash() != hash {
        return Err(damaged("does not have the hash it was stored with"));
    }
    Ok((block, hash))
}

/// The hash a block was stored with, which the next block's reader checks. The beginning of its bytes is enough.
pub(super) fn hash_of(number: u64, value: Option<&[u8]>) -> Result<BlockHash, StoreError> {
    match value.and_then(split_block) {
        Some((hash, _, _)) => Ok(hash),
        None => Err(StoreError::Damaged(format!("block {number} is shorter than its header"))),
    }
}

pub(super) fn missing(number: u64) -> StoreError {
    StoreError::Damaged(format!("block {number} is missing"))
}

/// Hash, hash before and payload of a block's bytes; `None` if there are too few.
fn split_block(value: &[u8]) -> Option<(BlockHash, BlockHash, &[u8])> {
    let (hash, rest) = value.split_first_chunk::<32>()?;
    let (previous, payload) = rest.split_first_chunk::<32>()?;
    Some((*hash, *previous, payload))
}

/// Number and hash of the last block that was dropped.
pub(super) fn base_value(base: Head) -> Vec<u8> {
    [&base.number.to_le_bytes()[..], &base.hash].concat()
}

pub(super) fn base_of(value: &[u8]) -> Result<Head, StoreError> {
    let read = || {
        let (number, hash) = value.split_first_chunk::<8>()?;
        Some(Head { number: u64::from_le_bytes(*number), hash: hash.try_into().ok()? })
    };
    read().ok_or_else(|| StoreError::Damaged("where the journal begins cannot be read".into()))
}

/// What is there, as far as it is whole.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// The last block that was dropped.
    pub(super) base: Head,
    /// The last block of the chain that is whole.
    pub(super) whole: Head,
    /// Number in the mark of the current checkpoint.
    pub(super) checkpoint_block: u64,
    /// What is wrong with the blocks after [`Self::whole`].
    pub(super) flaw: Option<StoreError>,
    /// What is wrong with the checkpoint.
    pub(super) checkpoint_flaw: Option<StoreError>,
}

impl Examined {
    /// Follows the chain from the block after `whole` on, to its end or its first flaw.
    pub(super) fn follow(&mut self, blocks: impl IntoIterator<Item = Result<Block, StoreError>>) {
        for block in blocks {
            match block {
                Ok(block) => self.whole = block.head(),
                Err(flaw) => self.flaw = Some(flaw),
            }
        }
    }

    /// The head, if everything is there that is known to have been. `hash` reads the hash a block was stored with.
    pub(super) fn judge(
        self,
        known: Option<Head>,
        hash: impl FnOnce(u64) -> Result<BlockHash, StoreError>,
    ) -> Result<Head, StoreError> {
        let Self { base, whole, checkpoint_block, flaw, checkpoint_flaw } = self;
        let known = known.unwrap_or_default();
        flaw.or(checkpoint_flaw).map_or(Ok(()), Err)?;
        loss(whole.number, known.number.max(checkpoint_block))?;
        let same = || match known.number == base.number {
            true => Ok(base.hash == known.hash),
            // What was dropped since cannot be compared.
            false if known.number < base.number => Ok(true),
            false => Ok(hash(known.number)? == known.hash),
        };
        if known.number > 0 && !same()? {
            // Another history: of the one that was committed, at most the blocks before are there.
            loss(known.number - 1, known.number)?;
        }
        Ok(whole)
    }
}

/// What an open asks a journal to hold: what the head file says, or what this process saw committed since.
pub(super) fn newer(written: Option<Head>, seen: Option<Head>) -> Option<Head> {
    [written, seen].into_iter().flatten().max_by_key(|head| head.number)
}

/// An error if blocks are missing that had been committed.
pub(super) fn loss(found: u64, expected: u64) -> Result<(), StoreError> {
    if found < expected { Err(StoreError::Loss { found, expected }) } else { Ok(()) }
}

/// What a checkpoint says of itself: its rows can be missing without a trace, so their number and the exclusive or of
/// their digests are kept beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CheckpointMark {
    pub(super) block: u64,
    rows: u64,
    digest: [u8; 32],
}

impl CheckpointMark {
    /// Version, block, number of rows, digest: 49 bytes.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![MARK_VERSION];
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let (version, rest) = bytes.split_first_chunk::<1>()?;
            let (block, rest) = rest.split_first_chunk::<8>()?;
            let (rows, digest) = rest.split_first_chunk::<8>()?;
            let digest = digest.try_into().ok()?;
            let mark = Self { block: u64::from_le_bytes(*block), rows: u64::from_le_bytes(*rows), digest };
            (*version == [MARK_VERSION]).then_some(mark)
        };
        read().ok_or_else(|| StoreError::Damaged("the checkpoint's mark cannot be read".into()))
    }

    /// Counts a row in.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.toggle(key, value);
    }

    /// Counts a row out.
    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.toggle(key, value);
    }

    /// An error unless the rows that were found are the rows that were saved.
    pub(super) fn check(&self, found: &Checkpoint) -> Result<(), StoreError> {
        let mut sum = Self { block: self.block, ..Self::default() };
        for (key, value) in &found.rows {
            sum.add(key, value);
        }
        if sum == *self {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the checkpoint has {} rows where {} were saved, or some are not what was saved",
            sum.rows, self.rows
        )))
    }

    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.len().to_le_bytes()).update(key).update(value);
        for (sum, byte) in self.digest.iter_mut().zip(hasher.finalize().as_bytes()) {
            *sum ^= byte;
        }
    }
}

/// A new directory's entry is synced as well: a power cut must not take the whole store.
pub(super) fn create_directory(directory: &Path) -> Result<(), StoreError> {
    if directory.exists() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|error| refused("create its directory", &error))?;
    match directory.parent() {
        Some(parent) if parent != Path::new("") => sync_directory(parent),
        Some(_) | None => sync_directory(Path::new(".")),
    }
}

pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(|error| refused("sync its directory", &error))
}
