//! Requests that nobody thought of: schemathesis makes them from the OpenAPI document, by a seed, and holds every answer against it.

mod support;

use std::process::Command;

use serde_json::json;
use support::server::Server;
use support::text;

/// Two experiments to decide in, one for each unit.
fn prepare(server: &Server) {
    for (key, unit) in [("hero", "decision"), ("banner", "visitor")] {
        let definition = json!({
            "status": "running",
            "unit": unit,
            "control": 0.1,
            "variations": [{"key": "plain", "payload": {"headline": "Welcome"}}, {"key": "discount"}],
            "segments": {"by": ["device"]},
            "goals": [{"key": "purchase", "role": "primary"}, {"key": "order", "kind": "revenue", "currency": "EUR"}],
        });
        let (status, answer) = server.client.send("PUT", &format!("/v1/experiments/{key}"), &definition);
        assert_eq!(status, 201, "{answer}");
        let decision = server.client.post("/v1/decide", &json!({"experiment": key, "visitor": "v-8f2c"}));
        server.client.post("/v1/reward", &json!({"receipt": decision["receipt"], "goal": "purchase"}));
    }
}

#[test]
#[ignore = "needs schemathesis, from PyPI; scripts/test runs it"]
fn no_request_meets_a_server_error_or_an_answer_that_is_not_described() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&["--data", directory.path().join("data").to_str().expect("text")]);
    prepare(&server);
    // From here on a key is asked for, and those that are made by the way let nobody in who is asked about here.
    let key =
        server.client.send("POST", "/v1/keys", &json!({"role": "admin", "name": "schemathesis"})).1["key"].clone();
    let key = text(&key);
    let output = Command::new("schemathesis")
        .current_dir(directory.path())
        .args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml"), "run"])
        .args(["--header", &format!("X-API-Key: {key}")])
        .arg(server.client.address("/openapi.json"))
        .output()
        .expect("schemathesis runs: pip install it, or run scripts/test");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert_eq!(server.client.get("/readyz"), json!({"status": "ready"}), "the server is as it was");
}
