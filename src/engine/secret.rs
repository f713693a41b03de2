//! The server's secret and the keys made from it: one purpose, one key.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24Wide};

use crate::domain::ExperimentKey;
use crate::domain::seed::uniform;

/// 32 bytes nobody else knows. Whoever has them can forge receipts and foresee draws.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            // Lengths first, so that no two lists of parts run together.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// A keyed hash for one purpose of one experiment.
    pub(crate) fn keyed_hash(&self, purpose: &str, experiment: &ExperimentKey, epoch: u32) -> KeyedHash {
        KeyedHash::of(self.derive(purpose, &[experiment.as_str().as_bytes(), &epoch.to_le_bytes()]))
    }

    /// A keyed hash for one purpose, the same in every experiment.
    pub(crate) fn site_hash(&self, purpose: &str) -> KeyedHash {
        KeyedHash::of(self.derive(purpose, &[]))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SipHash-2-4 under a key: a pseudorandom function of short texts (Aumasson, Bernstein, "SipHash", 2012).
#[derive(Clone, Copy)]
pub(crate) struct KeyedHash(u64, u64);

impl KeyedHash {
    fn of(key: [u8; 32]) -> Self {
        let half =
            |range: std::ops::Range<usize>| u64::from_le_bytes(key[range].try_into().expect("eight bytes of a hash"));
        Self(half(0..8), half(8..16))
    }

    pub(crate) fn bits(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }

    pub(crate) fn wide_bits(self, bytes: &[u8]) -> u128 {
        let mut hasher = SipHasher24Wide::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish128().as_u128()
    }

    /// A uniform number in [0, 1).
    pub(crate) fn uniform(self, bytes: &[u8]) -> f64 {
        uniform(self.bits(bytes))
    }
}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash(…)")
    }
}
