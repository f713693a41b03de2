//! Bayesian linear regression of rewards on features (STATISTICS §2.5): precision Q = Λ₀ + Σ x xᵀ/σ², b = Σ x y/σ², mean Q⁻¹b.
//!
//! Q and b are sums and can be merged. Mean and covariance follow each exposure by the formula of Sherman and Morrison, and
//! are computed afresh from Q and b every [`Linear::RENEWAL`] exposures, so that roundings never add up.

use std::sync::Arc;

use crate::domain::Features;
use crate::posterior::learner::{InvalidState, Learner, State, bounded};
use crate::posterior::{Entries, Gaussian, Symmetric};

/// The weights of one variation.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// 1/σ² of one reward.
    noise_precision: f64,
    /// Λ₀, a diagonal.
    prior: Vec<f64>,
    exposures: u64,
    precision: Symmetric,
    /// b.
    pull: Vec<f64>,
    belief: Arc<Gaussian>,
}

impl Linear {
    /// After so many exposures mean and covariance are computed afresh.
    pub const RENEWAL: u64 = 4_096;

    /// Independent weights of mean 0 with these standard deviations, and rewards with this one around what the weights
    /// say; all above 0.
    #[must_use]
    pub fn new(sds: &[f64], noise_sd: f64) -> Self {
        let prior: Vec<f64> = sds.iter().map(|sd| (sd * sd).recip()).collect();
        let mut precision = Symmetric::zero(sds.len());
        prior.iter().enumerate().for_each(|(index, amount)| precision.add_to_diagonal(index, *amount));
        Self {
            noise_precision: (noise_sd * noise_sd).recip(),
            prior,
            exposures: 0,
            precision,
            pull: vec![0.0; sds.len()],
            belief: Arc::new(Gaussian::independent(sds)),
        }
    }

    /// Q.
    #[must_use]
    pub const fn precision(&self) -> &Symmetric {
        &self.precision
    }

    /// Mean and covariance from Q and b. A Q that roundings have robbed of its definiteness leaves them as they are.
    fn renew(&mut self) {
        if let Some(factor) = self.precision.cholesky() {
            self.belief = Arc::new(Gaussian { mean: factor.solve(&self.pull), covariance: factor.inverse() });
        }
    }
}

impl Learner for Linear {
    const ORDER_MATTERS: bool = false;

    fn belief(&self) -> &Arc<Gaussian> {
        &self.belief
    }

    fn expose(&mut self, features: &Features) {
        self.exposures += 1;
        let x = Entries::new(features);
        self.precision.add_outer(&x, self.noise_precision);
        if self.exposures.is_multiple_of(Self::RENEWAL) {
            return self.renew();
        }
        let s = self.belief.covariance.times(&x);
        let (variance, mean) = (x.dot(&s), x.dot(&self.belief.mean));
        let gain = self.noise_precision / (1.0 + self.noise_precision * variance.max(0.0));
        let belief = Arc::make_mut(&mut self.belief);
        belief.shift(&s, -mean * gain);
        belief.covariance.subtract_outer(&s, gain);
    }

    fn reward(&mut self, features: &Features, value: f64) {
        let amount = bounded(value) * self.noise_precision;
        features.iter().for_each(|(index, feature)| self.pull[index] += amount * feature);
        let direction = self.belief.covariance.times(&Entries::new(features));
        Arc::make_mut(&mut self.belief).shift(&direction, amount);
    }

    /// Nothing: the belief is always up to date.
    fn settle(&mut self) {}

    fn merge(&mut self, other: &Self) -> bool {
        self.exposures += other.exposures;
        self.precision.add(&other.precision);
        self.prior.iter().enumerate().for_each(|(index, amount)| self.precision.add_to_diagonal(index, -amount));
        self.pull.iter_mut().zip(&other.pull).for_each(|(sum, amount)| *sum += amount);
        self.renew();
        true
    }

    fn save(&self) -> State {
        let parts = [&self.pull[..], self.precision.packed(), &self.belief.mean[..], self.belief.covariance.packed()];
        State { counts: vec![self.exposures], numbers: parts.concat() }
    }

    fn restore(&mut self, state: &State) -> Result<(), InvalidState> {
        let dimensions = self.pull.len();
        let triangle = self.precision.packed().len();
        let fits = state.counts.len() == 1 && state.numbers.len() == 2 * (dimensions + triangle);
        if !fits {
            let (counts, numbers) = (state.counts.len(), state.numbers.len());
            return Err(InvalidState { counts, numbers, dimensions });
        }
        let (sums, belief) = state.numbers.split_at(dimensions + triangle);
        self.exposures = state.counts[0];
        self.pull = sums[..dimensions].to_vec();
        self.precision = triangle_of(dimensions, &sums[dimensions..]);
        let covariance = triangle_of(dimensions, &belief[dimensions..]);
        self.belief = Arc::new(Gaussian { mean: belief[..dimensions].to_vec(), covariance });
        Ok(())
    }
}

/// A saved triangle whose length was checked.
pub(crate) fn triangle_of(dimensions: usize, packed: &[f64]) -> Symmetric {
    Symmetric::from_packed(dimensions, packed.to_vec()).expect("the length was checked")
}

#[cfg(test)]
mod tests;
