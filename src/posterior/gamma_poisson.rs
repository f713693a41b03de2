//! How often something happens per exposure: counts that are Poisson given a Gamma-distributed rate (STATISTICS §2.3).

use crate::posterior::Arm;
use crate::posterior::gamma::Gamma;
use crate::posterior::special::{ln_rising_excess, stirling_remainder};

/// The posterior of a rate after `events` in `exposure`.
#[must_use]
pub fn posterior(prior: Gamma, events: f64, exposure: f64) -> Gamma {
    Gamma { shape: prior.shape + events.max(0.0), rate: prior.rate + exposure }
}

/// The log probability that the next exposure has so many events: negative binomial with p = rate/(rate + 1).
#[must_use]
pub fn ln_predictive(belief: Gamma, events: f64) -> f64 {
    let Gamma { shape, rate } = belief;
    let ln_factorial = if events > 0.0 {
        (events + 0.5) * events.ln() - events + 0.5 * (2.0 * std::f64::consts::PI).ln() + stirling_remainder(events)
    } else {
        0.0
    };
    ln_rising_excess(shape, events) + events * shape.ln()
        - ln_factorial
        - shape * rate.recip().ln_1p()
        - events * rate.ln_1p()
}

/// The rate of each arm. Each begins at the pooled rate, worth one event; `sharpening` multiplies the evidence.
///
/// Counts in practice vary more than Poisson's: a few visitors do most of it. The evidence is divided by how many times as
/// much, the quasi-likelihood of Wedderburn, "Quasi-likelihood functions, generalized linear models, and the Gauss–Newton
/// method", Biometrika 61, 1974; never multiplied, where they vary less.
#[must_use]
pub fn rates(arms: &[Arm], sharpening: f64) -> Vec<Gamma> {
    let sum = |count: fn(&Arm) -> f64| arms.iter().map(count).sum::<f64>();
    let exposures = sum(Arm::trials);
    let pooled = (sum(|arm| arm.sum.max(0.0)) + 0.5) / (exposures + 1.0);
    let variance = sum(|arm| arm.squares) / exposures.max(1.0) - pooled * pooled;
    let dispersion = (variance / pooled).max(1.0);
    let prior = Gamma { shape: 1.0, rate: pooled.recip() };
    let belief = |arm: &Arm| {
        let Gamma { shape, rate } = posterior(prior, arm.sum / dispersion, arm.trials() / dispersion);
        Gamma { shape: sharpening * shape, rate: sharpening * rate }
    };
    arms.iter().map(belief).collect()
}

#[cfg(test)]
mod tests {
    //! Values from scipy.

    use crate::posterior::Arm;
    use crate::posterior::gamma::Gamma;
    use crate::posterior::gamma_poisson::*;

    fn assert_close(got: f64, want: f64, relative: f64) {
        assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want} within {relative}");
    }

    #[test]
    fn a_known_case() {
        let belief = posterior(Gamma { shape: 2.0, rate: 0.5 }, 17.0, 9.0);
        assert_close(belief.quantile(0.975), 2.994_501_080_792_419, 1e-10);
        assert_close(ln_predictive(belief, 3.0), -1.762_777_262_857_301, 1e-10);
        let total: f64 = (0..200).map(|events| ln_predictive(belief, f64::from(events)).exp()).sum();
        assert_close(total, 1.0, 1e-10);
    }

    #[test]
    fn counts_that_vary_more_say_less() {
        let poisson = Arm { exposures: 100.0, conversions: 80.0, sum: 200.0, squares: 580.0 };
        let clumped = Arm { squares: 6_000.0, ..poisson };
        let [even, uneven] = [poisson, clumped].map(|arm| rates(&[arm; 2], 1.0)[0]);
        assert_close(even.shape, 201.0, 1e-12);
        assert!(uneven.shape < 20.0, "{uneven:?}");
        assert_close(uneven.mean(), even.mean(), 0.01);
    }
}
