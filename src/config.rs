//! What `mabel serve` runs with: a file, over it the environment, over that the flags. Every field stands once in
//! [`FIELDS`], as text, and is checked once, whatever it came from, so that every refusal reads alike.

pub(crate) mod access;
mod layers;
pub(crate) mod secret;
pub(crate) mod tls;
mod values;

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use mabel::domain::{Probability, Span};
use mabel::engine::secret::Secret;
use mabel::service::retention::Retention;
use mabel::store::Location;

pub(crate) use crate::config::layers::Setting;
use crate::config::layers::{Given, Layer, from_flag, given, layers, parsed};
use crate::config::values::{boolean, bytes, span};
use crate::telemetry::LogFormat;

/// One thing that can be configured: its name in the file, in flags (with dashes) and in the environment (`MABEL_` and
/// capitals).
struct Field {
    name: &'static str,
    default: &'static str,
    allowed: &'static str,
}

const LISTEN: Field = Field {
    name: "listen",
    default: "127.0.0.1:8080",
    allowed: "HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080; port 0 takes any free port",
};
const DATA: Field = Field { name: "data", default: "./mabel-data", allowed: "the path of a directory" };
const STORE: Field = Field {
    name: "store",
    default: "disk",
    allowed: "disk (in DATA: redb, or sled where an earlier build made it), redb:DIRECTORY or sled:DIRECTORY (with everything in that \
              directory), or memory (gone with the process)",
};
const COMMIT_INTERVAL: Field =
    Field { name: "commit_interval", default: "20ms", allowed: "1ms to 10s, a whole number with ms or s" };
const CHECKPOINT_INTERVAL: Field =
    Field { name: "checkpoint_interval", default: "5s", allowed: "100ms to 1h, a whole number with ms, s, m or h" };
/// Empty as a default: the HTTP server then takes one per core.
const WORKERS: Field = Field { name: "workers", default: "", allowed: "1 to 1024; not given: one per core" };
/// The HTTP server tells of each of its threads at the level of information.
const LOG: Field = Field {
    name: "log",
    default: "info,actix_server=warn",
    allowed: "error, warn, info, debug, trace or off, also by module: info,mabel::service=debug",
};
const LOG_FORMAT: Field = Field { name: "log_format", default: "text", allowed: "text or json" };
const CACHE: Field = Field {
    name: "cache",
    default: "64MB",
    allowed: "1MB to 1TB, a whole number with kB, MB, GB, TB, KiB, MiB, GiB or TiB",
};
const RETAIN: Field = Field { name: "retain", default: "30d", allowed: "1h to 3650d, a whole number with h or d" };
const RETAIN_BYTES: Field = Field {
    name: "retain_bytes",
    default: "16GiB",
    allowed: "1MB to 1TB, a whole number with kB, MB, GB, TB, KiB, MiB, GiB or TiB",
};
const COMPANIONS: Field = Field { name: "companions", default: "true", allowed: "true or false" };
const HOLDOUT: Field = Field { name: "holdout", default: "0", allowed: "a number from 0 to 1" };
const ACCEPT_LOSS: Field = Field { name: "accept_loss", default: "false", allowed: "true or false" };
const SECRET_FILE: Field = Field {
    name: "secret_file",
    default: "",
    allowed: "the path of a file with 64 hexadecimal digits; not given: DATA/secret, made at the first start",
};

const OTLP: Field = Field {
    name: "otlp",
    default: "",
    allowed: "http://HOST:PORT or https://HOST:PORT of an OpenTelemetry collector; not given: no spans are made",
};

const FIELDS: [&Field; 16] = [
    &LISTEN,
    &DATA,
    &STORE,
    &COMMIT_INTERVAL,
    &CHECKPOINT_INTERVAL,
    &WORKERS,
    &LOG,
    &LOG_FORMAT,
    &CACHE,
    &RETAIN,
    &RETAIN_BYTES,
    &COMPANIONS,
    &HOLDOUT,
    &ACCEPT_LOSS,
    &SECRET_FILE,
    &OTLP,
];

fn fields() -> impl Iterator<Item = &'static Field> {
    FIELDS.into_iter().chain(access::FIELDS).chain(tls::FIELDS)
}

/// Flags of `mabel serve`. Text, because checking is done where the file's and the environment's values are checked.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Configuration in TOML, the same fields with underscores [env: MABEL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes any free port [env: MABEL_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Directory that keeps everything [env: MABEL_DATA] [default: ./mabel-data]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<String>,
    /// `disk` for DATA, `redb:DIRECTORY` or `sled:DIRECTORY` for that directory, `memory` to keep nothing [env: MABEL_STORE] [default: disk]
    #[arg(long, value_name = "KIND")]
    store: Option<String>,
    /// Longest time an answered exposure waits for its sync [env: MABEL_COMMIT_INTERVAL] [default: 20ms]
    #[arg(long, value_name = "TIME")]
    commit_interval: Option<String>,
    /// Time between two checkpoints [env: MABEL_CHECKPOINT_INTERVAL] [default: 5s]
    #[arg(long, value_name = "TIME")]
    checkpoint_interval: Option<String>,
    /// Threads that answer requests [env: MABEL_WORKERS] [default: one per core]
    #[arg(long, value_name = "COUNT")]
    workers: Option<String>,
    /// What is logged: a level, or levels by module [env: MABEL_LOG] [default: info,actix_server=warn]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// `text` or `json`, to stderr [env: MABEL_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Memory for the store's cache [env: MABEL_CACHE] [default: 64MB]
    #[arg(long, value_name = "BYTES")]
    cache: Option<String>,
    /// How long events stay in the journal; what they counted stays for good [env: MABEL_RETAIN] [default: 30d]
    #[arg(long, value_name = "TIME")]
    retain: Option<String>,
    /// Most bytes of events in the journal; the oldest go first [env: MABEL_RETAIN_BYTES] [default: 16GiB]
    #[arg(long, value_name = "BYTES")]
    retain_bytes: Option<String>,
    /// Keep visitors' ids and contexts beside the decisions that count [env: MABEL_COMPANIONS] [default: true]
    #[arg(long, value_name = "BOOLEAN")]
    companions: Option<String>,
    /// Share of visitors in the control group of every experiment [env: MABEL_HOLDOUT] [default: 0]
    #[arg(long, value_name = "SHARE")]
    holdout: Option<String>,
    /// Go on without committed blocks that are missing from the store [env: MABEL_ACCEPT_LOSS]
    #[arg(long)]
    accept_loss: bool,
    /// File with the receipt secret as 64 hexadecimal digits, else MABEL_SECRET, else DATA/secret [env: MABEL_SECRET_FILE]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// OpenTelemetry collector that spans are sent to by OTLP over HTTP, to URL/v1/traces [env: MABEL_OTLP]
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    #[command(flatten)]
    access: access::AccessFlags,
    #[command(flatten)]
    tls: tls::TlsFlags,
}

/// Where the receipt secret comes from.
#[derive(Debug)]
pub(crate) enum SecretSource {
    /// Given in the environment.
    Given(Secret),
    /// A file that must be there.
    File(PathBuf),
    /// The data directory, where one is made if there is none; in memory, one per process.
    Data,
}

/// Everything checked.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) store: Location,
    pub(crate) commit_interval: Duration,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) workers: Option<NonZeroUsize>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) cache_bytes: u64,
    pub(crate) retention: Retention,
    pub(crate) companions: bool,
    pub(crate) holdout: Probability,
    pub(crate) accept_loss: bool,
    pub(crate) secret: SecretSource,
    pub(crate) access: access::Settings,
    pub(crate) tls: tls::Settings,
    /// Where spans go, if anywhere.
    pub(crate) otlp: Option<String>,
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// One value.
    #[error("{field} = {given:?} ({origin}) is refused; allowed: {allowed}")]
    Value { field: &'static str, given: String, origin: String, allowed: String },
    /// A field nobody knows.
    #[error("{field} (in {file}) is not a field; allowed: {allowed}")]
    Unknown { field: String, file: String, allowed: String },
    /// The file as a whole.
    #[error("the configuration file {file} cannot be read: {detail}")]
    File { file: String, detail: String },
    /// A secret, never quoted.
    #[error("MABEL_SECRET is refused; allowed: 64 hexadecimal digits, which are never shown")]
    Secret,
}

impl Configuration {
    /// Reads all three layers. `environment` is asked for each variable by name.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field, what was given and what is allowed.
    pub(crate) fn read(flags: &Flags, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let secret = environment("MABEL_SECRET").map(|text| secret::parse(&text).ok_or(ConfigError::Secret));
        Self::check(&layers(flags, environment)?, secret.transpose()?)
    }

    /// Every field as it is given, unchecked.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read or has a field that is none.
    pub(crate) fn settings(
        flags: &Flags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Setting>, ConfigError> {
        let values = layers(flags, environment)?;
        let setting = |field: &'static Field| {
            let Given { text, origin } = given(&values, field);
            Setting { name: field.name, text, origin }
        };
        Ok(fields().map(setting).collect())
    }

    /// The defaults, for a server of one's own: the first of these addresses that is free, and a data directory.
    ///
    /// # Errors
    /// Never, as the defaults are allowed.
    pub(crate) fn local(listen: Vec<SocketAddr>, data: PathBuf) -> Result<Self, ConfigError> {
        Ok(Self { listen, store: Location::Directory(data), ..Self::check(&Layer::new(), None)? })
    }

    fn check(values: &Layer, secret: Option<Secret>) -> Result<Self, ConfigError> {
        let listen = parsed(values, &LISTEN, |text| Some(text.to_socket_addrs().ok()?.collect::<Vec<_>>()))?;
        let secret_file = given(values, &SECRET_FILE).text;
        let data = parsed(values, &DATA, |text| (!text.is_empty()).then(|| PathBuf::from(text)))?;
        Ok(Self {
            access: access::Settings::read(values, &listen)?,
            tls: tls::Settings::read(values)?,
            otlp: parsed(values, &OTLP, values::collector)?,
            listen,
            store: parsed(values, &STORE, |text| match text {
                "disk" => Some(Location::Directory(data.clone())),
                "memory" => Some(Location::Memory),
                text => Location::with_database(text),
            })?,
            commit_interval: parsed(values, &COMMIT_INTERVAL, |text| span(text, Span::from_millis(1), "10s"))?,
            checkpoint_interval: parsed(values, &CHECKPOINT_INTERVAL, |t| span(t, Span::from_millis(100), "1h"))?,
            workers: parsed(values, &WORKERS, |text| match text {
                "" => Some(None),
                text => text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= 1024).map(Some),
            })?,
            log: parsed(values, &LOG, |text| crate::telemetry::is_filter(text).then(|| text.to_owned()))?,
            log_format: parsed(values, &LOG_FORMAT, LogFormat::parse)?,
            cache_bytes: parsed(values, &CACHE, bytes)?,
            retention: Retention {
                span: parsed(values, &RETAIN, |text| {
                    Span::parse(text).filter(|span| (Span::HOUR..=Span::DAY.times(3_650)).contains(span))
                })?,
                bytes: parsed(values, &RETAIN_BYTES, bytes)?,
            },
            companions: parsed(values, &COMPANIONS, boolean)?,
            holdout: parsed(values, &HOLDOUT, |text| Probability::new(text.parse().ok()?))?,
            accept_loss: parsed(values, &ACCEPT_LOSS, boolean)?,
            secret: match secret {
                // A file named by a flag is meant more than a variable that is always there.
                Some(secret) if secret_file.is_empty() || !from_flag(values, &SECRET_FILE) => {
                    SecretSource::Given(secret)
                }
                _ if !secret_file.is_empty() => SecretSource::File(secret_file.into()),
                _ => SecretSource::Data,
            },
        })
    }
}

impl Flags {
    fn layer(&self) -> Layer {
        let texts = [
            (&LISTEN, &self.listen),
            (&DATA, &self.data),
            (&STORE, &self.store),
            (&COMMIT_INTERVAL, &self.commit_interval),
            (&CHECKPOINT_INTERVAL, &self.checkpoint_interval),
            (&WORKERS, &self.workers),
            (&LOG, &self.log),
            (&LOG_FORMAT, &self.log_format),
            (&CACHE, &self.cache),
            (&RETAIN, &self.retain),
            (&RETAIN_BYTES, &self.retain_bytes),
            (&COMPANIONS, &self.companions),
            (&HOLDOUT, &self.holdout),
            (&SECRET_FILE, &self.secret_file),
            (&OTLP, &self.otlp),
        ];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.clone()?)));
        let switches = self.accept_loss.then(|| (&ACCEPT_LOSS, "true".to_owned()));
        texts
            .chain(switches)
            .chain(self.access.given())
            .chain(self.tls.given())
            .map(|(field, text)| (field.name, Given { text, origin: format!("given by {}", field.flag()) }))
            .collect()
    }
}

impl Field {
    fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    fn variable(&self) -> String {
        format!("MABEL_{}", self.name.to_uppercase())
    }
}

#[cfg(test)]
mod tests;
