//! After a loss that was accepted: rows beside blocks that are gone. They would be taken for those of the blocks that will have the
//! same numbers, and what was counted nowhere would be answered as a repeat.

use crate::service::error::StartError;
use crate::store::record::page::*;
use crate::store::{Row, Rows, Space, Store, StoreError, record};

/// Rows that are read, and written, at once.
const AT_ONCE: usize = 500;

/// Takes out what stands beside the journal for blocks after its head; says of how many rows. Stopped in the middle, it can be begun
/// again. Profiles stay, and that a visitor was erased.
///
/// # Errors
/// If the store cannot be read or written, or a row is not what was written.
pub fn forget_lost(store: &dyn Store) -> Result<usize, StartError> {
    let head = store.head().number;
    let mut forgotten = 0;
    for space in Space::ALL {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = store.rows(space, &[], after.as_deref(), AT_ONCE)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            let changed = changed(space, &rows, head)?;
            if !changed.is_empty() {
                forgotten += changed.len();
                store.append(&[], &changed)?;
            }
        }
    }
    Ok(forgotten)
}

fn changed(space: Space, rows: &Rows, head: u64) -> Result<Vec<Row>, StoreError> {
    let mut changed = Vec::new();
    for (key, value) in rows {
        let gone = match space {
            Space::Ledger => record::decode_ledger(key, value)?.position.block > head,
            Space::Assignment => record::decode_assignment(key, value)?.position.block > head,
            Space::Alias => record::decode_alias(key, value)?.position.block > head,
            Space::Companion => key.first_chunk().is_some_and(|block| u64::from_be_bytes(*block) > head),
            Space::LedgerPage => {
                let facts = decode_page(value)?;
                let mut left = Vec::with_capacity(facts.len());
                for (key, record) in &facts {
                    if decode_fact(key, record)?.position.block <= head {
                        left.push((key, *record));
                    }
                }
                if left.len() < facts.len() {
                    // The page stays, however little is in it: it says where the one before it ends.
                    let value = Some(encode_page(left.iter().copied()));
                    changed.push(Row { space, key: key.clone(), value });
                }
                false
            }
            Space::Erased | Space::Profile | Space::Journal => false,
        };
        if gone {
            changed.push(Row { space, key: key.clone(), value: None });
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    //! What stands beside blocks that are there stays, and the rest goes.

    use std::sync::Arc;

    use crate::domain::Span;
    use crate::service::bench::{START, Site};
    use crate::service::lost::*;
    use crate::service::rebuild::rebuild;
    use crate::service::verify::verify;
    use crate::store::memory::MemoryStore;
    use crate::store::{Block, CheckpointKind};

    #[test]
    fn what_stands_beside_blocks_that_are_gone_goes_as_well() {
        let whole = Arc::new(MemoryStore::new());
        let mut site = Site::on(whole.clone(), START);
        site.save("hero", "none");
        for _ in 0..20 {
            site.visit("hero", 1);
            site.pass(Span::SECOND);
        }
        site.service.stop();
        whole.reopen();
        let contents =
            |store: &dyn Store| Space::ALL.map(|space| store.rows(space, &[], None, usize::MAX).expect("readable"));
        let blocks: Vec<Block> = whole.blocks(1).collect::<Result<_, _>>().expect("whole");
        for kept in [blocks.len(), blocks.len() / 2, 1] {
            let store = MemoryStore::new();
            for (space, rows) in Space::ALL.into_iter().zip(contents(&*whole)) {
                let rows: Vec<_> =
                    rows.into_iter().map(|(key, value)| Row { space, key, value: Some(value) }).collect();
                store.append(&[], &rows).expect("taken");
            }
            store.append(&blocks[..kept], &[]).expect("taken");
            let forgotten = forget_lost(&store).expect("forgotten");
            assert_eq!(forgotten > 0, kept < blocks.len(), "{kept} of {} blocks", blocks.len());
            assert_eq!(forget_lost(&store).expect("nothing is left"), 0);
            rebuild(&store, &mut |_| {}).expect("rebuilt");
            let verified = verify(&store, &mut |_| {}).expect("readable");
            assert!(verified.passed(), "{:#?}", verified.differences);
            assert_eq!(store.load_checkpoint(CheckpointKind::Current).expect("whole").block, kept as u64);
        }
    }
}
