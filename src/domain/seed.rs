//! Seeds and uniform numbers from hashes: the only randomness below the service is a function of what is passed in.

/// The beginning of a repeatable stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// An independent seed for the `index`-th of something. SplitMix64's finaliser: neighbours share nothing
    /// (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
    #[must_use]
    pub const fn child(self, index: u64) -> Self {
        let mut z = self.0 ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    /// The seed itself as a uniform number in [0, 1).
    #[must_use]
    pub fn uniform(self) -> f64 {
        uniform(self.0)
    }
}

/// The upper 53 bits of a hash as a number in [0, 1): every value a multiple of 2^-53.
#[must_use]
pub fn uniform(bits: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what an f64 holds")]
    let number = (bits >> 11) as f64;
    number * (1.0 / 9_007_199_254_740_992.0)
}
