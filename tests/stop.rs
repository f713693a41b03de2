//! A server that is told to stop in the middle of its work loses nothing: what it answered is there when it starts again, exposures that
//! nobody waited for included.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use support::server::Server;
use support::{Client, text};

const DRIVERS: u64 = 8;
const ROUNDS: u64 = 4;

/// What was answered, and what was sent at most.
#[derive(Default)]
struct Seen {
    exposures: AtomicU64,
    rewards: AtomicU64,
    exposures_sent: AtomicU64,
    rewards_sent: AtomicU64,
}

/// Asks until nobody answers.
fn drive(client: &Client, seen: &Seen) {
    let body = json!({"experiment": "hero", "context": {"device": "mobile"}}).to_string();
    for number in 0_u64.. {
        seen.exposures_sent.fetch_add(1, Ordering::Relaxed);
        let Ok((status, answer)) = client.try_send("POST", "/v1/decide", &body) else { return };
        assert_eq!((status, &answer["reason"]), (200, &json!("policy")), "{answer}");
        seen.exposures.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(3) {
            let reward = json!({"receipt": text(&answer["receipt"])}).to_string();
            seen.rewards_sent.fetch_add(1, Ordering::Relaxed);
            let Ok((status, answer)) = client.try_send("POST", "/v1/reward", &reward) else { return };
            assert_eq!((status, &answer["outcome"]), (200, &json!("recorded")), "{answer}");
            seen.rewards.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a text");
    // Longer than a round: nothing is on disk yet when the server is told to stop, but what somebody waited for.
    let start = || Server::start(&["--data", data, "--commit-interval", "2s", "--log", "warn"]);
    let seen = Seen::default();
    for round in 0..ROUNDS {
        let server = start();
        if round == 0 {
            let definition = json!({
                "status": "running",
                "variations": [{"key": "a"}, {"key": "b"}],
                "segments": {"by": ["device"]},
                "goals": [{"key": "purchase"}],
            });
            assert_eq!(server.client.send("PUT", "/v1/experiments/hero", &definition).0, 201);
        }
        let client = server.client.clone();
        let code = std::thread::scope(|scope| {
            for _ in 0..DRIVERS {
                scope.spawn(|| drive(&client, &seen));
            }
            std::thread::sleep(Duration::from_millis(300));
            server.terminate()
        });
        assert_eq!(code, Some(0), "round {round}: it says so if something could not be recorded");
    }
    let server = start();
    let report = server.client.get("/v1/experiments/hero/report");
    let count = |value: &serde_json::Value| value.as_u64().expect("a count");
    let exposures = count(&report["totals"]["exposures"]) + count(&report["control"]["exposures"]);
    let rewards = count(&report["rewards"]["recorded"]);
    let answered = [&seen.exposures, &seen.rewards].map(|count| count.load(Ordering::Relaxed));
    let sent = [&seen.exposures_sent, &seen.rewards_sent].map(|count| count.load(Ordering::Relaxed));
    assert!(answered[0] > 100 && answered[1] > 10, "hardly anything was asked: {answered:?}");
    assert!(
        (answered[0]..=sent[0]).contains(&exposures),
        "{exposures} exposures; answered {answered:?}, sent {sent:?}"
    );
    assert!((answered[1]..=sent[1]).contains(&rewards), "{rewards} rewards; answered {answered:?}, sent {sent:?}");
}
