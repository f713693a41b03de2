//! The store on disk, in sled 0.34.7. What sled promises less of than [`Store`] does, and what is done about it, is in
//! `docs/DURABILITY.md`.
//!
//! Invariant: nothing outside this module knows sled. Its directory holds `sled/` (the database), `head` (what had been
//! committed, see `head_file`), and what a repair set aside.

mod guard;
mod journal;
mod layout;
mod open;

pub(super) use crate::store::disk::open::LIVE;

use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::store::disk::guard::guarded;
use crate::store::disk::layout::*;
use crate::store::guard::{not_open, refused, uncertain};
use crate::store::head_file::HeadWriter;
use crate::store::opened::Opened;
use crate::store::stored::{base_value, block_value};
use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, DiskOptions, Head, MAX_VALUE_BYTES, Place, Row, Rows, Space, StateRow,
    Store, StoreError, check_rows, heads_after,
};

/// A store in one directory. Locks, in order: `writer` for the length of a change, then `head` or `db` for a moment.
pub struct DiskStore {
    directory: PathBuf,
    options: DiskOptions,
    /// `None` once closed, and while it is opened anew.
    db: RwLock<Option<sled::Db>>,
    writer: Mutex<Writer>,
    head: Mutex<Head>,
    base: Mutex<Head>,
    head_writer: HeadWriter,
}

struct Writer {
    /// sled's file: `flush` alone does not survive a power cut.
    file: File,
    closed: bool,
    /// A change failed and nobody knows how much of it will be there at the next open.
    uncertain: bool,
}

impl DiskStore {
    /// Opens the store of a directory, new if there is none. A store that does not open whole is repaired on a copy, and
    /// the original kept beside it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file system refuses, or another process has it open. [`StoreError::Damaged`] if
    /// no repair helped, [`StoreError::Loss`] if blocks are missing: then everything is left as sled left it, and the
    /// message says the way out.
    pub fn open(directory: &Path, options: DiskOptions) -> Result<Opened<Self>, StoreError> {
        let open::Opened { db, head, written, mut notes } = open::open(directory, options, None)?;
        if written.is_none() && head.number > 0 {
            notes.push(format!("no head file says how long the journal was; it ends at block {}", head.number));
        }
        let base = journal::base(&db)?;
        let store = Self {
            directory: directory.to_path_buf(),
            options,
            db: RwLock::new(Some(db)),
            writer: Mutex::new(Writer { file: synced_file(directory)?, closed: false, uncertain: false }),
            head: Mutex::new(head),
            base: Mutex::new(base),
            head_writer: HeadWriter::start(directory, head, written)?,
        };
        Ok(Opened { store, notes })
    }

    /// A handle on the tree; cheap.
    fn tree(&self, action: &'static str) -> Result<sled::Tree, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().map(|db| (**db).clone()).ok_or_else(|| not_open(action))
    }

    /// The one panic under this lock, for blocks that do not continue the head, comes before anything is changed.
    fn writer(&self, action: &'static str) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.uncertain {
            return Err(uncertain(action));
        }
        Ok(writer)
    }

    /// Applies a batch and syncs it. A failure leaves the writer uncertain.
    fn commit(&self, action: &'static str, writer: &mut Writer, batch: sled::Batch) -> Result<(), StoreError> {
        let tree = self.tree(action)?;
        writer.uncertain = true;
        guarded(action, || tree.apply_batch(batch))?;
        guarded(action, || tree.flush())?;
        writer.file.sync_data().map_err(|error| refused(action, &error))?;
        writer.uncertain = false;
        Ok(())
    }

    /// Removes what is found, and says where the journal begins from then on. Not synced: the next append does that.
    fn remove(
        &self,
        action: &'static str,
        find: impl FnOnce(&sled::Tree) -> Result<Vec<sled::IVec>, sled::Error>,
        base: Option<Head>,
    ) -> Result<usize, StoreError> {
        let mut writer = self.writer(action)?;
        let tree = self.tree(action)?;
        let keys = guarded(action, || find(&tree))?;
        let mut batch = sled::Batch::default();
        keys.iter().for_each(|key| batch.remove(key));
        if let Some(base) = base {
            batch.insert(BASE_KEY, base_value(base));
        }
        writer.uncertain = true;
        guarded(action, || tree.apply_batch(batch))?;
        writer.uncertain = false;
        Ok(keys.len())
    }
}

impl Store for DiskStore {
    fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        let action = "append to the journal";
        check_rows(rows);
        let mut writer = self.writer(action)?;
        let heads = heads_after(self.head(), blocks);
        let mut batch = sled::Batch::default();
        for (block, head) in blocks.iter().zip(&heads) {
            let value = block_value(&head.hash, block.previous(), block.payload());
            for (number, piece) in cut(&value, block_key(0, 0).len()) {
                batch.insert(block_key(block.number(), number).as_slice(), piece);
            }
        }
        for Row { space, key, value } in rows {
            match value {
                Some(value) => batch.insert(space_key(*space, key), value.as_slice()),
                None => batch.remove(space_key(*space, key)),
            }
            if *space == Space::Journal {
                batch.insert(LAYOUT_KEY, &[JOURNALED_VERSION]);
            }
        }
        if blocks.is_empty() && rows.is_empty() {
            batch.insert(PROBE_KEY, vec![0; MAX_VALUE_BYTES - PROBE_KEY.len()]);
        }
        self.commit(action, &mut writer, batch)?;
        if let Some(head) = heads.last() {
            *self.head.lock().unwrap_or_else(PoisonError::into_inner) = *head;
            self.head_writer.committed(*head);
        }
        Ok(())
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        let tree = self.tree("read rows")?;
        let prefix = space_key(space, prefix);
        let after = after.map(|after| space_key(space, after)).filter(|after| *after >= prefix);
        let start = after.map_or_else(|| Bound::Included(prefix.clone()), Bound::Excluded);
        let read = || {
            let mut rows = Rows::new();
            for entry in tree.range((start, Bound::Unbounded)).take(limit) {
                let (key, value) = entry?;
                if !key.starts_with(&prefix) {
                    break;
                }
                rows.push((key[1..].to_vec(), value.to_vec()));
            }
            Ok(rows)
        };
        guarded("read rows", read)
    }

    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        let tree = self.tree("read rows")?;
        let (first, at) = (space_key(space, &[]), space_key(space, key));
        let read = || {
            let row = tree.range(&first[..]..=&at[..]).next_back().transpose()?;
            let next = tree.range::<&[u8], _>((Bound::Excluded(&at[..]), Bound::Unbounded)).next().transpose()?;
            Ok(Place {
                row: row.map(|(key, value)| (key[1..].to_vec(), value.to_vec())),
                next: next.filter(|(key, _)| key.starts_with(&first)).map(|(key, _)| key[1..].to_vec()),
            })
        };
        guarded("read rows", read)
    }

    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        let range = space_key(space, &[])..space_key(space, below);
        self.remove("forget rows", |tree| tree.range(range).keys().take(limit).collect::<Result<Vec<_>, _>>(), None)
    }

    fn base(&self) -> Head {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        let last = self.head().number;
        let reader = self.tree("read the journal").and_then(|tree| journal::BlockReader::new(&tree, from, last));
        match reader {
            Ok(reader) => Box::new(reader),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }

    fn begin(&self, base: Head) -> Result<(), StoreError> {
        let action = "begin a journal";
        let mut writer = self.writer(action)?;
        assert!(self.head() == Head::default(), "a journal that has begun cannot begin");
        let mut batch = sled::Batch::default();
        batch.insert(BASE_KEY, base_value(base));
        self.commit(action, &mut writer, batch)?;
        for end in [&self.base, &self.head] {
            *end.lock().unwrap_or_else(PoisonError::into_inner) = base;
        }
        self.head_writer.committed(base);
        Ok(())
    }

    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        let action = "drop old blocks";
        let tree = self.tree(action)?;
        let sealed = journal::checkpoint_mark(&tree, CheckpointKind::Sealed)?.block;
        assert!(through <= sealed, "block {through} is not in the sealed checkpoint, which ends at {sealed}");
        let through = through.min(journal::checkpoint_mark(&tree, CheckpointKind::Current)?.block);
        let first = self.base().number + 1;
        let Some(last) = (first..=through).take(limit).last() else { return Ok(0) };
        let base = Head { number: last, hash: journal::stored_hash(&tree, last)? };
        let range = block_key(first, 0)..=block_key(last, u16::MAX);
        self.remove(action, |tree| tree.range(range).keys().collect::<Result<Vec<_>, _>>(), Some(base))?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
        Ok(usize::try_from(last + 1 - first).unwrap_or(limit))
    }

    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        let action = "save a checkpoint";
        let mut writer = self.writer(action)?;
        assert!(block <= self.head().number, "a checkpoint includes block {block}, which was never appended");
        let tree = self.tree(action)?;
        let keys = checkpoint_keys(kind);
        let mut mark = journal::checkpoint_mark(&tree, kind)?;
        mark.block = block;
        let mut batch = sled::Batch::default();
        for row in last_of_each_key(rows) {
            let prefix = row_prefix(keys, &row.key);
            let piece_key = |number: u16| [&prefix[..], &number.to_be_bytes()].concat();
            let mut pieces_before = 0;
            if let Some((value, pieces)) = journal::load_row(&tree, &prefix)? {
                mark.remove(&row.key, &value);
                pieces_before = pieces;
            }
            let mut pieces = 0;
            if let Some(value) = &row.value {
                mark.add(&row.key, value);
                for (number, piece) in cut(value, prefix.len() + 2) {
                    batch.insert(piece_key(number), piece);
                    pieces += 1;
                }
            }
            for number in pieces..pieces_before {
                let number = u16::try_from(number).expect("pieces are numbered by 16 bits");
                batch.remove(piece_key(number));
            }
        }
        batch.insert(&[keys.mark], mark.to_bytes());
        self.commit(action, &mut writer, batch)
    }

    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        journal::load_checkpoint(&self.tree("read the checkpoint")?, kind)
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
            && let Err(error) = open::let_go(db)
        {
            tracing::warn!(%error, "letting go of a database that failed");
        }
        open::remove_unfinished_snapshots(&self.directory)?;
        let options = DiskOptions { accept_loss: false, ..self.options };
        let opened = open::open(&self.directory, options, Some(self.head()))?;
        opened.notes.iter().for_each(|note| tracing::warn!("{note}"));
        writer.file = synced_file(&self.directory)?;
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = journal::base(&opened.db)?;
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(opened.db);
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
        let flushed = guarded(action, || db.flush())
            .and_then(|_| writer.file.sync_data().map_err(|error| refused(action, &error)));
        let gone = guarded(action, move || {
            drop(db);
            Ok(())
        });
        // Last: the head file never says more than what is on disk.
        let head = self.head_writer.stop();
        flushed.and(gone).and(head)
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        // What close() would report, nobody is there to hear; sled may still panic over a damaged page.
        drop(self.close());
    }
}

impl std::fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskStore").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// sled's own file, with everything in it on the medium.
fn synced_file(directory: &Path) -> Result<File, StoreError> {
    let file = File::open(directory.join(open::LIVE).join("db"));
    let file = file.and_then(|file| file.sync_data().map(|()| file));
    file.map_err(|error| refused("open its file", &error))
}

/// The rows that count if a key comes more than once: a batch keeps the last, and so must the checkpoint's mark.
fn last_of_each_key(rows: &[StateRow]) -> impl Iterator<Item = &StateRow> {
    let last: std::collections::BTreeMap<&[u8], &StateRow> = rows.iter().map(|row| (row.key.as_slice(), row)).collect();
    last.into_values()
}

#[cfg(test)]
mod tests;
