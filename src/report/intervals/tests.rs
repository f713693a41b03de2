//! Values from scipy and from Newcombe's paper on single proportions.

use crate::posterior::Beta;
use crate::report::intervals::*;

#[test]
fn posterior_interval_of_a_known_case() {
    let known = posterior_interval(&Beta::from_counts(Beta::UNIFORM, 500.0, 20.0, 1.0));
    assert!((known.low - 0.026_130_939_884_080_13).abs() < 1e-12);
    assert!((known.high - 0.060_981_994_119_360_415).abs() < 1e-12);
    let nothing = posterior_interval(&Beta::UNIFORM);
    assert!((nothing.low - 0.025).abs() < 1e-12 && (nothing.high - 0.975).abs() < 1e-12);
}

/// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I, method 3.
#[test]
fn wilson_intervals_as_published() {
    for (conversions, trials, low, high) in [
        (81.0, 263.0, 0.2553, 0.3662),
        (15.0, 148.0, 0.0624, 0.1605),
        (0.0, 20.0, 0.0, 0.1611),
        (1.0, 29.0, 0.0061, 0.1718),
    ] {
        let interval = wilson(conversions, trials);
        assert!((interval.low - low).abs() < 5.1e-5 && (interval.high - high).abs() < 5.1e-5, "{interval:?}");
    }
}
