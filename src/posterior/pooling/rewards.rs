//! Revenue and counts: a mean reward around η, normally distributed with standard deviation τ (STATISTICS §3.6).
//!
//! Each segment has its own variance of one reward, since one that spends more also varies more; it is shrunk towards that
//! of all segments, since a few large orders say little about it.

use crate::posterior::Arm;
use crate::posterior::pooling::solver::Link;

/// Visitors of a segment with the variance of all, before its own count.
const VARIANCE_VISITORS: f64 = 200.0;

/// Exposures, the sum of their rewards, and the variance of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) exposures: f64,
    pub(super) sum: f64,
    pub(super) variance: f64,
}

/// Rewards of all segments.
pub(super) struct Identity {
    cells: Vec<Cell>,
    deviation: f64,
}

/// Exposures, and squared deviations of their rewards from the mean of their arm.
fn spread(arms: &[Arm]) -> (f64, f64) {
    arms.iter().filter(|arm| arm.trials() > 0.0).fold((0.0, 0.0), |(exposures, squares), arm| {
        (exposures + arm.trials(), squares + (arm.squares - arm.sum * (arm.sum / arm.trials())).max(0.0))
    })
}

impl Identity {
    pub(super) fn new(segments: &[Vec<Arm>]) -> Self {
        let (exposures, squares) =
            segments.iter().map(|arms| spread(arms)).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let raw: f64 = segments.iter().flatten().map(|arm| arm.squares).sum();
        // Equal rewards leave nothing to measure by but their size; no reward leaves nothing at all, and any unit will do.
        let variance = (squares / exposures.max(1.0)).max(1e-12 * raw / exposures.max(1.0));
        let deviation = if variance > 0.0 && variance.is_finite() { variance.sqrt() } else { 1.0 };
        let cells = segments.iter().flat_map(|arms| Self::segment(arms, deviation)).collect();
        Self { cells, deviation }
    }

    /// One segment among all whose rewards have this standard deviation.
    pub(super) fn of(arms: &[Arm], deviation: f64) -> Self {
        Self { cells: Self::segment(arms, deviation), deviation }
    }

    fn segment(arms: &[Arm], deviation: f64) -> Vec<Cell> {
        let (exposures, squares) = spread(arms);
        let variance = (squares + VARIANCE_VISITORS * deviation * deviation) / (exposures + VARIANCE_VISITORS);
        let cell = |arm: &Arm| Cell { exposures: arm.trials(), sum: arm.sum, variance };
        arms.iter().map(cell).collect()
    }

    /// μ0, the mean reward over everything.
    pub(super) fn base(&self) -> f64 {
        let exposures: f64 = self.cells.iter().map(|cell| cell.exposures).sum();
        self.cells.iter().map(|cell| cell.sum).sum::<f64>() / exposures.max(1.0)
    }

    /// The standard deviation of one reward within a segment and arm.
    pub(super) const fn deviation(&self) -> f64 {
        self.deviation
    }
}

impl Link for Identity {
    type Cell = Cell;

    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    fn pull(&self, cell: &Cell, predictor: f64, tau2: f64) -> (f64, f64) {
        let scale = (cell.variance + cell.exposures * tau2).recip();
        (cell.exposures * scale, (cell.sum - cell.exposures * predictor) * scale)
    }

    /// Of the cell's mean, given τ² + σ²/n; the factor 1/n of the variance depends on nothing that is compared.
    fn ln_evidence(&self, cell: &Cell, predictor: f64, tau2: f64) -> f64 {
        if cell.exposures <= 0.0 {
            return 0.0;
        }
        let (information, pull) = self.pull(cell, predictor, tau2);
        let excess = cell.sum / cell.exposures - predictor;
        0.5 * (information / cell.exposures).ln() - 0.5 * excess * pull
    }
}
