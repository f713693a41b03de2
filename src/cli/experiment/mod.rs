//! `mabel experiment`: everything about experiments of a running server, through its API.

mod file;
mod report;

pub(crate) use report::grouped;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use crate::cli::client::{Client, Target, experiment_path};
use crate::cli::exit::Failure;

/// Applies, lists, shows, starts, pauses, ends and deletes experiments of a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Saves experiments from files (TOML, or JSON if the name ends in .json)
    Apply {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Start them as well
        #[arg(long)]
        start: bool,
    },
    /// Lists experiments
    List {
        /// As the server says it
        #[arg(long)]
        json: bool,
    },
    /// Shows a definition with every default
    Show { key: String },
    /// Shows what an experiment has learned
    Report {
        key: String,
        /// As the server says it
        #[arg(long)]
        json: bool,
    },
    /// Lets an experiment decide
    Start { key: String },
    /// Answers the default until started again; rewards still count
    Pause { key: String },
    /// Answers the default for good; rewards still count
    End { key: String },
    /// Deletes an experiment; its key is never used again
    Delete { key: String },
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = Client::of(&arguments.target)?;
    match &arguments.action {
        Action::Apply { files, start } => files.iter().try_for_each(|file| apply(&client, file, *start)),
        Action::List { json } => list(&client, *json),
        Action::Show { key } => show(&client.get(&experiment_path(key))?),
        Action::Report { key, json } => {
            let answer = client.get(&format!("{}/report", experiment_path(key)))?;
            if *json { show(&answer) } else { print(&report::table(&answer, &client.get(&experiment_path(key))?)?) }
        }
        Action::Start { key } => change(&client, key, "start"),
        Action::Pause { key } => change(&client, key, "pause"),
        Action::End { key } => change(&client, key, "end"),
        Action::Delete { key } => {
            client.delete(&experiment_path(key))?;
            print(&format!("{key}: deleted"))
        }
    }
}

fn apply(client: &Client, file: &std::path::Path, start: bool) -> Result<(), Failure> {
    let in_file = |error: Failure| Failure::new(format_args!("{}: {error}", file.display()));
    let (key, definition) = file::read(file).map_err(in_file)?;
    let saved = client.put(&experiment_path(&key), &definition).map_err(in_file)?;
    print(&format!("{key}: saved as definition {}, {}", saved["definition"], text(&saved["status"])))?;
    if start { change(client, &key, "start") } else { Ok(()) }
}

fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.get("/v1/experiments")?;
    if json {
        return show(&answer);
    }
    let experiments = answer["experiments"].as_array().ok_or_else(|| Failure::new("the answer has no experiments"))?;
    if experiments.is_empty() {
        return print("no experiments yet; `mabel experiment apply FILE` makes one");
    }
    let keys: Vec<String> = experiments.iter().map(|experiment| text(&experiment["experiment"])).collect();
    let width = keys.iter().map(|key| key.chars().count()).max().unwrap_or_default();
    experiments.iter().zip(keys).try_for_each(|(experiment, key)| {
        print(&format!("{key:width$}  {:7}  definition {}", text(&experiment["status"]), experiment["definition"]))
    })
}

fn change(client: &Client, key: &str, verb: &str) -> Result<(), Failure> {
    let answer = client.post_empty(&format!("{}/{verb}", experiment_path(key)))?;
    print(&format!("{key}: {}", text(&answer["status"])))
}

fn show(value: &Value) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::new)?)
}

/// Unlike `println!`, no panic when the reader of a pipe has gone.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").map_err(|error| Failure::new(format_args!("stdout: {error}")))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
