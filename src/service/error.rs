//! What a caller of the service can do something about.

use crate::engine::error::{NoExperiment, RewardError, SaveError};
use crate::engine::restore::RestoreError;
use crate::store::StoreError;

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The system.
    #[error("a background thread could not be started: {0}")]
    Thread(String),
}

/// Why nothing was recorded, though it may be at another time. Trying again is safe: where the store turns out to have kept
/// what it said it had not, the second time is a repeat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The queue is full.
    #[error("too much is waiting to be recorded; nothing was recorded, try again")]
    Overloaded,
    /// The store refuses, or the service is stopping.
    #[error("nothing can be recorded now ({0}); nothing was recorded, try again")]
    Unavailable(String),
}

/// Why a change of an experiment was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The definition.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// There is none.
    #[error(transparent)]
    Experiment(#[from] NoExperiment),
    /// Its status does not allow it.
    #[error("the experiment has ended, and an end is final: make a new experiment")]
    Ended,
    /// It could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a reward or an activation was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It is refused.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// It could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}
