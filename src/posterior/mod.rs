//! Layer 1: tallies to beliefs. What an arm's counts say about its reward, as a distribution.
//!
//! Invariant: pure functions of counts and priors. Nothing here merges, stores or forgets counts, chooses an arm, or
//! draws a random number that was not asked for with a generator passed in.

pub mod beta;
pub mod sampler;

pub use beta::{Beta, InvalidBeta};
pub use sampler::{BetaSampler, GammaSampler};
