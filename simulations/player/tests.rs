//! Strategies on small worlds whose answers are known.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::simulations::strategies::{Budget, Terms};
use crate::simulations::world::blueprint::{Blueprint, Family, LogisticFamily, Weights};
use crate::simulations::world::orders::OrdersBlueprint;
use crate::simulations::world::tests::{blueprint, world};
use crate::simulations::world::{GoalInWorld, SeenInWorld};
use mabel::domain::Currency;

fn strategy(plan: Plan) -> Strategy {
    Strategy { name: "s".to_owned(), plan, terms: Terms::default() }
}

/// Thompson sampling is that of each segment on its own, whose shares have a closed form.
fn policy(kind: &str) -> Strategy {
    let alone = || Parameters::new().with("pooling", Parameter::Text("none".to_owned()));
    let parameters = if kind == "thompson" { alone() } else { Parameters::new() };
    strategy(Plan::Policy { kind: kind.to_owned(), parameters })
}

fn with(terms: Terms, strategy: Strategy) -> Strategy {
    Strategy { terms, ..strategy }
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
    let strategy = with(Terms { control: 0.5, ..Terms::default() }, policy("thompson"));
    let outcome = played(&two(), &strategy, 4_000, 5);
    // Half of the visitors, who lose 0.2 in one segment.
    let control = 2_000.0 * 0.5 * 0.2;
    assert!(outcome.total_regret() > 0.8 * control, "{}", outcome.total_regret());
    assert!(outcome.sample_ratio.passes(), "{:?}", outcome.sample_ratio);
}

#[test]
fn a_floor_shows_everything() {
    let strategy = with(Terms { floor: 0.1, ..Terms::default() }, policy("thompson"));
    let outcome = played(&two(), &strategy, 4_000, 6);
    let end = &outcome.allocations[199][0];
    assert!(end.iter().all(|propensity| *propensity >= 0.1 - 1e-12), "{end:?}");
}

#[test]
fn whoever_is_told_to_stop_stops() {
    assert!(play(&two(), &policy("uniform"), course(10), Seed(0), &AtomicBool::new(true)).is_none());
}

#[test]
fn rewards_that_are_still_on_their_way_teach_nothing() {
    let mut world = world(&[1.0], &[0.0, 0.0], &[&[0.1, 0.9]]);
    let at_once = played(&world, &policy("thompson"), 2_000, 7);
    assert!(at_once.allocations[99][0][1] > 0.99, "{:?}", at_once.allocations[99]);
    // 2,000 visitors come in 200 seconds: next to nothing of a week's delay is over by then.
    world.delay = Some(Span::DAY.times(6));
    let delayed = played(&world, &policy("uniform"), 2_000, 7);
    assert!((delayed.total_regret() - 800.0).abs() < 4.0 * 0.4 * 2_000_f64.sqrt());
    let delayed = played(&world, &policy("thompson"), 2_000, 7);
    let end = &delayed.allocations[199][0];
    assert!(end.iter().all(|share| *share > 0.05), "nothing is known yet: {end:?}");
    // The same delay where it is short against the run.
    let course = Course { visitors: 2_000, interval: Span::HOUR };
    let learned = play(&world, &policy("thompson"), course, Seed(7), &AtomicBool::new(false)).expect("not stopped");
    assert!(learned.allocations[199][0][1] > 0.95, "{:?}", learned.allocations[199]);
    assert!(learned.total_regret() > at_once.total_regret());
}

fn currency() -> Option<Currency> {
    Currency::new("EUR")
}

#[test]
fn revenue_is_what_is_maximised_unless_a_strategy_hears_only_of_conversions() {
    // The second converts more often, the first brings more.
    let plan = Blueprint {
        orders: Some(OrdersBlueprint { mean: 1_000.0, sigma: 0.5, arm_sd: 0.0 }),
        ..blueprint(&[1.0], &[0.0, 0.0], &[&[0.2, 0.3]])
    };
    let mut world = plan.draw(Seed(0), 1_000);
    world.orders.as_mut().expect("orders").means = vec![3_000.0, 1_000.0];
    world.goal = GoalInWorld { kind: GoalKind::Revenue, currency: currency(), ..GoalInWorld::CONVERSIONS };
    let world = plan_values(&world, &[0.2, 0.3]);
    let revenue = played(&world, &policy("thompson"), 6_000, 8);
    assert!(revenue.allocations[199][0][0] > 0.95, "{:?}", revenue.allocations[199]);
    let terms = Terms { goal: Some(GoalKind::Conversion), ..Terms::default() };
    let conversions = played(&world, &with(terms, policy("thompson")), 6_000, 8);
    assert!(conversions.allocations[199][0][1] > 0.95, "{:?}", conversions.allocations[199]);
    assert!(conversions.total_regret() > 3.0 * revenue.total_regret());
}

/// The world with expected rewards as its goal, orders and costs now say.
fn plan_values(world: &World, rates: &[f64]) -> World {
    let Truth::Segments(segmented) = &world.truth else { panic!("segments") };
    let rates = crate::simulations::world::segmented::Rates::constant(rates.to_vec());
    let segments = segmented.segments.clone();
    let truth =
        crate::simulations::world::segmented::Segmented::new(segments, world.variations.len(), rates, |v, rate| {
            world.value(v, rate)
        });
    World { truth: Truth::Segments(truth), ..world.clone() }
}

/// The second variation costs more than it brings.
fn costly() -> World {
    let mut world = world(&[1.0], &[0.0, 0.0], &[&[0.2, 0.22]]);
    world.goal.worth = Some(40.0);
    world.goal.currency = currency();
    world.variations[1].cost_per_conversion = 10.0;
    plan_values(&world, &[0.2, 0.22])
}

#[test]
fn what_costs_more_than_it_brings_is_dropped_on_margin_and_kept_on_conversions() {
    let world = costly();
    let margin = played(&world, &policy("thompson"), 20_000, 9);
    assert!(margin.allocations[199][0][0] > 0.95, "{:?}", margin.allocations[199]);
    let terms = Terms { objective: Some(mabel::engine::definition::Objective::Goal), ..Terms::default() };
    let goal = played(&world, &with(terms, policy("thompson")), 20_000, 9);
    assert!(goal.spend > 2.0 * margin.spend, "{} and {}", goal.spend, margin.spend);
    // 6.6 instead of 8 for each visitor who is shown the second.
    assert!((goal.total_regret() - goal.spend / 2.2 * 1.4).abs() < 1e-6 * goal.spend);
}

#[test]
fn a_budget_that_is_spent_ends_what_costs() {
    // Worth it, but not beyond the budget: 0.5 of the 4 a visitor would cost.
    let mut world = costly();
    world.variations[1].cost_per_conversion = 1.0;
    let world = plan_values(&world, &[0.1, 0.4]);
    let budget = Some(Budget { per_visitor: 0.05, hard: true });
    let outcome = played(&world, &with(Terms { budget, ..Terms::default() }, policy("thompson")), 4_000, 10);
    let free = played(&world, &policy("thompson"), 4_000, 10);
    assert!(outcome.spend < 0.25 * free.spend, "{} and {}", outcome.spend, free.spend);
    assert!(outcome.allocations[199][0][1] < 0.5 && outcome.sample_ratio.passes(), "{:?}", outcome.allocations[199]);
}

#[test]
fn features_are_learned_from_where_a_policy_looks_at_them_and_propensities_hold() {
    let family = LogisticFamily { dimensions: 3, weights: Weights::Drawn { sd: 2.0 } };
    let seen = SeenInWorld { attributes: family.attributes(), interactions: Vec::new() };
    let family = Family::Logistic(family);
    let world = Blueprint { seen, family, ..blueprint(&[1.0], &[0.0; 3], &[&[0.1; 3]]) }.draw(Seed(1), 2_000);
    let uniform = played(&world, &policy("uniform"), 2_000, 11);
    assert!(uniform.sample_ratio.passes() && uniform.sample_ratio.cells == 3, "{:?}", uniform.sample_ratio);
    let oracle = played(&world, &strategy(Plan::Oracle), 2_000, 11);
    assert!(oracle.total_regret().abs() < 1e-9);
    assert!((oracle.reward - uniform.reward - uniform.total_regret()).abs() < 1e-6);
    for kind in ["linear-thompson", "logistic-thompson"] {
        let learned = played(&world, &policy(kind), 2_000, 11);
        assert!(learned.total_regret() < 0.5 * uniform.total_regret(), "{kind}: {}", learned.total_regret());
        assert!(learned.sample_ratio.passes() && learned.sample_ratio.cells > 0, "{:?}", learned.sample_ratio);
    }
}
