//! Layer 7: JSON over HTTP. Handlers read a request, call one use case, write its answer.
//!
//! Invariant: actix-web and wire types are here and nowhere below; no handler decides anything a use case should.

mod backup;
mod body;
mod decide;
mod definition;
mod error;
mod experiments;
mod health;
mod openapi;
mod problem;
mod report;
mod reward;
mod routes;
mod visitors;

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::{App, HttpServer};

use crate::engine::definition::Definition;
use crate::service::Service;

/// A definition as the API writes it, every default written out.
#[must_use]
pub fn definition_to_json(definition: &Definition) -> serde_json::Value {
    serde_json::to_value(definition::write(definition)).expect("a definition is made of texts, numbers and lists")
}

/// Reads a body as one of the endpoints that take one does, and says whether it is sound: what can be checked without an
/// experiment is checked. For fuzzing: whatever the bytes, it comes back.
#[doc(hidden)]
#[must_use]
pub fn body_is_read(endpoint: u8, body: &[u8]) -> bool {
    match endpoint % 4 {
        0 => decide::is_read(body),
        1 => reward::is_read(body),
        2 => reward::is_activation(body),
        _ => experiments::is_read(body),
    }
}

/// How the server runs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads that answer requests; `None`: one per core.
    pub workers: Option<usize>,
    /// How long a stop waits for requests in flight, in seconds.
    pub stop_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: None, stop_seconds: 10 }
    }
}

/// Serves until `stop` is done: then takes no new connection, finishes the requests in flight and returns. Blocks the thread
/// and runs its own runtime. Stopping the service afterwards is the caller's.
///
/// # Errors
/// If the listener cannot be served.
pub fn run(
    service: Arc<Service>,
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()> + 'static,
) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let state = actix_web::web::Data::from(service);
        let mut server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::configure));
        if let Some(workers) = options.workers {
            server = server.workers(workers);
        }
        let server = server
            .disable_signals()
            .shutdown_timeout(options.stop_seconds)
            // Idle visitors' browsers keep connections: they cost memory, not threads.
            .max_connections(25_000)
            .listen(listener)?
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            stop.await;
            handle.stop(true).await;
        });
        server.await
    })
}
