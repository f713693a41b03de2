//! When to stop: the rule's numbers, which definitions carry and reports ask.

use crate::domain::Span;

/// When an experiment has said what it can.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoppingRule {
    /// Finished once what other variations could still add is below this share of the best's score …
    pub value_remaining: f64,
    /// … with this probability.
    pub probability: f64,
    /// Finished as well once no variation is better than the default by more than this share, with the same probability.
    pub equivalence: f64,
    /// Never before it ran so long.
    pub span_min: Span,
    /// Never before every variation that could still be the best has so many conversions.
    pub conversions_min: u64,
    /// Finished at so many exposures, whatever is known by then.
    pub exposures_max: Option<u64>,
}

impl Default for StoppingRule {
    fn default() -> Self {
        Self {
            value_remaining: 0.01,
            probability: 0.95,
            equivalence: 0.03,
            span_min: Span::DAY.times(7),
            conversions_min: 100,
            exposures_max: None,
        }
    }
}
