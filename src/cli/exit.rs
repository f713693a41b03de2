//! How a command ends: 0 done, 1 failed, 2 asked wrongly (clap's own), 130 interrupted.

use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something failed; the text says what and what to do.
    #[error("{0}")]
    Failed(String),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    pub(crate) fn new(message: impl std::fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

#[expect(clippy::print_stderr, reason = "the terminal is this layer's business")]
pub(crate) fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mabel: {failure}");
            match failure {
                Failure::Failed(_) => ExitCode::FAILURE,
                Failure::Interrupted => ExitCode::from(130),
            }
        }
    }
}
