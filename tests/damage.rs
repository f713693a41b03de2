//! A damaged store as its owner meets it at the terminal: every refusal names the way out, and the way out leads out.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mabel::domain::Seed;
use serde_json::json;
use support::server::Server;
use support::text;

fn mabel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mabel")).args(arguments).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A server's life on a store, ended by a kill.
fn live(place: &[&str]) {
    let server = Server::start(&[&["--checkpoint-interval", "100ms"], place].concat());
    let definition = json!({
        "status": "running",
        "variations": [{"key": "a"}, {"key": "b"}],
        "goals": [{"key": "purchase"}],
    });
    assert_eq!(server.client.send("PUT", "/v1/experiments/hero", &definition).0, 201);
    for _ in 0..150 {
        let answer = server.client.post("/v1/decide", &json!({"experiment": "hero", "context": {}}));
        server.client.post("/v1/reward", &json!({"receipt": text(&answer["receipt"])}));
    }
    server.kill();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// One bit of the bytes that say something.
fn flip(path: &Path, seed: Seed) {
    let mut bytes = fs::read(path).expect("readable");
    let said: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = said[usize::try_from(seed.child(0).0 % said.len() as u64).expect("small")];
    bytes[at] ^= 1 << (seed.child(1).0 % 8);
    fs::write(path, bytes).expect("written");
}

/// Bits are flipped in copies of a store until six were refused, or sixty were tried; each is rebuilt or, where that is refused too,
/// restored. Says how many of each.
fn check(kind: &str, file: &str, least: u32) -> String {
    let whole = tempfile::tempdir().expect("a directory");
    let data = whole.path().to_str().expect("text");
    let place = |data: &str| format!("{kind}:{data}");
    live(&["--store", &place(data)]);
    assert!(mabel(&["verify", &place(data)]).status.success());
    let archive = whole.path().join("archive");
    let archive = archive.to_str().expect("text");
    assert!(mabel(&["backup", "--data", &place(data), archive]).status.success());
    let (mut refused, mut rebuilt, mut restored) = (0, 0, 0);
    for seed in 1..60 {
        let directory = tempfile::tempdir().expect("a directory");
        copy(whole.path(), directory.path());
        flip(&directory.path().join(file), Seed(seed));
        let at = place(directory.path().to_str().expect("text"));
        let verified = mabel(&["verify", &at]);
        let text = said(&verified);
        assert!(!text.contains("panicked at"), "{kind}, seed {seed}: {text}");
        if verified.status.success() {
            continue;
        }
        refused += 1;
        assert_eq!(verified.status.code(), Some(1), "{kind}, seed {seed}: {text}");
        assert!(text.contains("`mabel restore`") || text.contains("`mabel rebuild`"), "{kind}, seed {seed}: {text}");
        if text.contains("--accept-loss") {
            let served = mabel(&["serve", "--listen", "127.0.0.1:0", "--store", &at]);
            assert_eq!(served.status.code(), Some(1), "{kind}, seed {seed}: {}", said(&served));
            assert!(said(&served).contains("--accept-loss"), "{kind}, seed {seed}: {}", said(&served));
        }
        let accepted = mabel(&["rebuild", "--accept-loss", &at]);
        let led_to = if accepted.status.success() {
            rebuilt += 1;
            at
        } else {
            assert!(said(&accepted).contains("`mabel restore`"), "{kind}, seed {seed}: {}", said(&accepted));
            restored += 1;
            let anew = place(directory.path().join("anew").to_str().expect("text"));
            assert!(mabel(&["restore", archive, &anew]).status.success(), "{kind}, seed {seed}");
            anew
        };
        let verified = mabel(&["verify", &led_to]);
        assert!(verified.status.success(), "{kind}, seed {seed}: {}", said(&verified));
        if refused == 6 {
            break;
        }
    }
    assert!(refused >= least, "{kind}: {refused} refused: the test tested little");
    format!("{kind}: {refused} refused, of which {rebuilt} were rebuilt with a loss and {restored} restored")
}

#[test]
fn a_damaged_journal_names_the_way_out_and_it_leads_out() {
    println!("{}", check("redb", "journal/0000000001.journal", 6));
}

#[test]
fn a_damaged_store_in_sled_names_the_way_out_and_it_leads_out() {
    // What a flipped bit costs sled is mostly read again from the journal.
    println!("{}", check("sled", "sled/db", 0));
}

#[test]
fn a_damaged_store_in_redb_names_the_way_out_and_it_leads_out() {
    println!("{}", check("redb", "journal.redb", 2));
}
