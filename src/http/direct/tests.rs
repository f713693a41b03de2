//! Connections in memory: what ends them, and what they keep meanwhile.

use std::time::Duration;

use actix_web::rt::spawn;
use actix_web::rt::time::{sleep, timeout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};

use super::*;
use crate::access::Access;
use crate::access::key::{Role, Wanted};
use crate::domain::Timestamp;
use crate::engine::secret::Secret;
use crate::http::front::State;
use crate::http::metrics::Latencies;
use crate::service::clock::SystemClock;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;

const REQUEST: &[u8] = b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";

fn direct() -> Rc<Direct> {
    within(Limits::default())
}

fn within(limits: Limits) -> Rc<Direct> {
    let store = Arc::new(MemoryStore::new());
    let service = Service::start(store, Secret::new([3; 32]), 4, Arc::new(SystemClock), Options::default());
    let state = State {
        service: Arc::new(service.expect("an empty store starts")),
        access: Arc::new(Access::default()),
        limits,
        latencies: Arc::new(Latencies::new()),
    };
    Rc::new(Direct::new(state, Arc::default()))
}

/// What became of it, within a time in which nothing runs off by itself.
async fn ended<T>(serving: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3), serving).await.expect("ended")
}

async fn answer(client: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        assert_ne!(client.read_buf(&mut bytes).await.expect("read"), 0, "{}", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8(bytes).expect("text")
}

#[actix_web::test]
async fn a_stop_ends_connections_that_wait() {
    let direct = direct();
    let (silent, first) = duplex(65_536);
    let (mut used, second) = duplex(65_536);
    let serve = |stream| {
        let direct = Rc::clone(&direct);
        spawn(async move { direct.serve(stream, None).await })
    };
    let (first, second) = (serve(first), serve(second));
    used.write_all(REQUEST).await.expect("sent");
    assert!(answer(&mut used).await.starts_with("HTTP/1.1 400 "));
    direct.stop.tell();
    for serving in [first, second] {
        assert!(matches!(ended(serving).await, Ok(None)));
    }
    drop(silent);
}

#[actix_web::test]
async fn what_has_come_before_a_stop_is_answered_and_said_to_be_the_last() {
    let direct = direct();
    let (mut client, stream) = duplex(65_536);
    client.write_all(REQUEST).await.expect("sent");
    client.write_all(REQUEST).await.expect("sent");
    direct.stop.tell();
    assert!(ended(direct.serve(stream, None)).await.is_none());
    let mut all = String::new();
    client.read_to_string(&mut all).await.expect("text");
    assert!(all.contains("\r\nconnection: close\r\n"), "{all}");
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
}

#[actix_web::test]
async fn a_connection_that_waits_keeps_no_memory() {
    let direct = direct();
    let streams: Vec<DuplexStream> = (0..50)
        .map(|_| {
            let (client, stream) = duplex(65_536);
            let direct = Rc::clone(&direct);
            spawn(async move { direct.serve(stream, None).await });
            client
        })
        .collect();
    for mut client in streams {
        client.write_all(REQUEST).await.expect("sent");
        answer(&mut client).await;
        assert_eq!((direct.requests.kept(), direct.answers.kept()), (1, 1), "one for all, given back");
        // It stays open.
        std::mem::forget(client);
    }
}

#[actix_web::test]
async fn a_body_that_breaks_off_is_malformed_and_the_last() {
    let direct = direct();
    let (mut client, stream) = duplex(65_536);
    client.write_all(&REQUEST[..REQUEST.len() - 1]).await.expect("sent");
    client.shutdown().await.expect("said");
    assert!(ended(direct.serve(stream, None)).await.is_none());
    let mut all = String::new();
    client.read_to_string(&mut all).await.expect("text");
    assert!(all.starts_with("HTTP/1.1 400 ") && all.contains("\r\nconnection: close\r\n"), "{all}");
    assert!(all.contains("could not be read"), "{all}");
}

#[actix_web::test]
async fn who_is_refused_before_its_body_has_come_is_not_waited_for_and_can_read_why() {
    let direct = direct();
    let access = &direct.doors.state.access;
    let wanted = Wanted { name: "a".into(), role: Role::Admin, origins: vec![], rate: None };
    access.keys().create(wanted, Timestamp::ZERO).expect("made");
    let (mut client, stream) = duplex(4_096);
    let head = "POST /v1/decide HTTP/1.1\r\nhost: a\r\nx-api-key: wrong\r\ncontent-length: 900000\r\n\r\n";
    let serving = spawn(async move { direct.serve(stream, None).await });
    client.write_all(head.as_bytes()).await.expect("sent");
    let (mut reads, mut writes) = split(client);
    // It goes on to send what nobody wants.
    let sending = spawn(async move { writes.write_all(&[b' '; 900_000]).await });
    let mut all = String::new();
    ended(reads.read_to_string(&mut all)).await.expect("text");
    assert!(all.starts_with("HTTP/1.1 401 ") && all.contains("\r\nconnection: close\r\n"), "{all}");
    assert!(matches!(ended(serving).await, Ok(None)));
    sending.abort();
}

#[actix_web::test]
async fn who_asks_no_more_is_let_go_when_its_time_is_over_and_not_before() {
    let limits = Limits { head: Duration::from_millis(600), idle: Duration::from_millis(300), ..Limits::default() };
    let direct = within(limits);
    let (mut client, stream) = duplex(65_536);
    let serving = spawn(async move { direct.serve(stream, None).await });
    for _ in 0..5 {
        sleep(Duration::from_millis(150)).await;
        client.write_all(REQUEST).await.expect("still there");
        answer(&mut client).await;
    }
    let mut rest = Vec::new();
    assert_eq!(ended(client.read_buf(&mut rest)).await.expect("read"), 0, "no answer that nobody asked for");
    drop(client);
    assert!(matches!(ended(serving).await, Ok(None)));
}

#[actix_web::test]
async fn who_says_nothing_at_all_is_told_so() {
    let direct = within(Limits { head: Duration::from_millis(50), ..Limits::default() });
    let (mut client, stream) = duplex(65_536);
    let serving = spawn(async move { direct.serve(stream, None).await });
    let mut all = String::new();
    ended(client.read_to_string(&mut all)).await.expect("text");
    assert!(all.starts_with("HTTP/1.1 408 ") && all.contains("\r\ndate: "), "{all}");
    drop(client);
    assert!(matches!(ended(serving).await, Ok(None)));
}
