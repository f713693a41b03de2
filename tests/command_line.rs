//! The `mabel` binary as its users meet it: help, refusals, serving and stopping, experiments, the demo.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// The binary, unaware of the environment it is tested in.
fn mabel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mabel"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("MABEL_")) {
            command.env_remove(name);
        }
    }
    command
}

fn output(arguments: &[&str]) -> Output {
    mabel().args(arguments).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server, killed if a test fails before it is stopped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = mabel();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"]).args(arguments).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the binary runs");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("stdout is read");
        let address = line.trim().strip_prefix("mabel listens on ").map(str::to_owned);
        Self { process, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// Runs `mabel experiment` against it.
    fn experiment(&self, arguments: &[&str]) -> Output {
        let mut command = mabel();
        command.arg("experiment").args(arguments).args(["--server", &self.address]);
        command.output().expect("the binary runs")
    }

    /// SIGTERM; the exit code.
    fn terminate(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.process.wait().expect("the server ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where the server has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn help_names_every_command() {
    let help = output(&["--help"]);
    assert!(help.status.success());
    for command in [
        "serve",
        "config",
        "experiment",
        "keys",
        "profiles",
        "demo",
        "simulate",
        "inspect",
        "verify",
        "rebuild",
        "backup",
        "restore",
    ] {
        assert!(stdout(&help).contains(command), "{command} is missing in: {}", stdout(&help));
        assert!(output(&[command, "--help"]).status.success(), "{command} --help");
    }
    let serve = stdout(&output(&["serve", "--help"]));
    for part in ["--listen", "MABEL_LISTEN", "127.0.0.1:8080", "--accept-loss", "--insecure", "--config"] {
        assert!(serve.contains(part), "{part} is missing in: {serve}");
    }
    let experiment = stdout(&output(&["experiment", "--help"]));
    for action in ["apply", "list", "show", "report", "start", "pause", "end", "delete"] {
        assert!(experiment.contains(action), "{action} is missing in: {experiment}");
    }
}

#[test]
fn refusals_name_the_field() {
    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        for part in parts {
            assert!(stderr(&output).contains(part), "{part} is missing in: {}", stderr(&output));
        }
    };
    check(&["serve", "--port", "80"], 2, &["--port"]);
    check(&["serve", "--store", "paper"], 1, &["store", "paper", "memory"]);
    check(&["serve", "--store", "redb:"], 1, &["store", "redb:", "redb:DIRECTORY"]);
    check(
        &["serve", "--listen", "0.0.0.0:0"],
        1,
        &["listen", "0.0.0.0:0", "--insecure", "no admin key", "mabel keys create"],
    );
    check(&["serve", "--config", "nowhere.toml"], 1, &["nowhere.toml"]);
    check(&["demo", "--visitors", "0"], 2, &["--visitors", "1.."]);
    check(&["experiment", "list", "--server", "ftp://here"], 1, &["server", "ftp://here", "http://HOST:PORT"]);
    check(&["experiment", "apply", "nowhere.toml"], 1, &["nowhere.toml"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("mabel.toml");
    std::fs::write(&file, "commit_intervall = \"20ms\"").expect("written");
    let file = file.to_str().expect("a text");
    check(&["serve", "--config", file], 1, &["commit_intervall", "mabel.toml", "commit_interval, "]);
}

#[test]
fn environment_over_file_and_flags_over_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("mabel.toml");
    std::fs::write(&file, "log_format = \"from-file\"\nstore = \"memory\"").expect("written");
    let run = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = mabel();
        command.arg("serve").env("MABEL_CONFIG", &file);
        environment.map(|value| command.env("MABEL_LOG_FORMAT", value));
        flag.map(|value| command.args(["--log-format", value]));
        stderr(&command.output().expect("the binary runs"))
    };
    assert!(run(None, None).contains("from-file"));
    assert!(run(Some("from-environment"), None).contains("from-environment"));
    assert!(run(Some("from-environment"), Some("from-flag")).contains("from-flag"));
}

#[test]
fn a_configuration_is_checked_and_nothing_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, data) = (directory.path().join("mabel.toml"), directory.path().join("data"));
    std::fs::write(&file, format!("data = {data:?}\nretain = \"7d\"\n")).expect("written");
    let file = file.to_str().expect("a text");
    let check = |arguments: &[&str]| {
        let mut command = mabel();
        command.args(["config", "check", "--config", file]).args(arguments).env("MABEL_WORKERS", "2");
        command.output().expect("the binary runs")
    };
    let sound = check(&["--cache", "1GB"]);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    let lines = stdout(&sound);
    for (name, text, origin) in [
        ("listen", "127.0.0.1:8080", "the default"),
        ("retain", "7d", file),
        ("workers", "2", "MABEL_WORKERS"),
        ("cache", "1GB", "--cache"),
    ] {
        let line = lines.lines().find(|line| line.split_whitespace().next() == Some(name)).expect(name);
        assert!(line.contains(text) && line.contains(origin), "{line}");
    }
    std::fs::write(directory.path().join("secret"), "no secret").expect("written");
    let secret = directory.path().join("secret");
    for (arguments, word) in [
        (&["--retain", "1s"][..], "retain"),
        (&["--listen", "0.0.0.0:8080"], "there is no admin key"),
        (&["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "nowhere.pem"),
        (&["--secret-file", secret.to_str().expect("a text")], "64 hexadecimal digits"),
        (&["--data", file], "the path of a directory"),
    ] {
        let refused = check(arguments);
        assert!(refused.status.code() == Some(1) && stderr(&refused).contains(word), "{}", stderr(&refused));
    }
    assert!(!data.exists(), "nothing is made");
}

#[test]
fn serves_in_memory_until_told_to_stop() {
    let server = Server::start(&["--store", "memory"]);
    let list = server.experiment(&["list"]);
    assert!(list.status.success() && stdout(&list).contains("no experiments yet"), "{list:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_damaged_secret_is_refused_and_kept() {
    let data = tempfile::tempdir().expect("a directory");
    let directory = data.path().to_str().expect("a text");
    assert_eq!(Server::start(&["--data", directory]).terminate(), Some(0));
    let secret = data.path().join("secret");
    assert_eq!(std::fs::read_to_string(&secret).expect("a secret").trim().len(), 64);
    std::fs::write(&secret, "damaged").expect("written");
    let refused = output(&["serve", "--listen", "127.0.0.1:0", "--data", directory]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("damaged") && stderr(&refused).contains("64 hexadecimal digits"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&secret).expect("still there"), "damaged");
}

#[test]
fn experiments_from_a_file_and_back() {
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("hero.toml");
    let definition = r#"
        key = "hero"
        control = 0.05
        audience = 'country in ["FR", "DE"]'
        [schedule]
        starts = 2026-01-01T00:00:00+01:00
        [[variations]]
        key = "plain"
        payload = { headline = "Welcome" }
        [[variations]]
        key = "discount"
        [segments]
        by = ["device"]
        [[goals]]
        key = "purchase"
    "#;
    std::fs::write(&file, definition).expect("written");
    let path = file.to_str().expect("a text");
    let kept = data.path().join("data");
    let kept = kept.to_str().expect("a text");
    let server = Server::start(&["--data", kept]);
    let said = |server: &Server, arguments: &[&str], parts: &[&str]| {
        let output = server.experiment(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        for part in parts {
            assert!(stdout(&output).contains(part), "{part} is missing in: {}", stdout(&output));
        }
    };
    said(&server, &["apply", path], &["hero", "definition 1", "draft"]);
    said(&server, &["apply", path, "--start"], &["hero", "running"]);
    said(&server, &["list"], &["hero", "running", "definition 1"]);
    // What was saved has its defaults, and its time in UTC.
    said(&server, &["show", "hero"], &["Welcome", "\"floor\": 0.01", "2025-12-31T23:00:00Z", "thompson"]);
    said(&server, &["report", "hero"], &["hero", "running", "0 exposures"]);
    said(&server, &["report", "hero", "--json"], &["\"segments\""]);
    said(&server, &["pause", "hero"], &["paused"]);

    std::fs::write(&file, definition.replace("control = 0.05", "control = 5")).expect("written");
    let refused = server.experiment(&["apply", path]);
    assert_eq!(refused.status.code(), Some(1));
    for part in ["hero.toml", "field: control", "given: 5", "allowed: "] {
        assert!(stderr(&refused).contains(part), "{part} is missing in: {}", stderr(&refused));
    }
    assert_eq!(server.terminate(), Some(0));

    let server = Server::start(&["--data", kept]);
    said(&server, &["list"], &["hero", "paused"]);
    said(&server, &["end", "hero"], &["ended"]);
    said(&server, &["delete", "hero"], &["deleted"]);
    let gone = server.experiment(&["show", "hero"]);
    assert!(!gone.status.success() && stderr(&gone).contains("404"), "{gone:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_second_demo_goes_on_from_the_first() {
    let data = tempfile::tempdir().expect("a directory");
    let directory = data.path().to_str().expect("a text");
    let demo = ["demo", "--once", "--visitors", "300", "--port", "0", "--data", directory];
    let first = output(&demo);
    assert!(first.status.success(), "{}", stderr(&first));
    for part in ["mabel listens on http://127.0.0.1:", "first decision", "300 visitors, 0 to come", "Mabel earns"] {
        assert!(stdout(&first).contains(part), "{part} is missing in: {}", stdout(&first));
    }
    let second = output(&demo);
    assert!(second.status.success(), "{}", stderr(&second));
    for part in ["found 300 exposures", "600 visitors, 0 to come"] {
        assert!(stdout(&second).contains(part), "{part} is missing in: {}", stdout(&second));
    }
}

#[test]
fn a_running_server_is_backed_up_and_what_is_restored_verifies() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let demo = ["demo", "--once", "--visitors", "300", "--port", "0", "--data", &at("data")];
    assert!(output(&demo).status.success());
    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let output = output(arguments);
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{part} is missing in: {said}"));
    };
    check(&["verify", &at("data")], 0, &["verified", "bit for bit", "bytes replayed"]);
    let server = Server::start(&["--data", &at("data")]);
    check(&["backup", &at("archive"), "--server", &server.address], 0, &["archive", "secret"]);
    check(&["backup", &at("archive"), "--server", &server.address], 1, &["exists"]);
    check(&["verify", &at("data")], 1, &["has it open"]);
    assert_eq!(server.terminate(), Some(0));
    check(&["restore", &at("archive"), &at("restored")], 0, &["restored"]);
    check(&["restore", &at("archive"), &at("restored")], 1, &["not empty"]);
    check(&["verify", &at("restored")], 0, &["verified"]);
    check(&["rebuild", &at("restored")], 0, &["rebuilt from blocks 1"]);
    check(&["verify", &at("restored")], 0, &["verified"]);
    check(&["backup", &at("second"), "--data", &at("restored")], 0, &["bytes"]);
    let bytes = std::fs::read(at("second")).expect("written");
    std::fs::write(at("broken"), &bytes[..bytes.len() / 2]).expect("written");
    check(&["restore", &at("broken"), &at("third")], 1, &["broke off"]);
    check(&["verify", &at("nowhere")], 1, &["no such directory"]);
}
