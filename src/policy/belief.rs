//! What is believed of every arm's score at once: the one place where policies that learn get means and joint draws from,
//! whatever the rewards are and however segments borrow from each other.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::GoalKind;
use crate::domain::Seed;
use crate::policy::best_arm::{Normal, Resolution, best_of_normals, best_probabilities};
use crate::policy::parameters::{self, Parameters};
use crate::policy::{Arm, Evidence, PolicyError, Pooling, Worth};
use crate::posterior::gamma_poisson;
use crate::posterior::normal::total_rewards;
use crate::posterior::pooling::{Pooled, fit};
use crate::posterior::{Beta, StudentT};

mod joint;

use joint::{Counts, Joint, Rates, Totals};

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

/// What is believed of every arm's score.
pub struct Belief<'a> {
    joint: Box<dyn Joint>,
    independent: Option<Independent>,
    worths: &'a [Worth],
    arms_count: usize,
    draws: usize,
}

/// Independent scores whose best-arm probabilities have a quadrature.
enum Independent {
    Rates(Vec<Beta>),
    Normals(Vec<Normal>),
}

/// Degrees of freedom from which on a t distribution passes for a normal one: the probability that the better of two arms
/// is the better differs by less than 6e-4.
const NORMAL_FROM: f64 = 200.0;

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
    pub fn read(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            pooling: parameters::pooling_of(given, variations_count)?,
            prior: parameters::prior(given)?,
            sharpening: given.number(&parameters::SHARPENING, 0.1, 8.0)?,
            draws: parameters::draws(given)?,
        })
    }

    /// The same for a policy that looks at means alone, which sharpening and draws do not change.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] names the parameter.
    pub fn for_means(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self {
            pooling: parameters::pooling_of(given, variations_count)?,
            prior: parameters::prior(given)?,
            sharpening: 1.0,
            draws: 1_024,
        })
    }

    /// What is believed, given the evidence.
    #[must_use]
    pub fn believe<'a>(&self, evidence: &Evidence<'a>) -> Belief<'a> {
        let arms = evidence.arms;
        let (joint, independent): (Box<dyn Joint>, _) = match (self.pooling, evidence.kind) {
            (Pooling::Partial, _) => (Box::new(self.pooled(evidence)), None),
            (Pooling::None | Pooling::Complete, GoalKind::Conversion) => {
                let rate = |arm: &Arm| Beta::from_counts(self.prior, arm.exposures, arm.conversions, self.sharpening);
                let rates: Vec<Beta> = arms.iter().map(rate).collect();
                let joint = Box::new(Rates::new(&rates));
                (joint, evidence.worths.is_empty().then_some(Independent::Rates(rates)))
            }
            (Pooling::None | Pooling::Complete, GoalKind::Revenue) => {
                let rewards = total_rewards(arms, self.sharpening);
                let normals = normals(&rewards, evidence.worths);
                (Box::new(Totals::new(&rewards)), normals.map(Independent::Normals))
            }
            (Pooling::None | Pooling::Complete, GoalKind::Count) => {
                (Box::new(Counts::new(gamma_poisson::rates(arms, self.sharpening))), None)
            }
        };
        Belief { joint, independent, worths: evidence.worths, arms_count: arms.len(), draws: self.draws }
    }

    /// A segment among all; among itself alone where there is no fit for these arms, as before the first of a definition.
    fn pooled(&self, evidence: &Evidence<'_>) -> Pooled {
        let Evidence { arms, kind, expected_visitors, .. } = *evidence;
        match evidence.fit.filter(|fit| fit.kind() == kind && fit.arms_count() == arms.len()) {
            Some(fit) => fit.believe(arms, expected_visitors, self.sharpening),
            None => fit(kind, &[arms.to_vec()]).believe(arms, expected_visitors, self.sharpening),
        }
    }
}

/// The scores of mean rewards that are as good as normally distributed.
fn normals(rewards: &[StudentT], worths: &[Worth]) -> Option<Vec<Normal>> {
    if rewards.iter().any(|reward| reward.freedom < NORMAL_FROM) {
        return None;
    }
    let worth = |arm: usize| worths.get(arm).copied().unwrap_or(Worth { per_reward: 1.0, per_exposure: 0.0 });
    let score = |(arm, reward): (usize, &StudentT)| {
        let worth = worth(arm);
        Normal {
            mean: reward.location.mul_add(worth.per_reward, worth.per_exposure),
            deviation: reward.scale * worth.per_reward.abs(),
        }
    };
    Some(rewards.iter().enumerate().map(score).collect())
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

    /// Joint draws for one segment among several that are drawn together: `common` is the same for all of them, `own` another for
    /// each (see [`Pooled::draw_among`]).
    #[must_use]
    pub fn draws_among(&self, common: Seed, own: Seed) -> Draws {
        let [mut common, mut own] = [common, own].map(|seed| Xoshiro256PlusPlus::seed_from_u64(seed.0));
        let mut scores = vec![0.0; self.draws * self.arms_count];
        for row in scores.chunks_exact_mut(self.arms_count) {
            self.joint.draw_among(&mut common, &mut own, row);
            self.value(row);
        }
        Draws { arms_count: self.arms_count, scores }
    }

    /// The posteriors themselves where arms are independent and scores are rates, for what has a closed form or a quadrature.
    #[must_use]
    pub fn rates(&self) -> Option<&[Beta]> {
        match &self.independent {
            Some(Independent::Rates(rates)) => Some(rates),
            Some(Independent::Normals(_)) | None => None,
        }
    }

    /// The probability of each arm to have the highest score: by quadrature where there is one, else the share of joint
    /// draws, whose shares are exact propensities all the same (STATISTICS §6c).
    #[must_use]
    pub fn best_probabilities(&self, seed: Seed) -> Vec<f64> {
        let exact = self.independent.as_ref().and_then(|independent| match independent {
            Independent::Rates(rates) => best_probabilities(rates, Resolution::Propensity),
            Independent::Normals(normals) => best_of_normals(normals, Resolution::Propensity),
        });
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
