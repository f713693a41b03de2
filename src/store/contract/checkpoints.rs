//! Checkpoints of both kinds, which know nothing of each other.

use std::collections::BTreeMap;

use crate::store::contract::*;

/// Runs a part of the contract on both kinds of every store; the other kind stays as it is.
fn check_kinds(part: impl Fn(&mut Bench, CheckpointKind)) {
    let kinds = [CheckpointKind::Current, CheckpointKind::Sealed];
    for (kind, other) in kinds.into_iter().zip(kinds.into_iter().rev()) {
        check(|bench| {
            bench.store().save_checkpoint(other, 0, &[state(b"a", Some(b"other".to_vec()))]).expect("saved");
            part(bench, kind);
            let untouched = bench.store().load_checkpoint(other).expect("whole");
            assert_eq!(untouched.rows, [(b"a".to_vec(), b"other".to_vec())]);
        });
    }
}

#[test]
fn checkpoint_rows_are_saved_replaced_shrunk_and_removed() {
    check_kinds(|bench, kind| {
        append(&*bench.store(), (0..9).map(|byte| vec![byte]));
        // Keys that are prefixes of each other and hold the bytes by which a store might mark ends.
        let keys: [&[u8]; 7] = [b"a", b"a\0", b"a\0\0", b"a\0\x01", b"a\0\xff", b"aa", &[0xff; 1_024]];
        let mut expected = BTreeMap::new();
        for (block, length) in [(1, 100_001), (3, 14_000), (5, 0), (6, 7_000), (9, 250_000)] {
            let rows: Vec<_> = keys
                .iter()
                .zip(0..)
                .map(|(key, seed)| state(key, Some(noise(length + 7 * usize::from(seed == 3), seed))))
                .collect();
            expected.extend(rows.iter().cloned().map(|row| (row.key, row.value.expect("a value"))));
            bench.store().save_checkpoint(kind, block, &rows).expect("saved");
            bench.restart();
            let loaded = bench.store().load_checkpoint(kind).expect("whole");
            assert_eq!(loaded.block, block);
            assert!(loaded.rows.into_iter().eq(expected.clone()), "rows of {length} bytes differ");
        }
        for key in keys {
            bench.store().save_checkpoint(kind, 9, &[state(key, None), state(b"never there", None)]).expect("removed");
            expected.remove(key);
            assert!(bench.store().load_checkpoint(kind).expect("whole").rows.into_iter().eq(expected.clone()));
        }
    });
}

#[test]
fn the_last_of_several_values_of_one_row_counts() {
    check_kinds(|bench, kind| {
        let rows = [state(b"a", Some(noise(9_000, 1))), state(b"a", None), state(b"a", Some(vec![2]))];
        bench.store().save_checkpoint(kind, 0, &rows).expect("saved");
        bench.restart();
        let loaded = bench.store().load_checkpoint(kind).expect("whole");
        assert_eq!(loaded.rows, [(b"a".to_vec(), vec![2])]);
    });
}
