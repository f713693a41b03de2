//! The stored form: what the bytes of events, ledger entries and checkpoint rows mean. bincode's standard form under a
//! leading version byte. Core types are not serialisable; the `Stored…` mirrors here borrow from them on the way out and
//! from the bytes on the way in, and every value that comes in is checked as if a stranger had sent it.
//!
//! Invariant: no bytes, however damaged, panic or allocate more than `RECORD_BYTES_MAX`. Fields and variants of a mirror
//! keep their order for ever: the order is the form. What a new version adds stands behind what the old one wrote.

mod additions;
mod definition;
mod event;
mod fact;
mod pool;
mod state;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::{BorrowDecode, Encode};

use crate::domain::{DecisionId, Timestamp};
use crate::engine::checkpoint::{RowName, StateRecord};
use crate::engine::event::Event;
use crate::engine::ledger::LedgerEntry;
use crate::store::{Row, Space, StateRow, Store, StoreError};

/// The newest version. A reader knows it and every one before.
const VERSION: u8 = 3;

/// Most memory one record may claim while it is read. The largest honest one, a segment of 256 variations, 32 goals and
/// 600 time buckets, claims 41 MB.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// bincode's standard form: little-endian, whole numbers of variable length.
const FORM: Configuration<LittleEndian, Varint, Limit<RECORD_BYTES_MAX>> =
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();

/// What a check found wrong, in words.
type Checked<T> = Result<T, String>;

/// Appends one event, in as many bytes as it needs; events stand one after another in a block's payload.
pub fn encode_event(event: &Event, into: &mut Vec<u8>) {
    write(&event::StoredEvent::from(event), &additions::EventAdditions::from(event), &(), into);
}

/// Reads all events of a block's payload, in order. After the first error nothing more is read: where the next event
/// would begin is not known.
///
/// # Errors
/// [`StoreError::Damaged`] names the event's index and what is wrong with it.
pub fn decode_events(payload: &[u8]) -> impl Iterator<Item = Result<Event, StoreError>> + '_ {
    let mut rest = payload;
    let mut index = 0_usize;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let event = read::<event::StoredEvent<'_>, additions::EventAdditions, ()>(rest).and_then(
            |(stored, more, (), length)| {
                rest = &rest[length..];
                more.add_to(Event::try_from(stored)?)
            },
        );
        let event = event.map_err(|flaw| {
            rest = &[];
            StoreError::Damaged(format!("event {index} of a block: {flaw}"))
        });
        index += 1;
        Some(event)
    })
}

/// A ledger entry as a row. Rows of one decision differ in their keys if their facts differ in what they are about.
#[must_use]
pub fn encode_ledger(entry: &LedgerEntry) -> Row {
    let mut value = Vec::with_capacity(64);
    write(&fact::StoredEntry::from(entry), &(), &(), &mut value);
    Row { space: Space::Ledger, key: fact::key(entry), value: Some(value) }
}

/// The entry of a row.
///
/// # Errors
/// [`StoreError::Damaged`] names the decision and what is wrong.
pub fn decode_ledger(key: &[u8], value: &[u8]) -> Result<LedgerEntry, StoreError> {
    let decision = key.first_chunk().map(|bytes| DecisionId::from_bytes(*bytes));
    let decision = decision.ok_or_else(|| StoreError::Damaged("a ledger row has a key that is none".into()))?;
    read_whole::<fact::StoredEntry<'_>, (), ()>(value)
        .and_then(|(stored, (), ())| stored.restore(decision))
        .and_then(|entry| match fact::key(&entry) == key {
            true => Ok(entry),
            false => Err("it stands under the key of another fact".into()),
        })
        .map_err(|flaw| StoreError::Damaged(format!("ledger entry of decision {decision}: {flaw}")))
}

/// All that the ledger knows of a decision.
///
/// # Errors
/// If the store cannot be read, or an entry is not what was written.
pub fn ledger_of(store: &dyn Store, decision: DecisionId) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows = store.rows(Space::Ledger, &decision.to_bytes(), None, usize::MAX)?;
    rows.iter().map(|(key, value)| decode_ledger(key, value)).collect()
}

/// Ledger rows of decisions before a time stand below this key.
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
    let (additions, later) = (additions::StateAdditions::from(record), additions::DelaysByVariation::from(record));
    write(&state::StoredState::from(record), &additions, &later, &mut value);
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
    read_whole::<state::StoredState<'_>, additions::StateAdditions, additions::DelaysByVariation>(value)
        .and_then(|(stored, more, later)| later.add_to(more.add_to(StateRecord::try_from(stored)?)?))
        .and_then(|record| match state::key(&record) == key {
            true => Ok(record),
            false => Err("it stands under the key of another row".into()),
        })
        .map_err(|flaw| StoreError::Damaged(format!("checkpoint row {:?}: {flaw}", String::from_utf8_lossy(key))))
}

/// Writes a record, what version 2 adds and what version 3 adds, up to the last that adds anything.
fn write<A, L>(stored: &impl Encode, additions: &A, later: &L, into: &mut Vec<u8>)
where
    A: Encode + Default + PartialEq,
    L: Encode + Default + PartialEq,
{
    const NEVER: &str = "a vector takes every byte, and no mirror refuses";
    let version = if *later != L::default() {
        3
    } else if *additions != A::default() {
        2
    } else {
        1
    };
    into.push(version);
    bincode::encode_into_std_write(stored, into, FORM).expect(NEVER);
    if version >= 2 {
        bincode::encode_into_std_write(additions, into, FORM).expect(NEVER);
    }
    if version >= 3 {
        bincode::encode_into_std_write(later, into, FORM).expect(NEVER);
    }
}

/// The record at the beginning of the bytes, what versions 2 and 3 added to it, and how many bytes they took, version included.
fn read<'a, T, A, L>(bytes: &'a [u8]) -> Checked<(T, A, L, usize)>
where
    T: BorrowDecode<'a, ()>,
    A: BorrowDecode<'a, ()> + Default,
    L: BorrowDecode<'a, ()> + Default,
{
    let version = *bytes.first().ok_or("it is empty")?;
    if !(1..=VERSION).contains(&version) {
        return Err(format!("its version is {version}, this program reads up to {VERSION}"));
    }
    let mut length = 1;
    let stored = part(bytes, &mut length)?;
    let additions = if version >= 2 { part(bytes, &mut length)? } else { A::default() };
    let later = if version >= 3 { part(bytes, &mut length)? } else { L::default() };
    Ok((stored, additions, later, length))
}

/// What stands behind the first so many bytes, and moves on by its own.
fn part<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8], length: &mut usize) -> Checked<T> {
    let (read, more) = bincode::borrow_decode_from_slice(&bytes[*length..], FORM).map_err(|error| error.to_string())?;
    *length += more;
    Ok(read)
}

fn read_whole<'a, T, A, L>(bytes: &'a [u8]) -> Checked<(T, A, L)>
where
    T: BorrowDecode<'a, ()>,
    A: BorrowDecode<'a, ()> + Default,
    L: BorrowDecode<'a, ()> + Default,
{
    let (stored, additions, later, length) = read(bytes)?;
    if length == bytes.len() {
        Ok((stored, additions, later))
    } else {
        Err(format!("{} bytes follow it", bytes.len() - length))
    }
}

#[cfg(test)]
mod tests;
