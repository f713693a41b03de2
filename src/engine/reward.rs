//! From a receipt to an event: everything about a reward that can be refused is refused here, before it is recorded.

use crate::domain::{RewardId, Slot, Span, Timestamp};
use crate::engine::Engine;
use crate::engine::error::{FieldError, RewardError};
use crate::engine::event::{Activated, Event, Rewarded};
use crate::engine::experiment::Active;
use crate::engine::receipt::{Receipt, ReceiptError};
use crate::engine::settings::LATE_SPAN;

/// What a site says about a decision's success.
#[derive(Debug, Clone, Copy)]
pub struct Reward<'a> {
    /// The decision's receipt.
    pub receipt: &'a str,
    /// A goal's key; `None` for the primary one.
    pub goal: Option<&'a str>,
    /// 0 or 1 for a conversion.
    pub value: f64,
    /// Distinguishes rewards of one decision and goal; the goal's key if absent.
    pub reward_id: Option<&'a RewardId>,
    /// When it happened, between the decision and now.
    pub occurred_at: Option<Timestamp>,
}

impl Engine {
    /// Opens a receipt and checks that its time is not over.
    ///
    /// # Errors
    /// See [`RewardError`].
    pub fn open_receipt(&self, text: &str, now: Timestamp) -> Result<Receipt, RewardError> {
        let receipt = self.sealer().open(text)?;
        let experiment = self.experiment(receipt.record.experiment.as_str())?;
        let active = experiment.active();
        let epoch = active.epoch(receipt.record.epoch).ok_or(RewardError::EpochClosed)?;
        let longest = epoch.windows.iter().map(|(_, window)| *window).max().unwrap_or_default();
        if now > receipt.record.decided_at() + longest + LATE_SPAN {
            return Err(ReceiptError::Expired.into());
        }
        Ok(receipt)
    }

    /// The event of an activation; `None` if the decision was not deferred and so was an exposure at once.
    ///
    /// # Errors
    /// See [`RewardError`].
    pub fn activation(&self, receipt: &str, now: Timestamp) -> Result<Option<Event>, RewardError> {
        let receipt = self.open_receipt(receipt, now)?;
        let experiment = self.experiment(receipt.record.experiment.as_str())?;
        let active = experiment.active();
        let epoch = active.epoch(receipt.record.epoch).ok_or(RewardError::EpochClosed)?;
        // A goal that was removed since still has its window in the epoch; it must not hurry what is decided now.
        let window = if epoch.number == active.settings.epoch {
            active.settings.shortest_window()
        } else {
            epoch.windows.iter().map(|(_, window)| *window).min().unwrap_or_default()
        };
        Ok(receipt.deferred.then_some(Event::Activated(Activated { record: receipt.record, at: now, window })))
    }

    /// The event of a reward, and the id under which it is known.
    ///
    /// # Errors
    /// See [`RewardError`].
    pub fn reward(&self, reward: &Reward<'_>, now: Timestamp) -> Result<(Event, RewardId), RewardError> {
        let Receipt { record, deferred, visitor: _ } = self.open_receipt(reward.receipt, now)?;
        let experiment = self.experiment(record.experiment.as_str())?;
        let active = experiment.active();
        let (goal, key, window) = find_goal(&active, reward.goal, record.epoch)?;
        let value = conversion(reward.value)?;
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
        let reward_id = match reward.reward_id {
            Some(id) => id.clone(),
            None => RewardId::new(&key).expect("a goal's key is a valid reward id"),
        };
        let occurred_at = reward.occurred_at;
        let event = Rewarded {
            record,
            deferred,
            goal,
            value,
            reward_id: reward_id.clone(),
            arrived_at: now,
            occurred_at,
            window,
        };
        Ok((Event::Rewarded(event), reward_id))
    }
}

fn find_goal(active: &Active, given: Option<&str>, epoch: u32) -> Result<(Slot, String, Span), RewardError> {
    let goals = &active.settings.definition.goals;
    let wanted = |slot: Slot, key: &str| given.map_or(slot == active.settings.primary(), |given| given == key);
    let found = goals
        .iter()
        .enumerate()
        .map(|(i, g)| (active.settings.goal_slot(i), g))
        .find(|(s, g)| wanted(*s, g.key.as_str()));
    let window = found.and_then(|(slot, _)| active.epoch(epoch).and_then(|epoch| epoch.window(slot)));
    match (found, window) {
        (Some((slot, goal)), Some(window)) => Ok((slot, goal.key.to_string(), window)),
        (Some(_) | None, _) => Err(RewardError::UnknownGoal {
            given: given.unwrap_or_default().to_owned(),
            allowed: goals.iter().map(|goal| goal.key.as_str()).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// A conversion's value is 0 or 1, compared exactly: anything else is a mistake of the sender.
fn conversion(value: f64) -> Result<i64, FieldError> {
    if value.to_bits() == 1.0_f64.to_bits() {
        Ok(1)
    } else if value.to_bits() == 0.0_f64.to_bits() {
        Ok(0)
    } else {
        Err(FieldError::new("value", value, "0 or 1 for a goal of kind conversion"))
    }
}
