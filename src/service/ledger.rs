//! The ledger over its store: pages of facts, read where they are asked for, changed in memory, and handed back as rows that are
//! written with the blocks they come from, in one batch.

use std::collections::BTreeMap;

use crate::domain::DecisionId;
use crate::engine::ledger::LedgerEntry;
use crate::store::record::page::*;
use crate::store::{Place, Row, Space, Store, StoreError, record};

/// A page that would have more bytes is split. Some sixty facts: enough that facts in order of time cost next to nothing, few
/// enough that one fact among old ones rewrites little.
const PAGE_BYTES: usize = 4_000;

/// Pages that a reader of the whole journal keeps in memory: some ten megabytes.
const KEPT_PAGES: usize = 2_000;

/// The facts of a store's ledger, as far as they were asked for. Nobody else may write them while it lives.
pub struct Ledger<'a> {
    store: &'a dyn Store,
    /// Whether an earlier build left rows of single facts.
    single: bool,
    /// By the lowest key that each covers.
    pages: BTreeMap<FactKey, Page>,
}

struct Page {
    /// The lowest key that the next one covers.
    next: Option<FactKey>,
    facts: BTreeMap<FactKey, Vec<u8>>,
    changed: bool,
}

impl<'a> Ledger<'a> {
    /// Of a store.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(store: &'a dyn Store) -> Result<Self, StoreError> {
        let single = !store.rows(Space::Ledger, &[], None, 1)?.is_empty();
        Ok(Self { store, single, pages: BTreeMap::new() })
    }

    /// All that is known of a decision.
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
            let (from, page) = self.page(&at)?;
            // Nearly always: a decision that nothing was known of, newer than all others of its page.
            if from <= low && page.facts.last_key_value().is_none_or(|(last, _)| *last < low) {
                return Ok(known);
            }
            for (key, record) in page.facts.range(low..=at) {
                known.push(decode_fact(key, record)?);
            }
            match before(from).filter(|_| from > low) {
                Some(key) => at = key,
                None => return Ok(known),
            }
        }
    }

    /// Remembers a fact, in memory until [`Self::take_rows`]; says whether it was new or another.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let (key, record) = (fact_key(entry), encode_fact(entry));
        if self.single && self.holds_single(entry)? {
            return Ok(false);
        }
        let (_, page) = self.page(&key)?;
        if page.facts.get(&key) == Some(&record) {
            return Ok(false);
        }
        page.facts.insert(key, record);
        page.changed = true;
        Ok(true)
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
        let (_, page) = self.page(&key)?;
        Ok(page.facts.get(&key).is_some_and(|record| *record == encode_fact(entry)))
    }

    /// Rows that say what was added, to be written at once; after that nothing more is kept in memory.
    pub fn take_rows(&mut self) -> Vec<Row> {
        let pages = std::mem::take(&mut self.pages);
        pages.iter().filter(|(_, page)| page.changed).flat_map(|(from, page)| page.rows(from)).collect()
    }

    /// Lets go of pages where there are many, for whoever only reads.
    pub(crate) fn let_go(&mut self) {
        if self.pages.len() > KEPT_PAGES {
            self.pages.retain(|_, page| page.changed);
        }
    }

    fn holds_single(&self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let row = record::encode_ledger(entry);
        let found = self.store.rows(Space::Ledger, &row.key, None, 1)?.pop();
        Ok(found.is_some_and(|(_, value)| Some(value) == row.value))
    }

    /// The page that covers a key, and the lowest key it covers.
    fn page(&mut self, key: &FactKey) -> Result<(FactKey, &mut Page), StoreError> {
        let known = self.pages.range(..=*key).next_back();
        let known = known.filter(|(_, page)| page.next.is_none_or(|next| *key < next)).map(|(from, _)| *from);
        let from = known.map_or_else(|| self.load(key), Ok)?;
        Ok((from, self.pages.get_mut(&from).expect("it was found or loaded")))
    }

    fn load(&mut self, key: &FactKey) -> Result<FactKey, StoreError> {
        let Place { row, next } = self.store.place(Space::LedgerPage, key)?;
        let next = next.map(|next| page_key(&next)).transpose()?;
        let (from, facts) = match &row {
            // The first page of all covers whatever is lower than others, so that no fact there begins another.
            None => ([0; 28], BTreeMap::new()),
            Some((from, page)) => {
                let own = decode_page(page)?.into_iter().filter(|(key, _)| next.is_none_or(|next| *key < next));
                (page_key(from)?, own.map(|(key, record)| (key, record.to_vec())).collect())
            }
        };
        self.pages.insert(from, Page { next, facts, changed: false });
        Ok(from)
    }
}

impl Page {
    /// Its row, or several if it has grown too long: filled up where nothing comes after it, since what comes next is newer;
    /// else of equal lengths, so that each has room.
    fn rows(&self, from: &FactKey) -> Vec<Row> {
        let bytes: usize = self.facts.values().map(|record| fact_bytes(record)).sum();
        let parts = bytes.div_ceil(PAGE_BYTES).max(1);
        let most = if self.next.is_none() { PAGE_BYTES } else { bytes.div_ceil(parts) };
        let mut rows = Vec::with_capacity(parts + 1);
        let (mut part, mut length): (Vec<(&FactKey, &Vec<u8>)>, usize) = (Vec::new(), 0);
        let mut key = *from;
        for (fact, record) in &self.facts {
            if length > 0 && length + fact_bytes(record) > most {
                rows.push(row(&key, &part));
                (part, length) = (Vec::new(), 0);
            }
            if part.is_empty() && !rows.is_empty() {
                key = *fact;
            }
            length += fact_bytes(record);
            part.push((fact, record));
        }
        rows.push(row(&key, &part));
        rows
    }
}

fn row(key: &FactKey, facts: &[(&FactKey, &Vec<u8>)]) -> Row {
    Row { space: Space::LedgerPage, key: key.to_vec(), value: Some(encode_page(facts.iter().copied())) }
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
