//! What is believed of every arm's score at once: the one place where policies that learn get means and joint draws from,
//! whatever the rewards are and however segments borrow from each other.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Seed;
use crate::policy::best_arm::{Resolution, best_probabilities};
use crate::policy::parameters::{self, Parameters};
use crate::policy::{Evidence, PolicyError, Pooling, Worth};
use crate::posterior::{Beta, BetaSampler};

/// Parameters that every policy on posteriors shares.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Whose evidence a segment's beliefs come from.
    pub pooling: Pooling,
    /// Of a rate, before the first exposure.
    pub prior: Beta,
    /// How many times each exposure counts.
    pub sharpening: f64,
    /// Joint draws that shares are counted from where they have no closed form.
    pub draws: usize,
}

/// The joint distribution of the arms' mean rewards.
trait Joint {
    /// Its mean, by arm.
    fn means(&self) -> Vec<f64>;
    /// One draw, into one number for each arm.
    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]);
}

/// What is believed of every arm's score.
pub struct Belief<'a> {
    joint: Box<dyn Joint>,
    /// Where the arms are independent and scores are rates, whose best-arm probabilities have a quadrature.
    rates: Option<Vec<Beta>>,
    worths: &'a [Worth],
    arms_count: usize,
    draws: usize,
}

/// Joint draws of the arms' scores.
#[derive(Debug, Clone)]
pub struct Draws {
    arms_count: usize,
    /// One row of `arms_count` scores after another.
    scores: Vec<f64>,
}

impl Model {
    /// Reads the parameters that every policy on posteriors shares.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] names the parameter.
    pub fn read(given: &Parameters) -> Result<Self, PolicyError> {
        Ok(Self {
            pooling: parameters::pooling(given)?,
            prior: parameters::prior(given)?,
            sharpening: given.number(&parameters::SHARPENING, 0.1, 8.0)?,
            draws: parameters::draws(given)?,
        })
    }

    /// The same for a policy that looks at means alone, which sharpening and draws do not change.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] names the parameter.
    pub fn for_means(given: &Parameters) -> Result<Self, PolicyError> {
        Ok(Self {
            pooling: parameters::pooling(given)?,
            prior: parameters::prior(given)?,
            sharpening: 1.0,
            draws: 1_024,
        })
    }

    /// What is believed, given the evidence.
    #[must_use]
    pub fn believe<'a>(&self, evidence: &Evidence<'a>) -> Belief<'a> {
        let rates: Vec<Beta> = evidence
            .arms
            .iter()
            .map(|arm| Beta::from_counts(self.prior, arm.exposures, arm.conversions, self.sharpening))
            .collect();
        Belief {
            joint: Box::new(Rates::new(&rates)),
            rates: evidence.worths.is_empty().then_some(rates),
            worths: evidence.worths,
            arms_count: evidence.arms.len(),
            draws: self.draws,
        }
    }
}

impl Belief<'_> {
    /// The mean score of each arm.
    #[must_use]
    pub fn means(&self) -> Vec<f64> {
        let mut means = self.joint.means();
        self.value(&mut means);
        means
    }

    /// Joint draws of all scores, repeated by the same seed.
    #[must_use]
    pub fn draws(&self, seed: Seed) -> Draws {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.0);
        let mut scores = vec![0.0; self.draws * self.arms_count];
        for row in scores.chunks_exact_mut(self.arms_count) {
            self.joint.draw(&mut rng, row);
            self.value(row);
        }
        Draws { arms_count: self.arms_count, scores }
    }

    /// The posteriors themselves where arms are independent and scores are rates, for what has a closed form or a quadrature.
    #[must_use]
    pub fn rates(&self) -> Option<&[Beta]> {
        self.rates.as_deref()
    }

    /// The probability of each arm to have the highest score: by quadrature where there is one, else the share of joint
    /// draws, whose shares are exact propensities all the same (STATISTICS §6c).
    #[must_use]
    pub fn best_probabilities(&self, seed: Seed) -> Vec<f64> {
        let exact = self.rates.as_ref().and_then(|rates| best_probabilities(rates, Resolution::Propensity));
        exact.unwrap_or_else(|| self.draws(seed).best_shares())
    }

    /// From mean rewards to scores.
    fn value(&self, rewards: &mut [f64]) {
        for (reward, worth) in rewards.iter_mut().zip(self.worths) {
            *reward = reward.mul_add(worth.per_reward, worth.per_exposure);
        }
    }
}

impl Draws {
    /// The draws, one slice of scores each.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.scores.chunks_exact(self.arms_count)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.scores.len() / self.arms_count
    }

    /// The share of draws in which each arm has the highest score.
    #[must_use]
    pub fn best_shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.arms_count];
        let one = 1.0 / self.count() as f64;
        self.rows().for_each(|row| shares[highest(row)] += one);
        shares
    }
}

/// The arm with the highest score, the first of several.
#[must_use]
pub fn highest(scores: &[f64]) -> usize {
    (1..scores.len()).fold(0, |best, arm| if scores[arm] > scores[best] { arm } else { best })
}

/// Independent rates.
struct Rates {
    means: Vec<f64>,
    samplers: Vec<BetaSampler>,
}

impl Rates {
    fn new(rates: &[Beta]) -> Self {
        Self { means: rates.iter().map(Beta::mean).collect(), samplers: rates.iter().map(BetaSampler::new).collect() }
    }
}

impl Joint for Rates {
    fn means(&self) -> Vec<f64> {
        self.means.clone()
    }

    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        rewards.iter_mut().zip(&self.samplers).for_each(|(rate, sampler)| *rate = sampler.sample(rng));
    }
}
