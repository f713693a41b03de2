//! Rules on worlds where it is known what they must say.

use super::*;
use crate::simulations::scenario::{Overrides, ScenarioFile};

const SCENARIO: &str = r#"
seed = 1
runs = 6
visitors = 20_000
interval = "1s"
[[variations]]
key = "a"
[[variations]]
key = "b"
[[segments]]
key = "all"
conversion = { a = 0.1, b = RATE }
[stopping]
every = 1_000
[[stopping.rules]]
name = "remaining"
value_remaining = 0.1
equivalence = 0.0
span_min = "0s"
conversions_min = 0
[[stopping.rules]]
name = "old enough"
value_remaining = 0.1
equivalence = 0.0
span_min = "10000s"
conversions_min = 0
[[stopping.rules]]
name = "alike"
value_remaining = 0.0
equivalence = 0.2
span_min = "0s"
conversions_min = 0
[[strategies]]
policy = "uniform"
"#;

fn result(rate: &str) -> StoppingResult {
    let text = SCENARIO.replace("RATE", rate);
    let scenario = ScenarioFile::parse("stopping.toml", "stopping", &text, Overrides::default());
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}")).scenarios.remove(0);
    let asked = scenario.stopping.as_ref().expect("it has rules");
    let stop = AtomicBool::new(false);
    run_all(&scenario, scenario.world(), asked, &stop, &ProgressBar::hidden()).expect("not stopped")
}

#[test]
fn what_is_clear_is_said_at_once_and_nothing_is_lost() {
    let result = result("0.3");
    let [remaining, old, alike] = &result.rows[..] else { panic!("{:?}", result.rows) };
    assert!((remaining.visitors_median - 1_000.0).abs() < 1e-9, "{remaining:?}");
    // A bucket's length is what the age is known to at most: the 10,000th visitor comes 9,999 seconds after the first.
    assert!((10_000.0..=14_000.0).contains(&old.visitors_median), "{old:?}");
    for row in [remaining, old] {
        assert!(row.loss_mean.abs() < 1e-12 && row.exceeded.abs() < 1e-12 && row.unfinished.abs() < 1e-12, "{row:?}");
    }
    // Not alike, and a variation that remains ahead of nothing is never sure enough.
    assert!(alike.alike.abs() < 1e-12, "{alike:?}");
    assert!(result.sample_ratio.passes(), "{:?}", result.sample_ratio);
}

#[test]
fn what_is_alike_is_found_to_be_and_costs_nothing() {
    let result = result("0.1");
    let alike = &result.rows[2];
    assert!((alike.alike - 1.0).abs() < 1e-12 && alike.unfinished.abs() < 1e-12, "{alike:?}");
    assert!(alike.visitors_median < 20_000.0 && alike.loss_mean.abs() < 1e-12, "{alike:?}");
}

#[test]
fn rules_are_refused_where_they_cannot_be_asked() {
    let refusals = [
        ("every = 1_000", "every = 0", "stopping.every"),
        ("policy = \"uniform\"", "policy = \"oracle\"", "strategies[0].policy"),
        ("span_min = \"10000s\"", "span_min = \"soon\"", "stopping.rules[1].span_min"),
        ("equivalence = 0.2", "equivalence = 1.0", "stopping.rules[2].equivalence"),
        (
            "[stopping]",
            "[[segments]]\nkey = \"more\"\ncontext.x = 1\nconversion = { a = 0.1, b = 0.1 }\n[stopping]",
            "stopping",
        ),
    ];
    for (from, to, field) in refusals {
        let text = SCENARIO.replace("RATE", "0.1").replace(from, to);
        let error = ScenarioFile::parse("s.toml", "s", &text, Overrides::default()).expect_err(to).to_string();
        assert!(error.starts_with(&format!("s.toml: {field}: ")), "{error}");
    }
}
