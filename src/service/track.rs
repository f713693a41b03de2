//! Tracking events: something happened, said of a visitor or of decisions, and not of an experiment. It is a reward in every
//! experiment that has a goal of that name.

use crate::domain::{ExperimentKey, GoalKind, RewardId, Timestamp};
use crate::engine::assignment::now_in_force;
use crate::engine::definition::Goal;
use crate::engine::ledger::Fact;
use crate::engine::receipt::Receipt;
use crate::engine::reward::{Action, Reward};
use crate::service::Service;
use crate::service::error::FeedbackError;
use crate::service::ledger::Ledger;
use crate::service::reward::{Rewarding, Subject, Submitted};
use crate::store::{StoreError, record};

/// What a site says has happened.
#[derive(Debug, Clone, Copy)]
pub struct Tracking<'a> {
    /// The key of a goal, in whatever experiments have it.
    pub goal: &'a str,
    /// Whose decisions are meant: every one that the visitor stays with and that counts.
    pub visitor: Option<&'a str>,
    /// Which decisions are meant besides.
    pub receipts: &'a [&'a str],
    /// What it comes to; `None` says that it happened.
    pub value: Option<f64>,
    /// Of the value: then it is an amount of money.
    pub currency: Option<&'a str>,
    /// Distinguishes events of one goal; the goal's key if absent.
    pub reward_id: Option<&'a RewardId>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
}

/// What became of one event.
#[derive(Debug, Default)]
pub struct Tracked {
    /// One for every decision that it is a reward of.
    pub results: Vec<TrackedReward>,
    /// Where there was a decision and no goal of that name.
    pub without_goal: Vec<ExperimentKey>,
}

/// What became of an event where one decision is concerned.
#[derive(Debug)]
pub struct TrackedReward {
    /// In which experiment; `None` if the receipt does not tell.
    pub experiment: Option<ExperimentKey>,
    /// What became of the reward.
    pub result: Result<Rewarding, FeedbackError>,
}

/// A reward handed over, and where it belongs.
struct Sent {
    event: usize,
    experiment: Option<ExperimentKey>,
    submitted: Result<Submitted, FeedbackError>,
}

impl Service {
    /// Takes events at the price of one sync; answers in order. Where nothing was decided there is nothing to reward, which is no
    /// error: a site tracks what happens, whether or not an experiment wants it.
    pub async fn track(&self, events: &[Tracking<'_>]) -> Vec<Result<Tracked, FeedbackError>> {
        let mut sent = Vec::new();
        let mut answers = Vec::with_capacity(events.len());
        for (event, tracking) in events.iter().enumerate() {
            answers.push(self.send(event, tracking, &mut sent));
        }
        // Commits keep the order: who waits for the last one first is woken once.
        let mut settled = Vec::with_capacity(sent.len());
        for Sent { event, experiment, submitted } in sent.into_iter().rev() {
            let result = match submitted {
                Ok(submitted) => self.settled(submitted).await,
                Err(error) => Err(error),
            };
            settled.push((event, TrackedReward { experiment, result }));
        }
        for (event, tracked) in settled.into_iter().rev() {
            if let Ok(answer) = &mut answers[event] {
                answer.results.push(tracked);
            }
        }
        answers
    }

    /// Hands over what an event comes to; says where it comes to nothing.
    fn send(&self, event: usize, tracking: &Tracking<'_>, sent: &mut Vec<Sent>) -> Result<Tracked, FeedbackError> {
        let unreadable = |error: StoreError| FeedbackError::Unreadable(error.to_string());
        let assigned = match tracking.visitor {
            Some(visitor) => self.counting(visitor, tracking.occurred_at).map_err(unreadable)?,
            None => Vec::new(),
        };
        let mut decisions = Vec::with_capacity(tracking.receipts.len() + assigned.len());
        for receipt in tracking.receipts {
            match self.decision_of(Subject::Receipt(receipt)) {
                Ok(receipt) => decisions.push(receipt),
                Err(error) => sent.push(Sent { event, experiment: None, submitted: Err(error) }),
            }
        }
        decisions.extend(assigned);
        // What the visitor stays with is often what a receipt is of.
        decisions.sort_by_key(|decision| decision.record.decision);
        decisions.dedup_by_key(|decision| decision.record.decision);
        let mut tracked = Tracked::default();
        for decision in decisions {
            let experiment = decision.record.experiment.clone();
            let submitted = match self.engine.experiment(experiment.as_str()) {
                Err(_) => self.submit(decision, &reward(tracking, None)),
                Ok(known) => {
                    let active = known.active();
                    let goals = &active.settings.definition.goals;
                    let Some(goal) = goals.iter().find(|goal| goal.key.as_str() == tracking.goal) else {
                        if !tracked.without_goal.contains(&experiment) {
                            tracked.without_goal.push(experiment);
                        }
                        continue;
                    };
                    self.submit(decision, &reward(tracking, Some(goal)))
                }
            };
            sent.push(Sent { event, experiment: Some(experiment), submitted });
        }
        Ok(tracked)
    }

    /// What a visitor stays with, as far as it counts: what was not seen has caused nothing, and neither has what was decided
    /// afterwards.
    fn counting(&self, visitor: &str, occurred_at: Option<Timestamp>) -> Result<Vec<Receipt>, StoreError> {
        let visitor = self.visitors.known_as(self.engine.token(visitor))?;
        let entries = record::assignments_of(&*self.store, visitor, None)?;
        let mut counting = Vec::new();
        for entry in &entries {
            let Some(assignment) = now_in_force(&entries, &entry.experiment) else { continue };
            let replaced = assignment.record.decision != entry.decision;
            let later = occurred_at.is_some_and(|at| at < assignment.record.decided_at());
            if replaced || later || self.engine.experiment(entry.experiment.as_str()).is_err() {
                continue;
            }
            if assignment.deferred {
                // A ledger of its own: pages that are kept would grow old while others commit.
                let facts = Ledger::of(&*self.store)?.known(entry.decision)?;
                if !facts.iter().any(|known| matches!(known.fact, Fact::Activated { in_time: true, .. })) {
                    continue;
                }
            }
            let (record, deferred) = (assignment.record.clone(), assignment.deferred);
            counting.push(Receipt { record, deferred, visitor: visitor.short() });
        }
        Ok(counting)
    }
}

/// What an event says to one goal. An amount of money is nothing to a goal that has no currency: to it, the event has happened.
fn reward<'a>(tracking: &Tracking<'a>, goal: Option<&Goal>) -> Reward<'a> {
    let counts = |goal: &Goal| goal.kind != GoalKind::Revenue;
    let amount = tracking.currency.is_some();
    let value = match (goal, tracking.value) {
        (Some(goal), Some(_)) if amount && counts(goal) => None,
        // Whatever it came to, it happened; only a plain 0 says that it did not.
        (Some(goal), Some(value)) if goal.kind == GoalKind::Conversion => {
            Some(if value.abs() < f64::MIN_POSITIVE { 0.0 } else { 1.0 })
        }
        (_, value) => value,
    };
    Reward {
        action: Action::Reward,
        goal: Some(tracking.goal),
        value,
        currency: tracking.currency.filter(|_| !goal.is_some_and(counts)),
        reward_id: tracking.reward_id,
        occurred_at: tracking.occurred_at,
    }
}
