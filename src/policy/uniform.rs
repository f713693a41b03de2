//! The same share for every variation: an A/B/n test.

use crate::policy::{Evidence, Parameters, Policy, Pooling, Registration};

/// `uniform`, without parameters.
pub const REGISTRATION: Registration = Registration {
    kind: "uniform",
    summary: "the same share for every variation, whatever they show: an A/B/n test",
    parameters: &[],
    example: |_| Parameters::new(),
    build: |_, _| Ok(Box::new(Uniform)),
};

/// Shares 1/K.
#[derive(Debug, Clone, Copy)]
pub struct Uniform;

impl Policy for Uniform {
    fn pooling(&self) -> Pooling {
        Pooling::Complete
    }

    fn learns(&self) -> bool {
        false
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let arms_count = evidence.arms.len();
        vec![1.0 / arms_count as f64; arms_count]
    }
}
