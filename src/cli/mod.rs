//! Layer 8: the command line. One file per command, all cut alike: arguments, `run`, helpers.

mod client;
mod config;
mod demo;
mod exit;
mod experiment;
mod inspect;
mod keys;
mod profiles;
mod serve;
mod simulate;
mod store;
mod trust;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Personalization that learns: which variation to show which visitor, by Thompson sampling with known probabilities.
#[derive(Debug, Parser)]
#[command(name = "mabel", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Arguments>),
    Config(config::Arguments),
    Experiment(experiment::Arguments),
    Keys(keys::Arguments),
    Profiles(profiles::Arguments),
    Demo(demo::Arguments),
    Simulate(simulate::Arguments),
    Inspect(inspect::Arguments),
    Verify(store::VerifyArguments),
    Rebuild(store::RebuildArguments),
    Backup(store::BackupArguments),
    Restore(store::RestoreArguments),
}

/// Runs the command of this process's arguments; prints a failure in one line.
pub(crate) fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Experiment(arguments) => experiment::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Profiles(arguments) => profiles::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => store::run_verify(&arguments),
        Command::Rebuild(arguments) => store::run_rebuild(&arguments),
        Command::Backup(arguments) => store::run_backup(&arguments),
        Command::Restore(arguments) => store::run_restore(&arguments),
    };
    exit::code(result)
}
