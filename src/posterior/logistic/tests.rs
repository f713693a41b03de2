//! Against the oracle of STATISTICS §14, and the filter against its own formula.

use crate::domain::Features;
use crate::domain::Seed;
use crate::posterior::learner::Learner;
use crate::posterior::logistic::*;
use crate::posterior::{Entries, Probe};

fn features(entries: &[(u16, f32)]) -> Features {
    Features::from_entries(entries.to_vec()).expect("in order")
}

/// An intercept and two attributes of three and two states.
fn visitor(index: u64) -> (Features, bool) {
    let seed = Seed(23).child(index);
    let (one, two) = ((seed.child(1).0 % 3) as u16, (seed.child(2).0 % 2) as u16);
    let rate = 0.1 + 0.1 * f64::from(one) + 0.2 * f64::from(two);
    (features(&[(0, 1.0), (1 + one, 1.0), (4 + two, 1.0)]), seed.child(3).uniform() < rate)
}

fn learn(learner: &mut impl Learner, indices: impl Iterator<Item = u64>) {
    for index in indices {
        let (x, converted) = visitor(index);
        learner.expose(&x);
        if converted {
            learner.reward(&x, 1.0);
        }
    }
}

fn cells() -> Cells {
    Cells::new(&[0.0; 6], &[1.0; 6])
}

fn distance(one: &Gaussian, other: &Gaussian) -> f64 {
    let numbers = |belief: &Gaussian| [&belief.mean[..], belief.covariance.packed()].concat();
    numbers(one).iter().zip(numbers(other)).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
}

#[test]
fn the_oracle_of_laplace_on_cells() {
    let mut cells = Cells::new(&[-3.0, 0.0], &[3.0, 0.3]);
    for (x, conversions, exposures) in [(features(&[(0, 1.0)]), 5, 100), (features(&[(0, 1.0), (1, 1.0)]), 9, 80)] {
        (0..exposures).for_each(|_| cells.expose(&x));
        (0..conversions).for_each(|_| cells.reward(&x, 1.0));
    }
    cells.settle();
    let (_, curvature) = cells.derivatives(&cells.belief.mean);
    let belief = cells.belief();
    for (got, want) in [
        (belief.mean[0], -2.567_598_658_572_433_3),
        (belief.mean[1], 0.195_601_480_221_779_84),
        (curvature.get(0, 0), 12.972_827_362_289_362),
        (curvature.get(0, 1), 6.244_110_804_471_476),
        (curvature.get(1, 1), 17.355_221_915_582_586),
        (belief.covariance.get(0, 0), 0.093_228_762_144_315_05),
        (belief.covariance.get(0, 1), -0.033_542_107_604_521_39),
        (belief.covariance.get(1, 1), 0.069_687_419_865_961_3),
    ] {
        assert!((got - want).abs() < 1e-10 * want.abs(), "{got} for {want}");
    }
}

#[test]
fn newton_arrives_from_far_away() {
    // A rate of one in a million, and one of nearly 1, under a prior that knows nothing.
    for (exposures, conversions, want) in [(1_000_000, 1, -13.8), (100_000, 99_999, 11.5)] {
        let mut cells = Cells::new(&[0.0], &[100.0]);
        let x = features(&[(0, 1.0)]);
        (0..exposures).for_each(|_| cells.expose(&x));
        (0..conversions).for_each(|_| cells.reward(&x, 1.0));
        cells.settle();
        assert!((cells.belief().mean[0] - want).abs() < 0.05, "{:?}", cells.belief());
        assert!(cells.derivatives(&cells.belief.mean).0[0].abs() < 1e-6);
    }
}

#[test]
fn counts_know_no_order_and_merge() {
    let (mut forwards, mut backwards, mut one, mut other) = (cells(), cells(), cells(), cells());
    learn(&mut forwards, 0..400);
    learn(&mut backwards, (0..400).rev());
    learn(&mut one, 0..100);
    learn(&mut other, 100..400);
    forwards.settle();
    backwards.settle();
    assert_eq!(forwards, backwards);
    assert!(one.merge(&other));
    assert_eq!(forwards, one);
}

#[test]
fn fits_again_when_a_tenth_has_come() {
    let mut cells = cells();
    learn(&mut cells, 0..400);
    cells.settle();
    let fitted = cells.belief().clone();
    let observed = cells.observed;
    let (x, _) = visitor(0);
    (0..observed.div_ceil(10) - 1).for_each(|_| cells.expose(&x));
    cells.settle();
    assert_eq!(*cells.belief(), fitted);
    cells.expose(&x);
    cells.settle();
    assert_ne!(*cells.belief(), fitted);
}

#[test]
fn conversions_without_exposures_are_trials_and_fewer_than_none_are_none() {
    let (mut lost, mut taken_back) = (cells(), cells());
    let (x, _) = visitor(0);
    (0..5).for_each(|_| lost.reward(&x, 1.0));
    lost.settle();
    assert!(lost.belief().mean[0] > 0.1 && lost.belief().mean.iter().all(|weight| weight.is_finite()));
    taken_back.expose(&x);
    taken_back.reward(&x, -3.0);
    taken_back.settle();
    assert!(taken_back.belief().mean[0] < 0.0 && taken_back.belief().mean[0] > -1.0);
}

/// The filter's step for y, as STATISTICS §2.6 writes it.
fn written_out(belief: &Gaussian, x: &Features, y: f64) -> Gaussian {
    let s = belief.covariance.times(&Entries::new(x));
    let v: f64 = x.iter().map(|(index, value)| s[index] * value).sum();
    let eta: f64 = x.iter().map(|(index, value)| belief.mean[index] * value).sum();
    let expected = logistic(eta / (1.0 + std::f64::consts::PI * v / 8.0).sqrt());
    let w = logistic(eta) * (1.0 - logistic(eta));
    let mut next = belief.clone();
    next.shift(&s, (y - expected) / (1.0 + w * v));
    next.covariance.subtract_outer(&s, w / (1.0 + w * v));
    next
}

#[test]
fn an_exposure_and_its_conversion_are_one_step_of_the_filter() {
    let mut filter = Filter::new(&[1.0; 6]);
    let mut reference = (**filter.belief()).clone();
    for index in 0..500 {
        let (x, converted) = visitor(index);
        reference = written_out(&reference, &x, if converted { 1.0 } else { 0.0 });
        learn(&mut filter, index..index + 1);
        assert!(distance(filter.belief(), &reference) < 1e-10, "visitor {index}");
    }
}

#[test]
fn a_late_conversion_adds_its_features_to_the_natural_parameter() {
    let mut filter = Filter::new(&[1.0; 6]);
    learn(&mut filter, 0..200);
    let natural = |filter: &Filter| {
        let precision = filter.belief().covariance.cholesky().expect("positive definite").inverse();
        let row = |index| (0..6).map(|k| precision.get(index, k) * filter.belief().mean[k]).sum::<f64>();
        (0..6).map(row).collect::<Vec<_>>()
    };
    let (x, _) = visitor(3);
    let before = natural(&filter);
    filter.reward(&x, 1.0);
    let mut added = vec![0.0; 6];
    natural(&filter).iter().zip(before).zip(&mut added).for_each(|((after, before), added)| *added = after - before);
    x.iter().for_each(|(index, value)| added[index] -= value);
    assert!(added.iter().all(|difference| difference.abs() < 1e-8), "{added:?}");
}

#[test]
fn both_forms_agree_on_much_evidence() {
    let (mut cells, mut filter) = (cells(), Filter::new(&[1.0; 6]));
    learn(&mut cells, 0..20_000);
    learn(&mut filter, 0..20_000);
    cells.settle();
    for pattern in 0..6_u16 {
        let probe = Probe::new(&features(&[(0, 1.0), (1 + pattern % 3, 1.0), (4 + pattern / 3, 1.0)]));
        let (exact, filtered) = (cells.belief(), filter.belief());
        let sd = exact.score_variance(&probe).sqrt();
        let difference = (exact.score_mean(&probe) - filtered.score_mean(&probe)).abs();
        // The filter takes its curvature where it stood, which costs a fraction of a standard deviation.
        assert!(difference < sd, "{difference} of {sd}");
        assert!((filtered.score_variance(&probe).sqrt() / sd - 1.0).abs() < 0.1);
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut known = cells();
    learn(&mut known, 0..50);
    let saved = known.save();
    let mut cut = saved.clone();
    cut.counts.pop();
    let mut longer = saved.clone();
    longer.counts.push(1);
    let mut outside = saved.clone();
    outside.counts[3] = 70_000;
    for broken in [cut, longer, outside, State::default(), Filter::new(&[1.0; 6]).save()] {
        let mut fresh = cells();
        assert!(fresh.restore(&broken).is_err(), "{broken:?}");
        assert_eq!(fresh, cells());
    }
    let mut fresh = cells();
    fresh.restore(&saved).expect("fits");
    assert_eq!(fresh, known);
    assert!(Filter::new(&[1.0; 5]).restore(&Filter::new(&[1.0; 6]).save()).is_err());
}
