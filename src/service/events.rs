//! What happened, block by block, for whoever keeps a copy of it elsewhere: the journal's events, each with what became of it, and
//! who a decision was for as long as that is kept.
//!
//! Invariant: nothing is changed, and no block is kept from being dropped: a reader that is slow is told of the gap.

use std::collections::HashMap;

use crate::domain::VisitorToken;
use crate::engine::event::{DecisionRecord, Event};
use crate::engine::ledger::{Outcome, Position, judge};
use crate::service::Service;
use crate::service::judging::Fresh;
use crate::store::record::{self, Companion};
use crate::store::{Block, Space, StoreError};

/// Blocks that are read, and told, at once: some hundred kilobytes, and beside them at most as many contexts as one block has events.
const AT_ONCE: usize = 16;

/// What a reader of the journal is told, in its order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told<'a> {
    /// Blocks that were asked for are gone: retention has dropped them.
    Gap {
        /// The last block before them.
        after: u64,
        /// The first that is left.
        next: u64,
    },
    /// One event.
    Event(&'a Happened),
    /// All events up to the end of this block were told.
    Through(u64),
}

/// One event of the journal, and what is known of it beside the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub event: Event,
    /// What became of it.
    pub outcome: Outcome,
    /// Who it was decided for; nothing where that is not kept, or was erased.
    pub visitor: Option<Named>,
}

/// A visitor by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What stands for it in other events.
    pub token: VisitorToken,
    /// Its id.
    pub id: String,
}

impl Service {
    /// Tells some of the blocks after one, and none after `through`, to be called again with what comes back until that is `through`.
    /// Blocks its thread.
    ///
    /// # Errors
    /// If the store cannot be read, or what it holds is not what was written. What was told is so all the same.
    pub fn events(&self, after: u64, through: u64, tell: &mut dyn FnMut(Told<'_>)) -> Result<u64, StoreError> {
        let blocks = self.store.blocks(after + 1).take(AT_ONCE);
        let blocks = blocks.take_while(|block| block.as_ref().map_or(true, |block| block.number() <= through));
        let blocks: Vec<Block> = blocks.collect::<Result<_, _>>()?;
        // The ledger is read after the blocks, so that it knows all that they left; what came later is not asked.
        let mut known = Fresh::of(&*self.store)?;
        let mut reached = after;
        for block in blocks {
            if block.number() > reached + 1 {
                tell(Told::Gap { after: reached, next: block.number() });
            }
            self.tell_block(&mut known, &block, tell)?;
            reached = block.number();
            tell(Told::Through(reached));
        }
        let base = self.store.base().number;
        if reached == after && base > after {
            // Nothing is left of what was asked for, as after an archive of no blocks was restored.
            tell(Told::Gap { after, next: base + 1 });
            tell(Told::Through(base));
        }
        Ok(if reached == after { through.max(base) } else { reached })
    }

    fn tell_block(
        &self,
        known: &mut Fresh<'_>,
        block: &Block,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<(), StoreError> {
        let mut named = self.named(block.number())?;
        for (index, event) in (0_u32..).zip(record::decode_events(block.payload())) {
            let event = event?;
            let position = Position { block: block.number(), index };
            let outcome = judge(&event, position, &known.known(&event)?).outcome;
            let visitor = named.remove(&index).filter(|named| {
                let decided = event.decision().map(DecisionRecord::decided_at);
                // Its companion may be about to go: an erasure holds from the moment it is recorded.
                decided.is_some_and(|decided| !self.engine.has_erased(named.token.short(), decided))
            });
            tell(Told::Event(&Happened { position, event, outcome, visitor }));
        }
        known.let_go();
        Ok(())
    }

    /// Who the decisions of a block were for, by the index of their events.
    fn named(&self, block: u64) -> Result<HashMap<u32, Named>, StoreError> {
        let rows = self.store.rows(Space::Companion, &record::companion_key(block), None, usize::MAX)?;
        let mut named = HashMap::new();
        for (key, value) in &rows {
            for Companion { index, token, visitor, .. } in record::decode_companions(key, value)? {
                named.insert(index, Named { token, id: visitor });
            }
        }
        Ok(named)
    }
}
