//! Over HTTP: tracking events, which name what happened and not in which experiment it matters.

mod support;

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

fn definition(unit: &str, goals: Value) -> Value {
    json!({
        "status": "running",
        "unit": unit,
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "goals": goals,
    })
}

fn purchase() -> Value {
    json!([{"key": "purchase", "window": "7d"}])
}

/// `hero` and `banner` keep visitors with their variations, `teaser` draws each decision anew; `banner` measures revenue as well, and
/// only `shelf` does not care for purchases.
fn site() -> Site {
    let site = Site::with(&definition("visitor", purchase()));
    let revenue = json!([{"key": "purchase", "kind": "revenue", "currency": "EUR", "rewards": "sum"}]);
    let clicks = json!([{"key": "click"}]);
    for (key, definition) in [
        ("banner", definition("visitor", revenue)),
        ("shelf", definition("visitor", clicks)),
        ("teaser", definition("decision", purchase())),
    ] {
        let (status, answer) = site.client.send("PUT", &format!("/v1/experiments/{key}"), &definition);
        assert_eq!(status, 201, "{answer}");
    }
    site
}

fn decide(site: &Site, experiment: &str, visitor: &str) -> Value {
    site.decide(json!({"experiment": experiment, "visitor": visitor}))
}

fn track(site: &Site, body: &Value) -> Value {
    site.client.post("/v1/track", body)
}

fn outcomes(answer: &Value) -> Vec<(&str, &str)> {
    let results = answer["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut outcomes: Vec<_> =
        results.iter().map(|result| (result["experiment"].as_str().unwrap_or("?"), text(&result["outcome"]))).collect();
    outcomes.sort_unstable();
    outcomes
}

fn recorded(site: &Site, experiment: &str) -> u64 {
    let report = site.client.get(&format!("/v1/experiments/{experiment}/report"));
    report["rewards"]["recorded"].as_u64().expect("a count")
}

#[test]
fn an_event_of_a_visitor_is_a_reward_wherever_it_matters() {
    let site = site();
    for experiment in ["hero", "banner", "shelf", "teaser"] {
        decide(&site, experiment, "v");
    }
    let event =
        json!({"name": "purchase", "targetingKey": "v", "value": 1999, "currency": "EUR", "track_id": "order-1"});
    let answer = track(&site, &event);
    assert_eq!(outcomes(&answer), [("banner", "recorded"), ("hero", "recorded")], "{answer}");
    assert_eq!((&answer["name"], &answer["without_goal"]), (&json!("purchase"), &json!(["shelf"])));
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["reward_id"] == "order-1"));
    let again = track(&site, &event);
    assert_eq!(outcomes(&again), [("banner", "repeated"), ("hero", "repeated")], "{again}");
    let second = json!({"name": "purchase", "visitor": "v", "value": 1, "reward_id": "order-2"});
    let second = track(&site, &second);
    let hero = second["results"].as_array().expect("results").iter().find(|result| result["experiment"] == "hero");
    assert_eq!(hero.map(|hero| &hero["why"]), Some(&json!("already_converted")), "{second}");
    let known = site.client.get("/v1/visitors/v");
    let banner = known["assignments"].as_array().expect("a list").iter().find(|known| known["experiment"] == "banner");
    let values = banner.expect("assigned")["rewards"].as_array().expect("rewards").iter();
    assert_eq!(values.map(|reward| reward["value"].as_i64().expect("a value")).collect::<Vec<_>>(), [1999, 1]);
    for (name, visitor) in [("purchase", "nobody"), ("nothing", "nobody")] {
        let nothing = track(&site, &json!({"name": name, "visitor": visitor}));
        assert_eq!(nothing, json!({"name": name, "results": [], "without_goal": []}), "nothing found is an answer");
    }
}

#[test]
fn an_event_of_receipts_is_a_reward_of_those_decisions_alone() {
    let site = site();
    let hero = decide(&site, "hero", "v")["receipt"].clone();
    let teaser = decide(&site, "teaser", "v")["receipt"].clone();
    let shelf = decide(&site, "shelf", "v")["receipt"].clone();
    decide(&site, "banner", "v");
    let answer = track(&site, &json!({"name": "purchase", "receipts": [hero, teaser, shelf, "forged", hero]}));
    assert_eq!(outcomes(&answer), [("?", "refused"), ("hero", "recorded"), ("teaser", "recorded")], "{answer}");
    let refused = answer["results"].as_array().expect("results").iter().find(|result| result["outcome"] == "refused");
    assert_eq!(refused.map(|refused| &refused["problem"]["type"]), Some(&json!("/problems/receipt-malformed")));
    assert_eq!((&answer["without_goal"], recorded(&site, "banner")), (&json!(["shelf"]), 0));
    // With the visitor besides, each decision counts once.
    let both = json!({"name": "purchase", "visitor": "v", "receipts": [hero], "value": 5, "track_id": "order-7"});
    assert_eq!(outcomes(&track(&site, &both)), [("banner", "recorded"), ("hero", "recorded")]);
    assert_eq!(track(&site, &json!({"name": "purchase", "receipts": []}))["results"], json!([]));
}

#[test]
fn what_was_not_seen_has_caused_nothing() {
    let site = site();
    let prefetched = site.client.post("/ofrep/v1/evaluate/flags", &json!({"context": {"targetingKey": "v"}}));
    assert_eq!(prefetched["metadata"]["trackUrl"], "/v1/track");
    let event = json!({"name": "purchase", "visitor": "v", "value": 100, "currency": "EUR"});
    assert_eq!(outcomes(&track(&site, &event)), []);
    site.client.post("/v1/activate", &json!({"experiment": "hero", "visitor": "v"}));
    assert_eq!(outcomes(&track(&site, &event)), [("hero", "recorded")]);
    // Neither has what was decided after it happened.
    site.clock.set(START + Span::DAY);
    decide(&site, "hero", "w");
    let before = json!({"name": "purchase", "visitor": "w", "occurred_at": "2027-01-15T09:00:00Z"});
    assert_eq!(outcomes(&track(&site, &before)), []);
    site.clock.set(START + Span::DAY.times(20));
    assert_eq!(outcomes(&track(&site, &json!({"name": "purchase", "visitor": "w"}))), [("hero", "late")]);
}

#[test]
fn values_are_read_as_each_goal_means_them() {
    let site = site();
    let count = definition("visitor", json!([{"key": "purchase", "kind": "count", "rewards": "sum"}]));
    site.client.send("PUT", "/v1/experiments/often", &count);
    for (visitor, event, hero, banner, often) in [
        ("a", json!({"value": 1999, "currency": "EUR"}), Some(1), Some(1999), Some(1)),
        ("b", json!({}), Some(1), None, Some(1)),
        ("c", json!({"value": 3}), Some(1), Some(3), Some(3)),
        ("d", json!({"value": 0}), Some(0), Some(0), Some(0)),
        ("e", json!({"value": 19.99, "currency": "EUR"}), Some(1), None, Some(1)),
        ("f", json!({"value": 5, "currency": "USD"}), Some(1), None, Some(1)),
        ("g", json!({"details": {"value": 7, "currency": "EUR", "basket": ["x"]}}), Some(1), Some(7), Some(1)),
    ] {
        for experiment in ["hero", "banner", "often"] {
            decide(&site, experiment, visitor);
        }
        let mut body = event.clone();
        body["name"] = json!("purchase");
        body["context"] = json!({"targetingKey": visitor, "cart": {"items": []}});
        let answer = track(&site, &body);
        let known = site.client.get(&format!("/v1/visitors/{visitor}"));
        for (experiment, expected) in [("hero", hero), ("banner", banner), ("often", often)] {
            let known = known["assignments"].as_array().expect("a list").iter();
            let known = known.clone().find(|known| known["experiment"] == experiment).expect("assigned");
            assert_eq!(known["rewards"][0]["value"].as_i64(), expected, "{event} in {experiment}: {answer}");
        }
    }
}

#[test]
fn a_list_is_answered_in_order_and_what_is_wrong_is_named() {
    let site = site();
    decide(&site, "hero", "v");
    let list = json!({"events": [{"name": "purchase", "visitor": "v"}, {"name": "purchase"}, {"name": "click", "visitor": "v"}]});
    let answer = track(&site, &list)["events"].clone();
    assert_eq!(outcomes(&answer[0]), [("hero", "recorded")]);
    assert_eq!((&answer[1]["status"], &answer[1]["field"]), (&json!(400), &json!("targetingKey")));
    assert_eq!((&answer[2]["results"], &answer[2]["without_goal"]), (&json!([]), &json!(["hero"])));
    let event = json!({"name": "purchase", "visitor": "v"});
    let receipts: Vec<&str> = vec!["x"; 101];
    for (body, status, field) in [
        (json!({"visitor": "v"}), 400, "name"),
        (json!({"name": "purchase"}), 400, "targetingKey"),
        (json!({"name": "purchase", "visitor": "v", "targetingKey": "w"}), 422, "targetingKey"),
        (json!({"name": "purchase", "visitor": "v", "context": {"targetingKey": "w"}}), 422, "context.targetingKey"),
        (json!({"name": "purchase", "visitor": ""}), 422, "visitor"),
        (json!({"name": "purchase", "visitor": "v", "track_id": ""}), 422, "track_id"),
        (json!({"name": "purchase", "visitor": "v", "value": 1, "details": {"value": 2}}), 422, "details.value"),
        (json!({"name": "purchase", "visitor": "v", "occurred_at": "yesterday"}), 422, "occurred_at"),
        (json!({"name": "purchase", "receipts": receipts}), 422, "receipts"),
        (json!({"events": []}), 422, "events"),
        (json!({"events": vec![event.clone(); 101]}), 422, "events"),
        (json!({"events": [event], "value": 1}), 422, "events"),
        (json!({"name": "purchase", "visitor": "v", "goal": "x"}), 400, "goal"),
    ] {
        let (found, _, problem) = site.client.problem("POST", "/v1/track", &body.to_string());
        assert_eq!((found, text(&problem["field"])), (status, field), "{body}: {problem}");
    }
    assert_eq!(recorded(&site, "hero"), 1);
    site.service.stop();
    let (status, kind, _) =
        site.client.problem("POST", "/v1/track", &json!({"name": "purchase", "visitor": "v"}).to_string());
    assert_eq!((status, kind.as_str()), (503, "unavailable"));
}

#[test]
fn a_page_tracks_what_it_has_receipts_of() {
    let site = site();
    let receipt = decide(&site, "hero", "v")["receipt"].clone();
    let [_, _, page] = site.keys();
    let client = site.client.clone().with_key(&page);
    let by_visitor = json!({"name": "purchase", "visitor": "v"});
    let (status, kind, problem) = client.problem("POST", "/v1/track", &by_visitor.to_string());
    assert_eq!((status, kind.as_str()), (403, "role-required"), "{problem}");
    let list = client.post("/v1/track", &json!({"events": [by_visitor, {"name": "purchase", "receipts": [receipt]}]}));
    assert_eq!((&list["events"][0]["status"], outcomes(&list["events"][1])), (&json!(403), vec![("hero", "recorded")]));
    // As `sendBeacon` does it.
    let beacon = json!({"key": page, "name": "purchase", "receipts": [receipt]});
    assert_eq!(outcomes(&track(&site, &beacon)), [("hero", "repeated")]);
    let (status, kind, _) = site.client.problem("POST", "/v1/track", &by_visitor.to_string());
    assert_eq!((status, kind.as_str()), (401, "key-required"));
    let within = json!({"key": page, "events": [{"key": page, "name": "purchase", "receipts": []}]});
    assert_eq!(track(&site, &within)["events"][0]["field"], "key");
}
