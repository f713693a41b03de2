//! `mabel inspect` through the real binary: a decision and a segment as text and as JSON, and what it refuses.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::text;

fn inspect(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mabel"));
    command.env_remove("MABEL_SECRET").arg("inspect").args(arguments).output().expect("the binary runs")
}

/// What it says; everything it must contain is looked for.
fn said(arguments: &[&str], succeeds: bool, parts: &[&str]) -> String {
    let output = inspect(arguments);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.success(), succeeds, "{arguments:?}: {said}");
    parts.iter().for_each(|part| assert!(said.contains(part), "{part} is missing in: {said}"));
    said
}

fn json_of(arguments: &[&str]) -> Value {
    let said = said(&[arguments, &["--json"]].concat(), true, &[]);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A short history, and receipts of a decision with rewards, of a deferred one, and of one with an id of its own.
fn lived(store: &[&str]) -> [String; 3] {
    let server = Server::start(store);
    let definition = json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}, {"key": "loud"}],
        "segments": {"by": ["device"]},
        "policy": {"kind": "thompson", "pooling": "none", "floor": 0.02},
        "goals": [{"key": "purchase", "kind": "revenue", "currency": "EUR", "rewards": "sum"}],
    });
    let (status, answer) = server.client.send("PUT", "/v1/experiments/hero", &definition);
    assert_eq!(status, 201, "{answer}");
    let decide = |more: Value| {
        let mut body = json!({"experiment": "hero", "context": {"device": "mobile"}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = server.client.post("/v1/decide", &body);
        text(&answer["receipt"]).to_owned()
    };
    for value in 0..30 {
        server.client.post("/v1/reward", &json!({"receipt": decide(json!({})), "value": value}));
    }
    let rewarded = decide(json!({"exclude": ["loud"]}));
    let reward = |body: Value| server.client.post("/v1/reward", &body)["outcome"].clone();
    assert_eq!(reward(json!({"receipt": rewarded, "value": 1_999, "reward_id": "order-1"})), "recorded");
    assert_eq!(reward(json!({"receipt": rewarded, "value": 1_999, "reward_id": "order-1"})), "repeated");
    let amendment = json!({"receipt": rewarded, "value": 999, "reward_id": "order-1", "action": "amend"});
    assert_eq!(reward(amendment), "recorded");
    let deferred = decide(json!({"defer": true}));
    let given = decide(json!({"visitor": "v-7", "decision_id": "request-7"}));
    server.client.post("/v1/reward", &json!({"receipt": given, "value": 5}));
    server.kill();
    [rewarded, deferred, given]
}

fn check(data: &str, receipts: &[String; 3], secret: &Path) {
    let [rewarded, deferred, given] = receipts;
    let shown = json_of(&[data, "decision", rewarded]);
    assert_eq!(shown["draw"]["as_decided"], true, "{shown:#}");
    assert_eq!(
        (&shown["decision"]["excluded"], &shown["draw"]["propensities"]["loud"]),
        (&json!(["loud"]), &json!(0.0))
    );
    assert_eq!(shown["decision"]["segment"], "device=mobile");
    assert!(matches!(text(&shown["allocation"]["found"]), "journal"), "{shown:#}");
    let events: Vec<(&str, &str)> = shown["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| (text(&event["what"]), text(&event["outcome"])))
        .collect();
    let expected =
        [("exposure", "recorded"), ("reward", "recorded"), ("reward", "repeated"), ("amendment", "recorded")];
    assert_eq!(events, expected);
    said(
        &[data, "decision", rewarded],
        true,
        &["as it was decided, bit for bit", "excluded  loud", "= 999", "order-1"],
    );
    let unseen = ["no activation of it", "no reward of it", "deferred", "as it was decided"];
    said(&[data, "decision", deferred], true, &unseen);
    said(&[data, "decision", given, "--decision-id", "request-7"], true, &["as it was decided, bit for bit"]);
    said(&[data, "decision", given, "--decision-id", "request-8"], false, &["request-8", "not this decision's"]);

    let shown = json_of(&[data, "segment", "hero", "device=mobile"]);
    assert_eq!(shown["exposures"], 32, "{shown:#}");
    assert_eq!((&shown["policy"]["kind"], &shown["policy"]["floor"]), (&json!("thompson"), &json!(0.02)));
    let parts = ["device=mobile", "thompson", "exposures", "purchase", "allocation", "plain", "this segment"];
    said(&[data, "segment", "hero", "device=mobile"], true, &parts);
    said(&[data, "segment", "hero", "device=mobil"], false, &["no segment", "\"device=mobile\""]);
    said(&[data, "segment", "zero", "all"], false, &["no experiment", "\"hero\""]);

    // In the middle: some bits of the last character are none of the receipt's.
    let (before, after) = rewarded.split_at(rewarded.len() / 2);
    let altered = format!("{before}{}{}", if after.starts_with('A') { 'B' } else { 'A' }, &after[1..]);
    said(&[data, "decision", &altered], false, &["forged or altered"]);
    said(&[data, "decision", "nonsense"], false, &["not one of ours"]);
    let kept = std::fs::read_to_string(secret).expect("a secret");
    std::fs::write(secret, "0".repeat(64)).expect("written");
    said(&[data, "decision", rewarded], false, &["another server"]);
    std::fs::remove_file(secret).expect("removed");
    said(&[data, "decision", rewarded], false, &["secret", "no such file"]);
    assert!(!secret.exists(), "whoever looks makes no secret");
    let elsewhere = secret.with_extension("kept");
    std::fs::write(&elsewhere, kept).expect("written");
    let elsewhere = elsewhere.to_str().expect("text");
    said(&[data, "decision", rewarded, "--secret-file", elsewhere], true, &["as it was decided"]);
    said(&["nowhere", "segment", "hero", "all"], false, &["no such directory"]);
}

#[test]
fn a_decision_and_a_segment_are_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("text");
    let receipts = lived(&["--data", data]);
    check(data, &receipts, &directory.path().join("secret"));
}

#[test]
fn a_decision_and_a_segment_are_shown_of_redb() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = format!("redb:{}", directory.path().to_str().expect("text"));
    let receipts = lived(&["--store", &data]);
    check(&data, &receipts, &directory.path().join("secret"));
}

#[test]
fn a_store_that_a_server_has_open_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("text");
    let _server = Server::start(&["--data", data]);
    said(&[data, "segment", "hero", "all"], false, &["has it open"]);
}
