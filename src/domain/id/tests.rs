//! Ids refuse by name and keep the order of time.

use proptest::prelude::*;

use crate::domain::Timestamp;
use crate::domain::id::*;

#[test]
fn a_key_names_what_is_allowed() {
    for bad in ["", "a b", "é", &"x".repeat(65), "a/b"] {
        let error = ExperimentKey::new(bad).expect_err("refused");
        assert_eq!(error.what, "experiment key");
        assert!(error.to_string().contains("1 to 64 characters"), "{error}");
    }
    assert_eq!(VariationKey::new("v-1.2_b").expect("allowed").as_str(), "v-1.2_b");
}

#[test]
fn an_attribute_name_is_a_cel_identifier() {
    assert!(AttributeName::new("visits_7d").is_ok());
    assert!(AttributeName::new("7days").is_err());
    assert!(AttributeName::new("a-b").is_err());
}

#[test]
fn decision_ids_sort_by_time_whatever_their_tail() {
    let early = DecisionId::new(Timestamp::from_millis(1_000), u128::MAX);
    let late = DecisionId::new(Timestamp::from_millis(1_001), 0);
    assert!(early < late);
    assert!(early.to_string() < late.to_string());
    assert_eq!(DecisionId::from_bytes(early.to_bytes()), early);
    assert!(DecisionId::first_at(Timestamp::from_millis(1_001)) <= late);
}

proptest! {
    #[test]
    fn a_decision_id_is_written_as_the_number_that_it_is(id: u128) {
        prop_assert_eq!(DecisionId(id).to_string(), format!("{id:032x}"));
        prop_assert_eq!(DecisionId(id).digits().flatten().collect::<Vec<_>>(), format!("{id:032x}").into_bytes());
    }
}
