//! A store in memory: for simulations, trials and tests. It keeps the whole contract except surviving the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{
    Block, Blocks, Checkpoint, CheckpointKind, Head, Place, Row, Rows, Space, StateRow, Store, StoreError, check_rows,
    heads_after,
};

/// Blocks, rows and checkpoints behind one lock, held for the length of one method and never across a callback.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    closed: bool,
    head: Head,
    /// The last block that was dropped.
    base: Head,
    blocks: Vec<Block>,
    rows: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    current: Image,
    sealed: Image,
}

/// One checkpoint.
#[derive(Debug, Default)]
struct Image {
    block: u64,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Kept {
    fn image(&mut self, kind: CheckpointKind) -> &mut Image {
        match kind {
            CheckpointKind::Current => &mut self.current,
            CheckpointKind::Sealed => &mut self.sealed,
        }
    }
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it again after [`Store::close`], as a new process opens what is on disk: simulations and tests restart so.
    pub fn reopen(&self) {
        self.lock().closed = false;
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
        let index = usize::try_from(number.checked_sub(kept.base.number + 1)?).ok()?;
        kept.blocks.get(index).cloned().map(Ok)
    }
}

impl Store for MemoryStore {
    fn head(&self) -> Head {
        self.lock().head
    }

    fn append(&self, blocks: &[Block], rows: &[Row]) -> Result<(), StoreError> {
        check_rows(rows);
        let mut kept = self.open("append to the journal")?;
        if let Some(head) = heads_after(kept.head, blocks).last() {
            kept.head = *head;
        }
        kept.blocks.extend_from_slice(blocks);
        for Row { space, key, value } in rows {
            match value {
                Some(value) => kept.rows.insert((*space, key.clone()), value.clone()),
                None => kept.rows.remove(&(*space, key.clone())),
            };
        }
        Ok(())
    }

    fn rows(&self, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Rows, StoreError> {
        let kept = self.open("read rows")?;
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded((space, after.to_vec())),
            None => Bound::Included((space, prefix.to_vec())),
        };
        let rows = kept.rows.range((start, Bound::Unbounded));
        let within = rows.take_while(|((of, key), _)| *of == space && key.starts_with(prefix)).take(limit);
        Ok(within.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn place(&self, space: Space, key: &[u8]) -> Result<Place, StoreError> {
        let kept = self.open("read rows")?;
        let at = (space, key.to_vec());
        let row = kept.rows.range((space, Vec::new())..=at.clone()).next_back();
        let next = kept.rows.range((Bound::Excluded(at), Bound::Unbounded)).next();
        Ok(Place {
            row: row.map(|((_, key), value)| (key.clone(), value.clone())),
            next: next.filter(|((of, _), _)| *of == space).map(|((_, key), _)| key.clone()),
        })
    }

    fn forget(&self, space: Space, below: &[u8], limit: usize) -> Result<usize, StoreError> {
        let mut kept = self.open("forget rows")?;
        let range = kept.rows.range((space, Vec::new())..(space, below.to_vec()));
        let keys: Vec<_> = range.take(limit).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            kept.rows.remove(key);
        }
        Ok(keys.len())
    }

    fn base(&self) -> Head {
        self.lock().base
    }

    fn blocks(&self, from: u64) -> Blocks<'_> {
        let (first, last) = (self.base().number + 1, self.head().number);
        let mut ended = false;
        Box::new((from.max(first)..=last).map_while(move |number| {
            if ended {
                return None;
            }
            let block = self.block(number);
            ended = matches!(block, Some(Err(_)));
            block
        }))
    }

    fn begin(&self, base: Head) -> Result<(), StoreError> {
        let mut kept = self.open("begin a journal")?;
        assert!(kept.head == Head::default(), "a journal that has begun cannot begin");
        (kept.base, kept.head) = (base, base);
        Ok(())
    }

    fn drop_blocks(&self, through: u64, limit: usize) -> Result<usize, StoreError> {
        let mut kept = self.open("drop old blocks")?;
        assert!(through <= kept.sealed.block, "block {through} is not in the sealed checkpoint");
        let through = through.min(kept.current.block);
        let count = usize::try_from(through.saturating_sub(kept.base.number)).unwrap_or(usize::MAX).min(limit);
        if let Some(last) = count.checked_sub(1).map(|index| &kept.blocks[index]) {
            kept.base = Head { number: last.number, hash: last.hash() };
            kept.blocks.drain(..count);
        }
        Ok(count)
    }

    fn save_checkpoint(&self, kind: CheckpointKind, block: u64, rows: &[StateRow]) -> Result<(), StoreError> {
        let mut kept = self.open("save a checkpoint")?;
        assert!(block <= kept.head.number, "a checkpoint includes block {block}, which was never appended");
        let image = kept.image(kind);
        image.block = block;
        for row in rows {
            match &row.value {
                Some(value) => image.rows.insert(row.key.clone(), value.clone()),
                None => image.rows.remove(&row.key),
            };
        }
        Ok(())
    }

    fn load_checkpoint(&self, kind: CheckpointKind) -> Result<Checkpoint, StoreError> {
        let mut kept = self.open("load the checkpoint")?;
        let image = kept.image(kind);
        let rows = image.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Checkpoint { block: image.block, rows })
    }

    fn recover(&self) -> Result<Head, StoreError> {
        // A change here fails before it has begun.
        Ok(self.open("make certain what it holds")?.head)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().closed = true;
        Ok(())
    }
}
