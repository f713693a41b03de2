//! What sled 0.34.7 does to a store, done on purpose: broken snapshots, flipped bits, lost ends. No open panics, and none
//! is silent about a block that had been committed.

mod damage;

use std::fs;
use std::path::{Path, PathBuf};

use crate::store::contract::{append, chain, noise, read};
use crate::store::disk::*;
use crate::store::head_file;

fn open(directory: &Path) -> Result<Opened<DiskStore>, StoreError> {
    DiskStore::open(directory, DiskOptions::default())
}

fn open_accepting_loss(directory: &Path) -> Result<Opened<DiskStore>, StoreError> {
    DiskStore::open(directory, DiskOptions { accept_loss: true, ..DiskOptions::default() })
}

/// A closed store of so many blocks with a ledger and a checkpoint, over several openings, so that there is a snapshot.
fn filled(directory: &Path, blocks: u64) -> Vec<Block> {
    let mut all = Vec::new();
    for part in 0..3 {
        let store = open(directory).expect("it opens").store;
        for number in 0..blocks / 3 {
            let next = chain(store.head(), [noise(3_000, part * 1_000 + number)]);
            let row = Row { space: Space::Ledger, key: number.to_be_bytes().to_vec(), value: Some(vec![1]) };
            store.append(&next, &[row]).expect("appended");
            all.extend(next);
        }
        let row = StateRow { key: b"state".to_vec(), value: Some(noise(20_000, part)) };
        store.save_checkpoint(CheckpointKind::Current, store.head().number, &[row]).expect("saved");
        store.close().expect("closed");
    }
    all
}

impl DiskStore {
    /// What earlier builds look at before anything else.
    pub(crate) fn layout_version(&self) -> Vec<u8> {
        self.tree("test").expect("open").get(LAYOUT_KEY).expect("readable").expect("marked").to_vec()
    }
}

fn row_of(store: &DiskStore, number: u64) -> Vec<u8> {
    let mut rows = store.rows(Space::Ledger, &number.to_be_bytes(), None, 2).expect("readable");
    assert_eq!(rows.len(), 1);
    rows.remove(0).1
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

fn snapshot(directory: &Path) -> PathBuf {
    let mut names =
        fs::read_dir(directory.join("sled")).expect("readable").map(|entry| entry.expect("an entry").path());
    names.find(|path| path.to_string_lossy().contains("snap.")).expect("sled made a snapshot")
}

fn names(directory: &Path, part: &str) -> usize {
    let names = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().contains(part)).count()
}

#[test]
fn a_broken_snapshot_costs_nothing() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 4] = [
        ("truncated", |path| {
            let bytes = fs::read(path).expect("readable");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("empty", |path| fs::write(path, []).expect("written")),
        ("garbage", |path| fs::write(path, noise(500, 1)).expect("written")),
        ("half-written beside", |path| {
            let bytes = fs::read(path).expect("readable");
            // A kill during sled's own writing leaves this; its name sorts behind the good one.
            fs::write(path.with_file_name("snap.7FFFFFFFFFFFFFFF.generating"), &bytes[..20]).expect("written");
        }),
    ];
    for (name, break_it) in breaks {
        let directory = tempfile::tempdir().expect("a directory");
        let blocks = filled(directory.path(), 30);
        break_it(&snapshot(directory.path()));
        let opened = open(directory.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(opened.notes.iter().any(|note| note.contains("kept as")), "{name}: {:?}", opened.notes);
        assert_eq!(read(&opened.store, 1), blocks, "{name}");
        assert_eq!(row_of(&opened.store, 3), [1], "{name}");
        assert_eq!(opened.store.load_checkpoint(CheckpointKind::Current).expect("whole").block, 30, "{name}");
        assert_eq!(names(directory.path(), "sled.set-aside-1"), 1, "{name}");
        append(&opened.store, [vec![1]]);
        drop(opened);
        let again = open(directory.path()).expect("it opens again");
        assert_eq!((again.notes.len(), again.store.head().number), (0, 31), "{name}");
    }
}

#[test]
fn forty_flipped_bytes_are_survived_or_reported() {
    let whole = tempfile::tempdir().expect("a directory");
    let blocks = filled(whole.path(), 150);
    let files: Vec<PathBuf> = ["db", "db", "db", "conf"]
        .iter()
        .map(|name| PathBuf::from("sled").join(name))
        .chain([snapshot(whole.path()).strip_prefix(whole.path()).expect("within").to_path_buf()])
        .collect();
    let (mut opened_whole, mut reported, mut accepted) = (0, 0, 0);
    for image in 0..40_u64 {
        let directory = tempfile::tempdir().expect("a directory");
        copy(whole.path(), directory.path());
        let file = directory.path().join(&files[usize::try_from(image).expect("small") % files.len()]);
        let mut bytes = fs::read(&file).expect("readable");
        // The file's last segments are mostly empty: positions among the bytes that say something.
        let said: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let random = u64::from_le_bytes(noise(8, 7_000 + image).try_into().expect("eight bytes"));
        let at = said[usize::try_from(random >> 8).expect("64 bits") % said.len()];
        bytes[at] ^= 1 << (random % 8);
        fs::write(&file, bytes).expect("written");
        match open(directory.path()) {
            Ok(opened) => {
                assert_eq!(read(&opened.store, 1), blocks, "image {image}: byte {at} of {}", file.display());
                opened.store.load_checkpoint(CheckpointKind::Current).expect("the checkpoint was examined");
                opened_whole += 1;
            }
            Err(StoreError::Damaged(_) | StoreError::Loss { .. }) => {
                reported += 1;
                // What is whole can be had, and the chain goes on from there.
                if let Ok(opened) = open_accepting_loss(directory.path()) {
                    let kept = read(&opened.store, 1);
                    assert_eq!(kept, blocks[..kept.len()], "image {image}");
                    append(&opened.store, [vec![1]]);
                    assert!(
                        opened.store.load_checkpoint(CheckpointKind::Current).expect("whole").block
                            <= opened.store.head().number
                    );
                    drop(opened);
                    open(directory.path()).expect("once accepted, the loss is not reported again");
                    accepted += 1;
                }
            }
            Err(error @ StoreError::Unavailable { .. }) => {
                panic!("image {image}: byte {at} of {}: {error}", file.display())
            }
        }
    }
    assert!(opened_whole > 0 && reported > 0, "{opened_whole} whole, {reported} reported, {accepted} accepted");
}

#[test]
fn an_older_copy_is_a_loss_until_it_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let older = tempfile::tempdir().expect("a directory");
    let blocks = filled(directory.path(), 30);
    copy(&directory.path().join("sled"), &older.path().join("sled"));
    let store = open(directory.path()).expect("it opens").store;
    append(&store, (0..12).map(|byte| vec![byte]));
    store.close().expect("closed");
    fs::remove_dir_all(directory.path().join("sled")).expect("removed");
    copy(&older.path().join("sled"), &directory.path().join("sled"));

    for _ in 0..2 {
        let error = open(directory.path()).expect_err("blocks are missing");
        assert!(matches!(error, StoreError::Loss { found: 30, expected: 42 }), "{error}");
    }
    let opened = open_accepting_loss(directory.path()).expect("accepted");
    assert_eq!(names(directory.path(), "head.before-loss-1"), 1);
    assert_eq!(read(&opened.store, 1), blocks);
    append(&opened.store, [vec![1]]);
    drop(opened);
    assert_eq!(open(directory.path()).expect("it opens").store.head().number, 31);
}

#[test]
fn another_history_of_the_same_length_is_a_loss() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    for (directory, byte) in directories.iter().zip(1..) {
        let store = open(directory.path()).expect("it opens").store;
        append(&store, [vec![0], vec![byte]]);
        store.close().expect("closed");
    }
    fs::copy(directories[0].path().join("head"), directories[1].path().join("head")).expect("copied");
    let error = open(directories[1].path()).expect_err("block 2 is another one");
    assert!(matches!(error, StoreError::Loss { found: 1, expected: 2 }), "{error}");
}

#[test]
fn a_database_that_is_gone_is_a_loss_and_not_a_new_store() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 9);
    fs::remove_dir_all(directory.path().join("sled")).expect("removed");
    let error = open(directory.path()).expect_err("everything is missing");
    assert!(matches!(error, StoreError::Loss { found: 0, expected: 9 }), "{error}");
    assert!(!directory.path().join("sled").exists(), "no empty database was put in its place");
    assert_eq!(open_accepting_loss(directory.path()).expect("accepted").store.head(), Head::default());
}

#[test]
fn a_damaged_head_file_is_reported_and_a_missing_one_is_noted() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 9);
    let path = directory.path().join("head");
    let bytes = fs::read(&path).expect("readable");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        fs::write(&path, damaged).expect("written");
        let error = open(directory.path()).expect_err("the head file is damaged");
        assert!(error.to_string().contains("--accept-loss"), "{error}");
    }
    fs::remove_file(&path).expect("removed");
    let opened = open(directory.path()).expect("the journal is whole");
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    drop(opened);
    assert_eq!(fs::read(&path).expect("it is written again"), bytes);
}

#[test]
fn the_head_file_follows_within_seconds() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("it opens").store;
    append(&store, [vec![1], vec![2]]);
    append(&store, [vec![3]]);
    let written = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        head_file::read(directory.path()).expect("readable") == Some(store.head())
    });
    assert!(written, "the head file still says {:?}", head_file::read(directory.path()));
}

#[test]
fn a_second_opening_is_refused_in_plain_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(directory.path()).expect("it opens").store;
    let error = open(directory.path()).expect_err("it is open").to_string();
    assert!(error.contains("has it open"), "{error}");
    append(&first, [vec![1]]);
}

#[test]
fn a_repair_that_was_interrupted_is_finished() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = filled(directory.path(), 9);
    fs::rename(directory.path().join("sled"), directory.path().join("sled.repaired")).expect("renamed");
    fs::create_dir(directory.path().join("sled.copy-0")).expect("created");
    let opened = open(directory.path()).expect("it opens");
    assert_eq!(opened.notes.len(), 2, "{:?}", opened.notes);
    assert_eq!(read(&opened.store, 1), blocks);
}

#[test]
fn an_unknown_layout_is_named_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 9);
    let db = sled::open(directory.path().join("sled")).expect("sled opens");
    db.insert(LAYOUT_KEY, &[9]).expect("inserted");
    db.flush().expect("flushed");
    drop(db);
    let error = open(directory.path()).expect_err("layout 9 is unknown").to_string();
    assert!(error.contains("version [9]"), "{error}");
    assert_eq!((names(directory.path(), "set-aside"), names(directory.path(), "copy")), (0, 0));
}

/// A page that vanished takes rows with it and leaves no other trace.
#[test]
fn missing_entries_are_noticed() {
    let cases: [(&[u8], &str); 4] = [
        (&block_key(5, 0), "block 5 is missing"),
        (&block_key(8, 0), "block 8 is missing"),
        (&block_key(3, 1), "piece 1"),
        (&[&row_prefix(checkpoint_keys(CheckpointKind::Current), b"state")[..], &[0, 2]].concat(), "not whole"),
    ];
    for (key, expected) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path()).expect("it opens").store;
        append(&store, (0..9).map(|seed| noise(8_000, seed)));
        let row = StateRow { key: b"state".to_vec(), value: Some(noise(20_000, 1)) };
        store.save_checkpoint(CheckpointKind::Current, 9, &[row]).expect("saved");
        store.tree("test").expect("open").remove(key).expect("removed").expect("it was there");
        drop(store);
        let error = open(directory.path()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        let opened = open_accepting_loss(directory.path()).expect("what is whole is kept");
        assert_eq!(
            opened.store.load_checkpoint(CheckpointKind::Current).expect("whole"),
            Checkpoint::default(),
            "{expected}"
        );
        let tree = opened.store.tree("test").expect("open");
        assert!(first_keys().all(|key| tree.contains_key(key).expect("read")), "leaves are split as before");
    }
}

#[test]
fn after_a_failure_of_unknown_fate_nothing_is_written_until_it_is_made_certain() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("it opens").store;
    let first = append(&store, [vec![1]]);
    // A batch that is there, though its caller was told that it is not.
    let second = chain(store.head(), [vec![2]]);
    append(&store, [vec![2]]);
    *store.head.lock().expect("not poisoned") = Head { number: 1, hash: first[0].hash() };
    store.writer.lock().expect("not poisoned").uncertain = true;
    let error = store.append(&chain(store.head(), [vec![3]]), &[]).expect_err("refused").to_string();
    assert!(error.contains("opened anew"), "{error}");
    assert!(store.save_checkpoint(CheckpointKind::Current, 1, &[]).is_err());
    assert!(store.forget(Space::Ledger, &[1], 1).is_err() && store.drop_blocks(0, 1).is_ok_and(|dropped| dropped == 0));
    assert_eq!(read(&store, 1).len(), 1);
    // In place, while the store is in use.
    assert_eq!(store.recover().expect("opened anew"), Head { number: 2, hash: second[0].hash() });
    append(&store, [vec![3]]);
    assert_eq!(read(&store, 1).len(), 3);
    drop(store);
    assert_eq!(open(directory.path()).expect("it opens").store.head().number, 3);
}

#[test]
fn a_recovery_that_finds_less_than_was_appended_is_a_loss() {
    let directory = tempfile::tempdir().expect("a directory");
    let older = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 9);
    copy(&directory.path().join("sled"), &older.path().join("sled"));
    let store = open(directory.path()).expect("it opens").store;
    append(&store, [vec![1]]);
    store.writer.lock().expect("not poisoned").uncertain = true;
    drop(store.db.write().expect("not poisoned").take());
    fs::remove_dir_all(directory.path().join("sled")).expect("removed");
    copy(&older.path().join("sled"), &directory.path().join("sled"));
    for _ in 0..2 {
        let error = store.recover().expect_err("block 10 is missing");
        assert!(matches!(error, StoreError::Loss { found: 9, expected: 10 }), "{error}");
        assert!(store.append(&[], &[]).is_err(), "and nothing is written over it");
    }
}
