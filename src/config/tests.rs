//! Flags win over the environment, the environment over the file; refusals name field, value and what is allowed.

use std::io::Write as _;
use std::path::Path;

use crate::config::*;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    flags: Flags,
}

/// Reads a file's text, variables and flags as a server would.
fn read(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Configuration, ConfigError> {
    let mut written = tempfile::NamedTempFile::new().expect("a file");
    written.write_all(file.as_bytes()).expect("written");
    let path = written.path().to_str().expect("a text").to_owned();
    let arguments = ["test", "--config", &path].into_iter().chain(flags.iter().copied());
    let command = <Command as clap::Parser>::try_parse_from(arguments).expect("flags");
    let variable = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
    Configuration::read(&command.flags, &variable)
}

#[test]
fn defaults() {
    let configuration = read("", &[], &[]).expect("defaults are allowed");
    assert_eq!(configuration.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(configuration.store, Location::Directory("./mabel-data".into()));
    assert_eq!(configuration.commit_interval, Duration::from_millis(20));
    assert_eq!((configuration.cache_bytes, configuration.workers), (64_000_000, None));
    assert_eq!(configuration.otlp, None);
    assert!(!configuration.accept_loss && matches!(configuration.secret, SecretSource::Data));
}

#[test]
fn flags_over_environment_over_file() {
    let file =
        "listen = \"127.0.0.1:1\"\ncommit_interval = \"30ms\"\nworkers = 3\naccept_loss = true\nstore = \"memory\"";
    let environment = [("MABEL_LISTEN", "127.0.0.1:2"), ("MABEL_COMMIT_INTERVAL", "40ms")];
    let configuration = read(file, &environment, &["--listen", "127.0.0.1:3"]).expect("allowed");
    assert_eq!(configuration.listen[0].port(), 3, "the flag");
    assert_eq!(configuration.commit_interval, Duration::from_millis(40), "the environment");
    assert_eq!(configuration.workers, NonZeroUsize::new(3), "the file");
    assert!(configuration.accept_loss && configuration.store == Location::Memory, "the file");
}

#[test]
fn refusals_say_what_is_allowed() {
    let check = |file: &str, environment: &[(&str, &str)], flags: &[&str], parts: &[&str]| {
        let error = read(file, environment, flags).expect_err("refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    };
    check("lisen = \"x\"", &[], &[], &["lisen", "listen", "commit_interval", "secret_file"]);
    check("store = \"paper\"", &[], &[], &["store", "paper", "memory", "in "]);
    check("store = [1]", &[], &[], &["store", "[1]", "memory"]);
    check("", &[("MABEL_WORKERS", "0")], &[], &["workers", "\"0\"", "MABEL_WORKERS", "1024"]);
    check("", &[("MABEL_LOG", "loud=very")], &[], &["log", "loud=very", "trace"]);
    check("", &[], &["--commit-interval", "20"], &["commit_interval", "\"20\"", "--commit-interval", "10s"]);
    check("", &[], &["--cache", "12"], &["cache", "\"12\"", "MiB"]);
    check("", &[], &["--cache", "1kB"], &["cache", "1MB"]);
    check("", &[], &["--log-format", "xml"], &["log_format", "xml", "json"]);
    check("", &[], &["--listen", "here"], &["listen", "here", "HOST:PORT"]);
    check("", &[("MABEL_OTLP", "collector:4318")], &[], &["otlp", "collector:4318", "MABEL_OTLP", "http://HOST:PORT"]);
    check("", &[], &["--otlp", "http://"], &["otlp", "--otlp", "https://HOST:PORT"]);
    check("", &[], &["--otlp", "http://name:word@collector"], &["otlp"]);
    check("a = ", &[], &[], &["configuration file"]);
}

#[test]
fn beyond_this_machine_only_with_an_admin_key_or_when_insecure() {
    use mabel::access::Keys;
    use mabel::access::key::{Role, Wanted};

    let data = tempfile::tempdir().expect("a directory");
    let open = |environment: &[(&str, &str)], flags: &[&str], data: Option<&Path>| {
        read("", environment, flags).expect("allowed").access.open(data)
    };
    let beyond = ["--listen", "0.0.0.0:0"];
    let error = open(&[], &beyond, Some(data.path())).expect_err("no keys").to_string();
    let way_out = format!("--data {}", data.path().display());
    for part in ["0.0.0.0:0", "--insecure", "keys.json", "mabel keys create --role admin", &way_out] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    let error = open(&[], &beyond, None).expect_err("no keys").to_string();
    assert!(error.contains("--keys FILE"), "{error}");
    assert!(open(&[], &["--listen", "0.0.0.0:0", "--insecure"], None).expect("insecure").is_open());
    assert!(open(&[("MABEL_INSECURE", "true")], &beyond, None).expect("insecure").is_open());
    assert!(open(&[], &["--listen", "[::1]:0"], Some(data.path())).expect("this machine").is_open());
    let keys = Keys::open(data.path().join("keys.json")).expect("none yet");
    let wanted = Wanted { name: "mine".into(), role: Role::Admin, origins: vec![], rate: None };
    keys.create(wanted, mabel::domain::Timestamp::ZERO).expect("made");
    assert!(!open(&[], &beyond, Some(data.path())).expect("an admin key").is_open());
    let file = data.path().join("keys.json");
    let file = file.to_str().expect("a text");
    assert!(!open(&[], &["--listen", "0.0.0.0:0", "--keys", file], None).expect("an admin key").is_open());
    assert!(!open(&[], &["--insecure"], Some(data.path())).expect("keys").is_open(), "keys are asked for all the same");
}

#[test]
fn a_secret_is_never_quoted() {
    let error = read("", &[("MABEL_SECRET", "abcdef")], &[]).expect_err("too short").to_string();
    assert!(error.contains("64 hexadecimal digits") && !error.contains("abcdef"), "{error}");
    let good = "0123456789abcdef".repeat(4);
    let configuration = read("secret_file = \"s\"", &[("MABEL_SECRET", &good)], &[]).expect("allowed");
    assert!(matches!(configuration.secret, SecretSource::Given(_)), "the environment wins over the file");
    let configuration = read("", &[("MABEL_SECRET", &good)], &["--secret-file", "s"]).expect("allowed");
    assert!(matches!(configuration.secret, SecretSource::File(_)), "the flag wins");
}
