//! Limits as a client meets them: bytes over a socket, and the answer to them.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mabel::http::Limits;
use serde_json::Value;
use support::site::Site;

fn connect(site: &Site) -> TcpStream {
    let address = site.client.base().strip_prefix("http://").expect("an address");
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream
}

/// Everything until the server closes, whatever was sent before: it need not have read all of it.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("not closed: {error}, after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    String::from_utf8(bytes).expect("text")
}

fn exchange(site: &Site, request: &str) -> String {
    let mut stream = connect(site);
    // The server may answer and close before it has read all.
    let _ = stream.write_all(request.as_bytes());
    rest(&mut stream)
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[track_caller]
fn expect(answer: &str, status: u16, kind: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    if !kind.is_empty() {
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let problem: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    }
}

#[test]
fn what_is_too_long_too_deep_or_too_many_is_refused() {
    let site = Site::new();
    let long_line = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(140_000));
    expect(&exchange(&site, &long_line), 431, "");
    let long_header = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-a: {}\r\n\r\n", "a".repeat(140_000));
    expect(&exchange(&site, &long_header), 431, "");
    let many_headers = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x-a: b\r\n".repeat(96));
    expect(&exchange(&site, &many_headers), 431, "");
    expect(&exchange(&site, &post("/v1/decide", &" ".repeat((1 << 20) + 1))), 413, "body-too-large");
    let chunks = "10000\r\n".to_owned() + &"a".repeat(65_536) + "\r\n";
    let chunked =
        "POST /v1/decide HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    expect(&exchange(&site, &(chunked.to_owned() + &chunks.repeat(17) + "0\r\n\r\n")), 413, "body-too-large");
    for (path, deep) in [
        ("/v1/decide", r#"{"requests":["#.repeat(50_000)),
        ("/v1/decide", r#"{"context":"#.repeat(50_000)),
        ("/v1/reward", r#"{"rewards":["#.repeat(50_000)),
        ("/v1/keys", "[".repeat(500_000)),
    ] {
        expect(&exchange(&site, &post(path, &deep)), 400, "malformed");
    }
    // The payload stands on the fourth level.
    for (levels, status, kind) in [(127, 422, "field-refused"), (128, 400, "malformed")] {
        let payload = "[".repeat(levels - 3) + &"]".repeat(levels - 3);
        let put = format!(r#"{{"variations":[{{"key":"a","payload":{payload}}}],"goals":[]}}"#);
        let answer = exchange(&site, &post("/v1/experiments/hero", &put).replace("POST", "PUT"));
        expect(&answer, status, kind);
        assert_eq!(answer.contains("recursion limit"), status == 400, "{answer}");
    }
    for (path, field) in [("/v1/decide", "requests"), ("/v1/reward", "rewards")] {
        let many = format!(r#"{{"{field}":[{}{{}}]}}"#, "{},".repeat(1_000));
        expect(&exchange(&site, &post(path, &many)), 422, "field-refused");
    }
    expect(&exchange(&site, "hello\r\n\r\n"), 400, "");
    assert_eq!(site.client.get("/healthz")["status"], "ok", "and others are served all the while");
}

#[test]
fn who_sends_slowly_is_not_waited_for() {
    // The server's clock for these steps by half a second.
    let short = Duration::from_secs(1);
    let site = Site::within(Limits { head: short, idle: short, ..Limits::default() });
    let mut silent = connect(&site);
    let mut slow_head = connect(&site);
    slow_head.write_all(b"POST /v1/decide HTTP/1.1\r\nhost:").expect("sent");
    let mut idle = connect(&site);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    expect(&rest(&mut silent), 408, "");
    expect(&rest(&mut slow_head), 408, "");
    expect(&rest(&mut idle), 200, "");
    let site = Site::within(Limits { body: short, ..Limits::default() });
    let mut slow_body = connect(&site);
    slow_body.write_all(b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{").expect("sent");
    expect(&rest(&mut slow_body), 408, "body-too-slow");
}

#[test]
fn connections_beyond_the_most_wait_for_their_turn() {
    let site = Site::within(Limits { connections: 2, ..Limits::default() });
    let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connect(&site)).collect();
    let mut answer = [0; 12];
    for stream in &mut kept {
        stream.write_all(ask).expect("sent");
        stream.read_exact(&mut answer).expect("answered");
    }
    let mut waiting = connect(&site);
    waiting.write_all(ask).expect("sent");
    waiting.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    assert!(waiting.read_exact(&mut answer).is_err(), "nobody is free");
    drop(kept);
    waiting.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    waiting.read_exact(&mut answer).expect("answered now");
    assert_eq!(&answer, b"HTTP/1.1 200");
}
