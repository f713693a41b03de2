//! Everything that happened, carrying all that its effect needs, so that a replay decides nothing anew.

mod decision;

use std::sync::Arc;

use crate::domain::{
    Aggregation, AllocationId, DecisionId, ExperimentKey, RewardId, SegmentKey, Slot, Span, Timestamp, VisitorToken,
};
use crate::engine::assignment::Assignment;
use crate::engine::contribution::Change;
use crate::engine::definition::{Definition, Status};
pub use crate::engine::event::decision::{DecisionRecord, Own};
use crate::engine::ledger::Position;
use crate::posterior::pooling::Fit;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An experiment was created or its definition changed.
    ExperimentSaved(Arc<ExperimentSaved>),
    /// An experiment was started, paused or ended.
    StatusChanged {
        /// Which.
        experiment: ExperimentKey,
        /// From now on.
        status: Status,
        /// When.
        at: Timestamp,
    },
    /// An experiment was deleted: its key is never used again.
    ExperimentDeleted {
        /// Which.
        experiment: ExperimentKey,
        /// When.
        at: Timestamp,
    },
    /// A decision counted as one trial.
    Exposed(Exposed),
    /// A visitor was given a variation to stay with, which counted as one trial unless it was deferred.
    Assigned(Assigned),
    /// A visitor turned out to be one that has another id.
    Aliased(Arc<Aliased>),
    /// Everything about a visitor was taken out.
    VisitorErased(Arc<VisitorErased>),
    /// What is known of a visitor ahead of its requests was replaced.
    ProfileSaved(ProfileSaved),
    /// A deferred decision was seen, and so became an exposure.
    Activated(Activated),
    /// A value of a goal arrived for a decision.
    Rewarded(Rewarded),
    /// A reward's value was not what it should have been.
    Amended(Amended),
    /// A reward should not have been sent.
    Retracted(Retracted),
    /// A new allocation, which later exposures name.
    AllocationComputed(Arc<AllocationComputed>),
    /// What all segments say together, where they borrow from each other.
    PoolFitted(Arc<PoolFitted>),
}

/// See [`Event::ExperimentSaved`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentSaved {
    /// The definition, every default written out.
    pub definition: Definition,
    /// Its version, from 1, one more with every save.
    pub version: u32,
    /// From 0, one more when segments, buckets, or a goal's window change.
    pub epoch: u32,
    /// Of the experiment, unchanged by a save after the first.
    pub status: Status,
    /// When it was saved.
    pub at: Timestamp,
    /// What segments without any evidence are allocated by.
    pub initial: Shares,
}

/// See [`Event::Exposed`].
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed {
    /// The decision.
    pub record: DecisionRecord,
    /// Variations the request excluded.
    pub excluded: Box<[Slot]>,
}

/// See [`Event::Assigned`]. Of several at once the first in the journal counts; the others change nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigned {
    /// The decision.
    pub record: DecisionRecord,
    /// Who stays with it.
    pub visitor: VisitorToken,
    /// Whether it is an exposure only once it is activated.
    pub deferred: bool,
    /// Variations the request excluded.
    pub excluded: Box<[Slot]>,
    /// The decision whose variation was removed since, in whose place this one stands.
    pub replaces: Option<DecisionId>,
}

/// See [`Event::Aliased`].
#[derive(Debug, Clone, PartialEq)]
pub struct Aliased {
    /// The id from before.
    pub anonymous: VisitorToken,
    /// Who it is.
    pub visitor: VisitorToken,
    /// When that was said.
    pub at: Timestamp,
    /// What the visitor had no assignment of its own for and takes over. The writer fills it in: it alone knows what is in
    /// force where the event stands.
    pub adopted: Vec<Assignment>,
    /// What became of the anonymous id's profile. For the answer, and not in the journal: a replay touches no profile.
    pub profile: ProfileJoined,
}

/// What becomes of the profile of an anonymous id once it is known who it is: what the visitor's own does not say is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileJoined {
    /// Attributes that were added.
    pub adopted: usize,
    /// Attributes that found no room.
    pub left_out: usize,
}

/// See [`Event::ProfileSaved`]. What the profile says stands beside the journal, in a row that an erasure removes: here it could
/// not be taken out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileSaved {
    /// Whose: the writer puts in who the visitor is known as.
    pub visitor: VisitorToken,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::VisitorErased`]. All but the first two are filled in by the writer.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitorErased {
    /// Who: all ids that are known to be one visitor's.
    pub visitors: Vec<VisitorToken>,
    /// When: receipts of earlier decisions are refused from now on.
    pub at: Timestamp,
    /// What is taken out of the counts.
    pub assignments: Vec<ErasedAssignment>,
    /// Aliases that are forgotten.
    pub aliases: Vec<ErasedAlias>,
    /// How many profiles were removed. For the answer, and not in the journal: a replay touches no profile.
    pub profiles: usize,
}

/// One assignment of an erased visitor, and what is subtracted for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ErasedAssignment {
    /// Under which id.
    pub visitor: VisitorToken,
    /// Where it was made.
    pub position: Position,
    /// The decision.
    pub record: DecisionRecord,
    /// Whether somebody else stays with the decision as well: then it goes on counting, and only this name for it is gone.
    pub shared: bool,
    /// Whether an exposure is subtracted for it.
    pub exposed: bool,
    /// What its rewards came to, by goal, and come to no more.
    pub changes: Vec<Change>,
}

/// One alias of an erased visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedAlias {
    /// The id from before.
    pub anonymous: VisitorToken,
    /// Who it was.
    pub visitor: VisitorToken,
    /// Where that was said.
    pub position: Position,
}

/// See [`Event::Activated`]. Only of deferred decisions: any other was an exposure at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Activated {
    /// The decision.
    pub record: DecisionRecord,
    /// When it was seen.
    pub at: Timestamp,
    /// The shortest window of the experiment: later than this after the decision is late.
    pub window: Span,
}

/// See [`Event::Rewarded`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rewarded {
    /// The decision.
    pub record: DecisionRecord,
    /// Whether the decision was deferred: then it must have been activated to be learned from.
    pub deferred: bool,
    /// The goal.
    pub goal: Slot,
    /// The goal's value, whole: 0 or 1 for conversions, minor units of money, or a count.
    pub value: i64,
    /// Distinguishes rewards of one decision and goal.
    pub reward_id: RewardId,
    /// When it arrived.
    pub arrived_at: Timestamp,
    /// When it happened, if the site says so: between the decision and the arrival.
    pub occurred_at: Option<Timestamp>,
    /// The goal's window.
    pub window: Span,
    /// The goal's cap: what a decision's rewards come to beyond it, either way, is learned as it is.
    pub cap: Option<i64>,
    /// What several rewards of the decision come to.
    pub aggregation: Aggregation,
}

/// See [`Event::Amended`]. Window, cap and aggregation are those that the reward itself brought: an amendment is judged as
/// if its value had been sent at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Amended {
    /// The decision.
    pub record: DecisionRecord,
    /// Whether it was deferred.
    pub deferred: bool,
    /// The reward's goal.
    pub goal: Slot,
    /// The reward's value from now on.
    pub value: i64,
    /// The reward's id.
    pub reward_id: RewardId,
    /// When this arrived.
    pub arrived_at: Timestamp,
}

/// See [`Event::Retracted`].
#[derive(Debug, Clone, PartialEq)]
pub struct Retracted {
    /// The decision.
    pub record: DecisionRecord,
    /// Whether it was deferred.
    pub deferred: bool,
    /// The reward's goal.
    pub goal: Slot,
    /// The reward's id.
    pub reward_id: RewardId,
    /// When this arrived.
    pub arrived_at: Timestamp,
}

/// See [`Event::AllocationComputed`].
#[derive(Debug, Clone, PartialEq)]
pub struct AllocationComputed {
    /// Of which experiment.
    pub experiment: ExperimentKey,
    /// Of which epoch.
    pub epoch: u32,
    /// The definition whose policy computed it.
    pub definition: u32,
    /// For which segment; `None`: for all, by complete pooling.
    pub segment: Option<SegmentKey>,
    /// The time up to which evidence was weighed: the newest decision's.
    pub at: Timestamp,
    /// Events in the tallies it was computed from.
    pub evidence: u64,
    /// How many they count for, where some are forgotten. Earlier builds left out as well what was not known yet.
    pub effective: Option<u64>,
    /// The fit of all segments it was computed with, by the id of its [`PoolFitted::unseen`].
    pub fit: Option<AllocationId>,
    /// Amendments and retractions in the tallies it was computed from.
    pub amendments: u64,
    /// What was computed.
    pub shares: Shares,
}

/// See [`Event::PoolFitted`].
#[derive(Debug, Clone, PartialEq)]
pub struct PoolFitted {
    /// Of which experiment.
    pub experiment: ExperimentKey,
    /// Of which epoch.
    pub epoch: u32,
    /// The definition whose variations, in order of keys, it is for.
    pub definition: u32,
    /// The newest decision's time.
    pub at: Timestamp,
    /// Events in the tallies of all segments.
    pub evidence: u64,
    /// How many they count for, where some are forgotten. Earlier builds left out as well what was not known yet.
    pub effective: Option<u64>,
    /// The half-life that all segments together picked, where one is picked.
    pub half_life: Option<Span>,
    /// The fit.
    pub fit: Fit,
    /// What segments without evidence are allocated by from now on.
    pub unseen: Shares,
}

/// The policy's share of each variation, before exclusions and floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// A hash of everything they were computed from.
    pub id: AllocationId,
    /// The definition's variations in order of their keys.
    pub variations: Box<[Slot]>,
    /// One share each; they sum to 1.
    pub shares: Box<[f64]>,
}

impl Event {
    /// The decision that an event makes; `None` for events of another kind.
    #[must_use]
    pub const fn decision(&self) -> Option<&DecisionRecord> {
        match self {
            Self::Exposed(exposed) => Some(&exposed.record),
            Self::Assigned(assigned) => Some(&assigned.record),
            Self::ExperimentSaved(_)
            | Self::StatusChanged { .. }
            | Self::ExperimentDeleted { .. }
            | Self::Aliased(_)
            | Self::VisitorErased(_)
            | Self::Activated(_)
            | Self::Rewarded(_)
            | Self::Amended(_)
            | Self::Retracted(_)
            | Self::AllocationComputed(_)
            | Self::PoolFitted(_)
            | Self::ProfileSaved(_) => None,
        }
    }

    /// The decision that an event is feedback of; `None` for events of another kind.
    #[must_use]
    pub const fn feedback_of(&self) -> Option<&DecisionRecord> {
        match self {
            Self::Activated(activated) => Some(&activated.record),
            Self::Rewarded(rewarded) => Some(&rewarded.record),
            Self::Amended(amended) => Some(&amended.record),
            Self::Retracted(retracted) => Some(&retracted.record),
            Self::ExperimentSaved(_)
            | Self::StatusChanged { .. }
            | Self::ExperimentDeleted { .. }
            | Self::Exposed(_)
            | Self::Assigned(_)
            | Self::Aliased(_)
            | Self::VisitorErased(_)
            | Self::AllocationComputed(_)
            | Self::PoolFitted(_)
            | Self::ProfileSaved(_) => None,
        }
    }
}
