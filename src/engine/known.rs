//! What is kept beside the journal so that events can be judged: facts about decisions, assignments, aliases, erasures. All
//! of it follows from the events, and nothing is ever replaced by something of another meaning.

use crate::domain::{DecisionId, ExperimentKey, Timestamp, VisitorToken};
use crate::engine::assignment::{AliasEntry, AssignmentEntry};
use crate::engine::event::Event;
use crate::engine::ledger::{Fact, Judgement, LedgerEntry, Outcome, Position};

/// What [`crate::engine::ledger::judge`] needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The facts about a decision.
    Decision(DecisionId),
    /// The assignments of a visitor in an experiment.
    Visitor(&'a ExperimentKey, VisitorToken),
    /// Nothing.
    Nothing,
}

/// What is known of what an event is about, in any order. More than that does no harm.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Facts about decisions.
    pub facts: Vec<LedgerEntry>,
    /// Assignments.
    pub assignments: Vec<AssignmentEntry>,
}

/// One thing that an event leaves beside the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Remembered {
    /// A fact about a decision.
    Fact(LedgerEntry),
    /// An assignment, or what is left of it.
    Assignment(AssignmentEntry),
    /// An alias, or what is left of it.
    Alias(AliasEntry),
    /// A visitor's receipts up to a time are refused.
    Erased {
        /// Whose.
        visitor: VisitorToken,
        /// Since when.
        at: Timestamp,
    },
}

impl Event {
    /// What must be known to judge it.
    #[must_use]
    pub fn asks(&self) -> Asked<'_> {
        match self {
            Self::Assigned(assigned) => Asked::Visitor(&assigned.record.experiment, assigned.visitor),
            Self::ExperimentSaved(_)
            | Self::StatusChanged { .. }
            | Self::ExperimentDeleted { .. }
            | Self::Exposed(_)
            | Self::Activated(_)
            | Self::Rewarded(_)
            | Self::Amended(_)
            | Self::Retracted(_)
            | Self::AllocationComputed(_)
            | Self::PoolFitted(_)
            | Self::ProfileSaved(_)
            | Self::Aliased(_)
            | Self::VisitorErased(_) => {
                self.feedback_of().map_or(Asked::Nothing, |record| Asked::Decision(record.decision))
            }
        }
    }

    /// What it leaves beside the journal, where it stands and as it was judged: live and at every replay the same.
    pub fn leaves(&self, position: Position, judgement: &Judgement, left: &mut Vec<Remembered>) {
        let mut keep = |remembered| left.push(remembered);
        if let Some(entry) = &judgement.entry {
            keep(Remembered::Fact(entry.clone()));
        }
        match self {
            Self::Assigned(assigned) if judgement.outcome == Outcome::Recorded => {
                keep(Remembered::Assignment(AssignmentEntry::of(assigned, position)));
            }
            Self::Aliased(aliased) => {
                keep(Remembered::Alias(AliasEntry::of(aliased, position)));
                AssignmentEntry::adopted(aliased, position).map(Remembered::Assignment).for_each(keep);
            }
            Self::VisitorErased(erased) => {
                for visitor in &erased.visitors {
                    keep(Remembered::Erased { visitor: *visitor, at: erased.at });
                }
                for alias in &erased.aliases {
                    keep(Remembered::Alias(AliasEntry::erased(alias, position)));
                }
                for assignment in &erased.assignments {
                    keep(Remembered::Assignment(AssignmentEntry::erased(assignment, position)));
                    if !assignment.shared {
                        let decision = assignment.record.decision;
                        keep(Remembered::Fact(LedgerEntry { decision, fact: Fact::Erased, position }));
                    }
                }
            }
            Self::Assigned(_)
            | Self::ExperimentSaved(_)
            | Self::StatusChanged { .. }
            | Self::ExperimentDeleted { .. }
            | Self::Exposed(_)
            | Self::Activated(_)
            | Self::Rewarded(_)
            | Self::Amended(_)
            | Self::Retracted(_)
            | Self::ProfileSaved(_)
            | Self::AllocationComputed(_)
            | Self::PoolFitted(_) => {}
        }
    }
}
