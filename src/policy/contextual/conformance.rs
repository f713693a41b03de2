//! One battery for every contextual policy of the registry: what the engine relies on, whatever is learned and however.

mod visitors;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Features;
use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::allocation;
use crate::policy::contextual::*;
use crate::policy::{Builder, Built, REGISTRY, build_any};
use visitors::*;

#[test]
fn shares_are_a_distribution_and_repeat_bit_for_bit() {
    for_each_model(|kind, model, visitors, arms| {
        for index in 0..20 {
            let features = visitors.features(index);
            let shares = model.shares(arms, &features, Seed(index));
            is_distribution(&shares, arms.len(), kind);
            assert_eq!(bits(&shares), bits(&model.shares(arms, &features, Seed(index))), "{kind}");
        }
    });
}

#[test]
fn draws_come_as_often_as_propensities_say() {
    const ROUNDS: u32 = 20_000;
    for_each_model(|kind, model, visitors, arms| {
        let shares = model.shares(arms, &visitors.features(5), Seed(5));
        let mut counts = vec![0.0; arms.len()];
        for index in 0..ROUNDS {
            counts[allocation::draw(&shares, Seed(6).child(index.into()).uniform())] += 1.0;
        }
        for (count, share) in counts.iter().zip(&shares) {
            let expected = share * f64::from(ROUNDS);
            let sd = (expected * (1.0 - share)).sqrt();
            assert!((count - expected).abs() <= 4.0 * sd + 1e-6, "{kind} {visitors:?}: {count} draws of {expected}");
        }
    });
}

#[test]
fn single_choices_come_as_often_as_shares_say() {
    const ROUNDS: u32 = 4_000;
    for_each_model(|kind, model, visitors, arms| {
        let features = visitors.features(5);
        let shares = model.shares(arms, &features, Seed(5));
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
        let mut counts = vec![0.0; arms.len()];
        (0..ROUNDS).for_each(|_| counts[model.choose(arms, &features, &mut rng)] += 1.0);
        for (count, share) in counts.iter().zip(&shares) {
            let (rate, draws) = (count / f64::from(ROUNDS), [f64::from(ROUNDS), f64::from(DRAWS_COUNT)]);
            assert!(agree(rate, *share, draws), "{kind} {visitors:?}: {rate} for {share}");
        }
    });
}

#[test]
fn the_order_of_arms_changes_no_draw() {
    for_each_model(|kind, model, visitors, arms| {
        let mut turned = arms.to_vec();
        turned.rotate_left(arms.len() / 3);
        for index in 0..10 {
            let mut expected = model.shares(arms, &visitors.features(index), Seed(index));
            expected.rotate_left(arms.len() / 3);
            let got = model.shares(&turned, &visitors.features(index), Seed(index));
            // Sums of the same draws: equal but for one rounding each.
            assert!(got.iter().zip(&expected).all(|(got, want)| (got - want).abs() < 1e-12), "{kind}");
        }
    });
}

#[test]
fn the_order_of_attributes_changes_no_belief() {
    for_each_kind(|kind, visitors| {
        let dimensions = u16::try_from(visitors.shape().dimensions).expect("at most 200");
        let turn = |features: &Features| {
            let turned = |index| if index == 0 { 0 } else { dimensions - index };
            let mut entries: Vec<_> =
                features.entries().iter().map(|(index, value)| (turned(*index), *value)).collect();
            entries.sort_unstable_by_key(|(index, _)| *index);
            Features::from_entries(entries).expect("in order")
        };
        let (mut model, mut turned) = (fresh(kind, visitors.shape()), fresh(kind, visitors.shape()));
        for index in 0..200 {
            let (arm, features, earned) = event(visitors, index, 3);
            for (model, features) in [(&mut model, &features), (&mut turned, &turn(&features))] {
                model.expose(arm, features);
                model.reward(arm, features, earned);
            }
        }
        model.settle();
        turned.settle();
        for index in 0..10 {
            let features = visitors.features(index);
            let one = model.shares(&[0, 1, 2], &features, Seed(index));
            let other = turned.shares(&[0, 1, 2], &turn(&features), Seed(index));
            // The same draws of scores that differ by roundings: one draw may find another winner.
            let close = one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1.5 / f64::from(DRAWS_COUNT));
            assert!(close, "{kind} {visitors:?}: {one:?} and {other:?}");
        }
    });
}

#[test]
fn what_is_merged_was_learned_together() {
    for_each_kind(|kind, visitors| {
        let (mut one, mut other, mut both) =
            (fresh(kind, visitors.shape()), fresh(kind, visitors.shape()), fresh(kind, visitors.shape()));
        // The second knows an arm that the first does not.
        learn(&mut *one, visitors, 2, 0..100);
        learn(&mut *other, visitors, 3, 100..250);
        learn(&mut *both, visitors, 2, 0..100);
        learn(&mut *both, visitors, 3, 100..250);
        both.settle();
        let before = one.save(0);
        if one.order_matters() {
            assert!(!one.merge(&*other), "{kind}");
            assert_eq!(one.save(0), before, "{kind}");
            return;
        }
        assert!(one.merge(&*other), "{kind}");
        assert_eq!(one.known(), [0, 1, 2]);
        for index in 0..10 {
            let features = visitors.features(index);
            for arm in 0..3 {
                let (merged, together) = (one.snapshot(), both.snapshot());
                let probe = crate::posterior::Probe::new(&features);
                let (got, want) = (merged.of(arm).score_mean(&probe), together.of(arm).score_mean(&probe));
                assert!((got - want).abs() < 1e-8, "{kind} {visitors:?}: {got} for {want}");
                let (got, want) = (merged.of(arm).score_variance(&probe), together.of(arm).score_variance(&probe));
                assert!((got - want).abs() < 1e-8 * (1.0 + want), "{kind} {visitors:?}: {got} for {want}");
            }
        }
    });
}

#[test]
fn a_model_of_another_kind_is_not_merged() {
    let shape = Visitors::Categorical.shape();
    assert!(!fresh("linear-thompson", shape).merge(&*fresh("logistic-thompson", shape)));
}

#[test]
fn saved_and_reloaded_is_as_if_never_stopped() {
    for_each_kind(|kind, visitors| {
        let mut steady = fresh(kind, visitors.shape());
        learn(&mut *steady, visitors, 3, 0..120);
        steady.settle();
        // In the middle of what is not settled yet.
        learn(&mut *steady, visitors, 3, 120..150);
        let mut stopped = fresh(kind, visitors.shape());
        for arm in steady.known() {
            stopped.restore(arm, &steady.save(arm).expect("known")).expect("fits");
        }
        for model in [&mut steady, &mut stopped] {
            learn(&mut **model, visitors, 3, 150..300);
            model.settle();
        }
        assert_eq!(steady.known(), stopped.known());
        for arm in steady.known() {
            assert_eq!(steady.save(arm), stopped.save(arm), "{kind} {visitors:?}");
        }
        assert_eq!(
            decisions(&*steady, visitors, &[0, 1, 2]),
            decisions(&*stopped, visitors, &[0, 1, 2]),
            "{kind} {visitors:?}"
        );
    });
}

#[test]
fn a_snapshot_stands_still_while_the_model_learns() {
    for_each_kind(|kind, visitors| {
        let mut model = fresh(kind, visitors.shape());
        learn(&mut *model, visitors, 2, 0..100);
        model.settle();
        let snapshot = model.snapshot();
        let shares = |index| snapshot.shares(&[0, 1, 9], &visitors.features(9_000 + index), Seed(index));
        let before: Vec<_> = (0..5).map(|index| bits(&shares(index))).collect();
        assert_eq!(before, decisions(&*model, visitors, &[0, 1, 9]), "{kind}");
        learn(&mut *model, visitors, 2, 100..400);
        model.settle();
        assert_eq!(before, (0..5).map(|index| bits(&shares(index))).collect::<Vec<_>>(), "{kind}");
    });
}

#[test]
fn more_rewards_never_lower_a_share() {
    for_each_kind(|kind, visitors| {
        let mut model = fresh(kind, visitors.shape());
        learn(&mut *model, visitors, 3, 0..200);
        model.settle();
        for index in 0..10 {
            let features = visitors.features(index);
            let before = model.shares(&[0, 1, 2], &features, Seed(index))[1];
            // Enough for cells to be fitted again.
            (0..20).for_each(|_| model.reward(1, &features, 1.0));
            model.settle();
            let after = model.shares(&[0, 1, 2], &features, Seed(index))[1];
            // The same draws around a higher mean; only a fit also changes how wide they are.
            let tolerance = if matches!(visitors, Visitors::Categorical) { 0.02 } else { 1e-9 };
            assert!(after >= before - tolerance, "{kind} {visitors:?}: {before} to {after}");
        }
    });
}

#[test]
fn each_visitor_gets_what_is_best_for_them() {
    for entry in REGISTRY.iter().filter(|entry| matches!(entry.build, Builder::Contextual(_))) {
        for patterns in [Some(2), None] {
            let mut model = fresh(entry.kind, Shape { dimensions: 3, patterns });
            let visitor = |which: u16| Features::from_entries(vec![(0, 1.0), (1 + which, 1.0)]).expect("in order");
            for index in 0..4_000_u64 {
                let (arm, which) = (usize::from(index % 2 == 1), u16::from(index % 4 > 1));
                model.expose(arm, &visitor(which));
                let rate = if arm == usize::from(which) { 0.6 } else { 0.4 };
                if Seed(3).child(index).uniform() < rate {
                    model.reward(arm, &visitor(which), 1.0);
                }
            }
            model.settle();
            for which in [0, 1] {
                let shares = model.shares(&[0, 1], &visitor(which), Seed(1));
                assert!(shares[usize::from(which)] > 0.99, "{} {patterns:?}: {shares:?}", entry.kind);
            }
        }
    }
}

#[test]
fn extreme_inputs_never_give_what_is_no_number() {
    let entries = |values: &[(u16, f32)]| Features::from_entries(values.to_vec()).expect("in order");
    let broad: Vec<(u16, f32)> = (0..200).map(|index| (index, 8.0)).collect();
    let cases = [
        entries(&[(0, 1.0), (1, 8.0), (2, f32::MIN_POSITIVE)]),
        entries(&[(0, 1.0), (1, -8.0), (199, 8.0)]),
        entries(&broad),
        Features::new(),
    ];
    for_each_kind(|kind, _| {
        let mut model = fresh(kind, Shape { dimensions: 200, patterns: None });
        for round in 0..50 {
            for (index, features) in cases.iter().enumerate() {
                let arm = (round + index) % 3;
                model.expose(arm, features);
                let value = [f64::MAX, f64::NAN, f64::NEG_INFINITY, 1.0, f64::INFINITY][round % 5];
                model.reward(arm, features, value);
            }
            model.settle();
            for features in &cases {
                is_distribution(&model.shares(&[0, 1, 2, 3], features, Seed(1)), 4, kind);
            }
        }
        assert!((0..3).filter_map(|arm| model.save(arm)).all(|state| state.numbers.iter().all(|n| n.is_finite())));
    });
    // Cells alone see nothing but patterns.
    let mut cells = fresh("logistic-thompson", Visitors::Categorical.shape());
    for round in 0..200_u64 {
        let features = Visitors::Categorical.features(round);
        cells.reward(
            0,
            &features,
            [f64::MAX, f64::NAN, f64::NEG_INFINITY, 1e9][usize::try_from(round % 4).expect("small")],
        );
        cells.settle();
        is_distribution(&cells.shares(&[0, 1], &features, Seed(round)), 2, "cells");
    }
}

#[test]
fn cells_are_refused_where_they_cannot_be_counted() {
    let parameters = Parameters::new().with("method", Parameter::Text("cells".to_owned()));
    let built = build_any("logistic-thompson", &parameters, &[VariationKey::new("a").expect("a key")]);
    let Ok(Built::Contextual(policy)) = built else { panic!("{built:?}") };
    for patterns in [None, Some(50_001)] {
        let error = policy.model(&Shape { dimensions: 9, patterns }).expect_err("refused").to_string();
        assert!(error.starts_with("policy.method: \"cells\" is not allowed: \"cells\" (categorical"), "{error}");
    }
    assert!(policy.model(&Shape { dimensions: 9, patterns: Some(50_000) }).is_ok());
}

#[test]
fn a_contextual_kind_is_no_segment_policy() {
    let keys = [VariationKey::new("a").expect("a key")];
    let error = crate::policy::build("linear-ucb", &Parameters::new(), &keys).expect_err("refused").to_string();
    assert_eq!(
        error,
        "policy.kind: \"linear-ucb\", which learns from features, is not allowed: thompson, information-directed, top-two, ucb, epsilon-greedy, uniform, fixed"
    );
}
