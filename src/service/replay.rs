//! The journal through the fold, without a committer: a recovery's tail, a verification, a seal, a rebuild.

use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::ledger::{Judgement, Position, judge};
use crate::engine::refresh::RefreshJob;
use crate::service::error::StartError;
use crate::service::judging::Fresh;
use crate::store::record;
use crate::store::{Block, CheckpointKind, Store, StoreError};

/// One event of a replay, as it was judged; it has been applied.
pub(crate) struct Step<'a> {
    pub(crate) event: &'a Event,
    pub(crate) position: Position,
    pub(crate) judgement: &'a Judgement,
    /// What became due by it; a replay computes nothing that the journal does not ask for.
    pub(crate) jobs: &'a [RefreshJob],
}

/// Puts the rows of a checkpoint into an engine that is still empty; says how many there were.
pub(crate) fn restore(engine: &Engine, store: &dyn Store, kind: CheckpointKind) -> Result<(u64, usize), StartError> {
    let checkpoint = store.load_checkpoint(kind)?;
    let records: Result<Vec<_>, StoreError> =
        checkpoint.rows.iter().map(|(key, value)| record::decode_state(key, value)).collect();
    engine.restore(records?)?;
    Ok((checkpoint.block, checkpoint.rows.len()))
}

/// Applies a block's events in their order and shows each to `look`; says how many there were.
pub(crate) fn apply_block(
    engine: &Engine,
    known: &mut Fresh<'_>,
    block: &Block,
    mut look: impl FnMut(Step<'_>) -> Result<(), StartError>,
) -> Result<u64, StartError> {
    let mut jobs = Vec::new();
    let mut count = 0;
    for (index, event) in record::decode_events(block.payload()).enumerate() {
        let event = event?;
        let index = u32::try_from(index).map_err(|_| StoreError::Damaged("a block of 2^32 events".into()))?;
        let position = Position { block: block.number(), index };
        let judgement = judge(&event, position, &known.known(&event)?);
        engine.apply(&event, &judgement, &mut jobs);
        look(Step { event: &event, position, judgement: &judgement, jobs: &jobs })?;
        // The journal holds the allocations that were computed then.
        jobs.drain(..).for_each(|job| engine.abandon(&job));
        count += 1;
    }
    known.let_go();
    Ok(count)
}
