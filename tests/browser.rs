//! `examples/storefront` in real Chromium against the real binary: what `/sdk/mabel.js` promises to a page and its visitors.

mod support;

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use support::programs::{node, root, run};
use support::server::Server;
use support::text;

/// What the page says by itself, and what it shows at most how long after it was first there: 400 ms and a slow machine.
const DEFAULT: &str = "Hats for every head";
const DEFAULT_MS: f64 = 1_400.0;

/// A server with the example's experiments, and what a program saw of its pages. One browser at a time: what is measured is time.
fn play(scenario: &str) -> (Server, Value) {
    play_on(scenario, |_| ())
}

fn play_on(scenario: &str, prepare: impl FnOnce(&Server)) -> (Server, Value) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = Server::start(&["--store", "memory"]);
    let create = |server: &Server, role: &str| {
        let (status, answer) = server.client.send("POST", "/v1/keys", &json!({"name": role, "role": role}));
        assert_eq!(status, 201, "{answer}");
        text(&answer["key"]).to_owned()
    };
    let admin = create(&server, "admin");
    server.client = server.client.clone().with_key(&admin);
    let key = create(&server, "decide");
    let files = ["hero", "newsletter"].map(|name| root().join(format!("examples/storefront/{name}.toml")));
    let mut apply = Command::new(env!("CARGO_BIN_EXE_mabel"));
    apply.args(["experiment", "apply", "--server", server.client.base()]).args(files).env("MABEL_KEY", &admin);
    run(&mut apply);
    prepare(&server);
    let mut program = node("storefront.js");
    program.args([scenario, server.client.base(), env!("CARGO_TARGET_TMPDIR")]).env("MABEL_KEY", key);
    let output = run(&mut program);
    let seen = output.lines().last().map(serde_json::from_str).expect("a line").expect("JSON");
    (server, seen)
}

/// Has the hero show this payload, whatever is drawn.
fn decide_on(server: &Server, payload: &Value) {
    let variations = json!([{"key": "plain", "payload": payload}, {"key": "season", "payload": payload}]);
    let definition = json!({"variations": variations, "goals": [{"key": "purchase"}]});
    let (status, answer) = server.client.send("PUT", "/v1/experiments/hero", &definition);
    assert_eq!(status, 200, "{answer}");
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or_else(|| panic!("{name} is no list: {value}"), Vec::as_slice)
}

/// The texts that frames showed one after the other, hidden ones aside.
fn painted(page: &Value) -> Vec<&str> {
    list(page, "painted").iter().map(|frame| text(&frame["text"])).filter(|text| !text.is_empty()).collect()
}

/// Exposures and conversions of an experiment, the control group among them.
fn counted(server: &Server, experiment: &str) -> (u64, u64) {
    let report = server.client.get(&format!("/v1/experiments/{experiment}/report"));
    let exposures = &report["totals"]["exposures"];
    let control = &report["control"]["exposures"];
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} in {report}"));
    (number(exposures) + number(control), number(&report["rewards"]["recorded"]))
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn a_visitor_is_shown_one_thing_and_what_it_buys_arrives() {
    let (server, seen) = play("visits");
    assert_eq!(seen["wrong"], json!([]), "errors, warnings and violations of the policy");
    let visitors = list(&seen, "visitors");
    for visitor in visitors {
        let (first, again) = (&visitor["first"], &visitor["again"]);
        assert_eq!(first["hero"], again["hero"], "who comes back sees the same: {visitor}");
        assert!(!text(&first["hero"]).is_empty(), "decided in time: {visitor}");
        assert_eq!((painted(first).len(), painted(again)), (1, painted(first)), "no flicker: {visitor}");
        let default = first["hero"] == "plain";
        assert_eq!(painted(first)[0] == DEFAULT, default, "the payload's headline is shown: {visitor}");
        let known = server.client.get(&format!("/v1/visitors/{}", text(&visitor["visitor"])));
        assert_eq!(known["visitor"], visitor["visitor"], "{known}");
    }
    let count = |what: &str| visitors.iter().filter(|visitor| visitor[what] == true).count() as u64;
    let (exposures, rewards) = counted(&server, "hero");
    assert_eq!(exposures, visitors.len() as u64, "once for each visitor, not for each page");
    assert_eq!(rewards, count("buys"));
    // Said on the way out and on the next page, by beacons both.
    let report = server.client.get("/v1/experiments/hero/report");
    assert_eq!(report["rewards"]["repeated"], count("buys"), "{}", report["rewards"]);
    let beacons = list(&seen, "beacons");
    assert_eq!(beacons.len() as u64, 2 * count("buys"), "{seen}");
    assert!(beacons.iter().all(|path| path == "/v1/track"), "{seen}");
    // Those who scrolled to it, and whatever they bought.
    let (exposures, rewards) = counted(&server, "newsletter");
    assert_eq!(exposures, count("scrolls"));
    let both = visitors.iter().filter(|visitor| visitor["scrolls"] == true && visitor["buys"] == true).count();
    assert_eq!(rewards, both as u64);
    assert!(list(&seen, "decides").iter().all(|requests| *requests == 2), "one request a page: {}", seen["decides"]);
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn without_consent_nothing_is_stored_and_nothing_counts() {
    let (server, seen) = play("refusals");
    assert_eq!(seen["wrong"], json!([]));
    let nothing = json!({"cookies": [], "origins": []});
    assert_eq!(seen["refused"]["stored"], nothing);
    assert_eq!(seen["withdrawn"], nothing);
    let sent = list(&seen["refused"], "sent");
    assert!(sent.len() > 1 && sent.iter().all(|request| request["path"] == "/v1/decide"), "{sent:?}");
    for request in sent.iter().flat_map(|request| list(&request["body"], "requests")) {
        assert_eq!(
            (&request["consent"], &request["visitor"], &request["receipt"]),
            (&json!(false), &Value::Null, &Value::Null)
        );
    }
    for decision in sent.iter().flat_map(|request| list(&request["answer"], "decisions")) {
        assert!(
            decision["variation"].is_string() && decision["visitor"].is_null(),
            "shown, and no id given: {decision}"
        );
    }
    // Only what was shown with consent is counted, under the id that was minted then.
    assert_eq!(counted(&server, "hero"), (1, 0));
    assert_eq!(list(&seen["agreed"], "cookies").len(), 0);
    assert!(seen["agreed"].to_string().contains(text(&seen["visitor"])), "{}", seen["agreed"]);
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn a_silent_or_late_server_leaves_the_default() {
    let (server, seen) = play_on("silence", |server| decide_on(server, &json!({"headline": "Decided"})));
    for case in ["script", "answer", "late"] {
        let outcome = &seen["outcomes"][case];
        assert_eq!(painted(outcome), [DEFAULT], "{case}: nothing else, before or after: {outcome}");
        let frames = list(outcome, "painted");
        let at = |frame: &Value| frame["time"].as_f64().expect("a time");
        let waited = at(frames.last().expect("a frame")) - at(&frames[0]);
        assert!(text(&frames[0]["text"]).is_empty() && waited < DEFAULT_MS, "{case}: after {waited} ms: {outcome}");
    }
    // What was not shown does not count, whatever the visitor does.
    assert_eq!((counted(&server, "hero"), &seen["told"]), ((0, 0), &json!(0)), "{seen}");
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn where_there_is_no_local_storage_a_cookie_is_kept() {
    let (server, seen) = play("cookies");
    assert_eq!(seen["first"]["hero"], seen["again"]["hero"], "{seen}");
    assert_eq!(counted(&server, "hero").0, 1);
    let kept = list(&seen["kept"], "cookies");
    assert_eq!((kept.len(), &kept[0]["name"], &kept[0]["sameSite"]), (1, &json!("mabel"), &json!("Lax")));
    assert!(text(&kept[0]["value"]).len() < 4_096);
    assert_eq!(seen["withdrawn"]["cookies"], json!([]));
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn a_tab_without_room_takes_no_consent_from_others_and_a_withdrawal_does() {
    let (_, seen) = play("tabs");
    let (before, crowded, withdrawn) = (&seen["before"], &seen["crowded"], &seen["withdrawn"]);
    assert!(before.is_string() && crowded["visitor"] == *before, "{seen}");
    assert_eq!((list(crowded, "cookies").len(), list(crowded, "origins").len()), (1, 0), "the cookie is in its place");
    assert_eq!(
        (&withdrawn["visitor"], &withdrawn["cookies"], &withdrawn["origins"]),
        (&json!(null), &json!([]), &json!([]))
    );
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn payloads_are_texts_and_scripts_always_get_an_answer() {
    let markup = "<img src=x onerror=alert(1)>";
    let payload = json!({"headline": markup, "link": " java\nscript:alert(1)", "label": {"not": "a text"}});
    let (_, seen) = play_on("scripts", |server| decide_on(server, &payload));
    let expected = json!({"text": markup, "children": 0, "href": "product.html", "label": "See the straw hat"});
    assert_eq!(seen["hero"], expected, "text stays text, and what is refused or no text stays as the page had it");
    let (known, late) = (&seen["known"], &seen["late"]);
    assert_eq!((&known["reason"], &known["payload"]["headline"]), (&json!("sticky"), &json!(markup)), "{known}");
    let outcome = |decision: &Value| (decision["variation"].clone(), decision["payload"].clone());
    for (decision, reason) in [(&seen["unknown"], "refused"), (late, "timeout"), (&seen["unreachable"], "unreachable")]
    {
        assert_eq!((outcome(decision), &decision["reason"]), ((Value::Null, json!("none")), &json!(reason)));
    }
    assert_eq!(seen["pushed"], true, "what is pushed once the script is there is done at once: {seen}");
    let wrong = seen["wrong"].to_string();
    assert!(wrong.contains("is refused") && wrong.contains("no such experiment"), "the console says why: {wrong}");
    assert!(!wrong.contains("violation"), "{wrong}");
}
