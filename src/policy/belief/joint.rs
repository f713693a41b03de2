//! Joint distributions of the arms' mean rewards, by what rewards are.

use rand::rngs::Xoshiro256PlusPlus;

use crate::posterior::pooling::Pooled;
use crate::posterior::{Beta, BetaSampler, Gamma, GammaSampler, StudentSampler, StudentT};

/// The joint distribution of the arms' mean rewards.
pub(super) trait Joint {
    /// Its mean, by arm.
    fn means(&self) -> Vec<f64>;
    /// One draw, into one number for each arm.
    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]);
    /// One draw of a segment among others: from `common` what they share, if they share anything.
    fn draw_among(&self, common: &mut Xoshiro256PlusPlus, own: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        let _ = common;
        self.draw(own, rewards);
    }
}

/// Independent rates.
pub(super) struct Rates {
    means: Vec<f64>,
    samplers: Vec<BetaSampler>,
}

impl Rates {
    pub(super) fn new(rates: &[Beta]) -> Self {
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

/// Independent mean rewards.
pub(super) struct Totals {
    means: Vec<f64>,
    samplers: Vec<StudentSampler>,
}

impl Totals {
    pub(super) fn new(rewards: &[StudentT]) -> Self {
        Self {
            means: rewards.iter().map(|reward| reward.location).collect(),
            samplers: rewards.iter().map(StudentSampler::new).collect(),
        }
    }
}

impl Joint for Totals {
    fn means(&self) -> Vec<f64> {
        self.means.clone()
    }

    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        rewards.iter_mut().zip(&self.samplers).for_each(|(reward, sampler)| *reward = sampler.sample(rng));
    }
}

/// Independent rates of counts.
pub(super) struct Counts {
    rates: Vec<Gamma>,
    samplers: Vec<GammaSampler>,
}

impl Counts {
    pub(super) fn new(rates: Vec<Gamma>) -> Self {
        let samplers = rates.iter().map(|rate| GammaSampler::new(rate.shape)).collect();
        Self { rates, samplers }
    }
}

impl Joint for Counts {
    fn means(&self) -> Vec<f64> {
        self.rates.iter().map(Gamma::mean).collect()
    }

    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        for ((reward, sampler), rate) in rewards.iter_mut().zip(&self.samplers).zip(&self.rates) {
            *reward = sampler.sample(rng) / rate.rate;
        }
    }
}

impl Joint for Pooled {
    fn means(&self) -> Vec<f64> {
        self.means()
    }

    fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        self.draw(rng, rewards);
    }

    fn draw_among(&self, common: &mut Xoshiro256PlusPlus, own: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        self.draw_among(common, own, rewards);
    }
}
