//! Who came first: the ledger's entries and the judgement of activations, rewards, amendments and retractions against them.
//!
//! Judging reads nothing but the event and the entries of its decision that stand at earlier positions of the journal, so
//! that it says the same live and at every replay, even where the ledger already knows what came later. That is why an entry is
//! never replaced: an amended reward keeps its own, and the amendment is one more.

use crate::domain::{Aggregation, DecisionId, RewardId, Slot, Span};
use crate::engine::assignment;
use crate::engine::contribution::{Change, standing, value_in_force};
use crate::engine::event::{Activated, DecisionRecord, Event, Rewarded};
use crate::engine::known::Known;

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Number of the block, from 1.
    pub block: u64,
    /// Index of the event in it, from 0.
    pub index: u32,
}

/// What became of an activation, a reward, an amendment or a retraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The first of its kind, in time.
    Recorded,
    /// Known already, or what it says is in force already; nothing changed.
    Repeated,
    /// The first of its kind, after the window, or a change of what came so: kept, not learned.
    Late,
    /// One too many for its decision: nothing is kept of it.
    Refused,
    /// An amendment or a retraction of a reward that never came: nothing is kept of it.
    Unknown,
    /// About a decision whose visitor was erased: nothing is kept of it.
    Erased,
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

impl Outcome {
    /// Its name wherever it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Repeated => "repeated",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Erased => "erased",
        }
    }
}

impl Standing {
    /// Its name wherever it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::AfterWindow => "after_window",
            Self::AwaitsActivation => "awaits_activation",
            Self::AlreadyConverted => "already_converted",
        }
    }
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
        /// How long after the decision.
        delay: Span,
    },
    /// A reward arrived.
    Rewarded(RewardFact),
    /// A reward was amended or retracted.
    Corrected {
        /// For which goal.
        goal: Slot,
        /// Under which id.
        reward_id: RewardId,
        /// Its value from then on; `None`: retracted.
        value: Option<i64>,
    },
    /// The decision's visitor was erased: from there on nothing is taken for it.
    Erased,
}

/// See [`Fact::Rewarded`]. What its goal was when it came is part of it: an activation or an amendment later reads it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardFact {
    /// For which goal.
    pub goal: Slot,
    /// Under which id.
    pub reward_id: RewardId,
    /// Its value.
    pub value: i64,
    /// Whether it counted when it came.
    pub standing: Standing,
    /// How long after the decision it arrived.
    pub delay: Span,
    /// What several rewards of the decision come to.
    pub aggregation: Aggregation,
    /// The goal's cap.
    pub cap: Option<i64>,
}

/// What an event does beyond what it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What its sender is told.
    pub outcome: Outcome,
    /// Whether the reward counts that it is or is about.
    pub standing: Standing,
    /// What to remember.
    pub entry: Option<LedgerEntry>,
    /// How it changes what the decision comes to, by goal.
    pub changes: Vec<Change>,
}

impl Judgement {
    /// Of events that cannot repeat or be late.
    pub const PLAIN: Self =
        Self { outcome: Outcome::Recorded, standing: Standing::Learned, entry: None, changes: Vec::new() };

    fn without_effect(outcome: Outcome, standing: Standing) -> Self {
        Self { outcome, standing, ..Self::PLAIN }
    }
}

/// Most facts remembered about one decision. Whoever holds a receipt chooses the reward ids, and can amend without end: without a
/// bound, one receipt could fill the ledger, and every reward would read it all.
pub const MAX_FACTS: usize = 64;

/// Judges an event at its position. `known` holds at least what the event [asks](Event::asks) for; entries at this position or
/// later are of a future the event does not know.
#[must_use]
pub fn judge(event: &Event, position: Position, known: &Known) -> Judgement {
    if let Event::Assigned(assigned) = event {
        let outcome = assignment::judge(assigned, position, &known.assignments);
        return Judgement::without_effect(outcome, Standing::Learned);
    }
    let Some(record) = event.feedback_of() else { return Judgement::PLAIN };
    let earlier = |entry: &&LedgerEntry| entry.decision == record.decision && entry.position < position;
    let mut earlier: Vec<&LedgerEntry> = known.facts.iter().filter(earlier).collect();
    earlier.sort_unstable_by_key(|entry| entry.position);
    let history = History { record, position, facts: earlier.into_iter().map(|entry| &entry.fact).collect() };
    if history.facts.contains(&&Fact::Erased) {
        return Judgement::without_effect(Outcome::Erased, Standing::Learned);
    }
    match event {
        Event::Activated(activated) => history.judge_activation(activated),
        Event::Rewarded(rewarded) => history.judge_reward(rewarded),
        Event::Amended(amended) => {
            history.judge_correction(amended.goal, &amended.reward_id, Some(amended.value), amended.deferred)
        }
        Event::Retracted(retracted) => {
            history.judge_correction(retracted.goal, &retracted.reward_id, None, retracted.deferred)
        }
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Exposed(_)
        | Event::Assigned(_)
        | Event::Aliased(_)
        | Event::VisitorErased(_)
        | Event::ProfileSaved(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => Judgement::PLAIN,
    }
}

/// What is known of a decision where an event stands.
struct History<'a> {
    record: &'a DecisionRecord,
    position: Position,
    /// In the order of the journal.
    facts: Vec<&'a Fact>,
}

impl History<'_> {
    fn judge_activation(&self, event: &Activated) -> Judgement {
        if self.facts.iter().any(|fact| matches!(fact, Fact::Activated { .. })) {
            return Judgement::without_effect(Outcome::Repeated, Standing::Learned);
        }
        let in_time = event.at <= self.record.decided_at() + event.window;
        let mut goals: Vec<Slot> = Vec::new();
        for fact in &self.facts {
            if let Fact::Rewarded(reward) = fact
                && !goals.contains(&reward.goal)
            {
                goals.push(reward.goal);
            }
        }
        let fact = Fact::Activated { in_time, delay: event.at.since(self.record.decided_at()) };
        let changes = self.changes(&self.with(&fact), &goals, true);
        let outcome = if in_time { Outcome::Recorded } else { Outcome::Late };
        self.remember(outcome, Standing::Learned, fact, changes)
    }

    fn judge_reward(&self, event: &Rewarded) -> Judgement {
        if let Some(known) = self.reward(event.goal, &event.reward_id) {
            return Judgement::without_effect(Outcome::Repeated, known.standing);
        }
        if self.is_full() {
            return Judgement::without_effect(Outcome::Refused, Standing::Learned);
        }
        let decided = self.record.decided_at();
        let late = event.occurred_at.unwrap_or(event.arrived_at) > decided + event.window;
        let mut reward = RewardFact {
            goal: event.goal,
            reward_id: event.reward_id.clone(),
            value: event.value,
            standing: if late { Standing::AfterWindow } else { Standing::Learned },
            delay: event.arrived_at.since(decided),
            aggregation: event.aggregation,
            cap: event.cap,
        };
        let fact = Fact::Rewarded(reward.clone());
        let after = self.with(&fact);
        let changes = self.changes(&after, &[event.goal], event.deferred);
        reward.standing = standing(&after, &reward, event.deferred);
        let outcome = if late { Outcome::Late } else { Outcome::Recorded };
        self.remember(outcome, reward.standing, Fact::Rewarded(reward), changes)
    }

    /// Of an amendment, or of a retraction where there is no value. The reward's own time says whether it counts.
    fn judge_correction(&self, goal: Slot, reward_id: &RewardId, value: Option<i64>, deferred: bool) -> Judgement {
        let Some(reward) = self.reward(goal, reward_id) else {
            return Judgement::without_effect(Outcome::Unknown, Standing::Learned);
        };
        if value_in_force(&self.facts, reward) == value {
            return Judgement::without_effect(Outcome::Repeated, standing(&self.facts, reward, deferred));
        }
        if self.is_full() {
            return Judgement::without_effect(Outcome::Refused, Standing::Learned);
        }
        let fact = Fact::Corrected { goal, reward_id: reward_id.clone(), value };
        let after = self.with(&fact);
        let changes = self.changes(&after, &[goal], deferred);
        let standing = standing(&after, reward, deferred);
        let outcome = if reward.standing == Standing::AfterWindow { Outcome::Late } else { Outcome::Recorded };
        self.remember(outcome, standing, fact, changes)
    }

    fn reward(&self, goal: Slot, reward_id: &RewardId) -> Option<&RewardFact> {
        self.facts.iter().find_map(|fact| match fact {
            Fact::Rewarded(reward) if reward.goal == goal && reward.reward_id == *reward_id => Some(reward),
            Fact::Rewarded(_) | Fact::Corrected { .. } | Fact::Activated { .. } | Fact::Erased => None,
        })
    }

    fn is_full(&self) -> bool {
        self.facts.len() >= MAX_FACTS
    }

    /// The facts and one more.
    fn with<'a>(&'a self, fact: &'a Fact) -> Vec<&'a Fact> {
        self.facts.iter().copied().chain(std::iter::once(fact)).collect()
    }

    /// What is changed by the facts being these.
    fn changes(&self, after: &[&Fact], goals: &[Slot], deferred: bool) -> Vec<Change> {
        goals.iter().filter_map(|goal| Change::between(&self.facts, after, *goal, deferred)).collect()
    }

    fn remember(&self, outcome: Outcome, standing: Standing, fact: Fact, changes: Vec<Change>) -> Judgement {
        let entry = LedgerEntry { decision: self.record.decision, fact, position: self.position };
        Judgement { outcome, standing, entry: Some(entry), changes }
    }
}

#[cfg(test)]
mod tests;
