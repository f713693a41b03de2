//! Who came first: the ledger's entries and the judgement of activations and rewards against them.
//!
//! Judging reads nothing but the event and the entries of its decision that stand at earlier positions of the journal, so
//! that it says the same live and at every replay, even where the ledger already knows what came later.

use crate::domain::{DecisionId, RewardId, Slot};
use crate::engine::event::{Activated, Event, Rewarded};

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Number of the block, from 1.
    pub block: u64,
    /// Index of the event in it, from 0.
    pub index: u32,
}

/// What became of an activation or a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The first of its kind, in time.
    Recorded,
    /// Known already; nothing changed.
    Repeated,
    /// The first of its kind, after the window: kept, not learned.
    Late,
    /// One too many for its decision: nothing is kept of it.
    Refused,
}

/// Whether a reward counts as a success or failure of its exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Learned,
    /// It came after its goal's window.
    AfterWindow,
    /// Its deferred decision has not been activated; it will count once it is.
    AwaitsActivation,
    /// The decision has converted for this goal already.
    AlreadyConverted,
}

/// One remembered fact about a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// About which decision.
    pub decision: DecisionId,
    /// What happened.
    pub fact: Fact,
    /// Where it stands in the journal.
    pub position: Position,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The decision was activated, in time or not.
    Activated {
        /// Whether in time.
        in_time: bool,
    },
    /// A reward arrived.
    Rewarded {
        /// For which goal.
        goal: Slot,
        /// Under which id.
        reward_id: RewardId,
        /// Its value, as it is learned.
        value: i64,
        /// Whether it counted when it came.
        standing: Standing,
    },
}

/// What an event does beyond what it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What its sender is told.
    pub outcome: Outcome,
    /// Whether a reward counts.
    pub standing: Standing,
    /// What to remember.
    pub entry: Option<LedgerEntry>,
    /// Goals whose waiting rewards an activation lets count, and their values.
    pub released: Vec<(Slot, i64)>,
}

impl Judgement {
    /// Of events that cannot repeat or be late.
    pub const PLAIN: Self =
        Self { outcome: Outcome::Recorded, standing: Standing::Learned, entry: None, released: Vec::new() };
}

/// Most facts remembered about one decision. Whoever holds a receipt chooses the reward ids: without a bound, one receipt
/// could fill the ledger, and every reward would read it all.
pub const MAX_FACTS: usize = 64;

/// The decision whose entries [`judge`] needs; `None` if it needs none.
#[must_use]
pub fn judged_decision(event: &Event) -> Option<DecisionId> {
    match event {
        Event::Activated(activated) => Some(activated.record.decision),
        Event::Rewarded(rewarded) => Some(rewarded.record.decision),
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Exposed(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => None,
    }
}

/// Judges an event at its position. `known` holds at least the entries of [`judged_decision`], in any order; those of other
/// decisions have no effect, and those at this position or later are of a future the event does not know.
#[must_use]
pub fn judge(event: &Event, position: Position, known: &[LedgerEntry]) -> Judgement {
    let decision = judged_decision(event);
    let earlier = || {
        let told = known.iter().filter(|entry| Some(entry.decision) == decision && entry.position < position);
        told.map(|entry| &entry.fact)
    };
    match event {
        Event::Activated(activated) => judge_activation(activated, position, earlier),
        Event::Rewarded(rewarded) => judge_reward(rewarded, position, earlier),
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Exposed(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => Judgement::PLAIN,
    }
}

fn judge_activation<'a, I: Iterator<Item = &'a Fact>>(
    event: &Activated,
    position: Position,
    earlier: impl Fn() -> I,
) -> Judgement {
    if earlier().any(|fact| matches!(fact, Fact::Activated { .. })) {
        return Judgement { outcome: Outcome::Repeated, ..Judgement::PLAIN };
    }
    let in_time = event.at <= event.record.decided_at() + event.window;
    let mut released: Vec<(Slot, i64)> = Vec::new();
    if in_time {
        for fact in earlier() {
            if let Fact::Rewarded { goal, value, standing: Standing::AwaitsActivation, .. } = fact
                && *value != 0
                && !released.iter().any(|(known, _)| known == goal)
            {
                released.push((*goal, *value));
            }
        }
    }
    Judgement {
        outcome: if in_time { Outcome::Recorded } else { Outcome::Late },
        standing: Standing::Learned,
        entry: Some(LedgerEntry { decision: event.record.decision, fact: Fact::Activated { in_time }, position }),
        released,
    }
}

fn judge_reward<'a, I: Iterator<Item = &'a Fact>>(
    event: &Rewarded,
    position: Position,
    earlier: impl Fn() -> I,
) -> Judgement {
    let same = earlier().find_map(|fact| match fact {
        Fact::Rewarded { goal, reward_id, standing, .. } if *goal == event.goal && *reward_id == event.reward_id => {
            Some(*standing)
        }
        Fact::Rewarded { .. } | Fact::Activated { .. } => None,
    });
    if let Some(standing) = same {
        return Judgement { outcome: Outcome::Repeated, standing, ..Judgement::PLAIN };
    }
    if earlier().count() >= MAX_FACTS {
        return Judgement { outcome: Outcome::Refused, ..Judgement::PLAIN };
    }
    let activated = || earlier().any(|fact| matches!(fact, Fact::Activated { in_time: true }));
    let converted = || {
        earlier().any(|fact| {
            matches!(fact, Fact::Rewarded { goal, value, standing, .. }
                if *goal == event.goal && *value != 0 && matches!(standing, Standing::Learned | Standing::AwaitsActivation))
        })
    };
    let happened = event.occurred_at.unwrap_or(event.arrived_at);
    let late = happened > event.record.decided_at() + event.window;
    let standing = if late {
        Standing::AfterWindow
    } else if event.value != 0 && converted() {
        Standing::AlreadyConverted
    } else if event.deferred && !activated() {
        Standing::AwaitsActivation
    } else {
        Standing::Learned
    };
    let fact =
        Fact::Rewarded { goal: event.goal, reward_id: event.reward_id.clone(), value: event.learned_value(), standing };
    Judgement {
        outcome: if late { Outcome::Late } else { Outcome::Recorded },
        standing,
        entry: Some(LedgerEntry { decision: event.record.decision, fact, position }),
        released: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
