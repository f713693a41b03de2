//! Answers of the last minute, by experiment, visitor and the caller's own decision id: a repeated request gets the same answer, once it
//! holds, and counts once. Of another visitor an id is another's: whoever knows one must not be handed what is somebody else's.
//!
//! Sixteen locks, taken only by requests that bring a `decision_id`, and held while one of them is decided, so that of two
//! at once the second finds the first's answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Span, Timestamp};
use crate::service::decide::{Answer, Decided, Query};

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
    answers: HashMap<Arc<str>, Decided>,
    order: VecDeque<(Timestamp, Arc<str>)>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// What was decided for this id within the last minute, or a new decision. What is not recorded is not repeated.
    pub(crate) fn get_or_decide<E>(
        &self,
        query: &Query<'_>,
        decision_id: &str,
        now: Timestamp,
        decide: impl FnOnce() -> Result<Decided, E>,
    ) -> Result<Decided, E> {
        let key = key(query, decision_id);
        let mut shard = self.shard(&key);
        shard.forget(now);
        if let Some(decided) = shard.answers.get(&key) {
            return Ok(decided.clone());
        }
        let decided = decide()?;
        if decided.answer.receipt.is_some() {
            shard.order.push_back((now, Arc::clone(&key)));
            shard.answers.insert(key, decided.clone());
        }
        Ok(decided)
    }

    /// Forgets an answer that turned out not to be recorded, but not one that came after it.
    pub(crate) fn forget(&self, query: &Query<'_>, decision_id: &str, answer: &Arc<Answer<'static>>) {
        let key = key(query, decision_id);
        let mut shard = self.shard(&key);
        if shard.answers.get(&key).is_some_and(|decided| Arc::ptr_eq(&decided.answer, answer)) {
            shard.answers.remove(&key);
        }
    }

    /// Forgets what is older than a minute; to be called every second or so, since nobody may ask for it again.
    pub(crate) fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).forget(now);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).answers.len()).sum()
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let shard = usize::try_from(fold(key) % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neither a key nor a visitor's id has a control character.
fn key(query: &Query<'_>, decision_id: &str) -> Arc<str> {
    let visitor = query.visitor.filter(|_| query.brings_visitor()).unwrap_or_default();
    format!("{}\0{visitor}\0{decision_id}", query.experiment).into()
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
