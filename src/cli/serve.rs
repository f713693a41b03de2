//! `mabel serve`.

use crate::cli::exit::Failure;

/// Serves the API until it is told to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: Arguments) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
