//! Revenue in its two parts, for reports: how many buy, and how much those who do. Says why an arm earns more; decisions
//! look at the total (STATISTICS §2.4).

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Seed;
use crate::posterior::gamma::Gamma;
use crate::posterior::{Arm, Beta, BetaSampler, GammaSampler};

/// A number and the equal-tailed interval that holds it with probability 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The posterior mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What an arm earns, taken apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hurdle {
    /// The share of visitors with an order.
    pub conversion_rate: Estimate,
    /// The mean value of an order, in minor units.
    pub order_value: Estimate,
    /// Their product: what a visitor is worth, in minor units.
    pub visitor_value: Estimate,
}

const LEVEL: f64 = 0.95;

/// Draws behind the interval of the product, whose quantiles have no closed form: its ends are within 0.007 of their
/// probability's 0.025 (four standard errors).
const DRAWS: usize = 8_192;

/// Orders of the pooled mean that each arm begins with.
const PRIOR_ORDERS: f64 = 2.0;

/// The range of k = 1/CV² of an order's value, which few orders say little about.
const SHAPE_MIN: f64 = 0.05;
const SHAPE_MAX: f64 = 1e4;

/// Of each arm; `None` where there is no order yet, or orders are worth nothing on average (refunds), which a Gamma
/// distribution cannot be.
///
/// Order values are Gamma-distributed with the shape k that all arms' orders have; one over an arm's mean order value is
/// then Gamma(2k + 1 + k x, 2k m̄ + k Σy). (STATISTICS §2.4 writes the mean as k over that, k times the average order.)
#[must_use]
pub fn hurdle(prior: Beta, arms: &[Arm], seed: Seed) -> Option<Vec<Hurdle>> {
    let sum = |count: fn(&Arm) -> f64| arms.iter().map(count).sum::<f64>();
    let orders = sum(|arm| arm.conversions);
    let mean = sum(|arm| arm.sum) / orders;
    let variance = sum(|arm| arm.squares) / orders - mean * mean;
    if !(orders > 0.0 && mean > 0.0 && mean.is_finite()) {
        return None;
    }
    let shape = (mean * mean / variance.max(0.0)).clamp(SHAPE_MIN, SHAPE_MAX);
    let of = |(index, arm): (u64, &Arm)| {
        let rate = Beta::from_counts(prior, arm.exposures, arm.conversions, 1.0);
        let order = Gamma {
            shape: shape * (PRIOR_ORDERS + arm.conversions) + 1.0,
            rate: shape * (PRIOR_ORDERS * mean + arm.sum.max(0.0)),
        };
        taken_apart(&rate, &order, seed.child(index))
    };
    Some((0..).zip(arms).map(of).collect())
}

/// With `order` the distribution of one over the mean order value.
fn taken_apart(rate: &Beta, order: &Gamma, seed: Seed) -> Hurdle {
    let (low, high) = rate.interval(LEVEL);
    let conversion_rate = Estimate { mean: rate.mean(), low, high };
    let (low, high) = order.interval(LEVEL);
    let order_value = Estimate { mean: order.rate / (order.shape - 1.0), low: high.recip(), high: low.recip() };
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.0);
    let (rates, orders) = (BetaSampler::new(rate), GammaSampler::new(order.shape));
    let mut draws: Vec<f64> =
        (0..DRAWS).map(|_| rates.sample(&mut rng) * order.rate / orders.sample(&mut rng)).collect();
    draws.sort_unstable_by(f64::total_cmp);
    let tail = DRAWS * 25 / 1_000;
    let visitor_value =
        Estimate { mean: conversion_rate.mean * order_value.mean, low: draws[tail], high: draws[DRAWS - 1 - tail] };
    Hurdle { conversion_rate, order_value, visitor_value }
}

#[cfg(test)]
mod tests {
    //! Averages come back from many visitors; little evidence makes wide intervals.

    use crate::domain::Seed;
    use crate::posterior::hurdle::*;
    use crate::posterior::{Arm, Beta};

    #[test]
    fn averages_come_back() {
        // 5 % buy for 4,000 on average, with a coefficient of variation of 1.
        let arm = Arm { exposures: 100_000.0, conversions: 5_000.0, sum: 2e7, squares: 1.6e11 };
        let parts = hurdle(Beta::UNIFORM, &[arm, arm], Seed(1)).expect("orders")[1];
        assert!((parts.conversion_rate.mean - 0.05).abs() < 1e-4, "{parts:?}");
        assert!((parts.order_value.mean - 4_000.0).abs() < 1.0, "{parts:?}");
        assert!((parts.visitor_value.mean - 200.0).abs() < 0.2, "{parts:?}");
        // Relative standard deviations are sqrt(0.95/5000) and 1/sqrt(5000), and add in quadrature.
        let sd = (parts.visitor_value.high - parts.visitor_value.low) / (2.0 * 1.96);
        assert!((sd / 200.0 - (1.95_f64 / 5_000.0).sqrt()).abs() < 0.001, "{sd}");
        assert!((parts.order_value.high - 4_000.0 * (1.0 + 1.96 / 5_000.0_f64.sqrt())).abs() < 10.0, "{parts:?}");
    }

    #[test]
    fn an_arm_without_orders_is_wide_around_the_others() {
        let sold = Arm { exposures: 1_000.0, conversions: 50.0, sum: 100_000.0, squares: 4e8 };
        let parts = hurdle(Beta::UNIFORM, &[sold, Arm::default()], Seed(1)).expect("orders")[1];
        assert!((parts.order_value.mean - 2_000.0).abs() < 1e-6, "{parts:?}");
        assert!(parts.order_value.high > 5_000.0 && parts.order_value.low < 1_000.0, "{parts:?}");
    }

    #[test]
    fn nothing_sold_or_all_refunded_has_no_parts() {
        assert_eq!(hurdle(Beta::UNIFORM, &[Arm::default(); 2], Seed(1)), None);
        let refunded = Arm { exposures: 10.0, conversions: 5.0, sum: -10.0, squares: 20.0 };
        assert_eq!(hurdle(Beta::UNIFORM, &[refunded; 2], Seed(1)), None);
    }
}
