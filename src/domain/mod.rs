//! Layer 0: ids, values, context, time, seeds. Checked once, at the border, into types.
//!
//! Invariant: nothing here knows any other module, reads a clock, draws a random number, or can be serialised by itself.

pub mod context;
pub mod features;
pub mod goal;
pub mod id;
pub mod probability;
pub mod seed;
pub mod stopping;
pub mod time;

pub use context::{Context, Value};
pub use features::Features;
pub use goal::{Aggregation, Currency, GoalKind, VALUE_MAX};
pub use id::{
    AllocationId, AttributeName, DecisionId, ExperimentKey, GoalKey, GroupKey, InvalidId, RewardId, RuleName,
    SegmentKey, Slot, VariationKey, VisitorId, VisitorToken,
};
pub use probability::Probability;
pub use seed::Seed;
pub use stopping::StoppingRule;
pub use time::{Span, Timestamp};
