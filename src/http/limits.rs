//! How long a client may take, and how many there may be: who sends slowly must not keep others out.

use std::time::Duration;

/// Bounds of connections and of their requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the handshake, where there is TLS.
    pub handshake: Duration,
    /// For the request line and the headers, once a connection is there, after its handshake.
    pub head: Duration,
    /// For the body, once the headers are there.
    pub body: Duration,
    /// For the next request on the same connection.
    pub idle: Duration,
    /// Connections of each thread that answers; more wait to be taken.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(15),
            // Idle visitors' browsers keep connections: they cost memory, not threads.
            connections: 25_000,
        }
    }
}
