//! Ids nobody chose: a counter under a keyed hash whose key is drawn once per process. One seed repeats all of them.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Makes ids. No lock, no system call; never the same id twice in a process.
#[derive(Debug)]
pub(crate) struct Entropy {
    seed: u64,
    counter: AtomicU64,
}

impl Entropy {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }

    pub(crate) fn wide_bits(&self) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.seed, !self.seed);
        hasher.write_u64(self.counter.fetch_add(1, Ordering::Relaxed));
        hasher.finish128().as_u128()
    }

    pub(crate) fn bits(&self) -> u64 {
        u64::try_from(self.wide_bits() >> 64).expect("half of 128 bits")
    }
}
