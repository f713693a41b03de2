//! What is fuzzed: everything that reads what strangers or a damaged disk can hand in. Each takes any bytes and must come
//! back; what it reads, it must write as it was.

#![allow(dead_code, reason = "each fuzz target uses one of them, tests/fuzz.rs all")]

use mabel::domain::{Context, VisitorToken};
use mabel::engine::Engine;
use mabel::engine::receipt::record_reads_back;
use mabel::engine::secret::Secret;
use mabel::http::body_is_read;
use mabel::store::record;
use mabel::store::record::page;
use mabel::targeting::Condition;

/// A name and the function.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: [Target; 4] =
    [("receipts", receipts), ("records", records), ("conditions", conditions), ("bodies", bodies)];

/// A text that may be a receipt, and what a receipt holds once it is decrypted.
pub(crate) fn receipts(bytes: &[u8]) {
    thread_local! {
        static ENGINE: Engine = Engine::new(Secret::new([7; 32]), 1);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        ENGINE.with(|engine| drop(engine.read_receipt(text)));
    }
    let _ = record_reads_back(bytes);
}

/// Stored bytes: by their first byte, events of a block, a page of the ledger, and a ledger row, a checkpoint row or a row of companions
/// of earlier and present builds (whose key is as long as the second byte says).
pub(crate) fn records(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let keyed = || rest.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
    match kind % 5 {
        0 => {
            for event in record::decode_events(rest).filter_map(Result::ok) {
                let mut written = Vec::new();
                record::encode_event(&event, &mut record::Before::default(), &mut written);
                let again =
                    record::decode_events(&written).next().expect("one event").expect("what was written is read");
                // Compared as bytes: a float that is no number is not equal to itself.
                let mut twice = Vec::new();
                record::encode_event(&again, &mut record::Before::default(), &mut twice);
                assert_eq!(written, twice);
            }
        }
        1 => {
            let Ok(facts) = page::decode_page(rest) else { return };
            let entries = facts.iter().filter_map(|(key, record)| page::decode_fact(key, record).ok());
            entries.for_each(|entry| {
                let (key, record) = (page::fact_key(&entry), page::encode_fact(&entry));
                assert_eq!(page::decode_fact(&key, &record).expect("what was written is read"), entry);
            });
            let owned: Vec<_> = facts.iter().map(|(key, record)| (*key, record.to_vec())).collect();
            assert_eq!(page::encode_page(owned.iter().map(|(key, record)| (key, &record[..]))), rest);
        }
        2 => {
            if let Some((key, value)) = keyed()
                && let Ok(entry) = record::decode_ledger(key, value)
            {
                let row = record::encode_ledger(&entry);
                assert_eq!(record::decode_ledger(&row.key, &row.value.expect("a row")).expect("reads back"), entry);
            }
        }
        3 => {
            if let Some((key, value)) = keyed()
                && let Ok(state) = record::decode_state(key, value)
            {
                let row = record::encode_state(&state);
                let value = row.value.expect("a row");
                let again = record::decode_state(&row.key, &value).expect("what was written is read");
                assert_eq!(record::encode_state(&again).value.expect("a row"), value);
            }
        }
        _ => {
            if let Some((key, value)) = keyed()
                && let Ok(companions) = record::decode_companions(key, value)
            {
                let is_theirs = |token: VisitorToken, _: &str| token.to_bytes()[15] % 2 == 1;
                let left = record::without_visitors(key, value, is_theirs).expect("it was read");
                let Some((row, gone)) = left else { return };
                let left = row.value.unwrap_or_default();
                assert!(left.len() <= value.len());
                let kept = companions.iter().filter(|companion| !is_theirs(companion.token, &companion.visitor));
                let kept: Vec<_> = kept.map(|companion| (companion.index, companion.token)).collect();
                assert_eq!(kept.len() + gone, companions.len());
                let read =
                    if left.is_empty() { Vec::new() } else { record::decode_companions(key, &left).expect("reads") };
                assert_eq!(read.iter().map(|companion| (companion.index, companion.token)).collect::<Vec<_>>(), kept);
            }
        }
    }
}

/// A condition in CEL, compiled and asked about visitors of every kind.
pub(crate) fn conditions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(condition) = Condition::compile(text) else { return };
    let full = Context::from([
        ("country", "FR".into()),
        ("visits", mabel::domain::Value::Int(i64::MIN)),
        ("basket", mabel::domain::Value::Float(f64::NAN)),
        ("member", mabel::domain::Value::Bool(true)),
    ]);
    for context in [Context::new(), full] {
        let verdict = condition.evaluate(&context);
        assert_eq!(verdict, condition.evaluate(&context), "a condition says the same twice");
    }
    assert_eq!(condition.source(), text);
    condition.names().for_each(drop);
}

/// A body of any endpoint that takes one: the first byte says which.
pub(crate) fn bodies(bytes: &[u8]) {
    if let Some((endpoint, body)) = bytes.split_first() {
        let _ = body_is_read(*endpoint, body);
    }
}
