//! Visitors' events and rows read back, and no damage to them panics.

use std::sync::Arc;

use crate::domain::{Features, Slot, Span, Timestamp, VisitorToken};
use crate::engine::assignment::{AliasEntry, Assignment, AssignmentEntry};
use crate::engine::contribution::{Change, Contribution};
use crate::engine::event::*;
use crate::engine::known::Remembered;
use crate::engine::ledger::Position;
use crate::store::record::tests::shapes::record;
use crate::store::record::tests::{damage, encoded};
use crate::store::record::*;
use proptest::prelude::*;

fn token() -> impl Strategy<Value = VisitorToken> {
    any::<u128>().prop_map(VisitorToken)
}

fn position() -> impl Strategy<Value = Position> {
    any::<(u64, u32)>().prop_map(|(block, index)| Position { block, index })
}

/// Without features: who stays with a variation has none.
fn plain_record() -> impl Strategy<Value = DecisionRecord> {
    record().prop_map(|record| DecisionRecord { features: Features::new(), ..record })
}

fn assignment() -> impl Strategy<Value = Assignment> {
    (plain_record(), any::<bool>()).prop_map(|(record, deferred)| Assignment { record, deferred })
}

fn change() -> impl Strategy<Value = Change> {
    any::<(u16, i64, bool, u64)>().prop_map(|(goal, value, capped, delay)| {
        let before = Contribution { value, capped, delay: Span::from_millis(delay) };
        Change { goal: Slot(goal), before: Some(before), after: None }
    })
}

fn erased() -> impl Strategy<Value = VisitorErased> {
    let changes = proptest::collection::vec(change(), 0..3);
    let assignment = (token(), position(), plain_record(), any::<bool>(), changes).prop_map(
        |(visitor, position, record, exposed, changes)| ErasedAssignment {
            visitor,
            position,
            record,
            shared: changes.len() == 1,
            exposed,
            changes,
        },
    );
    let alias = (token(), token(), position()).prop_map(|(anonymous, visitor, position)| ErasedAlias {
        anonymous,
        visitor,
        position,
    });
    let lists = (proptest::collection::vec(assignment, 0..3), proptest::collection::vec(alias, 0..3));
    (proptest::collection::vec(token(), 0..3), any::<u64>(), lists).prop_map(
        |(visitors, at, (assignments, aliases))| VisitorErased {
            visitors,
            at: Timestamp::from_millis(at),
            assignments,
            aliases,
            profiles: 0,
        },
    )
}

/// One of those that are about a visitor.
pub(super) fn event() -> impl Strategy<Value = Event> {
    let excluded = proptest::collection::vec(any::<u16>().prop_map(Slot), 0..5);
    let assigned = (assignment(), token(), excluded, any::<Option<u128>>()).prop_map(
        |(Assignment { record, deferred }, visitor, excluded, replaces)| {
            let (excluded, replaces) = (excluded.into(), replaces.map(crate::domain::DecisionId));
            Event::Assigned(Assigned { record, visitor, deferred, excluded, replaces })
        },
    );
    let adopted = proptest::collection::vec(assignment(), 0..3);
    let aliased = (token(), token(), any::<u64>(), adopted).prop_map(|(anonymous, visitor, at, adopted)| {
        let (at, profile) = (Timestamp::from_millis(at), ProfileJoined::default());
        Event::Aliased(Arc::new(Aliased { anonymous, visitor, at, adopted, profile }))
    });
    let saved = (token(), any::<u64>())
        .prop_map(|(visitor, at)| Event::ProfileSaved(ProfileSaved { visitor, at: Timestamp::from_millis(at) }));
    prop_oneof![assigned, aliased, erased().prop_map(|erased| Event::VisitorErased(Arc::new(erased))), saved]
}

fn assignment_entry() -> impl Strategy<Value = AssignmentEntry> {
    (assignment(), token(), position(), proptest::option::of(position())).prop_map(
        |(assignment, visitor, position, erased)| AssignmentEntry {
            experiment: assignment.record.experiment.clone(),
            visitor,
            decision: assignment.record.decision,
            position,
            assignment: erased.is_none().then_some(assignment),
            erased,
        },
    )
}

fn alias_entry() -> impl Strategy<Value = AliasEntry> {
    (token(), token(), position(), proptest::option::of(position()))
        .prop_map(|(anonymous, visitor, position, erased)| AliasEntry { anonymous, visitor, position, erased })
}

fn rows(remembered: Remembered) -> Vec<Row> {
    let mut rows = Vec::new();
    encode_remembered(&remembered, &mut rows);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn assignments_and_aliases_read_back(assignment in assignment_entry(), alias in alias_entry()) {
        for row in rows(Remembered::Assignment(assignment.clone())) {
            let value = row.value.as_deref().expect("a value");
            prop_assert_eq!(&decode_assignment(&row.key, value).expect("what was written is read"), &assignment);
            prop_assert!(row.key.len() <= crate::store::MAX_KEY_BYTES);
        }
        let aliases = rows(Remembered::Alias(alias));
        prop_assert_eq!(aliases.len(), 2, "found by either id");
        for row in aliases {
            let value = row.value.as_deref().expect("a value");
            prop_assert_eq!(decode_alias(&row.key, value).expect("what was written is read"), alias);
        }
    }

    #[test]
    fn damaged_rows_never_panic(assignment in assignment_entry(), alias in alias_entry(), event in event()) {
        damage(&encoded(&[event]), |bytes| decode_events(bytes).for_each(drop));
        for row in rows(Remembered::Assignment(assignment)) {
            let value = row.value.as_deref().expect("a value");
            damage(value, |bytes| drop(decode_assignment(&row.key, bytes)));
            damage(&row.key, |key| drop(decode_assignment(key, value)));
        }
        for row in rows(Remembered::Alias(alias)) {
            let value = row.value.as_deref().expect("a value");
            damage(value, |bytes| drop(decode_alias(&row.key, bytes)));
            damage(&row.key, |key| drop(decode_alias(key, value)));
            damage(&row.key, |key| drop(decode_erased(key)));
        }
    }
}

#[test]
fn what_is_erased_sorts_by_time() {
    let row = |at, visitor: u128| {
        let at = Timestamp::from_millis(at);
        rows(Remembered::Erased { visitor: VisitorToken(visitor << 64), at }).remove(0).key
    };
    let (early, late) = (row(255, 9), row(256, 1));
    assert!(
        early < late
            && early < erased_key_at(Timestamp::from_millis(256))
            && late >= erased_key_at(Timestamp::from_millis(256))
    );
    assert_eq!(decode_erased(&late).expect("a key"), (1, Timestamp::from_millis(256)));
}
