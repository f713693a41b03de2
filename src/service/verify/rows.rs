//! Rows beside the journal, each compared with what the journal's events leave.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::VisitorToken;
use crate::engine::event::Event;
use crate::engine::known::Remembered;
use crate::engine::ledger::{LedgerEntry, Position};
use crate::service::error::StartError;
use crate::service::ledger::{Ledger, each_fact};
use crate::service::replay::Step;
use crate::service::verify::Verified;
use crate::store::record::profile::decode_profile;
use crate::store::{Row, Space, Store, StoreError, record};

/// What was found so far.
pub(super) struct RowCheck<'a> {
    store: &'a dyn Store,
    ledger: Ledger<'a>,
    /// Entries of the ledger that events of the journal left.
    facts: u64,
    /// Other rows that they left, by space, each counted once.
    left: BTreeMap<Space, u64>,
    /// Places of erasures, as rows say that were erased later, and as the journal says.
    claimed: BTreeSet<Position>,
    erasures: BTreeSet<Position>,
    /// Where the journal says that a visitor was erased: the last place.
    gone: BTreeMap<VisitorToken, Position>,
}

impl<'a> RowCheck<'a> {
    pub(super) fn of(store: &'a dyn Store) -> Result<Self, StoreError> {
        let (left, claimed, erasures) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Self { store, ledger: Ledger::of(store)?, facts: 0, left, claimed, erasures, gone: BTreeMap::new() })
    }

    /// Compares what one event leaves with what is there.
    pub(super) fn step(&mut self, verified: &mut Verified, step: &Step<'_>) -> Result<(), StartError> {
        if let Event::VisitorErased(erased) = step.event {
            self.gone.extend(erased.visitors.iter().map(|visitor| (*visitor, step.position)));
        }
        let mut left = Vec::new();
        step.event.leaves(step.position, step.judgement, &mut left);
        let mut rows = Vec::new();
        let mut facts = BTreeSet::new();
        for remembered in &left {
            verified.entries += 1;
            record::encode_remembered(remembered, &mut rows);
            if let Remembered::Fact(entry) = remembered {
                // One that stands under two ids of an erased visitor is said twice.
                self.facts += u64::from(facts.insert(entry.decision));
                self.check_fact(verified, entry)?;
            }
        }
        for row in rows {
            self.check_row(verified, &row, step.position)?;
        }
        self.ledger.let_go();
        Ok(())
    }

    fn check_fact(&mut self, verified: &mut Verified, entry: &LedgerEntry) -> Result<(), StartError> {
        if !self.ledger.holds(entry)? {
            let known = self.ledger.known(entry.decision)?;
            let found = known.iter().find(|found| found.position == entry.position);
            let Position { block, index } = entry.position;
            let what = format!("ledger entry of decision {}, of event {index} of block {block}", entry.decision);
            let found = found.map_or("nothing".into(), |found| format!("{:?}", found.fact));
            verified.differs(what, format!("{:?}", entry.fact), found);
        }
        Ok(())
    }

    fn check_row(&mut self, verified: &mut Verified, row: &Row, position: Position) -> Result<(), StartError> {
        let stored = self.store.rows(row.space, &row.key, None, 1)?.pop().filter(|(key, _)| *key == row.key);
        let stored = stored.map(|(_, value)| value);
        let erasure = row.value.as_deref().and_then(|value| erased_at(row.space, &row.key, value));
        match erasure {
            // A row of its own says that something is gone; it was counted when it came.
            Some(_) => drop(self.erasures.insert(position)),
            None => *self.left.entry(row.space).or_default() += 1,
        }
        if stored != row.value && !self.was_erased_later(row, stored.as_deref(), position) {
            let what = format!("row {} of {:?}", hexadecimal(&row.key), row.space);
            verified.differs(what, said(row.value.as_deref()), said(stored.as_deref()));
        }
        Ok(())
    }

    /// Whether what is there is what an erasure later in the journal leaves of the row.
    fn was_erased_later(&mut self, row: &Row, stored: Option<&[u8]>, position: Position) -> bool {
        let erased = stored.and_then(|value| erased_at(row.space, &row.key, value));
        erased.filter(|erased| *erased > position).map(|erased| self.claimed.insert(erased)).is_some()
    }

    /// What no event of the journal left. What is of dropped blocks is older than the journal.
    pub(super) fn finish(self, verified: &mut Verified) -> Result<(), StartError> {
        let mut count = 0;
        each_fact(self.store, |entry| count += u64::from(entry.position.block > verified.from))?;
        if count > self.facts {
            verified.differs("entries of the ledger", self.facts.to_string(), count.to_string());
        }
        for space in [Space::Assignment, Space::Alias] {
            let mut after: Option<Vec<u8>> = None;
            let mut count = 0;
            loop {
                let rows = self.store.rows(space, &[], after.as_deref(), 10_000)?;
                for (key, value) in &rows {
                    count += u64::from(position(space, key, value)?.block > verified.from);
                }
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
            }
            let left = self.left.get(&space).copied().unwrap_or_default();
            if count > left {
                verified.differs(format!("rows of {space:?}"), left.to_string(), count.to_string());
            }
        }
        for position in self.claimed.difference(&self.erasures) {
            let what = format!("an erasure at event {} of block {}", position.index, position.block);
            verified.differs(what, "nothing", "rows that it erased");
        }
        self.check_profiles(verified)
    }

    /// What a profile says is not in the journal. That it can be read can be told, and that it was saved after its visitor was erased.
    fn check_profiles(&self, verified: &mut Verified) -> Result<(), StartError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.rows(Space::Profile, &[], after.as_deref(), 10_000)?;
            for (key, value) in &rows {
                let what = || format!("the profile of visitor {}", hexadecimal(key));
                let visitor = key.as_slice().try_into().map(VisitorToken::from_bytes).ok();
                match (visitor, decode_profile(value)) {
                    (Some(visitor), Ok(saved)) => {
                        if self.gone.get(&visitor).is_some_and(|erased| *erased > saved.position) {
                            verified.differs(what(), "erased", "what was saved before");
                        }
                    }
                    (Some(_), Err(flaw)) => verified.differs(what(), "one that can be read", flaw.to_string()),
                    (None, _) => verified.differs(what(), "a key of 16 bytes", said(Some(key))),
                }
            }
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
        }
    }
}

/// Where a row says that it was erased; `None` for one that was not, or cannot be.
fn erased_at(space: Space, key: &[u8], value: &[u8]) -> Option<Position> {
    match space {
        Space::Assignment => record::decode_assignment(key, value).ok()?.erased,
        Space::Alias => record::decode_alias(key, value).ok()?.erased,
        Space::Ledger | Space::LedgerPage | Space::Erased | Space::Companion | Space::Profile | Space::Journal => None,
    }
}

/// Where in the journal the event stands that left a row.
fn position(space: Space, key: &[u8], value: &[u8]) -> Result<Position, StoreError> {
    Ok(match space {
        Space::Assignment => record::decode_assignment(key, value)?.position,
        Space::Alias => record::decode_alias(key, value)?.position,
        Space::Ledger | Space::LedgerPage | Space::Erased | Space::Companion | Space::Profile | Space::Journal => {
            Position::default()
        }
    })
}

fn said(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "nothing".into(), hexadecimal)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
