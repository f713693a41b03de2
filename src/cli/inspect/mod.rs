//! `mabel inspect`: what a store holds of one segment, or of one decision by its receipt. Both ways of printing are made from
//! the same JSON.

mod json;
mod text;

use std::path::PathBuf;

use mabel::service::inspect::{inspect_decision, inspect_segment};
use mabel::store::Location;

use crate::cli::exit::Failure;
use crate::cli::store::{existing, in_store, print, progress};
use crate::config::{SecretSource, secret};

/// Shows what a store holds of one segment, or of one decision by its receipt; no server may have it open
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of the store
    #[arg(value_name = "DATA")]
    data: String,
    #[command(subcommand)]
    what: What,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Tallies, allocation and policy of a segment
    Segment {
        #[arg(value_name = "EXPERIMENT")]
        experiment: String,
        /// As reports name it, such as `device=mobile|country=FR`
        #[arg(value_name = "SEGMENT")]
        segment: String,
        /// An earlier epoch that still takes rewards, instead of the current one
        #[arg(long, value_name = "NUMBER")]
        epoch: Option<u32>,
    },
    /// A decision: what was known, its draw done again, and what came of it
    Decision {
        #[arg(value_name = "RECEIPT")]
        receipt: String,
        /// The decision's id, where the request gave one: its draw is made from it
        #[arg(long, value_name = "TEXT")]
        decision_id: Option<String>,
        /// File with the receipt secret, else MABEL_SECRET, else DATA/secret
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { data, what, json } = arguments;
    let store = existing(data, false)?;
    let shown = match what {
        What::Segment { experiment, segment, epoch } => {
            let found = inspect_segment(&*store, experiment, segment, *epoch);
            json::segment(&found.map_err(|error| in_store(data, &error))?)
        }
        What::Decision { receipt, decision_id, secret_file } => {
            // The store is open: its lock keeps a server from making a secret meanwhile.
            let secret = found_secret(data, secret_file.as_ref())?;
            let bar = progress(&*store);
            let given = decision_id.as_deref();
            let found = inspect_decision(&*store, secret, receipt.trim(), given, &mut |block| bar.set_position(block));
            bar.finish_and_clear();
            json::decision(&found.map_err(|error| in_store(data, &error))?)
        }
    };
    match (json, what) {
        (true, _) => print(&serde_json::to_string_pretty(&shown).map_err(Failure::new)?),
        (false, What::Segment { .. }) => print(&text::segment(&shown)),
        (false, What::Decision { .. }) => print(&text::decision(&shown)),
    }
}

/// The secret as `mabel serve` finds it, but that none is made.
fn found_secret(data: &str, file: Option<&PathBuf>) -> Result<mabel::engine::secret::Secret, Failure> {
    let source = match (file, std::env::var("MABEL_SECRET")) {
        (Some(file), _) => SecretSource::File(file.clone()),
        (None, Ok(text)) => SecretSource::Given(
            secret::parse(&text).ok_or_else(|| Failure::new("MABEL_SECRET is not 64 hexadecimal digits"))?,
        ),
        (None, Err(_)) => SecretSource::Data,
    };
    let location = Location::from(data);
    let directory = location.directory();
    let directory = directory.ok_or_else(|| Failure::new("memory keeps nothing: name the directory of a store"))?;
    secret::existing(source, directory).map_err(Failure::new)
}
