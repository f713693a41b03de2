//! Logistic Thompson sampling: a Bayesian logistic regression of conversions on features for each variation, and each
//! visitor's traffic by the probability that a variation's score is the highest (Chapelle and Li, "An empirical
//! evaluation of Thompson sampling", 2011, with a full covariance instead of their diagonal: STATISTICS §2.6).

use crate::policy::contextual::{
    ContextualModel, ContextualPolicy, DRAWS, Disjoint, INTERCEPT_SD, Rule, SD_ALLOWED, Shape, prior_sds, sd, thompson,
};
use crate::policy::parameters::SHARPENING;
use crate::policy::{BuildContextual, Parameter, ParameterSpec, Parameters, PolicyError, Registration};
use crate::posterior::{Cells, Filter};

/// Most patterns of features that are counted one by one.
const PATTERNS_MAX: u64 = 50_000;

const PRIOR_SD: ParameterSpec = ParameterSpec {
    name: "prior_sd",
    summary: "how much one unit of a feature may add to the log odds of a conversion: a standard deviation",
    allowed: SD_ALLOWED,
    default: |_| Some(Parameter::Number(0.5)),
};

const METHOD: ParameterSpec = ParameterSpec {
    name: "method",
    summary: "how weights are learned: from counts of every pattern of features, or from one exposure after another",
    allowed: "\"cells\" (categorical attributes with at most 50,000 patterns), \"filter\", or \"auto\" (cells where possible)",
    default: |_| Some(Parameter::Text("auto".to_owned())),
};

/// `logistic-thompson`, with `prior_sd`, `intercept_sd`, `method`, `sharpening` and `draws`.
pub const REGISTRATION: Registration<BuildContextual> = Registration {
    kind: "logistic-thompson",
    summary: "Thompson sampling on a logistic model of the conversion rate for each variation",
    parameters: &[PRIOR_SD, INTERCEPT_SD, METHOD, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters| Ok(Box::new(LogisticThompson::new(parameters)?)),
};

/// How weights are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Auto,
    Cells,
    Filter,
}

/// Its prior, method and rule.
#[derive(Debug, Clone, Copy)]
pub struct LogisticThompson {
    prior_sd: f64,
    intercept_sd: f64,
    method: Method,
    rule: Rule,
}

impl LogisticThompson {
    fn new(given: &Parameters) -> Result<Self, PolicyError> {
        let method = given.read(&METHOD, |value| match value {
            Parameter::Text(text) => match text.as_str() {
                "auto" => Some(Method::Auto),
                "cells" => Some(Method::Cells),
                "filter" => Some(Method::Filter),
                _ => None,
            },
            Parameter::Number(_) | Parameter::Numbers(_) | Parameter::Shares(_) | Parameter::Flag(_) => None,
        })?;
        Ok(Self {
            prior_sd: sd(given, &PRIOR_SD)?,
            intercept_sd: sd(given, &INTERCEPT_SD)?,
            method,
            rule: thompson(given)?,
        })
    }
}

impl ContextualPolicy for LogisticThompson {
    fn model(&self, shape: &Shape) -> Result<Box<dyn ContextualModel>, PolicyError> {
        let sds = prior_sds(shape.dimensions, self.intercept_sd, self.prior_sd);
        let countable = shape.patterns.is_some_and(|patterns| patterns <= PATTERNS_MAX);
        match (self.method, countable) {
            (Method::Cells, false) => Err(METHOD.refuse(&Parameter::Text("cells".to_owned()))),
            (Method::Auto | Method::Cells, true) => {
                Ok(Box::new(Disjoint::new(self.rule, Cells::new(&vec![0.0; shape.dimensions], &sds))))
            }
            (Method::Auto, false) | (Method::Filter, _) => Ok(Box::new(Disjoint::new(self.rule, Filter::new(&sds)))),
        }
    }
}
