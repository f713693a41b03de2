//! The stored form: what the bytes of events, ledger entries and checkpoint rows mean. bincode's standard form under a
//! leading version byte. Core types are not serialisable; the `Stored…` mirrors here borrow from them on the way out and
//! from the bytes on the way in, and every value that comes in is checked as if a stranger had sent it.
//!
//! Invariant: no bytes, however damaged, panic or allocate more than `RECORD_BYTES_MAX`. Fields and variants of a mirror
//! keep their order for ever: the order is the form. What a new version adds stands behind what the old one wrote; exposures that are
//! like one before them and rows of companions (`companion/row.rs`) alone have another form since version 5.

mod additions;
mod companion;
mod definition;
mod event;
mod fact;
pub mod page;
mod pool;
pub mod profile;
mod state;
mod version_3;
mod version_4;
mod visitor;

pub use companion::{
    About, Companion, EncodedCompanion, EncodedContext, companion_key, companion_rows, decode_companions,
    encode_context, without_visitors,
};

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{BorrowDecode, Encode};

use crate::domain::{DecisionId, ExperimentKey, Timestamp, VisitorToken};
use crate::engine::assignment::{AliasEntry, AssignmentEntry};
use crate::engine::checkpoint::{RowName, StateRecord};
use crate::engine::event::{DecisionRecord, Event, Exposed};
use crate::engine::known::Remembered;
use crate::engine::ledger::LedgerEntry;
use crate::store::record::visitor::AliasBy;
use crate::store::{Row, Space, StateRow, Store, StoreError};

/// The newest version of what is written whole. A reader knows it and every one before.
const VERSION: u8 = 4;
/// In the place of a version, since the fifth: an exposure that is like the last one of its block that was written whole, of which it
/// says no more than what it has of its own.
const ALIKE: u8 = 5;

/// Most memory one record may claim while it is read. The largest honest one, a segment of 256 variations, 32 goals and
/// 600 time buckets, claims 41 MB.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// bincode's standard form: little-endian, whole numbers of variable length.
const FORM: Configuration<LittleEndian, Varint, Limit<RECORD_BYTES_MAX>> =
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();

/// What a check found wrong, in words.
type Checked<T> = Result<T, String>;

/// What the events of one block's payload can refer to: the last exposure that was written whole, if others can be like it.
#[derive(Debug, Default)]
pub struct Before(Option<DecisionRecord>);

impl Before {
    /// An event was written whole.
    fn was(&mut self, event: &Event) {
        if let Event::Exposed(Exposed { record, excluded }) = event {
            self.0 = Some(record).filter(|_| excluded.is_empty()).cloned();
        }
    }
}

/// Appends one event, in as many bytes as it needs; events stand one after another in a block's payload.
pub fn encode_event(event: &Event, before: &mut Before, into: &mut Vec<u8>) {
    if let Event::Exposed(Exposed { record, excluded }) = event
        && excluded.is_empty()
        && record.features.entries().is_empty()
    {
        return encode_exposure(record, before, into);
    }
    let second = additions::EventAdditions::from(event);
    let additions = (second, version_3::EventAdditions::from(event), version_4::Additions::from(event));
    write(&event::StoredEvent::from(event), &additions, into);
    before.was(event);
}

/// The same of an exposure of which nothing was excluded and that has no features.
pub fn encode_exposure(record: &DecisionRecord, before: &mut Before, into: &mut Vec<u8>) {
    debug_assert!(record.features.entries().is_empty(), "features would be lost: {record:?}");
    if before.0.as_ref().is_some_and(|before| before.is_like(record)) {
        into.push(ALIKE);
        return encode_into(&event::StoredOwn::from(record.own()), into);
    }
    write(&event::StoredEvent::Exposed { record: record.into(), excluded: Vec::new() }, &((), (), ()), into);
    before.0 = Some(record.clone());
}

/// Reads all events of a block's payload, in order. After the first error nothing more is read: where the next event
/// would begin is not known.
///
/// # Errors
/// [`StoreError::Damaged`] names the event's index and what is wrong with it.
pub fn decode_events(payload: &[u8]) -> impl Iterator<Item = Result<Event, StoreError>> + '_ {
    let mut rest = payload;
    let mut index = 0_usize;
    let mut before = Before::default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let event = decode_event(&mut rest, &mut before).map_err(|flaw| {
            rest = &[];
            StoreError::Damaged(format!("event {index} of a block: {flaw}"))
        });
        index += 1;
        Some(event)
    })
}

fn decode_event(rest: &mut &[u8], before: &mut Before) -> Checked<Event> {
    if let Some((&ALIKE, own)) = rest.split_first() {
        let (own, length): (event::StoredOwn, _) =
            bincode::borrow_decode_from_slice(own, FORM).map_err(|error| error.to_string())?;
        *rest = &rest[1 + length..];
        let before = before.0.as_ref().filter(|before| before.is_like(before));
        let mut record = before.cloned().ok_or("it is like an exposure that did not come, or that has features")?;
        record.become_another(own.try_into()?);
        return Ok(Event::Exposed(Exposed { record, excluded: Box::default() }));
    }
    let (stored, (second, third, fourth), length) =
        read::<event::StoredEvent<'_>, additions::EventAdditions, version_3::EventAdditions, version_4::Additions>(
            rest,
        )?;
    *rest = &rest[length..];
    let event = fourth.add_to_event(third.add_to(second.add_to(Event::try_from(stored)?)?)?)?;
    before.was(&event);
    Ok(event)
}

/// A ledger entry as a row of its own, as earlier builds wrote it. Rows of one decision differ in their keys if their facts
/// differ in what they are about.
#[must_use]
pub fn encode_ledger(entry: &LedgerEntry) -> Row {
    let mut value = Vec::with_capacity(64);
    write(&fact::StoredEntry::from(entry), &((), version_3::EntryAdditions::from(entry), ()), &mut value);
    Row { space: Space::Ledger, key: fact::key(entry), value: Some(value) }
}

/// The entry of a row.
///
/// # Errors
/// [`StoreError::Damaged`] names the decision and what is wrong.
pub fn decode_ledger(key: &[u8], value: &[u8]) -> Result<LedgerEntry, StoreError> {
    let decision = key.first_chunk().map(|bytes| DecisionId::from_bytes(*bytes));
    let decision = decision.ok_or_else(|| StoreError::Damaged("a ledger row has a key that is none".into()))?;
    read_whole::<fact::StoredEntry<'_>, (), version_3::EntryAdditions, ()>(value)
        .and_then(|(stored, ((), more, ()))| more.add_to(stored.restore(decision)?))
        .and_then(|entry| match fact::key(&entry) == key {
            true => Ok(entry),
            false => Err("it stands under the key of another fact".into()),
        })
        .map_err(|flaw| StoreError::Damaged(format!("ledger entry of decision {decision}: {flaw}")))
}

/// What an event leaves beside the journal, as rows; facts have none of their own, they stand in [pages](page).
pub fn encode_remembered(remembered: &Remembered, rows: &mut Vec<Row>) {
    match remembered {
        Remembered::Fact(_) => {}
        Remembered::Assignment(entry) => {
            let stored = visitor::StoredAssignmentEntry::from(entry);
            rows.push(row(Space::Assignment, visitor::assignment_key(entry), &stored));
        }
        Remembered::Alias(entry) => rows.extend([AliasBy::Anonymous, AliasBy::Visitor].map(|by| {
            let stored = visitor::StoredAlias::from(entry);
            row(Space::Alias, visitor::alias_key(by, entry), &stored)
        })),
        Remembered::Erased { visitor, at } => {
            // Sorts by time, so that what no receipt can ask for any more is forgotten from the beginning.
            let key = [at.as_millis().to_be_bytes(), visitor.short().to_be_bytes()].concat();
            rows.push(row(Space::Erased, key, &()));
        }
    }
}

fn row(space: Space, key: Vec<u8>, stored: &impl Encode) -> Row {
    let mut value = Vec::with_capacity(128);
    write(stored, &((), (), ()), &mut value);
    Row { space, key, value: Some(value) }
}

/// All assignments of a visitor, or those in one experiment.
///
/// # Errors
/// If the store cannot be read, or an entry is not what was written.
pub fn assignments_of(
    store: &dyn Store,
    visitor: VisitorToken,
    experiment: Option<&ExperimentKey>,
) -> Result<Vec<AssignmentEntry>, StoreError> {
    let prefix = match experiment {
        Some(experiment) => visitor::assignments_prefix(visitor, experiment),
        None => visitor.to_bytes().to_vec(),
    };
    let rows = store.rows(Space::Assignment, &prefix, None, usize::MAX)?;
    rows.iter().map(|(key, value)| decode_assignment(key, value)).collect()
}

/// The assignment of a row.
///
/// # Errors
/// [`StoreError::Damaged`] says what is wrong.
pub fn decode_assignment(key: &[u8], value: &[u8]) -> Result<AssignmentEntry, StoreError> {
    read_whole::<visitor::StoredAssignmentEntry<'_>, (), (), ()>(value)
        .and_then(|(stored, _)| stored.restore(key))
        .and_then(|entry| match visitor::assignment_key(&entry) == key {
            true => Ok(entry),
            false => Err("it stands under the key of another".into()),
        })
        .map_err(|flaw| StoreError::Damaged(format!("an assignment: {flaw}")))
}

/// What is known of who an anonymous visitor is.
///
/// # Errors
/// If the store cannot be read, or an entry is not what was written.
pub fn aliases_of(store: &dyn Store, anonymous: VisitorToken) -> Result<Vec<AliasEntry>, StoreError> {
    aliases_by(store, AliasBy::Anonymous, anonymous)
}

/// Whom a visitor was before.
///
/// # Errors
/// As [`aliases_of`].
pub fn aliases_to(store: &dyn Store, visitor: VisitorToken) -> Result<Vec<AliasEntry>, StoreError> {
    aliases_by(store, AliasBy::Visitor, visitor)
}

fn aliases_by(store: &dyn Store, by: AliasBy, visitor: VisitorToken) -> Result<Vec<AliasEntry>, StoreError> {
    let rows = store.rows(Space::Alias, &visitor::aliases_prefix(by, visitor), None, usize::MAX)?;
    rows.iter().map(|(key, value)| decode_alias(key, value)).collect()
}

/// The alias of a row.
///
/// # Errors
/// [`StoreError::Damaged`] says what is wrong.
pub fn decode_alias(key: &[u8], value: &[u8]) -> Result<AliasEntry, StoreError> {
    read_whole::<visitor::StoredAlias, (), (), ()>(value)
        .and_then(|(stored, _)| stored.restore(key))
        .map_err(|flaw| StoreError::Damaged(format!("an alias: {flaw}")))
}

/// Whose receipts are refused, up to when: what a receipt keeps of a visitor, by an erasure's row.
///
/// # Errors
/// [`StoreError::Damaged`] if it is no such row.
pub fn decode_erased(key: &[u8]) -> Result<(u64, Timestamp), StoreError> {
    let parts = key.split_first_chunk().and_then(|(at, visitor)| Some((*at, *visitor.first_chunk()?)));
    let (at, visitor) = parts.ok_or_else(|| StoreError::Damaged("an erasure has a key that is none".into()))?;
    Ok((u64::from_be_bytes(visitor), Timestamp::from_millis(u64::from_be_bytes(at))))
}

/// Rows of erasures before a time stand below this key.
#[must_use]
pub fn erased_key_at(time: Timestamp) -> Vec<u8> {
    time.as_millis().to_be_bytes().to_vec()
}

/// Ledger rows and pages of decisions before a time stand below this key, but that the last page may reach beyond it.
#[must_use]
pub fn ledger_key_at(time: Timestamp) -> Vec<u8> {
    let first = DecisionId::first_at(time);
    // Beyond the times that ids can say, everything is before it.
    if first.time() == time { first.to_bytes().to_vec() } else { vec![u8::MAX; 33] }
}

/// A part of the state as a checkpoint row. Rows of one experiment stand together; a deleted experiment takes the place
/// of the experiment.
#[must_use]
pub fn encode_state(record: &StateRecord) -> StateRow {
    let mut value = Vec::with_capacity(256);
    let second = additions::StateAdditions::from(record);
    let additions = (second, version_3::StateAdditions::from(record), version_4::Additions::from(record));
    write(&state::StoredState::from(record), &additions, &mut value);
    StateRow { key: state::key(record), value: Some(value) }
}

/// The removal of a checkpoint row.
#[must_use]
pub fn encode_gone(name: &RowName) -> StateRow {
    StateRow { key: state::row_key(name), value: None }
}

/// The part of the state in a checkpoint row.
///
/// # Errors
/// [`StoreError::Damaged`] names the row and what is wrong.
pub fn decode_state(key: &[u8], value: &[u8]) -> Result<StateRecord, StoreError> {
    read_whole::<state::StoredState<'_>, additions::StateAdditions, version_3::StateAdditions, version_4::Additions>(
        value,
    )
    .and_then(|(stored, (second, third, fourth))| {
        fourth.add_to_state(third.add_to(second.add_to(StateRecord::try_from(stored)?)?)?)
    })
    .and_then(|record| match state::key(&record) == key {
        true => Ok(record),
        false => Err("it stands under the key of another row".into()),
    })
    .map_err(|flaw| StoreError::Damaged(format!("checkpoint row {:?}: {flaw}", String::from_utf8_lossy(key))))
}

/// Writes a record, and behind it what each later version adds, up to the last that has something to add.
fn write<A, B, C>(stored: &impl Encode, (second, third, fourth): &(A, B, C), into: &mut Vec<u8>)
where
    A: Encode + Default + PartialEq,
    B: Encode + Default + PartialEq,
    C: Encode + Default + PartialEq,
{
    let version = match (*second != A::default(), *third != B::default(), *fourth != C::default()) {
        (_, _, true) => VERSION,
        (_, true, false) => 3,
        (true, false, false) => 2,
        (false, false, false) => 1,
    };
    into.push(version);
    encode_into(stored, into);
    if version >= 2 {
        encode_into(second, into);
    }
    if version >= 3 {
        encode_into(third, into);
    }
    if version >= 4 {
        encode_into(fourth, into);
    }
}

fn encode_into(what: &impl Encode, into: &mut Vec<u8>) {
    bincode::encode_into_std_write(what, into, FORM).expect("a vector takes every byte, and no mirror refuses");
}

/// The record at the beginning of the bytes, what later versions added to it, and how many bytes they took, version included.
fn read<'a, T, A, B, C>(bytes: &'a [u8]) -> Checked<(T, (A, B, C), usize)>
where
    T: BorrowDecode<'a, ()>,
    A: BorrowDecode<'a, ()> + Default,
    B: BorrowDecode<'a, ()> + Default,
    C: BorrowDecode<'a, ()> + Default,
{
    let (version, rest) = bytes.split_first().ok_or("it is empty")?;
    if !(1..=VERSION).contains(version) {
        return Err(format!("its version is {version}, this program reads up to {VERSION}"));
    }
    let (stored, length) = bincode::borrow_decode_from_slice(rest, FORM).map_err(|error| error.to_string())?;
    let (second, more) = added(*version >= 2, &rest[length..])?;
    let length = length + more;
    let (third, more) = added(*version >= 3, &rest[length..])?;
    let length = length + more;
    let (fourth, more) = added(*version >= 4, &rest[length..])?;
    Ok((stored, (second, third, fourth), 1 + length + more))
}

fn added<'a, A: BorrowDecode<'a, ()> + Default>(is_there: bool, bytes: &'a [u8]) -> Checked<(A, usize)> {
    if !is_there {
        return Ok((A::default(), 0));
    }
    bincode::borrow_decode_from_slice(bytes, FORM).map_err(|error| error.to_string())
}

fn read_whole<'a, T, A, B, C>(bytes: &'a [u8]) -> Checked<(T, (A, B, C))>
where
    T: BorrowDecode<'a, ()>,
    A: BorrowDecode<'a, ()> + Default,
    B: BorrowDecode<'a, ()> + Default,
    C: BorrowDecode<'a, ()> + Default,
{
    let (stored, additions, length) = read(bytes)?;
    if length == bytes.len() {
        Ok((stored, additions))
    } else {
        Err(format!("{} bytes follow it", bytes.len() - length))
    }
}

#[cfg(test)]
mod tests;
