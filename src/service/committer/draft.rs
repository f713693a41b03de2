//! A batch of events as it will be written: blocks, rows beside them, and what each event is judged to be.

use crate::engine::known::Remembered;
use crate::engine::ledger::{Judgement, Outcome, Position, judge};
use crate::service::committer::{Beside, KEPT_EVENTS, Passing, Waiting};
use crate::service::error::CommitError;
use crate::service::judging::Fresh;
use crate::service::ledger::AddedFacts;
use crate::store::record::{About, Before};
use crate::store::{Block, Head, Row, Store, StoreError, record};

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
        batch: &mut [Passing],
        store: &dyn Store,
        Memory { mut judgements, facts }: Memory,
    ) -> Result<Self, StoreError> {
        let mut written = Written::after(store.head());
        judgements.reserve(batch.len());
        // What this very batch adds is known to its later events.
        let mut fresh = Fresh::with_memory(store, facts)?;
        let mut left = Vec::new();
        for passing in batch {
            judgements.push(match passing {
                Passing::One(waiting) => match write(waiting, &mut fresh, &mut left, &mut written) {
                    Ok(judgement) => {
                        fresh.keep(&mut left)?;
                        Ok(judgement)
                    }
                    Err(StoreError::Damaged(flaw)) => {
                        // The trouble of one decision, not of everybody who happens to be in its batch.
                        tracing::error!(%flaw, "an event could not be judged");
                        Err(CommitError::Unavailable(flaw))
                    }
                    Err(error @ (StoreError::Unavailable { .. } | StoreError::Loss { .. })) => return Err(error),
                },
                Passing::Exposures(exposures) => {
                    exposures.for_each(|record, companion| {
                        written.next();
                        record::encode_exposure(record, &mut written.before, &mut written.payload);
                        written.ended(companion);
                    });
                    Ok(Judgement::PLAIN)
                }
            });
        }
        let (blocks, mut rows) = written.end();
        rows.extend(fresh.take_rows());
        Ok(Self { blocks, rows, judgements, facts: fresh.into_memory(KEPT_EVENTS) })
    }

    /// What the next one can be made in; every judgement was told.
    pub(super) fn into_memory(self) -> Memory {
        let Self { mut judgements, facts, .. } = self;
        judgements.clear();
        judgements.shrink_to(KEPT_EVENTS);
        Memory { judgements, facts }
    }
}

/// Judges an event and writes it; says what it leaves.
fn write<'b>(
    Waiting { event, beside, .. }: &'b mut Waiting,
    fresh: &mut Fresh<'_>,
    left: &mut Vec<Remembered>,
    written: &mut Written<'b>,
) -> Result<Judgement, StoreError> {
    let (companion, profile) = match beside.as_ref() {
        None => (None, None),
        Some(Beside::Companion(companion)) => (Some(companion.about()), None),
        Some(Beside::Profile(profile)) => (None, Some(profile)),
    };
    let position = written.next();
    fresh.complete(event)?;
    let known = fresh.known(event)?;
    fresh.change_profiles(event, position, profile)?;
    record::encode_event(event, &mut written.before, &mut written.payload);
    let judgement = judge(event, position, &known);
    event.leaves(position, &judgement, left);
    // An assignment that came second is no decision, and its companion none.
    written.ended(companion.filter(|_| judgement.outcome == Outcome::Recorded));
    Ok(judgement)
}

/// Blocks as they are written, and the companions of their decisions.
struct Written<'b> {
    head: Head,
    payload: Vec<u8>,
    before: Before,
    index: u32,
    companions: Vec<(u32, About<'b>)>,
    blocks: Vec<Block>,
    rows: Vec<Row>,
}

impl<'b> Written<'b> {
    fn after(head: Head) -> Self {
        let (payload, before, companions) = (room(), Before::default(), Vec::new());
        Self { head, payload, before, index: 0, companions, blocks: Vec::new(), rows: Vec::new() }
    }

    /// Where the next event stands: in another block if this one has its length.
    fn next(&mut self) -> Position {
        if self.payload.len() >= BLOCK_BYTES {
            self.close();
            self.payload = room();
        }
        Position { block: self.head.number + 1, index: self.index }
    }

    /// The event was written that stands there.
    fn ended(&mut self, companion: Option<About<'b>>) {
        self.companions.extend(companion.map(|companion| (self.index, companion)));
        self.index += 1;
    }

    fn close(&mut self) {
        let block = Block::after(self.head, std::mem::take(&mut self.payload));
        record::companion_rows(block.number(), &self.companions, &mut self.rows);
        self.companions.clear();
        (self.head, self.before, self.index) = (block.head(), Before::default(), 0);
        self.blocks.push(block);
    }

    fn end(mut self) -> (Vec<Block>, Vec<Row>) {
        if !self.payload.is_empty() {
            self.close();
        }
        (self.blocks, self.rows)
    }
}

fn room() -> Vec<u8> {
    Vec::with_capacity(BLOCK_BYTES + 512)
}
