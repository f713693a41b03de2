//! How fast rewards are acknowledged once they are on disk, through the real service; beside it what the file system does
//! with a bare file. A program that `scripts/group-commit` runs part by part; each part prints one line of JSON.
//!
//! `cargo bench --bench commit -- PART STORE DIRECTORY COUNT`: the parts are the arms of `main`, the stores `sled` and `redb`.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mabel::domain::{
    Aggregation, AllocationId, AttributeName, Context, DecisionId, ExperimentKey, Features, GoalKey, RewardId,
    SegmentKey, Slot, Span, Timestamp, VariationKey,
};
use mabel::engine::definition::{Definition, Goal, PolicyChoice, Role, Segments, Status, Variation};
use mabel::engine::event::{DecisionRecord, Event, Rewarded};
use mabel::engine::ledger::{Fact, LedgerEntry, Outcome, Position, RewardFact, Standing};
use mabel::engine::reward::{Action, Reward};
use mabel::engine::secret::Secret;
use mabel::policy::{Parameters, with_defaults};
use mabel::service::clock::{Clock as _, SystemClock};
use mabel::service::decide::Query;
use mabel::service::ledger::Ledger;
use mabel::service::reward::Subject;
use mabel::service::{Options, Service};
use mabel::store::{DiskOptions, Location, Store, record};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that send rewards, each a list at a time, and wait for the whole list.
const WRITERS: usize = 64;
/// Rewards of one list. `POST /v1/reward` takes up to 1,000.
const LIST: usize = 500;
/// Rewards of one batch of the bare file: what one commit takes at most.
const BATCH: usize = 4_096;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no count"));
    match arguments[..] {
        ["raw", directory, count] => raw(Path::new(directory), number(count)),
        ["burst", store, directory, count] => burst(store, directory, number(count), LIST),
        ["killed", store, directory, count] => {
            // As a kill leaves it: nothing is stopped in order.
            let _left_open = burst_on(store, directory, number(count), LIST);
            std::process::abort();
        }
        ["singles", store, directory, count] => burst(store, directory, number(count), 1),
        ["lone", store, directory, count] => lone(store, directory, number(count)),
        ["fill", store, directory, count] => fill(store, directory, number(count)),
        ["open", store, directory] => open_again(store, directory),
        _ => panic!("give PART STORE DIRECTORY COUNT, see the source"),
    }
}

fn open(store: &str, directory: &str) -> Arc<dyn Store> {
    let location = if directory == "memory" { directory.to_owned() } else { format!("{store}:{directory}") };
    mabel::store::open(&Location::from(location.as_str()), DiskOptions::default()).expect("it opens")
}

fn service(store: Arc<dyn Store>) -> Service {
    let seed = SystemClock.now().as_millis();
    Service::start(store, Secret::new([7; 32]), seed, Arc::new(SystemClock), Options::default()).expect("it starts")
}

fn save(service: &Service) {
    let variation = |index| {
        let key = VariationKey::new(&format!("variation-{index}")).expect("a key");
        Variation::new(key, r#"{"headline":"Welcome"}"#)
    };
    let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
    let parameters = with_defaults("thompson", &Parameters::new(), 10).expect("defaults");
    let policy = PolicyChoice { floor: 0.01, ..PolicyChoice::new("thompson", parameters) };
    let by = ["device", "country"].map(|name| AttributeName::new(name).expect("a name"));
    let definition = Definition {
        segments: Segments::By(by.to_vec()),
        ..Definition::new(
            ExperimentKey::new("hero").expect("a key"),
            (0..10).map(variation).collect(),
            vec![goal],
            policy,
        )
    };
    run(service.save(definition, Status::Running)).expect("saved");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Fresh receipts, in order of time; all of their exposures are on disk when it returns.
fn receipts(service: &Service, count: usize) -> Vec<String> {
    let countries = ["FR", "DE", "IT", "ES", "PL"];
    let mut receipts = Vec::with_capacity(count);
    while receipts.len() < count {
        let device = if receipts.len().is_multiple_of(3) { "mobile" } else { "desktop" };
        let country = countries[receipts.len() % countries.len()];
        let context = Context::from([("device", device.into()), ("country", country.into())]);
        let query = Query::new("hero", Some("v-8f2c"), &context);
        match service.decide_now(&query).expect("there is an experiment").answer.receipt.clone() {
            Some(receipt) => receipts.push(receipt),
            // The queue is full: exposures wait for nobody, and so nobody slows them down.
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    // A definition is acknowledged after all that was queued before it.
    run(service.set_status("hero", Status::Paused)).expect("paused");
    run(service.set_status("hero", Status::Running)).expect("running");
    receipts
}

const REWARD: Reward<'_> =
    Reward { action: Action::Reward, goal: None, value: None, currency: None, reward_id: None, occurred_at: None };

/// Sends a list and waits until every reward of it is on disk.
fn send(service: &Service, list: &[String]) {
    let rewards: Vec<_> = list.iter().map(|receipt| (Subject::Receipt(receipt), REWARD)).collect();
    for answer in run(service.rewards(&rewards)) {
        assert_eq!(answer.expect("taken").outcome, Outcome::Recorded, "every receipt is fresh");
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// What all threads, and the committer alone, have worked, as Linux counts it in hundredths of a second.
fn cpu_seconds() -> [f64; 2] {
    let ticks = |stat: String| -> f64 {
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").filter_map(|entry| Some(entry.ok()?.path()));
    let committer = threads.filter(|path| read(&path.join("comm")).trim() == "mabel-committer");
    let committer = committer.map(|path| ticks(read(&path.join("stat")))).sum();
    [ticks(read(Path::new("/proc/self/stat"))), committer]
}

#[expect(clippy::print_stdout, reason = "what scripts/group-commit reads")]
fn say(figures: &[(&str, f64)]) {
    let figures: Vec<String> = figures.iter().map(|(name, figure)| format!("{name:?}: {figure:.3}")).collect();
    println!("{{{}}}", figures.join(", "));
}

/// Rewards a second, from the first sent to the last acknowledged.
fn burst(store: &str, directory: &str, count: usize, list: usize) {
    burst_on(store, directory, count, list).stop();
}

fn burst_on(store: &str, directory: &str, count: usize, list: usize) -> Service {
    let service = service(open(store, directory));
    if service.engine().experiment("hero").is_err() {
        save(&service);
    }
    let receipts = receipts(&service, count);
    let (begun, cpu) = (now(), cpu_seconds());
    std::thread::scope(|scope| {
        for part in receipts.chunks(count.div_ceil(WRITERS)) {
            let service = &service;
            scope.spawn(move || part.chunks(list).for_each(|list| send(service, list)));
        }
    });
    let acknowledged = begun.elapsed().as_secs_f64();
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    let [all, committer] = std::array::from_fn(|index| each(cpu_seconds()[index] - cpu[index]));
    say(&[
        ("acknowledged_per_second", count as f64 / acknowledged),
        ("cpu_microseconds_each", all),
        ("committer_microseconds_each", committer),
    ]);
    service
}

/// Milliseconds from sending to the answer, of rewards that come one at a time with pauses.
fn lone(store: &str, directory: &str, count: usize) {
    let service = service(open(store, directory));
    save(&service);
    let receipts = receipts(&service, count);
    let mut file = prepared(Path::new(directory));
    let (mut rewards, mut syncs) = (Vec::new(), Vec::new());
    for receipt in &receipts {
        // In turns, so that a noisy machine is noisy for both. A pause longer than it takes to notice that nothing comes.
        std::thread::sleep(Duration::from_millis(3));
        let begun = now();
        send(&service, std::slice::from_ref(receipt));
        rewards.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = now();
        file.write_all(&[1; 4_096]).expect("written");
        file.sync_data().expect("synced");
        syncs.push(begun.elapsed().as_secs_f64() * 1e3);
        file.seek(SeekFrom::Start(0)).expect("moved");
    }
    let [reward, sync] = [&mut rewards, &mut syncs].map(|times| {
        times.sort_by(f64::total_cmp);
        [times[times.len() / 2], times[times.len() * 99 / 100]]
    });
    say(&[("reward_p50", reward[0]), ("reward_p99", reward[1]), ("sync_p50", sync[0]), ("sync_p99", sync[1])]);
}

/// A file with room that is there already: growing one costs a sync of its length as well.
fn prepared(directory: &Path) -> std::fs::File {
    let mut file = std::fs::File::create(directory.join("bare")).expect("a file");
    file.write_all(&vec![1; 64 << 20]).expect("written");
    file.sync_all().expect("synced");
    file.seek(SeekFrom::Start(0)).expect("moved");
    file
}

fn decision(number: u64, at: Timestamp) -> DecisionId {
    DecisionId::new(at, u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 16)
}

fn rewarded(number: u64) -> Event {
    let at = Timestamp::from_millis(1_800_000_000_000 + number / 100);
    Event::Rewarded(Rewarded {
        record: DecisionRecord {
            experiment: ExperimentKey::new("hero").expect("a key"),
            epoch: 0,
            definition: 1,
            segment: SegmentKey::new("device=mobile|country=FR"),
            variation: Slot(1),
            allocation: AllocationId(0x0123_4567_89ab_cdef),
            propensity: 0.6134,
            control: false,
            decision: decision(number, at),
            features: Features::new(),
        },
        deferred: false,
        goal: Slot(0),
        value: 1,
        reward_id: RewardId::new("purchase").expect("an id"),
        arrived_at: at + Span::SECOND,
        occurred_at: None,
        window: Span::DAY,
        cap: None,
        aggregation: Aggregation::First,
    })
}

fn entry(decision: DecisionId, position: Position) -> LedgerEntry {
    let fact = RewardFact {
        goal: Slot(0),
        reward_id: RewardId::new("purchase").expect("an id"),
        value: 1,
        standing: Standing::Learned,
        delay: Span::SECOND,
        aggregation: Aggregation::First,
        cap: None,
    };
    LedgerEntry { decision, fact: Fact::Rewarded(fact), position }
}

/// The same events and entries in a bare file, one fdatasync a batch: what the file system alone allows.
fn raw(directory: &Path, count: usize) {
    let mut bytes = Vec::new();
    for number in 0..BATCH as u64 {
        let event = rewarded(number);
        let decision = event.feedback_of().expect("of a decision").decision;
        let fact = record::page::encode_fact(&entry(decision, Position { block: 1, index: 0 }));
        record::encode_event(&event, &mut record::Before::default(), &mut bytes);
        bytes.resize(bytes.len() + record::page::fact_bytes(&fact), 1);
    }
    let mut file = prepared(directory);
    let mut at = 0;
    let begun = now();
    let batches = count.div_ceil(BATCH);
    for _ in 0..batches {
        if at + bytes.len() > 64 << 20 {
            at = 0;
            file.seek(SeekFrom::Start(0)).expect("moved");
        }
        at += bytes.len();
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
    }
    let rate = (batches * BATCH) as f64 / begun.elapsed().as_secs_f64();
    say(&[("acknowledged_per_second", rate), ("bytes_per_reward", bytes.len() as f64 / BATCH as f64)]);
}

/// Fills the ledger with entries of the last days, in order of time, as years of rewards would.
fn fill(store: &str, directory: &str, count: usize) {
    let store = open(store, directory);
    let begun = now();
    let first = SystemClock.now().minus(Span::DAY);
    for start in (0..count as u64).step_by(BATCH) {
        let mut ledger = Ledger::of(&*store).expect("readable");
        for number in start..(start + BATCH as u64).min(count as u64) {
            let at = first + Span::from_millis(number / 500);
            ledger.add(&entry(decision(number, at), Position { block: 0, index: 0 })).expect("readable");
        }
        store.append(&[], &ledger.take_rows()).expect("appended");
    }
    store.close().expect("closed");
    say(&[("entries", count as f64), ("per_second", count as f64 / begun.elapsed().as_secs_f64())]);
}

/// Seconds until the store is open and the service has recovered.
fn open_again(store: &str, directory: &str) {
    let begun = now();
    let store = open(store, directory);
    let opened = begun.elapsed().as_secs_f64();
    let service = service(store);
    let recovered = begun.elapsed().as_secs_f64();
    let (blocks, events) = (service.recovered().blocks, service.recovered().events);
    say(&[
        ("open_seconds", opened),
        ("recovered_seconds", recovered),
        ("blocks", blocks as f64),
        ("events", events as f64),
    ]);
}
