//! Whether delays differ between groups: the log-rank test (Mantel, "Evaluation of survival data and two new rank order
//! statistics arising in its consideration", Cancer Chemotherapy Reports 50, 1966; of several groups, Peto and Peto, Journal of the
//! Royal Statistical Society A 135, 1972).

use crate::posterior::Gamma;
use crate::posterior::symmetric::Symmetric;

/// The probability of differences at least as large between groups whose delays are alike, 0 to 1. Groups are counts by bin, of
/// rewards that all have come.
///
/// In each bin, of rewards d among those n that have not come before it, a group with n_k of these is expected to have d n_k/n,
/// with the covariances of a draw without replacement. The squared distance of the sums from what was expected, in units of
/// their covariance, is χ² with one degree of freedom less than there are groups. Groups without rewards are none.
#[must_use]
pub(super) fn log_rank<const BINS: usize>(groups: &[[u64; BINS]]) -> f64 {
    let groups: Vec<&[u64; BINS]> = groups.iter().filter(|group| group.iter().any(|&count| count > 0)).collect();
    // The last group's sum is what the others leave.
    let Some(free) = groups.len().checked_sub(1).filter(|free| *free > 0) else { return 1.0 };
    let mut waiting: Vec<f64> = groups.iter().map(|group| group.iter().sum::<u64>() as f64).collect();
    let mut excess = vec![0.0; free];
    let mut covariance = vec![0.0; free * (free + 1) / 2];
    for bin in 0..BINS {
        let came = groups.iter().map(|group| group[bin]).sum::<u64>() as f64;
        let all: f64 = waiting.iter().sum();
        if came > 0.0 && all > came {
            let spread = came * (all - came) / (all - 1.0);
            let mut entries = covariance.iter_mut();
            for row in 0..free {
                let share = waiting[row] / all;
                excess[row] += groups[row][bin] as f64 - came * share;
                for (column, (other, entry)) in waiting.iter().take(row + 1).zip(&mut entries).enumerate() {
                    let same = f64::from(u8::from(row == column));
                    *entry += spread * share * (same - other / all);
                }
            }
        }
        waiting.iter_mut().zip(&groups).for_each(|(left, group)| *left -= group[bin] as f64);
    }
    let factor = Symmetric::from_packed(free, covariance).and_then(|covariance| covariance.cholesky());
    // Delays that all fell into one bin cannot differ.
    let Some(factor) = factor else { return 1.0 };
    let distance: f64 = factor.solve(&excess).iter().zip(&excess).map(|(a, b)| a * b).sum();
    1.0 - Gamma { shape: free as f64 / 2.0, rate: 0.5 }.cdf(distance)
}

#[cfg(test)]
mod tests {
    //! Tables whose χ² statsmodels 0.14 (`survdiff`) and, of two groups, scipy 1.17 (`stats.logrank`) computed.

    use crate::posterior::delay::log_rank::log_rank;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_published_implementations() {
        let close = |found: f64, p: f64| assert!((found - p).abs() < 1e-10, "{found} for {p}");
        close(log_rank(&[[5, 4, 3, 2, 1], [1, 2, 3, 4, 5]]), 0.011_743_344_860_221_5);
        close(log_rank(&[[30, 20, 10, 5, 5], [25, 22, 12, 6, 5]]), 0.592_185_632_007_1);
        close(log_rank(&[[12, 9, 7, 4], [8, 9, 9, 6], [3, 7, 12, 10]]), 0.018_628_708_228_538_1);
        close(log_rank(&[[12, 9, 7, 4], [10, 9, 8, 5], [11, 8, 7, 6], [20, 18, 15, 9]]), 0.917_426_549_157_525_8);
        close(log_rank(&[[400, 300, 200, 100], [300, 300, 250, 150]]), 1.530_095_229e-7);
    }

    #[test]
    fn where_nothing_can_differ_nothing_does() {
        let none: [f64; 4] = [
            log_rank::<3>(&[]),
            log_rank(&[[1, 2, 3]]),
            log_rank(&[[1, 2, 3], [0, 0, 0]]),
            log_rank(&[[0, 9, 0], [0, 4, 0], [0, 1, 0]]),
        ];
        assert!(none.iter().all(|p| *p >= 1.0), "{none:?}");
    }

    proptest! {
        #[test]
        fn a_probability_whatever_the_order(groups in proptest::collection::vec(proptest::array::uniform5(0_u64..1_000), 0..6)) {
            let p = log_rank(&groups);
            prop_assert!((0.0..=1.0).contains(&p), "{p}");
            let backwards: Vec<_> = groups.into_iter().rev().collect();
            prop_assert!((log_rank(&backwards) - p).abs() < 1e-9);
        }
    }
}
