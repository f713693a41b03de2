//! Over HTTP: visitors that stay with a variation, are rewarded by their ids, joined, looked up and erased.

mod support;

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

fn definition(unit: &str) -> Value {
    json!({
        "status": "running",
        "unit": unit,
        "variations": [{"key": "plain"}, {"key": "bold"}, {"key": "loud"}],
        "goals": [{"key": "purchase", "window": "7d"}],
    })
}

/// `hero` keeps visitors with their variations, `banner` draws each decision anew.
fn site() -> Site {
    let site = Site::with(&definition("visitor"));
    let (status, answer) = site.client.send("PUT", "/v1/experiments/banner", &definition("decision"));
    assert_eq!(status, 201, "{answer}");
    site
}

fn hero(visitor: &str) -> Value {
    json!({"experiment": "hero", "visitor": visitor})
}

#[test]
fn a_visitor_stays_and_is_rewarded_by_its_id() {
    let site = site();
    assert_eq!(site.client.get("/v1/experiments/hero")["settings"]["unit"], "visitor", "written out");
    let first = site.decide(hero("v-8f2c"));
    let again = site.decide(hero("v-8f2c"));
    assert_eq!((text(&first["reason"]), text(&again["reason"])), ("policy", "sticky"));
    for field in ["variation", "propensity", "decision_id", "segment", "expires", "visitor", "definition"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    let by_visitor = |body: Value| {
        let mut reward = hero("v-8f2c");
        reward.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        reward
    };
    let reward = by_visitor(json!({"goal": "purchase", "reward_id": "order-991"}));
    assert_eq!(site.client.post("/v1/reward", &reward)["outcome"], "recorded");
    let listed = json!({"rewards": [reward, {"receipt": again["receipt"], "reward_id": "order-991"}]});
    let results = site.client.post("/v1/reward", &listed)["results"].clone();
    assert_eq!((&results[0]["outcome"], &results[1]["outcome"]), (&json!("repeated"), &json!("repeated")));
    let amended = by_visitor(json!({"action": "amend", "reward_id": "order-991", "value": 0}));
    assert_eq!(site.client.post("/v1/reward", &amended)["outcome"], "recorded");
    assert_eq!(site.client.post("/v1/activate", &hero("v-8f2c"))["outcome"], "repeated", "it was an exposure at once");
    let known = site.client.get("/v1/visitors/v-8f2c");
    let assignment = &known["assignments"][0];
    assert_eq!((&assignment["variation"], &assignment["exposed"]), (&first["variation"], &json!(true)));
    assert_eq!(assignment["rewards"], json!([{"goal": "purchase", "reward_id": "order-991", "value": 0}]));
    assert_eq!(site.settled(1)["totals"]["exposures"], 1);
    let context = json!({"device": "mobile", "visits": 3, "age": 41.5, "new": false});
    site.decide(json!({"experiment": "hero", "visitor": "w", "context": context}));
    let known = site.client.get("/v1/visitors/w");
    assert_eq!((&known["contexts_count"], &known["contexts"][0]["context"]), (&json!(1), &context));
    assert_eq!(known["contexts"][0]["decision_id"], known["assignments"][0]["decision_id"]);
}

#[test]
fn what_is_refused_is_refused_by_name() {
    let site = site();
    site.decide(hero("v"));
    let receipt = site.decide(json!({"experiment": "banner", "visitor": "v"}))["receipt"].clone();
    for (body, status, kind, field) in [
        (hero("nobody"), 404, "visitor-unassigned", "visitor"),
        (json!({"experiment": "banner", "visitor": "v"}), 422, "field-refused", "visitor"),
        (json!({"experiment": "nothing", "visitor": "v"}), 404, "experiment-unknown", "experiment"),
        (json!({"visitor": "v"}), 400, "malformed", "experiment"),
        (json!({"experiment": "hero"}), 400, "malformed", "visitor"),
        (json!({"experiment": "hero", "visitor": ""}), 422, "field-refused", "visitor"),
        (json!({"experiment": "hero", "visitor": "v", "receipt": receipt}), 422, "field-refused", "receipt"),
        (json!({}), 400, "malformed", "receipt"),
    ] {
        for path in ["/v1/reward", "/v1/activate"] {
            let (found, name, problem) = site.client.problem("POST", path, &body.to_string());
            assert_eq!((found, name.as_str()), (status, kind), "{path} {body}: {problem}");
            assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{path} {body}: {problem}");
        }
    }
    for body in
        [json!({"anonymous": "v", "visitor": "v"}), json!({"anonymous": "a"}), json!({"anonymous": "", "visitor": "v"})]
    {
        let (status, _, problem) = site.client.problem("POST", "/v1/alias", &body.to_string());
        assert!([400, 409, 422].contains(&status), "{body}: {problem}");
    }
    let features = json!({
        "status": "running", "unit": "visitor",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "attributes": [{"name": "new", "type": "boolean"}],
        "policy": {"kind": "linear-thompson"},
        "goals": [{"key": "purchase", "window": "7d"}],
    });
    let (status, _, problem) = site.client.problem("PUT", "/v1/experiments/features", &features.to_string());
    assert_eq!((status, &problem["field"]), (422, &json!("unit")), "{problem}");
}

#[test]
fn two_ids_become_one_visitor() {
    let site = site();
    let before = site.decide(hero("cookie-1"));
    let joined = site.client.post("/v1/alias", &json!({"anonymous": "cookie-1", "visitor": "user-7"}));
    let attributes = json!({"adopted": 0, "left_out": 0});
    assert_eq!(
        joined,
        json!({"outcome": "recorded", "visitor": "user-7", "adopted": ["hero"], "flipped": 0, "attributes": attributes})
    );
    assert_eq!(site.decide(hero("user-7"))["decision_id"], before["decision_id"]);
    let known = site.client.get("/v1/visitors/user-7");
    assert_eq!((&known["aliases"], &known["is_alias"]), (&json!(1), &json!(false)));
    let again = site.client.post("/v1/alias", &json!({"anonymous": "cookie-1", "visitor": "user-7"}));
    assert_eq!(again["outcome"], "repeated");
}

#[test]
fn an_erasure_says_what_is_gone_and_what_stays() {
    let site = site();
    let kept = site.decide(json!({"experiment": "banner", "visitor": "user 7"}))["receipt"].clone();
    site.client.post("/v1/reward", &{
        site.decide(hero("user 7"));
        hero("user 7")
    });
    site.clock.set(START + Span::SECOND);
    let (status, answer) = site.client.send("DELETE", "/v1/visitors/user%207", &json!({}));
    assert_eq!(status, 200, "{answer}");
    let removed = json!({
        "identities": 1, "aliases": 0, "assignments": 1, "exposures": 1, "outcomes": 1, "contexts": 2, "profiles": 0,
    });
    assert_eq!((&answer["visitor"], &answer["removed"]), (&json!("user 7"), &removed));
    assert_eq!(answer["stays"]["anonymous_counts_of"], json!(["banner"]));
    let (status, kind, _) = site.client.problem("POST", "/v1/reward", &json!({"receipt": kept}).to_string());
    assert_eq!((status, kind.as_str()), (410, "visitor-erased"));
    assert_eq!(site.client.get("/v1/visitors/user%207")["assignments"], json!([]));
    assert_eq!(site.client.get("/v1/experiments/hero/report")["totals"]["exposures"], 0);
}

#[test]
fn without_consent_the_default_or_a_decision_without_a_name() {
    let site = site();
    let hero = site.decide(json!({"experiment": "hero", "visitor": "v", "consent": false}));
    assert_eq!((text(&hero["reason"]), text(&hero["variation"])), ("no_consent", "plain"));
    assert!(hero.get("receipt").is_none() && hero.get("segment").is_none(), "{hero}");
    let banner = site.decide(json!({"experiment": "banner", "consent": false}));
    assert!(text(&banner["reason"]) == "policy" && banner.get("visitor").is_none(), "{banner}");
    assert_eq!(site.client.get("/v1/visitors/v")["assignments"], json!([]));
}
