//! Where things stand in redb's tables, and reading them: blocks with their place in the chain, checkpoint rows, and an
//! examination of both.

use redb::{Range, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use crate::store::redb::guard::guarded;
use crate::store::stored::{CheckpointMark, Examined, base_of, checked_block, hash_of, missing};
use crate::store::{Block, BlockHash, Checkpoint, CheckpointKind, Head, Space, StoreError};

/// Bytes by bytes.
pub(super) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Blocks by number.
pub(super) const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// What there is one of: the layout's version, where the journal begins, marks of checkpoints.
pub(super) const SINGLE: TableDefinition<&str, &[u8]> = TableDefinition::new("single");

pub(super) const LAYOUT: &str = "layout";
pub(super) const LAYOUT_VERSION: u8 = 1;
/// The same once there is a row in [`Space::Journal`]: the journal goes on in files of its own, which earlier builds do not look for.
pub(super) const JOURNALED_VERSION: u8 = 2;
/// Written where nothing else is, to see whether the medium takes it.
pub(super) const PROBE: &str = "probe";
/// The last block that was dropped.
pub(super) const BASE: &str = "base";

/// The rows of a space.
pub(super) const fn space_table(space: Space) -> Bytes {
    TableDefinition::new(match space {
        Space::Ledger => "ledger",
        Space::Assignment => "assignment",
        Space::Alias => "alias",
        Space::Erased => "erased",
        Space::Companion => "companion",
        Space::LedgerPage => "ledger page",
        Space::Profile => "profile",
        Space::Journal => "journal",
    })
}

/// The rows of a checkpoint.
pub(super) const fn checkpoint_table(kind: CheckpointKind) -> Bytes {
    TableDefinition::new(mark_key(kind))
}

/// A checkpoint's mark in [`SINGLE`] has the name of its table.
pub(super) const fn mark_key(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Current => "current",
        CheckpointKind::Sealed => "sealed",
    }
}

/// How many tables there are: blocks, what there is one of, two checkpoints, how far a journal has got, and the spaces.
pub(super) const TABLES: usize = 5 + Space::ALL.len();

/// Makes every table, so that readers find each of them, and marks the layout.
pub(super) fn create(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(BLOCKS)?;
    for space in Space::ALL.into_iter().chain([Space::Journal]) {
        write.open_table(space_table(space))?;
    }
    for kind in [CheckpointKind::Current, CheckpointKind::Sealed] {
        write.open_table(checkpoint_table(kind))?;
    }
    let mut single = write.open_table(SINGLE)?;
    if single.get(LAYOUT)?.is_none() {
        single.insert(LAYOUT, [LAYOUT_VERSION].as_slice())?;
    }
    Ok(())
}

/// Blocks in order, each checked against the one before. Ends after the first error.
pub(super) struct BlockReader {
    range: Range<'static, u64, &'static [u8]>,
    /// The next block to read; `None` after an error.
    next: Option<u64>,
    last: u64,
    /// Hash of the last block that was read.
    pub(super) previous: BlockHash,
}

impl BlockReader {
    /// Blocks `from..=last`, or from the first that was not dropped.
    pub(super) fn new(read: &ReadTransaction, from: u64, last: u64) -> Result<Self, StoreError> {
        let base = base(read)?;
        let from = from.max(base.number + 1);
        let previous = match from == base.number + 1 || from > last {
            true => base.hash,
            false => stored_hash(read, from - 1)?,
        };
        // An empty range is not one whose end lies before its beginning.
        let end = last.max(from);
        let range = guarded("read the journal", || Ok(read.open_table(BLOCKS)?.range(from..=end)?))?;
        Ok(Self { range, next: Some(from), last, previous })
    }

    fn read(&mut self, number: u64) -> Result<Block, StoreError> {
        let entry = guarded("read the journal", || Ok(self.range.next().transpose()?))?;
        let (_, value) = entry.filter(|(key, _)| key.value() == number).ok_or_else(|| missing(number))?;
        let (block, hash) = checked_block(number, value.value(), &self.previous)?;
        self.previous = hash;
        Ok(block)
    }
}

impl Iterator for BlockReader {
    type Item = Result<Block, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next.take_if(|number| *number <= self.last)?;
        let block = self.read(number);
        self.next = block.is_ok().then_some(number + 1);
        Some(block)
    }
}

/// The last block that was dropped; zeros if none was.
pub(super) fn base(read: &ReadTransaction) -> Result<Head, StoreError> {
    single(read, "read the journal", BASE)?.map_or(Ok(Head::default()), |bytes| base_of(&bytes))
}

pub(super) fn single(read: &ReadTransaction, action: &'static str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    guarded(action, || Ok(read.open_table(SINGLE)?.get(key)?.map(|value| value.value().to_vec())))
}

/// Number of the last block, or of the last that was dropped; 0 if there is none.
fn last_number(read: &ReadTransaction) -> Result<u64, StoreError> {
    let last = guarded("read the journal", || Ok(read.open_table(BLOCKS)?.last()?.map(|(number, _)| number.value())))?;
    last.map_or_else(|| Ok(base(read)?.number), Ok)
}

/// The hash a block was stored with, which the next block's reader checks.
pub(super) fn stored_hash(read: &ReadTransaction, number: u64) -> Result<BlockHash, StoreError> {
    let value = guarded("read the journal", || Ok(read.open_table(BLOCKS)?.get(number)?))?;
    hash_of(number, Some(value.ok_or_else(|| missing(number))?.value()))
}

/// The mark of the last checkpoint; zeros if there is none.
pub(super) fn checkpoint_mark(read: &ReadTransaction, kind: CheckpointKind) -> Result<CheckpointMark, StoreError> {
    let bytes = single(read, "read the checkpoint", mark_key(kind))?;
    bytes.map_or(Ok(CheckpointMark::default()), |bytes| CheckpointMark::from_bytes(&bytes))
}

/// All rows of the checkpoint, checked against its mark.
pub(super) fn load_checkpoint(read: &ReadTransaction, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
    let mark = checkpoint_mark(read, kind)?;
    let mut checkpoint = Checkpoint { block: mark.block, rows: Vec::new() };
    guarded("read the checkpoint", || {
        for entry in read.open_table(checkpoint_table(kind))?.iter()? {
            let (key, value) = entry?;
            checkpoint.rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(())
    })?;
    mark.check(&checkpoint)?;
    Ok(checkpoint)
}

/// Reads the last `window` blocks and the checkpoint.
pub(super) fn examine(read: &ReadTransaction, window: u64) -> Result<Examined, StoreError> {
    let (base, last) = (base(read)?, last_number(read)?);
    let first = last.saturating_sub(window).max(base.number + 1);
    let mut examined = Examined { base, whole: base, ..Examined::default() };
    match BlockReader::new(read, first, last) {
        Err(flaw) => examined.flaw = Some(flaw),
        Ok(blocks) => {
            // Of blocks before the window only the hash is known, and that is where the chain begins.
            examined.whole = Head { number: first.saturating_sub(1).max(base.number), hash: blocks.previous };
            examined.follow(blocks);
        }
    }
    match load_checkpoint(read, CheckpointKind::Current) {
        Ok(checkpoint) => examined.checkpoint_block = checkpoint.block,
        Err(flaw) => examined.checkpoint_flaw = Some(flaw),
    }
    Ok(examined)
}
