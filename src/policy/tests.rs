//! What the registry refuses and completes.

use std::collections::BTreeMap;

use crate::domain::VariationKey;
use crate::policy::*;

fn keys(names: &[&str]) -> Vec<VariationKey> {
    names.iter().map(|name| VariationKey::new(name).expect("a key")).collect()
}

fn refusal(kind: &str, name: &str, value: Parameter) -> String {
    build(kind, &Parameters::new().with(name, value), &keys(&["a", "b"])).expect_err("refused").to_string()
}

fn shares(entries: &[(&str, f64)]) -> Parameter {
    Parameter::Shares(entries.iter().map(|(key, share)| ((*key).to_owned(), *share)).collect::<BTreeMap<_, _>>())
}

#[test]
fn kinds_are_unique() {
    for (place, entry) in REGISTRY.iter().enumerate() {
        assert!(REGISTRY[..place].iter().all(|earlier| earlier.kind != entry.kind), "{}", entry.kind);
    }
}

#[test]
fn an_unknown_kind_lists_the_known_ones() {
    let error = registration("thomson").expect_err("refused").to_string();
    assert_eq!(
        error,
        "policy.kind \"thomson\" is not known: allowed are thompson, information-directed, top-two, ucb, epsilon-greedy, uniform, fixed"
    );
}

#[test]
fn defaults_are_written_out() {
    let complete = with_defaults("thompson", &Parameters::new()).expect("complete");
    let shown: Vec<String> = complete.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    assert_eq!(shown, ["draws = 1024", "pooling = \"none\"", "prior = [1, 1]", "sharpening = 1"]);
    assert_eq!(with_defaults("thompson", &complete), Ok(complete));
}

#[test]
fn refusals_name_the_field_what_was_given_and_what_is_allowed() {
    for (kind, name, value, expected) in [
        (
            "uniform",
            "epsilon",
            Parameter::Number(0.1),
            "policy.epsilon is not a parameter of \"uniform\": allowed are none",
        ),
        (
            "thompson",
            "epsilon",
            Parameter::Number(0.1),
            "policy.epsilon is not a parameter of \"thompson\": allowed are pooling, prior, sharpening, draws",
        ),
        (
            "epsilon-greedy",
            "epsilon",
            Parameter::Number(1.5),
            "policy.epsilon: 1.5 is not allowed: a number from 0 to 1",
        ),
        (
            "thompson",
            "sharpening",
            Parameter::Flag(true),
            "policy.sharpening: true is not allowed: a number from 0.1 to 8",
        ),
        (
            "thompson",
            "prior",
            Parameter::Numbers(vec![0.0, 1.0]),
            "policy.prior: [0, 1] is not allowed: [alpha, beta], each a number from 0.000001 to 1000000",
        ),
        (
            "thompson",
            "pooling",
            Parameter::Text("partial".to_owned()),
            "policy.pooling: \"partial\" is not allowed: it comes in a later version; now \"none\" (each segment on its own) \
             or \"complete\" (all segments together)",
        ),
        (
            "fixed",
            "shares",
            shares(&[("a", 0.5), ("b", 0.4)]),
            "policy.shares: a sum of 0.9 is not allowed: a share of at least 0 for every variation by its key, together 1",
        ),
        (
            "fixed",
            "shares",
            shares(&[("a", 1.0)]),
            "policy.shares.b: nothing is not allowed: a share of at least 0 for every variation by its key, together 1",
        ),
    ] {
        assert_eq!(refusal(kind, name, value), expected);
    }
    let missing = build("fixed", &Parameters::new(), &keys(&["a"])).expect_err("refused").to_string();
    assert!(missing.starts_with("policy.shares: nothing is not allowed"), "{missing}");
    let stranger = refusal("fixed", "shares", shares(&[("a", 0.5), ("b", 0.5), ("c", 0.0)]));
    assert!(stranger.starts_with("policy.shares.c: no variation has this key"), "{stranger}");
}

#[test]
fn fixed_shares_are_normalised_in_the_order_of_keys() {
    let given = Parameters::new().with("shares", shares(&[("b", 0.333_333), ("a", 0.666_666_5)]));
    let policy = build("fixed", &given, &keys(&["a", "b"])).expect("allowed");
    let allocated = policy.allocate(&Evidence::of(&[Arm::default(); 2], Seed(0)));
    assert!((allocated.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    assert!(allocated[0] > 0.6 && !policy.learns());
}

#[test]
fn epsilon_greedy_shares_between_ties() {
    let given = Parameters::new().with("epsilon", Parameter::Number(0.3));
    let policy = build("epsilon-greedy", &given, &keys(&["a", "b", "c"])).expect("allowed");
    // Means 1/2, 2/4 and 1/3 under the uniform prior.
    let arms =
        [(0.0, 0.0), (2.0, 1.0), (1.0, 0.0)].map(|(exposures, conversions)| Arm::converting(exposures, conversions));
    let allocated = policy.allocate(&Evidence::of(&arms, Seed(0)));
    for (got, want) in allocated.iter().zip([0.45, 0.45, 0.1]) {
        assert!((got - want).abs() < 1e-12, "{allocated:?}");
    }
}

#[test]
fn thompson_answers_by_draws_where_the_grid_would_be_too_large() {
    let given = Parameters::new().with("prior", Parameter::Numbers(vec![1e-6, 1e-6]));
    let policy = build("thompson", &given, &keys(&["a", "b"])).expect("allowed");
    let arms = [Arm::default(), Arm::converting(1e9, 5e8)];
    let first = policy.allocate(&Evidence::of(&arms, Seed(1)));
    let again = policy.allocate(&Evidence::of(&arms, Seed(1)));
    assert_eq!(
        first.iter().map(|p| p.to_bits()).collect::<Vec<_>>(),
        again.iter().map(|p| p.to_bits()).collect::<Vec<_>>()
    );
    assert!((first[0] - 0.5).abs() < 5.0 * (0.25_f64 / 1024.0).sqrt(), "{first:?}");
}
