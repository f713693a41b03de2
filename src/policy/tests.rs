//! What the registry refuses and completes.

use std::collections::BTreeMap;

use crate::domain::VariationKey;
use crate::policy::*;
use crate::posterior::pooling::fit;

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
        "policy.kind \"thomson\" is not known: allowed are thompson, epsilon-greedy, uniform, fixed, linear-thompson, \
         linear-ucb, logistic-thompson"
    );
}

#[test]
fn defaults_are_written_out() {
    let complete = with_defaults("thompson", &Parameters::new(), 2).expect("complete");
    let shown: Vec<String> = complete.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    assert_eq!(shown, ["draws = 1024", "pooling = \"partial\"", "prior = [1, 1]", "sharpening = 1.5"]);
    assert_eq!(with_defaults("thompson", &complete, 2), Ok(complete));
}

#[test]
fn defaults_follow_the_number_of_variations_and_each_other() {
    for (given, variations_count, pooling, sharpening) in [
        (Parameters::new(), 64, "partial", 1.5),
        (Parameters::new(), 65, "none", 1.0),
        (Parameters::new().with("pooling", Parameter::Text("none".to_owned())), 2, "none", 1.0),
        (Parameters::new().with("sharpening", Parameter::Number(3.0)), 2, "partial", 3.0),
    ] {
        let complete = with_defaults("thompson", &given, variations_count).expect("complete");
        assert_eq!(complete.get("pooling"), Some(&Parameter::Text(pooling.to_owned())));
        assert_eq!(complete.get("sharpening"), Some(&Parameter::Number(sharpening)));
    }
}

#[test]
fn partial_pooling_of_too_many_variations_is_refused_with_the_reason() {
    let names: Vec<String> = (0..65).map(|index| format!("v{index:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let given = Parameters::new().with("pooling", Parameter::Text("partial".to_owned()));
    let error = build("thompson", &given, &keys(&names)).expect_err("refused").to_string();
    assert_eq!(
        error,
        "policy.pooling: \"partial\" with 65 variations is not allowed: at most 64, since its cost grows with segments × \
         variations²; \"none\" and \"complete\" take more"
    );
    assert!(build("thompson", &given, &keys(&names[..64])).is_ok());
}

#[test]
fn partial_pooling_borrows_from_the_fit() {
    let given = Parameters::new().with("pooling", Parameter::Text("partial".to_owned()));
    let policy = build("thompson", &given, &keys(&["a", "b"])).expect("allowed");
    let segments = vec![vec![Arm::converting(2_000.0, 100.0), Arm::converting(2_000.0, 160.0)]; 20];
    let nobody = [Arm::default(); 2];
    let alone = Evidence::of(&nobody, Seed(1));
    let fitted = fit(GoalKind::Conversion, &segments);
    let borrowed = policy.allocate(&Evidence { fit: Some(&fitted), ..alone });
    assert!(borrowed[1] > 0.99, "{borrowed:?}");
    // A fit for other arms or other rewards is no fit.
    let stranger = fit(GoalKind::Revenue, &segments);
    let larger = fit(GoalKind::Conversion, &[vec![Arm::default(); 3]]);
    for unfit in [&stranger, &larger] {
        assert_eq!(policy.allocate(&Evidence { fit: Some(unfit), ..alone }), policy.allocate(&alone));
    }
}

#[test]
fn large_samples_of_revenue_have_a_quadrature_and_worths_move_it() {
    let given = Parameters::new().with("pooling", Parameter::Text("none".to_owned()));
    let policy = build("thompson", &given, &keys(&["a", "b"])).expect("allowed");
    let arm = |x: f64| Arm { exposures: 10_000.0, conversions: x, sum: 1_000.0 * x, squares: 1e6 * x };
    let arms = [arm(500.0), arm(530.0)];
    let evidence = Evidence { kind: GoalKind::Revenue, ..Evidence::of(&arms, Seed(1)) };
    let shares = policy.allocate(&evidence);
    assert_eq!(shares, policy.allocate(&Evidence { seed: Seed(2), ..evidence }), "no draws");
    assert!((0.7..0.95).contains(&shares[1]), "{shares:?}");
    let cost = |per_exposure: f64| Worth { per_reward: 1.0, per_exposure };
    let level = policy.allocate(&Evidence { worths: &[cost(0.0), cost(-3.0 * 10_000.0 / 10_020.0)], ..evidence });
    assert!((level[1] - 0.5).abs() < 1e-3, "{level:?}");
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
            Parameter::Text("most".to_owned()),
            "policy.pooling: \"most\" is not allowed: \"none\" (each segment on its own), \"partial\" (segments borrow from each \
             other as far as they agree; up to 64 variations) or \"complete\" (all segments together)",
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
    let given = Parameters::new()
        .with("prior", Parameter::Numbers(vec![1e-6, 1e-6]))
        .with("pooling", Parameter::Text("none".to_owned()));
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
