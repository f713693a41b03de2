//! The same seed gives the same bytes, on one thread and on two.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::simulations::result::{ScenarioResult, to_json};
use crate::simulations::scenario::{Overrides, Scenario, ScenarioFile};
use crate::simulations::table;
use crate::simulations::world::blueprint::Blueprint;

const WORLD: &str = r#"
about = "two segments"
seed = 7
runs = 5
visitors = 2_000
[[variations]]
key = "a"
[[variations]]
key = "b"
available_from = 0.3
[[segments]]
key = "mobile"
context = { device = "mobile" }
conversion = { a = 0.1, b = 0.2 }
[[segments]]
key = "desktop"
context = { device = "desktop" }
conversion = { a = 0.3, b = 0.2 }
"#;

fn bytes(threads: usize, seed: u64) -> String {
    let overrides = Overrides { seed: Some(seed), ..Overrides::default() };
    let file = ScenarioFile::parse("world.toml", "world", WORLD, overrides).expect("complete");
    let scenario = &file.scenarios[0];
    let world = scenario.world();
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = seeds(scenario.seed, scenario.runs);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let stop = AtomicBool::new(false);
    let runs = pool.install(|| {
        run_all(world, &scenario.strategies, course, &seeds, scenario.pictured(), &stop, &ProgressBar::hidden())
    });
    let runs = runs.expect("not stopped");
    let result = ScenarioResult::of(scenario, world, &runs);
    #[cfg(feature = "plots")]
    if threads == 1 {
        pictures_are_small(scenario, world, &runs);
    }
    to_json(&result) + &table::scenario(&result).aligned()
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    assert_eq!(bytes(1, 7), bytes(2, 7));
    assert_ne!(bytes(2, 7), bytes(2, 8));
}

#[test]
fn a_result_has_the_published_shape() {
    let text = bytes(1, 7);
    let json: serde_json::Value =
        serde_json::Deserializer::from_str(&text).into_iter().next().expect("one").expect("JSON");
    for field in ["scenario", "seed", "runs", "visitors", "oracle", "best_single", "strategies"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    let row = &json["strategies"][0];
    for field in ["name", "policy", "reward_mean", "reward_se", "regret_mean", "regret_se", "gain_captured_mean"] {
        assert!(row.get(field).is_some(), "{field}");
    }
    assert!(row["regret_quantiles"]["0.99"].is_number() && row["gain_captured_se"].is_number(), "{row}");
    let added =
        ["regret_percent_mean", "gain_captured_last_tenth_mean", "last_quarter_mean", "reward_per_visitor_mean"];
    for field in added {
        assert!(row[field].is_number(), "{field}: {row}");
    }
    assert!((row["gain_captured_last_tenth_mean"].as_f64().expect("the oracle's") - 1.0).abs() < 1e-9);
    assert!((row["gain_captured_mean"].as_f64().expect("the oracle's") - 1.0).abs() < 1e-9);
    let sum = row["reward_mean"].as_f64().expect("number") + row["regret_mean"].as_f64().expect("number");
    assert!((sum - json["oracle"].as_f64().expect("number")).abs() < 1e-6);
}

#[cfg(feature = "plots")]
fn pictures_are_small(scenario: &Scenario, world: &Blueprint, runs: &[Run]) {
    let directory = tempfile::tempdir().expect("a directory");
    crate::simulations::drawing::write(directory.path(), scenario, world, runs).expect("drawn");
    for name in ["regret", "allocation"] {
        let svg = std::fs::read_to_string(directory.path().join(format!("{name}.svg"))).expect("written");
        assert!(svg.starts_with("<svg") && svg.len() < 100_000, "{} bytes", svg.len());
        let png = std::fs::read(directory.path().join(format!("{name}.png"))).expect("written");
        assert!(png.starts_with(b"\x89PNG"));
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 4, "something half-written is left");
}

const GRID: &str = r#"
about = "two cells"
seed = 3
runs = 4
visitors_per_segment = 500
reference = "Thompson"
[family]
kind = "two-way"
segments = 3
variations = 3
base = 0.1
arm_sd = 0.5
[[strategies]]
policy = "oracle"
[[strategies]]
policy = "uniform"
[[strategies]]
name = "Thompson"
policy = "thompson"
pooling = "none"
[[cells]]
name = "agree"
[[cells]]
name = "differ"
family = { interaction_sd = 0.5 }
"#;

#[test]
fn every_run_of_a_family_has_its_own_truth_and_a_grid_its_table() {
    let file = ScenarioFile::parse("grid.toml", "grid", GRID, Overrides::default()).expect("complete");
    let mut results = Vec::new();
    for scenario in &file.scenarios {
        let course = Course { visitors: scenario.visitors, interval: scenario.interval };
        let (seeds, stop) = (seeds(scenario.seed, scenario.runs), AtomicBool::new(false));
        let runs = run_all(scenario.world(), &scenario.strategies, course, &seeds, 2, &stop, &ProgressBar::hidden());
        let runs = runs.expect("not stopped");
        assert!(runs.windows(2).all(|pair| (pair[0].ceiling.oracle - pair[1].ceiling.oracle).abs() > 1.0));
        results.push(ScenarioResult::of(scenario, scenario.world(), &runs));
    }
    let [agree, differ] = &results[..] else { panic!("two cells") };
    assert_eq!((agree.scenario.as_str(), agree.visitors), ("grid/agree", 1_500));
    assert!(agree.strategies[2].gain_captured_mean.is_none() && differ.strategies[2].gain_captured_mean.is_some());
    let oracle = differ.strategies[0].gain_captured_mean.expect("segments differ");
    assert!((oracle - 1.0).abs() < 1e-9, "{oracle}");
    for row in results.iter().flat_map(|result| &result.strategies) {
        assert!((0.0..100.0).contains(&row.regret_percent_mean), "{row:?}");
    }
    let text = table::grid(&file.name, &file.about, &results).aligned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].contains("uniform") && lines[1].contains("Thompson") && !lines[1].contains("oracle"), "{text}");
    assert!(lines[2].trim_start().starts_with("agree") && lines[3].trim_start().starts_with("differ"), "{text}");
    #[cfg(feature = "plots")]
    {
        let directory = tempfile::tempdir().expect("a directory");
        crate::simulations::drawing::write_grid(directory.path(), &results).expect("drawn");
        let svg = std::fs::read_to_string(directory.path().join("grid.svg")).expect("written");
        assert!(svg.starts_with("<svg") && svg.contains("differ"), "{} bytes", svg.len());
    }
}
