//! What the database does not hold yet, read again from the files.

use std::path::Path;

use crate::store::journaled::FLUSH_BYTES;
use crate::store::journaled::files::{Piece, Records};
use crate::store::journaled::key::RowKey;
use crate::store::journaled::marker::Marker;
use crate::store::journaled::open::continued;
use crate::store::journaled::overlay::Overlay;
use crate::store::journaled::record::{Change, Record, Value, changes};
use crate::store::{Store, StoreError};

pub(super) struct Redoing<'a> {
    pub(super) directory: &'a Path,
    pub(super) inner: &'a dyn Store,
    /// Whether to go on without rows that cannot be had: blocks are whole, and what they leave beside them is made anew from them
    /// (`service::rebuild`).
    pub(super) accept_loss: bool,
    /// How many of those there were.
    pub(super) lost: u64,
}

impl Redoing<'_> {
    /// Reads into memory the rows of the records behind the marker, and where they are many, hands them to the database; says up to which it
    /// then holds them.
    pub(super) fn redo(
        mut self,
        pieces: &[Piece],
        mut marker: Marker,
        notes: &mut Vec<String>,
    ) -> Result<(Overlay, u64), StoreError> {
        let mut overlay = Overlay::default();
        let from = pieces.iter().rposition(|piece| piece.header.first <= marker.records + 1).unwrap_or(0);
        for piece in pieces.get(from..).unwrap_or(&[]) {
            let mut head = piece.header.before;
            let key = RowKey::read(self.directory, piece.header.file)?;
            let mut records = Records::of(self.directory, piece)?;
            while let Some(record) = records.whole()? {
                head = continued(&record, head).map_err(StoreError::Damaged)?;
                if record.number <= marker.records {
                    continue;
                }
                self.record(&record, key.as_ref(), &mut overlay)?;
                if overlay.bytes() > FLUSH_BYTES {
                    (marker.records, marker.head) = (record.number, head);
                    let mut rows = overlay.to_rows();
                    rows.push(marker.to_row());
                    self.inner.append(&[], &rows)?;
                    overlay.clear();
                }
            }
        }
        if self.lost > 0 {
            notes.push(format!("{} changes of rows are lost; what blocks say of them can be made anew", self.lost));
        }
        Ok((overlay, marker.records))
    }

    fn record(&mut self, record: &Record, key: Option<&RowKey>, overlay: &mut Overlay) -> Result<(), StoreError> {
        let shown = match key {
            Some(key) => record.shown(key).unwrap_or_default(),
            None if record.says_nothing_of_rows() => return Ok(()),
            None => return self.lose(record, "cannot be read any more, and the database does not hold it"),
        };
        let Some(changes) = changes(&shown) else { return self.lose(record, "is not what was written") };
        for Change { space, key, value } in changes {
            let value = match value {
                Value::Removed => None,
                Value::Whole(value) => Some(value.to_vec()),
                Value::Patched(patch) => {
                    let before = overlay.value(self.inner, space, key)?;
                    match before.and_then(|before| patch.over(&before)) {
                        Some(value) => Some(value),
                        None => {
                            self.lose(record, "changes a row that is another")?;
                            continue;
                        }
                    }
                }
            };
            overlay.put(space, key.to_vec(), value);
        }
        Ok(())
    }

    fn lose(&mut self, record: &Record, what: &str) -> Result<(), StoreError> {
        self.lost += 1;
        match self.accept_loss {
            true => Ok(()),
            false => Err(StoreError::Damaged(format!("what record {} says of rows {what}", record.number))),
        }
    }
}
