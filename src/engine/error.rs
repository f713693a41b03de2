//! What a caller of the engine can do something about.

use crate::engine::receipt::ReceiptError;
use crate::policy::PolicyError;

/// A setting that cannot be used: which field, what was given, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {given} is not allowed: {allowed}")]
pub struct FieldError {
    /// Path of the field, as in `goals[1].window`.
    pub field: String,
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl FieldError {
    /// Names all three.
    pub fn new(field: impl Into<String>, given: impl ToString, allowed: impl Into<String>) -> Self {
        Self { field: field.into(), given: given.to_string(), allowed: allowed.into() }
    }
}

impl From<PolicyError> for FieldError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::UnknownKind { given, allowed } => Self::new("policy.kind", format!("{given:?}"), allowed),
            PolicyError::UnknownParameter { kind, given, allowed } => {
                let allowed = if allowed.is_empty() { "no parameter".to_owned() } else { allowed };
                Self::new(format!("policy.{given}"), format!("a parameter {given:?} of {kind:?}"), allowed)
            }
            PolicyError::Refused { field, given, allowed } => Self::new(field, given, allowed),
        }
    }
}

/// Why a definition is not saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// A field cannot be used.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The experiment was deleted; its key stays taken.
    #[error("the experiment {0} was deleted, and a key is never used again: take another key")]
    Deleted(String),
    /// Too many epochs are still open.
    #[error(
        "segments, buckets or what goals measure were changed {0} times while earlier receipts are still valid: \
         wait until they expire, or make a new experiment"
    )]
    TooManyEpochs(usize),
}

/// Why there is no decision: the one failure of deciding that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoExperiment {
    /// There never was one.
    #[error("there is no such experiment")]
    Unknown,
    /// It was deleted.
    #[error("the experiment was deleted")]
    Deleted,
}

/// Why a reward or an activation is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewardError {
    /// The receipt is no good.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Its experiment is not there.
    #[error(transparent)]
    Experiment(#[from] NoExperiment),
    /// Its epoch is over and forgotten.
    #[error("the decision belongs to an epoch that is closed for good")]
    EpochClosed,
    /// The visitor has no assignment.
    #[error("the visitor has no assignment in this experiment: it was never decided for, or was erased")]
    Unassigned,
    /// The decision has as many rewards as are remembered.
    #[error(
        "{} rewards, amendments and retractions of the decision are remembered already, and no more are taken",
        crate::engine::ledger::MAX_FACTS
    )]
    TooMany,
    /// Nothing to amend or to retract.
    #[error("the decision has no reward {0:?} for this goal: only what was recorded can be amended or retracted")]
    UnknownReward(String),
    /// The experiment has no such goal.
    #[error("there is no goal {given:?}; there are {allowed}")]
    UnknownGoal {
        /// What was given.
        given: String,
        /// The goals there are.
        allowed: String,
    },
    /// A field cannot be used.
    #[error(transparent)]
    Field(#[from] FieldError),
}
