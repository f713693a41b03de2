//! What is believed about each arm: mean, interval, and how likely it is to be the best.

use crate::domain::Seed;
use crate::policy::best_arm::{Resolution, best_by_draws, best_probabilities, expected_loss, expected_loss_by_draws};
use crate::posterior::Beta;
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

#[cfg(test)]
mod tests;
