//! The store in one file, in redb: a way out of sled, and what keeps [`Store`] honest. What redb promises is in
//! `docs/DURABILITY.md`.
//!
//! Invariant: nothing outside this module knows redb. Its directory holds `journal.redb` (the database), `head` (what had been
//! committed, see `head_file`), and what an accepted loss set aside.

mod guard;
mod open;
mod tables;

pub(super) use crate::store::redb::open::FILE;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::store::guard::{not_open, uncertain};
use crate::store::head_file::HeadWriter;
use crate::store::opened::Opened;
use crate::store::redb::guard::guarded;
use crate::store::redb::tables::*;
use crate::store::stored::{base_value, block_value};
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, DiskOptions, Head, MAX_VALUE_BYTES, Place, Row, Rows, Space, StateRow,
    Store, StoreError, check_rows, heads_after,
};

/// A store in one file of a directory. Locks, in order: `writer` for the length of a change, then `db` for the same length to
/// read, then `head` or `base` for a moment.
pub struct RedbStore {
    directory: PathBuf,
    options: DiskOptions,
    /// `None` once closed, and while it is opened anew.
    db: RwLock<Option<Database>>,
    writer: Mutex<Writer>,
    head: Mutex<Head>,
    base: Mutex<Head>,
    head_writer: HeadWriter,
}

struct Writer {
    closed: bool,
    /// A change failed and nobody knows how much of it will be there at the next open.
    uncertain: bool,
}

impl RedbStore {
    /// Opens the store of a directory, new if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file system refuses, or another process has it open. [`StoreError::Damaged`] if
    /// what is there is not whole, [`StoreError::Loss`] if blocks are missing: then everything is left as redb left it, and
    /// the message says the way out.
    pub fn open(directory: &Path, options: DiskOptions) -> Result<Opened<Self>, StoreError> {
        let open::Opened { db, head, base, written, notes } = open::open(directory, options, None)?;
        let store = Self {
            directory: directory.to_path_buf(),
            options,
            db: RwLock::new(Some(db)),
            writer: Mutex::new(Writer { closed: false, uncertain: false }),
            head: Mutex::new(head),
            base: Mutex::new(base),
            head_writer: HeadWriter::start(directory, head, written)?,
        };
        Ok(Opened { store, notes })
    }

    /// What is there now; changes made later are not seen.
    fn read(&self, action: &'static str) -> Result<ReadTransaction, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(|| not_open(action))?;
        guarded(action, || Ok(db.begin_read()?))
    }

    /// The panics under this lock, for blocks that do not continue the head and the like, come before anything is changed.
    fn writer(&self, action: &'static str) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.uncertain {
            return Err(uncertain(action));
        }
        Ok(writer)
    }

    /// Makes one atomic change. A failure leaves the writer uncertain.
    fn change<T>(
        &self,
        action: &'static str,
        writer: &mut Writer,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or_else(|| not_open(action))?;
        writer.uncertain = true;
        let done = guarded(action, || {
            let mut write = db.begin_write()?;
            write.set_durability(durability)?;
            let done = work(&write)?;
            write.commit()?;
            Ok(done)
        })?;
        writer.uncertain = false;
        Ok(done)
    }
}

impl Store for RedbStore {
    fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        let action = "append to the journal";
        check_rows(rows);
        let mut writer = self.writer(action)?;
        let heads = heads_after(self.head(), blocks);
        self.change(action, &mut writer, Durability::Immediate, |write| {
            let mut table = write.open_table(BLOCKS)?;
            for (block, head) in blocks.iter().zip(&heads) {
                table.insert(block.number(), block_value(&head.hash, block.previous(), block.payload()).as_slice())?;
            }
            for space in Space::ALL.into_iter().chain([Space::Journal]) {
                let mut changed = rows.iter().filter(|row| row.space == space).peekable();
                if changed.peek().is_none() {
                    continue;
                }
                let mut table = write.open_table(space_table(space))?;
                for Row { key, value, .. } in changed {
                    match value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                        None => table.remove(key.as_slice())?,
                    };
                }
            }
            if rows.iter().any(|row| row.space == Space::Journal) {
                write.open_table(SINGLE)?.insert(LAYOUT, [JOURNALED_VERSION].as_slice())?;
            }
            if blocks.is_empty() && rows.is_empty() {
                write.open_table(SINGLE)?.insert(PROBE, [0; MAX_VALUE_BYTES].as_slice())?;
            }
            Ok(())
        })?;
        if let Some(head) = heads.last() {
            *self.head.lock().unwrap_or_else(PoisonError::into_inner) = *head;
            self.head_writer.committed(*head);
        }
        Ok(())
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        let read = self.read("read rows")?;
        let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        guarded("read rows", || {
            let mut rows = Rows::new();
            let table = read.open_table(space_table(space))?;
            for entry in table.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
                let (key, value) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                rows.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        let read = self.read("read rows")?;
        guarded("read rows", || {
            let table = read.open_table(space_table(space))?;
            let row = table.range::<&[u8]>(..=key)?.next_back().transpose()?;
            let next = table.range::<&[u8]>((Bound::Excluded(key), Bound::Unbounded))?.next().transpose()?;
            Ok(Place {
                row: row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())),
                next: next.map(|(key, _)| key.value().to_vec()),
            })
        })
    }

    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        let action = "forget rows";
        let mut writer = self.writer(action)?;
        self.change(action, &mut writer, Durability::None, |write| {
            let mut table = write.open_table(space_table(space))?;
            let mut keys = Vec::new();
            for entry in table.range::<&[u8]>(..below)?.take(limit) {
                keys.push(entry?.0.value().to_vec());
            }
            for key in &keys {
                table.remove(key.as_slice())?;
            }
            Ok(keys.len())
        })
    }

    fn base(&self) -> Head {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        let last = self.head().number;
        match self.read("read the journal").and_then(|read| BlockReader::new(&read, from, last)) {
            Ok(reader) => Box::new(reader),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn begin(&self, base: Head) -> Result<(), StoreError> {
        let mut writer = self.writer("begin a journal")?;
        assert!(self.head() == Head::default(), "a journal that has begun cannot begin");
        self.change("begin a journal", &mut writer, Durability::Immediate, |write| {
            write.open_table(SINGLE)?.insert(BASE, base_value(base).as_slice())?;
            Ok(())
        })?;
        for end in [&self.base, &self.head] {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = base;
        }
        self.head_writer.committed(base);
        Ok(())
    }

    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        let action = "drop old blocks";
        let mut writer = self.writer(action)?;
        let read = self.read(action)?;
        let sealed = checkpoint_mark(&read, CheckpointKind::Sealed)?.block;
        assert!(through <= sealed, "block {through} is not in the sealed checkpoint, which ends at {sealed}");
        let through = through.min(checkpoint_mark(&read, CheckpointKind::Current)?.block);
        let first = self.base().number + 1;
        let Some(last) = (first..=through).take(limit).last() else { return Ok(0) };
        let base = Head { number: last, hash: stored_hash(&read, last)? };
        self.change(action, &mut writer, Durability::None, |write| {
            let mut table = write.open_table(BLOCKS)?;
            for number in first..=last {
                table.remove(number)?;
            }
            write.open_table(SINGLE)?.insert(BASE, base_value(base).as_slice())?;
            Ok(())
        })?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
        Ok(usize::try_from(last + 1 - first).unwrap_or(limit))
    }

    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        let action = "save a checkpoint";
        let mut writer = self.writer(action)?;
        assert!(block <= self.head().number, "a checkpoint includes block {block}, which was never appended");
        let mut mark = checkpoint_mark(&self.read(action)?, kind)?;
        mark.block = block;
        self.change(action, &mut writer, Durability::Immediate, |write| {
            let mut table = write.open_table(checkpoint_table(kind))?;
            for StateRow { key, value } in rows {
                let before = match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                    None => table.remove(key.as_slice())?,
                };
                if let Some(before) = before {
                    mark.remove(key, before.value());
                }
                if let Some(value) = value {
                    mark.add(key, value);
                }
            }
            write.open_table(SINGLE)?.insert(mark_key(kind), mark.to_bytes().as_slice())?;
            Ok(())
        })
    }

    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        load_checkpoint(&self.read("read the checkpoint")?, kind)
    }

    fn recover(&self) -> Result<Head, StoreError> {
        let action = "open the database anew";
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.closed {
            return Err(not_open(action));
        }
        if !writer.uncertain {
            return Ok(self.head());
        }
        if let Some(db) = self.db.write().unwrap_or_else(PoisonError::into_inner).take()
            && let Err(error) = guarded(action, || Ok(db.close()?))
        {
            tracing::warn!(%error, "letting go of a database that failed");
        }
        let options = DiskOptions { accept_loss: false, ..self.options };
        let opened = open::open(&self.directory, options, Some(self.head()))?;
        opened.notes.iter().for_each(|note| tracing::warn!("{note}"));
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.db);
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = opened.base;
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = opened.head;
        self.head_writer.committed(opened.head);
        writer.uncertain = false;
        Ok(opened.head)
    }

    fn close(&self) -> Result<(), StoreError> {
        let action = "close the database";
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.closed = true;
        let Some(db) = self.db.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return self.head_writer.stop();
        };
        // What was forgotten without a sync becomes durable with the next change that is synced, and here is the last.
        let flushed = guarded(action, || Ok(db.begin_write()?.commit()?));
        let gone = guarded(action, || Ok(db.close()?));
        // Last: the head file never says more than what is on disk.
        let head = self.head_writer.stop();
        flushed.and(gone).and(head)
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // What close() would report, nobody is there to hear.
        drop(self.close());
    }
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").field("head", &self.head()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
