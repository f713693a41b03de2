//! Forgetting what nobody can ask for any more, no receipt and no replay: ledger entries, and whose receipts are refused.

use crate::domain::{Span, Timestamp};
use crate::service::committer::{Committer, Inbox, Jobs};
use crate::service::retention::time_of;
use crate::store::{Space, StoreError, record};

/// Ledger entries are kept as long as any receipt can be valid: the longest window and 90 days.
const LEDGER_SPAN: Span = Span::DAY.times(365 + 90);
/// Most ledger entries forgotten between two commits.
const FORGET_AT_ONCE: usize = 10_000;

impl<I: Inbox, J: Jobs> Committer<I, J> {
    /// Measured by events, so that it needs no clock: by the newest, and by what the journal still holds, for a replay judges each
    /// event by the entries of its decision.
    pub(super) fn forget(&mut self) {
        let newest = self.engine.experiments().iter().map(|experiment| experiment.active().newest()).max();
        let Some(newest) = newest else { return };
        let below = match self.oldest().and_then(|oldest| self.needed_from(newest.min(oldest).minus(LEDGER_SPAN))) {
            Ok(below) => below,
            Err(error) => return tracing::warn!(%error, "nobody knows which ledger entries are needed"),
        };
        let erased_below = record::erased_key_at(newest.minus(LEDGER_SPAN));
        for (space, below) in [(Space::Ledger, below), (Space::Erased, erased_below)] {
            if let Err(error) = self.store.forget(space, &below, FORGET_AT_ONCE) {
                self.doubt.open = true;
                tracing::warn!(%error, ?space, "what nobody can ask for any more could not be forgotten");
            }
        }
    }

    /// The first key of a decision that is not older than this, or that the journal still says something of: while a clock is
    /// years behind, decisions are old as soon as they are made.
    fn needed_from(&self, before: Timestamp) -> Result<Vec<u8>, StoreError> {
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

    /// The time of the first event that says one.
    fn oldest(&self) -> Result<Timestamp, StoreError> {
        for block in self.store.blocks(self.store.base().number + 1) {
            for event in record::decode_events(&block?.payload) {
                if let Some(time) = time_of(&event?) {
                    return Ok(time);
                }
            }
        }
        Ok(Timestamp::ZERO)
    }
}
