//! Pages of facts as a store has them, and as they are with what was added.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::service::ledger::AddedFacts;
use crate::store::record::page::*;
use crate::store::{Place, Row, Space, Store, StoreError};

/// A page that would have more bytes is split. Some hundred facts: enough that facts in order of time cost next to nothing, few
/// enough that one fact among old ones rewrites little. sled holds a whole segment of 512 KiB for each leaf of pages, until it
/// comes to clean it: the longer the pages, the fewer leaves.
pub(super) const PAGE_BYTES: usize = 6_800;

/// Pages that a reader of the whole journal keeps in memory: some ten megabytes.
const KEPT_PAGES: usize = if cfg!(test) { 3 } else { 2_000 };

/// Pages of a store that were asked for.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    read: Vec<Page>,
    /// Where each stands among them, by the lowest key that it covers.
    places: BTreeMap<FactKey, usize>,
    /// Where the last one stands that was asked for: rewards come in the order of time, and nearly always the next asks for it again.
    last: usize,
}

/// One of them.
pub(super) struct Page {
    /// The lowest key that it covers.
    from: FactKey,
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
        Self { store, read: Vec::new(), places: BTreeMap::new(), last: 0 }
    }

    /// The page that covers a key.
    pub(super) fn covering(&mut self, key: &FactKey) -> Result<&mut Page, StoreError> {
        if !self.read.get(self.last).is_some_and(|page| page.covers(key)) {
            let place = self.places.range(..=*key).next_back().map(|(_, place)| *place);
            self.last = match place.filter(|place| self.read[*place].covers(key)) {
                Some(place) => place,
                None => self.read(key)?,
            };
        }
        Ok(&mut self.read[self.last])
    }

    fn read(&mut self, key: &FactKey) -> Result<usize, StoreError> {
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
        let place = self.read.len();
        self.read.push(Page { from, next, bytes, facts, changed: false });
        self.places.insert(from, place);
        Ok(place)
    }

    /// Rows of all that changed, with what was added, which is in order. Nothing is kept.
    pub(super) fn take_rows(&mut self, added: &AddedFacts) -> Vec<Row> {
        let mut rows = Vec::new();
        let (places, read) = (std::mem::take(&mut self.places), std::mem::take(&mut self.read));
        for page in places.values().map(|place| &read[*place]).filter(|page| page.changed) {
            let end = page.next.map_or(added.facts.len(), |next| added.below(&next));
            page.rows(added.within(added.below(&page.from)..end), &mut rows);
        }
        rows
    }

    /// Lets go of pages where there are many.
    pub(super) fn let_go(&mut self) {
        if self.read.len() > KEPT_PAGES {
            self.read.retain(|page| page.changed);
            self.places = self.read.iter().enumerate().map(|(place, page)| (page.from, place)).collect();
        }
    }
}

impl Page {
    /// The lowest key that it covers.
    pub(super) const fn from(&self) -> FactKey {
        self.from
    }

    fn covers(&self, key: &FactKey) -> bool {
        self.from <= *key && self.next.is_none_or(|next| *key < next)
    }

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
    fn with<'f>(
        &'f self,
        added: impl ExactSizeIterator<Item = (&'f FactKey, &'f [u8])>,
    ) -> Vec<(&'f FactKey, &'f [u8])> {
        let mut all = Vec::with_capacity(self.facts.len() + added.len());
        let mut own = self.facts.iter().map(|(key, record)| (key, &self.bytes[record.clone()])).peekable();
        for (key, record) in added {
            while let Some(before) = own.next_if(|(own, _)| *own < key) {
                all.push(before);
            }
            let _replaced = own.next_if(|(own, _)| *own == key);
            all.push((key, record));
        }
        all.extend(own);
        all
    }

    /// Its row with what was added, or several if it has grown too long: filled up where nothing comes after it, since what comes
    /// next is newer; else of equal lengths, so that each has room.
    fn rows<'f>(&'f self, added: impl ExactSizeIterator<Item = (&'f FactKey, &'f [u8])>, rows: &mut Vec<Row>) {
        let facts = self.with(added);
        let bytes: usize = facts.iter().map(|(_, record)| fact_bytes(record)).sum();
        let parts = bytes.div_ceil(PAGE_BYTES).max(1);
        let most = if self.next.is_none() { PAGE_BYTES } else { bytes.div_ceil(parts) };
        let (mut start, mut length) = (0, 0);
        let mut key = &self.from;
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
