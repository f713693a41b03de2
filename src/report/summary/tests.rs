//! A known case, and one that only draws can answer.

use crate::domain::Seed;
use crate::posterior::Beta;
use crate::report::summary::*;

#[test]
fn two_arms_of_a_known_case() {
    let posteriors = [(500.0, 20.0), (500.0, 30.0)].map(|(n, x)| Beta::from_counts(Beta::UNIFORM, n, x, 1.0));
    let summary = summarise(&posteriors, Seed(0));
    assert!((summary[0].best_probability - 0.074_994_806_368_948).abs() < 1e-10);
    assert!((summary[1].expected_loss - 0.000_470_518_747_636).abs() < 1e-10);
    assert!((summary[0].mean - 21.0 / 502.0).abs() < 1e-15);
    assert!(summary[0].interval.low < summary[0].mean && summary[0].mean < summary[0].interval.high);
}

#[test]
fn an_arm_without_data_beside_a_billion_exposures_is_summarised_by_draws() {
    let posteriors = [(0.0, 0.0), (1e9, 5e8)].map(|(n, x)| Beta::from_counts(Beta::UNIFORM, n, x, 1.0));
    let summary = summarise(&posteriors, Seed(3));
    // A uniform rate exceeds one half with probability 1/2, and then by 1/4 in the mean.
    assert!((summary[0].best_probability - 0.5).abs() < 5.0 * (0.25_f64 / 32_768.0).sqrt());
    assert!((summary[1].expected_loss - 0.125).abs() < 5.0 * 0.16 / 32_768.0_f64.sqrt());
}

#[test]
fn draws_are_counted() {
    assert_eq!(of_draws(&[1.0, 2.0, 5.0, 3.0], 2), [(0.5, 0.5), (0.5, 1.0)]);
    let many: Vec<f64> = (0..1_000).flat_map(|i| [f64::from(i), 7.0]).collect();
    let found = estimate(&many, 2, 0);
    assert!((found.mean - 499.5).abs() < 1e-9 && (found.low - 25.0).abs() < 1e-9 && (found.high - 974.0).abs() < 1e-9);
    assert!((estimate(&many, 2, 1).high - 7.0).abs() < 1e-12);
}
