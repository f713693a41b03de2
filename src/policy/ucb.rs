//! Bayes-UCB: everything to the variation whose score could still be the highest, the quantile of its posterior at
//! 1 − 1/t after t − 1 rounds (Kaufmann, Cappé & Garivier, "On Bayesian upper confidence bounds for bandit problems",
//! AISTATS 2012, with c = 0, as in their experiments). It knows no chance: rewards that come late, or between two
//! allocations, meet it less well than Thompson sampling.

use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::belief::{Belief, Model};
use crate::policy::parameters::{DRAWS, POOLING, PRIOR, SHARPENING};
use crate::policy::{Evidence, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

/// Quantiles this close, relative to the highest, are ties.
const TIE: f64 = 1e-12;

/// `ucb`, with `pooling`, `prior`, `sharpening` and `draws`.
pub const REGISTRATION: Registration = Registration {
    kind: "ucb",
    summary: "Bayes-UCB: everything to the variation whose score could still be the highest",
    parameters: &[POOLING, PRIOR, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters, variations: &[VariationKey]| Ok(Box::new(Ucb::new(parameters, variations.len())?)),
};

/// Shares 1 for the highest quantile, equal parts for ties.
#[derive(Debug, Clone, Copy)]
pub struct Ucb {
    model: Model,
}

impl Ucb {
    fn new(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self { model: Model::read(given, variations_count)? })
    }
}

impl Policy for Ucb {
    fn pooling(&self) -> Pooling {
        self.model.pooling
    }

    fn prior(&self) -> Beta {
        self.model.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let rounds: f64 = evidence.arms.iter().map(|arm| arm.exposures).sum();
        let mut shares = bounds(&self.model.believe(evidence), 1.0 / (1.0 + rounds), evidence.seed);
        let highest = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bar = highest - TIE * highest.abs();
        let count = shares.iter().filter(|bound| **bound >= bar).count();
        shares.iter_mut().for_each(|share| *share = if *share >= bar { 1.0 / count as f64 } else { 0.0 });
        shares
    }
}

/// What each arm's score exceeds with probability `tail`. Draws do not reach as far as 1 in t: where there are no
/// posteriors of rates, the normal distribution with their mean and variance stands in.
fn bounds(belief: &Belief<'_>, tail: f64, seed: Seed) -> Vec<f64> {
    if let Some(rates) = belief.rates() {
        return rates.iter().map(|rate| rate.quantile(1.0 - tail)).collect();
    }
    let means = belief.means();
    let mut squares = vec![0.0; means.len()];
    let draws = belief.draws(seed);
    for row in draws.rows() {
        let deviations = row.iter().zip(&means).map(|(score, mean)| score - mean);
        squares.iter_mut().zip(deviations).for_each(|(sum, deviation)| *sum += deviation * deviation);
    }
    let reach = normal_upper_quantile(tail);
    means.iter().zip(&squares).map(|(mean, sum)| mean + reach * (sum / draws.count() as f64).sqrt()).collect()
}

/// The number that a standard normal exceeds with probability `tail` in (0, 1]; the lowest number below ½ of them is 0,
/// since no bound is to lie below the mean. Error below 4.5e-4 (Abramowitz & Stegun, 26.2.23).
fn normal_upper_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.min(0.5).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    (t - above / below).max(0.0)
}

#[cfg(test)]
mod tests {
    use crate::policy::ucb::*;
    use crate::policy::{Arm, Worth};

    fn allocate(arms: &[(f64, f64)], worths: &[Worth]) -> Vec<f64> {
        let arms: Vec<Arm> = arms.iter().map(|&(exposures, rewards)| Arm::converting(exposures, rewards)).collect();
        let evidence = Evidence { worths, ..Evidence::of(&arms, Seed(1)) };
        let given = crate::policy::with_defaults("ucb", &Parameters::new(), 3).expect("defaults");
        Ucb::new(&given, 3).expect("allowed").allocate(&evidence)
    }

    fn check(got: &[f64], want: &[f64]) {
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "{got:?} instead of {want:?}");
    }

    #[test]
    fn everything_to_the_highest_bound() {
        check(&allocate(&[(0.0, 0.0), (0.0, 0.0)], &[]), &[0.5, 0.5]);
        // A lower mean, hardly tried.
        check(&allocate(&[(1_000.0, 100.0), (10.0, 0.0)], &[]), &[0.0, 1.0]);
        // The same, tried enough.
        check(&allocate(&[(1_000.0, 100.0), (1_000.0, 40.0)], &[]), &[1.0, 0.0]);
    }

    #[test]
    fn scores_with_a_cost_are_bounded_too() {
        let worths = [Worth { per_reward: 1.0, per_exposure: 0.0 }, Worth { per_reward: 1.0, per_exposure: -0.5 }];
        check(&allocate(&[(1_000.0, 100.0), (1_000.0, 200.0)], &worths), &[1.0, 0.0]);
    }

    #[test]
    fn normal_quantiles() {
        for (tail, want) in [(1.0, 0.0), (0.5, 0.0), (0.025, 1.959_964), (1e-3, 3.090_232), (1e-6, 4.753_424)] {
            let got = normal_upper_quantile(tail);
            assert!((got - want).abs() < 4.5e-4, "{tail}: {got} instead of {want}");
        }
    }
}
