//! From the errors of the layers below to problems, every variant written out.

use crate::domain::InvalidId;
use crate::engine::error::{FieldError, NoExperiment, RewardError, SaveError};
use crate::engine::receipt::ReceiptError;
use crate::http::problem::{Kind, Problem};
use crate::service::error::{ChangeError, CommitError, FeedbackError, VisitorError};

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::field(Kind::FieldRefused, error.field, error.given, error.allowed)
    }
}

impl From<NoExperiment> for Problem {
    fn from(error: NoExperiment) -> Self {
        let kind = match error {
            NoExperiment::Unknown => Kind::ExperimentUnknown,
            NoExperiment::Deleted => Kind::ExperimentDeleted,
        };
        Self::new(kind, error)
    }
}

impl From<SaveError> for Problem {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Field(error) => error.into(),
            SaveError::Deleted(key) => Self::field(
                Kind::FieldRefused,
                "key",
                key,
                "a key that was not used before: this experiment was deleted, and its key stays taken",
            ),
            SaveError::TooManyEpochs(_) => Self::new(Kind::TooManyEpochs, error),
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let kind = match error {
            CommitError::Overloaded => Kind::Overloaded,
            CommitError::Unavailable(_) => Kind::Unavailable,
        };
        Self::new(kind, error)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Save(error) => error.into(),
            ChangeError::Experiment(error) => error.into(),
            ChangeError::Ended => Self::new(Kind::ExperimentEnded, error),
            ChangeError::Commit(error) => error.into(),
        }
    }
}

impl From<ReceiptError> for Problem {
    fn from(error: ReceiptError) -> Self {
        let kind = match error {
            ReceiptError::Malformed => Kind::ReceiptMalformed,
            ReceiptError::Foreign => Kind::ReceiptForeign,
            ReceiptError::Forged => Kind::ReceiptForged,
            ReceiptError::Expired => Kind::ReceiptExpired,
            ReceiptError::Erased => Kind::VisitorErased,
        };
        let mut problem = Self::new(kind, error);
        // Not what was given: a receipt is as good as a password for what it allows.
        problem.field =
            Some(("receipt".into(), "a receipt".into(), "one that this server made, within its time".into()));
        problem
    }
}

impl From<RewardError> for Problem {
    fn from(error: RewardError) -> Self {
        match error {
            RewardError::Receipt(error) => error.into(),
            RewardError::Experiment(error) => error.into(),
            RewardError::Unassigned => {
                let allowed = "one that has been decided for in this experiment";
                Self::field(Kind::VisitorUnassigned, "visitor", "one that stays with nothing", allowed)
            }
            RewardError::EpochClosed => Self::new(Kind::EpochClosed, error),
            RewardError::TooMany => Self::new(Kind::TooManyRewards, error),
            RewardError::UnknownReward(ref id) => {
                let given = format!("{id:?}");
                Self::field(
                    Kind::RewardUnknown,
                    "reward_id",
                    given,
                    "the id of a reward that was recorded for this goal",
                )
            }
            RewardError::UnknownGoal { given, allowed } => {
                Self::field(Kind::GoalUnknown, "goal", format!("{given:?}"), allowed)
            }
            RewardError::Field(error) => error.into(),
        }
    }
}

impl From<FeedbackError> for Problem {
    fn from(error: FeedbackError) -> Self {
        match error {
            FeedbackError::Reward(error) => error.into(),
            FeedbackError::Commit(error) => error.into(),
            FeedbackError::Unreadable(_) => Self::new(Kind::Unavailable, error),
        }
    }
}

impl From<VisitorError> for Problem {
    fn from(error: VisitorError) -> Self {
        match error {
            VisitorError::Itself | VisitorError::Known => Self::new(Kind::AliasRefused, error),
            VisitorError::Store(_) => Self::new(Kind::Unavailable, error),
            VisitorError::Commit(error) => error.into(),
        }
    }
}

/// An id in a field of the body.
pub(crate) fn invalid_id(field: &str) -> impl Fn(InvalidId) -> Problem {
    move |error| Problem::field(Kind::FieldRefused, field, format!("{:?}", error.given), error.allowed)
}
