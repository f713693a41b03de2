//! A batch of events as it will be written: blocks, rows beside them, and what each event is judged to be.

use crate::engine::event::Event;
use crate::engine::ledger::{Judgement, Outcome, Position, judge};
use crate::service::committer::Waiting;
use crate::service::error::CommitError;
use crate::service::judging::Fresh;
use crate::store::{Block, Row, Store, StoreError, record};

/// A block is closed once its payload has this many bytes, so that it nearly always fits one stored value.
const BLOCK_BYTES: usize = 6_000;

/// A batch as it will be written.
pub(super) struct Draft {
    pub(super) blocks: Vec<Block>,
    pub(super) rows: Vec<Row>,
    /// One for each event; an error where its decision's ledger cannot be read: then it is left out.
    pub(super) judgements: Vec<Result<Judgement, CommitError>>,
}

impl Draft {
    /// Of a batch. `judgements` is empty, and lends its memory.
    pub(super) fn of(
        batch: &mut [Waiting],
        store: &dyn Store,
        judgements: Vec<Result<Judgement, CommitError>>,
    ) -> Result<Self, StoreError> {
        let head = store.head();
        let mut draft = Self { blocks: Vec::new(), rows: Vec::new(), judgements };
        draft.judgements.reserve(batch.len());
        // What this very batch adds is known to its later events.
        let mut fresh = Fresh::of(store)?;
        let mut left = Vec::new();
        let mut block =
            Block { number: head.number + 1, previous: head.hash, payload: Vec::with_capacity(BLOCK_BYTES + 512) };
        let mut index = 0;
        let mut companions: Vec<(u32, &[u8])> = Vec::new();
        for Waiting { event, companion, .. } in batch {
            let companion = companion.as_ref();
            if block.payload.len() >= BLOCK_BYTES {
                let next = Block {
                    number: block.number + 1,
                    previous: block.hash(),
                    payload: Vec::with_capacity(BLOCK_BYTES + 512),
                };
                record::companion_rows(block.number, &std::mem::take(&mut companions), &mut draft.rows);
                draft.blocks.push(std::mem::replace(&mut block, next));
                index = 0;
            }
            let position = Position { block: block.number, index };
            let known = fresh.complete(event).and_then(|()| {
                let known = fresh.known(event)?;
                fresh.change_profiles(event, position, companion)?;
                Ok(known)
            });
            let known = match known {
                Ok(known) => known,
                Err(StoreError::Damaged(flaw)) => {
                    // The trouble of one decision, not of everybody who happens to be in its batch.
                    tracing::error!(%flaw, "an event could not be judged");
                    draft.judgements.push(Err(CommitError::Unavailable(flaw)));
                    continue;
                }
                Err(error @ (StoreError::Unavailable { .. } | StoreError::Loss { .. })) => return Err(error),
            };
            record::encode_event(event, &mut block.payload);
            let judgement = judge(event, position, &known);
            event.leaves(position, &judgement, &mut left);
            fresh.keep(&mut left)?;
            // An assignment that came second is no decision, and its companion none.
            if judgement.outcome == Outcome::Recorded && !matches!(event, Event::ProfileSaved(_)) {
                companions.extend(companion.map(|companion| (index, &**companion)));
            }
            draft.judgements.push(Ok(judgement));
            index += 1;
        }
        record::companion_rows(block.number, &companions, &mut draft.rows);
        if !block.payload.is_empty() {
            draft.blocks.push(block);
        }
        draft.rows.extend(fresh.take_rows());
        Ok(draft)
    }
}
