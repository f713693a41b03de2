//! What one arm has shown, as every belief about it takes it.

/// Effective counts of one arm: sums over a tally's buckets, each weighed by how much of it is known by now (delay) and how
/// much of it still says something (forgetting). Whole numbers where neither is at work.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Arm {
    /// Exposures. Finite, not negative.
    pub exposures: f64,
    /// Exposures with a reward; can exceed the exposures by what a crash lost (an exposure whose reward survived).
    pub conversions: f64,
    /// Σ value over the rewards: minor units of money, or counts; the conversions where a reward is just that.
    pub sum: f64,
    /// Σ value² over the rewards.
    pub squares: f64,
}

impl Arm {
    /// An arm whose rewards are conversions and nothing more.
    #[must_use]
    pub const fn converting(exposures: f64, conversions: f64) -> Self {
        Self { exposures, conversions, sum: conversions, squares: conversions }
    }

    /// Exposures, and those that a crash lost and whose reward survived: never fewer than conversions.
    #[must_use]
    pub const fn trials(&self) -> f64 {
        self.exposures.max(self.conversions)
    }

    /// Exposures without a reward, never negative.
    #[must_use]
    pub const fn failures(&self) -> f64 {
        (self.exposures - self.conversions).max(0.0)
    }
}
