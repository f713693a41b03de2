//! `mabel demo`.

use crate::cli::exit::Failure;

/// Starts a server, plays visitors against it and shows how it learns.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
