//! One rate over segments that a policy filled differently.
//!
//! Adding up counts would compare variations over different mixes of visitors (Simpson's paradox: a policy shows each
//! variation most where it works). Direct standardisation weighs every segment's rate by the segment's share of visitors, the
//! same for every variation (Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 2003, ch. 19).

use crate::posterior::Beta;

/// The posterior of Σ w·θ over segments with independent posteriors, as the Beta of the same mean and variance. Weights are
/// not negative and sum to something positive; they are normalised. One segment gives its own posterior.
///
/// # Panics
/// If there is no segment, or the weights sum to nothing.
#[must_use]
pub fn standardised(segments: &[(f64, Beta)]) -> Beta {
    if let [(_, only)] = segments {
        return *only;
    }
    let total: f64 = segments.iter().map(|(weight, _)| weight).sum();
    assert!(total > 0.0, "no segment has a weight");
    let mean: f64 = segments.iter().map(|(weight, beta)| weight / total * beta.mean()).sum();
    let variance: f64 = segments.iter().map(|(weight, beta)| (weight / total).powi(2) * beta.variance()).sum();
    // Each variance is below its m(1 − m), and so the sum's below its own: both parameters are positive.
    let size = mean * (1.0 - mean) / variance - 1.0;
    Beta::new(mean * size, (1.0 - mean) * size).unwrap_or(Beta::UNIFORM)
}

#[cfg(test)]
mod tests {
    //! Against counts that mislead when they are added up.

    use crate::posterior::Beta;
    use crate::report::standardised::standardised;

    fn beta(exposures: f64, conversions: f64) -> Beta {
        Beta::from_counts(Beta::UNIFORM, exposures, conversions, 1.0)
    }

    #[test]
    fn a_variation_better_in_every_segment_is_better_over_all() {
        // Added up, the first converts at 9.0 % and the second at 12.5 %; in each segment the first is better.
        let first = standardised(&[(0.5, beta(9e3, 540.0)), (0.5, beta(1e3, 360.0))]);
        let second = standardised(&[(0.5, beta(1e3, 50.0)), (0.5, beta(9e3, 1.2e3))]);
        assert!((first.mean() - 0.21).abs() < 0.001 && (second.mean() - 0.0917).abs() < 0.001);
    }

    #[test]
    fn mean_and_variance_are_those_of_the_sum_and_one_segment_is_itself() {
        let (a, b) = (beta(500.0, 20.0), beta(300.0, 40.0));
        let joint = standardised(&[(3.0, a), (1.0, b)]);
        let variance = 0.5625 * a.variance() + 0.0625 * b.variance();
        assert!((joint.mean() - (0.75 * a.mean() + 0.25 * b.mean())).abs() < 1e-15);
        assert!((joint.variance() / variance - 1.0).abs() < 1e-12);
        assert_eq!(standardised(&[(0.2, a)]), a);
    }
}
