//! Thompson sampling: each variation gets the probability, given the evidence, that it is the best (Thompson, "On the
//! likelihood that one unknown probability exceeds another", Biometrika 25, 1933). The usual form draws a rate for every
//! arm and takes the highest; drawing from these probabilities does the same, and knows its propensity.

use crate::domain::VariationKey;
use crate::policy::best_arm::{Resolution, best_by_draws, best_probabilities};
use crate::policy::parameters::{self, POOLING, PRIOR};
use crate::policy::{Evidence, Parameter, ParameterSpec, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

const SHARPENING: ParameterSpec = ParameterSpec {
    name: "sharpening",
    summary: "how many times each exposure counts: above 1 exploits earlier",
    allowed: "a number from 0.1 to 8",
    default: || Some(Parameter::Number(1.0)),
};

/// Draws where the quadrature has no answer; their shares are exact propensities all the same.
const DRAWS: usize = 1_024;

/// `thompson`, with `pooling`, `prior` and `sharpening`.
pub const REGISTRATION: Registration = Registration {
    kind: "thompson",
    summary: "Thompson sampling: each variation gets the probability that it is the best",
    parameters: &[POOLING, PRIOR, SHARPENING],
    example: |_| Parameters::new(),
    build: |parameters, _: &[VariationKey]| Ok(Box::new(Thompson::new(parameters)?)),
};

/// Shares P(θ_a is the highest), with θ_a ~ Beta(c(α + conversions), c(β + failures)) independent.
#[derive(Debug, Clone, Copy)]
pub struct Thompson {
    pooling: Pooling,
    prior: Beta,
    sharpening: f64,
}

impl Thompson {
    fn new(given: &Parameters) -> Result<Self, PolicyError> {
        Ok(Self {
            pooling: parameters::pooling(given)?,
            prior: parameters::prior(given)?,
            sharpening: given.number(&SHARPENING, 0.1, 8.0)?,
        })
    }
}

impl Policy for Thompson {
    fn pooling(&self) -> Pooling {
        self.pooling
    }

    fn prior(&self) -> Beta {
        self.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let posteriors: Vec<Beta> = evidence
            .arms
            .iter()
            .map(|arm| Beta::from_counts(self.prior, arm.exposures, arm.conversions, self.sharpening))
            .collect();
        best_probabilities(&posteriors, Resolution::Propensity)
            .unwrap_or_else(|| best_by_draws(&posteriors, DRAWS, evidence.seed))
    }
}
