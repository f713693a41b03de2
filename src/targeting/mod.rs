//! Layer 1: attributes to audience, segment and features. A missing attribute is a state of its own, never a default.
//!
//! Invariant: no tallies, no variations, no clock; the same context always has the same segment.

pub mod condition;
pub mod features;
pub mod segmentation;

pub use condition::{Condition, ConditionError, Verdict};
pub use features::{Attribute, Encoding, Schema, SchemaError};
pub use segmentation::{Segmentation, SegmentationError};
