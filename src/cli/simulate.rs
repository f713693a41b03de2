//! `mabel simulate`.

use crate::cli::exit::Failure;

/// Plays scenarios through the engine and compares strategies.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
