//! The sample-ratio check of every simulated run: were variations shown as often as their recorded propensities say
//! (STATISTICS §7.6)? It finds a draw or a record that is wrong, however plausible the results look.

/// Σ (shown − q) / sqrt(Σ q(1 − q)) of each variation, under the propensities that were in force.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    expected: f64,
    variance: f64,
}

/// The largest deviation among many cells.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub(crate) struct SampleRatio {
    /// The largest |z|, standard normal under correct logging.
    pub(crate) z_max: f64,
    /// How many cells had enough chance in them to be looked at.
    pub(crate) cells: u64,
}

/// Below this variance a count is too discrete for a normal bound.
const VARIANCE_MIN: f64 = 25.0;

impl Counts {
    pub(crate) fn new(variations: usize) -> Self {
        Self { cells: vec![Cell::default(); variations] }
    }

    /// `count` decisions were drawn with probability `propensity` of this variation.
    pub(crate) fn add(&mut self, variation: usize, propensity: f64, count: u64) {
        let cell = &mut self.cells[variation];
        cell.expected += propensity * count as f64;
        cell.variance += propensity * (1.0 - propensity) * count as f64;
    }

    /// Compares with how often each variation came up.
    pub(crate) fn check(&self, shown: &[u64]) -> SampleRatio {
        let judged = self.cells.iter().zip(shown).filter(|(cell, _)| cell.variance >= VARIANCE_MIN);
        judged.fold(SampleRatio::default(), |worst, (cell, shown)| SampleRatio {
            z_max: worst.z_max.max((*shown as f64 - cell.expected).abs() / cell.variance.sqrt()),
            cells: worst.cells + 1,
        })
    }
}

impl SampleRatio {
    pub(crate) fn worst(self, other: Self) -> Self {
        Self { z_max: self.z_max.max(other.z_max), cells: self.cells + other.cells }
    }

    /// What |z| stays under in all cells together with probability 0.999 if nothing is wrong, by Bonferroni, and never less
    /// than the 4 that alerts on a server: thousands of cells exceed 4 by chance.
    pub(crate) fn bound(self) -> f64 {
        // P(|Z| > x) <= 2φ(x)/x, solved for x by a few steps of x² = 2 ln(2 cells / (α x sqrt(2π))).
        let alpha = 0.001;
        let mut x = 4.0_f64;
        for _ in 0..8 {
            x = (2.0 * (2.0 * self.cells.max(1) as f64 / (alpha * x * std::f64::consts::TAU.sqrt())).ln()).sqrt();
        }
        x.max(4.0)
    }

    pub(crate) fn passes(self) -> bool {
        self.z_max <= self.bound()
    }
}

#[cfg(test)]
mod tests {
    //! A wrong propensity is found, a right one is not.

    use super::*;

    #[test]
    fn the_bound_grows_with_the_number_of_cells() {
        let bound = |cells| SampleRatio { z_max: 0.0, cells }.bound();
        assert!((bound(1) - 4.0).abs() < 1e-12);
        // Φ⁻¹(1 − 0.0005/10,000) = 5.33.
        assert!((bound(10_000) - 5.33).abs() < 0.02, "{}", bound(10_000));
    }

    #[test]
    fn a_wrong_propensity_is_found() {
        let mut right = Counts::new(1);
        right.add(0, 0.5, 10_000);
        assert!(right.check(&[5_060]).passes());
        let mut wrong = Counts::new(1);
        wrong.add(0, 0.48, 10_000);
        assert!(!wrong.check(&[5_060]).passes());
    }
}
