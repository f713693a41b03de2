//! The figures of `simulations/README.md` in small: fewer runs, and bounds that allow for it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;

use crate::simulations::player::Course;
use crate::simulations::result::{ScenarioResult, StrategyResult};
use crate::simulations::runner;
use crate::simulations::scenario::{Overrides, Scenario, ScenarioFile};

mod pooling;
mod trouble;

/// A scenario of the project with these strategies alone, by name; all are compared with the first of the file.
fn play(name: &str, runs: u32, strategies: &[&str]) -> ScenarioResult {
    let mut scenario = read(name, Overrides { runs: Some(runs), ..Overrides::default() }).scenarios.remove(0);
    scenario.strategies.retain(|strategy| strategies.contains(&strategy.name.as_str()));
    assert_eq!(scenario.strategies.len(), strategies.len(), "{name} has no such strategy");
    scenario.reference = 0;
    played(&scenario)
}

fn read(name: &str, overrides: Overrides) -> ScenarioFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("simulations/scenarios/{name}.toml"));
    ScenarioFile::read(&path, overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn played(scenario: &Scenario) -> ScenarioResult {
    let world = scenario.world();
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, scenario.runs);
    let stop = AtomicBool::new(false);
    let runs = runner::run_all(world, &scenario.strategies, course, &seeds, 0, &stop, &ProgressBar::hidden());
    let result = ScenarioResult::of(scenario, world, &runs.expect("not stopped"));
    assert!(result.sample_ratio.passes(), "{}: {:?}", scenario.name, result.sample_ratio);
    result
}

fn row<'a>(result: &'a ScenarioResult, name: &str) -> &'a StrategyResult {
    result.strategies.iter().find(|row| row.name == name).expect("it was played")
}

#[test]
fn segments_are_worth_having_and_one_winner_for_all_is_not() {
    let result = play("three-segments", 6, &["A/B test", "per-segment Thompson"]);
    assert!((result.oracle / result.visitors as f64 - 0.14).abs() < 1e-3, "{}", result.oracle);
    assert!((result.best_single / result.visitors as f64 - 0.13).abs() < 1e-3, "{}", result.best_single);
    let gain = |name: &str| row(&result, name).gain_captured_mean.expect("segments differ");
    // 0.86 with a standard deviation of 0.08 over runs: four standard errors of six runs below.
    assert!(gain("per-segment Thompson") > 0.86 - 4.0 * 0.08 / 6_f64.sqrt(), "{}", gain("per-segment Thompson"));
    assert!(gain("A/B test") <= 0.0, "{}", gain("A/B test"));
}

#[test]
fn regret_on_ten_variations_is_that_of_exact_thompson_sampling() {
    // Means of exact Thompson sampling over 256 seeds (STATISTICS §18), standard deviations over runs of ours.
    for (name, exact, sd) in [("spread", 219.0, 105.0), ("needle", 305.5, 100.0)] {
        let runs = 12;
        let result = play(name, runs, &["Thompson"]);
        let regret = row(&result, "Thompson").regret_mean;
        let tolerance = 4.0 * sd / f64::from(runs).sqrt();
        assert!((regret - exact).abs() < tolerance, "{name}: {regret}, not {exact} ± {tolerance}");
    }
}

#[test]
fn where_nothing_differs_nothing_is_lost() {
    let result = play("equal-arms", 2, &["uniform", "A/B test", "per-segment Thompson"]);
    for row in &result.strategies {
        assert!(row.regret_mean.abs() < 1e-9 && row.gain_captured_mean.is_none(), "{}: {}", row.name, row.regret_mean);
    }
}

#[test]
fn a_later_variation_is_found_and_agreeing_segments_cost_little() {
    let cold = play("cold-start", 4, &["uniform", "per-segment Thompson"]);
    assert!(row(&cold, "per-segment Thompson").gain_captured_mean.expect("segments differ") > 0.7);
    let agree = play("no-segment-effect", 12, &["uniform", "global Thompson", "per-segment Thompson"]);
    let regret = |name: &str| row(&agree, name).regret_mean;
    assert!(regret("global Thompson") < regret("per-segment Thompson"));
    assert!(regret("per-segment Thompson") < regret("uniform"));
}
