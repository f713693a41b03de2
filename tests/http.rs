//! The API as a site sees it: a service on a store in memory, a clock that stands where the test puts it, real HTTP.

mod support;

use mabel::domain::Span;
use serde_json::{Value, json};
use support::site::{START, Site};
use support::text;

fn hero() -> Value {
    json!({
        "status": "running",
        "variations": [{"key": "plain", "payload": {"headline": "Welcome"}}, {"key": "bold", "payload": "B"}],
        "segments": {"by": ["device"]},
        "policy": {"kind": "uniform", "floor": 0.1},
        "goals": [{"key": "purchase", "role": "primary", "window": "1d"}, {"key": "signup"}],
    })
}

#[test]
fn a_decision_says_everything_a_site_may_rely_on() {
    let site = Site::with(&hero());
    let answer =
        site.decide(json!({"experiment": "hero", "visitor": "v-1", "context": {"device": "mobile", "colour": "red"}}));
    assert_eq!(answer["experiment"], "hero");
    assert!(["plain", "bold"].contains(&text(&answer["variation"])));
    assert_eq!(
        answer["payload"],
        if answer["variation"] == "plain" { json!({"headline": "Welcome"}) } else { json!("B") }
    );
    assert_eq!(answer["reason"], "policy");
    assert_eq!(answer["visitor"], "v-1");
    assert_eq!(answer["propensity"], 0.5);
    assert_eq!(answer["control"], false);
    assert_eq!(answer["definition"], 1);
    assert_eq!(answer["segment"], "device=mobile");
    assert_eq!(answer["ignored"], json!(["colour"]));
    assert_eq!(answer["expires"], "2027-01-22T08:00:00Z", "decision time and the longest window, 7 days");
    assert!(text(&answer["receipt"]).len() <= 1_200 && text(&answer["decision_id"]).len() == 32);
    let minted = site.decide(json!({"experiment": "hero"}));
    assert_eq!(text(&minted["visitor"]).len(), 32);
    assert_eq!(minted["segment"], "device=(missing)");
    site.settled(2);
}

#[test]
fn a_reward_is_recorded_once_late_after_its_window_and_refused_after_its_receipt() {
    let site = Site::with(&hero());
    let receipt = text(&site.decide(json!({"experiment": "hero"}))["receipt"]).to_owned();
    let reward = |extra: Value| {
        let mut body = json!({"receipt": receipt, "goal": "purchase", "value": 1});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    let first = site.client.post("/v1/reward", &reward(json!({})));
    assert_eq!(first, json!({"outcome": "recorded", "reward_id": "purchase", "learned": true}));
    let again = site.client.post("/v1/reward", &reward(json!({"value": 0})));
    assert_eq!((&again["outcome"], &again["reward_id"]), (&json!("repeated"), &json!("purchase")));
    let second = site.client.post("/v1/reward", &reward(json!({"reward_id": "order-991"})));
    assert_eq!((&second["outcome"], &second["why"]), (&json!("recorded"), &json!("already_converted")));
    site.clock.set(START + Span::DAY.times(2));
    let late = site.client.post("/v1/reward", &reward(json!({"reward_id": "late"})));
    assert_eq!(
        (&late["outcome"], &late["learned"], &late["why"]),
        (&json!("late"), &json!(false), &json!("after_window"))
    );
    let in_time = site.client.post("/v1/reward", &json!({"receipt": receipt, "goal": "signup"}));
    assert_eq!((&in_time["outcome"], &in_time["learned"]), (&json!("recorded"), &json!(true)));
    let report = site.client.get("/v1/experiments/hero/report");
    assert_eq!(report["rewards"]["recorded"], 3);
    assert_eq!((&report["rewards"]["repeated"], &report["rewards"]["late"]), (&json!(1), &json!(1)));
    assert_eq!(report["newest_reward_age_seconds"], 0);
    let conversions = |goal: &str| -> u64 {
        let variations = report["totals"]["variations"].as_array().expect("a list");
        variations.iter().map(|v| v["goals"][goal]["conversions"].as_u64().expect("a count")).sum()
    };
    assert_eq!((conversions("purchase"), conversions("signup")), (1, 1));
    site.clock.set(START + Span::DAY.times(7 + 90) + Span::SECOND);
    let (status, kind, _) = site.client.problem("POST", "/v1/reward", &reward(json!({})).to_string());
    assert_eq!((status, kind.as_str()), (410, "receipt-expired"));
    assert_eq!(site.client.get("/v1/experiments/hero/report")["rewards"]["refused"], 1);
}

#[test]
fn a_list_of_rewards_is_answered_in_order_with_problems_in_their_places() {
    let site = Site::with(&hero());
    let receipt = text(&site.decide(json!({"experiment": "hero"}))["receipt"]).to_owned();
    let altered = format!("{}A", &receipt[..receipt.len() - 1]);
    let altered = if altered == receipt { format!("{}B", &receipt[..receipt.len() - 1]) } else { altered };
    let answer = site.client.post(
        "/v1/reward",
        &json!({"rewards": [
            {"receipt": receipt},
            {"receipt": altered},
            {"receipt": receipt, "value": 3},
            {"receipt": receipt, "goal": "nothing"},
            {"goal": "purchase"},
            {"receipt": receipt},
        ]}),
    );
    let results = answer["results"].as_array().expect("a list");
    assert_eq!(results[0]["outcome"], "recorded");
    assert!(
        ["/problems/receipt-forged", "/problems/receipt-malformed"].contains(&text(&results[1]["type"])),
        "{answer}"
    );
    assert_eq!(
        (&results[2]["field"], &results[2]["allowed"]),
        (&json!("value"), &json!("0 or 1 for a goal of kind conversion"))
    );
    assert_eq!(results[3]["allowed"], "purchase, signup");
    assert_eq!(results[4]["field"], "receipt");
    assert_eq!(results[5]["outcome"], "repeated");
}

#[test]
fn a_deferred_decision_counts_once_it_is_activated() {
    let site = Site::with(&hero());
    let deferred = site.decide(json!({"experiment": "hero", "defer": true}));
    let receipt = json!({"receipt": deferred["receipt"]});
    let waiting = site.client.post("/v1/reward", &receipt);
    assert_eq!((&waiting["outcome"], &waiting["why"]), (&json!("recorded"), &json!("awaits_activation")));
    assert_eq!(site.settled(0)["totals"]["exposures"], 0);
    assert_eq!(site.client.post("/v1/activate", &receipt), json!({"outcome": "recorded"}));
    assert_eq!(site.client.post("/v1/activate", &receipt), json!({"outcome": "repeated"}));
    let report = site.settled(1);
    let converted: Vec<u64> = report["totals"]["variations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|v| v["goals"]["purchase"]["conversions"].as_u64())
        .collect();
    assert_eq!(converted.iter().sum::<u64>(), 1, "the reward that waited counts");
    let at_once = site.decide(json!({"experiment": "hero"}));
    assert_eq!(site.client.post("/v1/activate", &json!({"receipt": at_once["receipt"]}))["outcome"], "repeated");
    let late = site.decide(json!({"experiment": "hero", "defer": true}));
    site.clock.set(START + Span::DAY + Span::SECOND);
    assert_eq!(site.client.post("/v1/activate", &json!({"receipt": late["receipt"]}))["outcome"], "late");
}

#[test]
fn a_receipt_keeps_its_variation_and_a_decision_id_its_answer() {
    let site = Site::with(&hero());
    let first = site.decide(json!({"experiment": "hero", "visitor": "v"}));
    for _ in 0..20 {
        let again = site.decide(json!({"experiment": "hero", "visitor": "v", "receipt": first["receipt"]}));
        assert_eq!((&again["reason"], &again["variation"]), (&json!("sticky"), &first["variation"]));
        assert_eq!((&again["receipt"], &again["propensity"]), (&first["receipt"], &first["propensity"]));
    }
    let other = site.decide(json!({"experiment": "hero", "visitor": "someone else", "receipt": first["receipt"]}));
    assert_eq!(other["reason"], "policy", "a receipt is its visitor's");
    let nameless = site.decide(json!({"experiment": "hero", "receipt": first["receipt"]}));
    assert_eq!((&nameless["reason"], &nameless["variation"]), (&json!("sticky"), &first["variation"]));
    let forged = site.decide(json!({"experiment": "hero", "visitor": "v", "receipt": "forged"}));
    assert_eq!(
        (&forged["reason"], &forged["receipt_refused"]["type"]),
        (&json!("policy"), &json!("/problems/receipt-malformed"))
    );
    let named = json!({"experiment": "hero", "decision_id": "page-view-17"});
    let once = site.decide(named.clone());
    assert_eq!(once["decision_id"], "page-view-17");
    assert_eq!(site.decide(named.clone()), once, "within a minute the same answer, receipt and all");
    let theirs = site.decide(json!({"experiment": "hero", "decision_id": "page-view-17", "visitor": "somebody"}));
    assert_ne!(
        (&theirs["visitor"], &theirs["receipt"]),
        (&once["visitor"], &once["receipt"]),
        "an id is its visitor's"
    );
    site.settled(5);
    site.clock.set(START + Span::SECOND.times(61));
    let later = site.decide(named);
    assert_eq!(later["variation"], once["variation"], "the id seeds the draw");
    assert_ne!(later["receipt"], once["receipt"], "a new exposure");
    let receipt = later["receipt"].clone();
    assert_eq!(site.settled(6)["totals"]["exposures"], 6, "repeats and sticky answers are not recorded again");
    for index in 0..64 {
        site.client.post("/v1/reward", &json!({"receipt": receipt, "value": 0, "reward_id": format!("r{index}")}));
    }
    let more = json!({"receipt": receipt, "value": 0, "reward_id": "one more"}).to_string();
    let (status, kind, _) = site.client.problem("POST", "/v1/reward", &more);
    assert_eq!((status, kind.as_str()), (409, "too-many-rewards"));
    site.client.send("DELETE", "/v1/experiments/hero", &Value::Null);
    let gone = site.client.problem("POST", "/v1/decide", r#"{"experiment":"hero","decision_id":"page-view-17"}"#);
    assert_eq!(gone.0, 404, "an answer does not outlive its experiment");
}

#[test]
fn explaining_records_nothing_and_says_why() {
    let site = Site::with(&hero());
    let answer = site.decide(json!({"experiment": "hero", "explain": true, "exclude": ["bold"]}));
    let explanation = &answer["explanation"];
    assert_eq!((&answer["variation"], &answer["propensity"]), (&json!("plain"), &json!(1.0)));
    assert_eq!(explanation["shares"], json!({"bold": 0.5, "plain": 0.5}));
    assert_eq!(explanation["propensities"], json!({"bold": 0.0, "plain": 1.0}));
    assert!(answer.get("receipt").is_none());
    site.decide(json!({"experiment": "hero"}));
    assert_eq!(site.settled(1)["totals"]["exposures"], 1);
}

#[test]
fn a_batch_is_answered_in_order() {
    let site = Site::with(&hero());
    let answer = site.decide(json!({"requests": [
        {"experiment": "hero", "visitor": "a"},
        {"experiment": "none"},
        {"experiment": "hero", "visitor": "b", "exclude": ["plain"]},
        {"visitor": "c"},
    ]}));
    let decisions = answer["decisions"].as_array().expect("a list");
    assert_eq!(decisions.len(), 4);
    assert_eq!(decisions[0]["visitor"], "a");
    assert_eq!(decisions[1]["type"], "/problems/experiment-unknown");
    assert_eq!((&decisions[2]["variation"], &decisions[2]["propensity"]), (&json!("bold"), &json!(1.0)));
    assert_eq!(decisions[3]["field"], "experiment");
    site.settled(2);
}

#[test]
fn whatever_keeps_an_experiment_from_deciding_gives_the_default_and_records_nothing() {
    let site = Site::with(&hero());
    let mut with_audience = hero();
    with_audience["audience"] = json!("country == \"FR\"");
    for (action, status, reason) in
        [("pause", "paused", "not_running"), ("start", "running", "policy"), ("end", "ended", "not_running")]
    {
        let changed = site.client.post(&format!("/v1/experiments/hero/{action}"), &json!({}));
        assert_eq!(changed["status"], status);
        let answer = site.decide(json!({"experiment": "hero", "visitor": "v"}));
        assert_eq!(answer["reason"], reason);
        if reason == "not_running" {
            assert_eq!((&answer["variation"], answer.get("receipt")), (&json!("plain"), None));
        }
    }
    assert_eq!(site.client.problem("POST", "/v1/experiments/hero/start", "{}").1, "experiment-ended");
    let (status, _) = site.client.send("PUT", "/v1/experiments/second", &with_audience);
    assert_eq!(status, 201);
    assert_eq!(site.decide(json!({"experiment": "second", "context": {"country": "DE"}}))["reason"], "not_in_audience");
    assert_eq!(site.decide(json!({"experiment": "second"}))["reason"], "not_in_audience");
    assert_eq!(site.decide(json!({"experiment": "second", "context": {"country": "FR"}}))["reason"], "policy");
    let mut scheduled = hero();
    scheduled["schedule"] = json!({"starts": "2027-02-01T00:00:00Z"});
    site.client.send("PUT", "/v1/experiments/third", &scheduled);
    assert_eq!(site.decide(json!({"experiment": "third"}))["reason"], "not_running");
    assert_eq!(site.decide(json!({"experiment": "hero", "exclude": ["plain", "bold"]}))["variation"], "plain");
    site.settled(1);
}

#[test]
fn the_control_group_is_reported_beside_the_rest() {
    let mut definition = hero();
    definition["control"] = json!(0.5);
    let site = Site::with(&definition);
    let (mut held, mut rewarded) = (0_u64, 0_u64);
    for index in 0..200 {
        let answer = site.decide(json!({"experiment": "hero", "visitor": format!("v{index}")}));
        if answer["control"] == true {
            held += 1;
            assert_eq!(
                (&answer["variation"], &answer["propensity"], &answer["reason"]),
                (&json!("plain"), &json!(1.0), &json!("control"))
            );
            if held.is_multiple_of(4) {
                rewarded += 1;
                let reward = site.client.post("/v1/reward", &json!({"receipt": answer["receipt"]}));
                assert_eq!(reward["why"], "control");
            }
        }
    }
    let report = site.settled(200);
    assert_eq!((&report["control"]["exposures"], &report["totals"]["exposures"]), (&json!(held), &json!(200 - held)));
    let against = &report["control"]["goals"]["purchase"];
    assert_eq!((&against["conversions"], &against["treated_rate"]), (&json!(rewarded), &json!(0.0)));
    assert!(against["difference"].as_f64().expect("a number") < 0.0 && against["difference_interval"][0].is_number());
}

#[test]
fn an_experiment_reads_back_as_it_was_saved_with_every_default_written_out() {
    let site = Site::with(&hero());
    let shown = site.client.get("/v1/experiments/hero");
    let settings = &shown["settings"];
    assert_eq!(settings["policy"], json!({"kind": "uniform", "floor": 0.1, "half_life": "off", "objective": "goal"}));
    assert_eq!(
        (&settings["bucket"], &settings["traffic"], &settings["control"]),
        (&json!("1h"), &json!(1.0), &json!(0.0))
    );
    assert_eq!(
        settings["goals"][1],
        json!({"key": "signup", "kind": "conversion", "rewards": "first", "role": "secondary", "window": "7d", "delay": "survival"})
    );
    let (status, same) = site.client.send("PUT", "/v1/experiments/hero", settings);
    assert_eq!((status, &same["definition"]), (200, &json!(1)), "saving what is in force changes nothing");
    let mut changed = settings.clone();
    changed["policy"] = json!({"kind": "thompson"});
    let (_, saved) = site.client.send("PUT", "/v1/experiments/hero", &changed);
    assert_eq!((&saved["definition"], &saved["epoch"], &saved["status"]), (&json!(2), &json!(0), &json!("running")));
    assert_eq!(
        saved["settings"]["policy"],
        json!({"kind": "thompson", "floor": 0.01, "half_life": "off", "objective": "goal", "pooling": "partial",
            "prior": [1.0, 1.0], "sharpening": 1.5, "draws": 1024.0})
    );
    assert_eq!(site.client.get("/v1/experiments")["experiments"][0]["experiment"], "hero");
    let (status, _) = site.client.send("DELETE", "/v1/experiments/hero", &Value::Null);
    assert_eq!(status, 204);
    assert_eq!(site.client.problem("GET", "/v1/experiments/hero", "").1, "experiment-deleted");
    assert_eq!(site.client.problem("POST", "/v1/decide", r#"{"experiment":"hero"}"#).0, 404);
    let (status, _, again) = site.client.problem("PUT", "/v1/experiments/hero", &hero().to_string());
    assert!(status == 422 && text(&again["allowed"]).contains("not used before"), "{again}");
}

#[test]
fn every_refusal_names_the_field_and_what_is_allowed() {
    let site = Site::with(&hero());
    let refused = |method: &str, path: &str, body: &str, status: u16, kind: &str, mention: &str| {
        let (got, named, json) = site.client.problem(method, path, body);
        assert_eq!((got, named.as_str()), (status, kind), "{method} {path} {body}: {json}");
        assert!(json.to_string().contains(mention), "{mention}: {json}");
    };
    let nested = format!("{}1{}", "[".repeat(400), "]".repeat(400));
    let deep = format!(r#"{{"experiment":"hero","context":{{"a":{nested}}}}}"#);
    let long = format!(r#"{{"experiment":"hero","context":{{"a":"{}"}}}}"#, "x".repeat(5_000));
    let huge = "x".repeat((1 << 20) + 1);
    let visitor = format!(r#"{{"experiment":"hero","visitor":"{}"}}"#, "v".repeat(257));
    let decide = "/v1/decide";
    for (body, status, kind, mention) in [
        ("", 400, "malformed", "EOF"),
        ("{", 400, "malformed", "EOF"),
        (r#"{"experiment":"none"}"#, 404, "experiment-unknown", "no such experiment"),
        (r#"{"experiment":"hero","contxt":{}}"#, 400, "malformed", "contxt"),
        (r#"{"experiment":"hero","context":{"a":[1]}}"#, 400, "malformed", "context.a"),
        (r#"{"experiment":"hero","context":{"a":{"b":1}}}"#, 400, "malformed", "not attributes"),
        (r#"{"experiment":"hero","visitor":""}"#, 422, "field-refused", "visitor"),
        (r#"{"experiment":"hero","decision_id":""}"#, 422, "field-refused", "decision_id"),
        (r#"{"requests":[{"experiment":"hero"}],"defer":true}"#, 422, "field-refused", "what all share"),
        (r#"{"requests":[{"experiment":"hero"}],"exclude":["plain"]}"#, 422, "field-refused", "what all share"),
        (r#"{"requests":[]}"#, 422, "field-refused", "1 to 1000"),
        (r#"{"visitor":"v"}"#, 400, "malformed", "experiment"),
        (&deep, 400, "malformed", "context.a"),
        (&long, 400, "malformed", "4096"),
        (&visitor, 422, "field-refused", "256"),
        (&huge, 413, "body-too-large", "1048576"),
    ] {
        refused("POST", decide, body, status, kind, mention);
    }
    let put = |change: &dyn Fn(&mut Value)| {
        let mut body = hero();
        change(&mut body);
        body.to_string()
    };
    let at = "/v1/experiments/other";
    for (body, mention) in [
        (put(&|d| d["unit"] = json!("session")), "visitor"),
        (put(&|d| d["control"] = json!(1.5)), "0 to 1"),
        (put(&|d| d["goals"][0]["kind"] = json!("revenue")), "goals[0].currency"),
        (put(&|d| d["goals"][0]["window"] = json!("7 days")), "7d"),
        (
            put(&|d| d["policy"]["kind"] = json!("thomson")),
            "thompson, information-directed, top-two, ucb, epsilon-greedy",
        ),
        (put(&|d| d["policy"] = json!({"kind": "thompson", "pooling": "most"})), "segments borrow"),
        (put(&|d| d["policy"] = json!({"kind": "fixed", "shares": {"plain": 0.5}})), "policy.shares"),
        (put(&|d| d["policy"]["floor"] = json!(0.3)), "policy.floor"),
        (put(&|d| d["audience"] = json!("country = 1")), "audience"),
        (put(&|d| d["segments"] = json!({"by": ["a"], "rules": []})), "segments"),
        (put(&|d| d["variations"][0]["key"] = json!("a b")), "variations[0].key"),
        (put(&|d| d["key"] = json!("another")), "address"),
        (put(&|d| d["schedule"] = json!({"starts": "tomorrow"})), "schedule.starts"),
        (put(&|d| d["status"] = json!("on")), "running"),
    ] {
        refused("PUT", at, &body, 422, "field-refused", mention);
    }
    refused("PUT", at, &put(&|d| d["variatons"] = json!([])), 400, "malformed", "variatons");
    let (_, _, unknown) = site.client.problem("POST", decide, r#"{"experiment":"hero","contxt":{}}"#);
    assert_eq!((&unknown["field"], &unknown["given"]), (&json!("contxt"), &json!("unknown field `contxt`")));
    assert!(text(&unknown["allowed"]).contains("`context`"), "{unknown}");
    refused("PUT", "/v1/experiments/a%20b", &hero().to_string(), 422, "field-refused", "A-Z");
    assert!(
        site.client.get("/v1/experiments")["experiments"].as_array().is_some_and(|all| all.len() == 1),
        "nothing was changed"
    );
    refused("GET", "/v1/nothing", "", 404, "not-found", "/v1/nothing");
    refused("GET", decide, "", 405, "method-not-allowed", "GET");
    refused("POST", "/v1/activate", r#"{"receipt":"x"}"#, 400, "receipt-malformed", "receipt");
    let receipt = site.decide(json!({"experiment": "hero"}))["receipt"].clone();
    let early = json!({"receipt": receipt, "occurred_at": "2020-01-01T00:00:00Z"}).to_string();
    refused("POST", "/v1/reward", &early, 422, "field-refused", "occurred_at");
}

#[test]
fn a_removed_variations_reward_says_so() {
    let site = Site::with(&hero());
    let receipt = loop {
        let answer = site.decide(json!({"experiment": "hero"}));
        if answer["variation"] == "bold" {
            break answer["receipt"].clone();
        }
    };
    let mut changed = hero();
    changed["variations"] = json!([{"key": "plain"}, {"key": "new"}]);
    let (status, _) = site.client.send("PUT", "/v1/experiments/hero", &changed);
    assert_eq!(status, 200);
    let reward = site.client.post("/v1/reward", &json!({"receipt": receipt}));
    assert_eq!((&reward["outcome"], &reward["why"]), (&json!("recorded"), &json!("variation_tombstoned")));
    let report = site.client.get("/v1/experiments/hero/report");
    let removed = report["totals"]["variations"].as_array().expect("a list").iter().find(|v| v["variation"] == "bold");
    assert_eq!(removed.expect("its history stays")["removed"], true);
    let sticky = site.decide(json!({"experiment": "hero", "receipt": receipt}));
    assert_eq!(sticky["reason"], "policy", "what was removed is not shown again");
}

#[test]
fn segments_learn_within_a_thousand_visitors() {
    let mut definition = hero();
    definition["policy"] = json!({"kind": "thompson"});
    // The clock stands still, and rewards come at once.
    definition["goals"][0]["delay"] = json!("none");
    let site = Site::with(&definition);
    for round in 0..10 {
        let requests: Vec<Value> = (0..100)
            .map(
                |i| json!({"experiment": "hero", "context": {"device": if i % 2 == 0 { "mobile" } else { "desktop" }}}),
            )
            .collect();
        let answer = site.decide(json!({"requests": requests}));
        let liked = |d: &&Value| (d["segment"] == "device=mobile") == (d["variation"] == "bold");
        let rewards: Vec<Value> = answer["decisions"]
            .as_array()
            .expect("a list")
            .iter()
            .enumerate()
            .filter(|(index, decision)| index % 3 == 0 && liked(decision))
            .map(|(_, decision)| json!({"receipt": decision["receipt"]}))
            .collect();
        site.client.post("/v1/reward", &json!({"rewards": rewards}));
        site.settled((round + 1) * 100);
    }
    let report = site.settled(1_000);
    for segment in report["segments"].as_array().expect("a list") {
        let best = if segment["segment"] == "device=mobile" { "bold" } else { "plain" };
        assert!(segment["allocation"][best].as_f64().expect("a share") > 0.9, "{segment}");
    }
    assert_eq!(site.client.get("/readyz"), json!({"status": "ready"}));
    assert_eq!(site.client.get("/healthz"), json!({"status": "ok"}));
}
