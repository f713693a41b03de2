//! From a store to a state: the last checkpoint, then the tail of the journal through the same fold as ever.

use crate::engine::Engine;
use crate::engine::ledger::{Position, judge, judged_decision};
use crate::service::error::StartError;
use crate::store::record;
use crate::store::{CheckpointKind, Store, StoreError};

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

pub(crate) fn recover(engine: &Engine, store: &dyn Store) -> Result<Recovered, StartError> {
    let checkpoint = store.load_checkpoint(CheckpointKind::Current)?;
    let records: Result<Vec<_>, StoreError> =
        checkpoint.rows.iter().map(|(key, value)| record::decode_state(key, value)).collect();
    let mut recovered = Recovered { rows: checkpoint.rows.len(), ..Recovered::default() };
    engine.restore(records?)?;
    let mut jobs = Vec::new();
    for block in store.blocks(checkpoint.block + 1) {
        let block = block?;
        recovered.blocks += 1;
        for (index, event) in record::decode_events(&block.payload).enumerate() {
            let event = event?;
            let known = match judged_decision(&event) {
                Some(decision) => record::ledger_of(store, decision)?,
                None => Vec::new(),
            };
            let index = u32::try_from(index).map_err(|_| StoreError::Damaged("a block of 2^32 events".into()))?;
            engine.apply(&event, &judge(&event, Position { block: block.number, index }, &known), &mut jobs);
            // The journal holds the allocations that were computed then; what is due now is found when the committer starts.
            jobs.drain(..).for_each(|job| engine.abandon(&job));
            recovered.events += 1;
        }
    }
    Ok(recovered)
}
