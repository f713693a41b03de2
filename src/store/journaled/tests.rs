//! What a crash, a damaged file, a database in trouble and an earlier build can leave. The database is in memory here, so that it can
//! be kept while the journal before it is killed; the contract battery has the real ones.

use std::fs;
use std::path::PathBuf;

use crate::store::DiskOptions;
use crate::store::contract::{append, chain, noise, read};
use crate::store::disk::DiskStore;
use crate::store::faulty::{Fault, FaultyStore};
use crate::store::journaled::*;
use crate::store::memory::MemoryStore;
use crate::store::opened::Opened;

/// A directory, a database, and the journal before it.
struct Bench {
    directory: tempfile::TempDir,
    database: Arc<MemoryStore>,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), database: Arc::default() }
    }

    fn try_open(&self, accept_loss: bool) -> Result<(Opened<JournaledStore>, Arc<FaultyStore>), StoreError> {
        let faulty = Arc::new(FaultyStore::new(self.database.clone()));
        let options = DiskOptions { accept_loss, ..DiskOptions::default() };
        let opened = JournaledStore::open(self.directory.path(), options, Box::new(FaultyStore::new(faulty.clone())))?;
        Ok((opened, faulty))
    }

    fn open(&self) -> (JournaledStore, Arc<FaultyStore>) {
        let (opened, faulty) = self.try_open(false).expect("it opens");
        assert_eq!(opened.notes, Vec::<String>::new());
        (opened.store, faulty)
    }

    fn refusal(&self) -> String {
        self.try_open(false).expect_err("refused").to_string()
    }

    fn file(&self, number: u64) -> PathBuf {
        files::path(&self.directory.path().join("journal"), number)
    }

    fn files(&self) -> usize {
        self.named(".journal")
    }

    /// How many names of the directory have this in them.
    fn named(&self, part: &str) -> usize {
        let names = fs::read_dir(self.directory.path().join("journal")).expect("readable");
        names.filter(|name| name.as_ref().expect("readable").file_name().to_string_lossy().contains(part)).count()
    }
}

/// Ends a store as a kill does: the database gets nothing more.
fn kill((store, database): (JournaledStore, Arc<FaultyStore>)) {
    database.refuse(true);
    drop(store);
}

fn row(number: u64) -> Row {
    Row { space: Space::Companion, key: number.to_be_bytes().to_vec(), value: Some(noise(300, number)) }
}

/// A block with a row for each number, a change each.
fn fill(store: &JournaledStore, numbers: std::ops::Range<u64>) -> Vec<Block> {
    let fill = |number| {
        let blocks = chain(store.head(), [noise(700, number)]);
        store.append(&blocks, &[row(number)]).expect("appended");
        blocks
    };
    numbers.flat_map(fill).collect()
}

fn all(store: &JournaledStore) -> (Vec<Block>, Rows) {
    (read(store, 1), store.rows(Space::Companion, &[], None, usize::MAX).expect("readable"))
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("written");
}

#[test]
fn what_a_kill_kept_from_the_database_is_read_again() {
    let bench = Bench::new();
    let mut blocks = Vec::new();
    for life in 0..5 {
        let open = bench.open();
        // More than stays in memory, over several files.
        blocks.extend(fill(&open.0, life * 100..life * 100 + 100));
        let rows = (0..life * 100 + 100).map(row).map(|row| (row.key, row.value.expect("a value"))).collect::<Rows>();
        assert_eq!(all(&open.0), (blocks.clone(), rows.clone()));
        kill(open);
        let again = bench.open();
        assert_eq!(all(&again.0), (blocks.clone(), rows));
        kill(again);
    }
    assert!(bench.files() > 6, "{} files", bench.files());
}

#[test]
fn what_was_put_off_is_done_when_there_is_time() {
    let bench = Bench::new();
    let open = bench.open();
    let in_database = || bench.database.rows(Space::Companion, &[], None, usize::MAX).expect("readable").len();
    let blocks = fill(&open.0, 0..20);
    assert!(!open.0.tidy().expect("asked"), "not worth it yet");
    assert_eq!(in_database(), 0);
    let blocks: Vec<Block> = blocks.into_iter().chain(fill(&open.0, 20..60)).collect();
    assert_eq!(in_database(), 0, "an append did not have to");
    assert!(open.0.tidy().expect("done"));
    assert_eq!(in_database(), 60);
    assert!(!open.0.tidy().expect("asked"), "there is nothing left");
    let rows = all(&open.0).1;
    assert_eq!((rows.len(), all(&open.0).0), (60, blocks.clone()));
    kill(open);
    assert_eq!(all(&bench.open().0), (blocks, rows));
}

/// A page of the ledger is written whole for each commit that adds to it; the journal's files hold what was added.
#[test]
fn of_a_value_that_grows_the_files_hold_what_is_new_in_it() {
    let bench = Bench::new();
    let mut value = noise(3_000, 1);
    let grown = |value: &[u8]| Row { space: Space::LedgerPage, key: vec![7], value: Some(value.to_vec()) };
    for life in 0..3 {
        let (store, database) = bench.open();
        for round in 0..20 {
            value.splice(100..100, noise(50, 1_000 * life + round));
            // The last of several changes of one row counts, whatever stood before them.
            let other = Row { value: Some(noise(2_000, round)), ..grown(&value) };
            let rows = [other, grown(&value)];
            store.append(&[], &rows[usize::from(round % 5 > 0)..]).expect("appended");
            assert_eq!(store.rows(Space::LedgerPage, &[7], None, 1).expect("readable")[0].1, value);
            if round == 7 {
                store.forget(Space::LedgerPage, &[8], 1).expect("forgotten");
            }
        }
        kill((store, database));
    }
    let (store, _) = bench.open();
    assert_eq!(store.rows(Space::LedgerPage, &[7], None, 1).expect("readable")[0].1, value);
    let bytes: u64 = (1..=3).map(|file| fs::metadata(bench.file(file)).expect("there").len()).sum();
    assert!(bytes < 150_000, "{bytes} bytes for sixty changes of 4,500 bytes");
}

/// What a file says of a visitor can be read as long as the database may have to be told again, and no longer.
#[test]
fn what_was_erased_can_not_be_read_in_the_files_either() {
    let bench = Bench::new();
    let key = |file: u64| bench.directory.path().join(format!("journal/{file:010}.key")).exists();
    let (store, database) = bench.open();
    let companion = |id: &[u8]| Row { space: Space::Companion, key: vec![1; 9], value: Some(id.to_vec()) };
    let name = b"visitor whose name is in no file";
    store.append(&chain(store.head(), [vec![1]]), &[companion(name)]).expect("appended");
    let mentioned = |file| fs::read(bench.file(file)).expect("readable").windows(9).any(|part| part == &name[..9]);
    assert!(key(1) && !mentioned(1));
    kill((store, database));
    let (store, database) = bench.open();
    assert_eq!(store.rows(Space::Companion, &[], None, 9).expect("readable")[0].1, name);
    store.append(&chain(store.head(), [vec![2]]), &[]).expect("appended");
    assert!(key(1) && key(2), "the database does not hold them yet");
    // As an erasure rewrites it.
    store.append(&[], &[companion(b"nobody")]).expect("erased");
    assert_eq!([1, 2, 3].map(key), [false, false, true]);
    let profile = |value| Row { space: Space::Profile, key: vec![2; 16], value };
    store.append(&[], &[profile(Some(vec![1]))]).expect("saved");
    assert!(key(3), "nothing was erased");
    store.append(&chain(store.head(), [vec![4]]), &[profile(None)]).expect("erased");
    assert_eq!([3, 4].map(key), [false, true]);
    store.append(&chain(store.head(), [vec![3]]), &[row(9)]).expect("appended");
    assert_eq!(read(&store, 1).len(), 4, "blocks are there all the same");
    kill((store, database));
    let (store, _) = bench.open();
    assert_eq!(store.rows(Space::Companion, &[1], None, 9).expect("readable")[0].1, b"nobody");
    drop(store);
    assert!((1..4).all(|file| !mentioned(file)));
    // Without an erasure the keys go as the database is told more.
    let (store, _) = bench.open();
    for part in 1..4 {
        fill(&store, part * 100..part * 100 + 70);
        store.save_checkpoint(CheckpointKind::Current, 3, &[]).expect("saved");
    }
    let keys = bench.named(".key");
    assert!(keys < 3 && bench.files() > 5, "{keys} keys of {} files", bench.files());
}

#[test]
fn wherever_a_record_breaks_off_it_is_left_out_and_the_journal_goes_on() {
    let bench = Bench::new();
    let open = bench.open();
    let blocks = fill(&open.0, 0..3);
    kill(open);
    fs::remove_file(bench.directory.path().join("journal/head")).expect("removed");
    let whole = fs::read(bench.file(1)).expect("readable");
    let whole_directory = bench.directory;
    let (length, record) = (whole.len(), (whole.len() - HEADER_BYTES) / 3);
    for (kept, zeros) in (1..record).step_by(97).flat_map(|kept| [(kept, 0), (kept, record - kept), (kept, 5_000)]) {
        let torn = [&whole[..length - record + kept], &vec![0; zeros]].concat();
        let bench = Bench::new();
        fs::create_dir(bench.directory.path().join("journal")).expect("made");
        fs::write(bench.file(1), &torn).expect("written");
        let key = "journal/0000000001.key";
        fs::copy(whole_directory.path().join(key), bench.directory.path().join(key)).expect("copied");
        for round in 0..3 {
            let (opened, database) = bench.try_open(false).expect("it opens");
            assert_eq!(opened.store.head().number, 2 + round, "{kept} bytes and {zeros} zeros");
            assert_eq!(
                opened.notes.iter().any(|note| note.contains("never acknowledged")),
                round == 0,
                "{:?}",
                opened.notes
            );
            assert_eq!(read(&opened.store, 1)[..2], blocks[..2]);
            fill(&opened.store, 9 + round..10 + round);
            kill((opened.store, database));
            assert_eq!(fs::read(bench.file(1)).expect("readable"), torn, "what was found stays as it is");
        }
    }
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let whole = Bench::new();
    let open = whole.open();
    let blocks = fill(&open.0, 0..50);
    drop(open);
    let open = whole.open();
    let blocks = [blocks, fill(&open.0, 50..60)].concat();
    drop(open);
    assert!(whole.files() == 2, "{} files", whole.files());
    for (file, step) in [(1, 1_931), (2, 401)] {
        let content = fs::read(whole.file(file)).expect("readable");
        for at in (0..content.len()).step_by(step).chain([8, 16, HEADER_BYTES, HEADER_BYTES + 4, content.len() - 1]) {
            flip(&whole.file(file), at, u8::try_from(at % 8).expect("small"));
            for _ in 0..2 {
                let said = whole.refusal();
                assert!(said.contains("--accept-loss"), "byte {at} of file {file}: {said}");
            }
            fs::write(whole.file(file), &content).expect("written");
        }
    }
    assert_eq!(all(&whole.open().0).0, blocks);
}

#[test]
fn what_is_whole_before_a_flaw_can_be_had_and_the_rest_is_kept() {
    for (file, at) in [(1, 30_000), (1, 3), (2, HEADER_BYTES + 5_000), (2, 3)] {
        let bench = Bench::new();
        let open = bench.open();
        let mut blocks = fill(&open.0, 0..100);
        drop(open);
        let files = bench.files();
        assert!(files > 1, "{files} files");
        flip(&bench.file(file), at, 1);
        bench.refusal();
        let (opened, _) = bench.try_open(true).expect("accepted");
        let kept = read(&opened.store, 1);
        assert!(kept.len() < 100 && kept == blocks[..kept.len()], "{}", kept.len());
        let aside = bench.named("set-aside");
        // The file with the flaw itself where its header cannot be read, and all that come after it.
        assert_eq!(
            aside,
            files - usize::try_from(file).expect("small") + usize::from(at == 3),
            "file {file}, byte {at}"
        );
        blocks.truncate(kept.len());
        blocks.extend(fill(&opened.store, 200..203));
        drop(opened);
        assert_eq!(all(&bench.open().0).0, blocks, "the loss is not reported again");
    }
}

#[test]
fn a_file_that_is_missing_or_another_is_noticed() {
    type Change = fn(&Bench);
    let changes: [(&str, Change); 5] = [
        ("the first", |bench| fs::remove_file(bench.file(1)).expect("removed")),
        ("one between", |bench| fs::remove_file(bench.file(2)).expect("removed")),
        ("the last", |bench| fs::remove_file(bench.file(3)).expect("removed")),
        ("all", |bench| fs::remove_dir_all(bench.directory.path().join("journal")).expect("removed")),
        ("another in its place", |bench| {
            fs::copy(bench.file(2), bench.file(3)).expect("copied");
        }),
    ];
    for (name, change) in changes {
        let bench = Bench::new();
        for life in 0..3 {
            let open = bench.open();
            fill(&open.0, life * 10..life * 10 + 10);
            // Also without what the head file says.
            drop(open);
        }
        fs::remove_file(bench.directory.path().join("journal/head")).expect("removed");
        change(&bench);
        let said = bench.refusal();
        assert!(said.contains("--accept-loss"), "{name}: {said}");
    }
}

#[test]
fn an_older_or_another_database_is_caught_up_or_refused() {
    let bench = Bench::new();
    let open = bench.open();
    let blocks = fill(&open.0, 0..30);
    drop(open);
    // All records are still there, with the key of their file: a database that is gone is made anew.
    let anew = Bench { database: Arc::default(), ..bench };
    let open = anew.open();
    let (found, rows) = all(&open.0);
    assert_eq!((found, rows.len()), (blocks, 30));
    fill(&open.0, 30..230);
    let blocks = read(&open.0, 1);
    drop(open);
    // Once keys are deleted, only blocks can be had.
    let late = Bench { database: Arc::default(), ..anew };
    let said = late.refusal();
    assert!(said.contains("cannot be read any more") && said.contains("--accept-loss"), "{said}");
    let (opened, _) = late.try_open(true).expect("accepted");
    assert_eq!(read(&opened.store, 1), blocks);
    assert!(opened.notes.iter().any(|note| note.contains("are lost")), "{:?}", opened.notes);
    opened.store.save_checkpoint(CheckpointKind::Sealed, 30, &[]).expect("sealed");
    opened.store.save_checkpoint(CheckpointKind::Current, 230, &[]).expect("saved");
    while opened.store.drop_blocks(30, 100).expect("dropped") > 0 {}
    drop(opened);
    let anew = late;
    assert!(!anew.file(1).exists(), "the first file was dropped");
    let gone = Bench { database: Arc::default(), ..anew };
    let said = gone.refusal();
    assert!(said.contains("are missing"), "{said}");
}

#[test]
fn a_database_in_trouble_keeps_nobody_from_the_journal_and_catches_up() {
    let mut calls = 0;
    for call in 1.. {
        let mut came = true;
        for fault in [Fault::Before, Fault::After] {
            let bench = Bench::new();
            let (store, database) = bench.open();
            database.fail_call(database.calls() + call, fault);
            let (mut refused, mut number) = (0, 0);
            while number < 100 {
                let blocks = chain(store.head(), [noise(200, number)]);
                let done = store.append(&blocks, &[row(number)]);
                number += u64::from(done.is_ok());
                let saved = number % 25 != 24
                    || store.save_checkpoint(CheckpointKind::Current, store.head().number, &[]).is_ok();
                let tidied = number % 10 != 9 || store.tidy().is_ok();
                if done.is_err() || !saved || !tidied {
                    refused += 1;
                    assert!(refused < 4, "call {call}, {fault:?}");
                    store.recover().expect("recovered");
                }
            }
            came &= database.faults_left() == 0;
            if !came {
                break;
            }
            assert_eq!((all(&store).0.len(), all(&store).1.len()), (100, 100), "call {call}, {fault:?}");
            kill((store, database));
            let again = bench.open();
            assert_eq!((all(&again.0).0.len(), all(&again.0).1.len()), (100, 100), "call {call}, {fault:?}");
        }
        if !came {
            break;
        }
        calls = call;
    }
    assert!(calls > 5, "the database was called {calls} times");
}

#[test]
fn old_files_go_with_the_blocks_that_are_in_them() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    fill(&store, 0..300);
    let before = bench.files();
    store.save_checkpoint(CheckpointKind::Sealed, 250, &[]).expect("sealed");
    store.save_checkpoint(CheckpointKind::Current, 300, &[]).expect("saved");
    let mut dropped = 0;
    while dropped < 250 {
        dropped += store.drop_blocks(250, 17).expect("dropped");
        assert_eq!(read(&store, 1).len(), 300 - dropped);
    }
    assert!(before > 5 && bench.files() < 3, "{before} files, then {}", bench.files());
    drop(store);
    let (store, _) = bench.open();
    assert_eq!((store.base().number, read(&store, 1).len(), all(&store).1.len()), (250, 50, 300));
}

#[test]
fn blocks_that_an_earlier_build_left_in_the_database_are_read_and_dropped_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = DiskOptions::default();
    let older = DiskStore::open(directory.path(), options).expect("it opens").store;
    let mut blocks = append(&older, (0..40).map(|seed| noise(500, seed)));
    older.append(&[], &[row(7)]).expect("a row");
    let state = [StateRow { key: b"state".to_vec(), value: Some(vec![1]) }];
    older.save_checkpoint(CheckpointKind::Current, 30, &state).expect("saved");
    older.save_checkpoint(CheckpointKind::Sealed, 20, &state).expect("sealed");
    older.drop_blocks(5, 100).expect("dropped");
    drop(older);
    let open = || {
        let database = DiskStore::open(directory.path(), options).expect("it opens").store;
        JournaledStore::open(directory.path(), options, Box::new(database)).expect("it opens").store
    };
    let store = open();
    assert_eq!(store.load_checkpoint(CheckpointKind::Current).expect("whole").block, 30);
    assert_eq!((store.base().number, store.head().number), (5, 40));
    blocks.extend(fill(&store, 100..140));
    drop(store);
    let store = open();
    for from in [1, 6, 39, 40, 41, 42, 80] {
        assert_eq!(read(&store, from), blocks[from.max(6) as usize - 1..], "from {from}");
    }
    assert_eq!(store.drop_blocks(20, 100).expect("dropped"), 15);
    for kind in [CheckpointKind::Sealed, CheckpointKind::Current] {
        store.save_checkpoint(kind, 60, &state).expect("saved");
    }
    while store.drop_blocks(60, 100).expect("dropped") > 0 {}
    drop(store);
    let store = open();
    assert_eq!((store.base(), read(&store, 1)), (blocks[59].head(), blocks[60..].to_vec()));
    assert_eq!(
        store.rows(Space::Companion, &[], None, 1).expect("readable"),
        [(row(7).key, row(7).value.expect("a value"))]
    );
    drop(store);
    // An earlier build must not take what is left there for all there is.
    let database = DiskStore::open(directory.path(), options).expect("it opens").store;
    assert_eq!(database.layout_version(), [2]);
}

#[test]
fn a_reader_follows_the_journal_from_any_block_while_it_grows() {
    let bench = Bench::new();
    let (store, _) = bench.open();
    for round in 0..60 {
        let blocks = chain(store.head(), (0..round % 4).map(|seed| noise(400, seed)));
        store.append(&blocks, &[row(round)]).expect("appended");
        let head = store.head().number;
        for from in 1..=head + 1 {
            let numbers = read(&store, from).iter().map(Block::number).collect::<Vec<_>>();
            assert!(numbers.into_iter().eq(from..=head), "from {from} of {head}");
        }
    }
}

/// Whatever stands in the files, an opening panics at nothing, takes nothing for what was written, and keeps what is whole where it may.
#[test]
fn damage_of_any_kind_is_refused_and_can_be_accepted() {
    let whole = Bench::new();
    for life in 0..2 {
        let open = whole.open();
        fill(&open.0, life * 40..life * 40 + 40);
        kill(open);
    }
    let (mut opened, mut refused, mut accepted) = (0, 0, 0);
    for seed in 0..300_u64 {
        let dice = noise(64, 9_000 + seed);
        let die =
            |at: usize, among: usize| u32::from_le_bytes([dice[at], dice[at + 1], dice[at + 2], 0]) as usize % among;
        let bench = Bench::new();
        crate::store::power_cut::copy_directory(whole.directory.path(), bench.directory.path());
        let names = ["0000000001.journal", "0000000002.journal", "0000000001.key", "0000000002.key", "head"];
        let path = bench.directory.path().join("journal").join(names[die(0, 8) % names.len()]);
        let mut bytes = fs::read(&path).expect("readable");
        let (from, length) = (die(3, bytes.len()), 1 + die(6, 200));
        let to = (from + length).min(bytes.len());
        match die(9, 4) {
            0 => bytes[from..to].copy_from_slice(&noise(to - from, seed)),
            1 => bytes.truncate(from),
            2 => drop(bytes.drain(from..to)),
            _ => drop(bytes.splice(from..from, noise(length, seed))),
        }
        fs::write(&path, bytes).expect("written");
        for accept_loss in [false, true] {
            match bench.try_open(accept_loss) {
                Ok((store, database)) => {
                    *(if accept_loss { &mut accepted } else { &mut opened }) += 1;
                    read(&store.store, 1);
                    fill(&store.store, 500..502);
                    kill((store.store, database));
                    break;
                }
                Err(error) => {
                    refused += 1;
                    assert!(!matches!(error, StoreError::Unavailable { .. }), "seed {seed}: {error}");
                }
            }
        }
    }
    assert!(refused > 250 && accepted == refused, "{opened} opened, {refused} refused, {accepted} accepted");
}
