//! Rows beside the journal: changed with blocks, read by prefix, forgotten from the lowest key on.

use std::panic::AssertUnwindSafe;

use crate::store::contract::*;

/// A key that begins with a number, as those of decisions do.
fn key(number: u64, detail: u8) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[detail; 3]].concat()
}

#[test]
fn rows_are_replaced_removed_ordered_and_kept_apart() {
    check(|bench| {
        let changes = [row(Space::Ledger, &key(5, 2), b"second"), row(Space::Ledger, &key(5, 1), b"first")];
        bench.store().append(&[], &changes).expect("rows alone");
        let changes = [
            row(Space::Ledger, &key(5, 2), b"new"),
            row(Space::Ledger, &key(4, 1), b"before"),
            row(Space::Ledger, &key(6, 0), b"after"),
            row(Space::Ledger, &key(7, 0), b"gone"),
            Row { value: None, ..row(Space::Ledger, &key(7, 0), b"") },
            Row { value: None, ..row(Space::Ledger, b"never there", b"") },
            row(Space::Assignment, &key(5, 1), b"another space"),
        ];
        bench.store().append(&chain(Head::default(), [vec![1]]), &changes).expect("rows and blocks");
        for _ in 0..2 {
            let store = bench.store();
            let ledger = |prefix: &[u8], after: Option<&[u8]>, limit| {
                let rows = store.rows(Space::Ledger, prefix, after, limit).expect("readable");
                rows.into_iter().map(|(_, value)| String::from_utf8(value).expect("text")).collect::<Vec<_>>()
            };
            assert_eq!(ledger(&5_u64.to_be_bytes(), None, 9), ["first", "new"]);
            assert_eq!(ledger(&5_u64.to_be_bytes(), None, 1), ["first"]);
            assert_eq!(ledger(&5_u64.to_be_bytes(), Some(&key(5, 1)), 9), ["new"]);
            assert_eq!(ledger(&5_u64.to_be_bytes(), Some(&key(4, 1)), 9), ["first", "new"]);
            assert_eq!(ledger(&5_u64.to_be_bytes(), Some(&key(6, 0)), 9), [""; 0]);
            assert_eq!(ledger(&[], None, 9), ["before", "first", "new", "after"]);
            assert_eq!(ledger(&[], Some(&key(5, 2)), 9), ["after"]);
            assert_eq!(ledger(&key(5, 2), None, 9), ["new"]);
            assert_eq!(ledger(&7_u64.to_be_bytes(), None, 9), [""; 0]);
            assert_eq!(all_rows(&*store, Space::Assignment), [(key(5, 1), b"another space".to_vec())]);
            assert_eq!(all_rows(&*store, Space::Companion), []);
            drop(store);
            bench.restart();
        }
    });
}

#[test]
fn a_key_finds_its_place_among_the_rows_of_its_space() {
    check(|bench| {
        let changes = [10, 20, 30].map(|number| row(Space::LedgerPage, &key(number, 1), &[1]));
        // Spaces before and after it in a store's own order must not be looked into.
        let strangers = Space::ALL.into_iter().filter(|space| *space != Space::LedgerPage);
        let strangers: Vec<_> = strangers.map(|space| row(space, &key(15, 0), b"stranger")).collect();
        bench.store().append(&[], &[&changes[..], &strangers].concat()).expect("rows");
        bench.restart();
        let store = bench.store();
        let place = |at: &[u8]| {
            let Place { row, next } = store.place(Space::LedgerPage, at).expect("readable");
            (row.map(|(key, _)| key), next)
        };
        assert_eq!(place(&key(5, 0)), (None, Some(key(10, 1))));
        assert_eq!(place(&key(10, 1)), (Some(key(10, 1)), Some(key(20, 1))));
        assert_eq!(place(&key(10, 2)), (Some(key(10, 1)), Some(key(20, 1))));
        assert_eq!(place(&key(20, 0)), (Some(key(10, 1)), Some(key(20, 1))));
        assert_eq!(place(&[u8::MAX; 12]), (Some(key(30, 1)), None));
        store.append(&[], &[Row { value: None, ..row(Space::LedgerPage, &key(20, 1), b"") }]).expect("removed");
        assert_eq!(place(&key(20, 1)), (Some(key(10, 1)), Some(key(30, 1))));
        store.forget(Space::LedgerPage, &[u8::MAX; 12], 9).expect("forgotten");
        assert_eq!(place(&key(20, 1)), (None, None));
    });
}

#[test]
fn the_longest_rows_stay_out_of_blobs_and_longer_ones_are_a_bug() {
    check(|bench| {
        let key = |id: u8| [id; MAX_KEY_BYTES];
        let rows: Vec<_> =
            (0..60).map(|id| row(Space::Companion, &key(id), &noise(MAX_VALUE_BYTES, u64::from(id)))).collect();
        bench.store().append(&[], &rows).expect("sixty long rows");
        bench.restart();
        let store = bench.store();
        let found = store.rows(Space::Companion, &key(59), None, 2).expect("readable");
        assert_eq!(found, [(key(59).to_vec(), noise(MAX_VALUE_BYTES, 59))]);
        for wrong in
            [row(Space::Ledger, &[1; MAX_KEY_BYTES + 1], b""), row(Space::Ledger, b"a", &[1; MAX_VALUE_BYTES + 1])]
        {
            assert!(std::panic::catch_unwind(AssertUnwindSafe(|| store.append(&[], &[wrong]))).is_err());
        }
    });
}

#[test]
fn the_lowest_rows_are_forgotten_first() {
    check(|bench| {
        for space in Space::ALL {
            let rows: Vec<_> = (0..10).map(|number| row(space, &key(number, 0), b"x")).collect();
            bench.store().append(&[], &rows).expect("rows");
        }
        let store = bench.store();
        assert_eq!(store.forget(Space::Ledger, &4_u64.to_be_bytes(), 3).expect("forgotten"), 3);
        assert_eq!(all_rows(&*store, Space::Ledger)[0].0, key(3, 0));
        assert_eq!(store.forget(Space::Ledger, &4_u64.to_be_bytes(), 100).expect("forgotten"), 1);
        assert_eq!(store.forget(Space::Ledger, &4_u64.to_be_bytes(), 100).expect("nothing is left"), 0);
        append(&*store, [vec![1]]);
        drop(store);
        bench.restart();
        let lengths = Space::ALL.map(|space| all_rows(&*bench.store(), space).len());
        assert_eq!(lengths, [6, 10, 10, 10, 10, 10, 10]);
        assert_eq!(bench.store().forget(Space::Ledger, &[u8::MAX; 9], 100).expect("all"), 6);
    });
}
