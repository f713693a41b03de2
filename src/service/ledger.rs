//! The ledger over its store: pages of facts, read where they are asked for, and facts that are added in memory and handed back as
//! rows that are written with the blocks they come from, in one batch.

mod pages;

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use crate::domain::DecisionId;
use crate::engine::ledger::LedgerEntry;
use crate::service::ledger::pages::Pages;
use crate::store::record::page::*;
use crate::store::{Row, Space, Store, StoreError, record};

/// Few records have more bytes: ids of rewards have at most 256.
const RECORD_BYTES: usize = 320;

/// The facts of a store's ledger, as far as they were asked for. Nobody else may write them while it lives.
pub struct Ledger<'a> {
    store: &'a dyn Store,
    /// Whether an earlier build left rows of single facts.
    single: bool,
    pages: Pages<'a>,
    added: AddedFacts,
}

/// Facts that no row holds yet. A commit adds thousands: they are kept as they come, and sorted once.
#[derive(Default)]
pub(crate) struct AddedFacts {
    facts: Vec<Added>,
    /// Their records, one behind the other.
    records: Vec<u8>,
    /// The last one about each decision. Whoever could choose the ids of decisions could not foresee their hashes.
    newest: HashMap<DecisionId, usize, RandomState>,
    /// Whether the store was asked for rows of single facts and has none: none are added any more.
    no_single: bool,
}

struct Added {
    key: FactKey,
    /// Where its record stands.
    record: Range<usize>,
    /// The one before it about the same decision.
    before: Option<usize>,
}

impl<'a> Ledger<'a> {
    /// Of a store.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(store: &'a dyn Store) -> Result<Self, StoreError> {
        Self::with_memory(store, AddedFacts::default())
    }

    /// Of a store, in the memory of one that had nothing left to write: a piece as large as a commit needs costs page faults each
    /// time it is taken anew.
    pub(crate) fn with_memory(store: &'a dyn Store, mut added: AddedFacts) -> Result<Self, StoreError> {
        let single = !added.no_single && !store.rows(Space::Ledger, &[], None, 1)?.is_empty();
        added.no_single = !single;
        Ok(Self { store, single, pages: Pages::of(store), added })
    }

    /// Its memory, of which no more is kept than so many facts need.
    pub(crate) fn into_memory(self, facts: usize) -> AddedFacts {
        let Self { mut added, .. } = self;
        added.clear();
        added.facts.shrink_to(facts);
        added.records.shrink_to(facts * RECORD_BYTES);
        added.newest.shrink_to(facts);
        added
    }

    /// All that is known of a decision, in any order.
    ///
    /// # Errors
    /// If the store cannot be read, or what it holds of the decision is not what was written.
    pub fn known(&mut self, decision: DecisionId) -> Result<Vec<LedgerEntry>, StoreError> {
        let (low, high) = fact_keys(decision);
        let mut known = Vec::new();
        if self.single {
            let rows = self.store.rows(Space::Ledger, &decision.to_bytes(), None, usize::MAX)?;
            for (key, value) in &rows {
                known.push(record::decode_ledger(key, value)?);
            }
        }
        // Facts about one decision may stand in several pages, the last of which is looked for first.
        let mut at = high;
        loop {
            let page = self.pages.covering(&at)?;
            for (key, record) in page.within(&low, &at) {
                // Something else may have been added in its place.
                if self.added.record(decision, key).is_none() {
                    known.push(decode_fact(key, record)?);
                }
            }
            let from = page.from();
            match before(from).filter(|_| from > low) {
                Some(key) => at = key,
                None => break,
            }
        }
        for index in self.added.about(decision) {
            known.push(decode_fact(&self.added.facts[index].key, self.added.record_at(index))?);
        }
        Ok(known)
    }

    /// Remembers a fact, in memory until [`Self::take_rows`]; says whether it was new or another.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        if self.single && self.holds_single(entry)? {
            return Ok(false);
        }
        let key = fact_key(entry);
        let page = self.pages.covering(&key)?;
        let start = self.added.records.len();
        write_fact(entry, &mut self.added.records);
        let place = self.added.place(entry.decision, &key);
        let known = place.map(|index| self.added.record_at(index)).or_else(|| page.record(&key));
        let changed = known != Some(&self.added.records[start..]);
        if changed {
            page.changed = true;
            self.added.push(entry.decision, key, start, place);
        } else {
            self.added.records.truncate(start);
        }
        Ok(changed)
    }

    /// Whether a fact is known as it is.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn holds(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        if self.single && self.holds_single(entry)? {
            return Ok(true);
        }
        let key = fact_key(entry);
        let page = self.pages.covering(&key)?;
        let known = self.added.record(entry.decision, &key).or_else(|| page.record(&key));
        Ok(known.is_some_and(|record| *record == encode_fact(entry)))
    }

    /// Rows that say what was added, to be written at once; after that nothing more is kept in memory.
    pub fn take_rows(&mut self) -> Vec<Row> {
        self.added.facts.sort_unstable_by_key(|added| in_order(&added.key));
        let rows = self.pages.take_rows(&self.added);
        self.added.clear();
        rows
    }

    /// Lets go of pages where there are many, for whoever only reads.
    pub(crate) fn let_go(&mut self) {
        self.pages.let_go();
    }

    fn holds_single(&self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let row = record::encode_ledger(entry);
        let found = self.store.rows(Space::Ledger, &row.key, None, 1)?.pop();
        Ok(found.is_some_and(|(_, value)| Some(value) == row.value))
    }
}

impl AddedFacts {
    /// Places of the facts about a decision, the last first.
    fn about(&self, decision: DecisionId) -> impl Iterator<Item = usize> {
        std::iter::successors(self.newest.get(&decision).copied(), |index| self.facts[*index].before)
    }

    fn place(&self, decision: DecisionId, key: &FactKey) -> Option<usize> {
        self.about(decision).find(|index| self.facts[*index].key == *key)
    }

    fn record(&self, decision: DecisionId, key: &FactKey) -> Option<&[u8]> {
        self.place(decision, key).map(|index| self.record_at(index))
    }

    fn record_at(&self, index: usize) -> &[u8] {
        &self.records[self.facts[index].record.clone()]
    }

    /// Adds the fact whose record begins here, in the place of what was added under its key.
    fn push(&mut self, decision: DecisionId, key: FactKey, start: usize, place: Option<usize>) {
        let record = start..self.records.len();
        match place {
            Some(index) => self.facts[index].record = record,
            None => {
                let before = self.newest.insert(decision, self.facts.len());
                self.facts.push(Added { key, record, before });
            }
        }
    }

    /// How many are below a key, once they are in order.
    fn below(&self, key: &FactKey) -> usize {
        self.facts.partition_point(|added| added.key < *key)
    }

    /// Some of them, in their order.
    fn within(&self, places: Range<usize>) -> impl ExactSizeIterator<Item = (&FactKey, &[u8])> {
        self.facts[places].iter().map(|added| (&added.key, &self.records[added.record.clone()]))
    }

    /// Forgets them and keeps their memory.
    fn clear(&mut self) {
        self.facts.clear();
        self.records.clear();
        self.newest.clear();
    }
}

/// Numbers in the order of keys: they are compared in a moment.
fn in_order(key: &FactKey) -> (u128, u128) {
    let (decision, position) = key.split_first_chunk::<16>().expect("a key has 28 bytes");
    let position = position.last_chunk::<12>().expect("which leaves twelve");
    let mut wide = [0; 16];
    wide[4..].copy_from_slice(position);
    (u128::from_be_bytes(*decision), u128::from_be_bytes(wide))
}

/// The key just before another; `None` before the first.
fn before(mut key: FactKey) -> Option<FactKey> {
    let last = key.iter().rposition(|byte| *byte > 0)?;
    key[last] -= 1;
    key[last + 1..].fill(u8::MAX);
    Some(key)
}

/// Every fact of a store's ledger, in order: first those of earlier builds, then page by page.
///
/// # Errors
/// If the store cannot be read, or a fact is not what was written.
pub(crate) fn each_fact(store: &dyn Store, mut look: impl FnMut(LedgerEntry)) -> Result<(), StoreError> {
    const AT_ONCE: usize = 1_000;
    each_row(store, Space::Ledger, 10 * AT_ONCE, |key, value, _| {
        look(record::decode_ledger(key, value)?);
        Ok(())
    })?;
    each_row(store, Space::LedgerPage, AT_ONCE, |_, page, next| {
        let next = next.map(page_key).transpose()?;
        for (key, record) in decode_page(page)? {
            if next.is_none_or(|next| key < next) {
                look(decode_fact(&key, record)?);
            }
        }
        Ok(())
    })
}

/// Every row of a space with the key of the next one.
fn each_row(
    store: &dyn Store,
    space: Space,
    at_once: usize,
    mut look: impl FnMut(&[u8], &[u8], Option<&[u8]>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut waiting: Option<(Vec<u8>, Vec<u8>)> = None;
    loop {
        let after = waiting.as_ref().map(|(key, _)| key.clone());
        let rows = store.rows(space, &[], after.as_deref(), at_once)?;
        if rows.is_empty() {
            break;
        }
        for (key, value) in rows {
            if let Some((before, page)) = waiting.replace((key.clone(), value)) {
                look(&before, &page, Some(&key))?;
            }
        }
    }
    waiting.map_or(Ok(()), |(key, page)| look(&key, &page, None))
}

#[cfg(test)]
mod tests;
