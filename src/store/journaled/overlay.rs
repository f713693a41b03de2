//! Rows that are in the journal's files and not yet in the database behind them, laid over those that are.
//!
//! Whoever reads looks here first and into the database second: what moves there meanwhile is then seen twice, and never missed.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::store::{MAX_KEY_BYTES, Place, Row, Rows, Space, Store, StoreError};

/// What a row costs besides its key and value.
const ROW_BYTES: usize = 64;
/// Rows of the database that are read beyond those that are asked for, in case some were removed here.
const READ_AHEAD: usize = 16;

/// The rows that changed, each with its new value; `None` where it was removed.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    rows: BTreeMap<(Space, Vec<u8>), Option<Vec<u8>>>,
    bytes: usize,
}

/// What stands here under some keys of one space, taken out to be compared with the database.
pub(super) struct Changed(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Overlay {
    /// Memory it takes, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value of a row, here or in the database.
    pub(super) fn value(&self, store: &dyn Store, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(value) = self.rows.get(&(space, key.to_vec())) {
            return Ok(value.clone());
        }
        let row = store.rows(space, key, None, 1)?.pop();
        Ok(row.filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    pub(super) fn put(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let (name, added) = (key.len() + ROW_BYTES, size(&value));
        match self.rows.insert((space, key), value) {
            Some(before) => self.bytes -= size(&before),
            None => self.bytes += name,
        }
        self.bytes += added;
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }

    /// All changes, in the order of their keys.
    pub(super) fn to_rows(&self) -> Vec<Row> {
        let row = |((space, key), value): (&(Space, Vec<u8>), &Option<Vec<u8>>)| Row {
            space: *space,
            key: key.clone(),
            value: value.clone(),
        };
        self.rows.iter().map(row).collect()
    }

    /// What changed among keys with a prefix and above `after`, as far as `limit` rows that are there can be told from it.
    pub(super) fn changed(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Changed {
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded((space, after.to_vec())),
            None => Bound::Included((space, prefix.to_vec())),
        };
        let mut changed = BTreeMap::new();
        let mut there = 0;
        for ((of, key), value) in self.rows.range((start, Bound::Unbounded)) {
            if *of != space || !key.starts_with(prefix) || there == limit {
                break;
            }
            there += usize::from(value.is_some());
            changed.insert(key.clone(), value.clone());
        }
        Changed(changed)
    }

    /// What changed about a key's place: the rows that are there nearest to it, and what was removed up to these.
    pub(super) fn around(&self, space: Space, key: &[u8]) -> Changed {
        let mut changed = BTreeMap::new();
        let at = || (space, key.to_vec());
        let below = self.rows.range((space, Vec::new())..=at()).rev();
        let above = self.rows.range((Bound::Excluded(at()), Bound::Unbounded));
        let above = above.take_while(|((of, _), _)| *of == space);
        for ((_, key), value) in below {
            changed.insert(key.clone(), value.clone());
            if value.is_some() {
                break;
            }
        }
        for ((_, key), value) in above {
            // Of what comes next only the key is asked for.
            changed.insert(key.clone(), value.as_ref().map(|_| Vec::new()));
            if value.is_some() {
                break;
            }
        }
        Changed(changed)
    }
}

impl Changed {
    /// As [`Store::rows`], of a database under these changes.
    pub(super) fn rows_over(
        self,
        store: &dyn Store,
        space: Space,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        let mut changed = self.0.into_iter().peekable();
        let mut rows = Rows::new();
        let mut after = after.map(<[u8]>::to_vec);
        let at_once = limit.saturating_add(READ_AHEAD);
        let mut more = true;
        while more && rows.len() < limit {
            let stored = store.rows(space, prefix, after.as_deref(), at_once)?;
            more = stored.len() == at_once;
            after = stored.last().map(|(key, _)| key.clone());
            for (key, value) in stored {
                while let Some((key, value)) = changed.next_if(|(changed, _)| *changed < key) {
                    rows.extend(value.map(|value| (key, value)));
                }
                match changed.next_if(|(changed, _)| *changed == key) {
                    Some((key, value)) => rows.extend(value.map(|value| (key, value))),
                    None => rows.push((key, value)),
                }
            }
        }
        if !more {
            rows.extend(changed.filter_map(|(key, value)| Some((key, value?))));
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// As [`Store::place`], of a database under these changes.
    pub(super) fn place_over(&self, store: &dyn Store, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        let Self(changed) = self;
        let Place { mut row, mut next } = store.place(space, key)?;
        while let Some((removed, _)) = row.take_if(|(key, _)| changed.get(key).is_some_and(Option::is_none)) {
            row = match before(removed) {
                Some(before) => store.place(space, &before)?.row,
                None => None,
            };
        }
        while let Some(removed) = next.take_if(|key| changed.get(key).is_some_and(Option::is_none)) {
            next = store.rows(space, &[], Some(&removed), 1)?.pop().map(|(key, _)| key);
        }
        let there = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| Some((key.clone(), value.clone()?));
        // Of equal keys this one counts.
        let own = changed.range(..=key.to_vec()).rev().find_map(there);
        let row = match (own, row) {
            (Some(own), Some(stored)) => Some(if own.0 >= stored.0 { own } else { stored }),
            (own, stored) => own.or(stored),
        };
        let above = (Bound::Excluded(key.to_vec()), Bound::Unbounded);
        let own = changed.range(above).find_map(there).map(|(key, _)| key);
        let next = [own, next].into_iter().flatten().min();
        Ok(Place { row, next })
    }
}

/// The highest key of a row below another; `None` below the lowest.
fn before(mut key: Vec<u8>) -> Option<Vec<u8>> {
    let last = key.pop()?;
    if let Some(lower) = last.checked_sub(1) {
        key.push(lower);
        key.resize(MAX_KEY_BYTES, u8::MAX);
    }
    Some(key)
}
