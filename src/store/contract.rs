//! The contract of [`Store`], run on every store. A store that can be restarted is restarted wherever a promise must
//! survive that.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::{DecisionId, Span, Timestamp};
use crate::store::disk::{DiskOptions, DiskStore};
use crate::store::memory::MemoryStore;
use crate::store::*;
use proptest::prelude::*;

/// A store and what it takes to restart it.
pub(super) struct Bench {
    store: Option<Arc<dyn Store>>,
    directory: Option<tempfile::TempDir>,
}

impl Bench {
    fn memory() -> Self {
        Self { store: Some(Arc::new(MemoryStore::new())), directory: None }
    }

    fn disk() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let mut bench = Self { store: None, directory: Some(directory) };
        bench.restart();
        bench
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("the store is open"))
    }

    /// Closes and opens again, as a new process would. Memory does not survive that and is left alone.
    fn restart(&mut self) {
        let Some(directory) = &self.directory else { return };
        if let Some(store) = self.store.take() {
            store.close().expect("it closes");
        }
        let opened = DiskStore::open(directory.path(), DiskOptions::default()).expect("it opens again");
        assert_eq!(opened.notes, Vec::<String>::new());
        self.store = Some(Arc::new(opened.store));
    }
}

/// Runs a part of the contract on every store.
fn check(part: impl Fn(&mut Bench)) {
    part(&mut Bench::memory());
    let mut disk = Bench::disk();
    part(&mut disk);
    let blobs = disk.directory.as_ref().expect("on disk").path().join("sled/blobs");
    assert_eq!(std::fs::read_dir(blobs).expect("sled's directory").count(), 0, "pages that are never synced");
}

/// Blocks with these payloads that continue the head.
pub(super) fn chain(head: Head, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Block> {
    let mut head = head;
    let block = |payload| {
        let block = Block { number: head.number + 1, previous: head.hash, payload };
        head = Head { number: block.number, hash: block.hash() };
        block
    };
    payloads.into_iter().map(block).collect()
}

pub(super) fn append(store: &dyn Store, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<Block> {
    let blocks = chain(store.head(), payloads);
    store.append(&blocks, &[]).expect("it appends");
    blocks
}

pub(super) fn read(store: &dyn Store, from: u64) -> Vec<Block> {
    store.blocks(from).collect::<Result<_, _>>().expect("every block is whole")
}

/// Bytes that do not compress or repeat.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn row(decision: u128, detail: u8, value: &[u8]) -> LedgerRow {
    LedgerRow { decision: DecisionId(decision), detail: [detail; 16], value: value.to_vec() }
}

fn state(key: &[u8], value: Option<Vec<u8>>) -> StateRow {
    StateRow { key: key.to_vec(), value }
}

#[test]
fn an_empty_store_has_no_head_no_blocks_no_rows() {
    check(|bench| {
        for _ in 0..2 {
            let store = bench.store();
            assert_eq!(store.head(), Head::default());
            assert_eq!(read(&*store, 1), []);
            assert_eq!(store.ledger(DecisionId(0)).expect("readable"), []);
            assert_eq!(store.load_checkpoint().expect("readable"), Checkpoint::default());
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
        let gap = vec![Block { number: 4, ..next[0].clone() }];
        let stranger = vec![Block { previous: [7; 32], ..next[0].clone() }];
        let torn = vec![next[0].clone(), Block { previous: [7; 32], ..next[1].clone() }];
        for wrong in [gap, stranger, torn, next[1..].to_vec()] {
            let appended = std::panic::catch_unwind(AssertUnwindSafe(|| store.append(&wrong, &[])));
            assert!(appended.is_err(), "{wrong:?} was taken");
        }
        assert_eq!(read(&*store, 1).len(), 2);
        store.append(&next, &[]).expect("the store goes on");
    });
}

#[test]
fn ledger_rows_are_replaced_ordered_and_kept_apart() {
    check(|bench| {
        let id = 0x0123_4567_89ab_ffff_ffff_ffff_ffff_ff00_u128;
        let rows = [row(id, 2, b"second"), row(id, 1, b"first"), row(id - 1, 1, b"before"), row(id + 1, 0, b"after")];
        bench.store().append(&[], &rows).expect("rows alone");
        bench.store().append(&chain(Head::default(), [vec![1]]), &[row(id, 2, b"new")]).expect("rows and blocks");
        for _ in 0..2 {
            let store = bench.store();
            let expected = [row(id, 1, b"first"), row(id, 2, b"new")];
            assert_eq!(store.ledger(DecisionId(id)).expect("readable"), expected);
            assert_eq!(store.ledger(DecisionId(id - 1)).expect("readable"), [row(id - 1, 1, b"before")]);
            assert_eq!(store.ledger(DecisionId(id + 1)).expect("readable"), [row(id + 1, 0, b"after")]);
            assert_eq!(store.ledger(DecisionId(id + 2)).expect("readable"), []);
            drop(store);
            bench.restart();
        }
    });
}

#[test]
fn the_longest_ledger_rows_stay_out_of_blobs() {
    check(|bench| {
        let rows: Vec<_> =
            (0..60).map(|id| row(id, 0, &noise(MAX_VALUE_BYTES, u64::try_from(id).expect("small")))).collect();
        bench.store().append(&[], &rows).expect("sixty long rows");
        bench.restart();
        assert_eq!(bench.store().ledger(DecisionId(59)).expect("readable"), rows[59..]);
    });
}

#[test]
fn the_oldest_decisions_are_forgotten_first() {
    check(|bench| {
        let at = |seconds: u64| Timestamp::ZERO + Span::SECOND.times(seconds);
        let id = |seconds: u64| DecisionId::new(at(seconds), 5).0;
        let rows: Vec<_> = (0..10).map(|seconds| row(id(seconds), 0, b"x")).collect();
        bench.store().append(&[], &rows).expect("rows");
        let left = |store: &dyn Store| {
            (0..10).filter(|seconds| !store.ledger(DecisionId(id(*seconds))).expect("readable").is_empty()).count()
        };
        let store = bench.store();
        assert_eq!(store.forget_ledger(at(4), 3).expect("forgotten"), 3);
        assert_eq!(left(&*store), 7);
        assert_eq!(store.forget_ledger(at(4), 100).expect("forgotten"), 1);
        assert_eq!(store.forget_ledger(at(4), 100).expect("nothing is left"), 0);
        assert_eq!(left(&*store), 6);
        append(&*store, [vec![1]]);
        drop(store);
        bench.restart();
        assert_eq!(left(&*bench.store()), 6);
        assert_eq!(bench.store().forget_ledger(Timestamp::from_millis(u64::MAX), 100).expect("all"), 6);
    });
}

#[test]
fn checkpoint_rows_are_saved_replaced_shrunk_and_removed() {
    check(|bench| {
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
            bench.store().save_checkpoint(block, &rows).expect("saved");
            bench.restart();
            let loaded = bench.store().load_checkpoint().expect("whole");
            assert_eq!(loaded.block, block);
            assert!(loaded.rows.into_iter().eq(expected.clone()), "rows of {length} bytes differ");
        }
        for key in keys {
            bench.store().save_checkpoint(9, &[state(key, None), state(b"never there", None)]).expect("removed");
            expected.remove(key);
            assert!(bench.store().load_checkpoint().expect("whole").rows.into_iter().eq(expected.clone()));
        }
    });
}

#[test]
fn the_last_of_several_values_of_one_row_counts() {
    check(|bench| {
        let rows = [state(b"a", Some(noise(9_000, 1))), state(b"a", None), state(b"a", Some(vec![2]))];
        bench.store().save_checkpoint(0, &rows).expect("saved");
        bench.restart();
        let loaded = bench.store().load_checkpoint().expect("whole");
        assert_eq!(loaded.rows, [(b"a".to_vec(), vec![2])]);
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
fn any_thread_reads_while_one_appends() {
    check(|bench| {
        let store = bench.store();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Acquire) {
                        let known = store.head().number;
                        assert!(known >= last);
                        last = known;
                        assert!(u64::try_from(read(&*store, 1).len()).expect("few") >= known);
                        if known > 0 {
                            let rows = store.ledger(DecisionId(u128::from(known))).expect("readable");
                            assert_eq!(rows.len(), 1, "a row of block {known} is missing");
                        }
                    }
                });
            }
            for number in 1..=60_u64 {
                let blocks = chain(store.head(), [noise(10_000, number)]);
                store.append(&blocks, &[row(u128::from(number), 0, b"x")]).expect("appended");
            }
            done.store(true, Ordering::Release);
        });
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
        assert!(store.ledger(DecisionId(1)).is_err() && store.load_checkpoint().is_err());
        assert!(store.save_checkpoint(0, &[]).is_err() && store.forget_ledger(Timestamp::ZERO, 1).is_err());
        assert_eq!(store.head().number, 1);
        if bench.directory.is_some() {
            drop(store);
            bench.restart();
            assert_eq!(read(&*bench.store(), 1), blocks);
        }
    });
}

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Append { sizes: Vec<usize>, ledger: Vec<(u8, u8, u8)> },
    Forget { before: u8, limit: usize },
    Save { behind: u64, rows: Vec<(u8, Option<usize>)> },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0_usize..200, 6_900_usize..7_100, 0_usize..40_000];
    let ledger = proptest::collection::vec((0_u8..20, 0_u8..3, any::<u8>()), 0..6);
    let row = (0_u8..8, proptest::option::of(size.clone()));
    prop_oneof![
        4 => (proptest::collection::vec(size, 0..4), ledger).prop_map(|(sizes, ledger)| Step::Append { sizes, ledger }),
        1 => (0_u8..25, 0_usize..8).prop_map(|(before, limit)| Step::Forget { before, limit }),
        2 => (0_u64..4, proptest::collection::vec(row, 0..5)).prop_map(|(behind, rows)| Step::Save { behind, rows }),
        1 => Just(Step::Restart),
    ]
}

/// Decisions `0..20` of the random life, two to a millisecond.
fn decision(number: u8) -> DecisionId {
    DecisionId::new(Timestamp::from_millis(u64::from(number / 2)), u128::from(number))
}

type Observed = (Head, Vec<Block>, Vec<Vec<LedgerRow>>, Checkpoint);

fn observed(store: &dyn Store) -> Observed {
    let ledger = (0..20).map(|number| store.ledger(decision(number)).expect("readable")).collect();
    (store.head(), read(store, 1), ledger, store.load_checkpoint().expect("whole"))
}

fn take(store: &dyn Store, step: &Step, seed: u64) -> usize {
    match step {
        Step::Append { sizes, ledger } => {
            let blocks = chain(store.head(), sizes.iter().map(|size| noise(*size, seed)));
            let row = |(id, detail, value): &(u8, u8, u8)| LedgerRow {
                decision: decision(*id),
                detail: [*detail; 16],
                value: vec![*value],
            };
            store.append(&blocks, &ledger.iter().map(row).collect::<Vec<_>>()).expect("appended");
            0
        }
        Step::Forget { before, limit } => {
            store.forget_ledger(Timestamp::from_millis(u64::from(*before)), *limit).expect("forgotten")
        }
        Step::Save { behind, rows } => {
            let row =
                |(key, size): &(u8, Option<usize>)| state(&[b'k', *key % 2, *key], size.map(|size| noise(size, seed)));
            let rows: Vec<_> = rows.iter().map(row).collect();
            store.save_checkpoint(store.head().number.saturating_sub(*behind), &rows).expect("saved");
            0
        }
        Step::Restart => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn all_stores_look_alike_after_any_life(steps in proptest::collection::vec(step(), 1..25)) {
        let (memory, mut disk) = (Bench::memory(), Bench::disk());
        for (step, seed) in steps.iter().zip(0..) {
            prop_assert_eq!(take(&*memory.store(), step, seed), take(&*disk.store(), step, seed));
            if matches!(step, Step::Restart) {
                disk.restart();
            }
            prop_assert_eq!(observed(&*memory.store()), observed(&*disk.store()));
        }
    }
}
