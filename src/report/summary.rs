//! What is believed about each arm: mean, interval, and how likely it is to be the best.

use crate::domain::Seed;
use crate::policy::belief::highest;
use crate::policy::best_arm::{Resolution, best_by_draws, best_probabilities, expected_loss, expected_loss_by_draws};
use crate::posterior::Beta;
use crate::posterior::hurdle::Estimate;
use crate::report::intervals::{Interval, posterior_interval};

/// Joint draws where the quadrature has no answer: a standard error below 0.003.
const DRAWS: usize = 32_768;

/// The model's beliefs about one arm. All of them hold given the model, and none is a statement about lift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmSummary {
    /// Posterior mean of the rate.
    pub mean: f64,
    /// Equal-tailed 95 % posterior interval of the rate.
    pub interval: Interval,
    /// Model probability that this arm has the highest rate. A number to decide by: under a policy that moves traffic it
    /// is no error rate, so it must never be labelled "confidence".
    pub best_probability: f64,
    /// E[highest rate − this arm's rate], in units of the rate: what showing this arm to everyone would lose per exposure.
    pub expected_loss: f64,
}

/// Summarises arms in the order given, from their unsharpened posteriors; `seed` serves draws where the quadrature's grid would be
/// too large.
///
/// # Panics
/// If there are no arms or more than 256.
#[must_use]
pub fn summarise(posteriors: &[Beta], seed: Seed) -> Vec<ArmSummary> {
    let best = best_probabilities(posteriors, Resolution::Report)
        .or_else(|| best_probabilities(posteriors, Resolution::Propensity))
        .unwrap_or_else(|| best_by_draws(posteriors, DRAWS, seed));
    let losses = expected_loss(posteriors, Resolution::Report)
        .or_else(|| expected_loss(posteriors, Resolution::Propensity))
        .unwrap_or_else(|| expected_loss_by_draws(posteriors, DRAWS, seed));
    posteriors
        .iter()
        .zip(best)
        .zip(losses)
        .map(|((posterior, best_probability), expected_loss)| ArmSummary {
            mean: posterior.mean(),
            interval: posterior_interval(posterior),
            best_probability,
            expected_loss,
        })
        .collect()
}

/// The same two numbers from joint draws of scores that have no closed form, by arm: the model probability of the highest score, and
/// E[highest score − this arm's], in the scores' unit. Rows of `arms_count` scores, one after another.
///
/// # Panics
/// If there is no arm.
#[must_use]
pub fn of_draws(scores: &[f64], arms_count: usize) -> Vec<(f64, f64)> {
    let one = 1.0 / (scores.len() / arms_count) as f64;
    let mut found = vec![(0.0, 0.0); arms_count];
    for row in scores.chunks_exact(arms_count) {
        let best = highest(row);
        found[best].0 += one;
        for ((_, loss), score) in found.iter_mut().zip(row) {
            *loss += one * (row[best] - score);
        }
    }
    found
}

/// Mean and 95 % interval of one arm in such draws: equal-tailed quantiles.
///
/// # Panics
/// If there are no draws.
#[must_use]
pub fn estimate(scores: &[f64], arms_count: usize, arm: usize) -> Estimate {
    let mut column: Vec<f64> = scores.iter().skip(arm).step_by(arms_count).copied().collect();
    column.sort_unstable_by(f64::total_cmp);
    let tail = column.len() * 25 / 1_000;
    let mean = column.iter().sum::<f64>() / column.len() as f64;
    Estimate { mean, low: column[tail], high: column[column.len() - 1 - tail] }
}

#[cfg(test)]
mod tests;
