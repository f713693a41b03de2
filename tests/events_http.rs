//! Over HTTP: what happened, line by line, for a site's own analysis.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use mabel::domain::Span;
use mabel::service::Options;
use mabel::service::retention::Retention;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

/// Two experiments, one for each unit. Decisions wait for their commit, so that their order is known.
fn prepared(site: &Site) {
    for (key, unit) in [("hero", "decision"), ("banner", "visitor")] {
        let definition = json!({
            "status": "running",
            "unit": unit,
            "durability": "sync",
            "variations": [{"key": "plain"}, {"key": "bold"}],
            "policy": {"kind": "uniform"},
            "segments": {"by": ["device"]},
            "goals": [{"key": "purchase", "role": "primary", "window": "1d"}, {"key": "order", "kind": "revenue", "currency": "EUR"}],
        });
        let (status, answer) = site.client.send("PUT", &format!("/v1/experiments/{key}"), &definition);
        assert_eq!(status, 201, "{answer}");
    }
}

fn site() -> Site {
    let site = Site::new();
    prepared(&site);
    site
}

fn decide(site: &Site, experiment: &str, visitor: &str) -> Value {
    site.decide(json!({"experiment": experiment, "visitor": visitor, "context": {"device": "mobile"}}))
}

/// Everything a visitor can do.
fn lived(site: &Site) -> [Value; 3] {
    let shown = decide(site, "hero", "v-1");
    let receipt = &shown["receipt"];
    let at = "2027-01-15T08:00:00Z";
    let reward = |extra: Value| {
        let mut body = json!({"receipt": receipt, "reward_id": "order-991"});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        site.client.post("/v1/reward", &body);
    };
    site.clock.set(START + Span::SECOND.times(60));
    reward(json!({"goal": "order", "value": 4_200, "occurred_at": at}));
    reward(json!({"goal": "order", "value": 4_200}));
    reward(json!({"action": "amend", "goal": "order", "value": 1_700}));
    reward(json!({"action": "retract", "goal": "order"}));
    let deferred = site.decide(json!({"experiment": "hero", "visitor": "v-2", "defer": true}));
    site.client.post("/v1/activate", &json!({"receipt": deferred["receipt"]}));
    let kept = decide(site, "banner", "user-7");
    site.client.post("/v1/alias", &json!({"anonymous": "cookie-31", "visitor": "user-7"}));
    [shown, deferred, kept]
}

fn lines(site: &Site, after: u64) -> Vec<Value> {
    site.client.get(&format!("/v1/events?after={after}")).as_array().expect("lines").clone()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn all_that_happened_comes_in_order() {
    let site = site();
    let [shown, deferred, kept] = lived(&site);
    let (status, headers, whole) = site.client.raw("GET", "/v1/events", "", &[]);
    assert_eq!((status, &headers["content-type"]), (200, &"application/x-ndjson".parse().expect("a value")));
    assert!(whole.ends_with('\n'), "the last line ends");
    let all = lines(&site, 0);
    let events: Vec<&Value> = all.iter().filter(|line| line["event"] != "cursor").collect();
    let kinds: Vec<&str> = events.iter().map(|line| text(&line["event"])).collect();
    assert_eq!(kinds, ["exposure", "reward", "reward", "amendment", "retraction", "activation", "assignment", "alias"]);
    let exposure = events[0];
    for field in ["experiment", "variation", "decision_id", "propensity", "control", "definition", "visitor"] {
        assert_eq!(exposure[field], shown[field], "{field}");
    }
    assert_eq!((&exposure["segment"], &exposure["at"]), (&json!("device=mobile"), &json!("2027-01-15T08:00:00Z")));
    let reward = events[1];
    assert_eq!(reward["decision_id"], shown["decision_id"]);
    let said = ["goal", "value", "reward_id", "outcome", "at", "occurred_at", "decided_at"].map(|name| &reward[name]);
    let wanted = json!([
        "order",
        4200,
        "order-991",
        "recorded",
        "2027-01-15T08:01:00Z",
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:00:00Z"
    ]);
    assert_eq!(json!(said), wanted);
    let outcomes: Vec<&Value> = events.iter().map(|line| &line["outcome"]).collect();
    let recorded = json!("recorded");
    assert_eq!(outcomes[2..7], [&json!("repeated"), &recorded, &recorded, &recorded, &recorded]);
    assert_eq!((&events[3]["value"], events[4].get("value")), (&json!(1_700), None));
    assert_eq!(events[5]["decision_id"], deferred["decision_id"]);
    assert_eq!((&events[6]["visitor"], &events[6]["exposed"]), (&json!("user-7"), &json!(true)));
    assert_eq!(events[6]["decision_id"], kept["decision_id"]);
    assert_eq!(
        events[7]["visitor_token"], events[6]["visitor_token"],
        "an alias names nobody, and is found by its token"
    );
    // What is deleted has no names any more, and its events come all the same.
    let (status, _) = site.client.send("DELETE", "/v1/experiments/hero", &Value::Null);
    assert_eq!(status, 204);
    let rewards: Vec<Value> = of(&lines(&site, 0), "reward").into_iter().cloned().collect();
    assert_eq!((rewards.len(), &rewards[0]["goal"], &rewards[0]["variation"]), (2, &Value::Null, &Value::Null));
}

#[test]
fn going_on_from_any_cursor_gives_each_event_once() {
    let site = site();
    lived(&site);
    for visitor in 0..200 {
        decide(&site, "hero", &format!("many-{visitor}"));
    }
    let all = lines(&site, 0);
    assert_eq!(of(&all, "exposure").len(), 201);
    let ids: BTreeSet<&str> = all.iter().filter_map(|line| line["id"].as_str()).collect();
    assert_eq!(ids.len(), all.len() - of(&all, "cursor").len(), "every event has an id of its own");
    let (mut before, mut blocks) = (0, 0);
    for (index, line) in all.iter().enumerate().filter(|(_, line)| line["event"] == "cursor") {
        let after = line["after"].as_u64().expect("a block");
        assert_eq!(after, before + 1, "each block has a cursor");
        before = after;
        blocks += 1;
        if blocks % 20 == 0 || index + 1 == all.len() {
            assert_eq!(lines(&site, after), all[index + 1..], "after {after}");
        }
    }
    assert!(blocks > 100 && before == site.service.journal_head(), "{blocks}");
    decide(&site, "hero", "late");
    let new = lines(&site, before);
    assert_eq!((of(&new, "exposure").len(), &new[0]["visitor"]), (1, &json!("late")));
}

#[test]
fn an_erased_visitor_has_no_name_any_more() {
    let site = site();
    for experiment in ["hero", "banner"] {
        decide(&site, experiment, "somebody-else");
        decide(&site, experiment, "forget-me");
    }
    assert_eq!(of(&lines(&site, 0), "exposure")[1]["visitor"], "forget-me");
    assert_eq!(site.client.send("DELETE", "/v1/visitors/forget-me", &Value::Null).0, 200);
    let all = lines(&site, 0);
    assert!(!json!(all).to_string().contains("forget-me"));
    let visitors = |event| of(&all, event).iter().map(|line| line["visitor"].clone()).collect::<Vec<_>>();
    assert_eq!(visitors("exposure"), [json!("somebody-else"), Value::Null]);
    assert_eq!(visitors("assignment"), [json!("somebody-else"), Value::Null]);
    assert_eq!(of(&all, "exposure")[1]["visitor_token"], Value::Null);
    let erasure = of(&all, "erasure")[0];
    assert_eq!(
        erasure["visitor_tokens"],
        json!([of(&all, "assignment")[1]["visitor_token"]]),
        "what to take out of copies"
    );
}

#[test]
fn without_companions_there_are_no_names() {
    let site = Site::running(Options { companions: false, ..Options::default() });
    prepared(&site);
    decide(&site, "hero", "v-1");
    decide(&site, "banner", "v-1");
    let all = lines(&site, 0);
    let [exposure, assignment] = ["exposure", "assignment"].map(|event| of(&all, event)[0]);
    assert_eq!([&exposure["visitor"], &exposure["visitor_token"], &assignment["visitor"]], [&Value::Null; 3]);
    assert_eq!(text(&assignment["visitor_token"]).len(), 32);
}

#[test]
fn only_an_admin_is_told() {
    let site = site();
    decide(&site, "hero", "v-1");
    let [admin, write, publishable] = site.keys();
    for key in [write, publishable] {
        let (status, kind, problem) = site.client.clone().with_key(&key).problem("GET", "/v1/events", "");
        assert_eq!((status, kind.as_str(), &problem["allowed"]), (403, "role-required", &json!("admin")));
    }
    assert_eq!(site.client.problem("GET", "/v1/events", "").0, 401);
    let told = site.client.clone().with_key(&admin).get("/v1/events");
    assert_eq!(of(told.as_array().expect("lines"), "exposure").len(), 1);
}

#[test]
fn a_query_that_is_not_understood_is_refused_by_name() {
    let site = site();
    let head = site.service.journal_head();
    let refused = |query: &str, field: &str, given: &str, allowed: &str| {
        let (status, kind, problem) = site.client.problem("GET", &format!("/v1/events?{query}"), "");
        assert_eq!((status, kind.as_str()), (422, "field-refused"), "{query}: {problem}");
        assert_eq!((&problem["field"], &problem["given"]), (&json!(field), &json!(given)), "{query}");
        assert!(text(&problem["allowed"]).contains(allowed), "{query}: {problem}");
    };
    let newest = format!("from 0 to {head}");
    refused("after=yesterday", "after", "\"yesterday\"", &newest);
    refused("after=-1", "after", "\"-1\"", &newest);
    refused("after=", "after", "\"\"", &newest);
    refused(&format!("after={}", head + 1), "after", &format!("\"{}\"", head + 1), &newest);
    refused("since=3", "query", "\"since=3\"", "after=BLOCK");
    assert_eq!(lines(&site, head), Vec::<Value>::new());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "waits for real time to pass; the service's clock stands still")]
fn what_retention_has_dropped_is_told_as_a_gap() {
    let retention = Retention { span: Span::HOUR, ..Retention::default() };
    let checkpoint_interval = Duration::from_millis(10);
    let site = Site::running(Options { retention, checkpoint_interval, ..Options::default() });
    prepared(&site);
    lived(&site);
    let old = lines(&site, 0);
    assert!(of(&old, "gap").is_empty());
    site.clock.set(START + Span::HOUR.times(5));
    decide(&site, "hero", "later");
    // Old blocks are looked for once a minute, by the service's clock.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let mut minutes = 0;
    let told = loop {
        let told = lines(&site, 1);
        if told[0]["event"] == "gap" {
            break told;
        }
        assert!(std::time::Instant::now() < deadline, "nothing was dropped");
        minutes += 2;
        site.clock.set(START + Span::HOUR.times(5) + Span::SECOND.times(60 * minutes));
        std::thread::sleep(Duration::from_millis(50));
    };
    let next = told[0]["next"].as_u64().expect("a block");
    assert_eq!(told[0], json!({"event": "gap", "after": 1, "next": next}));
    assert!(next > 2, "{next}");
    assert_eq!(of(&told, "gap").len(), 1);
    assert_eq!(of(&told, "exposure")[0]["visitor"], "later");
    assert_eq!(lines(&site, next - 1), told[1..], "from what is left on there is no gap");
}
