//! Requests in plain form are answered where they are read, all others by the framework: whoever reads the answer cannot tell. The same
//! request is sent as it is and with a header that makes it the framework's and asks nothing.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mabel::http::Limits;
use serde_json::{Value, json};
use support::site::Site;
use support::text;

fn connect(site: &Site) -> TcpStream {
    let address = site.client.base().strip_prefix("http://").expect("an address");
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

/// One answer, of which the connection may bring more.
#[derive(Debug)]
struct Answer {
    status: String,
    /// In their order.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// Reads the next one.
    fn next(stream: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().expect("a status").to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_owned(), value.to_owned())
        };
        let headers: Vec<_> = lines.map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").expect("a length");
        let mut body = vec![0; length.1.parse().expect("a number")];
        stream.read_exact(&mut body).expect("a body");
        Self { status, headers, body: String::from_utf8(body).expect("text") }
    }

    /// The framework says first how long a body is, and what is written directly says it last.
    fn is_direct(&self) -> bool {
        self.headers[0].0 != "content-length"
    }

    /// What must not differ.
    fn essence(&self) -> (&str, Vec<(&str, &str)>, &str) {
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, if name == "date" { "" } else { value })).collect();
        headers.sort_unstable();
        (&self.status, headers, &self.body)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn request(target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn whole(site: &Site, request: &str) -> Answer {
    let mut stream = connect(site);
    stream.write_all(request.as_bytes()).expect("sent");
    Answer::next(&mut stream)
}

fn not_plain(request: &str) -> String {
    request.replacen("Host: ", "Connection: keep-alive, x\r\nHost: ", 1)
}

fn hero() -> Value {
    json!({
        "status": "running",
        "variations": [{"key": "plain"}, {"key": "bold"}],
        "segments": {"by": ["device"]},
        "goals": [{"key": "purchase"}],
    })
}

/// Where to, with which headers and body, and the status of the answer.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

#[test]
fn an_answer_is_the_same_whoever_gives_it() {
    let site = Site::with(&hero());
    let [_, write, decide] = site.keys();
    let (as_write, as_decide) = (format!("Bearer {write}"), format!("bearer  {decide}"));
    let decision = r#"{"experiment":"hero","visitor":"v-1","decision_id":"d-1","context":{"device":"mobile"}}"#;
    let keyed = [("authorization", as_write.as_str())];
    let first = whole(&site, &request("/v1/decide", &keyed, decision)).json();
    let receipt = text(&first["receipt"]);
    let page = [("Origin", "https://shop.example"), ("X-Api-Key", decide.as_str())];
    let with_key = format!(r#"{{"key":"{decide}",{}"#, &decision[1..]);
    let beacon = format!("/v1/decide?key={decide}");
    let reward = format!(r#"{{"receipt":"{receipt}","goal":"purchase","value":1}}"#);
    // From now on it is repeated.
    assert_eq!(text(&whole(&site, &request("/v1/reward", &keyed, &reward)).json()["outcome"]), "recorded");
    let (long, unknown) = ("i".repeat(201), "Bearer mbl_admin_0123456789abcdef_0");
    let many_headers: Vec<(&str, &str)> = std::iter::repeat_n(("x-a", "b"), 20).chain(keyed).collect();
    let cases: Vec<Case<'_>> = vec![
        ("/v1/decide", keyed.to_vec(), decision, 200),
        ("/v1/decide", vec![("AUTHORIZATION", &as_decide)], decision, 200),
        ("/v1/decide", page.to_vec(), decision, 200),
        ("/v1/decide", many_headers, decision, 200),
        ("/v1/decide?a=b", vec![("connection", "Keep-Alive"), keyed[0]], decision, 200),
        (&beacon, vec![("origin", "null"), ("content-type", "text/plain")], decision, 200),
        ("/v1/decide", vec![("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")], &with_key, 200),
        ("/v1/decide", keyed.to_vec(), r#"{"experiments":"all","visitor":"v-1","decision_id":"d-2"}"#, 200),
        ("/v1/decide", vec![("idempotency-key", &long), keyed[0]], decision, 422),
        ("/v1/decide", vec![], decision, 401),
        ("/v1/decide", vec![("authorization", unknown)], decision, 401),
        ("/v1/decide", vec![("x-api-key", "\u{e9}")], decision, 401),
        ("/v1/decide", vec![("x-api-key", &decide)], r#"{"experiment":"hero","explain":true}"#, 403),
        ("/v1/decide", keyed.to_vec(), r#"{"experiment":"none"}"#, 404),
        ("/v1/decide", keyed.to_vec(), r#"{"experiment":"#, 400),
        ("/v1/decide", keyed.to_vec(), "", 400),
        ("/v1/reward", keyed.to_vec(), &reward, 200),
        ("/v1/reward", page.to_vec(), r#"{"receipt":"a","goal":"purchase"}"#, 400),
        ("/v1/activate", keyed.to_vec(), r#"{"receipt":"a"}"#, 400),
        ("/v1/activate", page.to_vec(), r#"{"experiment":"hero","visitor":"v-1"}"#, 403),
        ("/v1/track", keyed.to_vec(), r#"{"name":"purchase","targetingKey":"nobody"}"#, 200),
        ("/v1/track", keyed.to_vec(), r#"{"events":[]}"#, 422),
    ];
    for (target, headers, body, status) in cases {
        let request = request(target, &headers, body);
        let (direct, other) = (whole(&site, &request), whole(&site, &not_plain(&request)));
        assert!(direct.status.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{direct:?}");
        assert!(direct.is_direct() && !other.is_direct(), "{request}\n{direct:?}\n{other:?}");
        assert_eq!(direct.essence(), other.essence(), "{request}");
    }
}

#[test]
fn what_is_not_plain_is_the_frameworks_and_so_is_what_follows() {
    let site = Site::with(&hero());
    let body = r#"{"experiment":"hero"}"#;
    let plain = request("/v1/decide", &[], body);
    let chunked = format!(
        "POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (first, second) = plain.split_at(20);
    let others = [
        not_plain(&plain),
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
        "GET /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".to_owned(),
        plain.replace("/v1/decide", "/v1/nothing"),
        plain.replace("/v1/decide", "http://localhost/v1/decide"),
        plain.replace("Host: localhost", "Host: localhost\r\nExpect: nothing-special"),
        chunked,
    ];
    for other in others {
        let mut stream = connect(&site);
        stream.write_all(format!("{plain}{other}{plain}").as_bytes()).expect("sent");
        let direct = [0, 1, 2].map(|_| Answer::next(&mut stream).is_direct());
        assert_eq!(direct, [true, false, false], "{other}");
    }
    // Half a head is not plain either; if both halves come together, it is.
    let mut stream = connect(&site);
    for half in [first, second] {
        stream.write_all(half.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Answer::next(&mut stream).status.ends_with("200 OK"));
}

#[test]
fn requests_that_can_be_read_in_two_ways_are_refused() {
    let site = Site::with(&hero());
    let plain = request("/v1/decide", &[], r#"{"experiment":"hero"}"#);
    for (what, into) in [
        ("Host: localhost\r\n", ""),
        ("Content-Length: ", "Content-Length: 3\r\nContent-Length: "),
        ("Content-Length: ", "Content-Length: +"),
        ("Content-Length: ", "Transfer-Encoding: chunked\r\nContent-Length: "),
        ("Content-Length: ", "Content-Length : "),
        ("Host: ", " Host: "),
        ("HTTP/1.1", "HTTP/3.1"),
    ] {
        let refused = whole(&site, &plain.replacen(what, into, 1));
        assert_eq!(refused.status, "HTTP/1.1 400 Bad Request", "{what:?} as {into:?}");
    }
}

#[test]
fn a_body_that_comes_later_is_waited_for() {
    let site = Site::with(&hero());
    let request = request("/v1/decide", &[], r#"{"experiment":"hero"}"#);
    let (first, second) = request.split_at(request.len() - 8);
    let mut stream = connect(&site);
    for _ in 0..2 {
        stream.write_all(first.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(second.as_bytes()).expect("sent");
        let answer = Answer::next(&mut stream);
        assert!(answer.is_direct() && answer.status.ends_with("200 OK"), "{answer:?}");
    }
}

/// A batch whose answer is longer than what sockets keep.
fn long_answer(site: &Site) -> String {
    let definition = json!({
        "status": "running",
        "variations": [{"key": "plain", "payload": "p".repeat(20_000)}],
        "goals": [{"key": "purchase"}],
    });
    assert_eq!(site.client.send("PUT", "/v1/experiments/hero", &definition).0, 201);
    let requests = vec![json!({"experiment": "hero"}); 500];
    request("/v1/decide", &[], &json!({"requests": requests}).to_string())
}

#[test]
fn who_reads_late_misses_nothing() {
    let site = Site::new();
    let request = long_answer(&site);
    let mut stream = connect(&site);
    stream.write_all(request.as_bytes()).expect("sent");
    std::thread::sleep(Duration::from_millis(300));
    let answer = Answer::next(&mut stream);
    assert!(answer.is_direct(), "{}", answer.status);
    assert_eq!(answer.json()["decisions"].as_array().map(Vec::len), Some(500));
    assert!(answer.body.len() > 10_000_000);
}

#[test]
fn who_never_reads_is_not_waited_for() {
    let site = Site::within(Limits { idle: Duration::from_secs(1), ..Limits::default() });
    let request = long_answer(&site);
    let mut stream = connect(&site);
    stream.write_all(request.as_bytes()).expect("sent");
    std::thread::sleep(Duration::from_secs(3));
    let mut bytes = 0;
    let mut piece = vec![0; 65_536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes += count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("not closed: {error}"),
        }
    }
    assert!(bytes < 10_000_000, "what was on its way came, the rest did not: {bytes}");
}
