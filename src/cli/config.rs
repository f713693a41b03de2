//! `mabel config check`: says what `mabel serve` would run with, and whether it would start. Changes nothing.

use std::io::Write as _;
use std::path::Path;

use crate::cli::exit::Failure;
use crate::config::{Configuration, Flags, Setting, secret};

/// What a server runs with
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Reads file, environment and flags as `mabel serve` does, and the files they name; opens no store and makes nothing
    ///
    /// Prints each setting with where it comes from. What a server would refuse is refused here in the same words, exit code 1.
    Check(Box<Flags>),
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Action::Check(flags) = &arguments.action;
    let variable = |name: &str| std::env::var(name).ok();
    let settings = Configuration::settings(flags, &variable).map_err(Failure::new)?;
    let configuration = Configuration::read(flags, &variable).map_err(Failure::new)?;
    print(&settings)?;
    let data = configuration.store.directory().map(Path::to_path_buf);
    if let Some(data) = data.as_deref().filter(|data| data.exists() && !data.is_dir()) {
        return Err(Failure::new(format_args!("data = {data:?} is refused; allowed: the path of a directory")));
    }
    configuration.access.open(data.as_deref()).map_err(Failure::new)?;
    configuration.tls.open().map_err(Failure::new)?;
    secret::look(configuration.secret, data.as_deref()).map_err(Failure::new)
}

fn print(settings: &[Setting]) -> Result<(), Failure> {
    let width = |text: fn(&Setting) -> &str| settings.iter().map(|setting| text(setting).len()).max().unwrap_or(0);
    let (names, texts) = (width(|setting| setting.name), width(|setting| &setting.text));
    let mut out = std::io::stdout().lock();
    for Setting { name, text, origin } in settings {
        writeln!(out, "{name:names$}  {text:texts$}  {origin}").map_err(Failure::new)?;
    }
    Ok(())
}
