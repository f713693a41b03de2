//! Strategies on small worlds whose answers are known.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::simulations::world::tests::world;

fn strategy(plan: Plan) -> Strategy {
    Strategy { name: "s".to_owned(), plan, floor: 0.0, control: 0.0 }
}

fn policy(kind: &str) -> Strategy {
    strategy(Plan::Policy { kind: kind.to_owned(), parameters: Parameters::new() })
}

fn course(visitors: u64) -> Course {
    Course { visitors, interval: Span::from_millis(100) }
}

fn played(world: &World, strategy: &Strategy, visitors: u64, seed: u64) -> Outcome {
    play(world, strategy, course(visitors), Seed(seed), &AtomicBool::new(false)).expect("not stopped")
}

fn two() -> World {
    world(&[0.5, 0.5], &[0.0, 0.0], &[&[0.1, 0.3], &[0.3, 0.1]])
}

#[test]
fn the_oracle_loses_nothing() {
    let outcome = played(&two(), &strategy(Plan::Oracle), 1_000, 1);
    assert!(outcome.regret.iter().all(|regret| regret.abs() < 1e-12));
    assert!((outcome.reward - 300.0).abs() < 1e-9);
}

#[test]
fn uniform_loses_half_of_the_gap() {
    // 20,000 visitors lose 0.2 with probability 1/2: 2,000 with standard deviation 0.1·sqrt(20,000).
    let outcome = played(&two(), &policy("uniform"), 20_000, 2);
    assert!((outcome.total_regret() - 2_000.0).abs() < 4.0 * 0.1 * 20_000_f64.sqrt(), "{}", outcome.total_regret());
    assert!((outcome.reward + outcome.total_regret() - 6_000.0).abs() < 1e-6);
    assert!(outcome.sample_ratio.passes() && outcome.sample_ratio.cells == 4, "{:?}", outcome.sample_ratio);
}

#[test]
fn an_ab_test_explores_then_exploits() {
    for winner in [Winner::Global, Winner::PerSegment] {
        let outcome = played(&two(), &strategy(Plan::AbTest { explore: 0.25, winner }), 4_000, 3);
        let regret = |point: usize| outcome.regret[point * 2 - 1];
        // Per cent of the run: half of the visitors of the first quarter are shown the worse.
        assert!((regret(25) - 100.0).abs() < 4.0 * 0.1 * 1_000_f64.sqrt(), "{}", regret(25));
        let lost_after = regret(100) - regret(25);
        match winner {
            // One of two that are equal over all: wrong for half of the visitors.
            Winner::Global => assert!((lost_after - 300.0).abs() < 4.0 * 0.1 * 3_000_f64.sqrt(), "{lost_after}"),
            Winner::PerSegment => assert!(lost_after.abs() < 1e-9, "{lost_after}"),
        }
    }
}

#[test]
fn thompson_learns_what_a_later_variation_is_worth() {
    let world = world(&[1.0], &[0.0, 0.0, 0.5], &[&[0.1, 0.3, 0.6]]);
    let outcome = played(&world, &policy("thompson"), 4_000, 4);
    let (half, end) = (&outcome.allocations[99][0], &outcome.allocations[199][0]);
    assert!(half[1] > 0.99 && half[2].abs() < 1e-12, "{half:?}");
    assert!(end[2] > 0.99, "{end:?}");
    assert!(outcome.sample_ratio.passes(), "{:?}", outcome.sample_ratio);
}

#[test]
fn the_control_group_is_shown_the_first_and_not_checked_as_drawn() {
    let strategy = Strategy { control: 0.5, ..policy("thompson") };
    let outcome = played(&two(), &strategy, 4_000, 5);
    // Half of the visitors, who lose 0.2 in one segment.
    let control = 2_000.0 * 0.5 * 0.2;
    assert!(outcome.total_regret() > 0.8 * control, "{}", outcome.total_regret());
    assert!(outcome.sample_ratio.passes(), "{:?}", outcome.sample_ratio);
}

#[test]
fn a_floor_shows_everything() {
    let strategy = Strategy { floor: 0.1, ..policy("thompson") };
    let outcome = played(&two(), &strategy, 4_000, 6);
    let end = &outcome.allocations[199][0];
    assert!(end.iter().all(|propensity| *propensity >= 0.1 - 1e-12), "{end:?}");
}

#[test]
fn whoever_is_told_to_stop_stops() {
    assert!(play(&two(), &policy("uniform"), course(10), Seed(0), &AtomicBool::new(true)).is_none());
}
