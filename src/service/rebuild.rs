//! The state, and rows beside the journal, made anew from the journal: for a checkpoint that is lost or doubted, and for what
//! an archive does not hold.

use std::collections::HashMap;

use crate::domain::DecisionId;
use crate::engine::Engine;
use crate::engine::ledger::{LedgerEntry, Position, judge, judged_decision};
use crate::engine::secret::Secret;
use crate::service::error::StartError;
use crate::service::replay::{apply_block, push_rows, restore};
use crate::store::{CheckpointKind, Row, StateRow, Store, StoreError, record};

/// Rows that are written at once.
const AT_ONCE: usize = 4_096;

/// What was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// The last block before the first that was replayed.
    pub from: u64,
    /// The last block.
    pub head: u64,
    /// Rows beside the journal that were written.
    pub entries: u64,
    /// Rows of the state that were saved.
    pub rows: usize,
}

/// Makes the current checkpoint anew from the journal's beginning, or from the sealed checkpoint where older blocks were
/// dropped, and writes every row that the journal's events leave. What the journal knows nothing of stays. Stopped in the
/// middle, it can be begun again.
///
/// # Errors
/// If the store cannot be read or written, or its journal is damaged.
pub fn rebuild(store: &dyn Store, progress: &mut dyn FnMut(u64)) -> Result<Rebuilt, StartError> {
    let mut rebuilt = Rebuilt { head: store.head().number, ..Rebuilt::default() };
    let engine = Engine::new(Secret::new([0; 32]), 0);
    if store.base().number > 0 {
        rebuilt.from = restore(&engine, store, CheckpointKind::Sealed)?.0;
    }
    rebuilt.entries = remake_rows(store, rebuilt.from, progress)?;
    for block in store.blocks(rebuilt.from + 1) {
        let block = block?;
        progress(block.number);
        apply_block(&engine, store, &block, |_| Ok(()))?;
    }
    let mut rows: Vec<StateRow> = engine.state().iter().map(record::encode_state).collect();
    rebuilt.rows = rows.len();
    // A checkpoint that cannot be read has no rows that could be removed one by one; what is saved replaces what it names.
    if let Ok(before) = store.load_checkpoint(CheckpointKind::Current) {
        let known: std::collections::BTreeSet<_> = rows.iter().map(|row| row.key.clone()).collect();
        let gone = before.rows.into_iter().map(|(key, _)| key).filter(|key| !known.contains(key));
        rows.extend(gone.map(|key| StateRow { key, value: None }).collect::<Vec<_>>());
    }
    store.save_checkpoint(CheckpointKind::Current, rebuilt.head, &rows)?;
    Ok(rebuilt)
}

/// Writes the rows that events of blocks after a number leave beside the journal; says how many.
///
/// # Errors
/// As [`rebuild`].
pub(crate) fn remake_rows(store: &dyn Store, from: u64, progress: &mut dyn FnMut(u64)) -> Result<u64, StartError> {
    let mut pending = Pending::default();
    let mut written = 0;
    for block in store.blocks(from + 1) {
        let block = block?;
        progress(block.number);
        for (index, event) in record::decode_events(&block.payload).enumerate() {
            let event = event?;
            let index = u32::try_from(index).map_err(|_| StoreError::Damaged("a block of 2^32 events".into()))?;
            let known = judged_decision(&event).map_or(Ok(Vec::new()), |decision| pending.known(store, decision))?;
            let judgement = judge(&event, Position { block: block.number, index }, &known);
            push_rows(&judgement, &mut pending.rows);
            if let Some(entry) = judgement.entry {
                pending.entries.entry(entry.decision).or_default().push(entry);
            }
        }
        if pending.rows.len() >= AT_ONCE {
            written += pending.write(store)?;
        }
    }
    Ok(written + pending.write(store)?)
}

/// Rows that are not written yet, and the entries they say.
#[derive(Default)]
struct Pending {
    rows: Vec<Row>,
    entries: HashMap<DecisionId, Vec<LedgerEntry>>,
}

impl Pending {
    /// What is known of a decision: what is written, and what will be, each once.
    fn known(&self, store: &dyn Store, decision: DecisionId) -> Result<Vec<LedgerEntry>, StoreError> {
        let mut known = record::ledger_of(store, decision)?;
        for entry in self.entries.get(&decision).into_iter().flatten() {
            if !known.iter().any(|written| written.position == entry.position) {
                known.push(entry.clone());
            }
        }
        Ok(known)
    }

    fn write(&mut self, store: &dyn Store) -> Result<u64, StoreError> {
        let rows = std::mem::take(&mut self.rows);
        self.entries.clear();
        store.append(&[], &rows)?;
        Ok(rows.len() as u64)
    }
}
