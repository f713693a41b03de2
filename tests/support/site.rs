//! A service on a store in memory, a clock that stands where the test puts it, real HTTP.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mabel::domain::Timestamp;
use mabel::engine::secret::Secret;
use mabel::http::tls::Certificate;
use mabel::service::clock::ManualClock;
use mabel::service::{Options, Service};
use mabel::store::memory::MemoryStore;
use serde_json::Value;

use crate::support::Client;

/// Where the clock stands at first.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A server of its own.
pub(crate) struct Site {
    pub(crate) client: Client,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) service: Arc<Service>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_options(Options::default(), mabel::http::Limits::default(), None)
    }

    pub(crate) fn running(options: Options) -> Self {
        Self::with_options(options, mabel::http::Limits::default(), None)
    }

    pub(crate) fn within(limits: mabel::http::Limits) -> Self {
        Self::with_options(Options::default(), limits, None)
    }

    /// One that speaks TLS, which `client` does not.
    pub(crate) fn secured(limits: mabel::http::Limits, certificate: Option<Arc<Certificate>>) -> Self {
        Self::with_options(Options::default(), limits, certificate)
    }

    fn with_options(options: Options, limits: mabel::http::Limits, certificate: Option<Arc<Certificate>>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Arc::new(MemoryStore::new());
        let options = Options { commit_interval: Duration::from_millis(2), ..options };
        let service =
            Service::start(store, Secret::new([3; 32]), 4, clock.clone(), options).expect("an empty store starts");
        let service = Arc::new(service);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shared = Arc::clone(&service);
        let thread = std::thread::spawn(move || {
            let options = mabel::http::Options {
                workers: Some(1),
                stop_seconds: 1,
                limits,
                certificate,
                ..mabel::http::Options::default()
            };
            let wait = async {
                let _ = stopped.await;
            };
            mabel::http::run(shared, listener, options, wait).expect("serves");
        });
        Self { client: Client::new(&base), clock, service, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn with(definition: &Value) -> Self {
        let site = Self::new();
        let (status, answer) = site.client.send("PUT", "/v1/experiments/hero", definition);
        assert_eq!(status, 201, "{answer}");
        site
    }

    /// A key of each role: admin, write, decide. From now on a key is asked for.
    pub(crate) fn keys(&self) -> [String; 3] {
        let mut client = self.client.clone();
        ["admin", "write", "decide"].map(|role| {
            let (status, answer) = client.send("POST", "/v1/keys", &serde_json::json!({"name": role, "role": role}));
            assert_eq!(status, 201, "{answer}");
            let key = answer["key"].as_str().expect("a key").to_owned();
            if role == "admin" {
                client = client.clone().with_key(&key);
            }
            key
        })
    }

    pub(crate) fn decide(&self, body: Value) -> Value {
        self.client.post("/v1/decide", &body)
    }

    /// Waits until the exposures nobody waited for are applied.
    #[expect(clippy::disallowed_methods, reason = "waits for real time to pass; the service's clock stands still")]
    pub(crate) fn settled(&self, exposures: u64) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let report = self.client.get("/v1/experiments/hero/report");
            let control = report["control"]["exposures"].as_u64().expect("a count");
            if report["totals"]["exposures"].as_u64().expect("a count") + control >= exposures {
                return report;
            }
            assert!(Instant::now() < deadline, "{exposures} exposures never arrived: {report}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends");
        }
        self.service.stop();
    }
}
