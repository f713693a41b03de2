//! How many visitors can stay with their variations: assigns so many through the service on a store on disk, asks for them again,
//! and prints rates, size on disk and memory.
//!
//! `cargo run --release --example assignments -- STORE VISITORS`, where `STORE` is a directory, new or not, or `sled:DIRECTORY` for one in sled.

#![expect(clippy::print_stdout, reason = "a program for a terminal: its figures are what it is for")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mabel::domain::{Context, ExperimentKey, GoalKey, Seed, Span, VariationKey};
use mabel::engine::definition::{Definition, Goal, PolicyChoice, Role, Status, Unit, Variation};
use mabel::engine::secret::Secret;
use mabel::policy::{Parameters, with_defaults};
use mabel::service::clock::SystemClock;
use mabel::service::decide::Query;
use mabel::service::{Options, Service};
use mabel::store::{DiskOptions, Location, open};

/// Requests at once: each waits until its assignment is on disk.
const REQUESTS: u64 = 1_024;
/// Visitors asked for again, at random.
const AGAIN: u64 = 200_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let store = arguments.next().ok_or("STORE VISITORS")?;
    let visitors: u64 = arguments.next().ok_or("STORE VISITORS")?.parse()?;
    let location = Location::from(store.as_str());
    let service = start(&location)?;
    let began = begin();
    let shown = each(&service, visitors, |index| index);
    let took = began.elapsed();
    print("assigned", visitors, took);
    let exposures = service.report("sticky")?.totals.exposures;
    println!("{:>22}  {exposures}, shown {shown}", "exposures counted");
    let began = begin();
    each(&service, AGAIN, |index| Seed(7).child(index).0 % visitors);
    print("asked again, at random", AGAIN, began.elapsed());
    let few = visitors.min(10_000);
    each(&service, few, |index| index);
    let began = begin();
    each(&service, AGAIN, |index| index % few);
    print("asked again, in memory", AGAIN, began.elapsed());
    println!("{:>22}  {} MB", "memory", resident()?);
    service.stop();
    drop(service);
    let began = begin();
    let service = start(&location)?;
    let opened = began.elapsed();
    let directory = location.directory().ok_or("memory keeps nothing on disk: name a directory")?;
    println!(
        "{:>22}  {} MB, {} bytes a visitor",
        "on disk",
        size(directory)? >> 20,
        size(directory)? / visitors.max(1)
    );
    println!("{:>22}  {:.2} s, then {} MB", "started again", opened.as_secs_f64(), resident()?);
    let began = begin();
    each(&service, AGAIN, |index| Seed(9).child(index).0 % visitors);
    print("asked again, at random", AGAIN, began.elapsed());
    service.stop();
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
fn begin() -> Instant {
    Instant::now()
}

fn start(location: &Location) -> Result<Service, Failure> {
    let options = Options { companions: false, ..Options::default() };
    let store = open(location, DiskOptions::default())?;
    let service = Service::start(store, Secret::new([1; 32]), 1, Arc::new(SystemClock), options)?;
    let variations = ["plain", "bold"].map(|key| Ok(Variation::new(VariationKey::new(key)?, "{}")));
    let variations = variations.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    let policy = PolicyChoice::new("thompson", with_defaults("thompson", &Parameters::new(), 2)?);
    let goal = Goal::conversion(GoalKey::new("purchase")?, Role::Primary, Span::DAY);
    let definition = Definition {
        unit: Unit::Visitor,
        ..Definition::new(ExperimentKey::new("sticky")?, variations, vec![goal], policy)
    };
    wait(service.save(definition, Status::Running))?;
    Ok(service)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Decides for so many visitors, many at once; says how many were shown the second variation.
fn each(service: &Service, count: u64, which: impl Fn(u64) -> u64 + Sync) -> u64 {
    let (next, shown) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..REQUESTS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                let context = Context::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let visitor = format!("visitor-{}", which(index));
                    let query = Query::new("sticky", Some(&visitor), &context);
                    let answer = runtime.block_on(service.decide(&query)).expect("there is an experiment");
                    assert!(answer.receipt.is_some(), "{:?}", answer.why);
                    shown.fetch_add(answer.variation as u64, Ordering::Relaxed);
                }
            });
        }
    });
    shown.into_inner()
}

fn print(what: &str, count: u64, took: Duration) {
    println!("{what:>22}  {count} in {:.1} s: {:.0} a second", took.as_secs_f64(), count as f64 / took.as_secs_f64());
}

/// Memory of this process, in MB.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse::<u64>()? / 1_024)
}

/// Bytes of all files under a directory.
fn size(directory: &Path) -> Result<u64, Failure> {
    let mut total = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        total += if kind.is_dir() { size(&path)? } else { entry.metadata()?.len() };
    }
    Ok(total)
}
