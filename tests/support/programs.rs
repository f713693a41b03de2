//! Programs that tests run beside the server.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end; what it wrote to its output.
pub(crate) fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (output, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}: {}\n{output}\n{errors}", done.status);
    output.into_owned()
}

/// A program of `tests/clients/js`, with the packages it needs.
pub(crate) fn node(program: &str) -> Command {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    let directory = INSTALLED.get_or_init(|| {
        let directory = root().join("tests/clients/js");
        run(Command::new("npm").arg("ci").current_dir(&directory));
        directory
    });
    let mut node = Command::new("node");
    node.arg(program).current_dir(directory);
    node
}
