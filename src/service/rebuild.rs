//! The state, and rows beside the journal, made anew from the journal: for a checkpoint that is lost or doubted, and for what
//! an archive does not hold.

use crate::engine::Engine;
use crate::engine::ledger::{Position, judge, judged_decision};
use crate::engine::secret::Secret;
use crate::service::error::StartError;
use crate::service::ledger::Ledger;
use crate::service::replay::{apply_block, restore};
use crate::store::{CheckpointKind, StateRow, Store, StoreError, record};

/// Entries that are written at once.
const AT_ONCE: usize = 4_096;

/// What was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// The last block before the first that was replayed.
    pub from: u64,
    /// The last block.
    pub head: u64,
    /// Entries of the ledger that the journal leaves.
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
    let mut ledger = Ledger::of(store)?;
    for block in store.blocks(rebuilt.from + 1) {
        let block = block?;
        progress(block.number);
        apply_block(&engine, &mut ledger, &block, |_| Ok(()))?;
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

/// Writes the entries that events of blocks after a number leave in the ledger, where they are not there; says how many
/// there should be.
///
/// # Errors
/// As [`rebuild`].
pub(crate) fn remake_rows(store: &dyn Store, from: u64, progress: &mut dyn FnMut(u64)) -> Result<u64, StartError> {
    let mut ledger = Ledger::of(store)?;
    let (mut entries, mut waiting) = (0, 0);
    for block in store.blocks(from + 1) {
        let block = block?;
        progress(block.number);
        for (index, event) in record::decode_events(&block.payload).enumerate() {
            let event = event?;
            let index = u32::try_from(index).map_err(|_| StoreError::Damaged("a block of 2^32 events".into()))?;
            let known = judged_decision(&event).map_or(Ok(Vec::new()), |decision| ledger.known(decision))?;
            let judgement = judge(&event, Position { block: block.number, index }, &known);
            if let Some(entry) = judgement.entry {
                entries += 1;
                waiting += usize::from(ledger.add(&entry)?);
            }
        }
        if waiting >= AT_ONCE {
            waiting = 0;
            store.append(&[], &ledger.take_rows())?;
        }
        ledger.let_go();
    }
    store.append(&[], &ledger.take_rows())?;
    Ok(entries)
}
