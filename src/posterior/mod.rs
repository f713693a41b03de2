//! Layer 1: tallies to beliefs. What an arm's counts say about its reward, as a distribution.
//!
//! Invariant: no context, no choice of an arm, no clock, no random number that was not asked for with a generator passed in;
//! only integers are merged, and what is derived from them never is.

pub mod arm;
pub mod beta;
pub mod bucket;
pub mod delay;
pub mod forgetting;
pub mod sampler;
pub mod tally;
pub mod weighing;

pub use arm::Arm;
pub use beta::{Beta, InvalidBeta};
pub use sampler::{BetaSampler, GammaSampler};
