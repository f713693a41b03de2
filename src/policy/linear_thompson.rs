//! Linear Thompson sampling: a Bayesian linear regression of rewards on features for each variation, and each visitor's
//! traffic by the probability that a variation's score is the highest (Agrawal and Goyal, "Thompson sampling for
//! contextual bandits with linear payoffs", 2013).

use crate::policy::contextual::{
    ContextualModel, ContextualPolicy, DRAWS, Disjoint, INTERCEPT_SD, Rule, SD_ALLOWED, Shape, prior_sds, sd, thompson,
};
use crate::policy::parameters::SHARPENING;
use crate::policy::{BuildContextual, Parameter, ParameterSpec, Parameters, PolicyError, Registration};
use crate::posterior::Linear;

/// `prior_sd`, for linear policies.
pub(crate) const PRIOR_SD: ParameterSpec = ParameterSpec {
    name: "prior_sd",
    summary: "how much one unit of a feature may add to a reward: a standard deviation",
    allowed: SD_ALLOWED,
    default: |_| Some(Parameter::Number(1.0)),
};

const NOISE_SD: ParameterSpec = ParameterSpec {
    name: "noise_sd",
    summary: "how far rewards lie from what features explain: a standard deviation",
    allowed: SD_ALLOWED,
    default: |_| Some(Parameter::Number(1.0)),
};

/// `linear-thompson`, with `prior_sd`, `intercept_sd`, `noise_sd`, `sharpening` and `draws`.
pub const REGISTRATION: Registration<BuildContextual> = Registration {
    kind: "linear-thompson",
    summary: "Thompson sampling on a linear model of the reward for each variation",
    parameters: &[PRIOR_SD, INTERCEPT_SD, NOISE_SD, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters| Ok(Box::new(LinearThompson::new(parameters)?)),
};

/// Its prior, noise and rule.
#[derive(Debug, Clone, Copy)]
pub struct LinearThompson {
    prior_sd: f64,
    intercept_sd: f64,
    noise_sd: f64,
    rule: Rule,
}

impl LinearThompson {
    fn new(given: &Parameters) -> Result<Self, PolicyError> {
        Ok(Self {
            prior_sd: sd(given, &PRIOR_SD)?,
            intercept_sd: sd(given, &INTERCEPT_SD)?,
            noise_sd: sd(given, &NOISE_SD)?,
            rule: thompson(given)?,
        })
    }
}

impl ContextualPolicy for LinearThompson {
    fn model(&self, shape: &Shape) -> Result<Box<dyn ContextualModel>, PolicyError> {
        let sds = prior_sds(shape.dimensions, self.intercept_sd, self.prior_sd);
        Ok(Box::new(Disjoint::new(self.rule, Linear::new(&sds, self.noise_sd))))
    }
}
