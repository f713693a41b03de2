//! Over HTTP: several experiments at once, groups in which a visitor takes part in one, visitors held out of all, rewards line by line,
//! and requests that are sent twice.

mod support;

use mabel::domain::Probability;
use mabel::service::Options;
use serde_json::{Value, json};
use support::site::Site;
use support::text;

fn definition(unit: &str, more: Value) -> Value {
    let mut definition = json!({
        "status": "running",
        "unit": unit,
        "variations": [{"key": "plain"}, {"key": "bold"}, {"key": "loud"}],
        "goals": [{"key": "purchase", "window": "7d"}],
    });
    definition.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    definition
}

fn save(site: &Site, key: &str, definition: &Value) {
    let (status, answer) = site.client.send("PUT", &format!("/v1/experiments/{key}"), definition);
    assert!([200, 201].contains(&status), "{answer}");
}

fn decisions(site: &Site, body: Value) -> Vec<Value> {
    site.decide(body)["decisions"].as_array().expect("a list").clone()
}

fn fields<'a>(decisions: &'a [Value], field: &str) -> Vec<&'a str> {
    decisions.iter().map(|decision| text(&decision[field])).collect()
}

#[test]
fn one_visitor_in_a_list_of_experiments_or_in_all_that_take_it() {
    let site = Site::new();
    save(&site, "hero", &definition("visitor", json!({})));
    save(&site, "banner", &definition("decision", json!({})));
    save(&site, "french", &definition("decision", json!({"audience": "country == \"FR\""})));
    save(&site, "draft", &definition("decision", json!({"status": "draft"})));
    let listed = decisions(&site, json!({"experiments": ["hero", "nothing", "banner"], "visitor": "v"}));
    assert_eq!(fields(&[listed[0].clone(), listed[2].clone()], "experiment"), ["hero", "banner"]);
    assert_eq!((&listed[1]["status"], text(&listed[1]["type"])), (&json!(404), "/problems/experiment-unknown"));
    let again = decisions(&site, json!({"experiments": ["hero"], "visitor": "v"}));
    assert_eq!((text(&again[0]["reason"]), &again[0]["decision_id"]), ("sticky", &listed[0]["decision_id"]));
    let all = decisions(&site, json!({"experiments": "all", "visitor": "v", "context": {"country": "DE"}}));
    assert_eq!(fields(&all, "experiment"), ["banner", "hero"], "neither the draft nor the one for others");
    let all = decisions(&site, json!({"experiments": "all", "context": {"country": "FR"}}));
    assert_eq!(fields(&all, "experiment"), ["banner", "french", "hero"]);
    assert!(all.iter().all(|decision| decision["visitor"] == all[0]["visitor"]), "one id is minted for all: {all:?}");
    for (body, field) in [
        (json!({"experiments": ["hero"], "experiment": "hero"}), "experiments"),
        (json!({"experiments": ["hero"], "receipt": "x"}), "experiments"),
        (json!({"experiments": []}), "experiments"),
        (json!({"experiments": "some"}), "experiments"),
        (json!({"requests": [{"experiments": "all"}], "experiments": "all"}), "requests"),
    ] {
        let (_, _, problem) = site.client.problem("POST", "/v1/decide", &body.to_string());
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let nested =
        decisions(&site, json!({"requests": [{"experiments": "all"}, {"experiment": "hero", "visitor": "v"}]}));
    assert_eq!((&nested[0]["field"], text(&nested[1]["reason"])), (&json!("experiments"), "sticky"));
}

#[test]
fn what_requests_of_a_batch_share_stands_beside_them_once() {
    let site = Site::new();
    save(&site, "hero", &definition("decision", json!({"segments": {"by": ["device", "country"]}})));
    save(&site, "banner", &definition("decision", json!({"audience": "country == \"FR\""})));
    let mobile = json!({"device": "mobile", "country": "FR", "visits": 3});
    let answers = decisions(
        &site,
        json!({
            "experiment": "hero",
            "context": mobile,
            "requests": [
                {"visitor": "a"},
                {"visitor": "b", "context": {"device": "desktop"}},
                {"visitor": "c", "context": {"device": "desktop"}},
                {"visitor": "d", "experiment": "banner", "context": {"country": "DE"}},
                {"visitor": "e", "experiment": "nothing"},
                {"experiment": "banner", "context": {}},
            ],
        }),
    );
    assert_eq!((answers.len(), &answers[4]["status"]), (6, &json!(404)), "{answers:?}");
    assert_eq!(fields(&answers[..4], "visitor"), ["a", "b", "c", "d"]);
    assert_eq!(
        fields(&answers[..3], "segment"),
        ["device=mobile|country=FR", "device=desktop|country=FR", "device=desktop|country=FR"],
        "its own attributes come before the shared ones"
    );
    assert!(answers[..3].iter().all(|answer| answer["ignored"] == json!(["visits"])), "{answers:?}");
    assert_eq!((text(&answers[3]["reason"]), text(&answers[5]["reason"])), ("not_in_audience", "policy"));
    assert_ne!(answers[5]["visitor"], answers[0]["visitor"], "one is minted");
    // The same, each said in full.
    let full = |visitor: &str, context: &Value| json!({"experiment": "hero", "visitor": visitor, "context": context});
    let requests: Vec<Value> = ["a", "b", "c"].iter().map(|visitor| full(visitor, &mobile)).collect();
    let answers = decisions(&site, json!({"requests": requests}));
    assert!(answers.iter().all(|answer| answer["segment"] == "device=mobile|country=FR"), "{answers:?}");
    // One visitor in several experiments, without consent.
    let requests = json!([{"experiment": "hero"}, {"experiment": "banner", "consent": true}]);
    let answers = decisions(&site, json!({"visitor": "v", "consent": false, "context": mobile, "requests": requests}));
    assert_eq!(fields(&answers, "visitor"), ["v", "v"]);
    site.settled(7);
    let known = site.client.get("/v1/visitors/v");
    assert_eq!(known["contexts"].as_array().map_or(0, Vec::len), 1, "only with consent: {known}");
    let many: serde_json::Map<_, _> = (0..64).map(|at| (format!("a{at}"), json!(at))).collect();
    let answers = decisions(
        &site,
        json!({"experiment": "hero", "context": many, "requests": [{"context": {"b": 1}}, {"visitor": "f"}]}),
    );
    assert_eq!((&answers[0]["status"], &answers[0]["field"]), (&json!(422), &json!("context")), "{answers:?}");
    assert!(answers[1]["variation"].is_string(), "{answers:?}");
    for field in ["receipt", "decision_id", "defer", "explain", "exclude", "experiments"] {
        let value = match field {
            "defer" | "explain" => json!(true),
            "exclude" | "experiments" => json!(["plain"]),
            _ => json!("x"),
        };
        let body = json!({field: value, "requests": [{"experiment": "hero"}]});
        let (_, _, problem) = site.client.problem("POST", "/v1/decide", &body.to_string());
        assert_eq!(problem["field"], "requests", "{field}: {problem}");
    }
}

#[test]
fn a_visitor_takes_part_in_one_experiment_of_a_group() {
    let site = Site::new();
    let group = |priority: i32| json!({"key": "homepage", "priority": priority});
    save(&site, "early", &definition("visitor", json!({"group": group(0)})));
    let ask = |experiment: &str, visitor: &str, country: &str| {
        let body = json!({"experiment": experiment, "visitor": visitor, "context": {"country": country}});
        text(&site.decide(body)["reason"]).to_owned()
    };
    assert_eq!(ask("early", "old", "FR"), "policy");
    let french = json!({"group": group(5), "audience": "country == \"FR\""});
    save(&site, "french", &definition("decision", french.clone()));
    save(&site, "late", &definition("decision", json!({"group": group(0)})));
    assert_eq!(site.client.get("/v1/experiments/french")["settings"]["group"], group(5));
    // By priority, then by key; where the first does not take the visitor, the next does.
    for (country, expected) in [("FR", "french"), ("DE", "early")] {
        for experiment in ["early", "french", "late"] {
            let reason = ask(experiment, &format!("new-{country}"), country);
            let other = if experiment == expected { "policy" } else { "in_other_experiment" };
            assert_eq!(reason, other, "{experiment} in {country}");
        }
    }
    assert_eq!(ask("french", "stranger", "DE"), "not_in_audience");
    // Whoever stays with something stays, and is in no other.
    assert_eq!(
        (ask("early", "old", "FR"), ask("french", "old", "FR")),
        ("sticky".into(), "in_other_experiment".into())
    );
    let all = decisions(&site, json!({"experiments": "all", "visitor": "one more", "context": {"country": "FR"}}));
    assert_eq!(fields(&all, "experiment"), ["french"]);
    // Paused, it excludes nobody.
    site.client.post("/v1/experiments/french/pause", &json!({}));
    assert_eq!(ask("late", "fresh", "FR"), "in_other_experiment", "early comes first by its key");
    assert_eq!(ask("early", "fresh", "FR"), "policy");
    site.client.post("/v1/experiments/french/start", &json!({}));
    let (status, answer) = site.client.send("DELETE", "/v1/experiments/early", &Value::Null);
    assert_eq!(status, 204, "{answer}");
    assert_eq!(ask("french", "old", "FR"), "policy", "what is deleted holds nobody");
    for (body, field) in [
        (json!({"group": {"key": "a b"}}), "group.key"),
        (json!({"group": {"key": "a", "priority": 1_000_001}}), "group.priority"),
    ] {
        let body = definition("decision", body).to_string();
        let (status, _, problem) = site.client.problem("PUT", "/v1/experiments/refused", &body);
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{problem}");
    }
    for index in 0..30 {
        save(&site, &format!("more-{index}"), &definition("decision", json!({"group": group(0)})));
    }
    let body = definition("decision", json!({"group": group(0)})).to_string();
    let (status, _, problem) = site.client.problem("PUT", "/v1/experiments/refused", &body);
    assert_eq!((status, &problem["field"]), (422, &json!("group.key")), "{problem}");
}

#[test]
fn who_is_held_out_is_in_the_control_group_of_everything() {
    let site = Site::running(Options { holdout: Probability::new(0.2).expect("a share"), ..Options::default() });
    save(&site, "hero", &definition("decision", json!({"control": 0.1})));
    save(&site, "banner", &definition("visitor", json!({})));
    let (mut held_out, mut control) = (0, 0);
    for visitor in 0..1_000 {
        let both = decisions(&site, json!({"experiments": ["hero", "banner"], "visitor": format!("v{visitor}")}));
        let holdout = both.iter().all(|decision| decision["holdout"] == true);
        assert_eq!(holdout, both[1]["control"] == true, "{both:?}");
        assert!(!holdout || fields(&both, "variation") == ["plain", "plain"], "{both:?}");
        held_out += u32::from(holdout);
        control += u32::from(both[0]["control"] == true);
    }
    // Shares of .2 and .28 of a thousand, five standard errors either way.
    assert!((137..=263).contains(&held_out), "{held_out}");
    assert!((209..=351).contains(&control), "{control}");
    let one = (0..1_000)
        .map(|visitor| format!("v{visitor}"))
        .find(|visitor| site.decide(json!({"experiment": "hero", "visitor": visitor}))["holdout"] == true);
    let known = site.client.get(&format!("/v1/visitors/{}", one.expect("about two hundred")));
    assert_eq!(known["holdout"], true);
}

#[test]
fn rewards_line_by_line_are_taken_or_told_by_their_line() {
    let site = Site::new();
    save(&site, "hero", &definition("decision", json!({})));
    let receipts: Vec<String> = (0..2_500)
        .map(|visitor| {
            text(&site.decide(json!({"experiment": "hero", "visitor": format!("v{visitor}")}))["receipt"]).to_owned()
        })
        .collect();
    let mut body = String::new();
    for (index, receipt) in receipts.iter().enumerate() {
        match index {
            7 => body.push_str("{\"receipt\":\"forged\"}\n"),
            8 => body.push_str("no JSON\n\n"),
            9 => body.push_str(&format!("{}\n", json!({"receipt": receipt, "goal": "nothing"}))),
            _ => body.push_str(&format!("{}\n", json!({"receipt": receipt}))),
        }
    }
    let first = site.client.try_send("POST", "/v1/rewards", body.trim_end()).expect("an answer");
    let second = site.client.try_send("POST", "/v1/rewards", &body).expect("an answer");
    for ((status, answer), recorded, repeated) in [(first, 2_497, 0), (second, 0, 2_497)] {
        assert_eq!(status, 200, "{answer}");
        let counts =
            [&answer["recorded"], &answer["repeated"], &answer["late"], &answer["refused"], &answer["complete"]];
        assert_eq!(json!(counts), json!([recorded, repeated, 0, 3, true]), "{answer}");
        let lines: Vec<&Value> = answer["refusals"].as_array().expect("a list").iter().map(|r| &r["line"]).collect();
        assert_eq!(json!(lines), json!([8, 9, 11]), "{answer}");
        assert_eq!(answer["refusals"][0]["problem"]["type"], "/problems/receipt-malformed");
    }
    let long = format!("{{\"receipt\":\"{}\"}}\n", "x".repeat(70_000));
    let receipt = text(&site.decide(json!({"experiment": "hero", "visitor": "w"}))["receipt"]).to_owned();
    let body = format!("{}\n{long}", json!({"receipt": receipt}));
    let (_, answer) = site.client.try_send("POST", "/v1/rewards", &body).expect("an answer");
    assert_eq!((&answer["recorded"], &answer["complete"]), (&json!(1), &json!(false)), "{answer}");
    assert_eq!(answer["refusals"][0]["line"], 2);
}

#[test]
fn what_is_sent_twice_under_one_key_counts_once() {
    let site = Site::new();
    let goals = json!([{"key": "visits", "kind": "count", "rewards": "sum", "role": "primary"}]);
    save(&site, "hero", &definition("decision", json!({"goals": goals})));
    let decide = |key: &str| {
        let body = json!({"experiment": "hero", "visitor": "v"}).to_string();
        site.client.with_headers("POST", "/v1/decide", &body, &[("idempotency-key", key)]).2
    };
    let (first, second, other) = (decide("a"), decide("a"), decide("b"));
    assert_eq!((&first, &first["decision_id"]), (&second, &json!("a")));
    assert_ne!(first["receipt"], other["receipt"]);
    let list = || {
        let body = json!({"experiments": ["hero"]}).to_string();
        site.client.with_headers("POST", "/v1/decide", &body, &[("idempotency-key", "c")]).2
    };
    assert_eq!(list(), list(), "whoever brings no id is the same all the same");
    let reward = |body: Value, key: &str| {
        site.client.with_headers("POST", "/v1/reward", &body.to_string(), &[("idempotency-key", key)]).2
    };
    let one = json!({"receipt": first["receipt"], "value": 3});
    assert_eq!(reward(one.clone(), "k1")["outcome"], "recorded");
    assert_eq!(reward(one.clone(), "k1")["outcome"], "repeated");
    assert_eq!(reward(one.clone(), "k2")["outcome"], "recorded", "another reward of the same decision");
    let list = json!({"rewards": [one, one]});
    let outcomes = |answer: Value| {
        let results = answer["results"].as_array().expect("a list").clone();
        results.iter().map(|result| text(&result["outcome"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(reward(list.clone(), "k3")), ["recorded", "recorded"]);
    assert_eq!(outcomes(reward(list, "k3")), ["repeated", "repeated"]);
    let amended = json!({"action": "amend", "receipt": first["receipt"], "reward_id": "k1", "value": 4});
    assert_eq!(reward(amended, "k4")["outcome"], "recorded", "what is corrected is named by its own id");
    let (status, _, problem) =
        site.client.with_headers("POST", "/v1/reward", "{}", &[("idempotency-key", &"k".repeat(201))]);
    assert_eq!((status, &problem["field"]), (422, &json!("Idempotency-Key")), "{problem}");
}
