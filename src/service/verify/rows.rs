//! Rows beside the journal, each compared with what the journal's events leave.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::ledger::Position;
use crate::service::error::StartError;
use crate::service::replay::{Step, rows_left};
use crate::service::verify::Verified;
use crate::store::{Row, Space, Store, StoreError, record};

/// What was found so far.
#[derive(Default)]
pub(super) struct RowCheck {
    /// Rows that events of the journal left, by space, each counted once.
    left: BTreeMap<Space, u64>,
    /// Places of erasures, as rows say that were erased later, and as the journal says.
    claimed: BTreeSet<Position>,
    erasures: BTreeSet<Position>,
}

impl RowCheck {
    /// Compares the rows that one event leaves with those that are there.
    pub(super) fn step(
        &mut self,
        verified: &mut Verified,
        store: &dyn Store,
        step: &Step<'_>,
    ) -> Result<(), StartError> {
        for row in rows_left(step.event, step.position, step.judgement) {
            verified.entries += 1;
            let stored = store.rows(row.space, &row.key, None, 1)?.pop().filter(|(key, _)| *key == row.key);
            let stored = stored.map(|(_, value)| value);
            let erasure = row.value.as_deref().and_then(|value| erased_at(row.space, &row.key, value));
            match erasure {
                // A row of its own says that something is gone; it was counted when it came.
                Some(_) => drop(self.erasures.insert(step.position)),
                None => *self.left.entry(row.space).or_default() += 1,
            }
            if stored != row.value && !self.was_erased_later(&row, stored.as_deref(), step.position) {
                let what = format!("row {} of {:?}", hexadecimal(&row.key), row.space);
                verified.differs(what, said(row.value.as_deref()), said(stored.as_deref()));
            }
        }
        Ok(())
    }

    /// Whether what is there is what an erasure later in the journal leaves of the row.
    fn was_erased_later(&mut self, row: &Row, stored: Option<&[u8]>, position: Position) -> bool {
        let erased = stored.and_then(|value| erased_at(row.space, &row.key, value));
        erased.filter(|erased| *erased > position).map(|erased| self.claimed.insert(erased)).is_some()
    }

    /// Rows that no event of the journal left. Those of dropped blocks are older than the journal; those of the ledger may have been
    /// forgotten.
    pub(super) fn finish(self, verified: &mut Verified, store: &dyn Store) -> Result<(), StartError> {
        for space in [Space::Ledger, Space::Assignment, Space::Alias] {
            let mut after: Option<Vec<u8>> = None;
            let mut count = 0;
            loop {
                let rows = store.rows(space, &[], after.as_deref(), 10_000)?;
                for (key, value) in &rows {
                    count += u64::from(position(space, key, value)?.block > verified.from);
                }
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
            }
            let left = self.left.get(&space).copied().unwrap_or_default();
            if count > left {
                verified.differs(format!("entries of {space:?}"), left.to_string(), count.to_string());
            }
        }
        for position in self.claimed.difference(&self.erasures) {
            let what = format!("an erasure at event {} of block {}", position.index, position.block);
            verified.differs(what, "nothing", "rows that it erased");
        }
        Ok(())
    }
}

/// Where a row says that it was erased; `None` for one that was not, or cannot be.
fn erased_at(space: Space, key: &[u8], value: &[u8]) -> Option<Position> {
    match space {
        Space::Assignment => record::decode_assignment(key, value).ok()?.erased,
        Space::Alias => record::decode_alias(key, value).ok()?.erased,
        Space::Ledger | Space::Erased | Space::Companion => None,
    }
}

/// Where in the journal the event stands that left a row.
fn position(space: Space, key: &[u8], value: &[u8]) -> Result<Position, StoreError> {
    Ok(match space {
        Space::Ledger => record::decode_ledger(key, value)?.position,
        Space::Assignment => record::decode_assignment(key, value)?.position,
        Space::Alias => record::decode_alias(key, value)?.position,
        Space::Erased | Space::Companion => Position::default(),
    })
}

fn said(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "nothing".into(), hexadecimal)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
