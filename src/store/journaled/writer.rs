//! Changing: a record behind the last one, the next file, rows on their way to the database, files that go.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, PoisonError};

use crate::store::guard::refused;
use crate::store::journaled::files::{self, Piece};
use crate::store::journaled::key::RowKey;
use crate::store::journaled::marker::Marker;
use crate::store::journaled::medium::Medium;
use crate::store::journaled::patch::{self, Patch};
use crate::store::journaled::record::{Change, HEADER_BYTES, Header, Value};
use crate::store::journaled::{Ends, FILE_BYTES, JournaledStore, KEPT_BYTES, of_journal};
use crate::store::stored::sync_directory;
use crate::store::{Block, CheckpointKind, Head, Row, Space, StoreError};

#[derive(Debug)]
pub(super) struct Writer {
    /// The last file, where this process began it, with the key of its rows.
    pub(super) file: Option<(Medium, RowKey)>,
    /// Whether the next record begins the next file.
    pub(super) turn: bool,
    /// Files whose keys are there, and the last file when the database was told something last.
    pub(super) keys: Vec<u64>,
    pub(super) told_before: u64,
    /// Number of the last record, and of the last one whose rows are in the database.
    pub(super) records: u64,
    pub(super) flushed: u64,
    /// Where the journal begins, as the database says.
    pub(super) flushed_base: Head,
    /// The blocks that the checkpoints include, as far as anybody has asked.
    pub(super) current: Option<u64>,
    pub(super) sealed: Option<u64>,
    pub(super) buffer: Vec<u8>,
    /// A change failed and nobody knows how much of it is there.
    pub(super) uncertain: bool,
}

impl JournaledStore {
    /// What a record says of rows that change: of a long value only what is new in it.
    pub(super) fn changes<'r>(&self, rows: &'r [Row]) -> Result<Vec<Change<'r>>, StoreError> {
        let overlay = self.overlay();
        let mut seen: HashSet<(Space, &[u8])> = HashSet::with_capacity(rows.len());
        let change = |Row { space, key, value }: &'r Row| {
            // Of several changes of one row the first alone is laid over what is there.
            let first = seen.insert((*space, key));
            let value = match value {
                None => Value::Removed,
                Some(value) if first && value.len() >= patch::LEAST_BYTES => {
                    let before = overlay.value(&*self.inner, *space, key)?;
                    let patch = before.and_then(|before| Patch::of(&before, value));
                    patch.map_or(Value::Whole(value), Value::Patched)
                }
                Some(value) => Value::Whole(value),
            };
            Ok(Change { space: *space, key, value })
        };
        rows.iter().map(change).collect()
    }

    /// Begins the next file where the last one is full, or there is none of this process. A failure leaves the writer uncertain.
    pub(super) fn turn(&self, action: &'static str, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.file.is_some() && !writer.turn && self.ends().extent.end() < FILE_BYTES {
            return Ok(());
        }
        writer.uncertain = true;
        writer.trim(action)?;
        writer.file = Some(self.begin_file(writer)?);
        (writer.turn, writer.uncertain) = (false, false);
        Ok(())
    }

    /// Shows the last record to readers: its rows before its blocks, for whoever sees a block may ask for the rows that came with it.
    pub(super) fn show(&self, writer: &Writer, rows: &[Row], head: Head, end: u64) {
        let mut overlay = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for Row { space, key, value } in rows {
            overlay.put(*space, key.clone(), value.clone());
        }
        drop(overlay);
        let extent = &mut self.ends().extent;
        extent.grew(writer.records, extent.head.number + 1, end);
        extent.head = head;
    }

    /// The next file, with nothing but its header, on the medium.
    fn begin_file(&self, writer: &mut Writer) -> Result<(Medium, RowKey), StoreError> {
        let header = {
            let Ends { extent, .. } = &*self.ends();
            let file = extent.pieces.last().map_or(0, |piece| piece.header.file) + 1;
            Header { file, first: writer.records + 1, before: extent.head, end_before: extent.end() }
        };
        writer.keys.push(header.file);
        let key = RowKey::make(&self.directory, header.file)?;
        // What an attempt before this one may have left has no record.
        let file = Medium::begin(&files::path(&self.directory, header.file), &header.to_bytes())
            .map_err(|error| refused("begin a file of the journal", &error))?;
        sync_directory(&self.directory)?;
        self.ends().extent.begin(Piece { header, end: HEADER_BYTES as u64 });
        Ok((file, key))
    }

    /// Brings to the database what it does not hold yet. A failure leaves the writer uncertain.
    pub(super) fn flush(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let (head, base) = {
            let ends = self.ends();
            (ends.extent.head, ends.base)
        };
        let mut rows = self.overlay().to_rows();
        if rows.is_empty() && writer.flushed == writer.records && writer.flushed_base == base {
            return Ok(());
        }
        let marker = Marker { records: writer.records, older: self.older, head, base };
        rows.push(marker.to_row());
        writer.uncertain = true;
        self.inner.append(&[], &rows)?;
        writer.uncertain = false;
        self.rows.write().unwrap_or_else(PoisonError::into_inner).clear();
        (writer.flushed, writer.flushed_base) = (writer.records, base);
        // Not those that were in use since the time before: where the database loses what it was told last, it can be told again.
        self.delete_keys(writer, writer.told_before);
        writer.told_before = self.last_file();
        Ok(())
    }

    fn last_file(&self) -> u64 {
        self.ends().extent.pieces.last().map_or(0, |piece| piece.header.file)
    }

    /// After an erasure: the database takes over all rows, the next file begins, and no key of an older one is left.
    pub(super) fn shred(&self, action: &'static str, writer: &mut Writer) -> Result<(), StoreError> {
        // Before anything can fail: what was erased then goes with the keys that are deleted as the database is told more.
        writer.turn = true;
        self.flush(writer)?;
        self.turn(action, writer)?;
        writer.told_before = self.last_file();
        self.delete_keys(writer, writer.told_before);
        Ok(())
    }

    /// Deletes the keys of files before one.
    fn delete_keys(&self, writer: &mut Writer, before: u64) {
        writer.keys.retain(|file| {
            let deleted = if *file < before { RowKey::delete(&self.directory, *file) } else { return true };
            if let Err(error) = &deleted {
                tracing::warn!(%error, file, "a key of the journal could not be deleted; trying again");
            }
            deleted.is_err()
        });
    }

    /// Whether rows change what was said of visitors before: an erasure, which is to take effect in the files as well.
    pub(super) fn erases(&self, blocks: &[Block], rows: &[Row]) -> Result<bool, StoreError> {
        for Row { space, key, value } in rows {
            let known = match (space, value) {
                (Space::Companion | Space::Profile, None) => true,
                // Those that come with blocks are new.
                (Space::Companion, Some(_)) if blocks.is_empty() => {
                    self.overlay().value(&*self.inner, *space, key)?.is_some()
                }
                _ => false,
            };
            if known {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The number of the block that a checkpoint includes.
    pub(super) fn checkpoint_block(&self, writer: &mut Writer, kind: CheckpointKind) -> Result<u64, StoreError> {
        let known = writer.checkpoint(kind);
        if let Some(block) = *known {
            return Ok(block);
        }
        let block = of_journal(self.inner.load_checkpoint(kind)?)?.block;
        *known = Some(block);
        Ok(block)
    }

    /// Deletes the oldest files, as long as retention has dropped all that is in them.
    pub(super) fn delete_files(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let (base, pieces) = {
            let Ends { base, extent, .. } = &*self.ends();
            (*base, Arc::clone(&extent.pieces))
        };
        let dropped = |pair: &&[Piece]| pair[1].header.before.number <= base.number;
        let count = pieces.windows(2).take_while(dropped).count();
        if count == 0 {
            return Ok(());
        }
        // Not before the database holds their rows, and says where the journal begins.
        self.flush(writer)?;
        for piece in &pieces[..count] {
            fs::remove_file(files::path(&self.directory, piece.header.file))
                .map_err(|error| refused("delete a file of the journal", &error))?;
            Arc::make_mut(&mut self.ends().extent.pieces).remove(0);
        }
        sync_directory(&self.directory)
    }
}

impl Writer {
    /// Writes a record behind the last one and syncs it; nobody sees it yet. Returns where it ends. A failure leaves it
    /// uncertain, and what was written behind the end.
    pub(super) fn write(&mut self, action: &'static str) -> Result<u64, StoreError> {
        self.uncertain = true;
        let (file, _) = self.file.as_mut().expect("a file was begun");
        let end = file.append(&self.buffer).map_err(|error| refused(action, &error))?;
        self.uncertain = false;
        self.records += 1;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        Ok(end)
    }

    /// The last file has no more than its records then, whatever a failed change left.
    pub(super) fn trim(&mut self, action: &'static str) -> Result<(), StoreError> {
        let Some((file, _)) = &mut self.file else { return Ok(()) };
        file.trim().map_err(|error| refused(action, &error))
    }

    pub(super) fn checkpoint(&mut self, kind: CheckpointKind) -> &mut Option<u64> {
        match kind {
            CheckpointKind::Current => &mut self.current,
            CheckpointKind::Sealed => &mut self.sealed,
        }
    }
}
