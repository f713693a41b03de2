//! Ledger entries.

use bincode::{BorrowDecode, Encode};

use crate::domain::{Aggregation, DecisionId, Slot, Span};
use crate::engine::ledger::{Fact, LedgerEntry, Position, RewardFact, Standing};
use crate::store::record::Checked;
use crate::store::record::event::known_id;

/// The decision is the row's; it is not repeated here.
#[derive(Encode, BorrowDecode)]
pub(super) struct StoredEntry<'a> {
    block: u64,
    index: u32,
    fact: StoredFact<'a>,
}

#[derive(Encode, BorrowDecode)]
enum StoredFact<'a> {
    Activated { in_time: bool },
    Rewarded { goal: u16, reward_id: &'a str, value: i64, standing: StoredStanding },
    Corrected { goal: u16, reward_id: &'a str, value: Option<i64> },
    Erased,
}

#[derive(Encode, BorrowDecode)]
enum StoredStanding {
    Learned,
    AfterWindow,
    AwaitsActivation,
    AlreadyConverted,
}

/// What a fact is about, as 16 bytes: the beginning of a BLAKE3 digest of its kind, goal and reward id.
///
/// Two facts of one decision with the same digest would replace each other, and the first would be forgotten. Whoever
/// holds a receipt chooses the reward ids of that decision freely, so chance is not the measure: two ids that share
/// 8 bytes are found by some 2^32 hashes, an hour's work on one machine. Two that share 16 take 2^64.
///
/// An amendment or a retraction is about its place in the journal as well: each has a row of its own.
fn detail(entry: &LedgerEntry) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    match &entry.fact {
        Fact::Activated { .. } => {
            hasher.update(&[0]);
        }
        Fact::Erased => {
            hasher.update(&[3]);
        }
        Fact::Rewarded(reward) => {
            hasher.update(&[1]).update(&reward.goal.0.to_le_bytes()).update(reward.reward_id.as_str().as_bytes());
        }
        Fact::Corrected { goal, reward_id, value: _ } => {
            let Position { block, index } = entry.position;
            hasher.update(&[2]).update(&goal.0.to_le_bytes()).update(&block.to_le_bytes()).update(&index.to_le_bytes());
            hasher.update(reward_id.as_str().as_bytes());
        }
    }
    let mut detail = [0; 16];
    hasher.finalize_xof().fill(&mut detail);
    detail
}

/// The decision's 16 bytes, then the detail's.
pub(super) fn key(entry: &LedgerEntry) -> Vec<u8> {
    [entry.decision.to_bytes(), detail(entry)].concat()
}

impl<'a> From<&'a LedgerEntry> for StoredEntry<'a> {
    fn from(entry: &'a LedgerEntry) -> Self {
        let fact = match &entry.fact {
            Fact::Activated { in_time, delay: _ } => StoredFact::Activated { in_time: *in_time },
            Fact::Erased => StoredFact::Erased,
            Fact::Corrected { goal, reward_id, value } => {
                StoredFact::Corrected { goal: goal.0, reward_id: reward_id.as_str(), value: *value }
            }
            Fact::Rewarded(reward) => StoredFact::Rewarded {
                goal: reward.goal.0,
                reward_id: reward.reward_id.as_str(),
                value: reward.value,
                standing: match reward.standing {
                    Standing::Learned => StoredStanding::Learned,
                    Standing::AfterWindow => StoredStanding::AfterWindow,
                    Standing::AwaitsActivation => StoredStanding::AwaitsActivation,
                    Standing::AlreadyConverted => StoredStanding::AlreadyConverted,
                },
            },
        };
        Self { block: entry.position.block, index: entry.position.index, fact }
    }
}

impl StoredEntry<'_> {
    pub(super) fn restore(self, decision: DecisionId) -> Checked<LedgerEntry> {
        let fact = match self.fact {
            StoredFact::Activated { in_time } => Fact::Activated { in_time, delay: Span::ZERO },
            StoredFact::Erased => Fact::Erased,
            StoredFact::Corrected { goal, reward_id, value } => {
                Fact::Corrected { goal: Slot(goal), reward_id: known_id(reward_id)?, value }
            }
            StoredFact::Rewarded { goal, reward_id, value, standing } => Fact::Rewarded(RewardFact {
                goal: Slot(goal),
                reward_id: known_id(reward_id)?,
                value,
                standing: match standing {
                    StoredStanding::Learned => Standing::Learned,
                    StoredStanding::AfterWindow => Standing::AfterWindow,
                    StoredStanding::AwaitsActivation => Standing::AwaitsActivation,
                    StoredStanding::AlreadyConverted => Standing::AlreadyConverted,
                },
                delay: Span::ZERO,
                aggregation: Aggregation::First,
                cap: None,
            }),
        };
        Ok(LedgerEntry { decision, fact, position: Position { block: self.block, index: self.index } })
    }
}
