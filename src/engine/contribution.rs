//! What the rewards of one decision come to. A pure function of its facts, so that to the fold a reward, an amendment, a
//! retraction and an activation are one thing: a change from what they came to before to what they come to now.

use crate::domain::{Aggregation, Slot, Span, VALUE_MAX};
use crate::engine::ledger::{Fact, RewardFact, Standing};

/// What the rewards of one decision come to for one goal: the outcome of its trial, if it is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// The learned value, not 0; 1 for a conversion.
    pub value: i64,
    /// Whether the rewards come to more, and the goal's cap is learned in its stead.
    pub capped: bool,
    /// How long after the decision it was known to be more than nothing: when the first reward that is not 0 had come and,
    /// where the decision was deferred, the activation.
    pub delay: Span,
}

/// How an event changes what a decision comes to for a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The goal.
    pub goal: Slot,
    /// Before the event; `None` for nothing.
    pub before: Option<Contribution>,
    /// After it.
    pub after: Option<Contribution>,
}

impl Change {
    /// From facts before an event to facts after it; `None` if they come to the same.
    pub(crate) fn between(before: &[&Fact], after: &[&Fact], goal: Slot, deferred: bool) -> Option<Self> {
        let (before, after) = (contribution(before, goal, deferred), contribution(after, goal, deferred));
        (before != after).then_some(Self { goal, before, after })
    }
}

/// What a decision's facts, in the order of the journal, come to for a goal; `None` for nothing. A deferred decision comes to
/// nothing before its activation. Only rewards that were in time count, each with the value last given to it, and their order
/// is that in which they first came: so an amended reward is as one sent with that value at once, and a retracted one as one that
/// was never sent.
#[must_use]
pub fn contribution(facts: &[&Fact], goal: Slot, deferred: bool) -> Option<Contribution> {
    let activated = if deferred { activation(facts)? } else { Span::default() };
    let rewards: Vec<(&RewardFact, i64)> = in_force(facts, goal).collect();
    let &last = rewards.last()?;
    let first = *rewards.iter().find(|(_, value)| *value != 0)?;
    let (reward, value) = match last.0.aggregation {
        Aggregation::First => first,
        Aggregation::Sum => (last.0, rewards.iter().fold(0_i64, |sum, (_, value)| sum.saturating_add(*value))),
        Aggregation::Last => last,
    };
    // No sum outgrows what one reward can be: sums of squares stay exact.
    let cap = reward.cap.unwrap_or(VALUE_MAX);
    let learned = value.clamp(-cap, cap);
    let delay = first.0.delay.max(activated);
    (learned != 0).then_some(Contribution { value: learned, capped: learned != value, delay })
}

/// Whether a decision with these facts is an exposure.
pub(crate) fn counts_as_exposure(facts: &[&Fact], deferred: bool) -> bool {
    !deferred || activation(facts).is_some()
}

/// How a reward stands among the facts, of which it is one.
pub(crate) fn standing(facts: &[&Fact], reward: &RewardFact, deferred: bool) -> Standing {
    let counts = |(known, value): &(&RewardFact, i64)| *value != 0 && known.reward_id == reward.reward_id;
    let first = || in_force(facts, reward.goal).find(|(_, value)| *value != 0);
    if reward.standing == Standing::AfterWindow {
        Standing::AfterWindow
    } else if reward.aggregation == Aggregation::First
        && value_in_force(facts, reward).is_some_and(|value| value != 0)
        && !first().as_ref().is_some_and(counts)
    {
        Standing::AlreadyConverted
    } else if deferred && activation(facts).is_none() {
        Standing::AwaitsActivation
    } else {
        Standing::Learned
    }
}

/// The value last given to a reward; `None` if it is retracted.
pub fn value_in_force(facts: &[&Fact], reward: &RewardFact) -> Option<i64> {
    let corrected = facts.iter().rev().find_map(|fact| match fact {
        Fact::Corrected { goal, reward_id, value } if *goal == reward.goal && *reward_id == reward.reward_id => {
            Some(*value)
        }
        Fact::Corrected { .. } | Fact::Rewarded(_) | Fact::Activated { .. } | Fact::Erased => None,
    });
    corrected.unwrap_or(Some(reward.value))
}

/// Rewards of a goal that came in time and are not retracted, in the order in which they came, with their values.
fn in_force<'a>(facts: &'a [&'a Fact], goal: Slot) -> impl Iterator<Item = (&'a RewardFact, i64)> {
    facts.iter().filter_map(move |fact| match fact {
        Fact::Rewarded(reward) if reward.goal == goal && reward.standing != Standing::AfterWindow => {
            value_in_force(facts, reward).map(|value| (reward, value))
        }
        Fact::Rewarded(_) | Fact::Corrected { .. } | Fact::Activated { .. } | Fact::Erased => None,
    })
}

/// How long after the decision it was activated; `None` if it was not, or too late.
fn activation(facts: &[&Fact]) -> Option<Span> {
    facts.iter().find_map(|fact| match fact {
        Fact::Activated { in_time: true, delay } => Some(*delay),
        Fact::Activated { in_time: false, .. } | Fact::Rewarded(_) | Fact::Corrected { .. } | Fact::Erased => None,
    })
}

#[cfg(test)]
mod tests;
