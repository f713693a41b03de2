//! Blocks: appended, read from any number, dropped from the oldest on.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::contract::*;

#[test]
fn an_empty_store_has_no_head_no_blocks_no_rows() {
    check(|bench| {
        for _ in 0..2 {
            let store = bench.store();
            assert_eq!(store.head(), Head::default());
            assert_eq!(read(&*store, 1), []);
            assert_eq!(store.base(), Head::default());
            for space in Space::ALL {
                assert_eq!(all_rows(&*store, space), []);
            }
            for kind in [CheckpointKind::Current, CheckpointKind::Sealed] {
                assert_eq!(store.load_checkpoint(kind).expect("readable"), Checkpoint::default());
            }
            drop(store);
            bench.restart();
        }
    });
}

#[test]
fn what_is_appended_is_read_back_from_any_number() {
    check(|bench| {
        let sizes = [1, 300_000, 0, 6_900, 7_000, 7_100, 64, 20_000];
        let payloads = sizes.iter().zip(0..).map(|(size, seed)| noise(*size, seed));
        let mut blocks = append(&*bench.store(), payloads);
        bench.restart();
        blocks.extend(append(&*bench.store(), [noise(300_000, 9), noise(1, 10)]));
        for _ in 0..2 {
            let store = bench.store();
            assert_eq!(store.head().number, 10);
            assert_eq!(store.head().hash, blocks[9].hash());
            for from in 0..=11_u64 {
                let skipped = usize::try_from(from.max(1) - 1).expect("few");
                assert_eq!(read(&*store, from), blocks[skipped..]);
            }
            drop(store);
            bench.restart();
        }
    });
}

#[test]
fn blocks_that_do_not_continue_the_head_are_a_bug() {
    check(|bench| {
        let store = bench.store();
        append(&*store, [vec![1], vec![2]]);
        let next = chain(store.head(), [vec![3], vec![4]]);
        let gap = vec![Block::new(4, *next[0].previous(), vec![3])];
        let stranger = vec![Block::new(3, [7; 32], vec![3])];
        let torn = vec![next[0].clone(), Block::new(4, [7; 32], vec![4])];
        for wrong in [gap, stranger, torn, next[1..].to_vec()] {
            let appended = std::panic::catch_unwind(AssertUnwindSafe(|| store.append(&wrong, &[])));
            assert!(appended.is_err(), "{wrong:?} was taken");
        }
        assert_eq!(read(&*store, 1).len(), 2);
        store.append(&next, &[]).expect("the store goes on");
    });
}

#[test]
fn a_journal_begins_where_another_was_cut() {
    check(|bench| {
        let base = Head { number: 41, hash: [7; 32] };
        bench.store().begin(base).expect("empty");
        for _ in 0..2 {
            let store = bench.store();
            assert_eq!((store.base(), store.head(), read(&*store, 1)), (base, base, vec![]));
            drop(store);
            bench.restart();
        }
        let blocks = append(&*bench.store(), [vec![1], vec![2]]);
        bench.restart();
        let store = bench.store();
        assert_eq!((blocks[0].number(), read(&*store, 1)), (42, blocks));
        let again = std::panic::catch_unwind(AssertUnwindSafe(|| store.begin(base)));
        assert!(again.is_err(), "it has begun");
    });
}

#[test]
fn ten_thousand_blocks_are_read_in_order() {
    check(|bench| {
        for _ in 0..10 {
            append(&*bench.store(), (0..1_000).map(|seed| noise(50, seed)));
        }
        bench.restart();
        let numbers = bench.store().blocks(1).map(|block| block.expect("whole").number).collect::<Vec<_>>();
        assert!(numbers.into_iter().eq(1..=10_000));
    });
}

#[test]
fn the_oldest_blocks_are_dropped_once_they_are_sealed() {
    check(|bench| {
        let blocks = append(&*bench.store(), (0..20).map(|seed| noise(if seed == 3 { 20_000 } else { 60 }, seed)));
        let store = bench.store();
        let unsealed = std::panic::catch_unwind(AssertUnwindSafe(|| store.drop_blocks(1, 100)));
        assert!(unsealed.is_err(), "nothing is sealed");
        store.save_checkpoint(CheckpointKind::Sealed, 12, &[state(b"a", Some(vec![1]))]).expect("sealed");
        assert_eq!(store.drop_blocks(10, 3).expect("nothing"), 0, "a recovery would need them");
        store.save_checkpoint(CheckpointKind::Current, 20, &[]).expect("saved");
        assert_eq!(store.drop_blocks(10, 3).expect("dropped"), 3);
        assert_eq!(store.drop_blocks(10, 100).expect("dropped"), 7);
        assert_eq!(store.drop_blocks(10, 100).expect("nothing is left to drop"), 0);
        append(&*store, [vec![1]]);
        drop(store);
        for _ in 0..2 {
            let store = bench.store();
            assert_eq!(store.base(), Head { number: 10, hash: blocks[9].hash() });
            assert_eq!(store.head().number, 21);
            for from in [0, 1, 10, 11] {
                assert_eq!(read(&*store, from)[..10], blocks[10..], "from {from}");
            }
            assert_eq!(read(&*store, 12)[..9], blocks[11..]);
            drop(store);
            bench.restart();
        }
        let store = bench.store();
        for kind in [CheckpointKind::Sealed, CheckpointKind::Current] {
            store.save_checkpoint(kind, 21, &[]).expect("saved");
        }
        assert_eq!(store.drop_blocks(21, 100).expect("all of them"), 11);
        append(&*store, [vec![2]]);
        drop(store);
        bench.restart();
        let store = bench.store();
        assert_eq!((store.base().number, store.head().number, read(&*store, 1).len()), (21, 22, 1));
    });
}

#[test]
fn any_thread_reads_while_one_appends() {
    check(|bench| {
        let store = bench.store();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // One does little else than to look at the head, so that it sees each block as early as can be.
            for whole in [true, false] {
                let (store, done) = (&*store, &done);
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(Ordering::Acquire) {
                        let known = store.head().number;
                        assert!(known >= last);
                        if whole {
                            assert!(u64::try_from(read(store, 1).len()).expect("few") >= known);
                        }
                        if known > last {
                            let rows = store.rows(Space::Ledger, &known.to_be_bytes(), None, 9).expect("readable");
                            assert_eq!(rows.len(), 1, "a row of block {known} is missing");
                        }
                        last = known;
                    }
                });
            }
            for number in 1..=60_u64 {
                let blocks = chain(store.head(), [noise(10_000, number)]);
                store.append(&blocks, &[row(Space::Ledger, &number.to_be_bytes(), b"x")]).expect("appended");
            }
            done.store(true, Ordering::Release);
        });
    });
}

#[test]
fn a_recovery_changes_nothing_where_nothing_is_uncertain() {
    check(|bench| {
        let store = bench.store();
        let blocks = append(&*store, [vec![1], vec![2]]);
        store.append(&[], &[]).expect("nothing is a change, too");
        assert_eq!(store.recover().expect("recovered"), store.head());
        append(&*store, [vec![3]]);
        assert_eq!((store.head().number, &read(&*store, 1)[..2]), (3, &blocks[..]));
    });
}

#[test]
fn a_closed_store_does_nothing_more() {
    check(|bench| {
        let store = bench.store();
        let blocks = append(&*store, [vec![1]]);
        store.close().expect("closed");
        assert!(store.append(&chain(store.head(), [vec![2]]), &[]).is_err());
        assert!(store.blocks(1).next().is_some_and(|block| block.is_err()));
        for kind in [CheckpointKind::Current, CheckpointKind::Sealed] {
            assert!(store.load_checkpoint(kind).is_err() && store.save_checkpoint(kind, 0, &[]).is_err());
        }
        assert!(store.rows(Space::Ledger, &[], None, 1).is_err() && store.forget(Space::Ledger, &[1], 1).is_err());
        assert!(store.recover().is_err());
        assert_eq!(store.head().number, 1);
        if bench.survives() {
            drop(store);
            bench.restart();
            assert_eq!(read(&*bench.store(), 1), blocks);
        }
    });
}
