//! What the store costs: encoding an exposure, a durable append as the committer does it, a look in a full ledger. Each
//! append stands beside a bare write and fdatasync of as many bytes, so that a figure says something on any disk.

use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mabel::domain::{AllocationId, DecisionId, ExperimentKey, SegmentKey, Slot, Timestamp};
use mabel::engine::event::{DecisionRecord, Event, Exposed};
use mabel::store::{Block, DiskOptions, Head, Location, Row, Space, Store, record};

/// Payloads are cut into blocks once they are this long: blocks of 4 to 8 kB.
const BLOCK_BYTES: usize = 4_096;

fn exposure(number: u64) -> Event {
    Event::Exposed(Exposed {
        record: DecisionRecord {
            experiment: ExperimentKey::new("hero").expect("allowed"),
            epoch: 1,
            definition: 3,
            segment: SegmentKey::new("device=mobile|country=FR"),
            variation: Slot(1),
            allocation: AllocationId(0x0123_4567_89ab_cdef),
            propensity: 0.6134,
            control: false,
            decision: decision(number),
            features: mabel::domain::Features::new(),
        },
        excluded: Box::default(),
    })
}

/// Ids as they come: one a millisecond, with a tail that looks random.
fn decision(number: u64) -> DecisionId {
    let tail = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 16;
    DecisionId::new(Timestamp::from_millis(1_800_000_000_000 + number), tail)
}

fn blocks(head: Head, events: &[Event]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut head, mut payload) = (head, Vec::new());
    for (index, event) in events.iter().enumerate() {
        record::encode_event(event, &mut record::Before::default(), &mut payload);
        if payload.len() >= BLOCK_BYTES || index + 1 == events.len() {
            let block = Block::after(head, std::mem::take(&mut payload));
            head = block.head();
            blocks.push(block);
        }
    }
    blocks
}

/// The stores on disk, as they stand before a directory to name it.
const STORES: [&str; 2] = ["sled", "redb"];

fn open(database: &str, directory: &Path) -> Arc<dyn Store> {
    let options = DiskOptions { cache_bytes: 512 << 20, ..DiskOptions::default() };
    let location = format!("{database}:{}", directory.display());
    mabel::store::open(&Location::from(location.as_str()), options).expect("it opens")
}

fn encode(criterion: &mut Criterion) {
    let event = exposure(1);
    let mut into = Vec::with_capacity(1 << 20);
    criterion.bench_function("encode an exposure", |bencher| {
        bencher.iter(|| {
            if into.len() > 1 << 19 {
                into.clear();
            }
            record::encode_event(black_box(&event), &mut record::Before::default(), &mut into);
        });
    });
    let mut payload = Vec::new();
    record::encode_event(&event, &mut record::Before::default(), &mut payload);
    criterion.bench_function("decode an exposure", |bencher| {
        bencher.iter(|| record::decode_events(black_box(&payload)).next());
    });
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("durable");
    group.sample_size(20);
    for count in [1_u64, 100, 2_000] {
        let events: Vec<Event> = (0..count).map(exposure).collect();
        let bytes: Vec<u8> =
            blocks(Head::default(), &events).into_iter().flat_map(|block| block.payload().to_vec()).collect();
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = std::fs::File::create(directory.path().join("bare")).expect("a file");
        // Into room that is there already, as sled mostly does: growing a file costs a sync of its length as well.
        let room = 64 << 20;
        file.write_all(&vec![1; room]).expect("written");
        file.sync_all().expect("synced");
        let mut at = room;
        group.bench_function(format!("bare write and fdatasync, {count} events"), |bencher| {
            bencher.iter(|| {
                if at + bytes.len() > room {
                    at = 0;
                    file.seek(SeekFrom::Start(0)).expect("moved");
                }
                at += bytes.len();
                file.write_all(&bytes).expect("written");
                file.sync_data().expect("synced");
            });
        });
        for name in STORES {
            let store = open(name, &directory.path().join(name));
            group.bench_function(format!("encode and append to {name}, {count} events"), |bencher| {
                bencher.iter(|| store.append(&blocks(store.head(), &events), &[]).expect("appended"));
            });
            store.close().expect("closed");
        }
    }
    group.finish();
}

fn ledger(criterion: &mut Criterion) {
    STORES.iter().for_each(|name| full_ledger(criterion, name));
}

fn full_ledger(criterion: &mut Criterion, name: &str) {
    const ENTRIES: u64 = 1_000_000;
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(name, directory.path());
    let row = |number| {
        let key = [decision(number).to_bytes(), [7; 16]].concat();
        Row { space: Space::Ledger, key, value: Some(vec![1; 24]) }
    };
    let look = |decision: DecisionId| store.rows(Space::Ledger, &decision.to_bytes(), None, 64).expect("readable");
    for start in (0..ENTRIES).step_by(2_000) {
        let rows: Vec<_> = (start..start + 2_000).map(row).collect();
        store.append(&[], &rows).expect("appended");
    }
    let mut number = 0_u64;
    criterion.bench_function(&format!("ledger look-up among 1,000,000 in {name}"), |bencher| {
        bencher.iter_batched(
            || {
                number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
                decision(number % ENTRIES)
            },
            look,
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function(&format!("ledger look-up of a stranger among 1,000,000 in {name}"), |bencher| {
        bencher.iter(|| look(decision(ENTRIES + 5)));
    });
    store.close().expect("closed");
}

criterion_group!(benches, encode, append, ledger);
criterion_main!(benches);
