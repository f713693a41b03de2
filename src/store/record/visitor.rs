//! Visitors: their events, assignments, aliases and erasures.

use bincode::{BorrowDecode, Encode};

use crate::domain::{DecisionId, ExperimentKey, Slot, Span, Timestamp, VisitorToken};
use crate::engine::assignment::{AliasEntry, Assignment, AssignmentEntry};
use crate::engine::contribution::{Change, Contribution};
use crate::engine::event::{Aliased, ErasedAlias, ErasedAssignment, ProfileJoined, VisitorErased};
use crate::engine::ledger::Position;
use crate::store::record::Checked;
use crate::store::record::event::{StoredDecision, experiment_key};

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredAssignment<'a> {
    pub(super) record: StoredDecision<'a>,
    pub(super) deferred: bool,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredAliased<'a> {
    anonymous: [u8; 16],
    visitor: [u8; 16],
    at: u64,
    adopted: Vec<StoredAssignment<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredErased<'a> {
    visitors: Vec<[u8; 16]>,
    at: u64,
    assignments: Vec<StoredErasedAssignment<'a>>,
    /// The id from before, who it was, where that was said.
    aliases: Vec<([u8; 16], [u8; 16], StoredPosition)>,
}

#[derive(Encode, BorrowDecode)]
struct StoredErasedAssignment<'a> {
    visitor: [u8; 16],
    position: StoredPosition,
    record: StoredDecision<'a>,
    shared: bool,
    exposed: bool,
    /// By goal: value, whether it was capped, delay.
    changes: Vec<(u16, i64, bool, u64)>,
}

/// Block and index.
type StoredPosition = (u64, u32);

/// The value of an assignment's row. Token, experiment and decision stand in its key.
#[derive(Encode, BorrowDecode)]
pub(super) struct StoredAssignmentEntry<'a> {
    experiment: &'a str,
    position: StoredPosition,
    assignment: Option<StoredAssignment<'a>>,
    erased: Option<StoredPosition>,
}

/// The value of an alias's row: everything else stands in its key.
#[derive(Encode, BorrowDecode)]
pub(super) struct StoredAlias {
    erased: Option<StoredPosition>,
}

fn stored(position: Position) -> StoredPosition {
    (position.block, position.index)
}

fn position((block, index): StoredPosition) -> Position {
    Position { block, index }
}

impl<'a> From<&'a Assignment> for StoredAssignment<'a> {
    fn from(assignment: &'a Assignment) -> Self {
        Self { record: (&assignment.record).into(), deferred: assignment.deferred }
    }
}

impl TryFrom<StoredAssignment<'_>> for Assignment {
    type Error = String;

    fn try_from(stored: StoredAssignment<'_>) -> Checked<Self> {
        Ok(Self { record: stored.record.try_into()?, deferred: stored.deferred })
    }
}

impl<'a> From<&'a Aliased> for StoredAliased<'a> {
    fn from(aliased: &'a Aliased) -> Self {
        Self {
            anonymous: aliased.anonymous.to_bytes(),
            visitor: aliased.visitor.to_bytes(),
            at: aliased.at.as_millis(),
            adopted: aliased.adopted.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<StoredAliased<'_>> for Aliased {
    type Error = String;

    fn try_from(stored: StoredAliased<'_>) -> Checked<Self> {
        Ok(Self {
            anonymous: VisitorToken::from_bytes(stored.anonymous),
            visitor: VisitorToken::from_bytes(stored.visitor),
            at: Timestamp::from_millis(stored.at),
            adopted: stored.adopted.into_iter().map(TryInto::try_into).collect::<Checked<_>>()?,
            profile: ProfileJoined::default(),
        })
    }
}

impl<'a> From<&'a VisitorErased> for StoredErased<'a> {
    fn from(erased: &'a VisitorErased) -> Self {
        Self {
            visitors: erased.visitors.iter().map(|visitor| visitor.to_bytes()).collect(),
            at: erased.at.as_millis(),
            assignments: erased.assignments.iter().map(Into::into).collect(),
            aliases: erased
                .aliases
                .iter()
                .map(|alias| (alias.anonymous.to_bytes(), alias.visitor.to_bytes(), stored(alias.position)))
                .collect(),
        }
    }
}

impl TryFrom<StoredErased<'_>> for VisitorErased {
    type Error = String;

    fn try_from(stored: StoredErased<'_>) -> Checked<Self> {
        let alias = |(anonymous, visitor, at)| ErasedAlias {
            anonymous: VisitorToken::from_bytes(anonymous),
            visitor: VisitorToken::from_bytes(visitor),
            position: position(at),
        };
        Ok(Self {
            visitors: stored.visitors.into_iter().map(VisitorToken::from_bytes).collect(),
            at: Timestamp::from_millis(stored.at),
            assignments: stored.assignments.into_iter().map(TryInto::try_into).collect::<Checked<_>>()?,
            aliases: stored.aliases.into_iter().map(alias).collect(),
            profiles: 0,
        })
    }
}

impl<'a> From<&'a ErasedAssignment> for StoredErasedAssignment<'a> {
    fn from(erased: &'a ErasedAssignment) -> Self {
        let changes = erased.changes.iter().filter_map(|change| {
            let before = change.before?;
            Some((change.goal.0, before.value, before.capped, before.delay.as_millis()))
        });
        Self {
            visitor: erased.visitor.to_bytes(),
            position: stored(erased.position),
            record: (&erased.record).into(),
            shared: erased.shared,
            exposed: erased.exposed,
            changes: changes.collect(),
        }
    }
}

impl TryFrom<StoredErasedAssignment<'_>> for ErasedAssignment {
    type Error = String;

    fn try_from(stored: StoredErasedAssignment<'_>) -> Checked<Self> {
        let change = |(goal, value, capped, delay)| {
            let before = Contribution { value, capped, delay: Span::from_millis(delay) };
            Change { goal: Slot(goal), before: Some(before), after: None }
        };
        Ok(Self {
            visitor: VisitorToken::from_bytes(stored.visitor),
            position: position(stored.position),
            record: stored.record.try_into()?,
            shared: stored.shared,
            exposed: stored.exposed,
            changes: stored.changes.into_iter().map(change).collect(),
        })
    }
}

/// Rows of a visitor's assignments in one experiment begin with this: the visitor's 16 bytes, so that all of them stand
/// together, then 8 of the experiment's BLAKE3 digest.
pub(super) fn assignments_prefix(visitor: VisitorToken, experiment: &ExperimentKey) -> Vec<u8> {
    let digest = blake3::hash(experiment.as_str().as_bytes());
    [&visitor.to_bytes()[..], &digest.as_bytes()[..8]].concat()
}

/// The prefix, then the decision's 16 bytes and the place in the journal: an assignment never replaces another, nor what an erasure
/// left of one, even where the same decision comes back by an alias.
pub(super) fn assignment_key(entry: &AssignmentEntry) -> Vec<u8> {
    let Position { block, index } = entry.position;
    let prefix = assignments_prefix(entry.visitor, &entry.experiment);
    [&prefix[..], &entry.decision.to_bytes(), &block.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// By whom a row of an alias is found.
#[derive(Clone, Copy)]
pub(super) enum AliasBy {
    Anonymous,
    Visitor,
}

/// Rows of a visitor's aliases begin with this.
pub(super) fn aliases_prefix(by: AliasBy, visitor: VisitorToken) -> Vec<u8> {
    let kind = match by {
        AliasBy::Anonymous => 0,
        AliasBy::Visitor => 1,
    };
    [&[kind][..], &visitor.to_bytes()].concat()
}

/// The prefix, the other visitor's 16 bytes, then the place where it was said that both are one.
pub(super) fn alias_key(by: AliasBy, entry: &AliasEntry) -> Vec<u8> {
    let (first, second) = match by {
        AliasBy::Anonymous => (entry.anonymous, entry.visitor),
        AliasBy::Visitor => (entry.visitor, entry.anonymous),
    };
    let Position { block, index } = entry.position;
    [&aliases_prefix(by, first)[..], &second.to_bytes(), &block.to_be_bytes(), &index.to_be_bytes()].concat()
}

impl<'a> From<&'a AssignmentEntry> for StoredAssignmentEntry<'a> {
    fn from(entry: &'a AssignmentEntry) -> Self {
        Self {
            experiment: entry.experiment.as_str(),
            position: stored(entry.position),
            assignment: entry.assignment.as_ref().map(Into::into),
            erased: entry.erased.map(stored),
        }
    }
}

impl StoredAssignmentEntry<'_> {
    pub(super) fn restore(self, key: &[u8]) -> Checked<AssignmentEntry> {
        let visitor = key.first_chunk().ok_or("its key is too short")?;
        let decision = key.get(24..).and_then(|rest| rest.first_chunk()).ok_or("its key is too short")?;
        Ok(AssignmentEntry {
            experiment: experiment_key(self.experiment)?,
            visitor: VisitorToken::from_bytes(*visitor),
            decision: DecisionId::from_bytes(*decision),
            position: position(self.position),
            assignment: self.assignment.map(TryInto::try_into).transpose()?,
            erased: self.erased.map(position),
        })
    }
}

impl From<&AliasEntry> for StoredAlias {
    fn from(entry: &AliasEntry) -> Self {
        Self { erased: entry.erased.map(stored) }
    }
}

impl StoredAlias {
    pub(super) fn restore(self, key: &[u8]) -> Checked<AliasEntry> {
        let parts = || {
            let (kind, rest) = key.split_first()?;
            let (first, rest) = rest.split_first_chunk()?;
            let (second, rest) = rest.split_first_chunk()?;
            let (block, rest) = rest.split_first_chunk()?;
            Some((*kind, *first, *second, *block, *rest.first_chunk()?))
        };
        let (kind, first, second, block, index) = parts().ok_or("its key is too short")?;
        let (first, second) = (VisitorToken::from_bytes(first), VisitorToken::from_bytes(second));
        let (anonymous, visitor) = match kind {
            0 => (first, second),
            1 => (second, first),
            other => return Err(format!("its key begins with {other}")),
        };
        let position = Position { block: u64::from_be_bytes(block), index: u32::from_be_bytes(index) };
        Ok(AliasEntry { anonymous, visitor, position, erased: self.erased.map(self::position) })
    }
}
