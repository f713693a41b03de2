//! Spans of a real server, as a collector gets them.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::json;
use support::server::Server;
use support::text;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: the address, and the body of each request that comes, with its request line.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.expect("a connection"), sender.clone());
            std::thread::spawn(move || take(stream, &sender));
        }
    });
    (address, received)
}

/// Takes requests of one connection until there are no more.
fn take(mut stream: TcpStream, sender: &Sender<(String, Vec<u8>)>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if lines.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a header");
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).expect("a body");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
        if sender.send((first, body)).is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits")).collect()
}

#[test]
fn spans_reach_the_collector_in_the_trace_of_whoever_asked_and_tell_no_secret() {
    let (address, received) = collector();
    let server = Server::start(&["--store", "memory", "--otlp", &address]);
    let definition = json!({
        "status": "running", "unit": "visitor", "segments": {"by": ["plan"]}, "policy": {"kind": "uniform"},
        "variations": [{"key": "plain", "payload": "payload-7d1f"}, {"key": "bold", "payload": "payload-7d1f"}],
        "goals": [{"key": "purchase"}],
    });
    assert_eq!(server.client.send("PUT", "/v1/experiments/hero", &definition).0, 201);
    let (status, made) = server.client.send("POST", "/v1/keys", &json!({"name": "mine", "role": "admin"}));
    assert_eq!(status, 201, "{made}");
    let key = text(&made["key"]);
    let client = server.client.clone().with_key(key);
    let ask = json!({"experiment": "hero", "visitor": "visitor-4c8a", "context": {"plan": "context-9b2e"}}).to_string();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let (status, _, decision) = client.with_headers("POST", "/v1/decide", &ask, &[("traceparent", &traceparent)]);
    assert_eq!(status, 200, "{decision}");
    let unsampled = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    client.with_headers("GET", "/v1/visitors/visitor-4c8a", "", &[("traceparent", unsampled)]);
    client.get("/v1/visitors/visitor-4c8a");
    assert_eq!(server.client.try_send("GET", "/v1/experiments", "").expect("answered").0, 401);
    // Before the time comes to send, so that it is the stop that does it.
    assert_eq!(server.terminate(), Some(0));
    let mut all = Vec::new();
    while let Ok((request, body)) = received.recv_timeout(Duration::from_millis(200)) {
        assert_eq!(request.trim_end(), "POST /v1/traces HTTP/1.1");
        all.extend(body);
    }
    let mut of_the_caller = bytes(TRACE);
    assert!(contains(&all, &of_the_caller), "no span in the caller's trace among {} bytes", all.len());
    assert!(contains(&all, &bytes(PARENT)), "its parent is the caller's span");
    of_the_caller[0] = 0x5b;
    assert!(!contains(&all, &of_the_caller), "a trace that nobody keeps");
    let told = ["POST /v1/decide", "GET /v1/visitors/{id}", "GET /v1/experiments", "commit", "mabel.events", "mabel"];
    for name in told {
        assert!(contains(&all, name.as_bytes()), "{name} is missing");
    }
    let receipt = text(&decision["receipt"]);
    for secret in ["visitor-4c8a", "context-9b2e", "payload-7d1f", receipt, &receipt[..24], key] {
        assert!(!contains(&all, secret.as_bytes()), "{secret} was told");
    }
}

#[test]
fn a_collector_that_is_not_there_holds_up_neither_answers_nor_the_stop() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let server = Server::start(&["--store", "memory", "--otlp", &format!("http://{gone}")]);
    for _ in 0..50 {
        assert_eq!(server.client.get("/healthz"), json!({"status": "ok"}));
    }
    assert_eq!(server.terminate(), Some(0));
}
