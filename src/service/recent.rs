//! Answers of the last minute, by the caller's own decision id: a repeated request gets the same answer and counts once.
//!
//! Sixteen locks, taken only by requests that bring a `decision_id`, and held while one of them is decided, so that of two
//! at once the second finds the first's answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Span, Timestamp};
use crate::service::decide::Answer;

/// How long an answer is repeated.
const KEPT: Span = Span::from_millis(60_000);
const SHARDS: usize = 16;
/// Most answers kept per shard; a caller with more than a million ids a minute loses the oldest early.
const MAX_PER_SHARD: usize = 65_536;

pub(crate) struct Recent {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    answers: HashMap<Box<str>, (Timestamp, Arc<Answer>)>,
    order: VecDeque<(Timestamp, Box<str>)>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The answer given for this id within the last minute, or a new one. What `decide` does not want repeated (an answer
    /// that was not recorded) it marks by `false`.
    pub(crate) fn get_or_decide<E>(
        &self,
        experiment: &str,
        decision_id: &str,
        now: Timestamp,
        decide: impl FnOnce() -> Result<(Arc<Answer>, bool), E>,
    ) -> Result<Arc<Answer>, E> {
        let key = key(experiment, decision_id);
        let mut shard = self.shard(&key);
        shard.forget(now);
        if let Some((_, answer)) = shard.answers.get(&key) {
            return Ok(Arc::clone(answer));
        }
        let (answer, keep) = decide()?;
        if keep {
            shard.order.push_back((now, key.clone()));
            shard.answers.insert(key, (now, Arc::clone(&answer)));
        }
        Ok(answer)
    }
}

impl Recent {
    /// Forgets an answer that turned out not to be recorded.
    pub(crate) fn forget(&self, experiment: &str, decision_id: &str) {
        let key = key(experiment, decision_id);
        self.shard(&key).answers.remove(&key);
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let shard = usize::try_from(fold(key) % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(experiment: &str, decision_id: &str) -> Box<str> {
    format!("{experiment}\0{decision_id}").into()
}

impl Shard {
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.order.front()
            && (self.order.len() > MAX_PER_SHARD || is_over(*at, now))
            && let Some((_, key)) = self.order.pop_front()
        {
            self.answers.remove(&key);
        }
    }
}

/// After a minute; before it as well, where the clock was set back: an answer of what is the future now must not keep those
/// behind it from being forgotten.
fn is_over(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) >= KEPT || at.since(now) >= KEPT
}

/// FNV-1a: which lock an id takes needs no better hash.
fn fold(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
