//! How long a run is, and what comes of it.

use mabel::domain::{Span, Timestamp};

use crate::simulations::sample_ratio::SampleRatio;

/// Points of a curve over a run: more cannot be seen in a picture.
pub(crate) const POINTS: u64 = 200;

/// Midnight, 1 January 2026: simulated time begins with a bucket. No result depends on it.
pub(super) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) visitors: u64,
    /// Simulated time between two visitors.
    pub(crate) interval: Span,
}

/// What a strategy achieved in one run.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Expected reward of the variations chosen.
    pub(crate) reward: f64,
    /// Expected costs of the variations chosen, which the reward has been reduced by.
    pub(crate) spend: f64,
    /// Expected reward lost against the best at each moment, after each of [`Course::points`].
    pub(crate) regret: Vec<f64>,
    /// The propensities in force at each of [`Course::points`]: by segment (the first of them), then by variation.
    pub(crate) allocations: Vec<Vec<Vec<f64>>>,
    pub(crate) sample_ratio: SampleRatio,
}

impl Outcome {
    /// Expected reward lost in the whole run.
    pub(crate) fn total_regret(&self) -> f64 {
        *self.regret.last().expect("the last point is the end of the run")
    }
}

impl Course {
    /// Numbers of visitors after which curves are recorded; the last is all of them.
    pub(crate) fn points(self) -> Vec<u64> {
        let count = POINTS.min(self.visitors);
        (1..=count).map(|point| point * self.visitors / count).collect()
    }

    /// When a visitor comes.
    pub(super) fn at(self, visitor: u64) -> Timestamp {
        START + self.interval.times(visitor)
    }
}
