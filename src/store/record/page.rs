//! Facts about decisions, many in a row of a store. A row of its own for each fact costs an embedded store some 10 µs and 300
//! bytes, however small the fact; facts come mostly in the order of their decisions, so that a page of them is written for
//! the price of one row.
//!
//! A page holds the facts from its key up to the key of the next page. Whatever lies beyond that is what a page held before it
//! was split, and a copy that was read meanwhile may still hold it.

use std::ops::Range;

use crate::domain::DecisionId;
use crate::engine::ledger::{LedgerEntry, Position};
use crate::store::StoreError;
use crate::store::record::fact::StoredEntry;
use crate::store::record::{read_whole, version_3, write};

/// The version of a page's form; its facts have versions of their own.
const PAGE_VERSION: u8 = 1;

/// Where a fact stands: its decision, then its position in the journal.
pub type FactKey = [u8; 28];

/// Bytes of a fact in a page beside its record: its key, and how long the record is.
const HEADER_BYTES: usize = size_of::<FactKey>() + 2;

/// The key of an entry.
#[must_use]
pub fn fact_key(entry: &LedgerEntry) -> FactKey {
    key_at(entry.decision, entry.position)
}

/// The keys of all facts about a decision lie between these.
#[must_use]
pub fn fact_keys(decision: DecisionId) -> (FactKey, FactKey) {
    (key_at(decision, Position::default()), key_at(decision, Position { block: u64::MAX, index: u32::MAX }))
}

fn key_at(decision: DecisionId, position: Position) -> FactKey {
    let mut key = [0; 28];
    key[..16].copy_from_slice(&decision.to_bytes());
    key[16..24].copy_from_slice(&position.block.to_be_bytes());
    key[24..].copy_from_slice(&position.index.to_be_bytes());
    key
}

/// The record of a fact.
#[must_use]
pub fn encode_fact(entry: &LedgerEntry) -> Vec<u8> {
    let mut record = Vec::with_capacity(64);
    write_fact(entry, &mut record);
    record
}

/// Appends the record of a fact.
pub fn write_fact(entry: &LedgerEntry, into: &mut Vec<u8>) {
    write(&StoredEntry::from(entry), &((), version_3::EntryAdditions::from(entry), ()), into);
}

/// The fact of a record under its key.
///
/// # Errors
/// [`StoreError::Damaged`] names the decision and what is wrong.
pub fn decode_fact(key: &FactKey, record: &[u8]) -> Result<LedgerEntry, StoreError> {
    let decision = DecisionId::from_bytes(std::array::from_fn(|index| key[index]));
    read_whole::<StoredEntry<'_>, (), version_3::EntryAdditions, ()>(record)
        .and_then(|(stored, ((), more, ()))| more.add_to(stored.restore(decision)?))
        .and_then(|entry| match fact_key(&entry) == *key {
            true => Ok(entry),
            false => Err("it stands under the key of another fact".into()),
        })
        .map_err(|flaw| StoreError::Damaged(format!("ledger entry of decision {decision}: {flaw}")))
}

/// Bytes that a record takes in a page.
#[must_use]
pub fn fact_bytes(record: &[u8]) -> usize {
    HEADER_BYTES + record.len()
}

/// A page of facts in the order of their keys.
///
/// # Panics
/// If a record has 64 KiB: no fact is so long.
#[must_use]
pub fn encode_page<'a>(facts: impl Iterator<Item = (&'a FactKey, &'a [u8])> + Clone) -> Vec<u8> {
    let bytes: usize = facts.clone().map(|(_, record)| fact_bytes(record)).sum();
    let mut page = Vec::with_capacity(1 + bytes);
    page.push(PAGE_VERSION);
    for (key, record) in facts {
        let length = u16::try_from(record.len()).expect("a fact has some hundred bytes at most");
        page.extend_from_slice(key);
        page.extend_from_slice(&length.to_le_bytes());
        page.extend_from_slice(record);
    }
    page
}

/// The facts of a page, ascending by key, as they were written. Their records are not looked into.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn decode_page(page: &[u8]) -> Result<Vec<(FactKey, &[u8])>, StoreError> {
    let places = fact_places(page)?;
    Ok(places.into_iter().map(|(key, record)| (key, &page[record])).collect())
}

/// The same, with where their records stand in the page.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn fact_places(page: &[u8]) -> Result<Vec<(FactKey, Range<usize>)>, StoreError> {
    let damaged = |flaw: &str| StoreError::Damaged(format!("a page of the ledger {flaw}"));
    let mut rest = match page.split_first() {
        Some((&PAGE_VERSION, rest)) => rest,
        Some((version, _)) => {
            return Err(damaged(&format!("has version {version}, this program reads {PAGE_VERSION}")));
        }
        None => return Err(damaged("is empty")),
    };
    let mut facts: Vec<(FactKey, Range<usize>)> = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_first_chunk().ok_or_else(|| damaged("ends within a key"))?;
        let (length, after) = after.split_first_chunk().ok_or_else(|| damaged("ends within a length"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        let start = page.len() - after.len();
        let (_, after) = after.split_at_checked(length).ok_or_else(|| damaged("ends within a fact"))?;
        if facts.last().is_some_and(|(before, _)| before >= key) {
            return Err(damaged("has facts out of order"));
        }
        facts.push((*key, start..start + length));
        rest = after;
    }
    Ok(facts)
}

/// The key of a page's row.
///
/// # Errors
/// [`StoreError::Damaged`] if it is none.
pub fn page_key(key: &[u8]) -> Result<FactKey, StoreError> {
    key.try_into().map_err(|_| StoreError::Damaged(format!("a page of the ledger has a key of {} bytes", key.len())))
}
