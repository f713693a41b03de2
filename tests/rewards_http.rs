//! Over HTTP: several rewards of one decision, amended and retracted.

mod support;

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

/// An order that counts as the sum of its parts, a rating whose last word counts, a purchase that happens once.
fn shop() -> Value {
    json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "policy": {"kind": "thompson", "pooling": "none", "floor": 0.2},
        "goals": [
            {"key": "order", "kind": "revenue", "currency": "EUR", "rewards": "sum", "cap": 10_000, "window": "1d",
             "role": "primary"},
            {"key": "rating", "kind": "count", "rewards": "last", "window": "1d"},
            {"key": "purchase", "window": "1d"},
        ],
    })
}

/// A site and the receipt of its only decision.
fn decided() -> (Site, Value) {
    let site = Site::with(&shop());
    let receipt = site.decide(json!({"experiment": "hero"}))["receipt"].clone();
    site.settled(1);
    (site, receipt)
}

/// With the receipt in its place.
fn about(receipt: &Value, mut body: Value) -> Value {
    body["receipt"] = receipt.clone();
    body
}

/// Of a goal, over all variations.
fn total(site: &Site, goal: &str, field: &str) -> i64 {
    let report = site.client.get("/v1/experiments/hero/report");
    let variations = report["totals"]["variations"].as_array().expect("a list");
    variations.iter().filter_map(|variation| variation["goals"][goal][field].as_i64()).sum()
}

#[test]
fn several_rewards_come_to_what_their_goal_says() {
    let (site, receipt) = decided();
    let settings = &site.client.get("/v1/experiments/hero")["settings"]["goals"];
    let written = [0, 1, 2].map(|index| text(&settings[index]["rewards"]).to_owned());
    assert_eq!(written, ["sum", "last", "first"], "the default is written out");
    let rewards = [
        json!({"goal": "order", "value": 3_000, "reward_id": "shoes"}),
        json!({"goal": "order", "value": 1_500, "reward_id": "hat"}),
        json!({"goal": "order", "value": -500, "reward_id": "voucher"}),
        json!({"goal": "rating", "value": 5, "reward_id": "first look"}),
        json!({"goal": "rating", "value": 2, "reward_id": "second look"}),
        json!({"goal": "purchase", "reward_id": "order-991"}),
        json!({"goal": "purchase", "reward_id": "order-992"}),
    ]
    .map(|reward| about(&receipt, reward));
    let answer = site.client.post("/v1/reward", &json!({"rewards": rewards}));
    let results = answer["results"].as_array().expect("a list");
    assert!(results.iter().all(|result| result["outcome"] == "recorded"), "{answer}");
    assert_eq!((&results[4]["learned"], &results[6]["why"]), (&json!(true), &json!("already_converted")));
    assert_eq!(["order", "rating"].map(|goal| total(&site, goal, "sum")), [4_000, 2]);
    assert_eq!(["order", "rating", "purchase"].map(|goal| total(&site, goal, "conversions")), [1, 1, 1]);
    // What they come to is capped, not each of them.
    let more = json!({"goal": "order", "value": 9_000, "reward_id": "coat"});
    site.client.post("/v1/reward", &about(&receipt, more));
    let report = site.client.get("/v1/experiments/hero/report");
    assert_eq!((total(&site, "order", "sum"), &report["rewards"]["capped"]), (10_000, &json!(1)));
    let summed = shop().to_string().replace(r#""key":"purchase""#, r#""key":"purchase","rewards":"sum""#);
    let (status, kind, problem) = site.client.problem("PUT", "/v1/experiments/hero", &summed);
    assert_eq!((status, kind.as_str(), &problem["field"]), (422, "field-refused", &json!("goals[2].rewards")));
}

#[test]
fn amended_and_retracted_rewards_leave_what_is_in_force() {
    let (site, receipt) = decided();
    let send = |body: Value| site.client.post("/v1/reward", &about(&receipt, body));
    send(json!({"value": 3_000, "reward_id": "shoes"}));
    send(json!({"value": 1_500, "reward_id": "hat"}));
    send(json!({"goal": "rating", "value": 5, "reward_id": "one"}));
    send(json!({"goal": "rating", "value": 2, "reward_id": "two"}));
    send(json!({"goal": "purchase"}));
    // Its window is over; the rewards were in time, and that is what counts.
    site.clock.set(START + Span::DAY.times(40));
    let amended = send(json!({"action": "amend", "value": 2_000, "reward_id": "shoes"}));
    assert_eq!(amended, json!({"outcome": "recorded", "reward_id": "shoes", "learned": true}));
    assert_eq!(send(json!({"action": "amend", "value": 2_000, "reward_id": "shoes"}))["outcome"], "repeated");
    assert_eq!(total(&site, "order", "sum"), 3_500);
    let list = [
        json!({"action": "retract", "reward_id": "hat"}),
        json!({"action": "retract", "goal": "rating", "reward_id": "two"}),
        json!({"action": "retract", "goal": "purchase"}),
        json!({"action": "retract", "goal": "purchase"}),
        json!({"action": "retract", "goal": "purchase", "reward_id": "never"}),
    ]
    .map(|body| about(&receipt, body));
    let answer = site.client.post("/v1/reward", &json!({"rewards": list}));
    let outcomes = [0, 1, 2, 3].map(|index| text(&answer["results"][index]["outcome"]).to_owned());
    assert_eq!(outcomes, ["recorded", "recorded", "recorded", "repeated"]);
    assert_eq!(answer["results"][4]["type"], "/problems/reward-unknown");
    assert_eq!(["order", "rating"].map(|goal| total(&site, goal, "sum")), [2_000, 5]);
    assert_eq!(total(&site, "purchase", "conversions"), 0);
    let rewards = &site.client.get("/v1/experiments/hero/report")["rewards"];
    let counts = ["recorded", "amended", "retracted", "repeated", "refused"].map(|name| rewards[name].clone());
    assert_eq!(counts, [5, 1, 3, 2, 1].map(|count| json!(count)));
    // A repeat of the reward brings nothing back; an amendment does.
    assert_eq!(send(json!({"goal": "purchase"}))["outcome"], "repeated");
    assert_eq!(total(&site, "purchase", "conversions"), 0);
    send(json!({"action": "amend", "goal": "purchase", "value": 1}));
    assert_eq!(total(&site, "purchase", "conversions"), 1);
}

#[test]
fn what_came_late_stays_late_whatever_is_amended() {
    let (site, receipt) = decided();
    let send = |body: Value| site.client.post("/v1/reward", &about(&receipt, body));
    site.clock.set(START + Span::DAY.times(2));
    assert_eq!(send(json!({"value": 3_000}))["outcome"], "late");
    let amended = send(json!({"action": "amend", "value": 1_000}));
    assert_eq!((&amended["outcome"], &amended["why"]), (&json!("late"), &json!("after_window")));
    assert_eq!(send(json!({"action": "retract"}))["outcome"], "late");
    assert_eq!(send(json!({"action": "retract"}))["outcome"], "repeated");
    assert_eq!(total(&site, "order", "conversions"), 0);
}

#[test]
fn a_deferred_decision_is_rewarded_as_amended() {
    let site = Site::with(&shop());
    let receipt = site.decide(json!({"experiment": "hero", "defer": true}))["receipt"].clone();
    let send = |body: Value| site.client.post("/v1/reward", &about(&receipt, body));
    send(json!({"value": 3_000}));
    let amended = send(json!({"action": "amend", "value": 800}));
    assert_eq!((&amended["outcome"], &amended["why"]), (&json!("recorded"), &json!("awaits_activation")));
    assert_eq!(total(&site, "order", "sum"), 0);
    site.client.post("/v1/activate", &json!({"receipt": receipt}));
    assert_eq!(total(&site, "order", "sum"), 800);
}

#[test]
fn corrections_are_refused_by_name() {
    let (site, receipt) = decided();
    site.client.post("/v1/reward", &about(&receipt, json!({"value": 3_000})));
    for (body, expected_kind, field) in [
        (json!({"action": "undo"}), "field-refused", "action"),
        (json!({"action": "amend"}), "field-refused", "value"),
        (json!({"action": "amend", "value": 0.5}), "field-refused", "value"),
        (json!({"action": "amend", "value": 5, "currency": "USD"}), "field-refused", "currency"),
        (json!({"action": "amend", "value": 5, "occurred_at": "2027-01-15T08:00:00Z"}), "field-refused", "occurred_at"),
        (json!({"action": "retract", "value": 0}), "field-refused", "value"),
        (json!({"action": "retract", "reward_id": "order-991"}), "reward-unknown", "reward_id"),
        (json!({"action": "retract", "goal": "purchase"}), "reward-unknown", "reward_id"),
        (json!({"action": "retract", "goal": "puchase"}), "goal-unknown", "goal"),
    ] {
        let body = about(&receipt, body).to_string();
        let (status, kind, problem) = site.client.problem("POST", "/v1/reward", &body);
        assert_eq!((kind.as_str(), &problem["field"]), (expected_kind, &json!(field)), "{body}: {problem}");
        assert_eq!(status, if expected_kind == "reward-unknown" { 404 } else { 422 });
    }
    let beside = json!({"action": "amend", "rewards": [{"receipt": receipt, "value": 1}]}).to_string();
    assert_eq!(site.client.problem("POST", "/v1/reward", &beside).2["field"], "rewards");
    for value in 0..63 {
        let body = about(&receipt, json!({"action": "amend", "value": value}));
        assert_eq!(site.client.post("/v1/reward", &body)["outcome"], "recorded");
    }
    let one_more = about(&receipt, json!({"action": "amend", "value": 64})).to_string();
    let (status, kind, problem) = site.client.problem("POST", "/v1/reward", &one_more);
    assert_eq!((status, kind.as_str()), (409, "too-many-rewards"), "{problem}");
    assert_eq!(total(&site, "order", "sum"), 62);
}
