//! The `mabel` command. Starting, stopping, the terminal; everything else is the library's.

mod cli;
mod config;
#[path = "../simulations/mod.rs"]
mod simulations;
mod telemetry;

fn main() -> std::process::ExitCode {
    cli::run()
}
