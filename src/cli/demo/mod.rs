//! `mabel demo`: the real server on a real store, visitors from a world whose truth is known, and a picture of what is
//! learned. Everything goes over HTTP, as it would from a site.

mod players;
mod screen;
mod world;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::client::{Client, experiment_path};
use crate::cli::demo::players::Players;
use crate::cli::demo::screen::{INTERVAL, Screen, Snapshot};
use crate::cli::demo::world::{EXPERIMENT, GOAL, SEGMENTS};
use crate::cli::exit::Failure;
use crate::cli::experiment::grouped;
use crate::cli::serve::Server;
use crate::config::Configuration;
use crate::telemetry::{self, LogFormat};

/// Starts a server, plays visitors against it and shows how it learns.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Visitors to play
    #[arg(long, value_name = "COUNT", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    visitors: u64,
    /// End after the visitors instead of leaving the server up
    #[arg(long)]
    once: bool,
    /// Port to listen on, 0 for any free one [default: 8080, or any free one if that is taken]
    #[arg(long)]
    port: Option<u16>,
    /// Directory that keeps what is learned, so that the next demo goes on from there
    #[arg(long, value_name = "DIRECTORY", default_value = "mabel-demo-data")]
    data: PathBuf,
    /// Seed of the visitors; the server's draws have their own secret
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = now();
    telemetry::start("warn", LogFormat::Text);
    let stop = Arc::new(AtomicBool::new(false));
    stop_at_signal(&stop)?;
    let server = Background::start(arguments)?;
    let result = show(arguments, &server, &stop, started);
    // Whatever happened before, the server is stopped in order.
    let stopped = server.stop();
    result.and(stopped)
}

fn show(arguments: &Arguments, server: &Background, stop: &Arc<AtomicBool>, started: Instant) -> Result<(), Failure> {
    let address = format!("http://{}", server.address);
    let client = Client::new(&address)?;
    let found = prepare(&client)?;
    let decided = client.post("/v1/decide", &json!({ "experiment": EXPERIMENT, "explain": true }))?;
    let first = started.elapsed().as_millis();
    print(&format!("mabel listens on {address} and keeps its data in {}", arguments.data.display()))?;
    match found {
        0 => print(&format!("first decision {first} ms after the start: {}", decided["variation"]))?,
        found => print(&format!(
            "found {} exposures of an earlier demo and goes on from there (first decision after {first} ms)",
            grouped(found)
        ))?,
    }
    print("")?;
    let title = "Three headlines, three devices: Mabel finds out who prefers what".to_owned();
    let mut screen = Screen::new(title, arguments.visitors, found);
    // A later demo meets other visitors than the one before.
    let players = Players::start(&client, arguments.visitors, arguments.seed.wrapping_add(found), stop)?;
    let report = format!("{}/report", experiment_path(EXPERIMENT));
    while !players.done() {
        screen.show(&Snapshot::of(&client.get(&report)?), false).map_err(Failure::new)?;
        std::thread::sleep(INTERVAL);
    }
    let left = players.left();
    players.join()?;
    screen.show(&settled(&client, &report, found + arguments.visitors - left)?, true).map_err(Failure::new)?;
    if stop.load(Ordering::Relaxed) {
        print(&format!("\nstopped with {} visitors to come", grouped(left)))?;
        return if arguments.once { Err(Failure::Interrupted) } else { Ok(()) };
    }
    if arguments.once {
        return print(&format!("\n{} keeps it all: the next demo goes on from there", arguments.data.display()));
    }
    print(&hints(&address))?;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
    print(&format!("\nstopping; {} keeps it all: the next demo goes on from there", arguments.data.display()))
}

/// Makes the experiment, or finds it as an earlier demo left it; how many exposures it has.
fn prepare(client: &Client) -> Result<u64, Failure> {
    let path = experiment_path(EXPERIMENT);
    let Some(known) = client.find(&path)? else {
        client.put(&path, &world::definition())?;
        return Ok(0);
    };
    if known["status"] != "running" {
        client.post_empty(&format!("{path}/start"))?;
    }
    Ok(Snapshot::of(&client.get(&format!("{path}/report"))?).exposures())
}

/// The report once everything that was answered is counted: within a commit interval.
fn settled(client: &Client, report: &str, exposures: u64) -> Result<Snapshot, Failure> {
    for _ in 0..40 {
        let snapshot = Snapshot::of(&client.get(report)?);
        if snapshot.exposures() >= exposures {
            return Ok(snapshot);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(Snapshot::of(&client.get(report)?))
}

/// The server on a thread of its own.
struct Background {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Background {
    fn start(arguments: &Arguments) -> Result<Self, Failure> {
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Somebody who tries it out has often something on 8080.
        let listen = match arguments.port {
            Some(port) => vec![at(port)],
            None => vec![at(8080), at(0)],
        };
        let configuration = Configuration::local(listen, arguments.data.clone()).map_err(Failure::new)?;
        let server = Server::prepare(configuration)?;
        let address = server.address;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serve = move || {
            server.serve(None, async move {
                // A sender that is gone means that the demo is.
                let _ = stopped.await;
            })
        };
        let thread = std::thread::Builder::new().name("mabel-demo-server".to_owned()).spawn(serve);
        Ok(Self { address, stop, thread: thread.map_err(Failure::new)? })
    }

    fn stop(self) -> Result<(), Failure> {
        // A server that is gone already says why when it is joined.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_else(|_| Err(Failure::new("the server panicked; its message is above")))
    }
}

/// At the first signal the demo ends in order, at the second at once.
fn stop_at_signal(stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let stop = Arc::clone(stop);
    let handle = move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handle).map_err(|error| Failure::new(format_args!("signals cannot be heard: {error}")))
}

/// What to try while the server is up.
fn hints(address: &str) -> String {
    let device = SEGMENTS[0];
    format!(
        r#"
The server is up until Ctrl-C. Try it from another terminal:

  # decide for a visitor, and keep the receipt
  receipt=$(curl -s {address}/v1/decide -d \
    '{{"experiment":"{EXPERIMENT}","visitor":"me","context":{{"device":"{device}"}}}}' \
    | tee /dev/stderr | sed 's/.*"receipt":"\([^"]*\)".*/\1/')

  # the visitor ordered: bring the receipt back (a second time changes nothing)
  curl -s {address}/v1/reward -d \
    "{{\"receipt\":\"$receipt\",\"goal\":\"{GOAL}\"}}"

  # what has been learned, as JSON and as a table
  curl -s {address}/v1/experiments/{EXPERIMENT}/report
  mabel experiment report {EXPERIMENT} --server {address}

  # everyone gets the default until it is started again
  curl -s -X POST {address}/v1/experiments/{EXPERIMENT}/pause
  curl -s -X POST {address}/v1/experiments/{EXPERIMENT}/start"#
    )
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::new(format_args!("stdout: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "a time shown to a person; no event's time comes from it")]
fn now() -> Instant {
    Instant::now()
}
