//! Epsilon-greedy: the best posterior mean but for a share of the traffic that explores every variation alike.

use crate::domain::VariationKey;
use crate::policy::belief::Model;
use crate::policy::parameters::{POOLING, PRIOR};
use crate::policy::{Evidence, Parameter, ParameterSpec, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

const EPSILON: ParameterSpec = ParameterSpec {
    name: "epsilon",
    summary: "the share of the traffic that explores every variation alike",
    allowed: "a number from 0 to 1",
    default: |_| Some(Parameter::Number(0.1)),
};

/// Means this close, relative to the best, are ties: equal rates from different counts differ by rounding.
const TIE: f64 = 1e-12;

/// `epsilon-greedy`, with `epsilon`, `pooling` and `prior`.
pub const REGISTRATION: Registration = Registration {
    kind: "epsilon-greedy",
    summary: "the variation with the best posterior mean, and a share of traffic that explores every variation alike",
    parameters: &[EPSILON, POOLING, PRIOR],
    example: |_| Parameters::new(),
    build: |parameters, variations: &[VariationKey]| Ok(Box::new(EpsilonGreedy::new(parameters, variations.len())?)),
};

/// Shares ε/K, and what is left of 1 in equal parts for the best.
#[derive(Debug, Clone, Copy)]
pub struct EpsilonGreedy {
    epsilon: f64,
    model: Model,
}

impl EpsilonGreedy {
    fn new(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self { epsilon: given.number(&EPSILON, 0.0, 1.0)?, model: Model::for_means(given, variations_count)? })
    }
}

impl Policy for EpsilonGreedy {
    fn pooling(&self) -> Pooling {
        self.model.pooling
    }

    fn prior(&self) -> Beta {
        self.model.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let mut shares = self.model.believe(evidence).means();
        let bar = {
            let best = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            best - TIE * best.abs()
        };
        let best_count = shares.iter().filter(|mean| **mean >= bar).count();
        let explored = self.epsilon / shares.len() as f64;
        let exploited = (1.0 - self.epsilon) / best_count as f64;
        shares.iter_mut().for_each(|share| *share = explored + if *share >= bar { exploited } else { 0.0 });
        shares
    }
}
