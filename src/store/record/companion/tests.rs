//! Companions read back, without those of one visitor as if it had never been.

use crate::store::MAX_VALUE_BYTES;
use crate::store::record::companion::*;
use proptest::prelude::*;

fn context() -> impl Strategy<Value = Context<'static>> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9_f64).prop_map(Value::Float),
        "\\PC{0,300}".prop_map(|text| Value::Text(text.into())),
    ];
    // Few lists of names, now and then no more than one value or the same names and some other values: what a row says once.
    let name = prop_oneof![3 => "[ab]", 1 => "[a-z]{1,9}"];
    let attributes = prop_oneof![
        proptest::collection::vec((name, value), 0..20),
        (0..3_i64).prop_map(|visits| vec![("visits".to_owned(), Value::Int(visits / 2))]),
        proptest::collection::vec(0..3_i64, 12).prop_map(|values| {
            let name = |at| format!("attribute-{at}");
            values.into_iter().enumerate().map(|(at, value)| (name(at), Value::Int(value))).collect()
        }),
    ];
    attributes.prop_map(|attributes| {
        let mut context = Context::new();
        for (name, value) in attributes {
            assert!(context.insert(name.into(), value), "there is room for twenty");
        }
        context
    })
}

fn read(rows: &[Row]) -> Vec<Companion> {
    let read = |row: &Row| decode_companions(&row.key, row.value.as_deref().expect("a value"));
    rows.iter().flat_map(|row| read(row).expect("what was written is read")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn companions_read_back_and_go_one_by_one(
        visitors in proptest::collection::vec((0..5_u128, context()), 0..40),
        block: u64,
        gone in 0..5_u128,
        damage: prop::sample::Index,
    ) {
        let encoded: Vec<_> = (0..)
            .zip(&visitors)
            .map(|(index, (visitor, context))| (index, of_context(*visitor, &visitor.to_string(), encode_context(context))))
            .collect();
        let mut rows = Vec::new();
        let borrowed: Vec<_> = encoded.iter().map(|(index, companion)| (*index, companion.about())).collect();
        companion_rows(block, &borrowed, &mut rows);
        prop_assert!(rows.iter().all(|row| row.value.as_ref().is_some_and(|value| value.len() <= MAX_VALUE_BYTES)));
        let all = read(&rows);
        prop_assert_eq!(all.len(), visitors.len());
        for ((found, index), (visitor, context)) in all.iter().zip(0..).zip(&visitors) {
            let wanted = Companion {
                block,
                index,
                token: VisitorToken(*visitor),
                visitor: visitor.to_string(),
                // A long context is left out, and says so.
                context: found.context.as_ref().map(|_| context.clone()),
            };
            prop_assert_eq!(found, &wanted);
            let length: usize = context.iter().map(|(name, value)| name.len() + format!("{value:?}").len()).sum();
            prop_assert!(found.context.is_some() || length > 2_000, "{:?}", context);
        }
        let mut left = Vec::new();
        let mut count = 0;
        for row in &rows {
            let value = row.value.as_deref().expect("a value");
            match without_visitors(&row.key, value, |token, _| token.0 == gone).expect("readable") {
                None => left.push(row.clone()),
                Some((row, some)) => {
                    count += some;
                    prop_assert!(row.value.as_ref().is_none_or(|left| left.len() <= value.len()));
                    left.extend(Some(row).filter(|row| row.value.is_some()));
                }
            }
        }
        prop_assert_eq!(count, visitors.iter().filter(|(visitor, _)| *visitor == gone).count());
        let kept: Vec<Companion> = all.into_iter().filter(|companion| companion.token.0 != gone).collect();
        prop_assert_eq!(read(&left), kept);
        for row in &rows {
            let mut value = row.value.clone().expect("a value");
            let at = damage.index(value.len());
            value[at] ^= 0x80;
            // An error or a value, and no panic.
            drop(decode_companions(&row.key, &value));
            drop(without_visitors(&row.key, &value[..at], |_, _| true));
            if let Ok(Some((Row { value: Some(left), .. }, _))) = without_visitors(&row.key, &value, |token, _| token.0 == gone) {
                prop_assert!(left.len() <= value.len());
            }
        }
    }
}

fn of_context(token: u128, visitor: &str, context: EncodedContext) -> EncodedCompanion {
    EncodedCompanion { token: VisitorToken(token), visitor: VisitorId::known(visitor), context }
}

fn of(visitor: u128, attributes: &[(&'static str, Value<'static>)]) -> EncodedCompanion {
    let mut context = Context::new();
    for (name, value) in attributes {
        assert!(context.insert((*name).into(), value.clone()), "there is room");
    }
    of_context(visitor, &format!("v-{visitor}"), encode_context(&context))
}

fn row_of(companions: &[EncodedCompanion]) -> Row {
    let companions: Vec<_> = (0..).zip(companions.iter().map(EncodedCompanion::about)).collect();
    let mut rows = Vec::new();
    companion_rows(7, &companions, &mut rows);
    assert_eq!(rows.len(), 1, "one is enough");
    rows.remove(0)
}

#[test]
fn names_are_said_once_in_a_row_and_what_is_as_before_is_not_said_again() {
    let at = |visitor, device: &'static str| {
        of(visitor, &[("device", Value::Text(device.into())), ("returning_customer", Value::Bool(true))])
    };
    let other = || of(3, &[("country", Value::Text("FR".into()))]);
    let length = |companions: &[EncodedCompanion]| row_of(companions).value.expect("a value").len();
    let one = length(&[at(1, "mobile")]);
    let names = "device".len() + "returning_customer".len();
    let two = length(&[at(1, "mobile"), at(2, "tablet")]);
    assert!(two - one < one - names, "{one} bytes, {two} with a second");
    assert_eq!(length(&[at(1, "mobile"), at(1, "mobile")]), one + 2);
    // Another list of names in between is no reason to say the first again.
    let four = [at(1, "mobile"), other(), at(2, "tablet"), other()];
    let read = read(&[row_of(&four)]);
    let names: Vec<Vec<&str>> = read
        .iter()
        .map(|companion| companion.context.as_ref().expect("short").iter().map(|(name, _)| name).collect())
        .collect();
    assert_eq!(
        names,
        [vec!["device", "returning_customer"], vec!["country"], vec!["device", "returning_customer"], vec!["country"]]
    );
    assert_eq!(read[2].visitor, "v-2");
}

#[test]
fn of_values_a_row_says_those_that_changed_since_their_names_came_last() {
    let page = |visitor: u128, path: &'static str| {
        let device = Value::Text("a rather long description of a device".into());
        of(visitor, &[("device", device), ("page", Value::Text(path.into())), ("visits", Value::Int(3))])
    };
    let length = |companions: &[EncodedCompanion]| row_of(companions).value.expect("a value").len();
    let one = length(&[page(1, "/shoes")]);
    // Index, list, a length, whom, the bits, a length and the text that changed.
    let whom = 16 + 1 + "v-2".len() + 1;
    let two = one + 3 + whom + 1 + 2 + "/hats".len();
    assert_eq!(length(&[page(1, "/shoes"), page(2, "/hats")]), two);
    assert_eq!(length(&[page(1, "/shoes"), page(2, "/hats"), page(3, "/hats")]), two + 3 + whom + 1);
    // Whoever brought the value that others have not changed goes, and they keep it.
    let row = row_of(&[page(1, "/shoes"), page(2, "/hats"), page(3, "/hats"), page(1, "/hats"), page(4, "/shoes")]);
    let all = read(std::slice::from_ref(&row));
    for gone in 1..=4 {
        let value = row.value.as_deref().expect("a value");
        let (left, _) = without_visitors(&row.key, value, |token, _| token.0 == gone).expect("readable").expect("goes");
        assert!(left.value.as_ref().is_some_and(|left| left.len() < value.len()));
        let kept: Vec<Companion> = all.iter().filter(|companion| companion.token.0 != gone).cloned().collect();
        assert_eq!(read(&[left]), kept);
    }
}

#[test]
fn who_brought_a_list_of_names_goes_and_the_list_stays_for_whoever_else_has_it() {
    let visits = |visitor, count| of(visitor, &[("visits", Value::Int(count))]);
    let alone = of(1, &[("known_to_one", Value::Bool(true))]);
    let row = row_of(&[visits(1, 3), visits(2, 3), visits(2, 3), alone, visits(1, 3), visits(3, 3)]);
    let all = read(std::slice::from_ref(&row));
    let value = row.value.expect("a value");
    let (left, gone) =
        without_visitors(&row.key, &value, |token, _| token.0 == 1).expect("readable").expect("three go");
    assert_eq!(gone, 3);
    let left = left.value.expect("some stay");
    assert!(!left.windows(12).any(|bytes| bytes == b"known_to_one"), "nobody else has it");
    let kept: Vec<Companion> = all.into_iter().filter(|companion| companion.token.0 != 1).collect();
    assert_eq!(decode_companions(&row.key, &left).expect("readable"), kept);
    assert_eq!(kept.iter().map(|companion| companion.index).collect::<Vec<_>>(), [1, 2, 5]);
}

#[test]
fn many_decisions_at_once_for_one_visitor_take_one_row() {
    let text = Value::Text("x".repeat(3_600).into());
    let same: Vec<EncodedCompanion> = (0..10).map(|_| of(1, &[("page", text.clone())])).collect();
    assert_eq!(read(&[row_of(&same)]).len(), 10);
}

#[test]
fn a_row_of_version_6_is_read() {
    // Index 4, the first list, which follows: two names. Then whom, and that a context is kept, and the values: a whole number and
    // what is true.
    let whom = [&[0; 15][..], &[9, 3], b"v-9", &[1]].concat();
    let length = u8::try_from(whom.len()).expect("short");
    let names = [&[2, 6][..], b"visits", &[3], b"new"].concat();
    let mut value = vec![6, 4, 1, u8::try_from(names.len()).expect("short")];
    value.extend([&names[..], &[length], &whom, &[1, 6, 0, 1]].concat());
    // The same at 5. At 6 the same list, the second of whose values is false.
    value.extend([&[5, 0, 6, 1, length][..], &whom, &[0b10, 0, 0]].concat());
    let read = decode_companions(&companion_key(7), &value).expect("readable");
    assert_eq!(read.iter().map(|companion| companion.index).collect::<Vec<_>>(), [4, 5, 6]);
    for (companion, new) in read.into_iter().zip([true, true, false]) {
        assert_eq!((companion.visitor.as_str(), companion.block), ("v-9", 7));
        let context = companion.context.expect("kept");
        assert_eq!(context.get("visits"), Some(&Value::Int(3)));
        assert_eq!(context.get("new"), Some(&Value::Bool(new)));
    }
    for cut in 1..value.len() {
        let whole = decode_companions(&companion_key(7), &value[..cut]);
        assert!(whole.is_err() || whole.is_ok_and(|read| read.len() < 3), "{cut} bytes");
    }
}

#[test]
fn a_row_of_version_5_is_read_and_rewritten_as_it_was() {
    // Index 4, the first list, which follows: one name. Then the rest: whom, that a context is kept, one whole number.
    let mut value = vec![5, 4, 1, 8, 1, 6];
    value.extend(b"visits");
    let rest = [&[0; 15][..], &[9, 3], b"v-9", &[1, 1, 6]].concat();
    value.push(u8::try_from(rest.len()).expect("short"));
    value.extend(rest);
    // The same at 5.
    value.extend([5, 0]);
    // Another visitor's at 6, with the same names.
    let other = [&[0; 15][..], &[8, 3], b"v-8", &[1, 1, 6]].concat();
    value.extend([&[6, 1, u8::try_from(other.len()).expect("short")][..], &other].concat());
    let key = companion_key(7);
    let read = decode_companions(&key, &value).expect("readable");
    assert_eq!(read.iter().map(|companion| companion.index).collect::<Vec<_>>(), [4, 5, 6]);
    for (companion, visitor) in read.iter().zip(["v-9", "v-9", "v-8"]) {
        assert_eq!((companion.visitor.as_str(), companion.block), (visitor, 7));
        assert_eq!(companion.context.as_ref().expect("kept").get("visits"), Some(&Value::Int(3)));
    }
    for (gone, left) in [("v-9", &read[2..]), ("v-8", &read[..2])] {
        let (row, _) = without_visitors(&key, &value, |_, visitor| visitor == gone).expect("readable").expect("goes");
        let kept = row.value.expect("some stay");
        assert_eq!(kept[0], 5);
        assert_eq!(decode_companions(&key, &kept).expect("readable"), left);
    }
}

/// A row of version 4: entries are an index, a length, and what stands for the visitor, its id, a mark, and names and values in turn.
fn former_row() -> Vec<u8> {
    let companion = |visitor: u8| {
        let mut bytes = vec![0; 15];
        bytes.extend([visitor, 3, b'v', b'-', b'0' + visitor, 1, 2]);
        bytes.extend([&[6][..], b"device", &[3, 6], b"mobile"].concat());
        bytes.extend([&[6][..], b"visits", &[1, 6]].concat());
        bytes
    };
    let mut row = vec![4];
    for visitor in [1, 2, 1] {
        let companion = companion(visitor);
        row.extend([visitor, u8::try_from(companion.len()).expect("short")]);
        row.extend(companion);
    }
    row
}

#[test]
fn a_row_of_version_4_is_read_and_rewritten_as_it_was() {
    let (key, value) = (companion_key(7), former_row());
    let read = decode_companions(&key, &value).expect("readable");
    assert_eq!(read.iter().map(|companion| companion.index).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!((read[0].visitor.as_str(), read[1].visitor.as_str()), ("v-1", "v-2"));
    let context = read[0].context.as_ref().expect("kept");
    assert_eq!(context.get("device"), Some(&Value::Text("mobile".into())));
    assert_eq!(context.get("visits"), Some(&Value::Int(3)));
    let (left, gone) =
        without_visitors(&key, &value, |_, visitor| visitor == "v-1").expect("readable").expect("two go");
    assert_eq!(gone, 2);
    let left = left.value.expect("one stays");
    assert_eq!(left[0], 4);
    assert_eq!(decode_companions(&key, &left).expect("readable"), read[1..2]);
}

#[test]
fn a_row_of_another_version_and_one_that_begins_with_nothing_before_are_refused() {
    for (value, flaw) in
        [(&[7_u8, 0, 0][..], "version is 7"), (&[6, 0, 0], "the one before"), (&[6, 0, 2], "list 2"), (&[], "empty")]
    {
        let error = decode_companions(&companion_key(7), value).expect_err("it is none").to_string();
        assert!(error.contains(flaw), "{error}");
        assert!(without_visitors(&companion_key(7), value, |_, _| true).is_err());
    }
    // The same list of names twice.
    let whom = [&[0; 15][..], &[9, 3], b"v-9", &[1]].concat();
    let entry = |number: u8| [&[number, number, 3, 1, 1, b'a', 21][..], &whom, &[1, 6]].concat();
    let twice = [&[6][..], &entry(1), &entry(2)].concat();
    let error = decode_companions(&companion_key(7), &twice).expect_err("it is none").to_string();
    assert!(error.contains("list 2 of names is one that came before"), "{error}");
    let long = vec![5; MAX_VALUE_BYTES + 1];
    assert!(decode_companions(&companion_key(7), &long).is_err_and(|error| error.to_string().contains("7001 bytes")));
}
