//! The real binary in a process of its own, killed by SIGKILL at the latest when it goes out of scope.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::Client;

pub(crate) struct Server {
    process: Child,
    pub(crate) client: Client,
}

impl Server {
    /// `mabel serve` on a free port, with these arguments besides.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_mabel"))
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "1"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let base = line.split_whitespace().find(|word| word.contains("://")).unwrap_or_else(|| panic!("{line}"));
        Self { client: Client::new(base), process }
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.process.wait().expect("the server ends").code()
    }

    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
