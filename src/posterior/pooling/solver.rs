//! The mode of segment and arm effects for one τ, by Newton steps on the Laplace-approximated posterior, and how well that τ
//! explains the counts (STATISTICS §3.2).

use crate::posterior::pooling::Packed;

/// What a cell, one arm in one segment, says about its predictor η = β_s + γ_a.
pub(super) trait Link {
    /// The cells of one segment.
    type Cell;

    /// All cells: segments in order, in each the arms in order.
    fn cells(&self) -> &[Self::Cell];

    /// How much the cell says about η, and how far it pulls η up: information and score, with interactions of variance τ²
    /// integrated out.
    fn pull(&self, cell: &Self::Cell, predictor: f64, tau2: f64) -> (f64, f64);

    /// The log probability of the cell's counts, up to what depends on neither η nor τ.
    fn ln_evidence(&self, cell: &Self::Cell, predictor: f64, tau2: f64) -> f64;
}

/// Longest step of an arm's effect and of a segment's, in units of the predictor where it is a logit: far from the mode the
/// likelihood is too flat to be trusted.
const ARM_STEP_MAX: f64 = 1.0;
const SEGMENT_STEP_MAX: f64 = 2.0;

/// What is believed before the counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Priors {
    pub(super) base: f64,
    pub(super) segment_sd: f64,
    pub(super) arm_sd: f64,
    pub(super) arms_count: usize,
}

/// Where the posterior is highest for one τ.
#[derive(Debug)]
pub(super) struct Mode {
    pub(super) gamma: Vec<f64>,
    /// Packed lower triangle of L with L Lᵀ the covariance of γ.
    pub(super) factor: Vec<f64>,
    pub(super) ln_evidence: f64,
}

/// The linear equations of one step, with segments eliminated: what is left is K × K, and free of the bias that different
/// allocations in different segments would bring.
struct Equations {
    /// Of the arms: the Schur complement.
    precision: Packed,
    gradient: Vec<f64>,
    /// By cell.
    information: Vec<f64>,
    /// By segment: W and R.
    segments: Vec<(f64, f64)>,
}

/// Takes `steps` Newton steps from β = μ0, γ = 0.
pub(super) fn mode<L: Link>(link: &L, priors: &Priors, tau: f64, steps: usize) -> Mode {
    let tau2 = tau * tau;
    let arms_count = priors.arms_count;
    let arm_precision = priors.arm_sd.powi(-2);
    // A clamp is in logits; rewards have no such scale, and their equations are linear: one step as it is.
    let clamp = if steps > 1 { (ARM_STEP_MAX, SEGMENT_STEP_MAX) } else { (f64::INFINITY, f64::INFINITY) };
    let mut beta = vec![priors.base; link.cells().len() / arms_count];
    let mut gamma = vec![0.0; arms_count];
    let mut equations = Equations::new(arms_count, beta.len());
    for _ in 0..steps {
        equations.assemble(link, priors, tau2, &beta, &gamma);
        let factor = equations.precision.clone().reverse_cholesky(arm_precision);
        let mut step = equations.gradient.clone();
        factor.solve(&mut step);
        step.iter_mut().for_each(|change| *change = change.clamp(-clamp.0, clamp.0));
        gamma.iter_mut().zip(&step).for_each(|(effect, change)| *effect += change);
        let rows = equations.information.chunks_exact(arms_count).zip(&equations.segments);
        for (effect, (information, (whole, pull))) in beta.iter_mut().zip(rows) {
            let moved: f64 = information.iter().zip(&step).map(|(w, change)| w * change).sum();
            *effect += ((pull - moved) / whole).clamp(-clamp.1, clamp.1);
        }
    }
    equations.assemble(link, priors, tau2, &beta, &gamma);
    let factor = equations.precision.clone().reverse_cholesky(arm_precision);
    let ln_evidence = equations.ln_evidence(link, priors, tau2, &beta, &gamma) - factor.ln_diagonal();
    Mode { gamma, factor: factor.inverse().into_entries(), ln_evidence }
}

impl Equations {
    fn new(arms_count: usize, segments_count: usize) -> Self {
        Self {
            precision: Packed::zeros(arms_count),
            gradient: vec![0.0; arms_count],
            information: vec![0.0; arms_count * segments_count],
            segments: vec![(0.0, 0.0); segments_count],
        }
    }

    fn assemble<L: Link>(&mut self, link: &L, priors: &Priors, tau2: f64, beta: &[f64], gamma: &[f64]) {
        let arms_count = gamma.len();
        let (segment_precision, arm_precision) = (priors.segment_sd.powi(-2), priors.arm_sd.powi(-2));
        for (row, effect) in gamma.iter().enumerate() {
            let entries = self.precision.row_mut(row);
            entries.fill(0.0);
            entries[row] = arm_precision;
            self.gradient[row] = -effect * arm_precision;
        }
        let mut pulls = vec![0.0; arms_count];
        let rows = link.cells().chunks_exact(arms_count).zip(self.information.chunks_exact_mut(arms_count));
        for ((effect, sums), (cells, information)) in beta.iter().zip(&mut self.segments).zip(rows) {
            let (mut whole, mut pull) = (segment_precision, -(effect - priors.base) * segment_precision);
            for (arm, cell) in cells.iter().enumerate() {
                let (w, r) = link.pull(cell, effect + gamma[arm], tau2);
                (information[arm], pulls[arm]) = (w, r);
                whole += w;
                pull += r;
            }
            *sums = (whole, pull);
            for (arm, (&w, r)) in information.iter().zip(&pulls).enumerate() {
                let share = w / whole;
                self.gradient[arm] += r - share * pull;
                let entries = self.precision.row_mut(arm);
                entries.iter_mut().zip(&*information).for_each(|(entry, other)| *entry -= share * other);
                entries[arm] += w;
            }
        }
    }

    /// But for the arms' part of the determinant.
    fn ln_evidence<L: Link>(&self, link: &L, priors: &Priors, tau2: f64, beta: &[f64], gamma: &[f64]) -> f64 {
        let mut sum = -0.5 * gamma.iter().map(|effect| (effect / priors.arm_sd).powi(2)).sum::<f64>();
        for ((effect, (whole, _)), cells) in beta.iter().zip(&self.segments).zip(link.cells().chunks_exact(gamma.len()))
        {
            let explained: f64 =
                cells.iter().zip(gamma).map(|(cell, arm)| link.ln_evidence(cell, effect + arm, tau2)).sum();
            sum += explained - 0.5 * ((effect - priors.base) / priors.segment_sd).powi(2) - 0.5 * whole.ln();
        }
        sum
    }
}

/// A segment's effect when those of the arms are known: the same Newton steps in one dimension.
pub(super) fn segment_effect<L: Link>(
    link: &L,
    base: f64,
    segment_sd: f64,
    gamma: &[f64],
    tau: f64,
    steps: usize,
) -> f64 {
    let (tau2, precision) = (tau * tau, segment_sd.powi(-2));
    let clamp = if steps > 1 { SEGMENT_STEP_MAX } else { f64::INFINITY };
    let mut effect = base;
    for _ in 0..steps {
        let (mut whole, mut pull) = (precision, -(effect - base) * precision);
        for (cell, arm) in link.cells().iter().zip(gamma) {
            let (w, r) = link.pull(cell, effect + arm, tau2);
            whole += w;
            pull += r;
        }
        effect += (pull / whole).clamp(-clamp, clamp);
    }
    effect
}
