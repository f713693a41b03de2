//! Nothing acknowledged is lost: the real binary, driven over HTTP, killed by SIGKILL at random moments, started again,
//! and its report compared with what it had acknowledged. `MABEL_KILL_ROUNDS` and `MABEL_KILL_SEED` set rounds and seed;
//! a failure prints both.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mabel::domain::Seed;
use serde_json::{Value, json};
use support::server::Server;
use support::{Client, text};

/// As the server is started; an exposure answered this long before the kill, and a margin for a slow sync, must be there.
const COMMIT_INTERVAL: Duration = Duration::from_millis(20);
const MARGIN: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "what was answered how long before the kill is a matter of real time")]
fn now() -> Instant {
    Instant::now()
}

fn start(store: &str, data: &Path) -> Server {
    let data = data.to_str().expect("a path that is text");
    Server::start(&["--commit-interval", "20ms", "--checkpoint-interval", "150ms", "--store", &place(store, data)])
}

/// How a store is named.
fn place(store: &str, data: &str) -> String {
    format!("{store}:{data}")
}

/// What a kill left is what its journal says, bit for bit.
fn verify(store: &str, data: &Path, name: &str) {
    let place = place(store, data.to_str().expect("a path that is text"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mabel")).args(["verify", &place]).output();
    let output = output.expect("the binary runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said[0].contains("bit for bit"), "{name}: {said:?}");
}

/// What was answered with 2xx, over all rounds.
#[derive(Default)]
struct Acknowledged {
    /// Receipts whose reward was answered, and what was answered.
    rewards: Mutex<Vec<(String, String)>>,
    activations: Mutex<Vec<String>>,
    definitions: Mutex<BTreeMap<String, u64>>,
    /// The decision that each visitor was told to stay with; `None` once it was erased.
    visitors: Mutex<BTreeMap<String, Option<String>>>,
    /// By which driver and when each exposure was answered that may be on disk or not.
    exposures: Mutex<Vec<(u64, Instant)>>,
    /// Those that must be on disk.
    exposures_due: AtomicU64,
    /// Sent, answered or not: what the report may hold at most.
    rewards_sent: AtomicU64,
    exposures_sent: AtomicU64,
}

impl Acknowledged {
    /// What a driver was answered before it sent something that is on disk now is on disk as well: the journal keeps the order.
    fn synced(&self, driver: u64) {
        let mut exposures = self.exposures.lock().expect("whole");
        let before = exposures.len();
        exposures.retain(|(of, _)| *of != driver);
        self.exposures_due.fetch_add((before - exposures.len()) as u64, Ordering::Relaxed);
    }
}

fn definition(version: u64) -> Value {
    with_unit(version, "decision")
}

fn with_unit(version: u64, unit: &str) -> Value {
    json!({
        "status": "running",
        "unit": unit,
        "variations": [{"key": "a", "payload": version}, {"key": "b"}],
        "segments": {"by": ["device"]},
        "goals": [{"key": "purchase"}],
    })
}

/// Drives one server until it is gone. Each request either is acknowledged, or its fate is open.
fn drive(client: &Client, acknowledged: &Acknowledged, driver: u64, seed: Seed, stop: &AtomicBool) {
    for index in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let dice = seed.child(index).0;
        let defer = dice.is_multiple_of(10);
        let device = ["mobile", "desktop"][usize::try_from(dice / 16 % 2).expect("small")];
        let body = json!({"experiment": "hero", "context": {"device": device}, "defer": defer}).to_string();
        acknowledged.exposures_sent.fetch_add(1, Ordering::Relaxed);
        let Ok((200, answer)) = client.try_send("POST", "/v1/decide", &body) else { return };
        assert_eq!(answer["reason"], "policy", "{answer}");
        let receipt = text(&answer["receipt"]).to_owned();
        if defer {
            let body = json!({"receipt": receipt}).to_string();
            let Ok((200, answer)) = client.try_send("POST", "/v1/activate", &body) else { return };
            assert_eq!(answer["outcome"], "recorded");
            acknowledged.activations.lock().expect("whole").push(receipt.clone());
            acknowledged.synced(driver);
        } else {
            acknowledged.exposures.lock().expect("whole").push((driver, now()));
        }
        if (dice / 64).is_multiple_of(3) {
            acknowledged.rewards_sent.fetch_add(1, Ordering::Relaxed);
            let body = json!({"receipt": receipt}).to_string();
            let Ok((200, answer)) = client.try_send("POST", "/v1/reward", &body) else { return };
            acknowledged.rewards.lock().expect("whole").push((receipt, text(&answer["outcome"]).to_owned()));
            acknowledged.synced(driver);
        }
        if (dice / 128).is_multiple_of(4) && drive_visitor(client, acknowledged, driver, dice / 1_024).is_none() {
            return;
        }
        if (dice / 512).is_multiple_of(40) {
            let key = format!("other-{}", dice / 65_536 % 5);
            let (status, answer) =
                match client.try_send("PUT", &format!("/v1/experiments/{key}"), &definition(dice).to_string()) {
                    Ok(answered) => answered,
                    Err(_) => return,
                };
            assert!(status == 200 || status == 201, "{answer}");
            let version = answer["definition"].as_u64().expect("a number");
            let mut definitions = acknowledged.definitions.lock().expect("whole");
            let known = definitions.entry(key).or_default();
            *known = version.max(*known);
        }
    }
}

/// Decides for a visitor that stays with its variation, now and then erases it; `None` if the server is gone. Each driver has visitors
/// of its own, so that it knows what they were told last.
fn drive_visitor(client: &Client, acknowledged: &Acknowledged, driver: u64, dice: u64) -> Option<()> {
    let visitor = format!("v-{driver}-{}", dice % 200);
    let set = |known| acknowledged.visitors.lock().expect("whole").insert(visitor.clone(), known);
    if (dice / 256).is_multiple_of(6) {
        // Until it is answered nobody knows.
        acknowledged.visitors.lock().expect("whole").remove(&visitor);
        let Ok((200, _)) = client.try_send("DELETE", &format!("/v1/visitors/{visitor}"), "") else { return None };
        set(None);
        acknowledged.synced(driver);
    } else {
        let known = acknowledged.visitors.lock().expect("whole").get(&visitor).cloned();
        if known == Some(None) {
            acknowledged.visitors.lock().expect("whole").remove(&visitor);
        }
        let body = json!({"experiment": "sticky", "visitor": visitor}).to_string();
        let Ok((200, answer)) = client.try_send("POST", "/v1/decide", &body) else { return None };
        let decision = text(&answer["decision_id"]).to_owned();
        if let Some(Some(known)) = known {
            assert_eq!(decision, known, "{visitor} was told to stay: {answer}");
        }
        set(Some(decision));
        // What it stays with is told without a sync; what it is given is not.
        if answer["reason"] != "sticky" {
            acknowledged.synced(driver);
        }
    }
    Some(())
}

fn conversions(report: &Value) -> u64 {
    let variations = report["totals"]["variations"].as_array().expect("a list");
    variations.iter().map(|v| v["goals"]["purchase"]["conversions"].as_u64().expect("a count")).sum()
}

/// Compares what a restarted server reports with what was acknowledged.
fn check(client: &Client, acknowledged: &Acknowledged, killed: Instant, name: &str) {
    let report = client.get("/v1/experiments/hero/report");
    let rewards = acknowledged.rewards.lock().expect("whole");
    let activations = acknowledged.activations.lock().expect("whole");
    let counted = conversions(&report);
    let sent = acknowledged.rewards_sent.load(Ordering::Relaxed);
    assert!(counted >= rewards.len() as u64, "{name}: {counted} conversions of {} acknowledged", rewards.len());
    assert!(counted <= sent, "{name}: {counted} conversions of {sent} sent");
    let exposures = report["totals"]["exposures"].as_u64().expect("a count");
    // Of each round's: what was answered just before a kill may be lost, and is not due after later kills either.
    let answered = std::mem::take(&mut *acknowledged.exposures.lock().expect("whole"));
    let due = answered.into_iter().filter(|(_, at)| *at + COMMIT_INTERVAL + MARGIN < killed).count() as u64;
    let due = acknowledged.exposures_due.fetch_add(due, Ordering::Relaxed) + due;
    let durable = due + activations.len() as u64;
    let asked = acknowledged.exposures_sent.load(Ordering::Relaxed);
    assert!(exposures >= durable, "{name}: {exposures} exposures of {durable} that were due");
    assert!(exposures <= asked, "{name}: {exposures} exposures of {asked} asked for");
    // Whatever was acknowledged lately is known by its receipt, and nothing counts twice.
    for (receipt, first) in rewards.iter().rev().take(20) {
        let again = client.post("/v1/reward", &json!({"receipt": receipt}));
        assert_eq!(again["outcome"], "repeated", "{name}: first {first}, now {again}");
    }
    for receipt in activations.iter().rev().take(5) {
        assert_eq!(client.post("/v1/activate", &json!({"receipt": receipt}))["outcome"], "repeated", "{name}");
    }
    for (visitor, told) in acknowledged.visitors.lock().expect("whole").iter() {
        let known = client.get(&format!("/v1/visitors/{visitor}"));
        let stays = known["assignments"][0]["decision_id"].as_str();
        assert_eq!(stays, told.as_deref(), "{name}: {visitor}: {known}");
    }
    for (key, version) in acknowledged.definitions.lock().expect("whole").iter() {
        let shown = client.get(&format!("/v1/experiments/{key}"));
        assert!(shown["definition"].as_u64() >= Some(*version), "{name}: {key} at {shown}, acknowledged {version}");
    }
    assert_eq!(conversions(&client.get("/v1/experiments/hero/report")), counted, "{name}: a repeat changed a count");
}

#[test]
fn nothing_acknowledged_is_lost_in_sled_when_the_server_is_killed() {
    check_store("sled");
}

#[test]
fn nothing_acknowledged_is_lost_in_redb_when_the_server_is_killed() {
    check_store("redb");
}

fn check_store(store: &str) {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, seed) = (number("MABEL_KILL_ROUNDS", 25), Seed(number("MABEL_KILL_SEED", 1)));
    let directory = tempfile::tempdir().expect("a directory");
    let acknowledged = Arc::new(Acknowledged::default());
    let mut killed = now();
    for round in 0..=rounds {
        let name = format!("MABEL_KILL_ROUNDS={rounds} MABEL_KILL_SEED={}, {store}, round {round}", seed.0);
        let server = start(store, directory.path());
        if round == 0 {
            let (status, answer) = server.client.send("PUT", "/v1/experiments/hero", &definition(0));
            assert_eq!(status, 201, "{answer}");
            let (status, answer) = server.client.send("PUT", "/v1/experiments/sticky", &with_unit(0, "visitor"));
            assert_eq!(status, 201, "{answer}");
        } else {
            check(&server.client, &acknowledged, killed, &name);
        }
        if round == rounds {
            server.kill();
            break;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let drivers: Vec<_> = (0..3)
            .map(|driver| {
                let (client, acknowledged, stop) =
                    (server.client.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
                let seed = seed.child(round * 16 + driver);
                std::thread::spawn(move || drive(&client, &acknowledged, driver, seed, &stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(30 + seed.child(1_000 + round).0 % 500));
        killed = now();
        server.kill();
        stop.store(true, Ordering::Relaxed);
        for driver in drivers {
            driver.join().unwrap_or_else(|_| panic!("{name}: a driver failed"));
        }
        verify(store, directory.path(), &name);
    }
    let rewards = acknowledged.rewards.lock().expect("whole").len();
    assert!(rewards as u64 > rounds, "only {rewards} rewards were acknowledged: the test tested nothing");
    let visitors = acknowledged.visitors.lock().expect("whole");
    let erased = visitors.values().filter(|told| told.is_none()).count();
    assert!(erased > 0 && visitors.len() > 5 * erased / 2, "{} visitors, {erased} erased", visitors.len());
}
