//! Rewards, amendments, retractions and activations: checked, recorded, judged, answered.

use crate::domain::{ExperimentKey, RewardId};
use crate::engine::assignment::Assignment;
use crate::engine::definition::Unit;
use crate::engine::error::{FieldError, RewardError};
use crate::engine::event::DecisionRecord;
use crate::engine::ledger::{Outcome, Standing};
use crate::engine::receipt::{Receipt, ReceiptError};
use crate::engine::reward::Reward;
use crate::service::Service;
use crate::service::committer::{Pending, Told};
use crate::service::error::FeedbackError;

/// What became of a reward, an amendment or a retraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewarding {
    /// Recorded, repeated or late.
    pub outcome: Outcome,
    /// The id under which it is known.
    pub reward_id: RewardId,
    /// Why the policy does not learn from it; `None` if it does.
    pub unlearned: Option<Unlearned>,
}

/// Why a policy does not learn from a reward that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlearned {
    /// It came after its goal's window.
    AfterWindow,
    /// Its deferred decision was not activated; it counts once that happens.
    AwaitsActivation,
    /// Another reward of the decision is the first for this goal.
    AlreadyConverted,
    /// The visitor is in the control group: it counts there.
    Control,
    /// The variation was removed since: it counts in its history.
    VariationTombstoned,
    /// The decision belongs to an earlier epoch: it counts there.
    EarlierEpoch,
}

/// A reward on its way.
pub(crate) struct Submitted {
    pending: Pending,
    experiment: ExperimentKey,
    reward_id: RewardId,
    /// Known before the commit.
    aside: Option<Unlearned>,
}

/// What a reward or an activation is about.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// The decision of a receipt.
    Receipt(&'a str),
    /// What a visitor stays with in an experiment.
    Visitor {
        /// The experiment's key.
        experiment: &'a str,
        /// The visitor's id.
        visitor: &'a str,
    },
}

impl Service {
    /// Takes one reward, amendment or retraction; answers once it is on disk.
    ///
    /// # Errors
    /// If it is refused, or could not be recorded.
    pub async fn reward(&self, subject: Subject<'_>, reward: &Reward<'_>) -> Result<Rewarding, FeedbackError> {
        let submitted = self.submit_reward(subject, reward)?;
        self.settled(submitted).await
    }

    /// Takes several at the price of one sync; answers in order.
    pub async fn rewards(&self, rewards: &[(Subject<'_>, Reward<'_>)]) -> Vec<Result<Rewarding, FeedbackError>> {
        let submitted: Vec<_> = rewards.iter().map(|(subject, reward)| self.submit_reward(*subject, reward)).collect();
        // Commits keep the order: once the last is answered, all are. Whoever waits for the first one first is woken for each.
        let mut settled = Vec::with_capacity(submitted.len());
        for submitted in submitted.into_iter().rev() {
            settled.push(match submitted {
                Ok(submitted) => self.settled(submitted).await,
                Err(error) => Err(error),
            });
        }
        settled.reverse();
        settled
    }

    /// Makes a deferred decision an exposure; answers once it is on disk. A decision that was not deferred was one at once:
    /// repeated.
    ///
    /// # Errors
    /// If it is refused, or could not be recorded.
    pub async fn activate(&self, subject: Subject<'_>) -> Result<Outcome, FeedbackError> {
        let receipt = self.decision_of(subject)?;
        let experiment = receipt.record.experiment.clone();
        let event = self.engine.activation(receipt, self.clock.now());
        let event = event.inspect_err(|_| self.count_refused(Some(experiment.clone())))?;
        let Some(event) = event else { return Ok(Outcome::Repeated) };
        match self.queue.submit(event)?.done().await?.outcome {
            Outcome::Erased => {
                self.count_refused(Some(experiment));
                Err(RewardError::from(ReceiptError::Erased).into())
            }
            outcome @ (Outcome::Recorded | Outcome::Repeated | Outcome::Late | Outcome::Refused | Outcome::Unknown) => {
                Ok(outcome)
            }
        }
    }

    /// What is known of the decision that something is about.
    pub(crate) fn decision_of(&self, subject: Subject<'_>) -> Result<Receipt, FeedbackError> {
        match subject {
            Subject::Receipt(text) => {
                let opened = self.engine.open_receipt(text).inspect_err(|_| self.count_refused(None));
                Ok(opened.map_err(RewardError::from)?)
            }
            Subject::Visitor { experiment, visitor } => {
                let known = self.engine.experiment(experiment).map_err(RewardError::from)?;
                let found = self.visitors.find(known.key(), self.engine.token(visitor));
                let found = found.map_err(|error| FeedbackError::Unreadable(error.to_string()))?;
                let Some(held) = found.held else {
                    self.count_refused(Some(known.key().clone()));
                    return Err(unassigned(known.active().settings.definition.unit).into());
                };
                let Assignment { record, deferred } = held.assignment.clone();
                Ok(Receipt { record, deferred, visitor: found.visitor.short() })
            }
        }
    }

    fn submit_reward(&self, subject: Subject<'_>, reward: &Reward<'_>) -> Result<Submitted, FeedbackError> {
        self.submit(self.decision_of(subject)?, reward)
    }

    /// Hands over a reward of a decision.
    pub(crate) fn submit(&self, receipt: Receipt, reward: &Reward<'_>) -> Result<Submitted, FeedbackError> {
        let experiment = receipt.record.experiment.clone();
        let aside = self.aside(&receipt.record);
        let checked = self.engine.reward(receipt, reward, self.clock.now());
        let (event, reward_id) = checked.inspect_err(|_| self.count_refused(Some(experiment.clone())))?;
        Ok(Submitted { pending: self.queue.submit(event)?, experiment, reward_id, aside })
    }

    /// Waits for its commit.
    pub(crate) async fn settled(&self, submitted: Submitted) -> Result<Rewarding, FeedbackError> {
        let Told { outcome, standing } = submitted.pending.done().await?;
        let refused = match outcome {
            Outcome::Refused => Some(RewardError::TooMany),
            Outcome::Unknown => Some(RewardError::UnknownReward(submitted.reward_id.to_string())),
            Outcome::Erased => Some(ReceiptError::Erased.into()),
            Outcome::Recorded | Outcome::Repeated | Outcome::Late => None,
        };
        if let Some(error) = refused {
            self.count_refused(Some(submitted.experiment));
            return Err(error.into());
        }
        let unlearned = match standing {
            Standing::AfterWindow => Some(Unlearned::AfterWindow),
            Standing::AwaitsActivation => Some(Unlearned::AwaitsActivation),
            Standing::AlreadyConverted => Some(Unlearned::AlreadyConverted),
            Standing::Learned => submitted.aside,
        };
        Ok(Rewarding { outcome, reward_id: submitted.reward_id, unlearned })
    }

    /// Where a reward counts without being learned from, as far as its decision alone says.
    fn aside(&self, record: &DecisionRecord) -> Option<Unlearned> {
        let experiment = self.engine.experiment(record.experiment.as_str()).ok()?;
        let settings = &experiment.active().settings;
        if record.control {
            Some(Unlearned::Control)
        } else if settings.variation_of(record.variation).is_none() {
            Some(Unlearned::VariationTombstoned)
        } else {
            (record.epoch != settings.epoch).then_some(Unlearned::EarlierEpoch)
        }
    }
}

/// Why nothing is known of a visitor in an experiment.
fn unassigned(unit: Unit) -> RewardError {
    match unit {
        Unit::Visitor => RewardError::Unassigned,
        Unit::Decision => {
            let allowed =
                "a receipt: each request of this experiment draws anew, and only its receipt says which is meant";
            FieldError::new("visitor", "a visitor", allowed).into()
        }
    }
}
