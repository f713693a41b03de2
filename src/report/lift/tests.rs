//! Newcombe's published examples, and what cannot be said without data.

use crate::report::lift::*;

fn counts(conversions: u64, exposures: u64) -> Counts {
    Counts { exposures, conversions }
}

/// Newcombe 1998, table II, method 10: the difference of two proportions, at usual counts and at the edges.
#[test]
fn intervals_as_published() {
    for (first, second, low, high) in [
        (counts(56, 70), counts(48, 80), 0.0524, 0.3339),
        (counts(6, 7), counts(2, 7), 0.0582, 0.8062),
        (counts(5, 56), counts(0, 29), -0.0381, 0.1926),
        (counts(10, 10), counts(0, 10), 0.6075, 1.0),
    ] {
        let interval = lift(second, first).difference_interval.expect("data on both sides");
        assert!((interval.low - low).abs() < 5.1e-5 && (interval.high - high).abs() < 5.1e-5, "{interval:?}");
    }
}

#[test]
fn relative_lift_needs_a_rate_to_relate_to() {
    let known = lift(counts(40, 1_000), counts(50, 1_000));
    assert!((known.relative.expect("a rate") - 0.25).abs() < 1e-12);
    assert!((known.difference.expect("both") - 0.01).abs() < 1e-12);
    let unknown = lift(counts(0, 1_000), counts(50, 1_000));
    assert_eq!(unknown.relative, None);
    assert!(unknown.difference_interval.is_some());
}

#[test]
fn without_exposures_nothing_is_said() {
    let nothing = lift(counts(0, 0), counts(1, 10));
    assert_eq!((nothing.control_rate, nothing.difference, nothing.difference_interval), (None, None, None));
    assert!(nothing.treated_rate.is_some());
}

#[test]
fn conversions_whose_exposure_was_lost_make_no_rate_above_one() {
    assert_eq!(counts(5, 3).rate(), Some(1.0));
}

#[test]
fn means_are_compared_as_welch_does() {
    // 1, 2, 3, 4 against 2, 4, 6, 8, 10: variances 5/3 and 10, so that the standard error is sqrt(5/12 + 2).
    let control = Sums { exposures: 4, sum: 10, squares: 30 };
    let treated = Sums { exposures: 5, sum: 30, squares: 220 };
    let found = mean_lift(control, treated).expect("enough visitors");
    assert!((found.control - 2.5).abs() < 1e-12 && (found.difference - 3.5).abs() < 1e-12);
    let reach = 1.959_963_984_540_054 * (5.0_f64 / 12.0 + 2.0).sqrt();
    assert!((found.difference_interval.high - 3.5 - reach).abs() < 1e-12);
    assert!((found.difference_interval.low - 3.5 + reach).abs() < 1e-12);
    assert!((found.relative.expect("above 0") - 1.4).abs() < 1e-12);
    assert_eq!(mean_lift(Sums { exposures: 1, ..control }, treated), None);
    assert_eq!(mean_lift(Sums { sum: -5, ..control }, treated).expect("enough").relative, None);
}
