//! Layer 1: attributes to audience and segment. A missing attribute is a state of its own, never a default.
//!
//! Invariant: no tallies, no variations, no clock; the same context always has the same segment.

pub mod condition;
pub mod segmentation;

pub use condition::{Condition, ConditionError, Verdict};
pub use segmentation::{Segmentation, SegmentationError};
