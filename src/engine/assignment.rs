//! Whom `unit = "visitor"` keeps with which variation: entries that are never replaced, so that what stood where in the
//! journal can be told at every replay, as in the ledger. An erase takes out of them what they say, and leaves where they stood.

use crate::domain::{DecisionId, ExperimentKey, Slot, VisitorToken};
use crate::engine::contribution::{Change, contribution, counts_as_exposure};
use crate::engine::event::{Aliased, Assigned, DecisionRecord, ErasedAlias, ErasedAssignment};
use crate::engine::ledger::{Fact, LedgerEntry, Outcome, Position};

/// What a visitor stays with: the decision that was drawn first.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The decision, with the propensity of the first draw.
    pub record: DecisionRecord,
    /// Whether it was deferred: then it counts once it is activated.
    pub deferred: bool,
}

/// One assignment that came first where it stands in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentEntry {
    /// In which experiment.
    pub experiment: ExperimentKey,
    /// Of whom.
    pub visitor: VisitorToken,
    /// The decision, also where nothing else is left.
    pub decision: DecisionId,
    /// Where it was made, or adopted from an alias.
    pub position: Position,
    /// What it says; `None` once the visitor was erased.
    pub assignment: Option<Assignment>,
    /// Where it was erased.
    pub erased: Option<Position>,
}

/// Who an anonymous visitor turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AliasEntry {
    /// The id from before.
    pub anonymous: VisitorToken,
    /// Who it is.
    pub visitor: VisitorToken,
    /// Where that was said.
    pub position: Position,
    /// Where it was erased.
    pub erased: Option<Position>,
}

/// The entry in force before a position; `None` if there is none, or none that was not erased by then. Of several, the
/// newest: the others were replaced because their variations had been removed.
#[must_use]
pub fn in_force<'a>(
    entries: &'a [AssignmentEntry],
    experiment: &ExperimentKey,
    before: Position,
) -> Option<&'a AssignmentEntry> {
    let earlier = entries.iter().filter(|entry| entry.experiment == *experiment && entry.position < before);
    let newest = earlier.max_by_key(|entry| entry.position)?;
    newest.erased.is_none_or(|erased| erased >= before).then_some(newest)
}

/// The same now, with everything that is known: what a request is answered by.
#[must_use]
pub fn now_in_force<'a>(entries: &'a [AssignmentEntry], experiment: &ExperimentKey) -> Option<&'a Assignment> {
    in_force(entries, experiment, Position { block: u64::MAX, index: u32::MAX })?.assignment.as_ref()
}

/// Whether an assignment comes first: it must replace what is in force, or nothing where nothing is.
pub(crate) fn judge(assigned: &Assigned, position: Position, entries: &[AssignmentEntry]) -> Outcome {
    let known = in_force(entries, &assigned.record.experiment, position).map(|entry| entry.decision);
    if known == assigned.replaces { Outcome::Recorded } else { Outcome::Repeated }
}

/// Who a visitor is, by what is known of its aliases.
#[must_use]
pub fn known_as(entries: &[AliasEntry]) -> Option<VisitorToken> {
    let newest = entries.iter().max_by_key(|entry| entry.position)?;
    newest.erased.is_none().then_some(newest.visitor)
}

/// What a visitor takes over from the anonymous one it was: what it has not got itself. Its own assignments win, because
/// other devices show them already.
#[must_use]
pub fn adoptions(anonymous: &[AssignmentEntry], own: &[AssignmentEntry]) -> Vec<Assignment> {
    let latest = |entry: &&AssignmentEntry| {
        now_in_force(anonymous, &entry.experiment).is_some_and(|known| known.record.decision == entry.decision)
            && now_in_force(own, &entry.experiment).is_none()
    };
    anonymous.iter().filter(latest).filter_map(|entry| entry.assignment.clone()).collect()
}

/// Experiments in which a visitor will see another variation than before, because its own assignment wins.
#[must_use]
pub fn flips(anonymous: &[AssignmentEntry], own: &[AssignmentEntry]) -> usize {
    let shown = |entries: &[AssignmentEntry], key: &ExperimentKey| {
        now_in_force(entries, key).map(|known| known.record.variation)
    };
    let mut keys: Vec<&ExperimentKey> = anonymous.iter().map(|entry| &entry.experiment).collect();
    keys.sort_unstable();
    keys.dedup();
    let pairs = keys.into_iter().filter_map(|key| shown(anonymous, key).zip(shown(own, key)));
    pairs.filter(|(before, after)| before != after).count()
}

/// Whose a decision is that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The erased visitor's.
    Theirs,
    /// The erased visitor's, and met before: one that was adopted stands under two of its ids and counted once.
    TheirsTwice,
    /// Somebody else's as well, who adopted it: it goes on counting.
    AlsoAnothers,
}

/// What has to be taken out of the counts for an entry, given the ledger of its decision; `None` if it was erased before.
#[must_use]
pub fn erasure(entry: &AssignmentEntry, facts: &[LedgerEntry], whose: Whose) -> Option<ErasedAssignment> {
    let Assignment { record, deferred } = entry.assignment.as_ref()?;
    let mut sorted: Vec<&LedgerEntry> = facts.iter().filter(|fact| fact.decision == entry.decision).collect();
    sorted.sort_unstable_by_key(|fact| fact.position);
    let facts: Vec<&Fact> = sorted.into_iter().map(|entry| &entry.fact).collect();
    let mut goals: Vec<Slot> = Vec::new();
    for fact in &facts {
        if let Fact::Rewarded(reward) = fact
            && !goals.contains(&reward.goal)
        {
            goals.push(reward.goal);
        }
    }
    let changes = goals.into_iter().filter_map(|goal| {
        let before = contribution(&facts, goal, *deferred)?;
        Some(Change { goal, before: Some(before), after: None })
    });
    let subtracted = whose == Whose::Theirs;
    Some(ErasedAssignment {
        visitor: entry.visitor,
        position: entry.position,
        record: record.clone(),
        shared: whose == Whose::AlsoAnothers,
        exposed: subtracted && counts_as_exposure(&facts, *deferred),
        changes: if subtracted { changes.collect() } else { Vec::new() },
    })
}

impl AssignmentEntry {
    /// What an assignment that came first leaves.
    pub(crate) fn of(assigned: &Assigned, position: Position) -> Self {
        let assignment = Assignment { record: assigned.record.clone(), deferred: assigned.deferred };
        Self::new(assigned.visitor, assignment, position)
    }

    fn new(visitor: VisitorToken, assignment: Assignment, position: Position) -> Self {
        Self {
            experiment: assignment.record.experiment.clone(),
            visitor,
            decision: assignment.record.decision,
            position,
            assignment: Some(assignment),
            erased: None,
        }
    }

    /// What an alias leaves under the visitor's own name.
    pub(crate) fn adopted(aliased: &Aliased, position: Position) -> impl Iterator<Item = Self> {
        aliased.adopted.iter().map(move |adopted| Self::new(aliased.visitor, adopted.clone(), position))
    }

    /// What an erase leaves of an entry.
    pub(crate) fn erased(erased: &ErasedAssignment, at: Position) -> Self {
        Self {
            experiment: erased.record.experiment.clone(),
            visitor: erased.visitor,
            decision: erased.record.decision,
            position: erased.position,
            assignment: None,
            erased: Some(at),
        }
    }
}

impl AliasEntry {
    /// What an alias leaves.
    pub(crate) const fn of(aliased: &Aliased, position: Position) -> Self {
        Self { anonymous: aliased.anonymous, visitor: aliased.visitor, position, erased: None }
    }

    /// What an erase leaves of it.
    pub(crate) const fn erased(erased: &ErasedAlias, at: Position) -> Self {
        Self { anonymous: erased.anonymous, visitor: erased.visitor, position: erased.position, erased: Some(at) }
    }
}
