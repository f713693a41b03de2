//! The probability that each of several independent Beta arms has the highest rate, and what choosing it would lose.
//!
//! One-dimensional quadrature in z = logit θ, where the density is smooth and falls off exponentially both ways, so that
//! the trapezoid rule converges spectrally (Trefethen & Weideman, "The exponentially convergent trapezoidal rule", SIAM
//! Review 56, 2014). Distribution functions come from the same grid by tail sums with two Euler–Maclaurin terms at their
//! open end. A grid of fixed size was rejected: between narrow arms it gave 0.44 for 0.40.
//!
//! Very wide and very narrow arms together would need an unbounded grid: then there is no answer here, and draws give one.

pub mod conditional;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Seed;
use crate::posterior::{Beta, BetaSampler};

/// Most arms an allocation is computed for.
pub const ARMS_MAX: usize = 256;

mod curve;
mod grid;

use curve::LogitPoint;
use grid::Grid;

/// How fine the grid is, as a share of the narrowest arm's width s = sqrt(1/α + 1/β).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// s/2, for allocations: absolute error up to 2e-7.
    Propensity,
    /// s/8, for reports and tests: absolute error up to 1e-10.
    Report,
}

impl Resolution {
    fn cells_per_width(self) -> f64 {
        match self {
            Self::Propensity => 2.0,
            Self::Report => 8.0,
        }
    }

    /// Widths each way beyond which an arm is left out: 4e-9 and 1e-13 of its probability, a fiftieth of the error that the
    /// grid's fineness leaves.
    fn widths_kept(self) -> f64 {
        match self {
            Self::Propensity => 5.8,
            Self::Report => 7.6,
        }
    }
}

/// P(arm has the highest rate) for each arm, summing to 1; `None` if the grid would exceed 8192 cells.
///
/// # Panics
/// If there are no arms or more than [`ARMS_MAX`].
#[must_use]
pub fn best_probabilities(arms: &[Beta], resolution: Resolution) -> Option<Vec<f64>> {
    if arms_count(arms) == 1 {
        return Some(vec![1.0]);
    }
    let grid = Grid::new(arms, resolution)?;
    Some(grid.shares(arms))
}

/// A normal distribution of an arm's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation, not negative.
    pub deviation: f64,
}

/// [`best_probabilities`] of normally distributed scores, in z = score; `None` also where a score has no spread.
///
/// # Panics
/// If there are no arms or more than [`ARMS_MAX`].
#[must_use]
pub fn best_of_normals(arms: &[Normal], resolution: Resolution) -> Option<Vec<f64>> {
    if arms_count(arms) == 1 {
        return Some(vec![1.0]);
    }
    let usable = |arm: &Normal| arm.mean.is_finite() && arm.deviation.is_normal() && arm.deviation > 0.0;
    if !arms.iter().all(usable) {
        return None;
    }
    Some(Grid::new(arms, resolution)?.shares(arms))
}

/// E[max over all arms of θ − θ of this arm] for each arm, in units of the rate, never negative; `None` if the grid would
/// exceed 8192 cells. For two arms A, B the first entry is E[(θ_B − θ_A)⁺].
///
/// E[max θ] = Σ_j ∫ σ(z) f_j(z) Π_{k≠j} F_k(z) dz, from the grid of [`best_probabilities`]; the means are exact. What the
/// quadrature of max θ misses is divided out by the same integral without σ(z), which is 1.
///
/// # Panics
/// If there are no arms or more than [`ARMS_MAX`].
#[must_use]
pub fn expected_loss(arms: &[Beta], resolution: Resolution) -> Option<Vec<f64>> {
    if arms_count(arms) == 1 {
        return Some(vec![0.0]);
    }
    let grid = Grid::new(arms, resolution)?;
    let mut best_density = vec![0.0; grid.points().len()];
    grid.each_best(arms, |_, first, best| {
        best_density[first..].iter_mut().zip(best).for_each(|(sum, one)| *sum += one);
    });
    let total: f64 = best_density.iter().sum();
    let highest = best_density
        .iter()
        .zip(grid.points())
        .map(|(weight, point): (&f64, &LogitPoint)| weight * point.rate)
        .sum::<f64>()
        / total;
    Some(arms.iter().map(|arm| (highest - arm.mean()).max(0.0)).collect())
}

/// The share of `draws` joint draws in which each arm was highest.
///
/// Acting with exactly these shares keeps propensities exact: given the draws, they are the probabilities.
///
/// # Panics
/// If there are no arms, more than [`ARMS_MAX`], or no draws.
#[must_use]
pub fn best_by_draws(arms: &[Beta], draws: usize, seed: Seed) -> Vec<f64> {
    let mut wins = vec![0.0; arms_count(arms)];
    let mut rng = generator(draws, seed);
    let samplers: Vec<_> = arms.iter().map(BetaSampler::new).collect();
    for _ in 0..draws {
        let mut best = (0, f64::NEG_INFINITY);
        for (arm, sampler) in samplers.iter().enumerate() {
            // Log odds: rates of near-certain arms would tie at 1.
            let logit = sampler.sample_logit(&mut rng);
            if logit > best.1 {
                best = (arm, logit);
            }
        }
        wins[best.0] += 1.0;
    }
    wins.iter().map(|count| count / draws as f64).collect()
}

/// [`expected_loss`] as an average over `draws` joint draws; its standard error is at most 1/sqrt(`draws`).
///
/// # Panics
/// If there are no arms, more than [`ARMS_MAX`], or no draws.
#[must_use]
pub fn expected_loss_by_draws(arms: &[Beta], draws: usize, seed: Seed) -> Vec<f64> {
    let mut losses = vec![0.0; arms_count(arms)];
    let mut rates = vec![0.0; arms.len()];
    let mut rng = generator(draws, seed);
    let samplers: Vec<_> = arms.iter().map(BetaSampler::new).collect();
    for _ in 0..draws {
        rates.iter_mut().zip(&samplers).for_each(|(rate, sampler)| *rate = sampler.sample(&mut rng));
        let highest = rates.iter().copied().fold(0.0, f64::max);
        losses.iter_mut().zip(&rates).for_each(|(loss, rate)| *loss += highest - rate);
    }
    losses.iter().map(|loss| loss / draws as f64).collect()
}

fn arms_count<T>(arms: &[T]) -> usize {
    assert!((1..=ARMS_MAX).contains(&arms.len()), "an allocation over {} arms", arms.len());
    arms.len()
}

/// A generator that is named and fixed: the allocation a seed gives must be the same on every machine and release.
fn generator(draws: usize, seed: Seed) -> Xoshiro256PlusPlus {
    assert!(draws > 0, "shares of no draws");
    Xoshiro256PlusPlus::seed_from_u64(seed.0)
}

#[cfg(test)]
mod tests;
