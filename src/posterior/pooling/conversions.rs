//! Conversions: x of n with a rate around logit⁻¹(η), Beta-distributed with a standard deviation of τ in logits.

use crate::posterior::Arm;
use crate::posterior::pooling::solver::Link;
use crate::posterior::special::ln_rising_excess;

/// Logits beyond which no rate is distinguished: 4e-18.
const LOGIT_MAX: f64 = 40.0;

/// Exposures, never fewer than conversions, and conversions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) exposures: f64,
    pub(super) conversions: f64,
}

impl Cell {
    pub(super) fn failures(&self) -> f64 {
        self.exposures - self.conversions
    }
}

/// Conversions of all segments.
pub(super) struct Logit {
    cells: Vec<Cell>,
}

impl Logit {
    pub(super) fn new(segments: &[Vec<Arm>]) -> Self {
        Self::of(segments.iter().flatten())
    }

    pub(super) fn of<'a>(arms: impl IntoIterator<Item = &'a Arm>) -> Self {
        let cell = |arm: &Arm| Cell { exposures: arm.trials(), conversions: arm.conversions };
        Self { cells: arms.into_iter().map(cell).collect() }
    }

    /// μ0, the logit of the rate over everything.
    pub(super) fn base(&self) -> f64 {
        let sum = |count: fn(&Cell) -> f64| self.cells.iter().map(count).sum::<f64>();
        let (conversions, failures) = (sum(|cell| cell.conversions), sum(Cell::failures));
        ((conversions + 0.5) / (failures + 0.5)).ln()
    }
}

/// The odds against, e^−η.
fn odds_against(predictor: f64) -> f64 {
    (-predictor).clamp(-LOGIT_MAX, LOGIT_MAX).exp()
}

/// The Beta distribution around logit⁻¹(η) whose logit has a standard deviation of about τ: κ m and κ (1 − m) with
/// κ = 1/(τ² m (1 − m)). Also τ² m (1 − m), the information of one exposure in units of 1/τ².
pub(super) fn interaction(predictor: f64, tau2: f64) -> (f64, f64, f64) {
    let t = odds_against(predictor);
    let failures = (1.0 + t) / tau2;
    (failures / t, failures, 1.0 / (failures * (1.0 + 1.0 / t)))
}

/// The rate logit⁻¹(η).
pub(super) fn rate(predictor: f64) -> f64 {
    (1.0 + odds_against(predictor)).recip()
}

impl Link for Logit {
    type Cell = Cell;

    fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Fisher scoring with the variance of the Beta-binomial. Cells without a conversion need no special case.
    fn pull(&self, cell: &Cell, predictor: f64, tau2: f64) -> (f64, f64) {
        let m = rate(predictor);
        let variance = cell.exposures * m * (1.0 - m);
        let overdispersion = (1.0 + tau2 * variance).recip();
        (variance * overdispersion, (cell.conversions - cell.exposures * m) * overdispersion)
    }

    /// The binomial's x ln m + (n − x) ln(1 − m), and what the Beta-binomial adds to it: three differences of ln Γ, without
    /// the large terms that they have in common with it.
    fn ln_evidence(&self, cell: &Cell, predictor: f64, tau2: f64) -> f64 {
        let t = odds_against(predictor);
        let ln_failure = t.ln() - t.ln_1p();
        let binomial = -cell.conversions * t.ln_1p() + cell.failures() * ln_failure;
        if tau2 <= 0.0 {
            return binomial;
        }
        let (alpha, beta, _) = interaction(predictor, tau2);
        binomial + ln_rising_excess(alpha, cell.conversions) + ln_rising_excess(beta, cell.failures())
            - ln_rising_excess(alpha + beta, cell.exposures)
    }
}
