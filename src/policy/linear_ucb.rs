//! Linear upper confidence bounds, with weights of its own for each variation (Li, Chu, Langford and Schapire, "A
//! contextual-bandit approach to personalized news article recommendation", 2010, algorithm 1, which has `prior_sd` 1).
//!
//! Nothing is drawn: the best variation has a share of 1, and only a floor makes its log fit for evaluating others.

use crate::policy::contextual::{
    ContextualModel, ContextualPolicy, Disjoint, INTERCEPT_SD, Rule, Shape, prior_sds, sd,
};
use crate::policy::linear_thompson::PRIOR_SD;
use crate::policy::{BuildContextual, Parameter, ParameterSpec, Parameters, PolicyError, Registration};
use crate::posterior::Linear;

const ALPHA: ParameterSpec = ParameterSpec {
    name: "alpha",
    summary: "how many standard deviations of its score a variation is credited with",
    allowed: "a number from 0 to 100",
    default: |_| Some(Parameter::Number(1.0)),
};

/// `linear-ucb`, with `alpha`, `prior_sd` and `intercept_sd`.
pub const REGISTRATION: Registration<BuildContextual> = Registration {
    kind: "linear-ucb",
    summary: "the variation with the highest upper confidence bound of a linear model of the reward",
    parameters: &[ALPHA, PRIOR_SD, INTERCEPT_SD],
    example: |_| Parameters::new(),
    build: |parameters| Ok(Box::new(LinearUcb::new(parameters)?)),
};

/// Its prior and rule.
#[derive(Debug, Clone, Copy)]
pub struct LinearUcb {
    prior_sd: f64,
    intercept_sd: f64,
    alpha: f64,
}

impl LinearUcb {
    fn new(given: &Parameters) -> Result<Self, PolicyError> {
        Ok(Self {
            prior_sd: sd(given, &PRIOR_SD)?,
            intercept_sd: sd(given, &INTERCEPT_SD)?,
            alpha: given.number(&ALPHA, 0.0, 100.0)?,
        })
    }
}

impl ContextualPolicy for LinearUcb {
    fn model(&self, shape: &Shape) -> Result<Box<dyn ContextualModel>, PolicyError> {
        let sds = prior_sds(shape.dimensions, self.intercept_sd, self.prior_sd);
        let rule = Rule::UpperConfidence { alpha: self.alpha };
        Ok(Box::new(Disjoint::new(rule, Linear::new(&sds, 1.0))))
    }
}
