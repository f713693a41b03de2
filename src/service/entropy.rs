//! Ids nobody chose: a counter under a keyed hash whose key is drawn once per process. One seed repeats all of them.

use std::hash::Hasher as _;
use std::ops::Range;
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
        self.several(1).wide_bits()
    }

    /// For so many ids, asked for at once: to count each by itself among other threads takes longer than to hash it.
    pub(crate) fn several(&self, count: usize) -> Several<'_> {
        let first = self.counter.fetch_add(count as u64, Ordering::Relaxed);
        Several { entropy: self, numbers: first..first + count as u64 }
    }

    fn hash(&self, number: u64) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.seed, !self.seed);
        hasher.write_u64(number);
        hasher.finish128().as_u128()
    }

    pub(crate) fn bits(&self) -> u64 {
        u64::try_from(self.wide_bits() >> 64).expect("half of 128 bits")
    }
}

/// See [`Entropy::several`]. What is not used is used by nobody.
pub(crate) struct Several<'e> {
    entropy: &'e Entropy,
    numbers: Range<u64>,
}

impl Several<'_> {
    /// The next, beyond those that were asked for as well.
    pub(crate) fn wide_bits(&mut self) -> u128 {
        match self.numbers.next() {
            Some(number) => self.entropy.hash(number),
            None => self.entropy.wide_bits(),
        }
    }
}
