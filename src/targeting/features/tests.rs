//! What contexts become, and which schemas are refused.

use proptest::prelude::*;

use crate::domain::context::Value;
use crate::domain::{AttributeName, Context, Features};
use crate::targeting::features::*;

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).expect("a name")
}

fn attribute(text: &str, encoding: Encoding) -> Attribute {
    Attribute { name: name(text), encoding }
}

fn levels(texts: &[&str]) -> Encoding {
    Encoding::Levels(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Columns: 0 intercept; 1 to 4 device; 5 to 7 returning; 8, 9 visits; 10 to 13 basket; 14 to 25 device × returning.
fn schema() -> Schema {
    let attributes = vec![
        attribute("device", levels(&["mobile", "desktop"])),
        attribute("returning", Encoding::Boolean),
        attribute("visits", Encoding::Standardised { mean: 3.0, sd: 2.0 }),
        attribute("basket", Encoding::Bins(vec![0.0, 50.0])),
    ];
    Schema::new(attributes, &[(name("device"), name("returning"))]).expect("allowed")
}

fn encoded(context: &Context<'_>) -> Vec<(u16, f32)> {
    let mut features = Features::new();
    schema().encode(context, &mut features);
    features.entries().to_vec()
}

#[test]
fn every_state_has_its_column_and_missing_is_a_state() {
    assert_eq!((schema().dimensions(), schema().entries_max()), (26, 6));
    for (context, expected) in [
        (Context::new(), vec![(0, 1.0), (4, 1.0), (7, 1.0), (9, 1.0), (13, 1.0), (14 + 3 * 3 + 2, 1.0)]),
        (
            Context::from([
                ("device", "desktop".into()),
                ("returning", Value::Bool(true)),
                ("visits", Value::Int(4)),
                ("basket", Value::Float(49.9)),
            ]),
            vec![(0, 1.0), (2, 1.0), (5, 1.0), (8, 0.5), (11, 1.0), (14 + 3, 1.0)],
        ),
        (
            // The mean itself is 0, which is left out; a threshold belongs to the interval that it opens.
            Context::from([
                ("device", "tv".into()),
                ("returning", Value::Bool(false)),
                ("visits", Value::Float(3.0)),
                ("basket", Value::Int(50)),
            ]),
            vec![(0, 1.0), (3, 1.0), (6, 1.0), (12, 1.0), (14 + 2 * 3 + 1, 1.0)],
        ),
        (
            // What cannot be read is missing, and a broken number is bounded.
            Context::from([
                ("device", Value::Int(3)),
                ("returning", "yes".into()),
                ("visits", Value::Float(f64::MAX)),
                ("basket", Value::Float(f64::NAN)),
            ]),
            vec![(0, 1.0), (3, 1.0), (7, 1.0), (8, 8.0), (13, 1.0), (14 + 2 * 3 + 2, 1.0)],
        ),
    ] {
        assert_eq!(encoded(&context), expected, "{context:?}");
    }
}

#[test]
fn numbers_and_truth_values_are_levels_as_they_are_written() {
    let schema = Schema::new(vec![attribute("plan", levels(&["1", "2.5", "true"]))], &[]).expect("allowed");
    for (value, column) in
        [(Value::Int(1), 1), (Value::Float(1.0), 1), (Value::Float(2.5), 2), (Value::Bool(true), 3), ("2".into(), 4)]
    {
        let mut features = Features::new();
        schema.encode(&Context::from([("plan", value.clone())]), &mut features);
        assert_eq!(features.entries()[1].0, column, "{value:?}");
    }
}

#[test]
fn patterns_are_counted_where_all_is_categorical() {
    assert_eq!(schema().patterns(), None);
    let categorical = vec![attribute("device", levels(&["mobile"])), attribute("visits", Encoding::Bins(vec![1.0]))];
    assert_eq!(Schema::new(categorical, &[]).expect("allowed").patterns(), Some(9));
    let many: Vec<_> = (0..60).map(|index| attribute(&format!("a{index}"), Encoding::Boolean)).collect();
    assert_eq!(Schema::new(many, &[]).expect("allowed").patterns(), Some(u64::MAX), "3^60 does not fit");
}

#[test]
fn refusals_name_the_field_what_was_given_and_what_is_allowed() {
    let number = |mean, sd| vec![attribute("n", Encoding::Standardised { mean, sd })];
    let bins = |thresholds: &[f64]| vec![attribute("n", Encoding::Bins(thresholds.to_vec()))];
    let texts = |count: usize| Encoding::Levels((0..count).map(|index| index.to_string()).collect());
    let booleans = |count: usize| -> Vec<_> {
        (0..count).map(|index| attribute(&format!("b{index}"), Encoding::Boolean)).collect()
    };
    for (attributes, interactions, expected) in [
        (vec![], vec![], "attributes: nothing is not allowed: at least one"),
        (vec![attribute("a", levels(&[]))], vec![], "attributes[0].levels: 0 texts is not allowed: 1 to 64"),
        (vec![attribute("a", texts(65))], vec![], "attributes[0].levels: 65 texts"),
        (vec![attribute("a", levels(&["x", "x"]))], vec![], "attributes[0].levels: \"x\" twice"),
        (number(f64::NAN, 1.0), vec![], "attributes[0].mean: NaN"),
        (number(0.0, 0.0), vec![], "attributes[0].sd: 0 is not allowed: a finite number above 0"),
        (number(0.0, f64::INFINITY), vec![], "attributes[0].sd: inf"),
        (bins(&[]), vec![], "attributes[0].bins: []"),
        (bins(&[2.0, 1.0]), vec![], "attributes[0].bins: [2.0, 1.0]"),
        (bins(&[1.0, f64::NAN]), vec![], "attributes[0].bins: [1.0, NaN]"),
        ([booleans(1), booleans(1)].concat(), vec![], "attributes[1].name: b0 is not allowed: each attribute once"),
        (booleans(67), vec![], "attributes: 202 columns is not allowed: at most 200"),
        (booleans(2), vec![("b0", "b0")], "interactions[0]: b0 is not allowed: two different"),
        (booleans(2), vec![("b0", "b1"), ("b1", "b0")], "interactions[1]: b0 is not allowed: two different"),
        (booleans(1), vec![("b0", "stranger")], "interactions[0]: stranger is not allowed: names of attributes that"),
        (
            [booleans(1), number(0.0, 1.0)].concat(),
            vec![("b0", "n")],
            "interactions[0]: n is not allowed: names of attributes that",
        ),
    ] {
        let interactions: Vec<_> = interactions.iter().map(|(one, other)| (name(one), name(other))).collect();
        let error = Schema::new(attributes, &interactions).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_decision_never_has_more_entries_than_a_receipt_takes() {
    let numbers = |count: usize| -> Vec<_> {
        let standardised = Encoding::Standardised { mean: 0.0, sd: 1.0 };
        (0..count).map(|index| attribute(&format!("n{index}"), standardised.clone())).collect()
    };
    assert_eq!(Schema::new(numbers(95), &[]).expect("allowed").entries_max(), 96);
    let error = Schema::new(numbers(96), &[]).expect_err("refused").to_string();
    assert!(error.starts_with("attributes: 97 features at once is not allowed: at most 96"), "{error}");
}

fn any_value() -> impl Strategy<Value = Option<Value<'static>>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|value| Some(Value::Bool(value))),
        any::<i64>().prop_map(|value| Some(Value::Int(value))),
        any::<f64>().prop_map(|value| Some(Value::Float(value))),
        "mobile|desktop|.{0,5}".prop_map(|text| Some(Value::Text(text.into()))),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_is_encoded_within_bounds_and_reads_back(values in prop::collection::vec(any_value(), 4)) {
        let mut context = Context::new();
        for (name, value) in ["device", "returning", "visits", "basket"].into_iter().zip(values) {
            prop_assert!(value.is_none_or(|value| context.insert(name.into(), value)));
        }
        let mut features = Features::new();
        schema().encode(&context, &mut features);
        prop_assert_eq!(features.entries()[0], (0, 1.0));
        prop_assert!(features.entries().len() <= schema().entries_max());
        prop_assert!(features.iter().all(|(index, value)| index < schema().dimensions() && value.abs() <= 8.0));
        prop_assert_eq!(Features::from_entries(features.entries().to_vec()), Some(features));
    }
}
