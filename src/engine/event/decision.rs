//! What is known of one decision.

use crate::domain::{AllocationId, DecisionId, ExperimentKey, Features, SegmentKey, Slot, Timestamp};

/// What is known of one decision: in its exposure's event and inside its receipt alike.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    /// Where it was made.
    pub experiment: ExperimentKey,
    /// The epoch whose tallies it belongs to.
    pub epoch: u32,
    /// The version of the definition it used.
    pub definition: u32,
    /// The visitor's segment.
    pub segment: SegmentKey,
    /// The variation shown.
    pub variation: Slot,
    /// The allocation it was drawn from.
    pub allocation: AllocationId,
    /// The probability with which it was shown, in (0, 1]; 1 in the control group.
    pub propensity: f64,
    /// Whether the visitor is in the control group.
    pub control: bool,
    /// Its id, which begins with its time.
    pub decision: DecisionId,
    /// What a contextual policy saw of the visitor; nothing under any other.
    pub features: Features,
}

/// See [`DecisionRecord::own`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Own {
    /// The variation shown.
    pub variation: Slot,
    /// The probability with which it was shown.
    pub propensity: f64,
    /// The decision's id.
    pub decision: DecisionId,
}

impl DecisionRecord {
    /// Whether it is of the same experiment, definition, segment and allocation as another, and neither has features.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (self.epoch, self.definition, self.allocation, self.control)
            == (other.epoch, other.definition, other.allocation, other.control)
            && self.experiment == other.experiment
            && self.segment == other.segment
            && self.features.entries().is_empty()
            && other.features.entries().is_empty()
    }

    /// What it has of its own among those that are like it.
    #[must_use]
    pub const fn own(&self) -> Own {
        Own { variation: self.variation, propensity: self.propensity, decision: self.decision }
    }

    /// Makes it another one that is like it.
    pub const fn become_another(&mut self, Own { variation, propensity, decision }: Own) {
        (self.variation, self.propensity, self.decision) = (variation, propensity, decision);
    }

    /// When it was decided.
    #[must_use]
    pub fn decided_at(&self) -> Timestamp {
        self.decision.time()
    }
}
