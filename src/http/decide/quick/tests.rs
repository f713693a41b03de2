//! What is read quickly is what serde reads, and what most sites send is read quickly.

use proptest::prelude::*;
use serde_json::json;

use crate::http::body::parse;
use crate::http::decide::DecideBody;
use crate::http::decide::quick::{quotation_mark, read};

/// Whether it is read quickly, and then as serde reads it.
fn same(body: &[u8]) -> bool {
    let mut quick = DecideBody::default();
    if read(body, &mut quick).is_none() {
        return false;
    }
    let slow = parse::<DecideBody<'_>>(body);
    let slow = slow.unwrap_or_else(|error| panic!("serde refuses {:?}: {error:?}", String::from_utf8_lossy(body)));
    assert_eq!(quick.spelt_out(), slow, "{:?}", String::from_utf8_lossy(body));
    true
}

fn attribute() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        (0..100_i64).prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        "[a-z é😀]{0,20}".prop_map(|value| json!(value)),
        "\\PC{0,9}".prop_map(|value| json!(value)),
        Just(json!(null)),
    ]
}

/// A field and its value, as JSON.
fn field() -> impl Strategy<Value = (String, String)> {
    let text = |name: &'static str| "[a-z0-9-]{0,12}".prop_map(move |text| (name.to_owned(), json!(text).to_string()));
    let flag = |name: &'static str| any::<bool>().prop_map(move |flag| (name.to_owned(), flag.to_string()));
    // Few names now and then: one that comes twice has its last value.
    let name = prop_oneof!["[ab]", "[a-zA-Z_]{0,9}"];
    let context = proptest::collection::vec((name, attribute()), 0..12).prop_map(|attributes| {
        let members = attributes.iter().map(|(name, value)| format!("{}:{value}", json!(name)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    prop_oneof![
        text("experiment"),
        text("visitor"),
        text("receipt"),
        text("decision_id"),
        text("key"),
        flag("defer"),
        flag("explain"),
        flag("consent"),
        context.prop_map(|context| ("context".to_owned(), context)),
        Just(("exclude".to_owned(), "[\"plain\"]".to_owned())),
        Just(("unknown".to_owned(), "1".to_owned())),
    ]
}

/// An object of fields, some of them perhaps twice.
fn request() -> impl Strategy<Value = String> {
    (proptest::collection::vec(field(), 0..6), any::<bool>()).prop_map(|(fields, spaced)| {
        let (colon, comma) = if spaced { (": ", ", ") } else { (":", ",") };
        let members: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}{colon}{value}", json!(name))).collect();
        format!("{{{}}}", members.join(comma))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_read_quickly_is_what_serde_reads(
        requests in proptest::collection::vec(request(), 1..4),
        batch: bool,
        again: prop::sample::Index,
        beside in prop::sample::select(&["", ",\"experiment\":\"hero\"", ",\"context\":{\"a\":1}", ",\"context\":{}"][..]),
        at: prop::sample::Index,
        byte in prop::sample::select(&b"{}[]\",: 0-1.e\\tfn\nx"[..]),
    ) {
        let body = if batch {
            // Some of them again, so that contexts come that are as the last one.
            let again = requests.iter().chain(&requests[..again.index(requests.len())]).cloned().collect::<Vec<_>>();
            format!("{{\"requests\":[{}]{}}}", again.join(","), beside)
        } else {
            requests[0].clone()
        };
        same(body.as_bytes());
        let mut damaged = body.into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        same(&damaged);
        damaged.insert(at, byte);
        same(&damaged);
        same(&damaged[..at]);
    }

    #[test]
    fn a_quotation_mark_is_found_where_it_is(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), any::<u8>()], 0..40)) {
        prop_assert_eq!(quotation_mark(&bytes), bytes.iter().position(|byte| *byte == b'"'));
    }
}

#[test]
fn what_most_sites_send_is_read_quickly_and_the_rest_is_left_to_serde() {
    let context = json!({"device": "mobile", "visits": 3, "returning": true, "basket": 49.5, "temperature": -7, "city": "Orléans"});
    let one = json!({"experiment": "hero", "visitor": "v-8f2c", "context": context, "defer": false, "consent": true, "key": "k"});
    for body in [
        one.to_string(),
        json!({"requests": [one.clone(), one.clone()]}).to_string(),
        json!({"context": context, "requests": [{"visitor": "a"}, one, {"context": {"a": 1}}, {"context": {"a": 1}}]})
            .to_string(),
        r#" { "experiment" : "hero" , "context" : { } , "receipt" : "abc" } "#.to_owned(),
        "{}".to_owned(),
    ] {
        assert!(same(body.as_bytes()), "{body}");
    }
    for body in [
        r#"{"experiment":"he\u0072o"}"#,
        "{\n\"experiment\":\"hero\"}",
        r#"{"visitor":null}"#,
        r#"{"visitor":"a","visitor":"b"}"#,
        r#"{"context":{"a":01}}"#,
        r#"{"context":{"a":-0}}"#,
        r#"{"context":{"a":1234567890123456789}}"#,
        r#"{"context":{"":1}}"#,
        r#"{"context":{"a":}}"#,
        r#"{"context":{"a":-}}"#,
        r#"{"context":{"a":1e999}}"#,
        r#"{"context":{"a":null}}"#,
        r#"{"requests":[]}"#,
        r#"{"requests":[{"requests":[{}]}]}"#,
        r#"{"experiments":"all"}"#,
        r#"{"experiment":"hero"}x"#,
        r#"{"experiment":"hero",}"#,
        r#"{"experiment":hero}"#,
        "",
    ] {
        assert!(!same(body.as_bytes()), "{body}");
    }
    assert!(!same(b"{\"visitor\":\"\xff\"}"));
    let long = |length: usize| json!({"context": {"a": "x".repeat(length)}}).to_string();
    assert_eq!((same(long(4_096).as_bytes()), same(long(4_097).as_bytes())), (true, false));
    let named = |length: usize| json!({"context": {"x".repeat(length): 1}}).to_string();
    assert_eq!((same(named(64).as_bytes()), same(named(65).as_bytes())), (true, false));
    let many = |count: usize| {
        let attributes: serde_json::Map<_, _> = (0..count).map(|at| (format!("a{at}"), json!(at))).collect();
        json!({"context": attributes}).to_string()
    };
    assert_eq!((same(many(64).as_bytes()), same(many(65).as_bytes())), (true, false));
}
