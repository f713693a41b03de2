//! Everything reads back; no damage panics; versions 1 and 2 are read for ever.

mod examples;
mod shapes;
mod visitors;

use crate::domain::{Aggregation, Features, RewardId, SegmentKey, Slot, Span, Timestamp};
use crate::engine::checkpoint::StateRecord;
use crate::engine::event::{DecisionRecord, Event, Exposed};
use crate::engine::ledger::{Fact, LedgerEntry, Position, Standing};
use crate::posterior::delay::Delays;
use crate::store::record::tests::examples::*;
use crate::store::record::tests::shapes::*;
use crate::store::record::*;
use proptest::prelude::*;

fn encoded(events: &[Event]) -> Vec<u8> {
    let (mut payload, mut before) = (Vec::new(), Before::default());
    events.iter().for_each(|event| encode_event(event, &mut before, &mut payload));
    payload
}

fn decoded(payload: &[u8]) -> Result<Vec<Event>, StoreError> {
    decode_events(payload).collect()
}

fn entry_value(row: &Row) -> &[u8] {
    row.value.as_deref().expect("an entry has a value")
}

fn value(row: &StateRow) -> &[u8] {
    row.value.as_deref().expect("a record has a value")
}

/// Reads every truncation of the bytes and every version of them with one byte flipped. What comes back is an error or a
/// value; a panic fails the test.
fn damage(bytes: &[u8], read: impl Fn(&[u8])) {
    for length in 0..bytes.len() {
        read(&bytes[..length]);
    }
    let mut damaged = bytes.to_vec();
    for index in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            damaged[index] ^= flip;
            read(&damaged);
            damaged[index] = bytes[index];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_read_back(events in proptest::collection::vec(event(), 0..8)) {
        prop_assert_eq!(decoded(&encoded(&events)).expect("what was written is read"), events);
    }

    #[test]
    fn ledger_entries_read_back(entry in entry()) {
        let row = encode_ledger(&entry);
        prop_assert_eq!(decode_ledger(&row.key, entry_value(&row)).expect("what was written is read"), entry);
    }

    #[test]
    fn states_read_back_and_their_keys_are_short(record in state()) {
        let row = encode_state(&record);
        prop_assert!(row.key.len() <= 632);
        prop_assert_eq!(decode_state(&row.key, value(&row)).expect("what was written is read"), record);
    }

    #[test]
    fn damaged_bytes_never_panic(event in event(), entry in entry(), record in state()) {
        damage(&encoded(&[event]), |bytes| drop(decoded(bytes)));
        let row = encode_ledger(&entry);
        damage(entry_value(&row), |bytes| drop(decode_ledger(&row.key, bytes)));
        damage(&row.key, |key| drop(decode_ledger(key, entry_value(&row))));
        let row = encode_state(&record);
        damage(value(&row), |bytes| drop(decode_state(&row.key, bytes)));
        damage(&row.key, |key| drop(decode_state(key, value(&row))));
    }

    #[test]
    fn a_truncated_record_is_never_a_value(event in event(), entry in entry()) {
        let bytes = encoded(&[event]);
        for length in 1..bytes.len() {
            prop_assert!(decoded(&bytes[..length]).is_err());
        }
        let row = encode_ledger(&entry);
        for length in 0..entry_value(&row).len() {
            prop_assert!(decode_ledger(&row.key, &entry_value(&row)[..length]).is_err());
        }
    }
}

#[test]
fn an_exposure_like_one_before_it_says_only_what_it_has_of_its_own() {
    let exposed = |tail, segment: &str| {
        let record = DecisionRecord {
            segment: SegmentKey::new(segment),
            features: Features::new(),
            decision: decision(tail),
            ..record_example()
        };
        Event::Exposed(Exposed { record, excluded: Box::default() })
    };
    let excluding = Event::Exposed(Exposed { record: record_example(), excluded: [Slot(1)].into() });
    let between = Event::ExperimentDeleted { experiment: record_example().experiment, at: Timestamp::from_millis(1) };
    let events = [
        exposed(1, "mobile"),
        exposed(2, "mobile"),
        between,
        exposed(3, "mobile"),
        exposed(4, "desktop"),
        exposed(5, "mobile"),
        excluding,
        exposed(6, "mobile"),
    ];
    let mut lengths = Vec::new();
    let (mut payload, mut before) = (Vec::new(), Before::default());
    for event in &events {
        let length = payload.len();
        encode_event(event, &mut before, &mut payload);
        lengths.push(payload.len() - length);
    }
    let short: Vec<bool> = lengths.iter().map(|length| *length == 1 + 1 + 8 + 16).collect();
    assert_eq!(short, [false, true, false, true, false, false, false, false], "{lengths:?}");
    assert_eq!(decoded(&payload).expect("what was written is read"), events);
    let error = decoded(&payload[lengths[0]..]).expect_err("the first is gone").to_string();
    assert!(error.contains("did not come"), "{error}");
    damage(&payload, |bytes| drop(decoded(bytes)));
}

#[test]
fn an_unknown_version_is_named() {
    let mut bytes = encoded(&[examples().remove(0)]);
    bytes[0] = 9;
    let error = decoded(&bytes).expect_err("version 9 is unknown").to_string();
    assert!(error.contains("version is 9"), "{error}");
}

#[test]
fn reading_ends_at_the_first_error() {
    let mut bytes = encoded(&examples());
    bytes.push(9);
    let read: Vec<_> = decode_events(&bytes).collect();
    assert_eq!(read.len(), examples().len() + 1);
    assert!(read[..examples().len()].iter().all(Result::is_ok) && read[examples().len()].is_err());
}

#[test]
fn facts_about_different_things_have_different_keys() {
    let rewarded = |goal: u16, id: &str| Fact::Rewarded(reward_example(goal, id, Standing::Learned));
    let corrected =
        |value: Option<i64>| Fact::Corrected { goal: Slot(0), reward_id: RewardId::new("a").expect("allowed"), value };
    let activated = |in_time: bool| Fact::Activated { in_time, delay: Span::ZERO };
    let facts = [activated(true), rewarded(0, "a"), rewarded(1, "a"), rewarded(0, "b"), corrected(Some(2))];
    let entry = |fact, index| LedgerEntry { decision: decision(1), fact, position: Position { block: 1, index } };
    let mut keys: Vec<_> = facts.map(|fact| encode_ledger(&entry(fact, 0)).key).to_vec();
    // Each amendment and retraction has a row of its own, so that none replaces what a replay judges by.
    keys.extend([2, 3].map(|index| encode_ledger(&entry(corrected(None), index)).key));
    let mut unique = keys.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), keys.len());
    // An activation in time and one too late are about the same thing.
    assert_eq!(encode_ledger(&entry(activated(false), 9)).key, keys[0]);
    assert_eq!(encode_ledger(&entry(rewarded(0, "a"), 9)).key, keys[1]);
}

#[test]
fn a_row_under_another_key_is_damaged() {
    let [first, second] = [1, 2].map(|epoch| encode_state(&StateRecord::Segment(segment_example(epoch))));
    assert!(decode_state(&first.key, value(&second)).is_err());
    let experiment = encode_state(&StateRecord::Experiment(experiment_example()));
    let deleted = encode_state(&StateRecord::Deleted(experiment_example().definition.key.clone()));
    assert_eq!(experiment.key, deleted.key);
}

/// What a later version adds stands behind what the earlier ones wrote, byte for byte, and is left out where there is nothing.
#[test]
fn a_record_is_of_the_first_version_that_can_say_it() {
    let rewarded = |cap: Option<i64>, aggregation: Aggregation| {
        let Event::Rewarded(mut rewarded) = examples().remove(2) else { panic!("the third example is a reward") };
        (rewarded.cap, rewarded.aggregation) = (cap, aggregation);
        encoded(&[Event::Rewarded(rewarded)])
    };
    let first = rewarded(None, Aggregation::First);
    let said = &first[1..];
    assert_eq!(first[0], 1);
    assert_eq!(rewarded(Some(9), Aggregation::First), [&[2], said, &[1, 18, 0, 0, 0, 0]].concat());
    assert_eq!(rewarded(Some(9), Aggregation::Sum), [&[3], said, &[1, 18, 0, 0, 0, 0], &[1, 0, 0]].concat());
    assert_eq!(rewarded(None, Aggregation::Last), [&[3], said, &[0, 0, 0, 0, 0], &[2, 0, 0]].concat());
}

/// The bytes of version 1, one line per example. Later versions go on reading them; these lines never change.
#[test]
fn version_1_is_read() {
    let mut fixtures = include_str!("tests/version_1.txt").lines().map(|line| {
        let (name, digits) = line.split_once(' ').expect("a name and hexadecimal digits");
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
            .collect();
        (name, bytes)
    });
    let mut next = |name: &str| {
        let (found, bytes) = fixtures.next().expect("a fixture for every example");
        assert_eq!(found, name);
        bytes
    };
    for example in examples() {
        assert_eq!(decoded(&next("event")).expect("version 1 is known"), [example]);
    }
    for example in entry_examples() {
        let key = encode_ledger(&example).key;
        assert_eq!(decode_ledger(&key, &next("entry")).expect("version 1 is known"), example);
    }
    for example in state_examples() {
        let (key, value) = (next("key"), next("state"));
        assert_eq!(decode_state(&key, &value).expect("version 1 is known"), example);
    }
}

/// The bytes that version 2 wrote of an experiment that knows how long rewards took, but not of which variation they were.
#[test]
fn version_2_is_read() {
    let digits = include_str!("tests/version_2.txt").trim_end();
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(digit).collect();
    let StateRecord::Experiment(mut expected) = timed_example() else { unreachable!("an experiment") };
    let delays = expected.epochs[0].delays.take().expect("it knows");
    let (window, latest) = (delays.window(), delays.latest());
    expected.epochs[0].delays = Delays::from_parts(window, latest, delays.all().clone(), []);
    let expected = StateRecord::Experiment(expected);
    let row = encode_state(&expected);
    assert_eq!(decode_state(&row.key, &bytes).expect("version 2 is known"), expected);
    // What version 2 could say is said as it said it.
    assert_eq!(value(&row), bytes);
}
