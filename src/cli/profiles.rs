//! `mabel profiles import`: a CSV file's rows as profiles of visitors. The file is read twice, in constant memory: once to see what its
//! columns hold, once to send it.

mod column;

use std::fs::File;
use std::path::PathBuf;

use clap::Subcommand;
use csv::StringRecord;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::cli::client::{Client, Target, readable};
use crate::cli::exit::Failure;
use crate::cli::profiles::column::{Attribute, Columns, Mapping};

/// Rows that are sent together, and the bytes after which fewer are.
const ROWS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 << 20;
/// Longest line that the server reads.
const LINE_BYTES_MAX: usize = 65_536;

/// What is known of visitors ahead of their requests
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sends the rows of a CSV file with a header as profiles, each in place of the visitor's profile before
    ///
    /// An empty cell is an attribute that is not known. Columns keep their names; their types are found where every value of the file
    /// says the same, and asked for where not. What is refused is told by its line, and everything else is taken: then
    /// the exit code is 1.
    Import(ImportArguments),
}

#[derive(Debug, clap::Args)]
struct ImportArguments {
    /// The file
    file: PathBuf,
    /// The column of the visitors' ids
    #[arg(long, value_name = "COLUMN")]
    id_column: String,
    /// A column, and the attribute it becomes: text, number or boolean; may be given several times
    #[arg(long = "map", value_name = "COLUMN=ATTRIBUTE:TYPE", value_parser = Mapping::parse)]
    maps: Vec<Mapping>,
    /// A column to leave out; may be given several times
    #[arg(long = "skip", value_name = "COLUMN")]
    skips: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Action::Import(import) = &arguments.action;
    let client = Client::of(&arguments.target)?;
    let columns = look(import)?;
    for Attribute { name, kind, .. } in &columns.attributes {
        tell(format_args!("{name}: {}", kind.word()));
    }
    let mut sending = Sending { client, body: String::new(), lines: Vec::new(), recorded: 0, refused: 0 };
    let progress = progress(&import.file)?;
    let mut reader = open(import)?;
    let mut row = StringRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_record(&mut row) {
            Ok(false) => break,
            Ok(true) => {
                let line = row.position().map_or(line, csv::Position::line);
                match columns.profile(&row) {
                    Ok(profile) => sending.add(line, row.get(columns.id).unwrap_or_default(), profile)?,
                    Err(flaw) => sending.refuse(line, &flaw),
                }
            }
            Err(error) if error.is_io_error() => return Err(unreadable(import, &error)),
            Err(error) => sending.refuse(line, &error),
        }
        progress.set_position(reader.position().byte());
    }
    sending.send()?;
    progress.finish_and_clear();
    tell(format_args!("{} profiles recorded, {} rows refused", sending.recorded, sending.refused));
    match sending.refused {
        0 => Ok(()),
        refused => Err(Failure::new(format_args!("{refused} rows were refused, see above; all others were taken"))),
    }
}

/// What the file's columns become; nothing is sent before that is clear.
fn look(import: &ImportArguments) -> Result<Columns, Failure> {
    let mut reader = open(import)?;
    let header = reader.headers().map_err(|error| unreadable(import, &error))?.clone();
    let mut columns = Columns::of(&header, &import.id_column, &import.maps, &import.skips).map_err(Failure::new)?;
    let mut row = StringRecord::new();
    loop {
        match reader.read_record(&mut row) {
            Ok(false) => break,
            Ok(true) => columns.see(&row),
            Err(error) if error.is_io_error() => return Err(unreadable(import, &error)),
            // Told by its line when it is its turn to be sent.
            Err(_) => {}
        }
    }
    columns.settled().map_err(Failure::new)
}

fn open(import: &ImportArguments) -> Result<csv::Reader<File>, Failure> {
    csv::Reader::from_path(&import.file).map_err(|error| unreadable(import, &error))
}

fn unreadable(import: &ImportArguments, error: &csv::Error) -> Failure {
    Failure::new(format_args!("{} could not be read: {error}", import.file.display()))
}

/// On the terminal, and nowhere else.
fn progress(file: &std::path::Path) -> Result<ProgressBar, Failure> {
    let bytes = std::fs::metadata(file).map_err(Failure::new)?.len();
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed}").map_err(Failure::new)?;
    Ok(ProgressBar::new(bytes).with_style(style))
}

/// What is on its way to the server.
struct Sending {
    client: Client,
    body: String,
    /// Of each line of the body, its line in the file.
    lines: Vec<u64>,
    recorded: u64,
    refused: u64,
}

impl Sending {
    fn add(&mut self, line: u64, visitor: &str, profile: Map<String, Value>) -> Result<(), Failure> {
        let said = json!({ "visitor": visitor, "profile": profile }).to_string();
        if said.len() > LINE_BYTES_MAX {
            // The server would read no further.
            self.refuse(line, &format_args!("{} bytes, at most {LINE_BYTES_MAX} are sent for one visitor", said.len()));
            return Ok(());
        }
        self.body.push_str(&said);
        self.body.push('\n');
        self.lines.push(line);
        if self.lines.len() == ROWS_AT_ONCE || self.body.len() >= BYTES_AT_ONCE {
            self.send()?;
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, flaw: &dyn std::fmt::Display) {
        self.refused += 1;
        tell(format_args!("line {line}: {flaw}"));
    }

    fn send(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let answer = self.client.post_lines("/v1/profiles", &std::mem::take(&mut self.body))?;
        let lines = std::mem::take(&mut self.lines);
        self.recorded += answer["recorded"].as_u64().unwrap_or_default();
        for refusal in answer["refusals"].as_array().into_iter().flatten() {
            let number = refusal["line"].as_u64().and_then(|number| usize::try_from(number).ok());
            let line = number.and_then(|number| lines.get(number.checked_sub(1)?)).copied().unwrap_or_default();
            self.refuse(line, &readable(&refusal["problem"]).trim_start_matches(": "));
        }
        if answer["complete"] != json!(true) {
            return Err(Failure::new(format_args!("the server did not read all that was sent: {answer}")));
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "the terminal is this layer's business")]
fn tell(text: std::fmt::Arguments<'_>) {
    eprintln!("{text}");
}
