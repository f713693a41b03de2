//! From beliefs to shares. Scores are drawn, not weights: given the features, the score of a variation is one normal number.
//!
//! No `mul_add`: without a build for one processor it is a call, which costs more than the draw.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::domain::Features;
use crate::domain::Seed;
use crate::policy::belief::highest;
use crate::posterior::{Gaussian, Probe};

/// Values this close, relative to the best, are ties: equal beliefs from different sums differ by rounding.
const TIE: f64 = 1e-12;

/// How scores become shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The share of joint draws in which an arm's score is the highest.
    Thompson {
        /// What standard deviations are multiplied by.
        scale: f64,
        /// How many draws: at least 1.
        draws: usize,
    },
    /// Everything for the arm with the highest mean plus `alpha` standard deviations; ties share.
    UpperConfidence {
        /// How many standard deviations.
        alpha: f64,
    },
}

impl Rule {
    /// See [`crate::policy::contextual::ContextualModel::shares`].
    pub(crate) fn shares<'a>(
        self,
        belief: impl Fn(usize) -> &'a Gaussian,
        arms: &[usize],
        features: &Features,
        seed: Seed,
    ) -> Vec<f64> {
        assert!(!arms.is_empty(), "a decision between no arms");
        let probe = Probe::new(features);
        match self {
            Self::Thompson { scale, draws } => {
                let mut best = vec![(f64::NEG_INFINITY, 0); draws];
                for (place, arm) in arms.iter().enumerate() {
                    let belief = belief(*arm);
                    let (mean, sd) = (belief.score_mean(&probe), scale * belief.score_variance(&probe).sqrt());
                    // A stream for each arm: in which order, and against whom it stands, does not change its draws.
                    let index = u64::try_from(*arm).expect("arms are slots, which are small");
                    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.child(index).0);
                    for (score, winner) in &mut best {
                        let drawn = mean + sd * rng.sample::<f64, _>(StandardNormal);
                        if drawn > *score {
                            (*score, *winner) = (drawn, place);
                        }
                    }
                }
                let mut shares = vec![0.0; arms.len()];
                let one = 1.0 / draws as f64;
                best.into_iter().for_each(|(_, winner)| shares[winner] += one);
                shares
            }
            Self::UpperConfidence { alpha } => {
                let best = best_bounds(arms.iter().map(|arm| bound(belief(*arm), &probe, alpha)).collect());
                let count = best.iter().filter(|is_best| **is_best).count() as f64;
                best.into_iter().map(|is_best| if is_best { 1.0 / count } else { 0.0 }).collect()
            }
        }
    }

    /// See [`crate::policy::contextual::ContextualModel::choose`].
    pub(crate) fn choose<'a>(
        self,
        belief: impl Fn(usize) -> &'a Gaussian,
        arms: &[usize],
        features: &Features,
        rng: &mut Xoshiro256PlusPlus,
    ) -> usize {
        assert!(!arms.is_empty(), "a decision between no arms");
        let probe = Probe::new(features);
        match self {
            Self::Thompson { scale, .. } => {
                let means: Vec<f64> = arms.iter().map(|arm| belief(*arm).score_mean(&probe)).collect();
                let mut draw = |place: usize, bar: f64| {
                    let z: f64 = rng.sample(StandardNormal);
                    // Below its mean, which is below the bar: no need to know how far, and a variance is what costs.
                    if z <= 0.0 && means[place] <= bar {
                        return f64::NEG_INFINITY;
                    }
                    means[place] + z * scale * belief(arms[place]).score_variance(&probe).sqrt()
                };
                let mut winner = highest(&means);
                let (first, mut bar) = (winner, draw(winner, f64::NEG_INFINITY));
                for place in (0..arms.len()).filter(|place| *place != first) {
                    let score = draw(place, bar);
                    if score > bar {
                        (winner, bar) = (place, score);
                    }
                }
                winner
            }
            Self::UpperConfidence { alpha } => {
                let best = best_bounds(arms.iter().map(|arm| bound(belief(*arm), &probe, alpha)).collect());
                let places: Vec<usize> = (0..arms.len()).filter(|place| best[*place]).collect();
                if let [only] = places[..] { only } else { places[rng.random_range(0..places.len())] }
            }
        }
    }
}

fn bound(belief: &Gaussian, probe: &Probe, alpha: f64) -> f64 {
    belief.score_mean(probe) + alpha * belief.score_variance(probe).sqrt()
}

/// Which bounds are the highest.
fn best_bounds(bounds: Vec<f64>) -> Vec<bool> {
    let best = bounds[highest(&bounds)];
    let bar = best - TIE * best.abs();
    bounds.into_iter().map(|bound| bound >= bar).collect()
}

/// All that deciding needs: what was believed of every arm at one moment, and the rule. Shared memory, never written to.
#[derive(Debug, Clone)]
pub struct Beliefs {
    pub(crate) rule: Rule,
    pub(crate) unknown: Arc<Gaussian>,
    pub(crate) arms: Vec<Option<Arc<Gaussian>>>,
}

impl Beliefs {
    /// As [`crate::policy::contextual::ContextualModel::shares`].
    #[must_use]
    pub fn shares(&self, arms: &[usize], features: &Features, seed: Seed) -> Vec<f64> {
        self.rule.shares(|arm| self.of(arm), arms, features, seed)
    }

    /// As [`crate::policy::contextual::ContextualModel::choose`].
    #[must_use]
    pub fn choose(&self, arms: &[usize], features: &Features, rng: &mut Xoshiro256PlusPlus) -> usize {
        self.rule.choose(|arm| self.of(arm), arms, features, rng)
    }

    /// What is believed of an arm: the prior, where nothing was learned.
    #[must_use]
    pub fn of(&self, arm: usize) -> &Gaussian {
        self.arms.get(arm).and_then(Option::as_ref).unwrap_or(&self.unknown)
    }
}
