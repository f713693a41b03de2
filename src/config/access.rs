//! Fields of the configuration that say who is let in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mabel::access::file::{FileError, NAME};
use mabel::access::key::Role;
use mabel::access::{Access, Keys, Open};

use crate::config::{ConfigError, Field, LISTEN, Layer, boolean, given, parsed};

const KEYS: Field =
    Field { name: "keys", default: "", allowed: "the path of a file; not given: DATA/keys.json, if there is one" };
const INSECURE: Field = Field { name: "insecure", default: "false", allowed: "true or false" };

pub(super) const FIELDS: [&Field; 2] = [&KEYS, &INSECURE];

/// Flags of `mabel serve` about access.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AccessFlags {
    /// File with the keys, as `mabel keys` writes it; without any, everybody on this machine is let in [env: MABEL_KEYS]
    /// [default: DATA/keys.json]
    #[arg(long, value_name = "FILE")]
    keys: Option<String>,
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
        let keys = self.keys.clone().map(|path| (&KEYS, path));
        let insecure = self.insecure.then(|| (&INSECURE, "true".to_owned()));
        keys.into_iter().chain(insecure).collect()
    }
}

impl Settings {
    pub(super) fn read(values: &Layer, listen: &[SocketAddr]) -> Result<Self, ConfigError> {
        let beyond = !listen.iter().all(|address| address.ip().is_loopback());
        Ok(Self {
            keys: parsed(values, &KEYS, |text| Some((!text.is_empty()).then(|| PathBuf::from(text))))?,
            insecure: parsed(values, &INSECURE, boolean)?,
            beyond: beyond.then(|| given(values, &LISTEN).text),
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
        Ok(Access::new(keys, open))
    }
}
