//! Fields of the configuration that say who is let in.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use mabel::access::audit::{self, Audit};
use mabel::access::file::{FileError, NAME};
use mabel::access::key::Role;
use mabel::access::rate::{self, AddressLimit};
use mabel::access::{Access, Keys, Open, Rates};

use crate::config::{ConfigError, Field, LISTEN, Layer, boolean, given, parsed};

const KEYS: Field =
    Field { name: "keys", default: "", allowed: "the path of a file; not given: DATA/keys.json, if there is one" };
const INSECURE: Field = Field { name: "insecure", default: "false", allowed: "true or false" };

const RATE_LIMIT: Field =
    Field { name: "rate_limit", default: "1000", allowed: "1 to 1000000 requests a second, or off" };
const TRUSTED_PROXIES: Field = Field {
    name: "trusted_proxies",
    default: "",
    allowed: "addresses or networks with commas between them, such as 10.0.0.0/8,::1",
};

pub(super) const FIELDS: [&Field; 4] = [&KEYS, &INSECURE, &RATE_LIMIT, &TRUSTED_PROXIES];

/// Flags of `mabel serve` about access.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AccessFlags {
    /// File with the keys, as `mabel keys` writes it; without any, everybody on this machine is let in [env: MABEL_KEYS]
    /// [default: DATA/keys.json]
    #[arg(long, value_name = "FILE")]
    keys: Option<String>,
    /// Requests a second of one address that has no write or admin key, or `off` [env: MABEL_RATE_LIMIT] [default: 1000]
    #[arg(long, value_name = "REQUESTS")]
    rate_limit: Option<String>,
    /// Proxies whose X-Forwarded-For says whose request it is, with commas between them [env: MABEL_TRUSTED_PROXIES]
    #[arg(long, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// Listen beyond this machine though there is no admin key: whoever reaches the port controls it [env: MABEL_INSECURE]
    #[arg(long)]
    insecure: bool,
}

/// Who is let in, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    keys: Option<PathBuf>,
    insecure: bool,
    /// The address, if other machines reach it.
    beyond: Option<String>,
    rates: Rates,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The keys.
    #[error(transparent)]
    File(#[from] FileError),
    /// Open to others without keys.
    #[error(
        "listen = {listen:?} can be reached from other machines, and there is no admin key {place}: whoever reaches the port \
         could change experiments; make one with `mabel keys create --role admin --name NAME{option}`, listen on 127.0.0.1 behind \
         a proxy, or say --insecure if the network is closed"
    )]
    Beyond { listen: String, place: String, option: String },
}

impl AccessFlags {
    /// What was given, as text.
    pub(super) fn given(&self) -> Vec<(&'static Field, String)> {
        let texts = [(&KEYS, &self.keys), (&RATE_LIMIT, &self.rate_limit), (&TRUSTED_PROXIES, &self.trusted_proxies)];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.clone()?)));
        let insecure = self.insecure.then(|| (&INSECURE, "true".to_owned()));
        texts.chain(insecure).collect()
    }
}

impl Settings {
    pub(super) fn read(values: &Layer, listen: &[SocketAddr]) -> Result<Self, ConfigError> {
        let beyond = !listen.iter().all(|address| address.ip().is_loopback());
        Ok(Self {
            keys: parsed(values, &KEYS, |text| Some((!text.is_empty()).then(|| PathBuf::from(text))))?,
            insecure: parsed(values, &INSECURE, boolean)?,
            beyond: beyond.then(|| given(values, &LISTEN).text),
            rates: Rates {
                addresses: parsed(values, &RATE_LIMIT, |text| match text {
                    "off" => Some(None),
                    text => text.parse().ok().and_then(rate::checked).map(|rate| Some(AddressLimit::new(rate))),
                })?,
                trusted: parsed(values, &TRUSTED_PROXIES, |text| {
                    let networks = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                    networks.map(network).collect()
                })?,
            },
        })
    }

    /// Reads the keys. `data` is the data directory, or `None` where nothing is kept.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(crate) fn open(self, data: Option<&Path>) -> Result<Access, AccessError> {
        let (keys, place, option) = match (self.keys, data) {
            (Some(file), _) => {
                let (place, option) = (format!("in {}", file.display()), format!(" --keys {}", file.display()));
                (Keys::open(file)?, place, option)
            }
            (None, Some(data)) => {
                let file = data.join(NAME);
                let (place, option) = (format!("in {}", file.display()), format!(" --data {}", data.display()));
                (Keys::open(file)?, place, option)
            }
            (None, None) => {
                let place = "as a store in memory keeps none unless a file is named by --keys".to_owned();
                (Keys::in_memory(), place, " --keys FILE".to_owned())
            }
        };
        let open = match self.beyond {
            _ if self.insecure => Open::Everywhere,
            None => Open::Here,
            Some(listen) if !keys.any(Role::Admin) => return Err(AccessError::Beyond { listen, place, option }),
            Some(_) => Open::Nobody,
        };
        let access = Access::new(keys, open, self.rates);
        Ok(match data {
            Some(data) => access.with_audit(Audit::at(data.join(audit::NAME))),
            None => access,
        })
    }
}

/// One address is a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
