//! Layer 1: tallies to beliefs. Invariant: no context, no choice, no clock; f64 is derived here and never merged.

pub mod bucket;
pub mod tally;
