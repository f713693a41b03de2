//! A batch on its way to the store: its events as blocks, judged one after another, and the ledger's pages they change.

use crate::engine::ledger::{Judgement, Position, judge, judged_decision};
use crate::service::committer::Waiting;
use crate::service::error::CommitError;
use crate::service::ledger::Ledger;
use crate::store::record;
use crate::store::{Block, Row, Store, StoreError};

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
    pub(super) fn of(batch: &[Waiting], store: &dyn Store) -> Result<Self, StoreError> {
        let head = store.head();
        let mut draft = Self { blocks: Vec::new(), rows: Vec::new(), judgements: Vec::with_capacity(batch.len()) };
        // What this very batch adds is known to its later events.
        let mut ledger = Ledger::of(store)?;
        let mut block =
            Block { number: head.number + 1, previous: head.hash, payload: Vec::with_capacity(BLOCK_BYTES + 512) };
        let mut index = 0;
        for (event, _) in batch {
            if block.payload.len() >= BLOCK_BYTES {
                let next = Block {
                    number: block.number + 1,
                    previous: block.hash(),
                    payload: Vec::with_capacity(BLOCK_BYTES + 512),
                };
                draft.blocks.push(std::mem::replace(&mut block, next));
                index = 0;
            }
            let known = match judged_decision(event).map_or(Ok(Vec::new()), |decision| ledger.known(decision)) {
                Ok(known) => known,
                Err(StoreError::Damaged(flaw)) => {
                    // The trouble of one decision, not of everybody who happens to be in its batch.
                    tracing::error!(%flaw, "a reward could not be judged");
                    draft.judgements.push(Err(CommitError::Unavailable(flaw)));
                    continue;
                }
                Err(error @ (StoreError::Unavailable { .. } | StoreError::Loss { .. })) => return Err(error),
            };
            record::encode_event(event, &mut block.payload);
            let judgement = judge(event, Position { block: block.number, index }, &known);
            if let Some(entry) = &judgement.entry {
                ledger.add(entry)?;
            }
            draft.judgements.push(Ok(judgement));
            index += 1;
        }
        if !block.payload.is_empty() {
            draft.blocks.push(block);
        }
        draft.rows = ledger.take_rows();
        Ok(draft)
    }
}
