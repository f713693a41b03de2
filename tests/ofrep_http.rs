//! Over HTTP: the OpenFeature Remote Evaluation Protocol, as its published clients read it.

mod support;

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

const BULK: &str = "/ofrep/v1/evaluate/flags";

fn definition(unit: &str) -> Value {
    json!({
        "status": "running",
        "unit": unit,
        "audience": "country == \"FR\"",
        "variations": [{"key": "plain", "payload": 1.0}, {"key": "bold", "payload": 2.0}, {"key": "loud"}],
        "goals": [{"key": "purchase", "window": "7d"}],
    })
}

fn put(site: &Site, key: &str, definition: &Value) {
    let (status, answer) = site.client.send("PUT", &format!("/v1/experiments/{key}"), definition);
    assert!(status < 300, "{answer}");
}

/// `hero` keeps visitors with their variations, `banner` draws each decision anew.
fn site() -> Site {
    let site = Site::with(&definition("visitor"));
    put(&site, "banner", &definition("decision"));
    site
}

fn of(visitor: &str) -> Value {
    json!({"context": {"targetingKey": visitor, "country": "FR"}})
}

fn one(site: &Site, key: &str, body: &Value) -> Value {
    site.client.post(&format!("{BULK}/{key}"), body)
}

/// A bulk answer: status, tag, body.
fn bulk(site: &Site, body: &Value, known: Option<&str>) -> (u16, String, Value) {
    let known: Vec<(&str, &str)> = known.map(|tag| ("if-none-match", tag)).into_iter().collect();
    let (status, headers, json) = site.client.with_headers("POST", BULK, &body.to_string(), &known);
    (status, headers.get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned(), json)
}

fn flag<'a>(answer: &'a Value, key: &str) -> &'a Value {
    let flags = answer["flags"].as_array().expect("flags");
    flags.iter().find(|flag| flag["key"] == key).unwrap_or_else(|| panic!("no {key} in {answer}"))
}

fn exposures(site: &Site, key: &str) -> u64 {
    site.client.get(&format!("/v1/experiments/{key}/report"))["totals"]["exposures"].as_u64().expect("a count")
}

#[test]
fn a_single_evaluation_is_a_decision_and_an_exposure() {
    let site = site();
    let first = one(&site, "hero", &of("v"));
    assert_eq!((&first["key"], &first["reason"]), (&json!("hero"), &json!("SPLIT")));
    let metadata = first["metadata"].as_object().expect("metadata");
    assert!(metadata.values().all(|value| !value.is_object() && !value.is_array() && !value.is_null()), "{first}");
    assert_eq!((&metadata["reason"], &metadata["control"]), (&json!("policy"), &json!(false)));
    // Shares of three that are alike, from draws.
    assert!((metadata["propensity"].as_f64().expect("a number") - 1.0 / 3.0).abs() < 0.05, "{first}");
    let again = one(&site, "hero", &of("v"));
    assert_eq!((&again["variant"], &again["value"]), (&first["variant"], &first["value"]));
    assert_eq!((&again["reason"], &again["metadata"]["reason"]), (&json!("SPLIT"), &json!("sticky")));
    assert_eq!(again["metadata"]["decisionId"], first["metadata"]["decisionId"]);
    assert_eq!(site.settled(1)["totals"]["exposures"], 1);
    let reward = json!({"receipt": again["metadata"]["receipt"], "goal": "purchase"});
    assert_eq!(site.client.post("/v1/reward", &reward)["outcome"], "recorded");
    assert_eq!(site.client.get("/v1/visitors/v")["contexts"][0]["context"], json!({"country": "FR"}));
}

#[test]
fn values_are_written_as_they_were_given() {
    let site = site();
    let mut seen = std::collections::BTreeSet::new();
    for visitor in 0..60 {
        let path = format!("{BULK}/banner");
        let body = of(&format!("v{visitor}")).to_string();
        let (status, _, text) = site.client.raw("POST", &path, &body, &[]);
        assert_eq!(status, 200, "{text}");
        let value = text.split(r#""value":"#).nth(1).and_then(|rest| rest.split(',').next()).expect("a value");
        seen.insert(value.to_owned());
    }
    // A float stays a float, without which one client refuses it; what has no payload is shown as its own name.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [r#""loud""#, "1.0", "2.0"]);
}

#[test]
fn reasons_are_those_of_the_standard_and_a_value_is_always_there() {
    let site = site();
    let outside = one(&site, "hero", &json!({"context": {"targetingKey": "v", "country": "DE"}}));
    assert_eq!((text(&outside["reason"]), text(&outside["metadata"]["reason"])), ("STATIC", "not_in_audience"));
    assert_eq!((text(&outside["variant"]), outside["value"].as_f64()), ("plain", Some(1.0)));
    assert!(outside["metadata"].get("receipt").is_none(), "{outside}");
    site.client.post("/v1/experiments/hero/pause", &json!({}));
    let paused = one(&site, "hero", &of("v"));
    assert_eq!((text(&paused["reason"]), text(&paused["variant"])), ("DISABLED", "plain"));
    let mut held_out = definition("visitor");
    held_out["control"] = json!(1);
    put(&site, "held", &held_out);
    let control = one(&site, "held", &of("v"));
    assert_eq!((text(&control["reason"]), text(&control["variant"])), ("SPLIT", "plain"));
    assert_eq!((&control["metadata"]["control"], &control["metadata"]["propensity"]), (&json!(true), &json!(1.0)));
    site.service.stop();
    let stopped = one(&site, "banner", &of("v"));
    assert_eq!((text(&stopped["reason"]), text(&stopped["metadata"]["reason"])), ("UNKNOWN", "unavailable"));
    assert_eq!(text(&stopped["variant"]), "plain");
}

#[test]
fn contexts_are_taken_as_clients_send_them() {
    let site = site();
    let context = json!({"targetingKey": "v", "country": "FR", "theme": "dark", "cart": {"items": [1]}, "tags": ["a"], "nothing": null});
    let answer = one(&site, "hero", &json!({"context": context}));
    assert_eq!((&answer["reason"], &answer["metadata"]["ignored"]), (&json!("SPLIT"), &json!("theme, cart, tags")));
    // One client leaves the context out, and another the key: where each request draws anew, both are somebody.
    for body in [json!({}), json!({"context": {}}), json!({"context": null}), json!({"context": {"targetingKey": ""}})]
    {
        assert_eq!(one(&site, "banner", &body)["reason"], "STATIC", "{body}");
    }
    assert_eq!(one(&site, "banner", &json!({"context": {"country": "FR"}}))["reason"], "SPLIT");
}

#[test]
fn failures_are_shaped_as_the_protocol_says() {
    let site = site();
    let long = "x".repeat(300);
    let many: serde_json::Map<String, Value> = (0..65).map(|index| (format!("a{index}"), json!(index))).collect();
    let lists: serde_json::Map<String, Value> = (0..65).map(|index| (format!("a{index}"), json!([]))).collect();
    for (key, body, status, code) in [
        ("nothing", of("v").to_string(), 404, "FLAG_NOT_FOUND"),
        ("no%20key", of("v").to_string(), 404, "FLAG_NOT_FOUND"),
        ("hero", "{".to_owned(), 400, "PARSE_ERROR"),
        ("hero", String::new(), 400, "PARSE_ERROR"),
        ("hero", "[]".to_owned(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": []}).to_string(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": {"targetingKey": 7}}).to_string(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": {"targetingKey": long}}).to_string(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": many}).to_string(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": lists}).to_string(), 400, "INVALID_CONTEXT"),
        ("hero", json!({"context": {"country": "FR"}}).to_string(), 400, "TARGETING_KEY_MISSING"),
        ("hero", format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20)), 400, "GENERAL"),
    ] {
        let (found, failure) = site.client.try_send("POST", &format!("{BULK}/{key}"), &body).expect("an answer");
        let about = &body[..body.len().min(80)];
        assert_eq!((found, text(&failure["errorCode"])), (status, code), "{key} {about}: {failure}");
        assert_eq!(text(&failure["key"]), key.replace("%20", " "), "{failure}");
        assert!(!text(&failure["errorDetails"]).is_empty(), "{failure}");
        if key == "hero" {
            let (found, failure) = site.client.try_send("POST", BULK, &body).expect("an answer");
            assert_eq!((found, text(&failure["errorCode"])), (status, code), "{about}: {failure}");
            assert!(failure.get("key").is_none() && failure["errorDetails"].is_string(), "{failure}");
        }
    }
    assert_eq!(exposures(&site, "hero"), 0);
}

#[test]
fn bulk_is_a_prefetch_that_counts_nothing_until_a_flag_is_read() {
    let site = site();
    put(&site, "other", &definition("visitor"));
    let mut draft = definition("visitor");
    draft["status"] = json!("draft");
    put(&site, "draft", &draft);
    let (status, _, answer) = bulk(&site, &of("v"), None);
    assert_eq!(status, 200, "{answer}");
    let keys: Vec<&str> = answer["flags"].as_array().expect("flags").iter().map(|flag| text(&flag["key"])).collect();
    assert_eq!(keys, ["hero", "other", "banner"], "drafts are not there");
    let (hero, banner) = (flag(&answer, "hero"), flag(&answer, "banner"));
    assert_eq!((text(&hero["reason"]), text(&hero["metadata"]["reason"])), ("SPLIT", "policy"));
    assert_eq!(text(&banner["errorCode"]), "GENERAL");
    assert!(text(&banner["errorDetails"]).contains("by itself"), "{banner}");
    assert_eq!(text(&answer["metadata"]["activateUrl"]), "/v1/activate");
    assert_eq!((exposures(&site, "hero"), exposures(&site, "other")), (0, 0));
    assert_eq!(site.client.get("/v1/visitors/v")["assignments"][0]["exposed"], false);
    let read = json!({"receipt": hero["metadata"]["receipt"]});
    assert_eq!(site.client.post("/v1/activate", &read)["outcome"], "recorded");
    assert_eq!(site.client.post("/v1/activate", &read)["outcome"], "repeated");
    assert_eq!((exposures(&site, "hero"), exposures(&site, "other")), (1, 0));
    // A server that asks for the same visitor shows the same, and what it asks for is seen.
    let other = flag(&answer, "other");
    assert_eq!(one(&site, "other", &of("v"))["metadata"]["decisionId"], other["metadata"]["decisionId"]);
    site.client.post("/v1/reward", &json!({"experiment": "other", "visitor": "v"}));
    assert_eq!(exposures(&site, "other"), 1);
}

#[test]
fn a_tag_changes_with_what_is_shown_and_not_with_what_is_learned() {
    let site = site();
    let (_, tag, answer) = bulk(&site, &of("v"), None);
    assert!(tag.starts_with("W/\"") && tag.len() > 10, "{tag}");
    assert_eq!(bulk(&site, &of("v"), Some(&tag)), (304, tag.clone(), Value::Null));
    assert_eq!(bulk(&site, &of("v"), Some("W/\"0\", \"1\"")).0, 200);
    // Others are decided for and rewarded, the visitor sees its flag and converts: nothing else is shown to it.
    for visitor in 0..30 {
        one(&site, "hero", &of(&format!("w{visitor}")));
        site.client.post("/v1/reward", &json!({"experiment": "hero", "visitor": format!("w{visitor}")}));
    }
    site.client.post("/v1/activate", &json!({"receipt": flag(&answer, "hero")["metadata"]["receipt"]}));
    site.client.post("/v1/reward", &json!({"experiment": "hero", "visitor": "v"}));
    site.clock.set(START + Span::DAY);
    assert_eq!(bulk(&site, &of("v"), Some(&tag)).0, 304);
    let theme = json!({"context": {"targetingKey": "v", "country": "FR", "theme": "dark"}});
    assert_eq!(bulk(&site, &theme, Some(&tag)).0, 304, "nothing looks at it");
    // Another visitor, another country, another definition, another state: each is something else.
    let abroad = json!({"context": {"targetingKey": "v", "country": "DE"}});
    for body in [of("w0"), abroad] {
        let (status, other, _) = bulk(&site, &body, Some(&tag));
        assert!(status == 200 && other != tag, "{body}");
    }
    let mut changed = definition("visitor");
    changed["variations"][1]["payload"] = json!(3.0);
    put(&site, "hero", &changed);
    let (status, second, answer) = bulk(&site, &of("v"), Some(&tag));
    assert_eq!((status, flag(&answer, "hero")["metadata"]["reason"].as_str()), (200, Some("sticky")));
    site.client.post("/v1/experiments/hero/pause", &json!({}));
    let (status, third, answer) = bulk(&site, &of("v"), Some(&second));
    assert_eq!((status, text(&flag(&answer, "hero")["reason"])), (200, "DISABLED"));
    site.client.post("/v1/experiments/hero/start", &json!({}));
    put(&site, "new", &definition("visitor"));
    let (status, _, answer) = bulk(&site, &of("v"), Some(&third));
    assert_eq!((status, text(&flag(&answer, "new")["reason"])), (200, "SPLIT"));
}

#[test]
fn a_bulk_answer_is_bounded_and_says_so() {
    let site = site();
    for index in 0..502 {
        put(&site, &format!("x{index}"), &definition("visitor"));
    }
    let (_, tag, answer) = bulk(&site, &of("v"), None);
    let flags = answer["flags"].as_array().expect("flags");
    // What can be evaluated ahead comes first: 503 experiments, and `banner`.
    assert_eq!((flags.len(), &answer["metadata"]["leftOut"]), (500, &json!(4)));
    assert!(flags.iter().all(|flag| flag["reason"] == "SPLIT"), "{}", flags[0]);
    assert_eq!(bulk(&site, &of("v"), Some(&tag)).0, 304);
    assert_eq!(site.client.get("/v1/visitors/v")["assignments"].as_array().map(Vec::len), Some(500));
}

#[test]
fn a_page_is_not_told_its_segment() {
    let site = site();
    let [_, server, page] = site.keys();
    for (key, told) in [(server, true), (page, false)] {
        let client = site.client.clone().with_key(&key);
        let single = client.post(&format!("{BULK}/hero"), &of("v"));
        let all = client.post(BULK, &of("v"));
        for metadata in [&single["metadata"], &flag(&all, "hero")["metadata"]] {
            assert_eq!(metadata.get("segment").is_some(), told, "{metadata}");
            assert!(metadata["receipt"].is_string(), "{metadata}");
        }
    }
    let (status, _) = site.client.send("POST", BULK, &of("v"));
    assert_eq!(status, 401);
}
