//! What is expected of every arm given which arm is the best: the moments that information-directed sampling weighs.

use crate::policy::best_arm::grid::Grid;
use crate::policy::best_arm::{Resolution, arms_count};
use crate::posterior::Beta;

/// Which arm is the best, and what the arms' scores are then.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    /// P(the arm is the best), by arm, summing to 1.
    pub best: Vec<f64>,
    /// E[score of the arm; b is the best] by arm, then by b: each row sums to the arm's mean.
    pub joint: Vec<Vec<f64>>,
}

/// The moments of independent Beta arms, rates in [0, 1]; `None` if the grid would exceed 8192 cells.
///
/// P(b best, θ_b at z) is f_b(z) Π_{k≠b} F_k(z), and there another arm a has the expectation R_a(z) = E[θ_a | θ_a ≤ σ(z)],
/// which is its mean times F(z) for one success more, over F(z). One table of each for every arm makes all pairs a product of
/// matrices, where a double integral for every pair would be its square.
///
/// # Panics
/// If there are no arms or more than [`ARMS_MAX`](crate::policy::best_arm::ARMS_MAX).
#[must_use]
pub fn conditional(arms: &[Beta], resolution: Resolution) -> Option<Conditional> {
    let arms_count = arms_count(arms);
    if arms_count == 1 {
        return Some(Conditional { best: vec![1.0], joint: vec![vec![arms[0].mean()]] });
    }
    let grid = Grid::new(arms, resolution)?;
    let mut best = vec![0.0; arms_count];
    let mut weights = vec![(0, Vec::new()); arms_count];
    grid.each_best(arms, |arm, first, density| {
        best[arm] = density.iter().sum();
        weights[arm] = (first, density.to_vec());
    });
    let total: f64 = best.iter().sum();
    best.iter_mut().for_each(|share| *share /= total);
    let mut truncated = Truncated::new(grid.points().len());
    let joint = arms
        .iter()
        .enumerate()
        .map(|(arm, belief)| {
            let means = truncated.means(&grid, belief);
            let expected = |(other, (first, density)): (usize, &(usize, Vec<f64>))| {
                let at = *first..*first + density.len();
                let sum: f64 = if other == arm {
                    density.iter().zip(&grid.points()[at]).map(|(weight, point)| weight * point.rate).sum()
                } else {
                    density.iter().zip(&means[at]).map(|(weight, mean)| weight * mean).sum()
                };
                sum / total
            };
            weights.iter().enumerate().map(expected).collect()
        })
        .collect();
    Some(Conditional { best, joint })
}

/// Tables for one arm after another.
struct Truncated {
    density: Vec<f64>,
    cdf: Vec<f64>,
    raised: Vec<f64>,
    means: Vec<f64>,
}

impl Truncated {
    fn new(width: usize) -> Self {
        let table = || vec![0.0; width];
        Self { density: table(), cdf: table(), raised: table(), means: table() }
    }

    /// E[θ | θ ≤ σ(z)] at every point of the grid.
    fn means(&mut self, grid: &Grid<Beta>, arm: &Beta) -> &[f64] {
        let span = grid.span(arm);
        let mean = arm.mean();
        for (beta, cdf) in [(*arm, &mut self.cdf), (arm.with_success(), &mut self.raised)] {
            self.density.fill(0.0);
            grid.fill(&beta, &span, &mut self.density, cdf);
        }
        for (place, (value, point)) in self.means.iter_mut().zip(grid.points()).enumerate() {
            *value = if place >= span.end {
                mean
            } else if self.cdf[place] > 0.0 {
                // In the far tail both are rounding; there the condition itself bounds the mean.
                (mean * self.raised[place] / self.cdf[place]).min(point.rate)
            } else {
                point.rate.min(mean)
            };
        }
        &self.means
    }
}

#[cfg(test)]
mod tests;
