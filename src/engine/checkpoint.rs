//! The state as plain data, on its way to a checkpoint or back. A store's `record` gives these bytes; nothing else does.

use std::sync::Arc;

use crate::domain::{AllocationId, ExperimentKey, GoalKey, SegmentKey, Slot, Timestamp, VariationKey};
use crate::engine::definition::{Definition, Status};
use crate::engine::epoch::Measure;
use crate::engine::event::{PoolFitted, Shares};
use crate::posterior::bucket::{BucketLengths, Buckets};
use crate::posterior::delay::Delays;
use crate::posterior::learner::State;

/// One thing that changed since the last checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum StateRecord {
    /// An experiment, without its segments.
    Experiment(ExperimentState),
    /// One segment of one epoch.
    Segment(SegmentState),
    /// What a contextual policy has learned of one variation.
    Model(ModelState),
    /// A deleted experiment: its key stays taken. Takes the place of its [`StateRecord::Experiment`].
    Deleted(ExperimentKey),
}

/// What a checkpoint has to change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// New values.
    pub records: Vec<StateRecord>,
    /// What deleted experiments, epochs that receive nothing more and models that were given up have left: their rows go.
    pub gone: Vec<RowName>,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowName {
    /// Of a segment.
    Segment(SegmentName),
    /// Of what was learned of a variation.
    Model {
        /// Of which experiment.
        experiment: ExperimentKey,
        /// Of which variation.
        variation: Slot,
    },
}

/// See [`StateRecord::Model`].
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// Of which experiment.
    pub experiment: ExperimentKey,
    /// Of which epoch.
    pub epoch: u32,
    /// The version of the definition that the model began with.
    pub since: u32,
    /// Exposures and rewards that the model has learned.
    pub events: u64,
    /// The number of them at which it is published next.
    pub due_at: u64,
    /// Of which variation.
    pub variation: Slot,
    /// What was learned of it.
    pub learner: State,
}

/// Which segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentName {
    /// Of which experiment.
    pub experiment: ExperimentKey,
    /// Of which epoch.
    pub epoch: u32,
    /// Which; `None` for all together, where pooling is complete.
    pub segment: Option<SegmentKey>,
}

/// See [`StateRecord::Experiment`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentState {
    /// The definition.
    pub definition: Arc<Definition>,
    /// Its version.
    pub version: u32,
    /// Deciding or not.
    pub status: Status,
    /// Every variation there ever was, by slot.
    pub variations: Vec<VariationKey>,
    /// Every goal there ever was, by slot.
    pub goals: Vec<GoalKey>,
    /// Epochs that can still receive rewards, oldest first; the last is the current one.
    pub epochs: Vec<EpochState>,
    /// What segments without evidence are allocated by.
    pub initial: Shares,
    /// Fates of rewards.
    pub rewards: RewardCounts,
    /// The version of the definition that the contextual policy's model began with; 0 where there is none.
    pub model_since: u32,
    /// The fit of the current epoch's segments in force.
    pub pool: Option<Arc<PoolFitted>>,
}

/// One epoch's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochState {
    /// From 0.
    pub number: u32,
    /// How its buckets are cut.
    pub lengths: BucketLengths,
    /// When the next epoch began; `None` for the current one.
    pub closed_at: Option<Timestamp>,
    /// Every goal that was ever in it, by goal slot: a reward of a decision in this epoch is judged by it.
    pub goals: Vec<(Slot, Measure)>,
    /// The newest decision or reward that was counted in it.
    pub newest: Timestamp,
    /// How long rewards of the primary goal took.
    pub delays: Option<Delays>,
}

/// What became of rewards, by the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RewardCounts {
    /// First of their kind, in time.
    pub recorded: u64,
    /// Known already.
    pub repeated: u64,
    /// After their window.
    pub late: u64,
    /// Decisions whose rewards come to more than their goal's cap, which is learned in their stead.
    pub capped: u64,
    /// Amended.
    pub amended: u64,
    /// Retracted.
    pub retracted: u64,
    /// Arrival of the newest one that came in time to train.
    pub newest: Option<Timestamp>,
}

/// See [`StateRecord::Segment`].
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentState {
    /// Of which experiment.
    pub experiment: ExperimentKey,
    /// Of which epoch.
    pub epoch: u32,
    /// Which; `None` for all together, where pooling is complete.
    pub segment: Option<SegmentKey>,
    /// Tallies that train.
    pub learning: Buckets,
    /// The control group's.
    pub control: Buckets,
    /// Amendments and retractions that changed the tallies that train.
    pub amendments: u64,
    /// The allocation in force.
    pub allocation: Option<AllocationState>,
}

/// An allocation in force.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocationState {
    /// The definition whose policy computed it.
    pub definition: u32,
    /// Events in the tallies it was computed from.
    pub evidence: u64,
    /// How many they count for, where some are forgotten.
    pub effective: Option<u64>,
    /// The fit of all segments it was computed with.
    pub fit: Option<AllocationId>,
    /// Amendments and retractions in those tallies.
    pub amendments: u64,
    /// What was computed.
    pub shares: Shares,
}
