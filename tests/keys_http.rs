//! Keys as sites and pages meet them: made over HTTP, sent in four ways, held to their role and their origins; CORS.

mod support;

use serde_json::{Value, json};
use support::server::Server;
use support::site::Site;
use support::{Client, text};

/// An answer: its status, its headers, its JSON.
struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    json: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn kind(&self) -> &str {
        self.json["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or_default()
    }
}

fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, headers, json) = client.with_headers(method, path, &body, headers);
    Answer { status, headers, json }
}

fn hero() -> Value {
    json!({
        "status": "running",
        "unit": "visitor",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "segments": {"by": ["device"]},
        "policy": {"kind": "uniform"},
        "goals": [{"key": "purchase"}],
    })
}

/// A site with `hero` and a key of each role: admin, write, decide.
fn keyed(origins: &[&str]) -> (Site, [String; 3]) {
    let site = Site::with(&hero());
    let admin = site.client.send("POST", "/v1/keys", &json!({"name": "mine", "role": "admin"}));
    assert_eq!(admin.0, 201, "{}", admin.1);
    let admin = text(&admin.1["key"]).to_owned();
    let bearer = format!("Bearer {admin}");
    let create = |role: &str, origins: &[&str]| {
        let body = json!({"name": format!("for {role}"), "role": role, "origins": origins});
        let answer = send(&site.client, "POST", "/v1/keys", &[("authorization", &bearer)], &body);
        assert_eq!(answer.status, 201, "{}", answer.json);
        text(&answer.json["key"]).to_owned()
    };
    let keys = [admin.clone(), create("write", &[]), create("decide", origins)];
    (site, keys)
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let site = Site::new();
    let (status, problem) = site.client.send("POST", "/v1/keys", &json!({"name": "shop", "role": "decide"}));
    assert_eq!((status, &problem["field"]), (422, &json!("role")), "the first is an admin's: {problem}");
    let (status, problem) = site.client.send("POST", "/v1/keys", &json!({"name": "shop", "role": "king"}));
    assert_eq!((status, &problem["allowed"]), (422, &json!("decide, write, admin")), "{problem}");
    let (site, [admin, _, decide]) = keyed(&["https://shop.example"]);
    let bearer: &[(&str, &str)] = &[("authorization", &format!("bearer {admin}"))];
    let listed = send(&site.client, "GET", "/v1/keys", bearer, &Value::Null);
    let keys = listed.json["keys"].as_array().expect("a list").clone();
    assert_eq!(keys.len(), 3);
    let body = listed.json.to_string();
    assert!(!body.contains("hash") && !body.contains(decide.rsplit('_').next().expect("a secret")), "{body}");
    let shop = keys.iter().find(|key| key["role"] == "decide").expect("made");
    assert_eq!((&shop["origins"], &shop["rate"]), (&json!(["https://shop.example"]), &json!(null)));
    assert_eq!(shop["created_at"], "2027-01-15T08:00:00Z");
    let path = format!("/v1/keys/{}", text(&shop["id"]));
    assert_eq!(send(&site.client, "DELETE", &path, bearer, &Value::Null).status, 204);
    let again = send(&site.client, "DELETE", &path, bearer, &Value::Null);
    assert_eq!((again.status, again.kind()), (404, "key-unknown"));
    let refused = send(&site.client, "POST", "/v1/decide", &[("x-api-key", &decide)], &json!({"experiment": "hero"}));
    assert_eq!((refused.status, refused.kind()), (401, "key-refused"));
    let last = keys.iter().find(|key| key["role"] == "admin").expect("made");
    let last = send(&site.client, "DELETE", &format!("/v1/keys/{}", text(&last["id"])), bearer, &Value::Null);
    assert_eq!((last.status, last.kind()), (409, "last-admin-key"));
    let itself = send(&site.client, "DELETE", &format!("/v1/keys/{admin}"), bearer, &Value::Null);
    assert_eq!((itself.status, itself.kind()), (422, "field-refused"));
    assert!(!itself.json.to_string().contains(&admin), "a key is never shown: {}", itself.json);
}

#[test]
fn a_key_comes_in_four_ways() {
    let (site, [admin, _, decide]) = keyed(&[]);
    let ask = json!({"experiment": "hero", "visitor": "v-1"});
    let bearer = format!("Bearer {decide}");
    for headers in [[("authorization", bearer.as_str())], [("x-api-key", &decide)]] {
        assert_eq!(send(&site.client, "POST", "/v1/decide", &headers, &ask).status, 200);
    }
    assert_eq!(send(&site.client, "POST", &format!("/v1/decide?a=b&key={decide}"), &[], &ask).status, 200);
    // As sendBeacon does it: no header but this one, whatever the body is.
    let plain = [("content-type", "text/plain;charset=UTF-8"), ("origin", "https://shop.example")];
    let decided = send(
        &site.client,
        "POST",
        "/v1/decide",
        &plain,
        &json!({"key": decide, "experiment": "hero", "visitor": "v-2"}),
    );
    assert_eq!(decided.status, 200, "{}", decided.json);
    let beacon = json!({"key": decide, "receipt": decided.json["receipt"]});
    assert_eq!(send(&site.client, "POST", "/v1/activate", &plain, &beacon).json, json!({"outcome": "repeated"}));
    assert_eq!(send(&site.client, "POST", "/v1/reward", &plain, &beacon).json["outcome"], "recorded");
    let list = json!({"key": decide, "rewards": [{"receipt": decided.json["receipt"]}, {"key": decide}]});
    let answer = send(&site.client, "POST", "/v1/reward", &plain, &list);
    assert_eq!(
        (&answer.json["results"][0]["outcome"], &answer.json["results"][1]["field"]),
        (&json!("repeated"), &json!("key"))
    );
    let list = json!({"key": decide, "requests": [ask, {"key": decide, "experiment": "hero"}]});
    let answer = send(&site.client, "POST", "/v1/decide", &plain, &list);
    assert_eq!(
        (&answer.json["decisions"][0]["reason"], &answer.json["decisions"][1]["field"]),
        (&json!("sticky"), &json!("key"))
    );
    for (headers, path) in
        [(vec![], "/v1/decide"), (vec![("authorization", "Basic bWU6cHc=")], "/v1/decide"), (vec![], "/v1/experiments")]
    {
        let method = if path == "/v1/decide" { "POST" } else { "GET" };
        let refused =
            send(&site.client, method, path, &headers, &if method == "POST" { ask.clone() } else { Value::Null });
        assert_eq!(
            (refused.status, refused.kind(), refused.header("www-authenticate")),
            (401, "key-required", "Bearer realm=\"mabel\"")
        );
    }
    let in_address = send(&site.client, "GET", &format!("/v1/experiments?key={admin}"), &[], &Value::Null);
    assert_eq!(in_address.kind(), "key-required", "addresses are kept in logs: only pages' keys may stand there");
    let garbled: &[(&str, &str)] = &[("x-api-key", "mbl_decide_0")];
    let body = json!({"key": decide, "experiment": "hero"});
    assert_eq!(
        send(&site.client, "POST", "/v1/decide", garbled, &body).kind(),
        "key-refused",
        "the header goes before the body"
    );
}

#[test]
fn a_page_decides_and_rewards_what_it_has_the_receipt_of() {
    let (site, [_, write, decide]) = keyed(&[]);
    let as_page: &[(&str, &str)] = &[("x-api-key", &decide)];
    let as_server: &[(&str, &str)] = &[("x-api-key", &write)];
    let ask = json!({"experiment": "hero", "visitor": "v-1", "context": {"device": "mobile"}});
    let seen = send(&site.client, "POST", "/v1/decide", as_page, &ask);
    assert_eq!((seen.status, &seen.json["segment"]), (200, &Value::Null), "{}", seen.json);
    assert_eq!(send(&site.client, "POST", "/v1/decide", as_server, &ask).json["segment"], "device=mobile");
    let mut explain = ask.clone();
    explain["explain"] = json!(true);
    let receipt = &seen.json["receipt"];
    let refused = |path: &str, body: Value| {
        let answer = send(&site.client, "POST", path, as_page, &body);
        assert_eq!((answer.status, answer.kind()), (403, "role-required"), "{body}: {}", answer.json);
        assert_eq!((&answer.json["given"], &answer.json["allowed"]), (&json!("decide"), &json!("write or admin")));
    };
    refused("/v1/decide", explain.clone());
    refused("/v1/reward", json!({"experiment": "hero", "visitor": "v-1"}));
    refused("/v1/reward", json!({"receipt": receipt, "action": "amend", "value": 0}));
    refused("/v1/reward", json!({"receipt": receipt, "action": "retract"}));
    refused("/v1/activate", json!({"experiment": "hero", "visitor": "v-1"}));
    let batch = send(&site.client, "POST", "/v1/decide", as_page, &json!({"requests": [ask, explain]}));
    assert_eq!(
        (&batch.json["decisions"][0]["segment"], &batch.json["decisions"][1]["status"]),
        (&Value::Null, &json!(403))
    );
    let list = json!({"rewards": [{"receipt": receipt}, {"experiment": "hero", "visitor": "v-1"}]});
    let list = send(&site.client, "POST", "/v1/reward", as_page, &list);
    assert_eq!(
        (&list.json["results"][0]["outcome"], &list.json["results"][1]["status"]),
        (&json!("recorded"), &json!(403))
    );
    explain["visitor"] = json!("v-9");
    assert!(send(&site.client, "POST", "/v1/decide", as_server, &explain).json["explanation"].is_object());
    assert_eq!(
        send(&site.client, "POST", "/v1/reward", as_server, &json!({"experiment": "hero", "visitor": "v-1"})).json["outcome"],
        "repeated"
    );
}

#[test]
fn browsers_are_told_who_may() {
    let (site, [_, _, decide]) = keyed(&["https://shop.example"]);
    let asks = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-api-key"),
    ];
    let preflight = send(&site.client, "OPTIONS", "/v1/decide", &asks, &Value::Null);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(preflight.header("access-control-allow-methods"), "POST");
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "content-type, authorization, x-api-key, if-none-match, idempotency-key"
    );
    assert_eq!(preflight.header("access-control-max-age"), "7200");
    assert_eq!(preflight.header("access-control-allow-credentials"), "");
    let ask = json!({"experiment": "hero", "key": decide});
    let let_in = send(&site.client, "POST", "/v1/decide", &[("origin", "https://shop.example")], &ask);
    assert_eq!((let_in.status, let_in.header("access-control-allow-origin")), (200, "https://shop.example"));
    assert_eq!(
        (let_in.header("access-control-expose-headers"), let_in.header("vary")),
        ("etag, retry-after", "Origin")
    );
    let refused = send(&site.client, "POST", "/v1/decide", &[("origin", "https://evil.example")], &ask);
    assert_eq!((refused.status, refused.kind()), (403, "origin-refused"));
    assert_eq!(refused.header("access-control-allow-origin"), "https://evil.example", "the page may read why");
    assert_eq!(send(&site.client, "POST", "/v1/decide", &[], &ask).header("access-control-allow-origin"), "");
}

#[test]
fn without_keys_only_pages_of_this_machine_are_let_in() {
    let site = Site::with(&hero());
    let ask = json!({"experiment": "hero"});
    assert_eq!(send(&site.client, "POST", "/v1/decide", &[("origin", "http://localhost:3000")], &ask).status, 200);
    for (method, path) in
        [("POST", "/v1/decide"), ("POST", "/v1/experiments/hero/end"), ("DELETE", "/v1/experiments/hero")]
    {
        let body = if method == "POST" { ask.clone() } else { Value::Null };
        let refused = send(&site.client, method, path, &[("origin", "https://evil.example")], &body);
        assert_eq!((refused.status, refused.kind()), (403, "origin-refused"), "{method} {path}");
    }
    assert_eq!(site.client.get("/v1/experiments/hero")["status"], "running");
    // A page whose name came to mean this machine says no origin where it only reads, as it is of the same.
    for path in ["/v1/experiments/hero", "/v1/events", "/v1/backup"] {
        let refused = send(&site.client, "GET", path, &[("host", "evil.example:8080")], &Value::Null);
        assert_eq!((refused.status, refused.kind(), &refused.json["field"]), (403, "origin-refused", &json!("Host")));
        assert_eq!(refused.json["given"], "\"evil.example:8080\"", "{path}");
    }
    let read = send(&site.client, "GET", "/v1/experiments/hero", &[("host", "localhost:3000")], &Value::Null);
    assert_eq!(read.status, 200, "forwarded by something on this machine");
    let (keyed, [admin, ..]) = keyed(&[]);
    let named = [("host", "mabel.example"), ("x-api-key", admin.as_str())];
    let read = send(&keyed.client, "GET", "/v1/experiments/hero", &named, &Value::Null);
    assert_eq!(read.status, 200, "with keys every name is good");
}

#[test]
fn too_many_requests_are_told_when_to_come_back() {
    let (site, [admin, ..]) = keyed(&[]);
    let bearer = format!("Bearer {admin}");
    let slow = json!({"name": "slow", "role": "decide", "rate": 1});
    let slow = send(&site.client, "POST", "/v1/keys", &[("authorization", &bearer)], &slow);
    assert_eq!((slow.status, &slow.json["rate"]), (201, &json!(1)), "{}", slow.json);
    let ask = json!({"experiment": "hero", "key": slow.json["key"]});
    let refused = |client: &Client, headers: &[(&str, &str)]| {
        let answers = (0..500).map(|_| send(client, "POST", "/v1/decide", headers, &ask));
        let refused = answers.into_iter().find(|answer| answer.status == 429)?;
        assert_eq!((refused.kind(), refused.header("retry-after")), ("too-many-requests", "1"));
        Some(refused)
    };
    let answer = refused(&site.client, &[("origin", "https://shop.example")]).expect("more than one a second");
    assert_eq!(answer.header("access-control-expose-headers"), "etag, retry-after");
    let server =
        Server::start(&["--store", "memory", "--log", "warn", "--rate-limit", "1", "--trusted-proxies", "127.0.0.1"]);
    let ask_from = |address: &str| refused(&server.client, &[("x-forwarded-for", address)]);
    assert!(ask_from("192.0.2.1").is_some());
    assert!(ask_from("127.0.0.1").is_none(), "this machine is not limited");
    // Each only once: it is not they that come too often.
    let made_up = (0..200).map(|index| {
        let lines = [("x-forwarded-for", &*format!("198.51.100.{index}")), ("x-forwarded-for", "192.0.2.2")];
        send(&server.client, "POST", "/v1/decide", &lines, &ask).status
    });
    assert!(made_up.into_iter().any(|status| status == 429), "the proxy's own line says whose they are");
    let made = server.client.send("POST", "/v1/keys", &json!({"name": "mine", "role": "admin"}));
    assert_eq!(made.0, 201, "{}", made.1);
    let mut unread = (0..200).map(|_| {
        let malformed = server.client.with_headers("POST", "/v1/decide", "{", &[("x-forwarded-for", "192.0.2.3")]);
        malformed.0
    });
    assert_eq!(unread.next(), Some(400));
    assert!(unread.any(|status| status == 429), "whoever brings no key that can be read counts as well");
}

#[test]
fn a_running_server_sees_what_the_command_line_changes() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().to_str().expect("a text");
    let server = Server::start(&["--data", data]);
    let keys = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mabel"));
        let output = command.arg("keys").args(arguments).output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let until = |status: u16| {
        let asked = || server.client.send("GET", "/v1/experiments", &Value::Null).0;
        assert!((0..100).any(|_| asked() == status || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            false
        }));
    };
    until(200);
    let printed = keys(&["create", "--role", "admin", "--name", "mine", "--data", data]);
    let admin = printed.lines().next().expect("a key").to_owned();
    until(401);
    let over_http = ["--server", server.client.base(), "--key", &admin];
    let printed = keys(&[&["create", "--role", "write", "--name", "shop", "--json"], &over_http[..]].concat());
    let made: Value = serde_json::from_str(&printed).expect("JSON");
    let listed = keys(&["list", "--data", data]);
    assert!(listed.contains(text(&made["id"])) && listed.contains("shop") && listed.lines().count() == 2, "{listed}");
    keys(&["revoke", text(&made["id"]), "--data", data]);
    let seen = || keys(&[&["list"], &over_http[..]].concat()).lines().count() == 1;
    assert!((0..100).any(|_| seen() || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        false
    }));
}
