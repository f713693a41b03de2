//! The journal in files of its own, before a store that keeps the rows and the checkpoints.
//!
//! A change is one record at the end of a file and one synchronous write, whatever database stands behind it. Its rows are kept in
//! memory until there are 256 KiB of them, or 64 KiB where the committer lets them go, or a checkpoint is saved, and then go to the database together: a
//! page of the ledger that many commits in a row have changed is written there once. After a crash the records that the database does
//! not hold yet are read again. So a database never has to keep pace with the journal, and what retention drops is whole files.
//!
//! Invariant: a row is in the database or in memory; what is in memory is in the files. Its directory holds `journal/` (the files
//! and the file `head`, see `head_file`) beside what the database keeps there.

mod files;
mod key;
mod marker;
mod medium;
mod open;
mod overlay;
mod patch;
mod record;
mod redo;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::store::guard::{not_open, uncertain};
use crate::store::head_file::HeadWriter;
use crate::store::journaled::files::{BlockReader, Extent};
use crate::store::journaled::overlay::Overlay;
use crate::store::journaled::writer::Writer;
use crate::store::stored::missing;
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, Head, Place, Row, Rows, Space, StateRow, Store, StoreError, check_rows,
    heads_after,
};

#[cfg(test)]
pub(super) use crate::store::journaled::record::HEADER_BYTES;

/// A file that is longer is followed by the next one. What retention drops goes by whole files.
const FILE_BYTES: u64 = if cfg!(test) { 60_000 } else { 8 << 20 };
/// Rows that take more memory go to the database.
const FLUSH_BYTES: usize = if cfg!(test) { 40_000 } else { 256 << 10 };
/// And when nobody waits, so many: requests that share a core with the committer stand still meanwhile.
const TIDY_BYTES: usize = FLUSH_BYTES / 4;
/// Memory that is kept from one change to the next: room for a commit of batches.
const KEPT_BYTES: usize = 2 << 20;
/// Rows that are read at once to be forgotten.
const FORGET_AT_ONCE: usize = 64;

/// The name, in a checkpoint of the database, of the number of the block that it includes: the database knows of no blocks.
const BLOCK_KEY: &[u8] = b"\0block";

/// A journal before a database. Locks, in order: `writer` for the length of a change, then `ends` or `rows` for a moment.
pub struct JournaledStore {
    directory: Arc<Path>,
    inner: Box<dyn Store>,
    /// Blocks up to this one stand in the database: an earlier build wrote them.
    older: u64,
    writer: Mutex<Writer>,
    ends: Mutex<Ends>,
    rows: RwLock<Overlay>,
    head_writer: HeadWriter,
}

/// What readers ask for.
#[derive(Debug)]
struct Ends {
    /// The last block that was dropped.
    base: Head,
    extent: Extent,
    closed: bool,
}

impl JournaledStore {
    /// The panics under this lock, for blocks that do not continue the head and the like, come before anything is changed.
    fn writer(&self, action: &'static str) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ends().closed {
            return Err(not_open(action));
        }
        if writer.uncertain {
            return Err(uncertain(action));
        }
        Ok(writer)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Nothing that can panic runs under this lock.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks from a number on; the first of them continues `before`, where that is known.
    fn journal_blocks(&self, from: u64, before: Option<[u8; 32]>) -> Blocks<'_> {
        let (extent, closed) = {
            let Ends { extent, closed, .. } = &*self.ends();
            (extent.clone(), *closed)
        };
        if closed {
            return Box::new(std::iter::once(Err(not_open("read the journal"))));
        }
        match BlockReader::new(extent, from, before) {
            Ok(reader) => Box::new(reader),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

impl Store for JournaledStore {
    fn head(&self) -> Head {
        self.ends().extent.head
    }

    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        let action = "append to the journal";
        check_rows(rows);
        assert!(rows.iter().all(|row| row.space != Space::Journal), "rows of the journal are its own");
        let mut writer = self.writer(action)?;
        let before = self.head();
        let head = heads_after(before, blocks).last().copied().unwrap_or(before);
        let number = writer.records + 1;
        let erases = self.erases(blocks, rows)?;
        let changes = self.changes(rows)?;
        self.turn(action, &mut writer)?;
        let Writer { file, buffer, .. } = &mut *writer;
        let (_, key) = file.as_ref().expect("a file was begun");
        record::encode(number, before.number + 1, blocks, &changes, key, buffer);
        let end = writer.write(action)?;
        self.show(&writer, rows, head, end);
        let full = self.overlay().bytes() > FLUSH_BYTES;
        self.head_writer.committed(head);
        let told = match (erases, full) {
            (true, _) => self.shred(action, &mut writer),
            (false, true) => self.flush(&mut writer),
            (false, false) => Ok(()),
        };
        if let Err(error) = told {
            // The change itself is on disk; the next one is refused.
            tracing::warn!(%error, "the database behind the journal does not take its rows");
        }
        Ok(())
    }

    fn tidy(&self) -> Result<bool, StoreError> {
        if self.overlay().bytes() <= TIDY_BYTES {
            return Ok(false);
        }
        let mut writer = self.writer("bring rows to the database")?;
        self.flush(&mut writer).map(|()| true)
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        let changed = self.overlay().changed(space, prefix, after, limit);
        changed.rows_over(&*self.inner, space, prefix, after, limit)
    }

    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        let changed = self.overlay().around(space, key);
        changed.place_over(&*self.inner, space, key)
    }

    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        let mut writer = self.writer("forget rows")?;
        let mut forgotten = 0;
        while forgotten < limit {
            let at_once = FORGET_AT_ONCE.min(limit - forgotten);
            let rows = self.rows(space, &[], None, at_once)?;
            let found = rows.len();
            let mut overlay = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            let before = forgotten;
            for (key, _) in rows.into_iter().filter(|(key, _)| **key < *below) {
                overlay.put(space, key, None);
                forgotten += 1;
            }
            if forgotten - before < found || found < at_once {
                break;
            }
        }
        if self.overlay().bytes() > FLUSH_BYTES {
            self.flush(&mut writer)?;
        }
        Ok(forgotten)
    }

    fn base(&self) -> Head {
        self.ends().base
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        let base = self.base();
        let from = from.max(base.number + 1);
        if from > self.older {
            return self.journal_blocks(from, (from == base.number + 1).then_some(base.hash));
        }
        let mut failed = false;
        let blocks = self.inner.blocks(from).chain(self.journal_blocks(self.older + 1, None));
        Box::new(blocks.take_while(move |block| !std::mem::replace(&mut failed, block.is_err())))
    }

    fn begin(&self, base: Head) -> Result<(), StoreError> {
        let mut writer = self.writer("begin a journal")?;
        {
            let mut ends = self.ends();
            assert!(ends.extent.head == Head::default(), "a journal that has begun cannot begin");
            (ends.base, ends.extent.head) = (base, base);
        }
        let flushed = self.flush(&mut writer);
        if flushed.is_err() {
            let mut ends = self.ends();
            (ends.base, ends.extent.head) = (Head::default(), Head::default());
        }
        flushed?;
        self.head_writer.committed(base);
        Ok(())
    }

    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        let mut writer = self.writer("drop old blocks")?;
        let sealed = self.checkpoint_block(&mut writer, CheckpointKind::Sealed)?;
        assert!(through <= sealed, "block {through} is not in the sealed checkpoint, which ends at {sealed}");
        let through = through.min(self.checkpoint_block(&mut writer, CheckpointKind::Current)?);
        let first = self.base().number + 1;
        if first <= self.older {
            let dropped = self.inner.drop_blocks(through.min(self.older), limit)?;
            self.ends().base = self.inner.base();
            return Ok(dropped);
        }
        let Some(last) = (first..=through).take(limit).last() else { return Ok(0) };
        let block = self.blocks(last).next().unwrap_or_else(|| Err(missing(last)))?;
        self.ends().base = block.head();
        self.delete_files(&mut writer)?;
        Ok(usize::try_from(last + 1 - first).unwrap_or(limit))
    }

    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        let mut writer = self.writer("save a checkpoint")?;
        assert!(block <= self.head().number, "a checkpoint includes block {block}, which was never appended");
        // First: the database then says how long the journal must be for this checkpoint.
        self.flush(&mut writer)?;
        let mut rows = rows.to_vec();
        rows.push(StateRow { key: BLOCK_KEY.to_vec(), value: Some(block.to_le_bytes().to_vec()) });
        writer.uncertain = true;
        self.inner.save_checkpoint(kind, self.inner.head().number, &rows)?;
        writer.uncertain = false;
        *writer.checkpoint(kind) = Some(block);
        Ok(())
    }

    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        of_journal(self.inner.load_checkpoint(kind)?)
    }

    fn recover(&self) -> Result<Head, StoreError> {
        let action = "make certain what it holds";
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ends().closed {
            return Err(not_open(action));
        }
        if writer.uncertain {
            self.inner.recover()?;
            writer.trim(action)?;
            writer.buffer.clear();
            writer.uncertain = false;
        }
        Ok(self.head())
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = std::mem::replace(&mut self.ends().closed, true);
        let flushed = if closed || writer.uncertain { Ok(()) } else { self.flush(&mut writer) };
        let trimmed = writer.trim("close the journal");
        writer.file = None;
        let inner = self.inner.close();
        // Last: the head file never says more than what is on disk.
        let head = self.head_writer.stop();
        flushed.and(trimmed).and(inner).and(head)
    }
}

impl Drop for JournaledStore {
    fn drop(&mut self) {
        // What close() would report, nobody is there to hear.
        drop(self.close());
    }
}

impl std::fmt::Debug for JournaledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournaledStore").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// A checkpoint of the database, with the block that it includes of the journal. One that an earlier build saved says it itself.
fn of_journal(mut checkpoint: Checkpoint) -> Result<Checkpoint, StoreError> {
    if let Some(place) = checkpoint.rows.iter().position(|(key, _)| key == BLOCK_KEY) {
        let (_, block) = checkpoint.rows.remove(place);
        let block = block
            .try_into()
            .map_err(|_| StoreError::Damaged("a checkpoint does not say which block it includes".into()))?;
        checkpoint.block = u64::from_le_bytes(block);
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests;
