//! Draws from Beta distributions as ratios of Gamma draws.
//!
//! Own code and not `rand_distr::Beta` (Cheng's BB and BC), because it is two to four times as fast when parameters
//! change with every draw, and because with parameters below 1 it stays exact where a plain ratio would be 0/0.

use rand::{Rng, RngExt};
use rand_distr::{Exp1, StandardNormal};

use crate::posterior::Beta;

/// Draws from Gamma(shape, 1) by the method of Marsaglia and Tsang, "A simple method for generating gamma variables", ACM
/// Transactions on Mathematical Software 26 (2000), with ziggurat normals. What depends on the shape alone is computed once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GammaSampler {
    /// Shape less a third; the shape raised by 1 where it is below 1.
    d: f64,
    /// 1/sqrt(9 d).
    c: f64,
    /// The shape where it is below 1: the draw for shape + 1 is then multiplied by U^(1/shape) (their section 6).
    raised: Option<f64>,
}

impl GammaSampler {
    /// For a shape above 0.
    ///
    /// # Panics
    /// If the shape is not above 0: a [`Beta`] has none such.
    #[must_use]
    pub fn new(shape: f64) -> Self {
        assert!(shape > 0.0, "a Gamma distribution of shape {shape}");
        let raised = (shape < 1.0).then_some(shape);
        let d = if raised.is_some() { shape + 1.0 } else { shape } - 1.0 / 3.0;
        Self { d, c: (9.0 * d).sqrt().recip(), raised }
    }

    /// The natural logarithm of one draw: finite even where the draw itself would round to 0.
    #[inline]
    pub fn sample_ln<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let ln_draw = self.sample_raised(rng).ln();
        match self.raised {
            // −ln U is an exponential draw. The bound keeps ∞ − ∞ out of ratios for shapes near the smallest number.
            Some(shape) => ln_draw - (rng.sample::<f64, _>(Exp1) / shape).min(f64::MAX / 4.0),
            None => ln_draw,
        }
    }

    /// One draw; 0 where it would be smaller than any number.
    #[inline]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        if self.raised.is_none() { self.sample_raised(rng) } else { self.sample_ln(rng).exp() }
    }

    /// A draw, for shape + 1 where the shape is below 1.
    #[inline]
    fn sample_raised<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        loop {
            let x: f64 = rng.sample(StandardNormal);
            let root = 1.0 + self.c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            let u: f64 = rng.random();
            let x2 = x * x;
            // The squeeze spares the logarithms in all but a few per cent of cases.
            if u < 1.0 - 0.0331 * x2 * x2 || u.ln() < 0.5 * x2 + self.d * (1.0 - v + v.ln()) {
                return self.d * v;
            }
        }
    }
}

/// Draws from one Beta distribution; worth keeping where the same posterior is drawn from many times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaSampler {
    alpha: GammaSampler,
    beta: GammaSampler,
}

impl BetaSampler {
    /// For a distribution.
    #[must_use]
    pub fn new(distribution: &Beta) -> Self {
        Self::of(distribution.alpha(), distribution.beta())
    }

    /// For Beta(α, β), where the parameters themselves were drawn.
    ///
    /// # Panics
    /// If a parameter is not above 0.
    #[must_use]
    pub fn of(alpha: f64, beta: f64) -> Self {
        Self { alpha: GammaSampler::new(alpha), beta: GammaSampler::new(beta) }
    }

    /// One rate in [0, 1].
    #[inline]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        if self.alpha.raised.is_none() && self.beta.raised.is_none() {
            let successes = self.alpha.sample_raised(rng);
            let failures = self.beta.sample_raised(rng);
            successes / (successes + failures)
        } else {
            (1.0 + (-self.sample_logit(rng)).exp()).recip()
        }
    }

    /// One rate's log odds, for comparing draws that would tie at 0 or 1.
    #[inline]
    pub fn sample_logit<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.alpha.sample_ln(rng) - self.beta.sample_ln(rng)
    }
}

#[cfg(test)]
mod tests;
