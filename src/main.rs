//! The `mabel` command. Starting, stopping, the terminal; everything else is the library's.

mod cli;
mod config;
#[path = "../simulations/mod.rs"]
mod simulations;
mod telemetry;

/// A reward is allocated by the thread that takes it and freed by the committer, at which glibc's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
