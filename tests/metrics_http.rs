//! `GET /metrics`: what happened is counted, and the text is what Prometheus reads.

mod support;

use serde_json::json;
use support::site::Site;

/// The value of a line.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn what_happens_is_counted() {
    let definition = json!({
        "status": "running", "audience": "country == \"FR\"",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "goals": [{"key": "purchase", "window": "7d"}],
    });
    let site = Site::with(&definition);
    let mut receipt = json!(null);
    for visitor in 0..400 {
        let context = json!({"country": "FR"});
        receipt =
            site.decide(json!({"experiment": "hero", "visitor": format!("v{visitor}"), "context": context}))["receipt"]
                .clone();
    }
    site.decide(json!({"experiment": "hero", "visitor": "w"}));
    site.decide(json!({"experiment": "hero", "visitor": "w", "explain": true}));
    for _ in 0..2 {
        site.client.post("/v1/reward", &json!({"receipt": receipt}));
    }
    site.client.problem("POST", "/v1/reward", &json!({"receipt": receipt, "goal": "nothing"}).to_string());
    site.settled(400);
    let text = site.client.text("/metrics");
    for (name, expected) in [
        ("mabel_decisions_total{reason=\"policy\"}", 400.0),
        ("mabel_decisions_total{reason=\"not_in_audience\"}", 1.0),
        ("mabel_decisions_total{reason=\"unavailable\"}", 0.0),
        ("mabel_rewards_total{experiment=\"hero\",outcome=\"recorded\"}", 1.0),
        ("mabel_rewards_total{experiment=\"hero\",outcome=\"repeated\"}", 1.0),
        ("mabel_rewards_total{experiment=\"hero\",outcome=\"refused\"}", 1.0),
        ("mabel_failed_conditions_total{experiment=\"hero\"}", 2.0),
        ("mabel_segments{experiment=\"hero\"}", 1.0),
        ("mabel_sample_ratio_alarm{experiment=\"hero\"}", 0.0),
        ("mabel_ready", 1.0),
        ("mabel_exposures_lost_total", 0.0),
        ("mabel_http_request_seconds_count{path=\"/v1/decide\"}", 402.0),
        ("mabel_http_request_seconds_bucket{le=\"+Inf\",path=\"/v1/reward\"}", 3.0),
    ] {
        let found = value(&text, name);
        assert!((found - expected).abs() < 1e-9, "{name} {found}, not {expected}");
    }
    // All 402 events are settled; an allocation that they made due may be on its way.
    assert!(value(&text, "mabel_queue_events") <= 2.0);
    assert!(value(&text, "mabel_commit_seconds_count") >= 1.0);
    assert!(value(&text, "mabel_refresh_seconds_count") >= 1.0);
    assert!(value(&text, "mabel_sample_ratio_z{experiment=\"hero\"}") < 4.0);
    assert!(value(&text, "mabel_committed_events_total") >= 402.0);
    assert_eq!(text.lines().last(), Some("# EOF"));
    // A type and a help for every name, once.
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut once = types.clone();
    once.dedup();
    assert_eq!(types.len(), once.len());
    assert_eq!(types.len(), text.lines().filter(|line| line.starts_with("# HELP")).count());
}
