//! Layer 7: JSON over HTTP. Handlers read a request, call one use case, write its answer.
//!
//! Invariant: actix-web and wire types are here and nowhere below; no handler decides anything a use case should.

mod audit;
mod backup;
mod body;
mod cors;
mod decide;
mod definition;
mod direct;
mod error;
mod events;
mod experiments;
mod front;
mod gate;
mod head;
mod health;
mod idempotency;
mod keys;
mod limits;
mod lines;
mod listen;
mod metrics;
mod ofrep;
mod openapi;
mod problem;
mod profiles;
mod report;
mod reward;
mod rewards;
mod roles;
mod routes;
mod sdk;
pub mod tls;
mod traces;
mod track;
mod visitors;

use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::web::Data;

use crate::access::Access;
use crate::engine::definition::Definition;
use crate::http::direct::Stop;
use crate::http::front::{Front, State};
pub use crate::http::limits::Limits;
use crate::http::metrics::Latencies;
use crate::http::tls::Certificate;
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
    match endpoint % 7 {
        0 => decide::is_read(body),
        1 => reward::is_read(body),
        2 => reward::is_activation(body),
        3 => experiments::is_read(body),
        4 => ofrep::is_read(body),
        5 => track::is_read(body),
        _ => profiles::is_read(body),
    }
}

/// How the server runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that answer requests; `None`: one per core.
    pub workers: Option<usize>,
    /// How long a stop waits for requests in flight, in seconds.
    pub stop_seconds: u64,
    /// Who is let in.
    pub access: Arc<Access>,
    /// How long clients may take, and how many there may be.
    pub limits: Limits,
    /// With which certificate TLS is spoken; `None`: HTTP alone.
    pub certificate: Option<Arc<Certificate>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: None, stop_seconds: 10, access: Arc::default(), limits: Limits::default(), certificate: None }
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
    serve(service, listener, options, Box::pin(stop))
}

/// Not generic: else the whole server would be compiled anew in every program that runs one.
fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    options: Options,
    stop: Pin<Box<dyn Future<Output = ()>>>,
) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let clock = Arc::clone(&service);
        let Options { access, limits, .. } = options.clone();
        let (state, latencies) = (Data::from(service), Data::new(Latencies::new()));
        let front = move || {
            let (service, access) = (Arc::clone(&state), Arc::clone(&access));
            let app = App::new()
                .app_data(state.clone())
                .app_data(Data::from(Arc::clone(&access)))
                .app_data(limits)
                .app_data(latencies.clone())
                .configure(|config| routes::configure(config, &latencies, state.tracer()));
            Front::before(app, State { service, access, limits, latencies: Arc::clone(&latencies) })
        };
        let stops = Arc::new(Stop::default());
        let server = listen::server(front, listener, &options, &stops)?;
        let handle = server.handle();
        actix_web::rt::spawn(async move {
            stop.await;
            stops.tell();
            handle.stop(true).await;
        });
        let looking = actix_web::rt::spawn(keep_up(clock, options.access, options.certificate));
        let served = server.await;
        looking.abort();
        served
    })
}

/// How soon a change that somebody else makes to a file is seen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sees keys that the command line makes or revokes and a certificate that is replaced, and forgets addresses that are quiet and answers
/// that are not repeated any more.
/// On the thread that only starts and stops: it reads small files.
async fn keep_up(service: Arc<Service>, access: Arc<Access>, certificate: Option<Arc<Certificate>>) {
    let mut ticks = actix_web::rt::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        access.sweep();
        service.sweep();
        match access.keys().refresh() {
            Ok(None) => {}
            Ok(Some(seen)) => {
                audit::seen(&access, &seen, service.now());
                tracing::info!(created = ?seen.created, revoked = ?seen.revoked, "the key file was changed");
            }
            Err(error) => tracing::error!(%error, "the keys stay as they were"),
        }
        match certificate.as_ref().map(|certificate| certificate.refresh()) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => tracing::info!("the TLS certificate was read anew"),
            Some(Err(error)) => tracing::error!(%error, "the TLS certificate stays as it was"),
        }
    }
}
