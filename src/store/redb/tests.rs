//! What can befall a file, done on purpose: flipped bits, lost ends, a file that is gone. No open panics, and none is silent
//! about a block that had been committed.

use std::fs;
use std::path::Path;

use crate::store::contract::{append, chain, noise, read};
use crate::store::redb::*;

fn open(directory: &Path) -> Result<Opened<RedbStore>, StoreError> {
    RedbStore::open(directory, DiskOptions::default())
}

fn open_accepting_loss(directory: &Path) -> Result<Opened<RedbStore>, StoreError> {
    RedbStore::open(directory, DiskOptions { accept_loss: true, ..DiskOptions::default() })
}

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join(open::FILE)
}

/// A closed store of so many blocks with a ledger and a checkpoint.
fn filled(directory: &Path, blocks: u64) -> Vec<Block> {
    let store = open(directory).expect("it opens").store;
    let mut all = Vec::new();
    for number in 0..blocks {
        let next = chain(store.head(), [noise(3_000, number)]);
        let row = Row { space: Space::Ledger, key: number.to_be_bytes().to_vec(), value: Some(vec![1]) };
        store.append(&next, &[row]).expect("appended");
        all.extend(next);
    }
    let row = StateRow { key: b"state".to_vec(), value: Some(noise(20_000, 1)) };
    store.save_checkpoint(CheckpointKind::Current, store.head().number, &[row]).expect("saved");
    store.close().expect("closed");
    all
}

fn ledger_rows(store: &RedbStore) -> usize {
    store.rows(Space::Ledger, &[], None, usize::MAX).expect("readable").len()
}

#[test]
fn sixty_flipped_bits_are_survived_or_reported() {
    let whole = tempfile::tempdir().expect("a directory");
    let blocks = filled(whole.path(), 40);
    let bytes = fs::read(file(whole.path())).expect("readable");
    let said: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let (mut opened_whole, mut reported, mut accepted) = (0, 0, 0);
    for image in 0..60_u64 {
        let directory = tempfile::tempdir().expect("a directory");
        fs::copy(whole.path().join("head"), directory.path().join("head")).expect("copied");
        let random = u64::from_le_bytes(noise(8, 9_000 + image).try_into().expect("eight bytes"));
        // A third of them where redb keeps what everything hangs on.
        let among = if image % 3 == 0 { 600.min(said.len()) } else { said.len() };
        let at = said[usize::try_from(random >> 8).expect("64 bits") % among];
        let mut broken = bytes.clone();
        broken[at] ^= 1 << (random % 8);
        fs::write(file(directory.path()), broken).expect("written");
        match open(directory.path()) {
            Ok(opened) => {
                assert_eq!(read(&opened.store, 1), blocks, "image {image}: byte {at}");
                assert_eq!(ledger_rows(&opened.store), blocks.len(), "image {image}: byte {at}");
                opened_whole += 1;
            }
            Err(StoreError::Damaged(_) | StoreError::Loss { .. }) => {
                reported += 1;
                // What is whole can be had where redb opens at all, and the chain goes on from there.
                if let Ok(opened) = open_accepting_loss(directory.path()) {
                    let kept = read(&opened.store, 1);
                    assert_eq!(kept, blocks[..kept.len()], "image {image}: byte {at}");
                    append(&opened.store, [vec![1]]);
                    drop(opened);
                    open(directory.path()).expect("once accepted, the loss is not reported again");
                    accepted += 1;
                } else {
                    assert!(directory.path().join("head").exists(), "image {image}: what had been committed is known");
                }
            }
            Err(error @ StoreError::Unavailable { .. }) => panic!("image {image}: byte {at}: {error}"),
        }
    }
    assert!(opened_whole > 0 && reported > 0, "{opened_whole} whole, {reported} reported, {accepted} accepted");
}

#[test]
fn what_is_no_database_is_damage() {
    for content in [noise(50_000, 1), noise(10, 2)] {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(file(directory.path()), &content).expect("written");
        for opened in [open(directory.path()), open_accepting_loss(directory.path())] {
            let error = opened.expect_err("it is no database");
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        }
        assert_eq!(fs::read(file(directory.path())).expect("readable"), content, "left alone");
    }
}

#[test]
fn an_older_copy_is_a_loss_until_it_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = filled(directory.path(), 30);
    let older = fs::read(file(directory.path())).expect("readable");
    let store = open(directory.path()).expect("it opens").store;
    append(&store, (0..12).map(|byte| vec![byte]));
    store.close().expect("closed");
    fs::write(file(directory.path()), older).expect("written");
    for _ in 0..2 {
        let error = open(directory.path()).expect_err("blocks are missing");
        assert!(matches!(error, StoreError::Loss { found: 30, expected: 42 }), "{error}");
    }
    let opened = open_accepting_loss(directory.path()).expect("accepted");
    assert!(directory.path().join("head.before-loss-1").exists());
    assert!(directory.path().join("journal.redb.set-aside-1").exists());
    assert_eq!(read(&opened.store, 1), blocks);
    append(&opened.store, [vec![1]]);
    drop(opened);
    assert_eq!(open(directory.path()).expect("it opens").store.head().number, 31);
}

#[test]
fn a_file_that_is_gone_is_a_loss_and_not_a_new_store() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 9);
    fs::remove_file(file(directory.path())).expect("removed");
    let error = open(directory.path()).expect_err("everything is missing");
    assert!(matches!(error, StoreError::Loss { found: 0, expected: 9 }), "{error}");
    assert!(!file(directory.path()).exists(), "no empty database was put in its place");
    assert_eq!(open_accepting_loss(directory.path()).expect("accepted").store.head(), Head::default());
}

#[test]
fn a_second_opening_is_refused_in_plain_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(directory.path()).expect("it opens").store;
    let error = open(directory.path()).expect_err("it is open").to_string();
    assert!(error.contains("has it open"), "{error}");
    append(&first, [vec![1]]);
}

fn remove_block(write: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    write.open_table(BLOCKS)?.remove(number)?;
    Ok(())
}

#[test]
fn missing_entries_are_noticed() {
    type Remove = fn(&WriteTransaction) -> Result<(), redb::Error>;
    let cases: [(Remove, &str); 4] = [
        (|write| remove_block(write, 5), "block 5 is missing"),
        (|write| remove_block(write, 1), "block 1 is missing"),
        (
            |write| {
                let mut blocks = write.open_table(BLOCKS)?;
                let eighth = blocks.get(8)?.expect("it is there").value().to_vec();
                blocks.insert(9, eighth.as_slice())?;
                Ok(())
            },
            "does not continue",
        ),
        (
            |write| {
                write.open_table(checkpoint_table(CheckpointKind::Current))?.remove(b"state".as_slice())?;
                Ok(())
            },
            "0 rows where 1 were saved",
        ),
    ];
    for (remove, expected) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        filled(directory.path(), 9);
        let db = Database::open(file(directory.path())).expect("redb opens");
        let write = db.begin_write().expect("a transaction");
        remove(&write).expect("removed");
        write.commit().expect("committed");
        drop(db);
        let error = open(directory.path()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        let opened = open_accepting_loss(directory.path()).expect("what is whole is kept");
        let checkpoint = opened.store.load_checkpoint(CheckpointKind::Current).expect("whole");
        assert_eq!(checkpoint, Checkpoint::default(), "{expected}");
    }
}

#[test]
fn an_unknown_layout_is_named_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    filled(directory.path(), 3);
    let db = Database::open(file(directory.path())).expect("redb opens");
    let write = db.begin_write().expect("a transaction");
    write.open_table(SINGLE).expect("there").insert(LAYOUT, [9].as_slice()).expect("inserted");
    write.commit().expect("committed");
    drop(db);
    let error = open(directory.path()).expect_err("layout 9 is unknown").to_string();
    assert!(error.contains("version [9]"), "{error}");
}

#[test]
fn a_store_that_was_not_closed_is_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("it opens").store;
    let blocks = append(&store, (0..20).map(|seed| noise(5_000, seed)));
    // As a kill leaves it.
    fs::copy(file(directory.path()), file(copy.path())).expect("copied");
    let opened = open(copy.path()).expect("it opens");
    assert_eq!(read(&opened.store, 1), blocks);
}

#[test]
fn after_a_failure_of_unknown_fate_nothing_is_written_until_it_is_made_certain() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("it opens").store;
    let first = append(&store, [vec![1]]);
    // A batch that is there, though its caller was told that it is not.
    let second = append(&store, [vec![2]]);
    *store.head.lock().expect("not poisoned") = Head { number: 1, hash: first[0].hash() };
    store.writer.lock().expect("not poisoned").uncertain = true;
    let error = store.append(&chain(store.head(), [vec![3]]), &[]).expect_err("refused").to_string();
    assert!(error.contains("opened anew"), "{error}");
    assert!(store.save_checkpoint(CheckpointKind::Current, 1, &[]).is_err());
    assert!(store.forget(Space::Ledger, &[1], 1).is_err() && store.drop_blocks(0, 1).is_err());
    let mut reader = store.blocks(1);
    assert_eq!(reader.next().expect("a block").expect("whole"), first[0]);
    // In place, while the store is in use.
    assert_eq!(store.recover().expect("opened anew"), Head { number: 2, hash: second[0].hash() });
    drop(reader);
    append(&store, [vec![3]]);
    assert_eq!(read(&store, 1).len(), 3);
    drop(store);
    assert_eq!(open(directory.path()).expect("it opens").store.head().number, 3);
}
