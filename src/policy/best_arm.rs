//! The probability that each of several independent Beta arms has the highest rate, and what choosing it would lose.
//!
//! One-dimensional quadrature in z = logit θ, where the density is smooth and falls off exponentially both ways, so that
//! the trapezoid rule converges spectrally (Trefethen & Weideman, "The exponentially convergent trapezoidal rule", SIAM
//! Review 56, 2014). Distribution functions come from the same grid by tail sums with two Euler–Maclaurin terms at their
//! open end. A grid of fixed size was rejected: between narrow arms it gave 0.44 for 0.40.
//!
//! Very wide and very narrow arms together would need an unbounded grid: then there is no answer here, and draws give one.

pub mod conditional;

use std::ops::Range;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Seed;
use crate::posterior::{Beta, BetaSampler};

/// Most arms an allocation is computed for.
pub const ARMS_MAX: usize = 256;

/// Grid cells of one quadrature, at most.
const CELLS_MAX: f64 = 8192.0;
const CELLS_MIN: f64 = 48.0;

/// The width from which on the grid gets no coarser. The logit of an arm with a parameter below 1 is wide only on one side:
/// the other falls off as ln Gamma does, whose Fourier transform decays as e^(−π|ω|/2) however wide the arm.
const WIDTH_MAX: f64 = 1.0;

/// Densities below e^-46 (1e-20) change no digit of a probability.
const EXPONENT_MIN: f64 = -46.0;

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
    let mut shares = vec![0.0; arms.len()];
    grid.each_best(arms, |arm, _, best| shares[arm] = best.iter().sum());
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    Some(shares)
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
    let mut best_density = vec![0.0; grid.points.len()];
    grid.each_best(arms, |_, first, best| {
        best_density[first..].iter_mut().zip(best).for_each(|(sum, one)| *sum += one);
    });
    let total: f64 = best_density.iter().sum();
    let highest = best_density.iter().zip(&grid.points).map(|(weight, point)| weight * point.rate).sum::<f64>() / total;
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

fn arms_count(arms: &[Beta]) -> usize {
    assert!((1..=ARMS_MAX).contains(&arms.len()), "an allocation over {} arms", arms.len());
    arms.len()
}

/// A generator that is named and fixed: the allocation a seed gives must be the same on every machine and release.
fn generator(draws: usize, seed: Seed) -> Xoshiro256PlusPlus {
    assert!(draws > 0, "shares of no draws");
    Xoshiro256PlusPlus::seed_from_u64(seed.0)
}

/// What all arms need at one point z of the grid.
#[derive(Debug, Clone, Copy)]
struct GridPoint {
    /// θ = 1/(1 + e^-z).
    rate: f64,
    /// −ln θ.
    success: f64,
    /// −ln(1 − θ).
    failure: f64,
}

impl GridPoint {
    fn at(z: f64) -> Self {
        let t = (-z.abs()).exp();
        let (near, far) = (t.ln_1p(), t.ln_1p() + z.abs());
        if z >= 0.0 {
            Self { rate: 1.0 / (1.0 + t), success: near, failure: far }
        } else {
            Self { rate: t / (1.0 + t), success: far, failure: near }
        }
    }
}

/// Equidistant points in z that cover wherever the best arm can be.
struct Grid {
    cell: f64,
    low: f64,
    points: Vec<GridPoint>,
    resolution: Resolution,
}

impl Grid {
    fn new(arms: &[Beta], resolution: Resolution) -> Option<Self> {
        let (mut low, mut high, mut narrowest) = (f64::NEG_INFINITY, f64::NEG_INFINITY, WIDTH_MAX);
        for arm in arms {
            let (from, to) = support(arm, resolution);
            // Below the highest of the lower ends, the arm that has it is better.
            low = low.max(from);
            high = high.max(to);
            narrowest = narrowest.min(arm.logit_width());
        }
        let cells = ((high - low) / narrowest * resolution.cells_per_width()).ceil().max(CELLS_MIN);
        // NaN, from widths beyond any number, is within no range.
        if !(CELLS_MIN..=CELLS_MAX).contains(&cells) {
            return None;
        }
        let cell = (high - low) / cells;
        let points = (0..=cells as usize).map(|i| GridPoint::at(low + cell * i as f64)).collect();
        Some(Self { cell, low, points, resolution })
    }

    /// Calls `visit` with each arm, the first point of its support, and f_arm · Π_{k≠arm} F_k at every point of it, halved at
    /// the grid's ends as the trapezoid rule wants, in no particular order of arms. The cell's width is left out.
    ///
    /// Products from the right, then from the left, over one flat table each: a product divided by F would be 0/0 in tails.
    /// Right of its support an arm's F is 1 and nothing is to be done; narrow arms among wide ones cost little.
    fn each_best(&self, arms: &[Beta], mut visit: impl FnMut(usize, usize, &[f64])) {
        let width = self.points.len();
        let spans: Vec<Range<usize>> = arms.iter().map(|arm| self.span(arm)).collect();
        let mut densities = vec![0.0; arms.len() * width];
        let mut cumulated = vec![0.0; arms.len() * width];
        let mut product = vec![1.0; width];
        product[0] = 0.5;
        product[width - 1] = 0.5;
        let rows = densities.chunks_exact_mut(width).zip(cumulated.chunks_exact_mut(width));
        for ((arm, span), (density, cdf)) in arms.iter().zip(&spans).zip(rows).rev() {
            self.fill(arm, span, density, cdf);
            scale(&mut density[span.clone()], &product[span.clone()]);
            scale(&mut product[..span.end], &cdf[..span.end]);
        }
        product.fill(1.0);
        let rows = densities.chunks_exact_mut(width).zip(cumulated.chunks_exact(width));
        for (arm, (span, (density, cdf))) in spans.iter().zip(rows).enumerate() {
            scale(&mut density[span.clone()], &product[span.clone()]);
            scale(&mut product[..span.end], &cdf[..span.end]);
            visit(arm, span.start, &density[span.clone()]);
        }
    }

    /// The points of the grid within an arm's support: empty where it cannot be the best.
    fn span(&self, arm: &Beta) -> Range<usize> {
        let (from, to) = support(arm, self.resolution);
        // A float beyond the indices' range becomes the nearest end of it.
        let index = |z: f64| ((z - self.low) / self.cell) as usize;
        let end = (index(to).saturating_add(2)).min(self.points.len());
        index(from).min(end)..end
    }

    /// The density f of one arm's logit within its span, and its distribution function F from the grid's beginning to the
    /// span's end.
    fn fill(&self, arm: &Beta, span: &Range<usize>, density: &mut [f64], cdf: &mut [f64]) {
        let (a, b) = (arm.alpha(), arm.beta());
        let centre = GridPoint::at(arm.centre());
        let peak = arm.ln_density_at_centre();
        for (f, point) in density[span.clone()].iter_mut().zip(&self.points[span.clone()]) {
            let exponent = peak - a * (point.success - centre.success) - b * (point.failure - centre.failure);
            *f = if exponent < EXPONENT_MIN { 0.0 } else { exponent.exp() };
        }
        let h = self.cell;
        let (first, third) = (h * h / 12.0, h.powi(4) / 720.0);
        // Sum of f over the points to the right, each with the weight the trapezoid rule gives it.
        let last = density[..span.end].last().copied().unwrap_or(0.0);
        let mut right = -0.5 * last;
        let within = cdf[span.clone()].iter_mut().zip(&density[span.clone()]).zip(&self.points[span.clone()]);
        for ((cumulated, &f), point) in within.rev() {
            // f'/f, and the first two derivatives of that.
            let u = a - (a + b) * point.rate;
            let g2 = -(a + b) * point.rate * (1.0 - point.rate);
            let g3 = g2 * (1.0 - 2.0 * point.rate);
            let tail = h * (right + 0.5 * f) + f * (first * u - third * (u * (u * u + 3.0 * g2) + g3));
            *cumulated = (1.0 - tail).clamp(0.0, 1.0);
            right += f;
        }
        // Left of its support an arm has no probability to be below.
        cdf[..span.start].fill(0.0);
    }
}

fn scale(values: &mut [f64], by: &[f64]) {
    values.iter_mut().zip(by).for_each(|(value, factor)| *value *= factor);
}

/// Where an arm's logit is, but for a negligible probability: some widths each way, and the exponential tails that
/// parameters below 60 have.
fn support(arm: &Beta, resolution: Resolution) -> (f64, f64) {
    const EXPONENTIAL_BELOW: f64 = 60.0;
    const EXPONENTIAL_LENGTH: f64 = 18.0;
    let reach = resolution.widths_kept() * arm.logit_width();
    let extra = |parameter: f64| if parameter < EXPONENTIAL_BELOW { EXPONENTIAL_LENGTH / parameter } else { 0.0 };
    (arm.centre() - reach - extra(arm.alpha()), arm.centre() + reach + extra(arm.beta()))
}

#[cfg(test)]
mod tests;
