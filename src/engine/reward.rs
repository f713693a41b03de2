//! From a receipt, or what stands for one, to an event: everything about a reward, an amendment or a retraction that can be refused without knowing
//! what came before is refused here, before it is recorded.

use crate::domain::{Currency, GoalKind, RewardId, Slot, Timestamp, VALUE_MAX};
use crate::engine::Engine;
use crate::engine::epoch::Measure;
use crate::engine::error::{FieldError, RewardError};
use crate::engine::event::{Activated, Amended, Event, Retracted, Rewarded};
use crate::engine::experiment::Active;
use crate::engine::receipt::{Receipt, ReceiptError};
use crate::engine::settings::LATE_SPAN;

/// What is done with a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// It is sent.
    #[default]
    Reward,
    /// It is given another value.
    Amend,
    /// It is taken back.
    Retract,
}

/// What a site says about a decision's success.
#[derive(Debug, Clone, Copy)]
pub struct Reward<'a> {
    /// What is done: an amendment and a retraction name a reward that was sent before.
    pub action: Action,
    /// A goal's key; `None` for the primary one.
    pub goal: Option<&'a str>,
    /// 0 or 1 for a conversion; a whole number of minor units for revenue; a whole number from 0 for a
    /// count. `None` says that it happened: 1, but for revenue, where it says nothing, and in an amendment. A retraction has none.
    pub value: Option<f64>,
    /// Of the value, if the sender says: then it must be the goal's.
    pub currency: Option<&'a str>,
    /// Distinguishes rewards of one decision and goal; the goal's key if absent.
    pub reward_id: Option<&'a RewardId>,
    /// When it happened, between the decision and now; a reward's own word, which nothing amends.
    pub occurred_at: Option<Timestamp>,
}

impl Engine {
    /// Opens a receipt. Whether its time is over is another matter.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn open_receipt(&self, text: &str) -> Result<Receipt, ReceiptError> {
        let receipt = self.sealer().open(text)?;
        if self.is_erased(&receipt) { Err(ReceiptError::Erased) } else { Ok(receipt) }
    }

    /// Lets through what can still be told something.
    fn check_receipt(&self, receipt: Receipt, now: Timestamp) -> Result<Receipt, RewardError> {
        let experiment = self.experiment(receipt.record.experiment.as_str())?;
        let active = experiment.active();
        let epoch = active.epoch(receipt.record.epoch).ok_or(RewardError::EpochClosed)?;
        if now > receipt.record.decided_at() + epoch.longest_window() + LATE_SPAN {
            return Err(ReceiptError::Expired.into());
        }
        Ok(receipt)
    }

    /// The event of an activation; `None` if the decision was not deferred and so was an exposure at once.
    ///
    /// # Errors
    /// See [`RewardError`].
    pub fn activation(&self, receipt: Receipt, now: Timestamp) -> Result<Option<Event>, RewardError> {
        let Receipt { record, deferred, visitor: _ } = self.check_receipt(receipt, now)?;
        let experiment = self.experiment(record.experiment.as_str())?;
        let window = experiment.active().activation_window(record.epoch).ok_or(RewardError::EpochClosed)?;
        Ok(deferred.then_some(Event::Activated(Activated { record, at: now, window })))
    }

    /// The event of a reward, an amendment or a retraction of a decision, and the id under which the reward is known.
    ///
    /// # Errors
    /// See [`RewardError`].
    pub fn reward(
        &self,
        decision: Receipt,
        reward: &Reward<'_>,
        now: Timestamp,
    ) -> Result<(Event, RewardId), RewardError> {
        let Receipt { record, deferred, visitor: _ } = self.check_receipt(decision, now)?;
        let experiment = self.experiment(record.experiment.as_str())?;
        let active = experiment.active();
        let Found { slot: goal, key, measure, cap } = find_goal(&active, reward.goal, record.epoch)?;
        let reward_id = match reward.reward_id {
            Some(id) => id.clone(),
            None => RewardId::new(&key).expect("a goal's key is a valid reward id"),
        };
        if reward.action != Action::Reward {
            check_correction(&active, goal, reward)?;
        }
        check_currency(measure.currency, reward.currency)?;
        if reward.action == Action::Retract {
            let event = Retracted { record, deferred, goal, reward_id: reward_id.clone(), arrived_at: now };
            return Ok((Event::Retracted(event), reward_id));
        }
        let value = checked_value(measure.kind, reward.value)?;
        if reward.action == Action::Amend {
            let event = Amended { record, deferred, goal, value, reward_id: reward_id.clone(), arrived_at: now };
            return Ok((Event::Amended(event), reward_id));
        }
        if let Some(occurred) = reward.occurred_at.filter(|at| *at < record.decided_at() || *at > now) {
            return Err(FieldError::new(
                "occurred_at",
                format!("{} ms", occurred.as_millis()),
                format!(
                    "between the decision, {} ms, and now, {} ms",
                    record.decided_at().as_millis(),
                    now.as_millis()
                ),
            )
            .into());
        }
        let occurred_at = reward.occurred_at;
        let event = Rewarded {
            record,
            deferred,
            goal,
            value,
            reward_id: reward_id.clone(),
            arrived_at: now,
            occurred_at,
            window: measure.window,
            cap,
            aggregation: measure.aggregation,
        };
        Ok((Event::Rewarded(event), reward_id))
    }
}

/// A goal that a reward names, as the decision's epoch measures it.
struct Found {
    slot: Slot,
    key: String,
    measure: Measure,
    cap: Option<i64>,
}

fn find_goal(active: &Active, given: Option<&str>, epoch: u32) -> Result<Found, RewardError> {
    let goals = &active.settings.definition.goals;
    let wanted = |slot: Slot, key: &str| given.map_or(slot == active.settings.primary(), |given| given == key);
    let found = goals
        .iter()
        .enumerate()
        .map(|(i, g)| (active.settings.goal_slot(i), g))
        .find(|(s, g)| wanted(*s, g.key.as_str()));
    let measure = found.and_then(|(slot, _)| active.epoch(epoch).and_then(|epoch| epoch.measure(slot)));
    match (found, measure) {
        (Some((slot, goal)), Some(measure)) => Ok(Found { slot, key: goal.key.to_string(), measure, cap: goal.cap }),
        (Some(_) | None, _) => Err(RewardError::UnknownGoal {
            given: given.unwrap_or_default().to_owned(),
            allowed: goals.iter().map(|goal| goal.key.as_str()).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// What an amendment or a retraction must and must not say.
fn check_correction(active: &Active, goal: Slot, reward: &Reward<'_>) -> Result<(), FieldError> {
    let word = if reward.action == Action::Amend { "\"amend\"" } else { "\"retract\"" };
    if goal == active.settings.primary() && active.settings.contextual().is_some() {
        let allowed = "\"reward\" for the primary goal where the policy learns from features: what it has learned it cannot take back";
        return Err(FieldError::new("action", word, allowed));
    }
    if reward.occurred_at.is_some() {
        let allowed = format!("nothing beside {word}: the time of the reward itself counts");
        return Err(FieldError::new("occurred_at", "a time", allowed));
    }
    match (reward.action, reward.value) {
        (Action::Amend, None) => Err(FieldError::new("value", "nothing", "what the reward should have been")),
        (Action::Retract, Some(value)) => Err(FieldError::new("value", value, "nothing beside \"retract\"")),
        (Action::Reward | Action::Amend | Action::Retract, _) => Ok(()),
    }
}

/// A value as the kind of its goal allows it: compared exactly, for anything else is a mistake of the sender.
fn checked_value(kind: GoalKind, given: Option<f64>) -> Result<i64, FieldError> {
    let (least, allowed) = match kind {
        GoalKind::Conversion => (0, "0 or 1 for a goal of kind conversion".to_owned()),
        GoalKind::Revenue => (
            -VALUE_MAX,
            format!("a whole number of minor units from {} to {VALUE_MAX} for a goal of kind revenue", -VALUE_MAX),
        ),
        GoalKind::Count => (0, format!("a whole number from 0 to {VALUE_MAX} for a goal of kind count")),
    };
    let Some(value) = given.or((kind != GoalKind::Revenue).then_some(1.0)) else {
        return Err(FieldError::new("value", "nothing", allowed));
    };
    let most = if kind == GoalKind::Conversion { 1 } else { VALUE_MAX };
    // What is not a number is within no range.
    if (least as f64..=most as f64).contains(&value) && value.fract().abs() < f64::MIN_POSITIVE {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 2^40")]
        let whole = value as i64;
        return Ok(whole);
    }
    Err(FieldError::new("value", value, allowed))
}

fn check_currency(known: Option<Currency>, given: Option<&str>) -> Result<(), FieldError> {
    match (known, given) {
        (_, None) => Ok(()),
        (Some(known), Some(given)) if known.as_str() == given => Ok(()),
        (Some(known), Some(given)) => {
            let allowed = format!("{known}, the goal's currency: amounts are not converted");
            Err(FieldError::new("currency", format!("{given:?}"), allowed))
        }
        (None, Some(given)) => {
            Err(FieldError::new("currency", format!("{given:?}"), "nothing: the goal has no currency"))
        }
    }
}
