//! What conversions bring: log-normal order values.

use mabel::domain::{Seed, VALUE_MAX};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, StandardNormal};

/// Log-normal order values whose mean depends on the variation.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// By variation, in minor units.
    pub(crate) means: Vec<f64>,
    /// Standard deviation of an order's logarithm.
    pub(crate) sigma: f64,
}

/// Orders before a run has drawn what its variations do to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrdersBlueprint {
    /// In minor units.
    pub(crate) mean: f64,
    pub(crate) sigma: f64,
    /// Standard deviation, over variations, of the logarithm of their mean orders.
    pub(crate) arm_sd: f64,
}

impl OrdersBlueprint {
    pub(crate) fn draw(&self, variations: usize, rng: &mut Xoshiro256PlusPlus) -> Orders {
        let mean = |_| {
            let normal: f64 = StandardNormal.sample(rng);
            self.mean * (self.arm_sd * normal).exp()
        };
        Orders { means: (0..variations).map(mean).collect(), sigma: self.sigma }
    }
}

impl Orders {
    /// An order's value, in whole minor units. The same seed is the same visitor, who spends in proportion everywhere.
    pub(crate) fn amount(&self, variation: usize, seed: Seed) -> i64 {
        let normal: f64 = StandardNormal.sample(&mut Xoshiro256PlusPlus::seed_from_u64(seed.0));
        // E[exp(σz − σ²/2)] = 1: the mean is the mean.
        let amount = self.means[variation] * (self.sigma * normal - self.sigma * self.sigma / 2.0).exp();
        #[expect(clippy::cast_possible_truncation, reason = "within the bound of values")]
        let whole = amount.round().clamp(1.0, VALUE_MAX as f64) as i64;
        whole
    }
}
