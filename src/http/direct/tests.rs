//! Connections in memory: what ends them, and what they keep meanwhile.

use std::time::Duration;

use actix_web::rt::spawn;
use actix_web::rt::time::timeout;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::access::Access;
use crate::engine::secret::Secret;
use crate::http::front::State;
use crate::http::metrics::Latencies;
use crate::service::clock::SystemClock;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;

const REQUEST: &[u8] = b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";

fn direct() -> Rc<Direct> {
    let store = Arc::new(MemoryStore::new());
    let service = Service::start(store, Secret::new([3; 32]), 4, Arc::new(SystemClock), Options::default());
    let state = State {
        service: Arc::new(service.expect("an empty store starts")),
        access: Arc::new(Access::default()),
        limits: Limits::default(),
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
        assert!(matches!(ended(serving).await, Ok(Ok(None))));
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
    assert!(matches!(ended(direct.serve(stream, None)).await, Ok(None)));
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
async fn a_body_that_ends_too_early_has_no_answer() {
    let direct = direct();
    let (mut client, stream) = duplex(65_536);
    client.write_all(&REQUEST[..REQUEST.len() - 1]).await.expect("sent");
    drop(client);
    let ended = ended(direct.serve(stream, None)).await;
    assert_eq!(ended.err().map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));
}
