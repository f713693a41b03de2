//! From a store to a state: the last checkpoint, then the tail of the journal through the same fold as ever.

use crate::engine::Engine;
use crate::service::error::StartError;
use crate::service::judging::Fresh;
use crate::service::replay::{apply_block, restore};
use crate::store::{CheckpointKind, Space, Store, record};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Rows of the checkpoint.
    pub rows: usize,
    /// Blocks after it.
    pub blocks: u64,
    /// Events in them.
    pub events: u64,
}

/// Puts what a store holds into an engine that is still empty.
///
/// # Errors
/// If the store cannot be read, or what it holds does not fit together.
pub fn recover(engine: &Engine, store: &dyn Store) -> Result<Recovered, StartError> {
    let (mut block, mut rows) = restore(engine, store, CheckpointKind::Current)?;
    if block < store.base().number {
        // The current checkpoint was given up with what was damaged, and the blocks that would make it anew were dropped.
        (block, rows) = restore(engine, store, CheckpointKind::Sealed)?;
        engine.save_all_anew();
    }
    for (key, _) in store.rows(Space::Erased, &[], None, usize::MAX)? {
        let (visitor, until) = record::decode_erased(&key)?;
        engine.refuse_receipts(visitor, until);
    }
    let mut recovered = Recovered { rows, ..Recovered::default() };
    let mut known = Fresh::of(store)?;
    for block in store.blocks(block + 1) {
        recovered.events += apply_block(engine, &mut known, &block?, |_| Ok(()))?;
        recovered.blocks += 1;
    }
    Ok(recovered)
}
