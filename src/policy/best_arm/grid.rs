//! The trapezoid rule over all arms at once.

use std::ops::Range;

use crate::policy::best_arm::Resolution;
use crate::policy::best_arm::curve::Curve;

/// Grid cells of one quadrature, at most.
const CELLS_MAX: f64 = 8192.0;
const CELLS_MIN: f64 = 48.0;

/// Densities below e^-46 (1e-20) change no digit of a probability.
const EXPONENT_MIN: f64 = -46.0;

/// Equidistant points in z that cover wherever the best arm can be.
pub(super) struct Grid<C: Curve> {
    cell: f64,
    low: f64,
    points: Vec<C::Point>,
    resolution: Resolution,
}

impl<C: Curve> Grid<C> {
    /// `None` if it would exceed 8192 cells.
    pub(super) fn new(arms: &[C], resolution: Resolution) -> Option<Self> {
        let (mut low, mut high, mut narrowest) = (f64::NEG_INFINITY, f64::NEG_INFINITY, C::WIDTH_MAX);
        for arm in arms {
            let (from, to) = arm.support(resolution);
            // Below the highest of the lower ends, the arm that has it is better.
            low = low.max(from);
            high = high.max(to);
            narrowest = narrowest.min(arm.width());
        }
        let cells = ((high - low) / narrowest * resolution.cells_per_width()).ceil().max(CELLS_MIN);
        // NaN, from widths beyond any number, is within no range.
        if !(CELLS_MIN..=CELLS_MAX).contains(&cells) {
            return None;
        }
        let cell = (high - low) / cells;
        let points = (0..=cells as usize).map(|i| C::point(low + cell * i as f64)).collect();
        Some(Self { cell, low, points, resolution })
    }

    /// The points.
    pub(super) fn points(&self) -> &[C::Point] {
        &self.points
    }

    /// The probability of each arm to be highest, summing to 1.
    pub(super) fn shares(&self, arms: &[C]) -> Vec<f64> {
        let mut shares = vec![0.0; arms.len()];
        self.each_best(arms, |arm, _, best| shares[arm] = best.iter().sum());
        let total: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= total);
        shares
    }

    /// Calls `visit` with each arm, the first point of its support, and f_arm · Π_{k≠arm} F_k at every point of it, halved at
    /// the grid's ends as the trapezoid rule wants, in no particular order of arms. The cell's width is left out.
    ///
    /// Products from the right, then from the left, over one flat table each: a product divided by F would be 0/0 in tails.
    /// Right of its support an arm's F is 1 and nothing is to be done; narrow arms among wide ones cost little.
    pub(super) fn each_best(&self, arms: &[C], mut visit: impl FnMut(usize, usize, &[f64])) {
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
    pub(super) fn span(&self, arm: &C) -> Range<usize> {
        let (from, to) = arm.support(self.resolution);
        // A float beyond the indices' range becomes the nearest end of it.
        let index = |z: f64| ((z - self.low) / self.cell) as usize;
        let end = (index(to).saturating_add(2)).min(self.points.len());
        index(from).min(end)..end
    }

    /// The density f of one arm's z within its span, and its distribution function F from the grid's beginning to the
    /// span's end.
    pub(super) fn fill(&self, arm: &C, span: &Range<usize>, density: &mut [f64], cdf: &mut [f64]) {
        let peak = arm.peak();
        for (f, point) in density[span.clone()].iter_mut().zip(&self.points[span.clone()]) {
            let exponent = arm.ln_density(&peak, point);
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
            let (u, g2, g3) = arm.slopes(point);
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
