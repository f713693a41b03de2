//! The fuzz targets on the corpus that `scripts/fuzz` left, and on seeded mutations of it: the cheap part of fuzzing, with
//! every `cargo test`. A build with sanitizers takes as long as half of this gate, and finds in some seconds no more than this
//! does; `scripts/fuzz` is for minutes and hours.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mabel::domain::Seed;

/// Mutations of each target's corpus: a quarter of a second; `MABEL_FUZZ_MUTATIONS` asks for more.
const MUTATIONS: u64 = 20_000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// One to four changes: a byte, a bit, a cut, a doubling, a splice with another.
fn mutated(corpus: &[Vec<u8>], seed: Seed) -> Vec<u8> {
    let pick = |index: u64, among: usize| usize::try_from(seed.child(index).0 % among.max(1) as u64).expect("below");
    let mut bytes = corpus[pick(0, corpus.len())].clone();
    for step in 0..1 + pick(1, 4) as u64 {
        let (what, at) = (pick(10 + 8 * step, 6), pick(11 + 8 * step, bytes.len()));
        let other = &corpus[pick(12 + 8 * step, corpus.len())];
        let (from, value) = (pick(13 + 8 * step, other.len()), pick(14 + 8 * step, 256));
        match what {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = u8::try_from(value).expect("a byte")),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (value % 8)),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + value % 9).min(bytes.len()))),
            4 => bytes.extend_from_within(at..),
            _ => drop(bytes.splice(at.., other[from.min(other.len())..].iter().copied())),
        }
    }
    bytes
}

fn check(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).expect("there is such a target");
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name}: a corpus of {} says nothing", corpus.len());
    let play = |bytes: &[u8], what: &str| {
        assert!(catch_unwind(AssertUnwindSafe(|| target(bytes))).is_ok(), "{name} panics on {what}: {bytes:?}");
    };
    corpus.iter().for_each(|bytes| play(bytes, "what is kept"));
    let asked = std::env::var("MABEL_FUZZ_MUTATIONS").ok().and_then(|count| count.parse().ok());
    (0..asked.unwrap_or(MUTATIONS))
        .for_each(|index| play(&mutated(&corpus, Seed(1).child(index)), &format!("mutation {index}")));
}

#[test]
fn receipts_are_read_or_refused() {
    check("receipts");
}

#[test]
fn stored_records_are_read_or_refused() {
    check("records");
}

#[test]
fn conditions_are_compiled_or_refused() {
    check("conditions");
}

#[test]
fn bodies_are_read_or_refused() {
    check("bodies");
}
