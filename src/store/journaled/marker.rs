//! What a database behind a journal says of it: how far it has got.

use crate::store::stored::{base_of, base_value};
use crate::store::{Head, Row, Space, Store, StoreError};

const KEY: &[u8] = b"flushed";
const VERSION: u8 = 1;

/// Written with the rows that a database takes over, in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The last record whose rows are there.
    pub(super) records: u64,
    /// The last block that stands in the database itself.
    pub(super) older: u64,
    /// The head after that record.
    pub(super) head: Head,
    /// The last block that was dropped.
    pub(super) base: Head,
}

impl Marker {
    /// Version, record, block, head, base: 97 bytes.
    pub(super) fn to_row(self) -> Row {
        let mut value = vec![VERSION];
        value.extend(self.records.to_le_bytes());
        value.extend(self.older.to_le_bytes());
        value.extend(base_value(self.head));
        value.extend(base_value(self.base));
        Row { space: Space::Journal, key: KEY.to_vec(), value: Some(value) }
    }

    /// Of a database; `None` if there never was a journal before it.
    pub(super) fn of(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let Some((_, value)) = store.rows(Space::Journal, KEY, None, 1)?.pop() else { return Ok(None) };
        let read = || {
            let (version, rest) = value.split_first_chunk::<1>()?;
            let (records, rest) = rest.split_first_chunk::<8>()?;
            let (older, rest) = rest.split_first_chunk::<8>()?;
            let (head, base) = rest.split_at_checked(40)?;
            let (records, older) = (u64::from_le_bytes(*records), u64::from_le_bytes(*older));
            let marker = Self { records, older, head: base_of(head).ok()?, base: base_of(base).ok()? };
            (*version == [VERSION]).then_some(marker)
        };
        read().map(Some).ok_or_else(|| StoreError::Damaged("how far the journal has got cannot be read".into()))
    }
}
