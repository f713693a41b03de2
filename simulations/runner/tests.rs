//! The same seed gives the same bytes, on one thread and on two.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::simulations::result::{ScenarioResult, to_json};
use crate::simulations::scenario::{Overrides, Scenario, Source};
use crate::simulations::table;

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
    let scenario = Scenario::parse("world.toml", "world", WORLD, overrides).expect("complete");
    let Source::World(world) = &scenario.source else { panic!("a stated world") };
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = seeds(scenario.seed, scenario.runs);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let stop = AtomicBool::new(false);
    let runs = pool.install(|| {
        run_all(world, &scenario.strategies, course, &seeds, scenario.pictured(), &stop, &ProgressBar::hidden())
    });
    let runs = runs.expect("not stopped");
    let result = ScenarioResult::of(&scenario, world, &runs);
    #[cfg(feature = "plots")]
    if threads == 1 {
        pictures_are_small(&scenario, world, &runs);
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
    assert!((row["gain_captured_mean"].as_f64().expect("the oracle's") - 1.0).abs() < 1e-9);
    let sum = row["reward_mean"].as_f64().expect("number") + row["regret_mean"].as_f64().expect("number");
    assert!((sum - json["oracle"].as_f64().expect("number")).abs() < 1e-6);
}

#[cfg(feature = "plots")]
fn pictures_are_small(scenario: &Scenario, world: &World, runs: &[Run]) {
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
