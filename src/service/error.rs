//! What a caller of the service can do something about.

use crate::engine::error::{NoExperiment, RewardError, SaveError};
use crate::engine::profile::Clash;
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
    #[error("nothing can be recorded now ({0}); try again: what turns out to be recorded all the same counts once")]
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
    /// What a visitor stays with cannot be read.
    #[error("what the visitor stays with cannot be read now: {0}")]
    Unreadable(String),
}

/// Why a visitor could not be looked up, aliased or erased.
#[derive(Debug, thiserror::Error)]
pub enum VisitorError {
    /// Both ids are one visitor's already, by being one id or by an alias the other way round.
    #[error("the visitor is known by that id already: an alias joins two ids")]
    Itself,
    /// Others were said to be the anonymous visitor: it is somebody's own id.
    #[error("other ids are known to be this visitor's: it cannot be the anonymous one of two")]
    Known,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a profile was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProfileError {
    /// A running experiment says otherwise.
    #[error("the attribute {} is of another type than experiment {} says", .0.attribute, .0.experiment)]
    Clash(Clash),
    /// It does not fit one stored value.
    #[error("the profile has {bytes} bytes, at most {most} are kept")]
    TooLong {
        /// How many bytes it has as it would be stored.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// It could not be recorded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}
