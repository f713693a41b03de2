//! Intervals in which a rate lies.

use crate::posterior::Beta;
pub use crate::posterior::hurdle::Estimate;

/// The level of every interval in a report.
pub const LEVEL: f64 = 0.95;

/// The standard normal quantile of [`LEVEL`], two-sided.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// Two ends, the lower first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The equal-tailed 95 % interval of a rate's posterior.
///
/// It says what the model believes about one arm whose traffic a policy has chosen; it is not an interval for lift.
#[must_use]
pub fn posterior_interval(posterior: &Beta) -> Interval {
    let (low, high) = posterior.interval(LEVEL);
    Interval { low, high }
}

/// Wilson's 95 % score interval of a proportion of `conversions` in `trials` (Wilson, "Probable inference, the law of
/// succession, and statistical inference", JASA 22, 1927): keeps its coverage at low rates, where the normal interval does
/// not. `trials` is above 0 and at least `conversions`.
pub(crate) fn wilson(conversions: f64, trials: f64) -> Interval {
    let rate = conversions / trials;
    let z2 = Z * Z;
    let scale = 1.0 + z2 / trials;
    let middle = (rate + z2 / (2.0 * trials)) / scale;
    let reach = Z / scale * (rate * (1.0 - rate) / trials + z2 / (4.0 * trials * trials)).sqrt();
    // At 0 or all conversions one end is 0 or 1 but for rounding, on either side of it.
    Interval { low: (middle - reach).clamp(0.0, rate), high: (middle + reach).clamp(rate, 1.0) }
}

#[cfg(test)]
mod tests;
