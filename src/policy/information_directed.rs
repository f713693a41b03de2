//! Information-directed sampling, variance-based: the shares that lose least for what they are expected to teach about which
//! variation is the best (Russo & Van Roy, "Learning to optimize via information-directed sampling", Operations Research 66,
//! 2018).
//!
//! With Δ what an arm is expected to lose and v the variance of its mean score given which arm is the best, the shares π
//! minimise (π·Δ)^λ/(π·v). Where that is at most some number is a convex set for every λ ≥ 1, so that the minimum is reached
//! on at most two arms (theirs is λ = 2), and all pairs are tried. A lower λ pays more for information: where many arms
//! differ, fewer runs settle on a wrong one.

use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::belief::{Belief, Draws, Model, highest};
use crate::policy::best_arm::Resolution;
use crate::policy::best_arm::conditional::{Conditional, conditional};
use crate::policy::parameters::{DRAWS, POOLING, PRIOR, SHARPENING};
use crate::policy::{Evidence, Parameter, ParameterSpec, Parameters, Policy, PolicyError, Pooling, Registration};
use crate::posterior::Beta;

/// Ratios this close, relative to the least, are ties: equal arms differ by rounding, and most where rates are near 1.
const TIE: f64 = 1e-5;

const EXPONENT: ParameterSpec = ParameterSpec {
    name: "exponent",
    summary: "how much losses weigh against information: 2 is the published form, less explores more",
    allowed: "a number from 1.1 to 4",
    default: |_| Some(Parameter::Number(1.5)),
};

/// `information-directed`, with `exponent`, `pooling`, `prior`, `sharpening` and `draws`.
pub const REGISTRATION: Registration = Registration {
    kind: "information-directed",
    summary: "information-directed sampling: the shares that lose least for what they teach about which variation is best",
    parameters: &[EXPONENT, POOLING, PRIOR, SHARPENING, DRAWS],
    example: |_| Parameters::new(),
    build: |parameters, variations: &[VariationKey]| {
        Ok(Box::new(InformationDirected::new(parameters, variations.len())?))
    },
};

/// Shares with the least information ratio.
#[derive(Debug, Clone, Copy)]
pub struct InformationDirected {
    exponent: f64,
    model: Model,
}

impl InformationDirected {
    fn new(given: &Parameters, variations_count: usize) -> Result<Self, PolicyError> {
        Ok(Self { exponent: given.number(&EXPONENT, 1.1, 4.0)?, model: Model::read(given, variations_count)? })
    }
}

impl Policy for InformationDirected {
    fn pooling(&self) -> Pooling {
        self.model.pooling
    }

    fn prior(&self) -> Beta {
        self.model.prior
    }

    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let moments = moments(&self.model.believe(evidence), evidence.seed);
        least_ratio(&prospects(&moments), self.exponent)
    }
}

/// What showing one arm is expected to cost and to teach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prospect {
    /// Δ: expected score lost against the best arm, not negative.
    pub loss: f64,
    /// v: variance of the arm's mean score given which arm is the best, not negative.
    pub information: f64,
}

/// By quadrature where there is one, else from joint draws.
fn moments(belief: &Belief<'_>, seed: Seed) -> Conditional {
    let exact = belief.rates().and_then(|rates| conditional(rates, Resolution::Propensity));
    exact.unwrap_or_else(|| counted(&belief.draws(seed)))
}

fn counted(draws: &Draws) -> Conditional {
    let best = draws.best_shares();
    let mut joint = vec![vec![0.0; best.len()]; best.len()];
    let one = 1.0 / draws.count() as f64;
    for scores in draws.rows() {
        let winner = highest(scores);
        joint.iter_mut().zip(scores).for_each(|(row, score)| row[winner] += score * one);
    }
    Conditional { best, joint }
}

/// Cost and information of every arm: `v_a = Σ_b p_b (E[θ_a | b best] − E[θ_a])²`.
#[must_use]
pub fn prospects(moments: &Conditional) -> Vec<Prospect> {
    let highest: f64 = (0..moments.best.len()).map(|arm| moments.joint[arm][arm]).sum();
    let prospect = |row: &Vec<f64>| {
        let mean: f64 = row.iter().sum();
        let terms = row.iter().zip(&moments.best).filter(|(_, share)| **share > 0.0);
        let information = terms.map(|(joint, share)| (joint - share * mean).powi(2) / share).sum();
        Prospect { loss: (highest - mean).max(0.0), information }
    };
    moments.joint.iter().map(prospect).collect()
}

/// The shares that minimise (π·Δ)^`exponent`/(π·v), for an exponent above 1. What reaches the least is a convex set, so that
/// the average over several pairs that do is as good, and no order of arms is preferred.
///
/// Where nothing is to be learned, all the traffic goes to what loses least.
#[must_use]
pub fn least_ratio(prospects: &[Prospect], exponent: f64) -> Vec<f64> {
    let alone: Vec<f64> =
        prospects.iter().map(|prospect| ratio(prospect.loss, prospect.information, exponent)).collect();
    let mut candidates: Vec<(f64, usize, usize, f64)> =
        alone.iter().enumerate().map(|(arm, value)| (*value, arm, arm, 1.0)).collect();
    for (first, one) in prospects.iter().enumerate() {
        for (second, other) in prospects.iter().enumerate().skip(first + 1) {
            let Some(share) = best_share(one, other, exponent) else { continue };
            let mix = |one: f64, other: f64| share * one + (1.0 - share) * other;
            let value = ratio(mix(one.loss, other.loss), mix(one.information, other.information), exponent);
            // Between two that are alike every share is as good, and the one found is rounding.
            if value < alone[first].min(alone[second]) * (1.0 - TIE) {
                candidates.push((value, first, second, share));
            }
        }
    }
    let least = candidates.iter().map(|candidate| candidate.0).fold(f64::INFINITY, f64::min);
    let mut shares = vec![0.0; prospects.len()];
    if least.is_infinite() {
        let bar = prospects.iter().map(|prospect| prospect.loss).fold(f64::INFINITY, f64::min) * (1.0 + TIE);
        let least: Vec<usize> = (0..prospects.len()).filter(|arm| prospects[*arm].loss <= bar).collect();
        least.iter().for_each(|arm| shares[*arm] = 1.0 / least.len() as f64);
        return shares;
    }
    let ties: Vec<_> = candidates.iter().filter(|candidate| candidate.0 <= least * (1.0 + TIE)).collect();
    for (_, first, second, share) in &ties {
        shares[*first] += share / ties.len() as f64;
        shares[*second] += (1.0 - share) / ties.len() as f64;
    }
    shares
}

/// Infinite where nothing is learned.
fn ratio(loss: f64, information: f64, exponent: f64) -> f64 {
    if information > 0.0 { loss.powf(exponent) / information } else { f64::INFINITY }
}

/// The share of `one` against `other` in (0, 1) at which the ratio's derivative is 0, if there is one. With Δ = D + q d and
/// v = V + q w it is 0 where λ d (V + q w) = w (D + q d), at q = (D/d − λ V/w)/(λ − 1).
fn best_share(one: &Prospect, other: &Prospect, exponent: f64) -> Option<f64> {
    let (loss, information) = (one.loss - other.loss, one.information - other.information);
    let share = (other.loss / loss - exponent * other.information / information) / (exponent - 1.0);
    // Not a number where both are alike, infinite where one of them is: then the least is at an end.
    (share > 0.0 && share < 1.0).then_some(share)
}

#[cfg(test)]
mod tests;
