//! The state, and rows beside the journal, made anew from the journal: for a checkpoint that is lost or doubted, and for what
//! an archive does not hold.

use crate::engine::Engine;
use crate::engine::ledger::{Position, judge};
use crate::engine::secret::Secret;
use crate::service::error::StartError;
use crate::service::judging::Fresh;
use crate::service::lost::forget_lost;
use crate::service::replay::{apply_block, restore};
use crate::store::{CheckpointKind, StateRow, Store, StoreError, record};

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
/// dropped, and writes every row that the journal's events leave. What stands beside blocks that are lost goes; what the journal
/// knows nothing of stays. Stopped in the middle, it can be begun again.
///
/// # Errors
/// If the store cannot be read or written, or its journal is damaged.
pub fn rebuild(store: &dyn Store, progress: &mut dyn FnMut(u64)) -> Result<Rebuilt, StartError> {
    let mut rebuilt = Rebuilt { head: store.head().number, ..Rebuilt::default() };
    let engine = Engine::new(Secret::new([0; 32]), 0);
    if store.base().number > 0 {
        rebuilt.from = restore(&engine, store, CheckpointKind::Sealed)?.0;
    }
    forget_lost(store)?;
    rebuilt.entries = remake_rows(store, rebuilt.from, progress)?;
    let mut known = Fresh::of(store)?;
    for block in store.blocks(rebuilt.from + 1) {
        let block = block?;
        progress(block.number());
        apply_block(&engine, &mut known, &block, |_| Ok(()))?;
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

/// Writes what events of blocks after a number leave beside the journal, where it is not there; says how much there should be.
///
/// # Errors
/// As [`rebuild`].
pub(crate) fn remake_rows(store: &dyn Store, from: u64, progress: &mut dyn FnMut(u64)) -> Result<u64, StartError> {
    let mut fresh = Fresh::of(store)?;
    let (mut entries, mut waiting) = (0, 0);
    let mut left = Vec::new();
    for block in store.blocks(from + 1) {
        let block = block?;
        progress(block.number());
        for (index, event) in record::decode_events(block.payload()).enumerate() {
            let event = event?;
            let index = u32::try_from(index).map_err(|_| StoreError::Damaged("a block of 2^32 events".into()))?;
            let position = Position { block: block.number(), index };
            let judgement = judge(&event, position, &fresh.known(&event)?);
            event.leaves(position, &judgement, &mut left);
            entries += left.len() as u64;
            waiting += usize::from(fresh.keep(&mut left)?);
        }
        if waiting >= AT_ONCE {
            waiting = 0;
            store.append(&[], &fresh.take_rows())?;
        }
        fresh.let_go();
    }
    store.append(&[], &fresh.take_rows())?;
    Ok(entries)
}
