//! The published OpenFeature clients against the real binary, each with the provider of `clients/`: what visitors are shown is what is
//! counted, and what is tracked is learned from.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::Client;
use support::programs::{node, root, run};
use support::server::Server;

/// Visitors of one run, and how often each variation leads to a conversion.
const VISITORS: u64 = 300;
const RATES: [(&str, f64); 2] = [("plain", 0.1), ("bold", 0.5)];

/// `hero` draws each decision anew (on pages, where flags are fetched ahead, visitors stay), `banner` keeps visitors with their
/// variations; `teaser` is for servers alone. Besides, a key of this role.
fn serve(hero: &str, role: &str) -> (Server, String) {
    let mut server = Server::start(&["--store", "memory"]);
    let create = |client: &Client, role: &str| {
        let (status, answer) = client.send("POST", "/v1/keys", &json!({"name": role, "role": role}));
        assert_eq!(status, 201, "{answer}");
        answer["key"].as_str().expect("a key").to_owned()
    };
    let admin = create(&server.client, "admin");
    server.client = server.client.clone().with_key(&admin);
    let key = create(&server.client, role);
    let define = |key: &str, unit: &str, goal: &str, payloads: [Value; 2]| {
        let [plain, bold] = payloads;
        let definition = json!({
            "status": "running",
            "unit": unit,
            "control": 0.1,
            "variations": [{"key": "plain", "payload": plain}, {"key": "bold", "payload": bold}],
            "goals": [{"key": goal, "window": "1h"}],
        });
        let (status, answer) = server.client.send("PUT", &format!("/v1/experiments/{key}"), &definition);
        assert_eq!(status, 201, "{answer}");
    };
    define("hero", hero, "purchase", [json!("Welcome"), json!("Ten off today")]);
    define("banner", "visitor", "signup", [json!(1.0), json!(2.0)]);
    define("teaser", "decision", "purchase", [json!("Hats"), json!("Gloves")]);
    (server, key)
}

/// Visitors against a server: what a program saw of them.
fn visit(program: &mut Command, (server, key): &(Server, String), seed: u64) -> Value {
    let rates: serde_json::Map<String, Value> =
        RATES.iter().map(|(key, rate)| ((*key).to_owned(), json!(rate))).collect();
    program.args([server.client.base(), &VISITORS.to_string(), &seed.to_string(), &json!(rates).to_string()]);
    let output = run(program.env("MABEL_KEY", key));
    let line = output.lines().last().expect("a line");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn python(program: &str) -> Command {
    let directory = root().join("tests/clients/python");
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    let python = environment.join("bin/python");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r", "requirements.txt"]).current_dir(&directory));
    let mut command = Command::new(python);
    command.arg(program).current_dir(directory).env("PYTHONPATH", root().join("clients/python"));
    command
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// What was read is what was counted, what was tracked is what was rewarded, and the better variation dominates.
fn check(server: &Server, seen: &Value, flag: &str, goal: &str, read: u64) {
    let report = server.client.get(&format!("/v1/experiments/{flag}/report"));
    let seen = &seen["flags"][flag];
    let segment = &report["segments"][0];
    let mut shown = 0;
    for variation in segment["variations"].as_array().expect("variations") {
        let key = variation["variation"].as_str().expect("a key");
        assert_eq!(number(&variation["exposures"]), number(&seen["shown"][key]), "{flag} {key}: {seen} {report}");
        let conversions = number(&variation["goals"][goal]["conversions"]);
        assert_eq!(conversions, number(&seen["conversions"][key]), "{flag} {key}: {seen} {report}");
        shown += number(&variation["exposures"]);
    }
    let control = &report["control"];
    assert_eq!(number(&control["exposures"]), number(&seen["control"]["shown"]), "{flag}: {seen} {control}");
    assert_eq!(shown + number(&control["exposures"]), read, "{flag}");
    // A tenth of visitors, give or take four standard errors.
    let held_out = number(&control["exposures"]) as f64;
    assert!((held_out - 0.1 * read as f64).abs() < 4.0 * (0.09 * read as f64).sqrt(), "{flag}: {control}");
    // Had nothing been learned, half would have seen it, give or take four standard errors.
    let bold = number(&seen["shown"]["bold"]) as f64;
    assert!(bold > 0.5 * shown as f64 + 4.0 * 0.5 * (shown as f64).sqrt(), "{flag}: {seen}");
    // Its rate is five times the other's: after so many visitors little but the floor is left to that one.
    assert!(segment["allocation"]["bold"].as_f64().expect("a share") > 0.9, "{flag}: {segment}");
}

/// On a server: each evaluation is an exposure, errors are the code's default.
fn check_server(program: &mut Command, seed: u64) {
    let served = serve("decision", "write");
    let seen = visit(program, &served, seed);
    let (server, _) = &served;
    check(server, &seen, "hero", "purchase", VISITORS);
    check(server, &seen, "banner", "signup", VISITORS);
    let expected = json!({
        "unknown": {"value": "none", "code": "FLAG_NOT_FOUND"},
        "keyless": {"value": 7.0, "code": "TARGETING_KEY_MISSING"},
        "unreachable": {"value": "none", "code": "GENERAL"},
    });
    for (name, expected) in expected.as_object().expect("an object") {
        let found = &seen["errors"][name];
        let same = found["value"] == expected["value"] || found["value"].as_f64() == expected["value"].as_f64();
        assert!(same && found["code"] == expected["code"], "{name}: {found}");
    }
    assert_eq!(seen["untracked"], 1, "what could not be sent is logged: {seen}");
}

#[test]
#[ignore = "needs node and npm packages; scripts/test runs it"]
fn the_server_sdk_of_javascript() {
    check_server(&mut node("server.js"), 1);
}

#[test]
#[ignore = "needs Python and packages of PyPI; scripts/test runs it"]
fn the_sdk_of_python() {
    check_server(&mut python("server.py"), 2);
}

#[test]
#[ignore = "needs node, npm packages and Chromium; scripts/test runs it"]
fn the_web_sdk_in_a_page_of_another_origin() {
    let served = serve("visitor", "decide");
    let seen = visit(&mut node("web.js"), &served, 3);
    let (server, _) = &served;
    assert_eq!((&seen["wrong"], &seen["logged"]), (&json!([]), &json!([])), "{seen}");
    // All flags are fetched for everybody, and those that were read counted.
    check(server, &seen, "hero", "purchase", VISITORS);
    check(server, &seen, "banner", "signup", VISITORS / 2);
    assert_eq!(
        seen["first"]["/v1/activate"],
        json!({"200": VISITORS + VISITORS / 2}),
        "once for each flag that is read"
    );
    assert_eq!(seen["teaser"], json!({"value": "none", "code": "GENERAL"}));
    // Who comes back gets the same from its own cache, nothing is fetched anew, and nothing counts twice.
    let unchanged = |statuses: &Value| number(&statuses["/ofrep/v1/evaluate/flags"]["304"]);
    assert_eq!(unchanged(&seen["statuses"]) - unchanged(&seen["first"]), 2, "{seen}");
    let returns = seen["returns"].as_array().expect("returns");
    assert!(returns.iter().all(|back| back == &returns[0] && back["reason"] == "CACHED"), "{seen}");
}
