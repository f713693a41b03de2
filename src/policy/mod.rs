//! Layer 2: evidence to an allocation. A policy maps what each variation has shown so far to a share of traffic; one
//! draw from those shares is a decision, so that every propensity is read off and never estimated.
//!
//! Invariant: a policy never chooses, never sees a clock, a segment's name or a store, and gives the same shares for the
//! same evidence. Adding one is a file here and a line in [`REGISTRY`].

pub mod best_arm;

use std::fmt;

use crate::domain::Seed;

/// What one variation has shown: trials and successes of the primary goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arm {
    /// Exposures.
    pub exposures: u64,
    /// Conversions; can exceed the exposures by what a crash lost (an exposure whose reward survived).
    pub conversions: u64,
}

/// Everything an allocation is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// One entry per variation of the definition, in order of their keys, so that the order in which a definition lists
    /// them changes nothing. 1 to 256.
    pub arms: &'a [Arm],
    /// Seeds Monte-Carlo draws where a policy needs them: a hash of everything else the allocation depends on.
    pub seed: Seed,
}

/// Whose evidence a segment's allocation is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Each segment on its own.
    None,
    /// One allocation for all segments together.
    Complete,
}

/// A function from evidence to shares.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Whose evidence it wants.
    fn pooling(&self) -> Pooling;

    /// The share of each arm, in the order given: finite, not negative, summing to 1 within 1e-9.
    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64>;
}
