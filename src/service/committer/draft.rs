//! A batch of events as it will be written: blocks, rows beside them, and what each event is judged to be.

use crate::engine::ledger::{Judgement, Outcome, Position, judge};
use crate::service::committer::queue::Beside;
use crate::service::committer::{KEPT_EVENTS, Waiting};
use crate::service::error::CommitError;
use crate::service::judging::Fresh;
use crate::service::ledger::AddedFacts;
use crate::store::record::EncodedCompanion;
use crate::store::{Block, Row, Store, StoreError, record};

/// A block is closed once its payload has this many bytes, so that it nearly always fits one stored value.
const BLOCK_BYTES: usize = 6_000;

/// What one draft lends the next: empty, but for its memory. Pieces as large as these cost page faults each time they are taken anew.
#[derive(Default)]
pub(super) struct Memory {
    judgements: Vec<Result<Judgement, CommitError>>,
    facts: AddedFacts,
}

/// A batch as it will be written.
pub(super) struct Draft {
    pub(super) blocks: Vec<Block>,
    pub(super) rows: Vec<Row>,
    /// One for each event; an error where its decision's ledger cannot be read: then it is left out.
    pub(super) judgements: Vec<Result<Judgement, CommitError>>,
    facts: AddedFacts,
}

impl Draft {
    /// Of a batch.
    pub(super) fn of(
        batch: &mut [Waiting],
        store: &dyn Store,
        Memory { judgements, facts }: Memory,
    ) -> Result<Self, StoreError> {
        let mut head = store.head();
        let mut draft = Self { blocks: Vec::new(), rows: Vec::new(), judgements, facts: AddedFacts::default() };
        draft.judgements.reserve(batch.len());
        // What this very batch adds is known to its later events.
        let mut fresh = Fresh::with_memory(store, facts)?;
        let mut left = Vec::new();
        let room = || Vec::with_capacity(BLOCK_BYTES + 512);
        let mut payload = room();
        let mut index = 0;
        let mut companions: Vec<(u32, &EncodedCompanion)> = Vec::new();
        for Waiting { event, beside, .. } in batch {
            let (companion, profile) = match beside.as_ref() {
                None => (None, None),
                Some(Beside::Companion(companion)) => (Some(companion), None),
                Some(Beside::Profile(profile)) => (None, Some(profile)),
            };
            if payload.len() >= BLOCK_BYTES {
                let block = Block::after(head, std::mem::replace(&mut payload, room()));
                record::companion_rows(block.number(), &std::mem::take(&mut companions), &mut draft.rows);
                head = block.head();
                draft.blocks.push(block);
                index = 0;
            }
            let position = Position { block: head.number + 1, index };
            let known = fresh.complete(event).and_then(|()| {
                let known = fresh.known(event)?;
                fresh.change_profiles(event, position, profile)?;
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
            record::encode_event(event, &mut payload);
            let judgement = judge(event, position, &known);
            event.leaves(position, &judgement, &mut left);
            fresh.keep(&mut left)?;
            // An assignment that came second is no decision, and its companion none.
            if judgement.outcome == Outcome::Recorded {
                companions.extend(companion.map(|companion| (index, companion)));
            }
            draft.judgements.push(Ok(judgement));
            index += 1;
        }
        record::companion_rows(head.number + 1, &companions, &mut draft.rows);
        if !payload.is_empty() {
            draft.blocks.push(Block::after(head, payload));
        }
        draft.rows.extend(fresh.take_rows());
        draft.facts = fresh.into_memory(KEPT_EVENTS);
        Ok(draft)
    }

    /// What the next one can be made in; every judgement was told.
    pub(super) fn into_memory(self) -> Memory {
        let Self { mut judgements, facts, .. } = self;
        judgements.clear();
        judgements.shrink_to(KEPT_EVENTS);
        Memory { judgements, facts }
    }
}
