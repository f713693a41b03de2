//! What is read, and what is refused with which words.

use mabel::engine::definition::{Delay, HalfLife, Objective};

use super::*;
use crate::simulations::strategies::{Expected, Plan, Terms};
use crate::simulations::world::blueprint::Family;

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
    parse_file(text, Overrides::default()).map(|mut file| file.scenarios.remove(0))
}

fn parse_file(text: &str, overrides: Overrides) -> Result<ScenarioFile, ScenarioError> {
    ScenarioFile::parse("world.toml", "world", text, overrides)
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
        "partial pooling",
    ];
    assert_eq!(names, usual);
    assert_eq!((scenario.seed, scenario.runs, scenario.visitors), (7, 3, 1_000));
    assert_eq!((scenario.reference, scenario.pictured()), (5, 6));
    assert!((scenario.world().stated_segments()[0].share - 0.75).abs() < 1e-12);
}

#[test]
fn the_command_line_overrides() {
    let overrides = Overrides { seed: Some(1), runs: Some(2), visitors: Some(3) };
    let scenario = &parse_file(WORLD, overrides).expect("complete").scenarios[0];
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
    let error = ScenarioFile::read(Path::new("no/such.toml"), Overrides::default()).expect_err("missing");
    assert!(error.to_string().starts_with("no/such.toml: cannot be read"), "{error}");
}

const FAMILY: &str = r#"
seed = 1
runs = 2
visitors_per_segment = 100
[family]
kind = "two-way"
segments = 5
variations = 4
base = 0.04
interaction_sd = 0.1
[[cells]]
name = "small"
[[cells]]
name = "large"
runs = 7
family = { segments = 30, arm_sd = 0.3 }
[[cells]]
name = "features"
visitors_per_segment = 50
family = { kind = "logistic", d = 3, variations = 2, sd = 0.5 }
"#;

#[test]
fn cells_say_what_differs() {
    let file = parse_file(FAMILY, Overrides::default()).expect("complete");
    assert!(file.grid);
    let said: Vec<(&str, u32, u64)> =
        file.scenarios.iter().map(|cell| (cell.name.as_str(), cell.runs, cell.visitors)).collect();
    assert_eq!(said, [("world/small", 2, 500), ("world/large", 7, 3_000), ("world/features", 2, 50)]);
    let Family::TwoWay(large) = &file.scenarios[1].world().family else { panic!("two-way") };
    assert!((large.interaction_sd - 0.1).abs() < 1e-12 && (large.arm_sd - 0.3).abs() < 1e-12, "{large:?}");
    assert!(matches!(file.scenarios[2].world().family, Family::Logistic(_)));
    assert!(!parse_file(WORLD, Overrides::default()).expect("complete").grid);
}

#[test]
fn strategies_say_what_definitions_say() {
    let text = format!(
        "{WORLD}\n[goal]\nworth = 40\ncurrency = \"EUR\"\nwindow = \"2d\"\n[delay]\nmean = \"6h\"\n\
         [[strategies]]\npolicy = \"thompson\"\nhalf_life = \"7d\"\nobjective = \"goal\"\ndelay = \"survival\"\n\
         typical_delay = \"5h\"\nexpected_visitors = \"run\"\n\
         [[strategies]]\nname = \"auto\"\npolicy = \"thompson\"\nhalf_life = \"auto\"\nexpected_visitors = 9\n"
    );
    let scenario = parse(&text).expect("allowed");
    let expected = Terms {
        half_life: HalfLife::Fixed(Span::DAY.times(7)),
        objective: Some(Objective::Goal),
        delay: Delay::Survival,
        typical_delay: Some(Span::HOUR.times(5)),
        expected: Expected::Run,
        ..Terms::default()
    };
    assert_eq!(scenario.strategies[0].terms, expected);
    let auto = scenario.strategies[1].terms;
    assert_eq!((auto.half_life, auto.expected), (HalfLife::Auto, Expected::Number(9)));
    let world = scenario.world();
    assert_eq!((world.delay, world.goal.window), (Some(Span::HOUR.times(6)), Span::DAY.times(2)));
}

#[test]
fn what_is_said_of_worlds_is_checked() {
    let with = |lines: &str| format!("{WORLD}\n{lines}\n");
    let strategy = |lines: &str| with(&format!("[[strategies]]\npolicy = \"thompson\"\n{lines}"));
    let family = |from: &str, to: &str| {
        assert!(FAMILY.contains(from), "{from}");
        FAMILY.replace(from, to)
    };
    let costly = WORLD.replace("key = \"b\"", "key = \"b\"\ncost = 2");
    let money = "[goal]\nkind = \"revenue\"\ncurrency = \"EUR\"\n";
    let cases: &[(String, &[&str])] = &[
        (with("[drift]\nkind = \"redraw\"\nevery = 5"), &["drift.kind", "\"season\""]),
        (with("[drift]\nkind = \"season\"\nperiod = 0\namplitude = 0.5"), &["drift.period: 0"]),
        (with("[drift]\nkind = \"season\"\nperiod = 9\namplitude = 1.5"), &["drift.amplitude: 1.5", "0 to 1"]),
        (with("[drift]\nkind = \"tide\""), &["tide", "ornstein-uhlenbeck"]),
        (with("[delay]\nmean = \"0s\""), &["delay.mean: \"0s\"", "from 1s"]),
        (
            WORLD.replace("key = \"b\"", "key = \"b\"\nmean_delay = \"soon\""),
            &["variations[1].mean_delay: \"soon\"", "1s"],
        ),
        (with("[goal]\nkind = \"count\""), &["goal.kind: \"count\"", "revenue"]),
        (with("[goal]\nworth = -1"), &["goal.worth: -1", "above 0"]),
        (with("[goal]\nworth = 3"), &["goal.worth", "currency"]),
        (with("[goal]\ncurrency = \"euro\""), &["goal.currency: \"euro\""]),
        (with("[goal]\nwindow = \"1ms\""), &["goal.window: \"1ms\""]),
        (with("[goal]\ncap = 5"), &["goal.cap: 5"]),
        (with(money), &["orders: nothing", "mean"]),
        (with("[orders]\nmean = 5\nsigma = 1"), &["orders: orders", "revenue"]),
        (with(&format!("{money}[orders]\nmean = 0\nsigma = 1")), &["orders.mean: 0"]),
        (with(&format!("{money}[orders]\nmean = 50\nsigma = nan")), &["orders.sigma: NaN"]),
        (costly.clone(), &["goal.worth", "nothing"]),
        (WORLD.replace("key = \"b\"", "key = \"b\"\ncost = -1"), &["variations[1].cost: -1"]),
        (strategy("half_life = \"soon\""), &["strategies[0].half_life: \"soon\"", "auto"]),
        (strategy("half_life = \"1m\""), &["strategies[0].half_life: 1m", "1h to 365d"]),
        (strategy("objective = \"profit\""), &["strategies[0].objective: \"profit\"", "\"margin\""]),
        (strategy("objective = \"margin\""), &["goal.worth"]),
        (strategy("delay = \"guess\""), &["strategies[0].delay: \"guess\"", "\"survival\""]),
        (strategy("typical_delay = 5"), &["strategies[0].typical_delay: 5"]),
        (strategy("typical_delay = \"8d\""), &["strategies[0].typical_delay: 8d", "window"]),
        (strategy("goal = \"clicks\""), &["strategies[0].goal: \"clicks\"", "\"revenue\""]),
        (strategy("goal = \"revenue\""), &["goal.currency"]),
        (strategy("expected_visitors = -1"), &["strategies[0].expected_visitors: -1", "\"run\""]),
        (strategy("expected_visitors = 0"), &["strategies[0].expected_visitors: 0", "from 1"]),
        (strategy("budget = 5"), &["strategies[0].budget: 5", "per_visitor"]),
        (strategy("budget = { per_visitor = 0 }"), &["strategies[0].budget", "above 0"]),
        (strategy("budget = { per_visitor = 1, hrad = true }"), &["strategies[0].budget", "hard"]),
        (strategy("budget = { per_visitor = 1 }"), &["strategies[0].budget", "cost"]),
        (family("base = 0.04", "base = 0"), &["cell \"small\": family.base: 0", "above 0"]),
        (family("segments = 5", "segments = 0"), &["family.segments: 0", "10000"]),
        (family("variations = 4\n", ""), &["family.variations: nothing"]),
        (family("interaction_sd = 0.1", "interaction_sd = -1"), &["family.interaction_sd: -1"]),
        (family("base = 0.04\n", ""), &["cell \"small\"", "base"]),
        (family("d = 3", "d = 65"), &["cell \"features\": family.d: 65", "64"]),
        (family("sd = 0.5 }", "sd = 0.5, theta = [[1.0]] }"), &["family.sd", "not both"]),
        (family("sd = 0.5 }", "theta = [[1.0]] }"), &["family.theta", "2 lists", "of 3"]),
        (family("name = \"large\"", "name = \"small\""), &["cells[1].name: \"small\"", "once"]),
        (family("name = \"large\"", ""), &["cells[1].name: nothing"]),
        (family("name = \"large\"", "name = \"a b\""), &["cell \"a b\": file name"]),
        (family("visitors_per_segment = 100", "visitors_per_segment = 1\nvisitors = 2"), &["visitors: 2", "not both"]),
        (family("visitors_per_segment = 100\n", ""), &["visitors: nothing"]),
        (
            family("[family]", "[drift]\nkind = \"redraw\"\nevery = 1\n[family]").replace("= 100", "= 2_000_000"),
            &["drift: ", "rates", "longer steps"],
        ),
        ("data = \"mushroom\"".to_owned() + WORLD, &["data: \"mushroom\" with variations", "not both"]),
        ("schema = \"no.toml\"".to_owned() + WORLD, &["schema: \"no.toml\"", "a file beside the scenario"]),
        (
            strategy("").replace("\"thompson\"", "\"linear-thompson\""),
            &["schema: attributes", "at least one attribute"],
        ),
        ("cells = []\nseed = 1\nruns = 1".to_owned(), &["cells: 0 of them"]),
    ];
    for (text, words) in cases {
        let refused = parse(text).expect_err(text).to_string();
        for word in *words {
            assert!(refused.contains(word), "{word:?} is not in: {refused}");
        }
    }
}

#[test]
fn every_scenario_of_the_project_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulations/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the project's scenarios") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        ScenarioFile::read(&path, Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert_eq!(count, SCENARIOS);
}

/// Files in `scenarios`.
const SCENARIOS: usize = 21;
