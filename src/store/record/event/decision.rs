//! Decisions, whole and as far as they differ from others.

use bincode::{BorrowDecode, Encode};

use crate::domain::{AllocationId, DecisionId, Features, Slot};
use crate::engine::event::{DecisionRecord, Own};
use crate::store::record::Checked;
use crate::store::record::event::{experiment_key, segment_key};

/// Ids are hashes and times with random tails: as plain bytes they are shorter than as numbers of variable length.
#[derive(Encode, BorrowDecode)]
pub(in crate::store::record) struct StoredDecision<'a> {
    experiment: &'a str,
    epoch: u32,
    definition: u32,
    segment: &'a str,
    variation: u16,
    allocation: [u8; 8],
    propensity: f64,
    control: bool,
    decision: [u8; 16],
}

/// Of an exposure that is like one before it.
#[derive(Encode, BorrowDecode)]
pub(in crate::store::record) struct StoredOwn {
    variation: u16,
    propensity: f64,
    decision: [u8; 16],
}

impl From<Own> for StoredOwn {
    fn from(Own { variation, propensity, decision }: Own) -> Self {
        Self { variation: variation.0, propensity, decision: decision.to_bytes() }
    }
}

impl TryFrom<StoredOwn> for Own {
    type Error = String;

    fn try_from(stored: StoredOwn) -> Checked<Self> {
        Ok(Self {
            variation: Slot(stored.variation),
            propensity: probability(stored.propensity)?,
            decision: DecisionId::from_bytes(stored.decision),
        })
    }
}

impl<'a> From<&'a DecisionRecord> for StoredDecision<'a> {
    fn from(record: &'a DecisionRecord) -> Self {
        Self {
            experiment: record.experiment.as_str(),
            epoch: record.epoch,
            definition: record.definition,
            segment: record.segment.as_str(),
            variation: record.variation.0,
            allocation: record.allocation.0.to_be_bytes(),
            propensity: record.propensity,
            control: record.control,
            decision: record.decision.to_bytes(),
        }
    }
}

impl TryFrom<StoredDecision<'_>> for DecisionRecord {
    type Error = String;

    fn try_from(stored: StoredDecision<'_>) -> Checked<Self> {
        Ok(Self {
            experiment: experiment_key(stored.experiment)?,
            epoch: stored.epoch,
            definition: stored.definition,
            segment: segment_key(stored.segment)?,
            variation: Slot(stored.variation),
            allocation: AllocationId(u64::from_be_bytes(stored.allocation)),
            propensity: probability(stored.propensity)?,
            control: stored.control,
            decision: DecisionId::from_bytes(stored.decision),
            features: Features::new(),
        })
    }
}

fn probability(propensity: f64) -> Checked<f64> {
    if propensity > 0.0 && propensity <= 1.0 {
        Ok(propensity)
    } else {
        Err(format!("the propensity {propensity} is not above 0 and at most 1"))
    }
}
