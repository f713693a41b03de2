//! Reading: blocks with their place in the chain, checkpoint rows, and an examination of both.

use crate::store::disk::guard::guarded;
use crate::store::disk::layout::*;
use crate::store::stored::{CheckpointMark, Examined, base_of, checked_block, hash_of, missing};
use crate::store::{Block, BlockHash, Checkpoint, CheckpointKind, Head, StoreError};

/// Blocks in order, each checked against the one before. Ends after the first error.
pub(super) struct BlockReader {
    range: sled::Iter,
    /// The next block to read; `None` after an error.
    next: Option<u64>,
    last: u64,
    /// Hash of the last block that was read.
    previous: BlockHash,
}

impl BlockReader {
    /// Blocks `from..=last`, or from the first that was not dropped.
    pub(super) fn new(tree: &sled::Tree, from: u64, last: u64) -> Result<Self, StoreError> {
        let base = base(tree)?;
        let from = from.max(base.number + 1);
        let previous = match from == base.number + 1 || from > last {
            true => base.hash,
            false => stored_hash(tree, from - 1)?,
        };
        let range = guarded("read the journal", || Ok(tree.range(block_key(from, 0)..=block_key(last, u16::MAX))))?;
        Ok(Self { range, next: Some(from), last, previous })
    }

    /// The next piece, which must stand under this key.
    fn piece(&mut self, number: u64, piece: u16) -> Result<sled::IVec, StoreError> {
        match guarded("read the journal", || self.range.next().transpose())? {
            Some((key, value)) if *key == block_key(number, piece) => Ok(value),
            Some(_) | None if piece == 0 => Err(missing(number)),
            Some(_) | None => Err(StoreError::Damaged(format!("block {number} has no piece {piece}"))),
        }
    }

    fn read(&mut self, number: u64) -> Result<Block, StoreError> {
        let damaged = |what: &str| StoreError::Damaged(format!("block {number} {what}"));
        let mut joining =
            Joining::begin(&self.piece(number, 0)?).ok_or_else(|| damaged("has a first piece that is none"))?;
        let mut piece = 0_u16;
        while !joining.is_whole() {
            piece = piece.checked_add(1).ok_or_else(|| damaged("has too many pieces"))?;
            if !joining.push(&self.piece(number, piece)?) {
                return Err(damaged("is longer than it says"));
            }
        }
        let (block, hash) = checked_block(number, &joining.into_value(), &self.previous)?;
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
pub(super) fn base(tree: &sled::Tree) -> Result<Head, StoreError> {
    let bytes = guarded("read the journal", || tree.get(BASE_KEY))?;
    bytes.map_or(Ok(Head::default()), |bytes| base_of(&bytes))
}

/// Number of the last block that has any piece, or that was dropped; 0 if there is none.
pub(super) fn last_number(tree: &sled::Tree) -> Result<u64, StoreError> {
    let last = guarded("read the journal", || tree.range([BLOCK_PREFIX]..[BLOCK_PREFIX + 1]).next_back().transpose())?;
    match last {
        None => Ok(base(tree)?.number),
        Some((key, _)) => block_number(&key).ok_or_else(|| StoreError::Damaged("a block has no number".into())),
    }
}

/// The hash a block was stored with, which the next block's reader checks.
pub(super) fn stored_hash(tree: &sled::Tree, number: u64) -> Result<BlockHash, StoreError> {
    let first = guarded("read the journal", || tree.get(block_key(number, 0)))?.ok_or_else(|| missing(number))?;
    hash_of(number, Joining::begin(&first).map(Joining::into_value).as_deref())
}

/// The mark of the last checkpoint; zeros if there is none.
pub(super) fn checkpoint_mark(tree: &sled::Tree, kind: CheckpointKind) -> Result<CheckpointMark, StoreError> {
    let bytes = guarded("read the checkpoint", || tree.get([checkpoint_keys(kind).mark]))?;
    bytes.map_or(Ok(CheckpointMark::default()), |bytes| CheckpointMark::from_bytes(&bytes))
}

/// All rows of the checkpoint, checked against its mark.
pub(super) fn load_checkpoint(tree: &sled::Tree, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
    let mark = checkpoint_mark(tree, kind)?;
    let mut rows = guarded("read the checkpoint", || Ok(tree.scan_prefix([checkpoint_keys(kind).rows])))?;
    let mut checkpoint = Checkpoint { block: mark.block, rows: Vec::new() };
    let mut joining: Option<(Vec<u8>, Joining)> = None;
    while let Some((key, value)) = guarded("read the checkpoint", || rows.next().transpose())? {
        let (row, piece) = row_of(&key).ok_or_else(|| StoreError::Damaged("a checkpoint row has no key".into()))?;
        let broken = || StoreError::Damaged(format!("checkpoint row {:?} is not whole", String::from_utf8_lossy(&row)));
        let current = match (joining.take(), piece) {
            (None, 0) => Joining::begin(&value).ok_or_else(broken)?,
            (Some((begun, mut current)), 1..) if begun == row => match current.push(&value) {
                true => current,
                false => return Err(broken()),
            },
            (None | Some(_), _) => return Err(broken()),
        };
        if current.is_whole() {
            checkpoint.rows.push((row, current.into_value()));
        } else {
            joining = Some((row, current));
        }
    }
    if joining.is_some() {
        return Err(StoreError::Damaged("the last checkpoint row is not whole".into()));
    }
    mark.check(&checkpoint)?;
    Ok(checkpoint)
}

/// One row's bytes and how many pieces it stands in; `None` if there is no such row.
pub(super) fn load_row(tree: &sled::Tree, prefix: &[u8]) -> Result<Option<(Vec<u8>, usize)>, StoreError> {
    let pieces = guarded("read the checkpoint", || tree.scan_prefix(prefix).collect::<Result<Vec<_>, _>>())?;
    let Some(((_, first), rest)) = pieces.split_first() else { return Ok(None) };
    let whole = Joining::begin(first).and_then(|mut joining| {
        let fits = rest.iter().all(|(_, piece)| joining.push(piece));
        (fits && joining.is_whole()).then(|| joining.into_value())
    });
    let value = whole.ok_or_else(|| StoreError::Damaged("a checkpoint row is not whole".into()))?;
    Ok(Some((value, pieces.len())))
}

/// Reads the last `window` blocks and the checkpoint.
pub(super) fn examine(tree: &sled::Tree, window: u64) -> Result<Examined, StoreError> {
    let (base, last) = (base(tree)?, last_number(tree)?);
    let first = last.saturating_sub(window).max(base.number + 1);
    let mut examined = Examined { base, whole: base, ..Examined::default() };
    match BlockReader::new(tree, first, last) {
        Err(flaw) => examined.flaw = Some(flaw),
        Ok(blocks) => {
            // Of blocks before the window only the hash is known, and that is where the chain begins.
            examined.whole = Head { number: first.saturating_sub(1).max(base.number), hash: blocks.previous };
            examined.follow(blocks);
        }
    }
    match load_checkpoint(tree, CheckpointKind::Current) {
        Ok(checkpoint) => examined.checkpoint_block = checkpoint.block,
        Err(flaw) => examined.checkpoint_flaw = Some(flaw),
    }
    Ok(examined)
}
