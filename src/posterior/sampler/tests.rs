//! Draws follow the distribution they are drawn from: a Kolmogorov–Smirnov test and the first two moments.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::posterior::{Beta, BetaSampler};

const DRAWS: usize = 1_000_000;

/// F at logits from a table with cubic Hermite interpolation, exact to 1e-6: the test needs a million values.
struct Table {
    low: f64,
    step: f64,
    cdf: Vec<f64>,
}

impl Table {
    fn new(distribution: &Beta, low: f64, high: f64) -> Self {
        const CELLS: usize = 4_000;
        let step = (high - low) / CELLS as f64;
        let cdf = (0..=CELLS + 1).map(|i| distribution.cdf_logit(low + step * i as f64)).collect();
        Self { low, step, cdf }
    }

    fn at(&self, logit: f64) -> f64 {
        let position = (logit - self.low) / self.step;
        let cell = (position as usize).min(self.cdf.len() - 2);
        let t = position - cell as f64;
        let slope = |i: usize| {
            let (before, after) = (i.saturating_sub(1), (i + 1).min(self.cdf.len() - 1));
            (self.cdf[after] - self.cdf[before]) / (after - before) as f64
        };
        let (f0, f1, m0, m1) = (self.cdf[cell], self.cdf[cell + 1], slope(cell), slope(cell + 1));
        let rise = f1 - f0;
        f0 + t * (m0 + t * (3.0 * rise - 2.0 * m0 - m1 + t * (m0 + m1 - 2.0 * rise)))
    }
}

/// The probability of a Kolmogorov–Smirnov distance this large or larger, by Kolmogorov's limit.
fn kolmogorov_p_value(distance: f64, draws: usize) -> f64 {
    let lambda = distance * (draws as f64).sqrt();
    let series: f64 =
        (1..=100).map(f64::from).map(|k| -(-1.0_f64).powf(k) * (-2.0 * k * k * lambda * lambda).exp()).sum();
    (2.0 * series).clamp(0.0, 1.0)
}

fn check(alpha: f64, beta: f64) {
    let distribution = Beta::new(alpha, beta).expect("positive");
    let sampler = BetaSampler::new(&distribution);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0x6d61_6265_6c00 + alpha.to_bits() % 1_000);

    let mut logits: Vec<f64> = (0..DRAWS).map(|_| sampler.sample_logit(&mut rng)).collect();
    logits.sort_unstable_by(f64::total_cmp);
    let table = Table::new(&distribution, logits[0], logits[DRAWS - 1]);
    let distance = logits
        .iter()
        .enumerate()
        .map(|(i, &logit)| {
            let f = table.at(logit);
            (f - i as f64 / DRAWS as f64).max((i + 1) as f64 / DRAWS as f64 - f)
        })
        .fold(0.0, f64::max);
    let p_value = kolmogorov_p_value(distance, DRAWS);
    assert!(p_value > 1e-4, "Beta({alpha}, {beta}): distance {distance}, p = {p_value}");

    let n = DRAWS as f64;
    let (mean, variance) = (distribution.mean(), distribution.variance());
    let (mut first, mut second) = (0.0, 0.0);
    for _ in 0..DRAWS {
        let deviation = sampler.sample(&mut rng) - mean;
        first += deviation;
        second += deviation * deviation;
    }
    let sum = alpha + beta;
    let excess_kurtosis = 6.0 * ((alpha - beta).powi(2) * (sum + 1.0) - alpha * beta * (sum + 2.0))
        / (alpha * beta * (sum + 2.0) * (sum + 3.0));
    let z_mean = first / n / (variance / n).sqrt();
    let z_variance = (second / n - variance) / (variance * ((excess_kurtosis + 2.0) / n).sqrt());
    assert!(z_mean.abs() < 5.0, "Beta({alpha}, {beta}): mean off by {z_mean} standard errors");
    assert!(z_variance.abs() < 5.0, "Beta({alpha}, {beta}): variance off by {z_variance} standard errors");
}

#[test]
fn draws_follow_the_uniform_prior() {
    check(1.0, 1.0);
}

#[test]
fn draws_follow_a_first_parameter_below_one() {
    check(0.5, 20.0);
}

#[test]
fn draws_follow_posteriors_of_few_many_and_very_many_exposures() {
    check(3.0, 50.0);
    check(51.0, 1_001.0);
    check(5_001.0, 100_001.0);
    check(1e6, 1e7);
}

#[test]
fn draws_follow_parameters_where_a_plain_ratio_is_nought_by_nought() {
    check(1e-3, 1e-3);
}

#[test]
fn the_smallest_parameters_give_rates_and_no_nan() {
    let sampler = BetaSampler::new(&Beta::new(1e-307, 1e-307).expect("positive"));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    for _ in 0..1_000 {
        assert!((0.0..=1.0).contains(&sampler.sample(&mut rng)));
    }
}
