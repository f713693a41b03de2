//! Threads that play visitors against the server, over HTTP like any site.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::demo::world::{EXPERIMENT, GOAL, SEGMENTS, VARIATIONS, Visitors};
use crate::cli::exit::Failure;

/// Visitors decided for at once. Few, so that each batch is decided with what the batch before taught.
const BATCH: u64 = 4;
const THREADS: u64 = 2;

/// Visitors being played.
pub(crate) struct Players {
    left: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Players {
    /// Starts playing so many visitors. `stop` ends it early.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub(crate) fn start(client: &Client, visitors: u64, seed: u64, stop: &Arc<AtomicBool>) -> Result<Self, Failure> {
        let left = Arc::new(AtomicU64::new(visitors));
        let start = |index: u64| {
            let (client, left, stop) = (client.clone(), Arc::clone(&left), Arc::clone(stop));
            let visitors = Visitors::new(seed.wrapping_mul(THREADS).wrapping_add(index));
            let play = move || play(&client, visitors, &left, &stop);
            std::thread::Builder::new().name(format!("visitors-{index}")).spawn(play).map_err(Failure::new)
        };
        let threads = (0..THREADS).map(start).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { left, threads })
    }

    /// Whether there is nothing left to play.
    pub(crate) fn done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Visitors not yet taken up.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Waits for the threads.
    ///
    /// # Errors
    /// The first failure of one.
    pub(crate) fn join(self) -> Result<(), Failure> {
        self.threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of visitors panicked; its message is above")))
        })
    }
}

fn play(client: &Client, mut visitors: Visitors, left: &AtomicU64, stop: &AtomicBool) -> Result<(), Failure> {
    while !stop.load(Ordering::Relaxed) {
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(BATCH)));
        let size = before.unwrap_or_else(|left| left).min(BATCH);
        if size == 0 {
            break;
        }
        let result = visit(client, &mut visitors, size);
        if result.is_err() {
            // The other thread need not go on alone.
            stop.store(true, Ordering::Relaxed);
            return result;
        }
    }
    Ok(())
}

/// One batch: decide, see what the visitors do, report it.
fn visit(client: &Client, visitors: &mut Visitors, size: u64) -> Result<(), Failure> {
    let arrived: Vec<(String, usize)> = (0..size).map(|_| visitors.next()).collect();
    let requests = arrived.iter().map(|(visitor, segment)| {
        let context = json!({ "device": SEGMENTS[*segment] });
        json!({ "experiment": EXPERIMENT, "visitor": visitor, "context": context })
    });
    let answer = client.post("/v1/decide", &json!({ "requests": requests.collect::<Vec<Value>>() }))?;
    let mut rewards = Vec::new();
    for (index, (_, segment)) in arrived.iter().enumerate() {
        let decision = &answer["decisions"][index];
        let shown = VARIATIONS.iter().position(|key| decision["variation"] == *key);
        let (Some(shown), Some(receipt)) = (shown, decision["receipt"].as_str()) else {
            return Err(Failure::new(format_args!("the server did not decide: {decision}")));
        };
        if visitors.orders(*segment, shown) {
            rewards.push(json!({ "receipt": receipt, "goal": GOAL }));
        }
    }
    if rewards.is_empty() {
        return Ok(());
    }
    let answer = client.post("/v1/reward", &json!({ "rewards": rewards }))?;
    let refused = answer["results"].as_array().into_iter().flatten().find(|result| result["outcome"] != "recorded");
    refused.map_or(Ok(()), |result| Err(Failure::new(format_args!("a reward was not recorded: {result}"))))
}
