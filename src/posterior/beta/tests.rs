//! Values computed with scipy and mpmath (30 digits); statrs as an independent second opinion where it converges.

use proptest::prelude::*;

use crate::posterior::Beta;

fn beta(alpha: f64, beta: f64) -> Beta {
    Beta::new(alpha, beta).expect("positive")
}

fn assert_close(got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want} within {relative}");
}

#[test]
fn parameters_outside_the_range_are_refused() {
    for (a, b) in [(0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY), (1e-310, 1.0)] {
        let error = Beta::new(a, b).expect_err("refused");
        assert!(error.to_string().contains("finite and above 0"), "{error}");
    }
}

#[test]
fn lost_exposures_make_no_negative_failures() {
    let posterior = Beta::from_counts(Beta::UNIFORM, 3.0, 5.0, 1.0);
    assert_eq!(posterior, beta(6.0, 1.0));
}

#[test]
fn sharpening_narrows_and_keeps_the_mean() {
    let plain = Beta::from_counts(beta(1.0, 24.0), 1_000.0, 40.0, 1.0);
    let sharp = Beta::from_counts(beta(1.0, 24.0), 1_000.0, 40.0, 2.0);
    assert_close(sharp.mean(), plain.mean(), 1e-15);
    assert_close(sharp.variance(), plain.variance() / 2.0, 1e-3);
}

#[test]
fn distribution_function() {
    for (a, b, rate, want) in [
        (21.0, 481.0, 0.05, 0.823_730_093_181_137_7),
        (0.5, 0.5, 0.3, 0.369_010_119_565_545_4),
        (0.001, 0.001, 0.2, 0.499_307_917_875_319_34),
        (3.0, 50.0, 0.2, 0.999_115_106_430_522_5),
        (0.001, 5.0, 1e-9, 0.981_532_018_372_101_8),
        (1e6, 1e7, 0.0908, 0.104_062_501_182_770_25),
        (1e6, 1e7, 0.0911, 0.986_146_095_256_656_3),
        (50_000_001.0, 950_000_001.0, 0.05001, 0.926_578_573_946_041_1),
    ] {
        assert_close(beta(a, b).cdf(rate), want, 1e-10);
    }
    assert_close(beta(2.0, 3.0).cdf(-1.0) + 1.0, beta(2.0, 3.0).cdf(2.0), 1e-15);
}

#[test]
fn quantiles() {
    for (a, b, probability, want) in [
        (21.0, 481.0, 0.025, 0.026_130_939_884_080_13),
        (21.0, 481.0, 0.975, 0.060_981_994_119_360_415),
        (0.5, 20.0, 0.025, 2.486_020_863_130_437e-5),
        (2.0, 3.0, 1e-12, 4.082_484_015_750_327e-7),
        (5_001.0, 100_001.0, 0.975, 0.048_923_994_244_380_34),
        (1e6, 1e7, 0.025, 0.090_739_274_804_469_56),
        (1.0, 1e6, 0.975, 3.688_872_650_206_489e-6),
    ] {
        assert_close(beta(a, b).quantile(probability), want, 1e-10);
    }
    assert_eq!(Beta::UNIFORM.quantile(0.0).to_bits(), 0.0_f64.to_bits());
    assert_eq!(Beta::UNIFORM.quantile(1.0).to_bits(), 1.0_f64.to_bits());
}

#[test]
fn a_billion_exposures_have_an_interval() {
    let (low, high) = Beta::from_counts(Beta::UNIFORM, 1e9, 5e7, 1.0).interval(0.95);
    assert!(low < 0.05 && 0.05 < high && high - low < 3e-5);
}

proptest! {
    #[test]
    fn quantile_inverts_the_distribution_function(
        ln_a in -5.0..14.0_f64, ln_b in -5.0..14.0_f64, probability in 0.001..0.999_f64,
    ) {
        let distribution = beta(ln_a.exp(), ln_b.exp());
        let rate = distribution.quantile(probability);
        // Where the quantile rounds to 0 or 1, there is no rate whose probability could be asked for.
        prop_assume!(rate > 1e-300 && rate < 1.0 - 1e-9);
        prop_assert!((distribution.cdf(rate) - probability).abs() < 1e-6, "{distribution:?} {rate}");
    }

    #[test]
    fn agrees_with_statrs(a in 0.1..300.0_f64, b in 0.1..300.0_f64, rate in 0.001..0.999_f64) {
        let want = statrs::function::beta::beta_reg(a, b, rate);
        prop_assert!((beta(a, b).cdf(rate) - want).abs() < 1e-10);
    }

    #[test]
    fn the_density_at_the_centre_is_that_of_ln_gamma(a in 0.01..200.0_f64, b in 0.01..200.0_f64) {
        let (x, y) = (a / (a + b), b / (a + b));
        let want = a * x.ln() + b * y.ln() - statrs::function::beta::ln_beta(a, b);
        prop_assert!((beta(a, b).ln_density_at_centre() - want).abs() < 1e-11);
    }
}
