//! Against the oracle of STATISTICS §14, and what was kept up to date against what is computed at once.

use crate::domain::Features;
use crate::domain::Seed;
use crate::posterior::learner::Learner;
use crate::posterior::linear::*;

fn features(values: &[f32]) -> Features {
    let mut features = Features::new();
    values.iter().enumerate().for_each(|(index, value)| features.push(index, *value));
    features
}

/// An intercept, a number around 0 and one of three states: columns that are collinear but for the prior.
fn visitor(index: u64) -> (Features, f64) {
    let seed = Seed(17).child(index);
    let (number, state) = (seed.child(1).uniform() * 4.0 - 2.0, seed.child(2).0 % 3);
    let state = |which: u64| if which == state { 1.0 } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
    let x = features(&[1.0, number as f32, state(0), state(1), state(2)]);
    (x, if seed.child(3).uniform() < 0.3 { 1.0 } else { 0.0 })
}

fn prior() -> Linear {
    Linear::new(&[1.0; 5], 0.5)
}

fn close(got: &Gaussian, want: &Gaussian, tolerance: f64) {
    let numbers = |belief: &Gaussian| [&belief.mean[..], belief.covariance.packed()].concat();
    for (got, want) in numbers(got).iter().zip(numbers(want)) {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{got} for {want}");
    }
}

#[test]
fn the_oracle() {
    let mut linear = Linear::new(&[1.0, 1.0], 1.0);
    for (x, y) in [(0.0, 1.0), (1.0, 2.0), (2.0, 2.5)] {
        linear.expose(&features(&[1.0, x]));
        linear.reward(&features(&[1.0, x]), y);
    }
    for (got, want) in linear.belief().mean.iter().zip([0.8, 0.766_666_666_666_666_7]) {
        assert!((got - want).abs() < 1e-10 * want, "{got} for {want}");
    }
    let factor = linear.precision().cholesky().expect("positive definite");
    for (got, want) in factor.packed().iter().zip([2.0, 1.5, 1.936_491_673_103_708_5]) {
        assert!((got - want).abs() < 1e-10 * want, "{got} for {want}");
    }
}

#[test]
fn following_each_exposure_is_solving_at_the_end() {
    let mut linear = prior();
    for index in 0..Linear::RENEWAL - 1 {
        let (x, y) = visitor(index);
        linear.expose(&x);
        linear.reward(&x, y);
    }
    let followed = linear.belief().clone();
    linear.renew();
    close(&followed, linear.belief(), 1e-8);
}

#[test]
fn rewards_may_come_late_and_in_any_order() {
    let (mut at_once, mut late) = (prior(), prior());
    for index in 0..500 {
        let (x, y) = visitor(index);
        at_once.expose(&x);
        at_once.reward(&x, y);
        late.expose(&x);
    }
    for index in (0..500).rev() {
        let (x, y) = visitor(index);
        late.reward(&x, y);
    }
    close(late.belief(), at_once.belief(), 1e-10);
}

#[test]
fn merged_is_learned_together_and_taken_back_is_never_given() {
    let (mut one, mut other, mut both) = (prior(), prior(), prior());
    for index in 0..400 {
        let (x, y) = visitor(index);
        for learner in [if index % 3 == 0 { &mut one } else { &mut other }, &mut both] {
            learner.expose(&x);
            learner.reward(&x, y);
        }
    }
    assert!(one.merge(&other));
    close(one.belief(), both.belief(), 1e-10);
    let (x, _) = visitor(7);
    one.reward(&x, 250.0);
    one.reward(&x, -250.0);
    close(one.belief(), both.belief(), 1e-10);
}

#[test]
fn a_state_of_another_size_is_refused_and_changes_nothing() {
    let (mut linear, saved) = (prior(), Linear::new(&[1.0; 4], 1.0).save());
    let error = linear.restore(&saved).expect_err("refused").to_string();
    assert_eq!(error, "the saved state of a learner has 1 counts and 28 numbers, which do not fit 5 features");
    assert_eq!(linear, prior());
}
