//! Over HTTP: rewards with values, costs and budgets, segments that borrow, policies that learn from features, delays, an end.

mod support;

use std::time::{Duration, Instant};

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

/// Two variations and revenue in euros, learned at once.
fn shop() -> Value {
    json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "policy": {"kind": "thompson", "pooling": "none", "floor": 0.2},
        "goals": [{"key": "order", "kind": "revenue", "currency": "EUR", "cap": 10_000, "delay": "none", "window": "1d"}],
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Decides for so many visitors, in batches, and rewards what `value` says of segment and variation by the visitor's index.
fn sell(site: &Site, contexts: &[Value], visitors: usize, value: &dyn Fn(usize, &Value) -> Option<Value>) {
    for batch in 0..visitors.div_ceil(500) {
        let indices = batch * 500..visitors.min((batch + 1) * 500);
        let requests: Vec<Value> = indices
            .clone()
            .map(|index| json!({"experiment": "hero", "context": contexts[index % contexts.len()]}))
            .collect();
        let answer = site.client.post("/v1/decide", &json!({"requests": requests}));
        let decisions = answer["decisions"].as_array().expect("a list");
        let rewards: Vec<Value> = indices
            .zip(decisions)
            .filter_map(|(index, decision)| {
                let mut reward = value(index, decision)?;
                reward["receipt"] = decision["receipt"].clone();
                Some(reward)
            })
            .collect();
        if !rewards.is_empty() {
            let answer = site.client.post("/v1/reward", &json!({"rewards": rewards}));
            for result in answer["results"].as_array().expect("a list") {
                assert_eq!(result["outcome"], "recorded", "{result}");
            }
        }
        site.settled(((batch + 1) * 500).min(visitors) as u64);
    }
}

fn variation<'a>(cell: &'a Value, key: &str) -> &'a Value {
    let variations = cell["variations"].as_array().expect("a list");
    variations.iter().find(|variation| variation["variation"] == key).expect("a variation")
}

#[test]
fn revenue_from_definition_to_report() {
    let site = Site::with(&shop());
    let settings = &site.client.get("/v1/experiments/hero")["settings"]["goals"][0];
    assert_eq!(settings["currency"], "EUR");
    // A fifth buys; bold sells for twice as much, and now and then for far too much.
    sell(&site, &[json!({})], 1_500, &|index, decision| {
        let value = if decision["variation"] == "bold" { 4_000 } else { 2_000 };
        let value = if index % 500 == 0 { 1_000_000 } else { value };
        (index % 5 == 0).then(|| json!({"value": value, "currency": "EUR"}))
    });
    let report = site.settled(1_500);
    assert_eq!((&report["rewards"]["recorded"], &report["rewards"]["capped"]), (&json!(300), &json!(3)));
    assert_eq!((&report["objective"], &report["allocation_of"]), (&json!("goal"), &json!("segment")));
    assert_eq!(report["borrowing"], Value::Null);
    for key in ["plain", "bold"] {
        let variation = variation(&report["totals"], key);
        let goal = &variation["goals"]["order"];
        let (mean, exposures) = (number(&goal["mean"]), number(&variation["exposures"]));
        assert_eq!(goal["currency"], "EUR");
        // Every arm begins with 20 visitors of the pooled mean.
        let raw = number(&goal["sum"]) / exposures;
        assert!((mean - raw).abs() < 0.15 * raw, "{variation}");
        assert!(number(&goal["interval"][0]) < mean && mean < number(&goal["interval"][1]), "{variation}");
        let rate = number(&goal["conversions"]) / exposures;
        assert!((number(&goal["conversion_rate"]["mean"]) - rate).abs() < 0.02, "{variation}");
        let order = number(&goal["sum"]) / number(&goal["conversions"]);
        assert!((number(&goal["order_value"]["mean"]) - order).abs() < 0.1 * order, "{variation}");
        assert!(goal["order_value"]["interval"][1].is_number() && goal.get("shrunken").is_none());
    }
    let bold = variation(&report["totals"], "bold");
    assert!(number(&bold["best_probability"]) > 0.9, "{bold}");
    let plain = variation(&report["totals"], "plain");
    // In minor units: some 400 less a visitor.
    assert!((100.0..700.0).contains(&number(&plain["expected_loss"])), "{plain}");
}

#[test]
fn rewards_with_values_are_refused_by_field() {
    let site = Site::with(&shop());
    let receipt = site.decide(json!({"experiment": "hero"}))["receipt"].clone();
    let refused = |body: &str, kind: &str, field: &str, allowed: &str| {
        let body = body.replace("RECEIPT", text(&receipt));
        let (_, found, problem) = site.client.problem("POST", "/v1/reward", &body);
        assert_eq!((found.as_str(), &problem["field"]), (kind, &json!(field)), "{body}: {problem}");
        assert!(problem.to_string().contains(allowed), "{problem}");
    };
    for (reward, field, allowed) in [
        (r#""value":5,"currency":"USD""#, "currency", "EUR"),
        (r#""value":1099511627777"#, "value", "1099511627776"),
        (r#""value":-1099511627777"#, "value", "1099511627776"),
        (r#""value":19.99"#, "value", "minor units"),
        (r#""goal":"order""#, "value", "minor units"),
    ] {
        refused(&format!(r#"{{"receipt":"RECEIPT",{reward}}}"#), "field-refused", field, allowed);
    }
    // JSON has neither; as a text they are no number.
    for given in ["NaN", "Infinity", r#""NaN""#, "1e999"] {
        let body = format!(r#"{{"receipt":{receipt},"value":{given}}}"#);
        assert_eq!(site.client.problem("POST", "/v1/reward", &body).1, "malformed", "{given}");
    }
    let report = site.settled(1);
    assert_eq!((&report["rewards"]["recorded"], &report["rewards"]["capped"]), (&json!(0), &json!(0)));
    let goal = &variation(&report["totals"], "bold")["goals"]["order"];
    assert_eq!((&goal["mean"], &goal["interval"], &goal["order_value"]), (&json!(0.0), &Value::Null, &Value::Null));
    let refund = site.client.post("/v1/reward", &json!({"receipt": receipt, "value": -500}));
    assert_eq!(refund["outcome"], "recorded");
}

#[test]
fn definitions_with_values_are_refused_by_field() {
    let site = Site::new();
    let refused = |change: &dyn Fn(&mut Value), field: &str, allowed: &str| {
        let mut body = shop();
        change(&mut body);
        let (status, _, problem) = site.client.problem("PUT", "/v1/experiments/hero", &body.to_string());
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{problem}");
        assert!(text(&problem["allowed"]).contains(allowed), "{problem}");
    };
    refused(&|d| d["goals"][0]["currency"] = json!("euro"), "goals[0].currency", "EUR");
    refused(&|d| d["goals"][0]["cap"] = json!(1_u64 << 41), "goals[0].cap", "1099511627776");
    refused(&|d| d["goals"][0]["typical_delay"] = json!("2d"), "goals[0].typical_delay", "below the window");
    refused(&|d| d["goals"][0]["delay"] = json!("soon"), "goals[0].delay", "survival");
    refused(&|d| d["policy"]["half_life"] = json!("never"), "policy.half_life", "whole number");
    refused(&|d| d["policy"]["epsilon"] = json!(0.1), "policy.epsilon", "pooling");
    refused(&|d| d["budget"] = json!({"amount": 100, "visitors": 10}), "budget", "with a cost");
    refused(&|d| d["variations"][1]["cost"] = json!(-1), "variations[1].cost", "minor units");
    refused(&|d| d["stopping"] = json!({"probability": 2}), "stopping.probability", "between");
    let learned = json!({"kind": "linear-thompson"});
    refused(&|d| d["policy"] = learned.clone(), "attributes", "at least one");
    let featured = |d: &mut Value| {
        d["policy"] = learned.clone();
        d["attributes"] = json!([{"name": "visits", "type": "number"}]);
    };
    refused(
        &|d| {
            featured(d);
            d["stopping"] = json!({"on_finish": "end"});
        },
        "stopping.on_finish",
        "keep",
    );
    refused(
        &|d| {
            featured(d);
            d["policy"]["pooling"] = json!("partial");
        },
        "policy.pooling",
        "",
    );
    refused(
        &|d| {
            featured(d);
            d["goals"][0]["delay"] = json!("wait");
        },
        "goals[0].delay",
        "none",
    );
}

#[test]
fn segments_borrow_unless_told_otherwise() {
    let mut definition = shop();
    definition["policy"] = json!({"kind": "thompson", "floor": 0.2});
    definition["segments"] = json!({"by": ["device"]});
    definition["goals"] = json!([{"key": "purchase", "delay": "none"}]);
    let site = Site::with(&definition);
    assert_eq!(site.client.get("/v1/experiments/hero")["settings"]["policy"]["pooling"], "partial");
    let contexts = ["mobile", "desktop", "tablet"].map(|device| json!({"device": device}));
    // Bold converts twice as well, everywhere alike.
    sell(&site, &contexts, 3_000, &|index, decision| {
        let every = if decision["variation"] == "bold" { 5 } else { 10 };
        ((index / 3) % every == 0).then(|| json!({}))
    });
    let report = site.settled(3_000);
    let borrowing = &report["borrowing"];
    assert!(number(&borrowing["tau"]) < 0.5 && text(&borrowing["words"]).starts_with("Segments"), "{borrowing}");
    let segments = report["segments"].as_array().expect("a list");
    assert_eq!(segments.len(), 3);
    for segment in segments {
        let own = number(&segment["own_weight"]);
        assert!((0.0..=1.0).contains(&own), "{segment}");
        assert!(number(&segment["allocation"]["bold"]) > 0.7, "{segment}");
        let bold = variation(segment, "bold");
        assert!(number(&bold["best_probability"]) > 0.95, "{bold}");
        let goal = &bold["goals"]["purchase"];
        let [low, high] = [0, 1].map(|end| number(&goal["shrunken"]["interval"][end]));
        let mean = number(&goal["shrunken"]["mean"]);
        assert!(low < mean && mean < high && (0.15..0.26).contains(&mean), "{goal}");
        assert!(segment.get("effective_exposures").is_none() && segment["open_exposures"] == segment["exposures"]);
    }
    let total = variation(&report["totals"], "bold");
    assert!((number(&total["goals"]["purchase"]["shrunken"]["mean"]) - 0.2).abs() < 0.02, "{total}");
    let stopping = &report["stopping"];
    assert_eq!((&stopping["finished"], &stopping["reason"]), (&json!(false), &json!("too_young")));
    assert_eq!(stopping["best"], "bold");
    assert!(text(&stopping["sentence"]).starts_with("Not finished: it has to run 7 more days"), "{stopping}");
}

#[test]
fn costs_make_margin_the_objective_and_a_budget_ends_spending() {
    let mut definition = shop();
    definition["variations"] = json!([{"key": "plain"}, {"key": "discount", "cost_per_conversion": 500}]);
    definition["goals"] =
        json!([{"key": "purchase", "worth": 2_000, "currency": "EUR", "delay": "none", "window": "1d"}]);
    definition["budget"] = json!({"amount": 20_000, "visitors": 10_000});
    let site = Site::with(&definition);
    sell(&site, &[json!({})], 1_500, &|index, decision| {
        let every = if decision["variation"] == "discount" { 4 } else { 10 };
        index.is_multiple_of(every).then(|| json!({}))
    });
    let report = site.settled(1_500);
    assert_eq!(report["objective"], "margin");
    let (plain, discount) = (variation(&report["totals"], "plain"), variation(&report["totals"], "discount"));
    // 10 % of 2,000 against 25 % of 1,500.
    assert!((number(&plain["margin"]["mean"]) - 200.0).abs() < 60.0, "{plain}");
    assert!((number(&discount["margin"]["mean"]) - 375.0).abs() < 100.0, "{discount}");
    let spending = &report["spending"];
    let conversions = number(&discount["goals"]["purchase"]["conversions"]);
    assert!((number(&spending["spent"]) - 500.0 * conversions).abs() < 1e-6, "{spending}");
    let budget = &spending["budget"];
    assert_eq!((&budget["amount"], &budget["visitors"]), (&json!(20_000.0), &json!(10_000)));
    assert!(number(&budget["price"]) > 0.0 && budget["spent"] == spending["spent"], "{budget}");
    assert_eq!(budget["exhausted"], number(&spending["spent"]) + 500.0 > 20_000.0, "{budget}");
    if budget["exhausted"] == true {
        let after = site.decide(json!({"experiment": "hero"}));
        assert_eq!(after["variation"], "plain");
    }
}

#[test]
fn a_policy_learns_from_features() {
    let mut definition = shop();
    definition["policy"] = json!({"kind": "linear-thompson"});
    definition["attributes"] = json!([
        {"name": "plan", "type": "text", "levels": ["free", "paid"]}, {"name": "visits", "type": "number", "sd": 2.0}]);
    definition["goals"] = json!([{"key": "purchase"}]);
    let site = Site::with(&definition);
    let settings = site.client.get("/v1/experiments/hero")["settings"].clone();
    assert_eq!(settings["goals"][0]["delay"], "none", "{settings}");
    let context = |paid: bool| json!({"plan": if paid { "paid" } else { "free" }, "visits": 1, "colour": "red"});
    let first = site.decide(json!({"experiment": "hero", "visitor": "v", "context": context(true)}));
    assert_eq!(first["ignored"], json!(["colour"]));
    // What was seen of the visitor travels in the receipt.
    let (status, _) = site.client.send("PUT", "/v1/experiments/bare", &shop());
    assert_eq!(status, 201);
    let bare = site.decide(json!({"experiment": "bare", "visitor": "v", "context": context(true)}));
    assert!(text(&first["receipt"]).len() >= text(&bare["receipt"]).len() + 10, "{first} {bare}");
    sell(&site, &[context(true), context(false)], 3_000, &|index, decision| {
        let liked = (decision["variation"] == "bold") == (index % 2 == 0);
        (index % 10 < if liked { 6 } else { 2 }).then(|| json!({}))
    });
    for (paid, best) in [(true, "bold"), (false, "plain")] {
        let asked = json!({"experiment": "hero", "visitor": "v", "context": context(paid), "explain": true});
        let propensities = &site.decide(asked)["explanation"]["propensities"];
        assert!(number(&propensities[best]) > 0.9, "{paid}: {propensities}");
    }
    let report = site.settled(3_001);
    assert_eq!(report["allocation_of"], "unknown_visitor");
    assert_eq!((&report["stopping"], &report["borrowing"]), (&Value::Null, &Value::Null));
    let bold = variation(&report["totals"], "bold");
    assert_eq!((&bold["best_probability"], &bold["removed"]), (&Value::Null, &json!(false)));
    assert!(number(&bold["goals"]["purchase"]["mean"]) > 0.2, "{bold}");
}

#[test]
fn rewards_that_take_long_are_waited_for_by_default() {
    let mut definition = shop();
    definition["goals"] = json!([
        {"key": "order", "kind": "revenue", "currency": "EUR", "role": "primary", "window": "2d"},
        {"key": "click", "window": "1h"}, {"key": "pages", "kind": "count"}]);
    let site = Site::with(&definition);
    let settings = site.client.get("/v1/experiments/hero")["settings"].clone();
    let delays: Vec<&str> =
        settings["goals"].as_array().expect("a list").iter().map(|goal| text(&goal["delay"])).collect();
    assert_eq!(delays, ["survival", "none", "survival"]);
    sell(&site, &[json!({})], 400, &|index, _| (index % 4 == 0).then(|| json!({"goal": "pages", "value": 3})));
    let early = site.settled(400);
    assert_eq!(early["totals"]["open_exposures"], 400);
    assert!(number(&early["totals"]["effective_exposures"]) < 40.0, "{}", early["totals"]["effective_exposures"]);
    let pages = &variation(&early["totals"], "bold")["goals"]["pages"];
    assert!((number(&pages["mean"]) - 0.75).abs() < 0.3 && number(&pages["sum"]) > 0.0, "{pages}");
    // Time passes with what happens: one visitor more, half a day later, then after all windows are closed.
    site.clock.set(START + Span::HOUR.times(12));
    site.decide(json!({"experiment": "hero"}));
    let later = number(&site.settled(401)["totals"]["effective_exposures"]);
    assert!((100.0..300.0).contains(&later), "half of the rewards within a quarter of the window: {later}");
    site.clock.set(START + Span::DAY.times(4));
    site.decide(json!({"experiment": "hero"}));
    let report = site.settled(402);
    assert_eq!(report["totals"]["open_exposures"], 1);
    assert!((number(&report["totals"]["effective_exposures"]) - 401.0).abs() < 1.0, "{report}");
}

#[test]
fn what_is_forgotten_counts_for_less() {
    let mut definition = shop();
    definition["policy"] = json!({"kind": "thompson", "half_life": "1d"});
    let site = Site::with(&definition);
    sell(&site, &[json!({})], 100, &|_, _| None);
    site.clock.set(START + Span::DAY.times(2));
    site.decide(json!({"experiment": "hero"}));
    let totals = site.settled(101)["totals"].clone();
    assert_eq!(totals["half_life"], "1d");
    // After its window a day is one bucket, whose middle, at noon, is 44 hours ago; the newcomer is new.
    let expected = 100.0 * (-44.0 / 24.0_f64).exp2() + 1.0;
    assert!((number(&totals["effective_exposures"]) - expected).abs() < 0.1, "{totals}");
}

#[test]
fn revenue_is_compared_with_the_control_group() {
    let mut definition = shop();
    definition["control"] = json!(0.5);
    definition["policy"] = json!({"kind": "fixed", "shares": {"plain": 0.0, "bold": 1.0}, "floor": 0});
    let site = Site::with(&definition);
    let requests: Vec<Value> =
        (0..400).map(|index| json!({"experiment": "hero", "visitor": format!("v{index}")})).collect();
    let answer = site.client.post("/v1/decide", &json!({"requests": requests}));
    let decisions = answer["decisions"].as_array().expect("a list");
    let reward = |decision: &Value| {
        let value = if decision["control"] == true { 100 } else { 300 };
        json!({"receipt": decision["receipt"], "value": value})
    };
    let rewards: Vec<Value> = decisions.iter().map(reward).collect();
    site.client.post("/v1/reward", &json!({"rewards": rewards}));
    let report = site.settled(400);
    let value = &report["control"]["goals"]["order"]["value"];
    assert_eq!((&value["control_mean"], &value["treated_mean"]), (&json!(100.0), &json!(300.0)));
    assert_eq!((&value["difference"], &value["relative_lift"]), (&json!(200.0), &json!(2.0)));
}

/// A verdict that comes with the first day of visitors.
fn soon(on_finish: &str) -> Value {
    let mut definition = shop();
    definition["goals"] = json!([{"key": "purchase", "delay": "none"}]);
    definition["stopping"] = json!({"span_min": "1h", "conversions_min": 10, "on_finish": on_finish});
    definition
}

#[expect(clippy::disallowed_methods, reason = "waits for a background thread in real time")]
fn ended(site: &Site, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if site.client.get("/v1/experiments/hero")["status"] == "ended" {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn an_experiment_ends_by_itself_where_its_definition_says_so() {
    for (on_finish, ends) in [("end", true), ("keep", false)] {
        let site = Site::with(&soon(on_finish));
        let convert = |index: usize, decision: &Value| {
            let every = if decision["variation"] == "bold" { 2 } else { 20 };
            index.is_multiple_of(every).then(|| json!({}))
        };
        sell(&site, &[json!({})], 1_000, &convert);
        let young = &site.settled(1_000)["stopping"];
        assert_eq!((&young["finished"], &young["reason"]), (&json!(false), &json!("too_young")), "{young}");
        site.clock.set(START + Span::HOUR.times(3));
        site.decide(json!({"experiment": "hero"}));
        let stopping = &site.settled(1_001)["stopping"];
        assert_eq!(
            (&stopping["finished"], &stopping["reason"]),
            (&json!(true), &json!("value_remaining")),
            "{stopping}"
        );
        assert!(text(&stopping["sentence"]).starts_with("Finished: show bold."), "{stopping}");
        assert!(number(&stopping["value_remaining"]) < 0.01 && number(&stopping["equivalence_probability"]) < 0.05);
        // The clock went on by hours: the next look is due.
        let within = if ends { Duration::from_secs(10) } else { Duration::from_millis(1_500) };
        assert_eq!(ended(&site, within), ends, "{on_finish}");
        let answer = site.decide(json!({"experiment": "hero"}));
        assert_eq!(answer["reason"], if ends { "not_running" } else { "policy" });
    }
}
