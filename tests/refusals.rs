//! What every endpoint refuses: its status and type, and the field, what was given and what is allowed.

mod support;

use serde_json::{Value, json};
use support::site::Site;
use support::text;

const KNOWN: &str = "the key of an experiment that was saved";
const KEPT: &str = "an experiment that was not deleted";
const KEY: &str = "1 to 64 characters of A-Z a-z 0-9 . _ -";
const ID: &str = "1 to 256 bytes without control characters";
const REQUIRED: &str = "a value: the field is required";

/// Three experiments: one that decides, one that has ended, one that was deleted.
fn site() -> Site {
    let site = Site::new();
    for key in ["hero", "over", "gone"] {
        let (status, answer) = site.client.send("PUT", &format!("/v1/experiments/{key}"), &definition(&json!({})));
        assert_eq!(status, 201, "{answer}");
    }
    site.client.post("/v1/experiments/over/end", &json!({}));
    let (status, _) = site.client.send("DELETE", "/v1/experiments/gone", &Value::Null);
    assert_eq!(status, 204);
    site
}

/// A definition with some fields changed.
fn definition(changes: &Value) -> Value {
    let mut definition = json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "goals": [{"key": "purchase"}],
    });
    let changes = changes.as_object().expect("an object").clone();
    definition.as_object_mut().expect("an object").extend(changes);
    definition
}

/// Each case: method, address, body; status, type; field, what was given, what is allowed.
type Case<'a> = (&'a str, &'a str, &'a str, u16, &'a str, &'a str, &'a str, &'a str);

fn check(site: &Site, cases: &[Case<'_>]) {
    for (method, path, body, status, kind, field, given, allowed) in cases {
        let (found, name, problem) = site.client.problem(method, path, body);
        let said = |name: &str| {
            text(problem.get(name).unwrap_or_else(|| panic!("{method} {path} {body}: {problem}"))).to_owned()
        };
        assert_eq!((found, name.as_str()), (*status, *kind), "{method} {path} {body}: {problem}");
        assert_eq!(
            (said("field").as_str(), said("given").as_str()),
            (*field, *given),
            "{method} {path} {body}: {problem}"
        );
        assert!(said("allowed").contains(allowed), "{method} {path} {body}: {problem}");
    }
}

#[test]
fn addresses_of_experiments_and_visitors() {
    let site = site();
    let long = format!("/v1/visitors/{}", "v".repeat(257));
    let shown = format!("{:?}", "v".repeat(80));
    let (unknown, deleted, refused) = ("experiment-unknown", "experiment-deleted", "field-refused");
    check(
        &site,
        &[
            ("GET", "/v1/experiments/none", "", 404, unknown, "key", "\"none\"", KNOWN),
            ("GET", "/v1/experiments/gone", "", 404, deleted, "key", "\"gone\"", KEPT),
            ("DELETE", "/v1/experiments/none", "", 404, unknown, "key", "\"none\"", KNOWN),
            ("DELETE", "/v1/experiments/gone", "", 404, deleted, "key", "\"gone\"", KEPT),
            ("GET", "/v1/experiments/none/report", "", 404, unknown, "key", "\"none\"", KNOWN),
            ("GET", "/v1/experiments/gone/report", "", 404, deleted, "key", "\"gone\"", KEPT),
            ("POST", "/v1/experiments/none/start", "", 404, unknown, "key", "\"none\"", KNOWN),
            ("POST", "/v1/experiments/gone/pause", "", 404, deleted, "key", "\"gone\"", KEPT),
            ("POST", "/v1/experiments/none/end", "", 404, unknown, "key", "\"none\"", KNOWN),
            ("POST", "/v1/experiments/over/start", "", 409, "experiment-ended", "key", "\"over\"", "has not ended"),
            (
                "PUT",
                "/v1/experiments/gone",
                &definition(&json!({})).to_string(),
                422,
                refused,
                "key",
                "gone",
                "not used before",
            ),
            ("PUT", "/v1/experiments/a%20b", &definition(&json!({})).to_string(), 422, refused, "key", "\"a b\"", KEY),
            ("GET", &long, "", 422, refused, "visitor", &shown, ID),
            ("DELETE", &long, "", 422, refused, "visitor", &shown, ID),
        ],
    );
}

#[test]
fn definitions() {
    let site = site();
    let refused = |changes: Value, status: u16, kind: &str, field: &str, given: &str, allowed: &str| {
        let body = definition(&changes).to_string();
        check(&site, &[("PUT", "/v1/experiments/hero", &body, status, kind, field, given, allowed)]);
    };
    let (value, shape) = ((422, "field-refused"), (400, "malformed"));
    for (changes, (status, kind), field, given, allowed) in [
        (json!({"key": "other"}), value, "key", "\"other\"", "as in the address"),
        (json!({"unit": "session"}), value, "unit", "\"session\"", "\"decision\", \"visitor\""),
        (json!({"traffic": -0.1}), value, "traffic", "-0.1", "0 to 1"),
        (json!({"bucket": "7m"}), value, "bucket", "7m", "divides a day"),
        (json!({"variations": []}), value, "variations", "0 of them", "1 to 256"),
        (json!({"variations": [{"key": "a"}, {"key": "a"}]}), value, "variations[1].key", "a", "each key once"),
        (json!({"goals": [{"key": "a", "window": "0s"}]}), value, "goals[0].window", "0ms", "1s to 365d"),
        (json!({"policy": {"kind": "best"}}), value, "policy.kind", "\"best\"", "thompson"),
        (json!({"policy": {"kind": null}}), value, "policy.kind", "null", "the name of a policy"),
        (json!({"policy": {"draws": 3}}), value, "policy.draws", "3", "64 to 65536"),
        (
            json!({"policy": {"expected_visitors": 1.5}}),
            value,
            "policy.expected_visitors",
            "1.5",
            "whole number from 1",
        ),
        (json!({"stopping": {"probability": 0.4}}), value, "stopping.probability", "0.4", "between 0.5 and 1"),
        (json!({"control": "half"}), shape, "control", "string \"half\"", "a number"),
        (json!({"variations": [{"payload": 1}]}), shape, "variations[0].key", "nothing", REQUIRED),
        (json!({"variations": {"plain": 1}}), shape, "variations", "map", "a list"),
        (json!({"goals": [{"key": "a", "cap": 1.5}]}), shape, "goals[0].cap", "floating point `1.5`", "a whole number"),
        (json!({"stopping": {"conversions_min": -1}}), shape, "stopping.conversions_min", "integer `-1`", "from 0"),
        (json!({"interactions": [["a"]]}), shape, "interactions[0]", "invalid length 1", "a list of two"),
        (json!({"budget": 5}), shape, "budget", "integer `5`", "an object"),
        (json!({"colour": 1}), shape, "colour", "unknown field `colour`", "`variations`"),
    ] {
        refused(changes, status, kind, field, given, allowed);
    }
    check(
        &site,
        &[("PUT", "/v1/experiments/hero", r#"{"variations":[]}"#, 400, "malformed", "goals", "nothing", REQUIRED)],
    );
    assert_eq!(site.client.get("/v1/experiments/hero")["definition"], 1, "nothing was changed");
}

#[test]
fn bodies_of_decisions_rewards_activations_and_aliases() {
    let site = site();
    site.client.post("/v1/alias", &json!({"anonymous": "a", "visitor": "v"}));
    let name = "n".repeat(65);
    let named = format!(r#"{{"experiment":"hero","context":{{"{name}":1}}}}"#);
    let many: Vec<String> = (0..65).map(|index| format!(r#""a{index}":1"#)).collect();
    let many = format!(r#"{{"experiment":"hero","context":{{{}}}}}"#, many.join(","));
    let (malformed, refused) = ("malformed", "field-refused");
    let (unknown, deleted) = ("experiment-unknown", "experiment-deleted");
    let decide = "/v1/decide";
    check(
        &site,
        &[
            ("POST", decide, r#"{"experiment":"none"}"#, 404, unknown, "experiment", "\"none\"", KNOWN),
            ("POST", decide, r#"{"experiment":"gone"}"#, 404, deleted, "experiment", "\"gone\"", KEPT),
            ("POST", decide, r#"{"experiment":5}"#, 400, malformed, "experiment", "integer `5`", "a text"),
            (
                "POST",
                decide,
                r#"{"experiment":"hero","defer":"yes"}"#,
                400,
                malformed,
                "defer",
                "string \"yes\"",
                "true or false",
            ),
            (
                "POST",
                decide,
                r#"{"experiment":"a","experiment":"b"}"#,
                400,
                malformed,
                "experiment",
                "the field twice",
                "once",
            ),
            (
                "POST",
                decide,
                r#"{"experiment":"hero","context":[]}"#,
                400,
                malformed,
                "context",
                "sequence",
                "attributes",
            ),
            ("POST", decide, &named, 400, malformed, "context", "an attribute's name of 65 bytes", "1 to 64 bytes"),
            ("POST", decide, &many, 400, malformed, "context", "more attributes", "at most 64"),
            (
                "POST",
                decide,
                r#"{"requests":[{"visitor":1}]}"#,
                400,
                malformed,
                "requests[0].visitor",
                "integer `1`",
                "a text",
            ),
            ("POST", "/v1/alias", r#"{"visitor":"v"}"#, 400, malformed, "anonymous", "nothing", REQUIRED),
            ("POST", "/v1/alias", r#"{"anonymous":"","visitor":"v"}"#, 422, refused, "anonymous", "\"\"", ID),
            (
                "POST",
                "/v1/alias",
                r#"{"anonymous":"v","visitor":"v"}"#,
                409,
                "alias-refused",
                "anonymous",
                "\"v\"",
                "already",
            ),
            (
                "POST",
                "/v1/alias",
                r#"{"anonymous":"v","visitor":"w"}"#,
                409,
                "alias-refused",
                "anonymous",
                "\"v\"",
                "joined",
            ),
            (
                "POST",
                "/v1/reward",
                r#"{"receipt":"x","value":"1"}"#,
                400,
                malformed,
                "value",
                "string \"1\"",
                "a number",
            ),
            ("POST", "/v1/reward", r#"{"rewards":[]}"#, 422, refused, "rewards", "0 of them", "1 to 1000"),
        ],
    );
    for path in ["/v1/reward", "/v1/activate"] {
        check(
            &site,
            &[
                (
                    "POST",
                    path,
                    r#"{"receipt":"x"}"#,
                    400,
                    "receipt-malformed",
                    "receipt",
                    "a receipt",
                    "this server made",
                ),
                ("POST", path, r#"{"experiment":"none","visitor":"v"}"#, 404, unknown, "experiment", "\"none\"", KNOWN),
                ("POST", path, r#"{"experiment":"gone","visitor":"v"}"#, 404, deleted, "experiment", "\"gone\"", KEPT),
            ],
        );
    }
}
