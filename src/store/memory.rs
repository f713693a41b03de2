//! A store in memory: for simulations, trials and tests. It keeps the whole contract except surviving the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{DecisionId, Timestamp};
use crate::store::{Block, Blocks, Checkpoint, Head, LedgerRow, StateRow, Store, StoreError, first_kept, heads_after};

/// Blocks, ledger and checkpoint rows behind one lock, held for the length of one method and never across a callback.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    closed: bool,
    head: Head,
    blocks: Vec<Block>,
    ledger: BTreeMap<(DecisionId, [u8; 16]), Vec<u8>>,
    checkpoint_block: u64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The one panic under the lock, for blocks that do not continue the head, comes before anything is changed: what a
    /// poisoned lock guards is whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, action: &'static str) -> Result<MutexGuard<'_, Kept>, StoreError> {
        let kept = self.lock();
        match kept.closed {
            true => Err(StoreError::Unavailable { action, detail: "it has been closed".into() }),
            false => Ok(kept),
        }
    }

    fn block(&self, number: u64) -> Option<Result<Block, StoreError>> {
        let kept = match self.open("read the journal") {
            Ok(kept) => kept,
            Err(error) => return Some(Err(error)),
        };
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        kept.blocks.get(index).cloned().map(Ok)
    }
}

impl Store for MemoryStore {
    fn head(&self) -> Head {
        self.lock().head
    }

    fn append(&self, blocks: &[Block], ledger: &[LedgerRow]) -> Result<(), StoreError> {
        let mut kept = self.open("append to the journal")?;
        if let Some(head) = heads_after(kept.head, blocks).last() {
            kept.head = *head;
        }
        kept.blocks.extend_from_slice(blocks);
        kept.ledger.extend(ledger.iter().map(|row| ((row.decision, row.detail), row.value.clone())));
        Ok(())
    }

    fn ledger(&self, decision: DecisionId) -> Result<Vec<LedgerRow>, StoreError> {
        let kept = self.open("read the ledger")?;
        let rows = kept.ledger.range((decision, [0; 16])..=(decision, [u8::MAX; 16]));
        Ok(rows.map(|((_, detail), value)| LedgerRow { decision, detail: *detail, value: value.clone() }).collect())
    }

    fn forget_ledger(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut kept = self.open("forget ledger entries")?;
        let end = first_kept(before).map_or(Bound::Unbounded, |first| Bound::Excluded((first, [0; 16])));
        let keys: Vec<_> = kept.ledger.range((Bound::Unbounded, end)).take(limit).map(|(key, _)| *key).collect();
        for key in &keys {
            kept.ledger.remove(key);
        }
        Ok(keys.len())
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        let last = self.head().number;
        let mut ended = false;
        Box::new((from.max(1)..=last).map_while(move |number| {
            if ended {
                return None;
            }
            let block = self.block(number);
            ended = matches!(block, Some(Err(_)));
            block
        }))
    }

    fn save_checkpoint(&self, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        let mut kept = self.open("save a checkpoint")?;
        assert!(block <= kept.head.number, "a checkpoint includes block {block}, which was never appended");
        kept.checkpoint_block = block;
        for row in rows {
            match &row.value {
                Some(value) => kept.rows.insert(row.key.clone(), value.clone()),
                None => kept.rows.remove(&row.key),
            };
        }
        Ok(())
    }

    fn load_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let kept = self.open("load the checkpoint")?;
        let rows = kept.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Checkpoint { block: kept.checkpoint_block, rows })
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().closed = true;
        Ok(())
    }
}
