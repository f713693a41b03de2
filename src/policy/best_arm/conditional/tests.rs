//! Draws as a second opinion, and what must add up.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::policy::best_arm::conditional::*;
use crate::policy::best_arm::{best_probabilities, expected_loss};
use crate::posterior::BetaSampler;

const CASES: [&[(f64, f64)]; 4] = [
    &[(2.0, 3.0), (4.0, 3.0)],
    &[(51.0, 951.0), (61.0, 941.0), (55.0, 946.0)],
    &[(1.0, 1.0), (10.0, 200.0), (200.0, 4_000.0)],
    &[(0.5, 0.5), (30.0, 40.0), (400.0, 380.0)],
];

fn arms(parameters: &[(f64, f64)]) -> Vec<Beta> {
    parameters.iter().map(|&(a, b)| Beta::new(a, b).expect("positive")).collect()
}

#[test]
fn rows_sum_to_means_and_the_diagonal_to_the_highest() {
    for parameters in CASES {
        let arms = arms(parameters);
        for (resolution, tolerance) in [(Resolution::Report, 1e-9), (Resolution::Propensity, 4e-7)] {
            let moments = conditional(&arms, resolution).expect("a small grid");
            assert_eq!(moments.best, best_probabilities(&arms, resolution).expect("a small grid"));
            for (row, arm) in moments.joint.iter().zip(&arms) {
                let off = row.iter().sum::<f64>() - arm.mean();
                assert!(off.abs() < tolerance, "{parameters:?} at {resolution:?}: off by {off:e}");
            }
            let highest: f64 = (0..arms.len()).map(|arm| moments.joint[arm][arm]).sum();
            let loss = expected_loss(&arms, resolution).expect("a small grid")[0];
            assert!((highest - arms[0].mean() - loss).abs() < tolerance, "{parameters:?}: {highest}");
        }
    }
}

/// 200,000 draws each, within five standard errors of a mean of numbers in [0, 1], from their own variance.
#[test]
fn as_draws_say() {
    const DRAWS: usize = 200_000;
    for parameters in CASES {
        let arms = arms(parameters);
        let moments = conditional(&arms, Resolution::Propensity).expect("a small grid");
        let samplers: Vec<_> = arms.iter().map(BetaSampler::new).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut sums = vec![vec![(0.0, 0.0); arms.len()]; arms.len()];
        for _ in 0..DRAWS {
            let rates: Vec<f64> = samplers.iter().map(|sampler| sampler.sample(&mut rng)).collect();
            let best = (0..rates.len()).max_by(|a, b| rates[*a].total_cmp(&rates[*b])).expect("an arm");
            for (row, rate) in sums.iter_mut().zip(&rates) {
                row[best].0 += rate;
                row[best].1 += rate * rate;
            }
        }
        for (row, sums) in moments.joint.iter().zip(&sums) {
            for (got, (sum, squares)) in row.iter().zip(sums) {
                let (mean, square) = (sum / DRAWS as f64, squares / DRAWS as f64);
                let error = ((square - mean * mean) / DRAWS as f64).sqrt();
                assert!((got - mean).abs() < 5.0 * error + 4e-7, "{parameters:?}: {got} instead of {mean} ± {error}");
            }
        }
    }
}
