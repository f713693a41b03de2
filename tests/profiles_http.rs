//! Over HTTP: profiles of visitors, one by one and many lines at once, under the context of decisions.

mod support;

use serde_json::{Value, json};
use support::site::Site;
use support::text;

/// Segments by tier; a contextual experiment beside it says what its attributes are.
fn site() -> Site {
    let site = Site::with(&json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "segments": {"by": ["tier"]},
        "goals": [{"key": "purchase", "window": "7d"}],
    }));
    let contextual = json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "attributes": [
            {"name": "orders", "type": "number", "mean": 3, "sd": 2},
            {"name": "member", "type": "boolean"},
            {"name": "city", "type": "text", "levels": ["Lyon", "Nice"]},
        ],
        "policy": {"kind": "linear-thompson"},
        "goals": [{"key": "purchase", "window": "7d"}],
    });
    let (status, answer) = site.client.send("PUT", "/v1/experiments/features", &contextual);
    assert_eq!(status, 201, "{answer}");
    site
}

fn put(site: &Site, visitor: &str, profile: &Value) {
    let (status, answer) = site.client.send("PUT", &format!("/v1/visitors/{visitor}"), &json!({"profile": profile}));
    assert_eq!((status, &answer), (200, &json!({"visitor": visitor})));
}

#[test]
fn a_profile_is_seen_explained_and_erased() {
    let site = site();
    let profile = json!({"tier": "gold", "orders": 3, "member": true, "ratio": 0.5});
    put(&site, "v", &profile);
    assert_eq!(site.client.get("/v1/visitors/v")["profile"], profile);
    let asked = json!({"experiment": "hero", "visitor": "v", "context": {"device": "mobile"}});
    let answer = site.decide(asked.clone());
    assert_eq!((text(&answer["segment"]), &answer["ignored"]), ("tier=gold", &json!(["device"])));
    let mut explained = asked.clone();
    explained["explain"] = json!(true);
    let explanation = site.decide(explained.clone())["explanation"].clone();
    assert_eq!(
        (&explanation["attributes"], &explanation["from_profile"]),
        (&json!({"tier": "gold"}), &json!(["tier"]))
    );
    explained["context"]["tier"] = json!("silver");
    let explanation = site.decide(explained)["explanation"].clone();
    assert_eq!((&explanation["attributes"], &explanation["from_profile"]), (&json!({"tier": "silver"}), &json!([])));
    let batch = site.client.post("/v1/decide", &json!({"requests": [asked]}));
    assert_eq!(batch["decisions"][0]["segment"], "tier=gold");
    let flag = site.client.post("/ofrep/v1/evaluate/flags/hero", &json!({"context": {"targetingKey": "v"}}));
    assert_eq!(flag["metadata"]["segment"], "tier=gold");
    let (status, answer) = site.client.send("DELETE", "/v1/visitors/v", &json!({}));
    assert_eq!((status, &answer["removed"]["profiles"]), (200, &json!(1)), "{answer}");
    assert_eq!(site.client.get("/v1/visitors/v")["profile"], Value::Null);
    assert_ne!(site.decide(json!({"experiment": "hero", "visitor": "v"}))["segment"], "tier=gold");
}

#[test]
fn the_known_visitor_wins_where_two_profiles_are_joined() {
    let site = site();
    put(&site, "cookie", &json!({"tier": "none", "seen": "shoes"}));
    put(&site, "user", &json!({"tier": "gold"}));
    let joined = site.client.post("/v1/alias", &json!({"anonymous": "cookie", "visitor": "user"}));
    assert_eq!(joined["attributes"], json!({"adopted": 1, "left_out": 0}));
    for visitor in ["cookie", "user"] {
        let known = site.client.get(&format!("/v1/visitors/{visitor}"));
        assert_eq!(known["profile"], json!({"tier": "gold", "seen": "shoes"}));
    }
}

#[test]
fn what_is_refused_names_field_value_and_what_is_allowed_and_changes_nothing() {
    let site = site();
    put(&site, "v", &json!({"tier": "gold"}));
    let many: serde_json::Map<String, Value> = (0..65).map(|number| (format!("a{number}"), json!(number))).collect();
    let long = "x".repeat(4_000);
    for (body, status, kind, field, word) in [
        (json!({"profile": {"orders": "three"}}), 422, "field-refused", "profile.orders", "features"),
        (json!({"profile": {"member": 1}}), 422, "field-refused", "profile.member", "true or false"),
        (json!({"profile": {"city": false}}), 422, "field-refused", "profile.city", "a text"),
        (json!({"profile": {"one": long, "two": long}}), 422, "field-refused", "profile", "bytes"),
        (json!({"profile": {"nested": {"a": 1}}}), 400, "malformed", "profile.nested", "lists and objects"),
        (json!({"profile": many}), 400, "malformed", "", "64"),
        (json!({"profile": {"text": "x".repeat(4_097)}}), 400, "malformed", "", "4096"),
        (json!({}), 400, "malformed", "", "profile"),
        (json!({"profile": {}, "more": 1}), 400, "malformed", "", "more"),
    ] {
        let (found, name, problem) = site.client.problem("PUT", "/v1/visitors/v", &body.to_string());
        assert_eq!((found, name.as_str()), (status, kind), "{body}: {problem}");
        assert!(field.is_empty() || problem["field"] == field, "{body}: {problem}");
        assert!(text(&problem["detail"]).contains(word), "{body}: {problem}");
    }
    assert_eq!(site.client.get("/v1/visitors/v")["profile"], json!({"tier": "gold"}));
    site.client.post("/v1/experiments/features/pause", &json!({}));
    put(&site, "v", &json!({"orders": "three"}));
}

#[test]
fn many_lines_are_taken_and_what_is_refused_is_told_by_its_line() {
    let site = site();
    let mut lines: Vec<String> = (1..=3_000)
        .map(|number| {
            json!({"visitor": format!("v{number}"), "profile": {"tier": "gold", "orders": number}}).to_string()
        })
        .collect();
    lines[1] = json!({"visitor": "v2", "profile": {"orders": "many"}}).to_string();
    lines[999] = "{".into();
    lines[2_499] = json!({"visitor": "", "profile": {}}).to_string();
    lines.insert(1_500, String::new());
    // The last line of a visitor counts.
    lines.push(json!({"visitor": "v1", "profile": {"tier": "silver"}}).to_string());
    let (status, answer) = site.client.try_send("POST", "/v1/profiles", &lines.join("\n")).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["recorded"], &answer["complete"], &answer["refused"]),
        (&json!(2_998), &json!(true), &json!(3))
    );
    let refused: Vec<&Value> =
        answer["refusals"].as_array().expect("a list").iter().map(|refusal| &refusal["line"]).collect();
    assert_eq!(refused, [2, 1_000, 2_501]);
    assert_eq!(answer["refusals"][0]["problem"]["field"], "profile.orders");
    assert_eq!(site.client.get("/v1/visitors/v1")["profile"], json!({"tier": "silver"}));
    assert_eq!(site.client.get("/v1/visitors/v3000")["profile"], json!({"tier": "gold", "orders": 3_000}));
    assert_eq!(site.client.get("/v1/visitors/v2")["profile"], Value::Null);
}

#[test]
fn only_a_key_that_may_write_sees_or_changes_profiles() {
    let site = site();
    let [_, write, decide] = site.keys();
    let body = json!({"profile": {"tier": "gold"}});
    let (status, answer) = site.client.clone().with_key(&write).send("PUT", "/v1/visitors/v", &body);
    assert_eq!(status, 200, "{answer}");
    for (method, path) in [("PUT", "/v1/visitors/v"), ("GET", "/v1/visitors/v"), ("POST", "/v1/profiles")] {
        let (status, _, problem) = site.client.clone().with_key(&decide).problem(method, path, &body.to_string());
        assert_eq!(status, 403, "{method} {path}: {problem}");
    }
}
