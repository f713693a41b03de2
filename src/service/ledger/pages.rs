//! Pages of facts as a store has them, and as they are with what was added.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::store::record::page::*;
use crate::store::{Place, Row, Space, Store, StoreError};

/// A page that would have more bytes is split. Some sixty facts: enough that facts in order of time cost next to nothing, few
/// enough that one fact among old ones rewrites little.
pub(super) const PAGE_BYTES: usize = 4_000;

/// Pages that a reader of the whole journal keeps in memory: some ten megabytes.
const KEPT_PAGES: usize = 2_000;

/// Pages of a store that were asked for.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    /// By the lowest key that each covers.
    read: BTreeMap<FactKey, Page>,
}

/// One of them.
pub(super) struct Page {
    /// The lowest key that the next one covers.
    next: Option<FactKey>,
    /// Its row's value; nothing where there is no row yet.
    bytes: Vec<u8>,
    /// Its facts in order, and where their records stand in its bytes.
    facts: Vec<(FactKey, Range<usize>)>,
    /// Whether something was added to what it covers.
    pub(super) changed: bool,
}

impl<'a> Pages<'a> {
    pub(super) const fn of(store: &'a dyn Store) -> Self {
        Self { store, read: BTreeMap::new() }
    }

    /// The page that covers a key, and the lowest key it covers.
    pub(super) fn covering(&mut self, key: &FactKey) -> Result<(FactKey, &mut Page), StoreError> {
        let known = self.read.range(..=*key).next_back();
        let known = known.filter(|(_, page)| page.next.is_none_or(|next| *key < next)).map(|(from, _)| *from);
        let from = known.map_or_else(|| self.read(key), Ok)?;
        Ok((from, self.read.get_mut(&from).expect("it was found or read")))
    }

    fn read(&mut self, key: &FactKey) -> Result<FactKey, StoreError> {
        let Place { row, next } = self.store.place(Space::LedgerPage, key)?;
        let next = next.map(|next| page_key(&next)).transpose()?;
        let (from, bytes, facts) = match row {
            // The first page of all covers whatever is lower than others, so that no fact there begins another.
            None => ([0; 28], Vec::new(), Vec::new()),
            Some((from, bytes)) => {
                let facts = fact_places(&bytes)?;
                let own = facts.into_iter().take_while(|(key, _)| next.is_none_or(|next| *key < next)).collect();
                (page_key(&from)?, bytes, own)
            }
        };
        self.read.insert(from, Page { next, bytes, facts, changed: false });
        Ok(from)
    }

    /// Rows of all that changed, with what was added, by key. Nothing is kept.
    pub(super) fn take_rows(&mut self, added: &[(&FactKey, &[u8])]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (from, page) in std::mem::take(&mut self.read).iter().filter(|(_, page)| page.changed) {
            let start = added.partition_point(|(key, _)| *key < from);
            let end = page.next.map_or(added.len(), |next| added.partition_point(|(key, _)| **key < next));
            page.rows(from, &added[start..end], &mut rows);
        }
        rows
    }

    /// Lets go of pages where there are many.
    pub(super) fn let_go(&mut self) {
        if self.read.len() > KEPT_PAGES {
            self.read.retain(|_, page| page.changed);
        }
    }
}

impl Page {
    /// Its facts from one key to another, both included.
    pub(super) fn within(&self, low: &FactKey, high: &FactKey) -> impl Iterator<Item = (&FactKey, &[u8])> {
        // Nearly always nothing is: a decision is newer than all others of its page.
        let newer = self.facts.last().is_none_or(|(last, _)| last < low);
        let start = if newer { self.facts.len() } else { self.facts.partition_point(|(key, _)| key < low) };
        let within = self.facts[start..].iter().take_while(move |(key, _)| key <= high);
        within.map(|(key, record)| (key, &self.bytes[record.clone()]))
    }

    /// The record of a fact.
    pub(super) fn record(&self, key: &FactKey) -> Option<&[u8]> {
        self.within(key, key).next().map(|(_, record)| record)
    }

    /// Its facts and those added, in order; what was added under the key of another takes its place.
    fn with<'f>(&'f self, added: &[(&'f FactKey, &'f [u8])]) -> Vec<(&'f FactKey, &'f [u8])> {
        let mut all = Vec::with_capacity(self.facts.len() + added.len());
        let mut own = self.facts.iter().map(|(key, record)| (key, &self.bytes[record.clone()])).peekable();
        for (key, record) in added {
            while let Some(before) = own.next_if(|(own, _)| own < key) {
                all.push(before);
            }
            let _replaced = own.next_if(|(own, _)| own == key);
            all.push((key, record));
        }
        all.extend(own);
        all
    }

    /// Its row with what was added, or several if it has grown too long: filled up where nothing comes after it, since what comes
    /// next is newer; else of equal lengths, so that each has room.
    fn rows(&self, from: &FactKey, added: &[(&FactKey, &[u8])], rows: &mut Vec<Row>) {
        let facts = self.with(added);
        let bytes: usize = facts.iter().map(|(_, record)| fact_bytes(record)).sum();
        let parts = bytes.div_ceil(PAGE_BYTES).max(1);
        let most = if self.next.is_none() { PAGE_BYTES } else { bytes.div_ceil(parts) };
        let (mut start, mut length) = (0, 0);
        let mut key = from;
        for (index, (fact, record)) in facts.iter().enumerate() {
            if length > 0 && length + fact_bytes(record) > most {
                rows.push(row(key, &facts[start..index]));
                (start, length, key) = (index, 0, fact);
            }
            length += fact_bytes(record);
        }
        rows.push(row(key, &facts[start..]));
    }
}

fn row(key: &FactKey, facts: &[(&FactKey, &[u8])]) -> Row {
    Row { space: Space::LedgerPage, key: key.to_vec(), value: Some(encode_page(facts.iter().copied())) }
}
