//! Who comes, what is best when.

use std::sync::Arc;

use mabel::domain::{ExperimentKey, Seed, Span, VariationKey};

use super::*;
use crate::simulations::world::blueprint::{Blueprint, Drift, Family, LogisticFamily, TwoWay, Weights};
use crate::simulations::world::features::{Column, Table, Values};
use crate::simulations::world::orders::OrdersBlueprint;
use crate::simulations::world::segmented::SegmentInWorld;

/// Segments told apart by an attribute, rates by segment, then variation.
pub(crate) fn blueprint(shares: &[f64], available_from: &[f64], rates: &[&[f64]]) -> Blueprint {
    let variation = |(index, available_from): (usize, &f64)| VariationInWorld {
        available_from: *available_from,
        ..VariationInWorld::new(VariationKey::new(&format!("v{index}")).expect("a key"))
    };
    let segment = |(index, share): (usize, &f64)| SegmentInWorld {
        key: format!("s{index}"),
        share: *share,
        context: vec![("group".to_owned(), Value::Int(i64::try_from(index).expect("small")))],
    };
    Blueprint::stated(
        ExperimentKey::new("world").expect("a key"),
        available_from.iter().enumerate().map(variation).collect(),
        shares.iter().enumerate().map(segment).collect(),
        rates.concat(),
    )
}

pub(crate) fn world(shares: &[f64], available_from: &[f64], rates: &[&[f64]]) -> World {
    blueprint(shares, available_from, rates).draw(Seed(0), 1_000)
}

/// A family of four variations that all are there from the start.
fn family(family: Family, drift: Option<Drift>) -> Blueprint {
    Blueprint { family, drift, ..blueprint(&[1.0], &[0.0; 4], &[&[0.1; 4]]) }
}

const TWO_WAY: TwoWay = TwoWay { segments: 2_000, base: 0.04, segment_sd: 0.5, arm_sd: 0.2, interaction_sd: 0.15 };

/// What a visitor of each index would give.
fn scenes(world: &World, visitors: u64, run: Seed, mut see: impl FnMut(u64, &Visitor, Scene<'_>)) {
    let mut scratch = Scratch::default();
    for phase in world.phases(visitors) {
        for index in phase.visitors.clone() {
            let visitor = Visitor::of(run, index, world);
            world.look(index, &visitor, &mut scratch);
            see(index, &visitor, world.scene(index, &visitor, &phase, &scratch));
        }
    }
}

#[test]
fn a_variation_that_comes_later_begins_a_phase() {
    let world = world(&[0.5, 0.5], &[0.0, 0.0, 0.5], &[&[0.1, 0.2, 0.3], &[0.3, 0.1, 0.1]]);
    let [before, after] = &world.phases(101)[..] else { panic!("two phases") };
    assert_eq!((before.visitors.clone(), after.visitors.clone()), (0..51, 51..101));
    assert_eq!((&before.available[..], &after.available[..]), (&[0, 1][..], &[0, 1, 2][..]));
    assert_eq!((&before.best[..], before.best_single), (&[1, 0][..], Some(0)));
    assert_eq!((&after.best[..], after.best_single), (&[2, 0][..], Some(0)));
}

#[test]
fn visitors_come_by_share_and_are_the_same_every_time() {
    let world = world(&[0.7, 0.2, 0.1], &[0.0], &[&[0.1], &[0.1], &[0.1]]);
    let count = 20_000;
    let mut seen = [0.0; 3];
    for index in 0..count {
        let visitor = Visitor::of(Seed(3), index, &world);
        seen[visitor.segment] += 1.0;
        assert_eq!(visitor.tail, Visitor::of(Seed(3), index, &world).tail);
    }
    for (seen, share) in seen.iter().zip([0.7, 0.2, 0.1]) {
        let sd = (count as f64 * share * (1.0 - share)).sqrt();
        assert!((seen - count as f64 * share).abs() < 4.0 * sd, "{seen} of {count} for {share}");
    }
}

/// Standard deviation.
fn sd(numbers: &[f64]) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (numbers.len() - 1) as f64).sqrt()
}

#[test]
fn a_two_way_family_has_the_spreads_it_says() {
    let world = family(Family::TwoWay(TWO_WAY), None).draw(Seed(5), 1);
    let Truth::Segments(segmented) = &world.truth else { panic!("segments") };
    let phase = &world.phases(1)[0];
    let logit = |segment: usize, variation: usize| {
        let rate = segmented.scene(0, segment, phase).rates[variation];
        (rate / (1.0 - rate)).ln()
    };
    let segments = 0..TWO_WAY.segments;
    let scores: Vec<f64> = segments.clone().map(|s| logit(s, 0)).collect();
    // sqrt(.5² + .15²), and the difference of two variations has twice the interaction's variance; both ± 4 standard errors.
    let tolerance = 4.0 / (2.0 * TWO_WAY.segments as f64).sqrt();
    assert!((sd(&scores) / 0.522 - 1.0).abs() < tolerance, "{}", sd(&scores));
    let differences: Vec<f64> = segments.map(|s| logit(s, 0) - logit(s, 1)).collect();
    assert!((sd(&differences) / (0.15 * 2_f64.sqrt()) - 1.0).abs() < tolerance, "{}", sd(&differences));
    let other = family(Family::TwoWay(TWO_WAY), None).draw(Seed(6), 1);
    assert!(
        (other.scene(0, &Visitor::of(Seed(6), 0, &other), phase, &Scratch::default()).rates[0] - logit(0, 0)).abs()
            > 0.0
    );
}

#[test]
fn drifts_move_what_they_say() {
    let one = TwoWay { segments: 1, segment_sd: 0.0, interaction_sd: 0.0, ..TWO_WAY };
    // By step, the rates.
    let steps = |drift: Drift, visitors: u64| {
        let world = family(Family::TwoWay(one), Some(drift)).draw(Seed(1), visitors);
        let mut steps: Vec<Vec<f64>> = Vec::new();
        scenes(&world, visitors, Seed(1), |index, _, scene| {
            if index % drift.step() == 0 {
                steps.push(scene.rates.to_vec());
            }
            assert_eq!(steps.last().map(Vec::as_slice), Some(scene.rates), "a step's rates do not change");
        });
        steps
    };
    let season = steps(Drift::Season { period: 20_000, amplitude: 0.5 }, 40_000);
    let ratios: Vec<f64> = season.iter().map(|rates| rates[0] / season[0][0]).collect();
    for (rates, ratio) in season.iter().zip(&ratios) {
        assert!((rates[3] / season[0][3] - ratio).abs() < 1e-12, "all move together");
    }
    let (low, high) = ratios.iter().fold((f64::MAX, 0.0_f64), |(low, high), r| (low.min(*r), high.max(*r)));
    assert!((high / low - 3.0).abs() < 0.02, "from a half less to a half more: {low} to {high}");

    let redrawn = steps(Drift::Redraw { every: 1_000 }, 4_000);
    assert_eq!(redrawn.len(), 4);
    assert!(redrawn.windows(2).all(|pair| pair[0] != pair[1]));

    let memory = 5_000;
    let walk = steps(Drift::OrnsteinUhlenbeck { memory }, 2_000_000);
    let scores: Vec<f64> =
        walk.iter().map(|rates| (rates[0] / (1.0 - rates[0])).ln() - (0.04_f64 / 0.96).ln()).collect();
    // 4,000 steps of correlation e^−0.1: as many as 200 independent ones.
    assert!((sd(&scores) / 0.2 - 1.0).abs() < 4.0 / 20.0, "{}", sd(&scores));
    let moves: Vec<f64> = scores.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = 0.2 * (2.0 * (1.0 - (-500.0 / memory as f64).exp())).sqrt();
    assert!((sd(&moves) / expected - 1.0).abs() < 0.1, "{} for {expected}", sd(&moves));
}

#[test]
fn delays_are_exponential_within_the_window() {
    let mut world = world(&[1.0], &[0.0], &[&[0.5]]);
    assert_eq!(world.delay(&Visitor::of(Seed(1), 0, &world), 0), None);
    world.delay = Some(Span::DAY.times(2));
    let delays: Vec<f64> = (0..20_000)
        .map(|index| world.delay(&Visitor::of(Seed(1), index, &world), 0).expect("a delay").as_millis() as f64)
        .map(|millis| millis / Span::DAY.as_millis() as f64)
        .collect();
    assert!(delays.iter().all(|delay| (0.0..=7.0).contains(delay)));
    // E[t | t < W] = m − W e^(−W/m)/(1 − e^(−W/m)).
    let tail = (-3.5_f64).exp();
    let expected = 2.0 - 7.0 * tail / (1.0 - tail);
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    assert!((mean - expected).abs() < 4.0 * sd(&delays) / (delays.len() as f64).sqrt(), "{mean} for {expected}");
    // A variation's own mean goes first, and nobody is faster on a slower one.
    world.variations[0].mean_delay = Some(Span::DAY.times(4));
    let slower = |index| world.delay(&Visitor::of(Seed(1), index, &world), 0).expect("a delay").as_millis() as f64;
    assert!((0..100).zip(&delays).all(|(index, days)| slower(index) > days * Span::DAY.as_millis() as f64));
}

#[test]
fn orders_have_the_mean_that_regret_counts_with() {
    let mut plan = blueprint(&[1.0], &[0.0, 0.0], &[&[0.1, 0.1]]);
    plan.orders = Some(OrdersBlueprint { mean: 5_000.0, sigma: 1.0, arm_sd: 0.1 });
    let world = plan.draw(Seed(2), 1);
    let orders = world.orders.as_ref().expect("orders");
    assert!((orders.means[0] - orders.means[1]).abs() > 1.0, "variations differ");
    let amounts: Vec<f64> =
        (0..40_000).map(|index| world.amount(&Visitor::of(Seed(2), index, &world), 0) as f64).collect();
    let mean = amounts.iter().sum::<f64>() / amounts.len() as f64;
    assert!((mean - orders.means[0]).abs() < 4.0 * sd(&amounts) / 200.0, "{mean} for {}", orders.means[0]);
    assert!((world.value(0, 0.1) - 0.1 * orders.means[0]).abs() < 1e-9);
}

#[test]
fn costs_are_set_against_what_conversions_are_worth() {
    let mut world = world(&[1.0], &[0.0], &[&[0.1]]);
    world.goal.worth = Some(40.0);
    world.variations[0].cost = 0.5;
    world.variations[0].cost_per_conversion = 10.0;
    assert!((world.value(0, 0.1) - 2.5).abs() < 1e-12 && (world.spend(0, 0.1) - 1.5).abs() < 1e-12);
}

#[test]
fn logistic_worlds_follow_their_weights() {
    let weights = Weights::Stated(vec![1.0, 0.0, -1.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
    let world = family(Family::Logistic(LogisticFamily { dimensions: 2, weights }), None).draw(Seed(3), 100);
    let mut scratch = Scratch::default();
    let phase = &world.phases(100)[0];
    for index in 0..100 {
        let visitor = Visitor::of(Seed(3), index, &world);
        world.look(index, &visitor, &mut scratch);
        let context = world.context(index, &scratch).expect("features");
        let (Some(Value::Float(x)), Some(Value::Float(y))) = (context.get("x01"), context.get("x02")) else {
            panic!("two numbers: {context:?}")
        };
        let sigmoid = |score: f64| 1.0 / (1.0 + (-score).exp());
        let scene = world.scene(index, &visitor, phase, &scratch);
        for (rate, score) in scene.rates.iter().zip([*x, -x, 2.0 * y, 0.0]) {
            assert!((rate - sigmoid(score)).abs() < 1e-12);
        }
        assert!(scene.rates.iter().all(|rate| *rate <= scene.rates[scene.best]));
    }
}

#[test]
fn every_row_comes_once_and_its_class_converts() {
    let column =
        Column { name: "n".to_owned(), values: Values::Numbers((0..50).map(|n| Some(f64::from(n))).collect()) };
    let table = Table { columns: vec![column], classes: (0..50).map(|n| n % 4).collect() };
    let world = family(Family::Rows(Arc::new(table)), None).draw(Seed(4), 50);
    let mut scratch = Scratch::default();
    let phase = &world.phases(50)[0];
    let mut seen = Vec::new();
    for index in 0..50 {
        let visitor = Visitor::of(Seed(4), index, &world);
        world.look(index, &visitor, &mut scratch);
        let context = world.context(index, &scratch).expect("attributes");
        let Some(Value::Float(row)) = context.get("n") else { panic!("a number: {context:?}") };
        assert!((world.scene(index, &visitor, phase, &scratch).best as f64 - row % 4.0).abs() < 0.5);
        seen.push(*row);
    }
    assert!(!seen.is_sorted(), "shuffled");
    seen.sort_by(f64::total_cmp);
    assert!(seen.iter().zip(0..).all(|(row, n)| (row - f64::from(n)).abs() < 0.5), "{seen:?}");
}
