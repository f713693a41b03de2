//! Forgetting what nobody can ask for any more, no receipt and no replay: ledger entries, and whose receipts are refused.

use crate::domain::{Span, Timestamp};
use crate::service::committer::{Committer, Inbox, Jobs};
use crate::service::retention::time_of;
use crate::store::record::page::{decode_fact, decode_page};
use crate::store::{Space, Store, StoreError, record};

/// Ledger entries are kept as long as any receipt can be valid: the longest window and 90 days.
const LEDGER_SPAN: Span = Span::DAY.times(365 + 90);
/// Most ledger entries forgotten between two commits.
const FORGET_AT_ONCE: usize = 10_000;
/// Most pages of them that are looked at.
const PAGES_AT_ONCE: usize = 200;

impl<I: Inbox, J: Jobs> Committer<I, J> {
    /// Measured by events, so that it needs no clock: by the newest, and by what the journal still holds, for a replay judges each
    /// event by the entries of its decision.
    pub(super) fn forget(&mut self) {
        let newest = self.engine.experiments().iter().map(|experiment| experiment.active().newest()).max();
        let Some(newest) = newest else { return };
        let needed = oldest(&*self.store).and_then(|oldest| {
            let before = newest.min(oldest).minus(LEDGER_SPAN);
            Ok([(Space::Ledger, self.entries_from(before)?), (Space::LedgerPage, self.pages_from(before)?)])
        });
        let [entries, pages] = match needed {
            Ok(needed) => needed,
            Err(error) => return tracing::warn!(%error, "nobody knows which ledger entries are needed"),
        };
        let erased = (Space::Erased, record::erased_key_at(newest.minus(LEDGER_SPAN)));
        for (space, below) in [entries, pages, erased] {
            if let Err(error) = self.store.forget(space, &below, FORGET_AT_ONCE) {
                self.doubt.open = true;
                tracing::warn!(%error, ?space, "what nobody can ask for any more could not be forgotten");
            }
        }
    }

    /// The first key of an entry that earlier builds wrote, and that is not older than this, or that the journal still says
    /// something of: while a clock is years behind, decisions are old as soon as they are made.
    fn entries_from(&self, before: Timestamp) -> Result<Vec<u8>, StoreError> {
        let (before, base) = (record::ledger_key_at(before), self.store.base().number);
        // Nearly always the first one is needed.
        for limit in [1, FORGET_AT_ONCE] {
            for (key, value) in self.store.rows(Space::Ledger, &[], None, limit)? {
                if key >= before || record::decode_ledger(&key, &value)?.position.block > base {
                    return Ok(key.min(before));
                }
            }
        }
        Ok(before)
    }

    /// The key of the first page that holds such an entry; the last page is kept whatever it holds, as what comes next goes there.
    fn pages_from(&self, before: Timestamp) -> Result<Vec<u8>, StoreError> {
        let (before, base) = (record::ledger_key_at(before), self.store.base().number);
        let mut last = Vec::new();
        for limit in [2, PAGES_AT_ONCE] {
            let pages = self.store.rows(Space::LedgerPage, &[], None, limit)?;
            let nexts = pages.iter().skip(1).map(|(key, _)| Some(key)).chain([None]);
            for ((key, page), next) in pages.iter().zip(nexts) {
                for (fact, record) in decode_page(page)? {
                    // What lies beyond the next page's key is what this one held before it was split.
                    let own = next.is_none_or(|next| fact[..] < next[..]);
                    if own && (fact[..] >= before[..] || decode_fact(&fact, record)?.position.block > base) {
                        return Ok(key.clone());
                    }
                }
                last.clone_from(key);
            }
        }
        Ok(last)
    }
}

/// The time of the first event that says one. Retention may drop the very block that is being read: what is first by then is as good.
fn oldest(store: &dyn Store) -> Result<Timestamp, StoreError> {
    first_time(store).or_else(|_| first_time(store))
}

fn first_time(store: &dyn Store) -> Result<Timestamp, StoreError> {
    for block in store.blocks(store.base().number + 1) {
        for event in record::decode_events(block?.payload()) {
            if let Some(time) = time_of(&event?) {
                return Ok(time);
            }
        }
    }
    Ok(Timestamp::ZERO)
}

#[cfg(test)]
mod tests {
    //! What is needed is known also while blocks go.

    use std::sync::Arc;

    use crate::domain::ExperimentKey;
    use crate::engine::event::Event;
    use crate::service::committer::forgetting::*;
    use crate::store::Block;
    use crate::store::faulty::{Fault, FaultyStore};
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_block_that_goes_while_it_is_read_is_no_damage_and_one_that_stays_away_is() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        let (experiment, at) = (ExperimentKey::new("hero").expect("a key"), Timestamp::from_millis(42));
        let mut payload = Vec::new();
        record::encode_event(
            &Event::ExperimentDeleted { experiment, at },
            &mut record::Before::default(),
            &mut payload,
        );
        store.append(&[Block::after(store.head(), payload)], &[]).expect("taken");
        store.fail_call(store.calls() + 1, Fault::Before);
        assert_eq!(oldest(&store).expect("read again"), at);
        assert_eq!(store.faults_left(), 0);
        (1..=2).for_each(|next| store.fail_call(store.calls() + next, Fault::Before));
        assert!(oldest(&store).is_err());
    }
}
