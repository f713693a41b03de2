//! Top-two Thompson sampling: half of the traffic as Thompson sampling, half to what is best when that one is left out, so
//! that the best is told from the second best with fewer visitors (Russo, "Simple Bayesian algorithms for best-arm
//! identification", Operations Research 68, 2020). For finding a winner; it goes on showing others when one is known.
//!
//! The usual form draws rates until another arm is the best. Its probabilities follow from those of Thompson sampling, p:
//! β p_a + (1 − β) Σ_{b≠a} p_b · p_a/(1 − p_b).

use crate::domain::VariationKey;
use crate::policy::belief::Model;
use crate::policy::parameters::{DRAWS, POOLING, PRIOR, SHARPENING};
use crate::policy::{Evidence, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

/// β: the share of the traffic that goes to the best as drawn. Half is the paper's choice
/// where rates are not known.
const BEST_SHARE: f64 = 0.5;

/// What the others have together below which their probabilities are rounding.
const OTHERS_MIN: f64 = 1e-9;

/// Means this close, relative to the best, are ties: equal rates from different counts differ by rounding.
const TIE: f64 = 1e-12;

/// `top-two`, with `pooling`, `prior`, `sharpening` and `draws`.
pub const REGISTRATION: Registration = Registration {
    kind: "top-two",
    summary: "top-two Thompson sampling: half for the best, half for its strongest rivals, to find a winner soon",
    parameters: &[POOLING, PRIOR, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters, variations: &[VariationKey]| Ok(Box::new(TopTwo::new(parameters, variations.len())?)),
};

/// Shares P(best) and P(best of the others), half and half.
#[derive(Debug, Clone, Copy)]
pub struct TopTwo {
    model: Model,
}

impl TopTwo {
    fn new(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self { model: Model::read(given, variations_count)? })
    }
}

impl Policy for TopTwo {
    fn pooling(&self) -> Pooling {
        self.model.pooling
    }

    fn prior(&self) -> Beta {
        self.model.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let belief = self.model.believe(evidence);
        shares(&belief.best_probabilities(evidence.seed), &belief.means())
    }
}

/// From the probabilities of being the best, and means for where one of these is all but 1.
fn shares(best: &[f64], means: &[f64]) -> Vec<f64> {
    if best.len() == 1 {
        return vec![1.0];
    }
    let mut shares: Vec<f64> = best.iter().map(|probability| BEST_SHARE * probability).collect();
    for (first, probability) in best.iter().enumerate() {
        let weight = (1.0 - BEST_SHARE) * probability;
        let others = || (0..best.len()).filter(|arm| *arm != first);
        // Added up: 1 − p would be rounding where it matters.
        let rest: f64 = others().map(|arm| best[arm]).sum();
        if rest >= OTHERS_MIN {
            others().for_each(|arm| shares[arm] += weight * best[arm] / rest);
        } else {
            let highest = others().map(|arm| means[arm]).fold(f64::NEG_INFINITY, f64::max);
            let bar = highest - TIE * highest.abs();
            let seconds: Vec<usize> = others().filter(|arm| means[*arm] >= bar).collect();
            seconds.iter().for_each(|arm| shares[*arm] += weight / seconds.len() as f64);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use crate::policy::top_two::*;

    fn check(best: &[f64], means: &[f64], want: &[f64]) {
        for (got, want) in shares(best, means).iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{best:?}: {got} instead of {want}");
        }
    }

    #[test]
    fn known_cases() {
        // Two arms get half each, whatever is known: the second is always the other.
        check(&[0.9, 0.1], &[0.0; 2], &[0.5, 0.5]);
        // By hand: 0.25 + ½ (0.3·0.5/0.7 + 0.2·0.5/0.8), and so on.
        let first = 0.25 + 0.5 * (0.3 * 0.5 / 0.7 + 0.2 * 0.5 / 0.8);
        let second = 0.15 + 0.5 * (0.5 * 0.3 / 0.5 + 0.2 * 0.3 / 0.8);
        check(&[0.5, 0.3, 0.2], &[0.0; 3], &[first, second, 1.0 - first - second]);
        // One that is certain: the rest to the second mean, ties shared.
        check(&[0.0, 1.0, 0.0, 0.0], &[0.2, 0.5, 0.1, 0.2], &[0.25, 0.5, 0.0, 0.25]);
        check(&[1.0], &[0.5], &[1.0]);
    }
}
