//! The `mabel` command. Starting, stopping, the terminal; everything else is the library's.

mod cli;
#[path = "../simulations/mod.rs"]
mod simulations;

fn main() -> std::process::ExitCode {
    cli::run()
}
