//! `mabel experiment`.

use crate::cli::exit::Failure;

/// Applies, lists, shows, starts, pauses, ends and deletes experiments of a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_arguments: &Arguments) -> Result<(), Failure> {
    Err(Failure::new("not built yet"))
}
