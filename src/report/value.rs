//! Goals whose rewards have values: what a visitor is worth, over one segment or several that a policy filled differently
//! (see [`crate::report::standardised`]). A segment is its weight, above 0, and the counts of its variations.

use crate::domain::Seed;
use crate::posterior::gamma_poisson::rates;
use crate::posterior::hurdle::{Estimate, Hurdle, hurdle};
use crate::posterior::normal::total_rewards;
use crate::posterior::{Arm, Beta, Gamma};
use crate::report::intervals::{LEVEL, Z};
use crate::report::standardised::standardised;

/// What a visitor brings, and why: how many buy, and how much those who do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revenue {
    /// Of one visitor, in minor units.
    pub visitor: Estimate,
    /// The share of visitors with an order.
    pub conversion_rate: Estimate,
    /// The mean value of an order, in minor units; `None` before the first, or where orders are worth nothing on average.
    pub order_value: Option<Estimate>,
}

/// By variation. `None` before the first reward, when there is nothing to measure by.
///
/// The visitor's value is Normal on total reward (STATISTICS §2.4), as decisions see it; the parts are those of the hurdle model,
/// whose product differs from it a little.
#[must_use]
pub fn revenue(prior: Beta, segments: &[(f64, Vec<Arm>)], seed: Seed) -> Option<Vec<Revenue>> {
    let weights = shares(segments);
    if segments.iter().flat_map(|(_, arms)| arms).all(|arm| arm.squares <= 0.0) {
        return None;
    }
    let totals: Vec<_> = segments.iter().map(|(_, arms)| total_rewards(arms, 1.0)).collect();
    let hurdles: Vec<Option<Vec<Hurdle>>> =
        (0..).zip(segments).map(|(index, (_, arms))| hurdle(prior, arms, seed.child(index))).collect();
    let arms_count = segments.first().map_or(0, |(_, arms)| arms.len());
    let of = |arm: usize| {
        let visitor = match &totals[..] {
            [only] => {
                let (low, high) = only[arm].interval(LEVEL);
                Estimate { mean: only[arm].location, low, high }
            }
            several => {
                let moments = |total: &Vec<crate::posterior::StudentT>| {
                    let t = total[arm];
                    (t.location, t.scale * t.scale * t.freedom / (t.freedom - 2.0))
                };
                let (mean, variance) = sum(weights.iter().copied().zip(several.iter().map(moments)));
                normal(mean, variance)
            }
        };
        let rate = |(weight, (_, arms)): (&f64, &(f64, Vec<Arm>))| {
            (*weight, Beta::from_counts(prior, arms[arm].exposures, arms[arm].conversions, 1.0))
        };
        let rates: Vec<(f64, Beta)> = weights.iter().zip(segments).map(rate).collect();
        let rate = standardised(&rates);
        let (low, high) = rate.interval(LEVEL);
        let conversion_rate = Estimate { mean: rate.mean(), low, high };
        let order_value =
            order_value(&rates, hurdles.iter().map(|parts| parts.as_ref().map(|parts| parts[arm].order_value)));
        Revenue { visitor, conversion_rate, order_value }
    };
    Some((0..arms_count).map(of).collect())
}

/// Orders weigh as many as the segment's share of visitors and their rate make them.
fn order_value(rates: &[(f64, Beta)], values: impl Iterator<Item = Option<Estimate>>) -> Option<Estimate> {
    let known: Vec<(f64, Estimate)> =
        rates.iter().zip(values).filter_map(|((weight, rate), value)| Some((weight * rate.mean(), value?))).collect();
    if let [(_, only)] = known[..] {
        return Some(only);
    }
    let total: f64 = known.iter().map(|(weight, _)| weight).sum();
    let moments = known.iter().map(|(weight, value)| {
        let deviation = (value.high - value.low) / (2.0 * Z);
        (weight / total, (value.mean, deviation * deviation))
    });
    (total > 0.0).then(|| {
        let (mean, variance) = sum(moments);
        let estimate = normal(mean, variance);
        Estimate { low: estimate.low.max(0.0), ..estimate }
    })
}

/// How often it happens per visitor, by variation (STATISTICS §2.3); over several segments as the Gamma of the same mean and
/// variance.
#[must_use]
pub fn counts(segments: &[(f64, Vec<Arm>)]) -> Vec<Estimate> {
    let weights = shares(segments);
    let beliefs: Vec<Vec<Gamma>> = segments.iter().map(|(_, arms)| rates(arms, 1.0)).collect();
    let arms_count = segments.first().map_or(0, |(_, arms)| arms.len());
    let of = |arm: usize| {
        let moments = beliefs.iter().map(|rates| (rates[arm].mean(), rates[arm].shape / rates[arm].rate.powi(2)));
        let (mean, variance) = sum(weights.iter().copied().zip(moments));
        let joint = Gamma { shape: mean * mean / variance, rate: mean / variance };
        let (low, high) = joint.interval(LEVEL);
        Estimate { mean, low, high }
    };
    (0..arms_count).map(of).collect()
}

fn shares(segments: &[(f64, Vec<Arm>)]) -> Vec<f64> {
    let total: f64 = segments.iter().map(|(weight, _)| weight).sum();
    segments.iter().map(|(weight, _)| weight / total).collect()
}

/// Mean and variance of a weighted sum of independent numbers.
fn sum(parts: impl Iterator<Item = (f64, (f64, f64))>) -> (f64, f64) {
    parts.fold((0.0, 0.0), |(mean, variance), (weight, (m, v))| {
        (weight.mul_add(m, mean), (weight * weight).mul_add(v, variance))
    })
}

fn normal(mean: f64, variance: f64) -> Estimate {
    let reach = Z * variance.sqrt();
    Estimate { mean, low: mean - reach, high: mean + reach }
}

#[cfg(test)]
mod tests {
    //! Against averages that can be worked out by hand, and against counts that mislead when they are added up.

    use crate::domain::Seed;
    use crate::posterior::{Arm, Beta};
    use crate::report::value::*;

    /// Orders of this value, with a coefficient of variation of 1.
    fn sold(exposures: f64, orders: f64, value: f64) -> Arm {
        Arm { exposures, conversions: orders, sum: orders * value, squares: 2.0 * orders * value * value }
    }

    #[test]
    fn one_segment_comes_back_with_its_parts() {
        let arms = vec![sold(100_000.0, 5_000.0, 4_000.0), sold(100_000.0, 2_500.0, 8_000.0)];
        let found = revenue(Beta::UNIFORM, &[(3.0, arms)], Seed(1)).expect("orders");
        for (revenue, (rate, value)) in found.iter().zip([(0.05, 4_000.0), (0.025, 8_000.0)]) {
            assert!((revenue.visitor.mean - 200.0).abs() < 0.1, "{revenue:?}");
            assert!((revenue.conversion_rate.mean / rate - 1.0).abs() < 1e-3, "{revenue:?}");
            assert!((revenue.order_value.expect("orders").mean / value - 1.0).abs() < 1e-2, "{revenue:?}");
        }
        // The standard deviation of one visitor's total is sqrt(2 · 0.05 · 4,000² − 200²) = 1,249.
        let half = |revenue: &Revenue| (revenue.visitor.high - revenue.visitor.low) / 2.0;
        assert!((half(&found[0]) / (1.96 * 1_249.0 / 1e5_f64.sqrt()) - 1.0).abs() < 0.005, "{found:?}");
        assert!(half(&found[1]) > half(&found[0]));
    }

    #[test]
    fn segments_weigh_alike_for_every_variation() {
        // The first is better in both segments, and shown where visitors spend little.
        let poor = vec![sold(9_000.0, 450.0, 1_000.0), sold(1_000.0, 40.0, 1_000.0)];
        let rich = vec![sold(1_000.0, 100.0, 5_000.0), sold(9_000.0, 810.0, 5_000.0)];
        let found = revenue(Beta::UNIFORM, &[(1.0, poor), (1.0, rich)], Seed(1)).expect("orders");
        assert!(
            (found[0].visitor.mean - 275.0).abs() < 3.0 && (found[1].visitor.mean - 245.0).abs() < 3.0,
            "{found:?}"
        );
        assert!((found[0].conversion_rate.mean - 0.075).abs() < 1e-3, "{found:?}");
        // 50 of 1,000 and 100 of 5,000 in every 2,000 visitors.
        let value = found[0].order_value.expect("orders");
        assert!((value.mean - 3_667.0).abs() < 60.0 && value.low < value.mean && value.mean < value.high, "{value:?}");
    }

    #[test]
    fn nothing_sold_says_nothing() {
        assert_eq!(revenue(Beta::UNIFORM, &[(1.0, vec![Arm { exposures: 9.0, ..Arm::default() }])], Seed(1)), None);
    }

    #[test]
    fn counts_come_back_and_two_halves_are_nearly_the_whole() {
        let arm = |n: f64| Arm { exposures: n, conversions: 0.8 * n, sum: 2.0 * n, squares: 6.0 * n };
        let whole = counts(&[(1.0, vec![arm(10_000.0); 2])])[0];
        let halves = counts(&[(2.0, vec![arm(5_000.0); 2]), (2.0, vec![arm(5_000.0); 2])])[0];
        for estimate in [whole, halves] {
            assert!((estimate.mean - 2.0).abs() < 0.001, "{estimate:?}");
            // Poisson: sd = sqrt(2/10,000).
            assert!((estimate.high - 2.0 - 1.96 * 0.01414).abs() < 0.001, "{estimate:?}");
        }
    }
}
