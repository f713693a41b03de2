//! What is read, and what is refused with which words.

use super::*;
use crate::simulations::strategies::Plan;

const WORLD: &str = r#"
about = "two segments"
seed = 7
runs = 3
visitors = 1_000

[[variations]]
key = "a"
[[variations]]
key = "b"

[[segments]]
key = "mobile"
share = 3
context = { device = "mobile" }
conversion = { a = 0.1, b = 0.2 }
[[segments]]
key = "desktop"
share = 1
context = { device = "desktop" }
conversion = { a = 0.3, b = 0.2 }
"#;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("world.toml", "world", text, Overrides::default())
}

#[test]
fn a_world_is_read_and_gets_the_usual_strategies() {
    let scenario = parse(WORLD).expect("complete");
    let names: Vec<&str> = scenario.strategies.iter().map(|strategy| strategy.name.as_str()).collect();
    let usual = [
        "oracle",
        "uniform",
        "A/B test",
        "A/B test per segment",
        "epsilon-greedy per segment",
        "global Thompson",
        "per-segment Thompson",
    ];
    assert_eq!(names, usual);
    assert_eq!((scenario.seed, scenario.runs, scenario.visitors), (7, 3, 1_000));
    assert_eq!((scenario.reference, scenario.pictured()), (5, 6));
    let Source::World(world) = scenario.source else { panic!("a stated world") };
    assert!((world.segments[0].share - 0.75).abs() < 1e-12);
}

#[test]
fn the_command_line_overrides() {
    let overrides = Overrides { seed: Some(1), runs: Some(2), visitors: Some(3) };
    let scenario = Scenario::parse("f", "world", WORLD, overrides).expect("complete");
    assert_eq!((scenario.seed, scenario.runs, scenario.visitors), (1, 2, 3));
}

#[test]
fn policies_pass_their_parameters_through() {
    let text = format!("{WORLD}\n[[strategies]]\npolicy = \"thompson\"\nprior = [1, 24.0]\npooling = \"complete\"\n");
    let scenario = parse(&text).expect("allowed");
    assert_eq!(scenario.strategies[0].name, "thompson");
    let Plan::Policy { parameters, .. } = &scenario.strategies[0].plan else { panic!("a policy") };
    assert_eq!(parameters.get("prior"), Some(&mabel::policy::Parameter::Numbers(vec![1.0, 24.0])));
}

#[test]
fn refusals_name_file_field_value_and_what_is_allowed() {
    let strategy = |lines: &str| format!("{WORLD}\n[[strategies]]\n{lines}\n");
    let replaced = |from: &str, to: &str| {
        assert!(WORLD.contains(from), "{from}");
        WORLD.replace(from, to)
    };
    let cases: &[(String, &[&str])] = &[
        (replaced("runs = 3", "runs = 0"), &["runs: 0", "from 1"]),
        (replaced("visitors = 1_000", "visitors = 0"), &["visitors: 0", "from 1"]),
        (replaced("runs = 3", "rnus = 3"), &["rnus", "expected one of"]),
        (replaced("seed = 7", ""), &["seed"]),
        (replaced("a = 0.1", "a = 1.1"), &["segments[0].conversion.a: 1.1", "from 0 to 1"]),
        (replaced("a = 0.1, b", "c = 0.1, b"), &["segments[0].conversion: c", "a, b"]),
        (replaced("a = 0.1, ", ""), &["segments[0].conversion.a: nothing"]),
        (replaced("share = 3", "share = 0"), &["segments[0].share: 0", "above 0"]),
        (replaced("\"desktop\" }", "\"mobile\" }"), &["segments[1].context", "of its own"]),
        (replaced("key = \"b\"", "key = \"a\""), &["variations[1].key: a", "once"]),
        (replaced("key = \"b\"", "key = \"b\"\navailable_from = 1.0"), &["variations[1].available_from: 1"]),
        (replaced("seed = 7", "seed = 7\ninterval = \"soon\""), &["interval: \"soon\"", "1ms to 1h"]),
        (replaced("seed = 7", "seed = 7\nreference = \"x\""), &["reference: \"x\"", "oracle"]),
        (replaced("seed = 7", "seed = 7\nfloor = 0.4"), &["floor", "0.4"]),
        (strategy("policy = \"tompson\""), &["strategies[0].policy: \"tompson\"", "oracle, ab-test", "thompson"]),
        (strategy("name = \"x\""), &["strategies[0].policy: nothing"]),
        (strategy("policy = \"ab-test\"\nexplore = 1.0"), &["strategies[0].explore: 1", "below 1"]),
        (strategy("policy = \"ab-test\"\nprior = 1"), &["strategies[0]: the field \"prior\"", "explore"]),
        (strategy("policy = \"thompson\"\nprior = [0, 1]"), &["strategies[0].prior", "0, 1"]),
        (strategy("policy = \"thompson\"\npriro = [1, 1]"), &["strategies[0]", "priro", "prior"]),
        (strategy("policy = \"uniform\"\ncontrol = 2"), &["strategies[0].control: 2", "from 0 to 1"]),
        (strategy("policy = \"uniform\"\n[[strategies]]\npolicy = \"uniform\""), &["strategies[1].name", "once"]),
        ("data = \"x\"".to_owned() + WORLD, &["data: \"x\"", "headline-tests"]),
        ("data = \"headline-tests\"".to_owned() + WORLD, &["data", "not both"]),
    ];
    for (text, words) in cases {
        let refused = parse(text).expect_err(text).to_string();
        assert!(refused.starts_with("world.toml: "), "{refused}");
        for word in *words {
            assert!(refused.contains(word), "{word:?} is not in: {refused}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Scenario::read(Path::new("no/such.toml"), Overrides::default()).expect_err("missing");
    assert!(error.to_string().starts_with("no/such.toml: cannot be read"), "{error}");
}

#[test]
fn every_scenario_of_the_project_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the project's scenarios") {
        let path = entry.expect("readable").path();
        Scenario::read(&path, Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert_eq!(count, 7);
}
