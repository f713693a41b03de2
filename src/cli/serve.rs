//! `mabel serve`: opens the store, recovers, serves until told to stop, and stops in order.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mabel::access::Access;
use mabel::http;
use mabel::http::tls::Certificate;
use mabel::service::Service;
use mabel::service::clock::SystemClock;
use mabel::service::rebuild::rebuild;
use mabel::store::DiskOptions;

use crate::cli::exit::Failure;
use crate::cli::trust::Trust;
use crate::config::{Configuration, Flags, secret};
use crate::telemetry;
use crate::telemetry::otlp::Otlp;

/// Serves the API until it is told to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let configuration =
        Configuration::read(&arguments.flags, &|name| std::env::var(name).ok()).map_err(Failure::new)?;
    telemetry::start(&configuration.log, configuration.log_format);
    // Before the address is known to anyone, so that whoever reads it can also stop the server.
    let stop = stop_signal()?;
    let workers = configuration.workers.map(std::num::NonZeroUsize::get);
    let server = Server::prepare(configuration)?;
    announce(&server)?;
    server.serve(workers, async move {
        // A sender that is gone cannot say stop any more; the handler keeps it for the life of the process.
        let _ = stop.await;
    })
}

/// A service that has recovered, and the socket it will answer on.
pub(crate) struct Server {
    service: Arc<Service>,
    listener: TcpListener,
    access: Arc<Access>,
    certificate: Option<Arc<Certificate>>,
    otlp: Option<Arc<Otlp>>,
    /// Where it listens, the port that was taken included.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Binds, opens the store, recovers and starts the service. Requests wait in the socket from here on.
    ///
    /// # Errors
    /// If the address, the store, the secret, the keys or the certificate are not to be had.
    pub(crate) fn prepare(configuration: Configuration) -> Result<Self, Failure> {
        let data = configuration.store.directory().map(Path::to_path_buf);
        let access = Arc::new(configuration.access.open(data.as_deref()).map_err(Failure::new)?);
        let certificate = configuration.tls.open().map_err(Failure::new)?;
        let otlp = configuration.otlp.as_deref().map(collector).transpose()?;
        let listener = TcpListener::bind(&*configuration.listen).map_err(|error| {
            Failure::new(format_args!("listen = {:?}: {error}; allowed: an address that is free", configuration.listen))
        })?;
        let address = listener.local_addr().map_err(Failure::new)?;
        // The store first: its lock keeps a second process away from the secret, too.
        let options = DiskOptions { cache_bytes: configuration.cache_bytes, accept_loss: configuration.accept_loss };
        let at = |error: &dyn std::fmt::Display| {
            Failure::new(format_args!("data = {:?}: {error}", data.as_deref().unwrap_or(Path::new("memory"))))
        };
        let store = mabel::store::open(&configuration.store, options).map_err(|error| at(&error))?;
        if configuration.accept_loss {
            // What stood beside lost blocks would be taken for that of new ones, and rows that are lost would be missed.
            let rebuilt = rebuild(&*store, &mut |_| {}).map_err(|error| at(&error))?;
            tracing::warn!(entries = rebuilt.entries, "made the state and what stands beside the journal anew");
        }
        let found = secret::find(configuration.secret, data.as_deref()).map_err(Failure::new)?;
        let seed = u64::from_le_bytes(secret::random_bytes().map_err(Failure::new)?);
        let options = mabel::service::Options {
            commit_interval: configuration.commit_interval,
            checkpoint_interval: configuration.checkpoint_interval,
            retention: configuration.retention,
            companions: configuration.companions,
            holdout: configuration.holdout,
            ..mabel::service::Options::default()
        };
        let head = store.head().number;
        let service = Service::start(store, found.secret, seed, Arc::new(SystemClock), options);
        let service = Arc::new(service.map_err(|error| at(&error))?);
        if let Some(otlp) = &otlp {
            service.trace(Arc::clone(otlp) as _);
        }
        let recovered = service.recovered();
        let (rows, blocks, events) = (recovered.rows, recovered.blocks, recovered.events);
        tracing::info!(checkpoint_rows = rows, blocks, events, journal_head = head, "recovered");
        if found.new && head > 0 {
            tracing::warn!("the secret is new: receipts given out before will be refused");
        }
        Ok(Self { service, listener, access, certificate, otlp, address })
    }

    /// Serves until `stop`, then finishes what is in flight, commits, checkpoints and closes.
    ///
    /// # Errors
    /// If the socket cannot be served, or what was answered could not be recorded.
    pub(crate) fn serve(self, workers: Option<usize>, stop: impl Future<Output = ()> + 'static) -> Result<(), Failure> {
        let Self { service, listener, access, certificate, otlp, address } = self;
        let options = http::Options { workers, access, certificate, ..http::Options::default() };
        tracing::info!(%address, "listening");
        let served = http::run(Arc::clone(&service), listener, options, stop);
        let lost_before = service.health().exposures_lost();
        tracing::info!("committing what is queued");
        service.stop();
        if let Some(otlp) = otlp {
            otlp.stop();
        }
        served.map_err(|error| Failure::new(format_args!("serving {address}: {error}")))?;
        match service.health().exposures_lost() - lost_before {
            0 => {
                tracing::info!("stopped");
                Ok(())
            }
            lost => {
                Err(Failure::new(format_args!("{lost} answered exposures could not be recorded; the log says why")))
            }
        }
    }
}

/// Begins to send spans to a collector.
fn collector(address: &str) -> Result<Arc<Otlp>, Failure> {
    let settings = ureq::Agent::config_builder()
        // The exporter looks at statuses itself.
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        // As of commands: a collector is a service of one's own, and no other address gets its spans.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(Trust::default().settings(address)?)
        .build();
    let otlp = Otlp::start(address, settings.into());
    otlp.map_err(|error| Failure::new(format_args!("otlp = {address:?}: {error}; allowed: http://HOST:PORT")))
}

/// Done at the first SIGINT, SIGTERM or SIGHUP. The second one ends the process at once: the journal is made for that.
fn stop_signal() -> Result<tokio::sync::oneshot::Receiver<()>, Failure> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        let sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        // The receiver is gone once serving has failed, and then there is nothing left to stop.
        let _ = sender.map(|sender| sender.send(()));
    })
    .map_err(|error| Failure::new(format_args!("signals cannot be heard: {error}")))?;
    Ok(receiver)
}

/// One line that scripts wait for.
fn announce(server: &Server) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let scheme = if server.certificate.is_some() { "https" } else { "http" };
    writeln!(out, "mabel listens on {scheme}://{}", server.address)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new(format_args!("stdout: {error}")))
}
