//! Mean rewards of unknown variance: the conjugate Normal-Inverse-Gamma posterior, and the posterior on total reward that
//! decisions about revenue use (STATISTICS §2.2, §2.4).

use rand::Rng;
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::posterior::{Arm, Beta, GammaSampler};

/// Student's t distribution, moved and scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudentT {
    /// Degrees of freedom, above 0.
    pub freedom: f64,
    /// Its centre, and its mean from more than one degree of freedom on.
    pub location: f64,
    /// In the unit of the location, not negative.
    pub scale: f64,
}

impl StudentT {
    /// The value below which the share `probability` of the distribution lies; infinite for the ends.
    ///
    /// T²/(ν + T²) is Beta(½, ν/2); near its upper end its complement is taken, which keeps the digits.
    ///
    /// # Panics
    /// If `probability` is not within 0 and 1.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        assert!((0.0..=1.0).contains(&probability), "a quantile of {probability}");
        let half = 0.5 * self.freedom;
        let beta = |a: f64, b: f64| Beta::new(a, b).expect("degrees of freedom are above 0");
        let central = (2.0 * probability - 1.0).abs();
        let odds = if central < 0.5 {
            let share = beta(0.5, half).quantile(central);
            share / (1.0 - share)
        } else {
            let share = beta(half, 0.5).quantile(1.0 - central);
            (1.0 - share) / share
        };
        let distance = (self.freedom * odds).sqrt();
        self.location + self.scale * if probability < 0.5 { -distance } else { distance }
    }

    /// The equal-tailed interval that holds the share `level`, for example 0.95: lower and upper end.
    ///
    /// # Panics
    /// If `level` is not within 0 and 1.
    #[must_use]
    pub fn interval(&self, level: f64) -> (f64, f64) {
        assert!((0.0..=1.0).contains(&level), "an interval of level {level}");
        let tail = 0.5 * (1.0 - level);
        (self.quantile(tail), self.quantile(1.0 - tail))
    }
}

/// Draws from one Student t distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudentSampler {
    location: f64,
    /// The scale times sqrt(ν/2).
    scale: f64,
    chi: GammaSampler,
}

impl StudentSampler {
    /// For a distribution.
    ///
    /// # Panics
    /// If the degrees of freedom are not above 0.
    #[must_use]
    pub fn new(distribution: &StudentT) -> Self {
        let half = 0.5 * distribution.freedom;
        Self { location: distribution.location, scale: distribution.scale * half.sqrt(), chi: GammaSampler::new(half) }
    }

    /// One draw.
    #[inline]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let normal: f64 = rng.sample(StandardNormal);
        self.location + self.scale * normal / self.chi.sample(rng).sqrt()
    }
}

/// A normal mean and its variance, jointly: σ² is inverse-gamma and the mean is normal given σ².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalInverseGamma {
    /// μ, the mean.
    pub mean: f64,
    /// κ, how many observations the mean is worth; above 0.
    pub count: f64,
    /// a, half the degrees of freedom of σ²; above 0.
    pub shape: f64,
    /// b, half the sum of squares behind σ²; above 0.
    pub rate: f64,
}

impl NormalInverseGamma {
    /// The posterior after the observations of an arm: its exposures, their sum and sum of squares.
    #[must_use]
    pub fn after(&self, arm: &Arm) -> Self {
        let n = arm.exposures;
        if n <= 0.0 {
            return *self;
        }
        let mean = arm.sum / n;
        let squares = (arm.squares - arm.sum * mean).max(0.0);
        let count = self.count + n;
        Self {
            mean: (self.count * self.mean + arm.sum) / count,
            count,
            shape: self.shape + 0.5 * n,
            rate: self.rate + 0.5 * squares + 0.5 * self.count * n * (mean - self.mean).powi(2) / count,
        }
    }

    /// The distribution of the mean alone.
    #[must_use]
    pub fn marginal(&self) -> StudentT {
        StudentT {
            freedom: 2.0 * self.shape,
            location: self.mean,
            scale: (self.rate / (self.shape * self.count)).sqrt(),
        }
    }
}

/// Visitors with the mean and the spread of all arms that each arm is credited with.
const PRIOR_VISITORS: f64 = 20.0;

/// Fewest degrees of freedom: an arm's first visitors say little about the spread of its rewards.
const FREEDOM_MIN: f64 = 4.0;

/// The mean reward of each arm as decisions see it: normal on the total reward of a visitor, zeros included, which takes
/// refunds as it takes purchases. Each arm begins with 20 visitors of the pooled mean and spread; `sharpening` multiplies
/// the evidence.
///
/// Unlike STATISTICS §2.4, the spread is around the arm's mean and not around 0: no different where most rewards are zero,
/// and not too wide where most are not.
#[must_use]
pub fn total_rewards(arms: &[Arm], sharpening: f64) -> Vec<StudentT> {
    let (mut exposures, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for arm in arms {
        exposures += arm.trials();
        sum += arm.sum;
        squares += arm.squares;
    }
    let (mean, square) = (sum / exposures.max(1.0), squares / exposures.max(1.0));
    // Equal rewards leave next to no spread, and none leave no scale: any unit will do, since all arms have it.
    let least = if square > 0.0 { 1e-18 * square } else { 1.0 };
    let belief = |arm: &Arm| {
        let n = arm.trials() + PRIOR_VISITORS;
        let location = (arm.sum + PRIOR_VISITORS * mean) / n;
        let variance = ((arm.squares + PRIOR_VISITORS * square) / n - location * location).max(least);
        StudentT { freedom: arm.trials().max(FREEDOM_MIN), location, scale: (variance / (n * sharpening)).sqrt() }
    };
    arms.iter().map(belief).collect()
}

#[cfg(test)]
mod tests {
    //! Values from scipy; moments of draws.

    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use crate::posterior::Arm;
    use crate::posterior::normal::*;

    fn observed(rewards: &[f64]) -> Arm {
        Arm {
            exposures: rewards.len() as f64,
            conversions: rewards.iter().filter(|reward| reward.abs() > 0.0).count() as f64,
            sum: rewards.iter().sum(),
            squares: rewards.iter().map(|reward| reward * reward).sum(),
        }
    }

    fn assert_close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want} within {relative}");
    }

    #[test]
    fn the_conjugate_posterior_of_a_known_case() {
        let prior = NormalInverseGamma { mean: 10.0, count: 1.0, shape: 2.0, rate: 4.0 };
        let posterior = prior.after(&observed(&[10.0, 12.5, 9.0, 11.0, 30.0]));
        assert_close(posterior.mean, 13.75, 1e-12);
        assert_close(posterior.count, 6.0, 1e-15);
        assert_close(posterior.shape, 4.5, 1e-15);
        assert_close(posterior.rate, 165.9375, 1e-12);
        assert_close(posterior.marginal().quantile(0.975), 19.358_066_611_315_664, 1e-10);
        assert_eq!(prior.after(&Arm::default()), prior);
    }

    #[test]
    fn quantiles_of_students_t() {
        let t = |freedom| StudentT { freedom, location: 0.0, scale: 1.0 };
        // The Cauchy distribution has tan(π (p − ½)).
        for p in [0.01, 0.3, 0.6, 0.999] {
            assert_close(t(1.0).quantile(p), (std::f64::consts::PI * (p - 0.5)).tan(), 1e-11);
        }
        assert_close(t(1e8).quantile(0.975), 1.959_963_984_540_054, 1e-7);
        let (low, high) = StudentT { freedom: 7.0, location: 3.0, scale: 2.0 }.interval(0.9);
        assert_close(low + high, 6.0, 1e-12);
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_the_distribution() {
        let sampler = StudentSampler::new(&StudentT { freedom: 12.0, location: 5.0, scale: 2.0 });
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let draws: Vec<f64> = (0..100_000).map(|_| sampler.sample(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 1e5;
        // Var = 4·12/10; excess kurtosis 6/8, so the variance has a standard error of 4.8 sqrt(2.75/1e5).
        assert!((mean - 5.0).abs() < 5.0 * (4.8_f64 / 1e5).sqrt(), "{mean}");
        assert!((variance - 4.8).abs() < 5.0 * 4.8 * (2.75_f64 / 1e5).sqrt(), "{variance}");
    }

    #[test]
    fn arms_begin_at_the_pooled_mean_and_leave_it_with_their_visitors() {
        let arms = [
            Arm { exposures: 1_000.0, conversions: 50.0, sum: 2_500.0, squares: 150_000.0 },
            Arm { exposures: 1_000.0, conversions: 30.0, sum: 1_500.0, squares: 90_000.0 },
            Arm::default(),
        ];
        let beliefs = total_rewards(&arms, 1.0);
        assert_close(beliefs[0].location, (2_500.0 + 20.0 * 2.0) / 1_020.0, 1e-12);
        assert_close(beliefs[2].location, 2.0, 1e-12);
        assert_close(beliefs[2].scale, ((120.0 - 4.0) / 20.0_f64).sqrt(), 1e-12);
        assert_close(beliefs[2].freedom, 4.0, 1e-15);
        let sharp = total_rewards(&arms, 4.0);
        assert_close(sharp[0].scale, beliefs[0].scale / 2.0, 1e-12);
    }

    #[test]
    fn no_rewards_and_equal_rewards_leave_a_scale_to_draw_with() {
        for arm in [Arm::default(), Arm { exposures: 100.0, ..Arm::default() }, observed(&[7.0; 50])] {
            for belief in total_rewards(&[arm; 3], 1.0) {
                assert!(belief.scale > 0.0 && belief.scale.is_finite() && belief.location.is_finite(), "{belief:?}");
            }
        }
    }
}
