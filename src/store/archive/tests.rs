//! What is archived is restored, on every kind of store; what is damaged or broke off is refused, and never panics.

use crate::store::DiskOptions;
use crate::store::archive::*;
use crate::store::contract::{append, chain, noise, read as read_blocks};
use crate::store::disk::DiskStore;
use crate::store::memory::MemoryStore;
use crate::store::redb::RedbStore;

/// Blocks, the oldest of them dropped, rows in every space, both checkpoints.
fn filled(store: &dyn Store) {
    append(store, (0..30).map(|seed| noise(if seed % 7 == 0 { 20_000 } else { 300 }, seed)));
    for (space, number) in Space::ALL.into_iter().zip(0_u8..) {
        let rows: Vec<_> = (0..1_500_u32)
            .map(|key| {
                // By block of the journal, as companions are.
                let key = [&u64::from(key / 100).to_be_bytes()[..], &key.to_be_bytes()].concat();
                Row { space, key, value: Some(vec![number; 20]) }
            })
            .collect();
        store.append(&[], &rows).expect("rows");
    }
    for (kind, block) in [(CheckpointKind::Sealed, 10), (CheckpointKind::Current, 25)] {
        let rows = [StateRow { key: b"one".to_vec(), value: Some(noise(30_000, block)) }];
        store.save_checkpoint(kind, block, &rows).expect("saved");
    }
    store.drop_blocks(8, 100).expect("dropped");
}

type Contents = (Head, Vec<Block>, Vec<crate::store::Rows>, Vec<crate::store::Checkpoint>);

fn contents(store: &dyn Store) -> Contents {
    let rows = Space::ALL.map(|space| store.rows(space, &[], None, usize::MAX).expect("readable"));
    let checkpoints = [CheckpointKind::Sealed, CheckpointKind::Current];
    let checkpoints = checkpoints.map(|kind| store.load_checkpoint(kind).expect("whole"));
    (store.base(), read_blocks(store, 1), rows.to_vec(), checkpoints.to_vec())
}

fn archive(store: &dyn Store) -> (Vec<u8>, Archived) {
    let mut bytes = Vec::new();
    let archived = write(store, &mut bytes).expect("written");
    assert_eq!(archived.bytes, bytes.len() as u64);
    (bytes, archived)
}

#[test]
fn what_is_archived_is_restored_into_another_kind_of_store() {
    let memory = MemoryStore::new();
    filled(&memory);
    let (bytes, archived) = archive(&memory);
    assert_eq!((archived.base, archived.fence, archived.head, archived.rows), (8, 30, 30, 10_500));
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let disk = DiskStore::open(&at("sled"), DiskOptions::default()).expect("it opens").store;
    let redb = RedbStore::open(&at("redb"), DiskOptions::default()).expect("it opens").store;
    for store in [&disk as &dyn Store, &redb] {
        assert_eq!(read(&mut &bytes[..], store).expect("whole"), archived);
        assert_eq!(contents(store), contents(&memory));
        assert_eq!(archive(store).0, bytes, "the same contents make the same archive");
        append(store, [vec![1]]);
    }
    drop((disk, redb));
    let disk = DiskStore::open(&at("sled"), DiskOptions::default()).expect("it opens again");
    let redb = RedbStore::open(&at("redb"), DiskOptions::default()).expect("it opens again");
    assert_eq!((disk.notes.len(), redb.notes.len()), (0, 0));
    for store in [&disk.store as &dyn Store, &redb.store] {
        assert_eq!(store.head().number, 31);
        assert!(matches!(read(&mut &bytes[..], store), Err(ArchiveError::NotEmpty)));
    }
}

#[test]
fn an_empty_store_has_an_archive_too() {
    let (bytes, _) = archive(&MemoryStore::new());
    let restored = MemoryStore::new();
    read(&mut &bytes[..], &restored).expect("whole");
    assert_eq!(contents(&restored), contents(&MemoryStore::new()));
}

#[test]
fn damaged_and_broken_off_archives_are_refused() {
    let store = MemoryStore::new();
    append(&store, (0..3).map(|seed| noise(60, seed)));
    store.append(&[], &[Row { space: Space::Alias, key: vec![1], value: Some(vec![2]) }]).expect("a row");
    store
        .save_checkpoint(CheckpointKind::Current, 2, &[StateRow { key: vec![3], value: Some(vec![4]) }])
        .expect("saved");
    let (bytes, _) = archive(&store);
    for length in 0..bytes.len() {
        assert!(read(&mut &bytes[..length], &MemoryStore::new()).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            assert!(read(&mut &damaged[..], &MemoryStore::new()).is_err(), "byte {at} flipped");
        }
    }
    let stranger = chain(Head { number: 7, hash: [1; 32] }, [vec![1]]);
    assert!(stranger[0].number == 8 && read(&mut &b"something else altogether"[..], &MemoryStore::new()).is_err());
}
