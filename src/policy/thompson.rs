//! Thompson sampling: each variation gets the probability, given the evidence, that it is the best (Thompson, "On the
//! likelihood that one unknown probability exceeds another", Biometrika 25, 1933). The usual form draws a rate for every
//! arm and takes the highest; drawing from these probabilities does the same, and knows its propensity.

use crate::domain::VariationKey;
use crate::policy::belief::Model;
use crate::policy::parameters::{DRAWS, POOLING_PARTIAL, PRIOR, SHARPENING};
use crate::policy::{Evidence, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

/// `thompson`, with `pooling`, `prior`, `sharpening` and `draws`.
pub const REGISTRATION: Registration = Registration {
    kind: "thompson",
    summary: "Thompson sampling: each variation gets the probability that it is the best",
    parameters: &[POOLING_PARTIAL, PRIOR, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters, variations: &[VariationKey]| Ok(Box::new(Thompson::new(parameters, variations.len())?)),
};

/// Shares P(the arm's score is the highest).
#[derive(Debug, Clone, Copy)]
pub struct Thompson {
    model: Model,
}

impl Thompson {
    fn new(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self { model: Model::read(given, variations_count)? })
    }
}

impl Policy for Thompson {
    fn pooling(&self) -> Pooling {
        self.model.pooling
    }

    fn prior(&self) -> Beta {
        self.model.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        self.model.believe(evidence).best_probabilities(evidence.seed)
    }
}
