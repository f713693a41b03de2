//! Commands on a store that no server has open: `verify`, `rebuild`, `backup`, `restore`.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use mabel::service::backup;
use mabel::service::error::StartError;
use mabel::service::rebuild::rebuild;
use mabel::service::verify::{Verified, verify};
use mabel::store::archive::{self, Archived};
use mabel::store::{DiskOptions, Location, Store, StoreError};

use crate::cli::client::{Client, Target};
use crate::cli::exit::Failure;

/// Compares what a store holds with a replay of its journal, bit for bit; no server may have it open
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// Directory of the store
    #[arg(value_name = "DATA", default_value = "./mabel-data")]
    data: String,
}

/// Makes the state of a store anew from its journal; no server may have it open
#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArguments {
    /// Directory of the store
    #[arg(value_name = "DATA", default_value = "./mabel-data")]
    data: String,
    /// Go on without committed blocks that are missing from the store
    #[arg(long)]
    accept_loss: bool,
}

/// Writes all that a server has recorded into one file, while it runs
///
/// The receipt secret is not in it: keep DATA/secret, or receipts given out before cannot be opened by what is restored.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    /// File to write; refused if it is there already
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A store that no server has open, instead of a running server
    #[arg(long, value_name = "DATA", conflicts_with = "server")]
    data: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Puts a backup into a new store, of the same kind or another
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    /// File that `mabel backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory of a store that is new; `sled:DIRECTORY` for sled instead of redb
    #[arg(value_name = "DATA")]
    data: String,
}

pub(crate) fn run_verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let store = existing(&arguments.data, false)?;
    let bar = progress(&*store);
    let verified = verify(&*store, &mut |block| bar.set_position(block));
    bar.finish_and_clear();
    let verified = verified.map_err(|error| while_reading(&arguments.data, error))?;
    print(&readable(&verified))?;
    match verified.differences_count {
        0 => Ok(()),
        1 => Err(Failure::new(
            "one thing is not as the journal says; `mabel rebuild` makes the state anew from the journal",
        )),
        many => Err(Failure::new(format_args!(
            "{many} things are not as the journal says; `mabel rebuild` makes the state anew from the journal"
        ))),
    }
}

fn readable(verified: &Verified) -> String {
    let Verified {
        from,
        head,
        events,
        bytes,
        rows,
        entries,
        recomputed,
        not_recomputed,
        tallies,
        differences,
        differences_count,
    } = verified;
    let tallies: String = tallies.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut lines = vec![
        format!(
            "journal    blocks {} to {head}, every hash as it should be; {events} events of {bytes} bytes replayed",
            from + 1
        ),
        format!("state      {rows} rows compared with the replay's"),
        format!("ledger     {entries} entries compared, with assignments and aliases"),
        format!("tallies    {tallies}"),
        format!(
            "allocated  {recomputed} allocations computed again; {not_recomputed} were computed from a moment no event stands for, or one too long before"
        ),
    ];
    for difference in differences {
        lines.push(format!(
            "DIFFERS    {}\n  journal: {}\n  found:   {}",
            difference.what, difference.journal, difference.found
        ));
    }
    if *differences_count > differences.len() as u64 {
        lines.push(format!("and {} more", differences_count - differences.len() as u64));
    }
    if verified.passed() {
        lines.push("verified: the state is what the journal says, bit for bit".into());
    }
    lines.join("\n")
}

pub(crate) fn run_rebuild(arguments: &RebuildArguments) -> Result<(), Failure> {
    let store = existing(&arguments.data, arguments.accept_loss)?;
    let bar = progress(&*store);
    let rebuilt = rebuild(&*store, &mut |block| bar.set_position(block));
    bar.finish_and_clear();
    let rebuilt = rebuilt.map_err(|error| while_reading(&arguments.data, error))?;
    store.close().map_err(|error| in_store(&arguments.data, &error))?;
    print(&format!(
        "rebuilt from blocks {} to {}: {} rows of the state, {} entries beside the journal",
        rebuilt.from + 1,
        rebuilt.head,
        rebuilt.rows,
        rebuilt.entries
    ))
}

pub(crate) fn run_backup(arguments: &BackupArguments) -> Result<(), Failure> {
    let at = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", arguments.file.display()));
    let file = OpenOptions::new().write(true).create_new(true).open(&arguments.file).map_err(|error| at(&error))?;
    let written = match &arguments.data {
        Some(data) => from_store(data, &file),
        None => from_server(&arguments.target, &file),
    };
    // What is not whole must not be taken for a backup.
    let bytes = written.inspect_err(|_| drop(std::fs::remove_file(&arguments.file)))?;
    file.sync_all().map_err(|error| at(&error))?;
    print(&format!(
        "{}: {bytes} bytes. The receipt secret is not in it: keep DATA/secret as well",
        arguments.file.display()
    ))
}

fn from_store(data: &str, file: &File) -> Result<u64, Failure> {
    let store = existing(data, false)?;
    let mut out = BufWriter::new(file);
    let archived = archive::write(&*store, &mut out).map_err(|error| in_store(data, &error))?;
    Ok(archived.bytes)
}

fn from_server(target: &Target, file: &File) -> Result<u64, Failure> {
    let mut out = BufWriter::new(file);
    let bytes = Client::of(target)?.download("/v1/backup", &mut out)?;
    out.flush().map_err(Failure::new)?;
    Ok(bytes)
}

pub(crate) fn run_restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let file = File::open(&arguments.file);
    let file = file.map_err(|error| Failure::new(format_args!("{}: {error}", arguments.file.display())))?;
    let store = open(&arguments.data, false)?;
    let restored = backup::restore(&mut BufReader::with_capacity(1 << 20, file), &*store);
    let Archived { base, head, rows, .. } = restored.map_err(|error| in_store(&arguments.data, &error))?;
    store.close().map_err(|error| in_store(&arguments.data, &error))?;
    print(&format!("{}: blocks {} to {head} and {rows} rows restored", arguments.data, base + 1))
}

/// A store that must be there already.
pub(super) fn existing(data: &str, accept_loss: bool) -> Result<Arc<dyn Store>, Failure> {
    match Location::from(data).directory() {
        None => Err(Failure::new("memory keeps nothing: name the directory of a store")),
        Some(directory) if !directory.exists() => Err(Failure::new(format_args!("{data}: there is no such directory"))),
        Some(_) => open(data, accept_loss),
    }
}

fn open(data: &str, accept_loss: bool) -> Result<Arc<dyn Store>, Failure> {
    let options = DiskOptions { accept_loss, ..DiskOptions::default() };
    mabel::store::open(&Location::from(data), options).map_err(|error| in_store(data, &error))
}

pub(super) fn in_store(data: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format_args!("{data}: {error}"))
}

/// An error while a store that opened is read. What an open does not look at (old blocks, the ledger) has a way out as well.
fn while_reading(data: &str, error: impl Into<StartError>) -> Failure {
    match error.into() {
        error @ (StartError::Store(StoreError::Damaged(_)) | StartError::Restore(_)) => Failure::new(format_args!(
            "{data}: {error}. `mabel rebuild` makes state and ledger anew from the journal; where that finds the same, restore \
             a backup (`mabel restore`)"
        )),
        error @ (StartError::Store(StoreError::Unavailable { .. } | StoreError::Loss { .. })
        | StartError::Thread(_)) => in_store(data, &error),
    }
}

pub(super) fn progress(store: &dyn Store) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} block {human_pos} of {human_len}  {elapsed}, {eta} to go");
    ProgressBar::new(store.head().number).with_style(style.expect("a template of known parts"))
}

/// Unlike `println!`, no panic when the reader of a pipe has gone.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::new(format_args!("stdout: {error}")))
}
