//! The audit log of a busy server, and that neither it nor any other log tells what was shown to whom.

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Client, text};

/// What must not be told, each in a place of its own.
const PAYLOAD: &str = "payload-7d1f";
const CONTEXT: &str = "context-9b2e";
const VISITOR: &str = "visitor-4c8a";
const ANONYMOUS: &str = "visitor-e05d";
const REWARD: &str = "reward-3f6b";

#[test]
fn changes_are_told_and_secrets_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let log = directory.path().join("log");
    let mut process = Command::new(env!("CARGO_BIN_EXE_mabel"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "1",
            "--log",
            "trace",
            "--log-format",
            "json",
            "--data",
        ])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let client = Client::new(line.trim().strip_prefix("mabel listens on ").expect("an address"));

    let definition = json!({
        "status": "running", "unit": "visitor", "segments": {"by": ["plan"]}, "policy": {"kind": "uniform"},
        "variations": [{"key": "a", "payload": PAYLOAD}, {"key": "b", "payload": PAYLOAD}], "goals": [{"key": "bought"}],
    });
    assert_eq!(client.send("PUT", "/v1/experiments/hero", &definition).0, 201);
    let mut receipts = Vec::new();
    for number in 0..50 {
        let visitor = format!("{VISITOR}-{number}");
        let ask = json!({"experiment": "hero", "visitor": visitor, "context": {"plan": CONTEXT}});
        let receipt = client.post("/v1/decide", &ask)["receipt"].clone();
        client.post("/v1/reward", &json!({"receipt": receipt, "reward_id": REWARD}));
        receipts.push(text(&receipt).to_owned());
    }
    // Errors speak of what was sent, to whoever sent it.
    let altered = format!("{}x", receipts[0]);
    assert!(client.problem("POST", "/v1/reward", &json!({"receipt": altered}).to_string()).0 >= 400);
    client.problem("POST", "/v1/decide", &json!({"experiment": "hero", "context": {"plan": [CONTEXT]}}).to_string());
    client.problem("POST", "/v1/decide", &json!({"experiment": "hero", "visitor": VISITOR.repeat(100)}).to_string());
    client.problem("POST", "/v1/alias", &json!({"anonymous": VISITOR, "visitor": VISITOR}).to_string());
    client.post("/v1/alias", &json!({"anonymous": ANONYMOUS, "visitor": format!("{VISITOR}-0")}));
    assert_eq!(client.send("DELETE", &format!("/v1/visitors/{VISITOR}-0"), &Value::Null).0, 200);
    client.get(&format!("/v1/visitors/{VISITOR}-1"));
    assert_eq!(client.send("POST", "/v1/experiments/hero/pause", &Value::Null).0, 200);
    let (status, key) = client.send("POST", "/v1/keys", &json!({"name": "mine", "role": "admin"}));
    assert_eq!(status, 201, "{key}");
    let secret = text(&key["key"]).to_owned();
    let ended = Command::new(env!("CARGO_BIN_EXE_mabel"))
        .args(["experiment", "end", "hero", "--server", client.base()])
        .env("MABEL_KEY", &secret)
        .output()
        .expect("the binary runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(client.send("POST", "/v1/experiments/hero/start", &Value::Null).0, 401, "refused before it is a change");

    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().expect("kill runs").success());
    assert!(process.wait().expect("ends").success());
    let audit = std::fs::read_to_string(data.join("audit.jsonl")).expect("an audit log");
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<(&str, &str, &Value, u64)> = lines
        .iter()
        .map(|line| {
            (text(&line["by"]), text(&line["action"]), &line["about"], line["status"].as_u64().expect("a status"))
        })
        .collect();
    let (none, hero) = (Value::Null, json!("hero"));
    let expected = [
        ("anyone", "experiment.save", &hero, 201),
        ("anyone", "visitor.alias", &none, 409),
        ("anyone", "visitor.alias", &none, 200),
        ("anyone", "visitor.erase", &none, 200),
        ("anyone", "experiment.pause", &hero, 200),
        ("anyone", "key.create", &key["id"], 201),
        (text(&key["id"]), "experiment.end", &hero, 200),
    ];
    assert_eq!(told, expected);

    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.lines().count() > 50, "the log is a busy one");
    let secrets = [PAYLOAD, CONTEXT, VISITOR, ANONYMOUS, REWARD, &secret[27..]];
    for secret in secrets.into_iter().chain(receipts.iter().map(String::as_str)) {
        for (name, file) in [("log", &log), ("audit", &audit)] {
            let found = file.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret} is in the {name}");
        }
    }
}
