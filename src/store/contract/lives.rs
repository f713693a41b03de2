//! Random lives: whatever happens in whatever order, every store looks alike.

use proptest::prelude::*;

use crate::store::contract::*;

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Append { sizes: Vec<usize>, rows: Vec<(u8, Option<u8>)> },
    Forget { space: usize, below: u8, limit: usize },
    Drop { behind: u64, limit: usize },
    Save { sealed: bool, behind: u64, rows: Vec<(u8, Option<usize>)> },
    Tidy,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0_usize..200, 6_900_usize..7_100, 0_usize..40_000];
    let rows = proptest::collection::vec((0_u8..40, proptest::option::of(any::<u8>())), 0..6);
    let saved = proptest::collection::vec((0_u8..8, proptest::option::of(size.clone())), 0..5);
    prop_oneof![
        4 => (proptest::collection::vec(size, 0..4), rows).prop_map(|(sizes, rows)| Step::Append { sizes, rows }),
        1 => (0_usize..6, 0_u8..45, 0_usize..8).prop_map(|(space, below, limit)| Step::Forget { space, below, limit }),
        1 => (0_u64..4, 0_usize..4).prop_map(|(behind, limit)| Step::Drop { behind, limit }),
        2 => (any::<bool>(), 0_u64..4, saved).prop_map(|(sealed, behind, rows)| Step::Save { sealed, behind, rows }),
        1 => Just(Step::Tidy),
        1 => Just(Step::Restart),
    ]
}

type Observed = ([Head; 2], Vec<Block>, [Rows; 7], [Checkpoint; 2]);

fn observed(store: &dyn Store) -> Observed {
    let checkpoints = [CheckpointKind::Current, CheckpointKind::Sealed];
    let rows = Space::ALL.map(|space| all_rows(store, space));
    (
        [store.base(), store.head()],
        read(store, 1),
        rows,
        checkpoints.map(|kind| store.load_checkpoint(kind).expect("whole")),
    )
}

fn take(store: &dyn Store, step: &Step, seed: u64) -> usize {
    match step {
        Step::Append { sizes, rows } => {
            let blocks = chain(store.head(), sizes.iter().map(|size| noise(*size, seed)));
            let row = |(number, value): &(u8, Option<u8>)| Row {
                space: Space::ALL[usize::from(number % 7)],
                key: vec![*number / 2, *number],
                value: value.map(|value| vec![value]),
            };
            store.append(&blocks, &rows.iter().map(row).collect::<Vec<_>>()).expect("appended");
            0
        }
        Step::Forget { space, below, limit } => {
            store.forget(Space::ALL[*space], &[*below / 2, *below], *limit).expect("forgotten")
        }
        Step::Drop { behind, limit } => {
            let sealed = store.load_checkpoint(CheckpointKind::Sealed).expect("whole").block;
            store.drop_blocks(sealed.saturating_sub(*behind), *limit).expect("dropped")
        }
        Step::Save { sealed, behind, rows } => {
            let kind = if *sealed { CheckpointKind::Sealed } else { CheckpointKind::Current };
            let row =
                |(key, size): &(u8, Option<usize>)| state(&[b'k', *key % 2, *key], size.map(|size| noise(size, seed)));
            let rows: Vec<_> = rows.iter().map(row).collect();
            store.save_checkpoint(kind, store.head().number.saturating_sub(*behind), &rows).expect("saved");
            0
        }
        // What it does is not to be seen.
        Step::Tidy => store.tidy().map(|_| 0).expect("done"),
        Step::Restart => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn all_stores_look_alike_after_any_life(steps in proptest::collection::vec(step(), 1..25)) {
        let mut benches = KINDS.map(Bench::new);
        for (step, seed) in steps.iter().zip(0..) {
            let taken = benches.each_ref().map(|bench| take(&*bench.store(), step, seed));
            if matches!(step, Step::Restart) {
                benches.iter_mut().for_each(Bench::restart);
            }
            let [memory, others @ ..] = benches.each_ref().map(|bench| observed(&*bench.store()));
            for (other, kind) in others.iter().zip(&KINDS[1..]) {
                prop_assert_eq!(&memory, other, "{:?}", kind);
            }
            prop_assert_eq!(taken, [taken[0]; KINDS.len()]);
        }
    }
}
