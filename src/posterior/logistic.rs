//! Bayesian logistic regression of conversions on features (STATISTICS §2.6), in two forms: counts of each pattern of
//! features with the Laplace approximation ([`Cells`]), and a filter that takes one exposure after another ([`Filter`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::Features;
use crate::posterior::learner::{InvalidState, Learner, State, bounded};
use crate::posterior::linear::triangle_of;
use crate::posterior::{Entries, Gaussian, Symmetric};

/// 1/(1 + e^(−z)).
fn logistic(z: f64) -> f64 {
    (1.0 + (-z).exp()).recip()
}

/// The weights of one variation, each exposure taken in as it comes (assumed-density filtering).
///
/// A conversion that comes later is added exactly: log σ(η) − log(1 − σ(η)) = η is linear in the weights, so that the whole
/// difference between an exposure that converted and one that did not is x in Σ⁻¹m. Directly after the exposure this is the
/// filter's own step for a conversion, to the last term.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    belief: Arc<Gaussian>,
}

/// The least weight of an exposure, and the least variance of a weight, that the filter calculates with.
const WEIGHT_MIN: f64 = 1e-6;
const VARIANCE_MIN: f64 = 1e-12;

impl Filter {
    /// Independent weights of mean 0 with these standard deviations, all above 0.
    #[must_use]
    pub fn new(sds: &[f64]) -> Self {
        Self { belief: Arc::new(Gaussian::independent(sds)) }
    }
}

impl Learner for Filter {
    const ORDER_MATTERS: bool = true;

    fn belief(&self) -> &Arc<Gaussian> {
        &self.belief
    }

    fn expose(&mut self, features: &Features) {
        let x = Entries::new(features);
        let s = self.belief.covariance.times(&x);
        let (variance, mean) = (x.dot(&s).max(0.0), x.dot(&self.belief.mean));
        // The mean of σ under a normal distribution (MacKay, "The evidence framework applied to classification
        // networks", Neural Computation 4, 1992).
        let expected = logistic(mean / (std::f64::consts::FRAC_PI_8 * variance + 1.0).sqrt());
        let rate = logistic(mean);
        let weight = (rate * (1.0 - rate)).max(WEIGHT_MIN);
        let shrunk = 1.0 + weight * variance;
        let belief = Arc::make_mut(&mut self.belief);
        belief.shift(&s, -expected / shrunk);
        belief.covariance.subtract_outer(&s, weight / shrunk);
        belief.covariance.floor_diagonal(VARIANCE_MIN);
    }

    fn reward(&mut self, features: &Features, value: f64) {
        let direction = self.belief.covariance.times(&Entries::new(features));
        Arc::make_mut(&mut self.belief).shift(&direction, bounded(value));
    }

    /// Nothing: the belief is always up to date.
    fn settle(&mut self) {}

    /// Never: what an exposure is worth depends on what was believed when it came.
    fn merge(&mut self, _: &Self) -> bool {
        false
    }

    fn save(&self) -> State {
        State { counts: Vec::new(), numbers: [&self.belief.mean[..], self.belief.covariance.packed()].concat() }
    }

    fn restore(&mut self, state: &State) -> Result<(), InvalidState> {
        let dimensions = self.belief.mean.len();
        if !state.counts.is_empty() || state.numbers.len() != dimensions + self.belief.covariance.packed().len() {
            let (counts, numbers) = (state.counts.len(), state.numbers.len());
            return Err(InvalidState { counts, numbers, dimensions });
        }
        let (mean, triangle) = state.numbers.split_at(dimensions);
        self.belief = Arc::new(Gaussian { mean: mean.to_vec(), covariance: triangle_of(dimensions, triangle) });
        Ok(())
    }
}

/// What happened under one pattern of features.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    exposures: u64,
    /// Conversions; a part of one where rewards were parts.
    conversions: f64,
}

/// The weights of one variation, from counts of each pattern of features that are all 1.
///
/// Nothing depends on the order, and the belief is a function of the counts alone: every fit begins at the prior's mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    prior_mean: Vec<f64>,
    /// Λ₀, a diagonal.
    prior_precision: Vec<f64>,
    cells: BTreeMap<Box<[u16]>, Cell>,
    /// Exposures and conversions there were, and those that came since the last fit.
    observed: u64,
    unfitted: u64,
    belief: Arc<Gaussian>,
}

/// Newton's method is stopped by its steps; this many are never needed, since the log posterior is concave.
const STEPS_MAX: usize = 50;
/// A step this short, in every weight, is the last.
const STEP_LAST: f64 = 1e-9;
/// Halvings of a step before it is taken as it is.
const HALVINGS_MAX: usize = 30;

impl Cells {
    /// Independent weights with these means and standard deviations, which are above 0.
    #[must_use]
    pub fn new(means: &[f64], sds: &[f64]) -> Self {
        let belief = Arc::new(Gaussian { mean: means.to_vec(), ..Gaussian::independent(sds) });
        Self {
            prior_mean: means.to_vec(),
            prior_precision: sds.iter().map(|sd| (sd * sd).recip()).collect(),
            cells: BTreeMap::new(),
            observed: 0,
            unfitted: 0,
            belief,
        }
    }

    fn cell(&mut self, features: &Features) -> &mut Cell {
        self.observed += 1;
        self.unfitted += 1;
        let pattern: Box<[u16]> = features.entries().iter().map(|(index, _)| *index).collect();
        let inside = pattern.last().is_none_or(|last| usize::from(*last) < self.prior_mean.len());
        assert!(inside, "features of another schema");
        self.cells.entry(pattern).or_default()
    }

    /// The posterior's mode by Newton's method, and the inverse of its curvature there.
    fn fit(&self) -> Arc<Gaussian> {
        let mut mean = self.prior_mean.clone();
        let mut height = self.log_posterior(&mean);
        for _ in 0..STEPS_MAX {
            let (gradient, curvature) = self.derivatives(&mean);
            let Some(factor) = curvature.cholesky() else { break };
            let mut step = factor.solve(&gradient);
            let (mut next, mut reached) = (Vec::new(), f64::NEG_INFINITY);
            for _ in 0..HALVINGS_MAX {
                next = mean.iter().zip(&step).map(|(mean, step)| mean + step).collect();
                reached = self.log_posterior(&next);
                if reached >= height - 1e-12 * height.abs() {
                    break;
                }
                step.iter_mut().for_each(|step| *step /= 2.0);
            }
            (mean, height) = (next, reached);
            if step.iter().all(|step| step.abs() < STEP_LAST) {
                break;
            }
        }
        match self.derivatives(&mean).1.cholesky() {
            Some(factor) => Arc::new(Gaussian { mean, covariance: factor.inverse() }),
            None => Arc::clone(&self.belief),
        }
    }

    /// Every cell's indices, trials, conversions and log odds. Conversions without their exposures, which a crash can
    /// leave, are trials of their own; fewer than none, taken back too often, are none.
    fn rows<'a>(&'a self, mean: &'a [f64]) -> impl Iterator<Item = (&'a [u16], f64, f64, f64)> {
        self.cells.iter().map(|(pattern, cell)| {
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
            let exposures = cell.exposures as f64;
            let conversions = cell.conversions.max(0.0);
            let odds = pattern.iter().map(|index| mean[usize::from(*index)]).sum();
            (&**pattern, exposures.max(conversions), conversions, odds)
        })
    }

    fn log_posterior(&self, mean: &[f64]) -> f64 {
        let likelihood: f64 = self
            .rows(mean)
            .map(|(_, trials, conversions, odds)| {
                // ln(1 + e^η), which for large η is η.
                let normaliser = odds.max(0.0) + (-odds.abs()).exp().ln_1p();
                conversions * odds - trials * normaliser
            })
            .sum();
        let distance = mean.iter().zip(&self.prior_mean).zip(&self.prior_precision);
        likelihood - distance.map(|((mean, prior), amount)| amount * (mean - prior).powi(2) / 2.0).sum::<f64>()
    }

    /// Gradient and negative Hessian of the log posterior.
    fn derivatives(&self, mean: &[f64]) -> (Vec<f64>, Symmetric) {
        let prior = mean.iter().zip(&self.prior_mean).zip(&self.prior_precision);
        let mut gradient: Vec<f64> = prior.map(|((mean, prior), amount)| amount * (prior - mean)).collect();
        let mut curvature = Symmetric::zero(mean.len());
        self.prior_precision.iter().enumerate().for_each(|(index, amount)| curvature.add_to_diagonal(index, *amount));
        for (pattern, trials, conversions, odds) in self.rows(mean) {
            let rate = logistic(odds);
            let residual = conversions - trials * rate;
            pattern.iter().for_each(|index| gradient[usize::from(*index)] += residual);
            curvature.add_pattern(pattern, trials * rate * (1.0 - rate));
        }
        (gradient, curvature)
    }
}

impl Learner for Cells {
    const ORDER_MATTERS: bool = false;

    fn belief(&self) -> &Arc<Gaussian> {
        &self.belief
    }

    fn expose(&mut self, features: &Features) {
        self.cell(features).exposures += 1;
    }

    fn reward(&mut self, features: &Features, value: f64) {
        self.cell(features).conversions += bounded(value);
    }

    /// Fits again once a tenth has come on top of what the last fit knew: a posterior hardly moves before that.
    fn settle(&mut self) {
        if self.unfitted > 0 && self.unfitted >= (self.observed - self.unfitted).div_ceil(10) {
            self.belief = self.fit();
            self.unfitted = 0;
        }
    }

    fn merge(&mut self, other: &Self) -> bool {
        for (pattern, cell) in &other.cells {
            let known = self.cells.entry(pattern.clone()).or_default();
            known.exposures += cell.exposures;
            known.conversions += cell.conversions;
        }
        self.observed += other.observed;
        self.belief = self.fit();
        self.unfitted = 0;
        true
    }

    fn save(&self) -> State {
        let mut state = State {
            counts: vec![self.observed, self.unfitted],
            numbers: [&self.belief.mean[..], self.belief.covariance.packed()].concat(),
        };
        for (pattern, cell) in &self.cells {
            state.counts.push(u64::try_from(pattern.len()).expect("at most 200"));
            state.counts.extend(pattern.iter().map(|index| u64::from(*index)));
            state.counts.push(cell.exposures);
            state.numbers.push(cell.conversions);
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<(), InvalidState> {
        let restored = self.restored(state).ok_or(InvalidState {
            counts: state.counts.len(),
            numbers: state.numbers.len(),
            dimensions: self.prior_mean.len(),
        })?;
        *self = restored;
        Ok(())
    }
}

impl Cells {
    fn restored(&self, state: &State) -> Option<Self> {
        let dimensions = self.prior_mean.len();
        let triangle = self.belief.covariance.packed().len();
        let (mean, rest) = state.numbers.split_at_checked(dimensions)?;
        let (covariance, conversions) = rest.split_at_checked(triangle)?;
        let (totals, mut counts) = state.counts.split_at_checked(2)?;
        let mut cells = BTreeMap::new();
        for conversions in conversions {
            let (length, rest) = counts.split_first()?;
            let (indices, rest) = rest.split_at_checked(usize::try_from(*length).ok()?)?;
            let indices = indices.iter().map(|index| u16::try_from(*index).ok());
            let pattern: Box<[u16]> = indices.collect::<Option<_>>()?;
            if pattern.last().is_some_and(|last| usize::from(*last) >= dimensions) {
                return None;
            }
            let (exposures, rest) = rest.split_first()?;
            cells.insert(pattern, Cell { exposures: *exposures, conversions: *conversions });
            counts = rest;
        }
        let belief = Arc::new(Gaussian { mean: mean.to_vec(), covariance: triangle_of(dimensions, covariance) });
        let (observed, unfitted) = (totals[0], totals[1]);
        let complete = counts.is_empty() && unfitted <= observed;
        complete.then(|| Self { cells, observed, unfitted, belief, ..self.clone() })
    }
}

#[cfg(test)]
mod tests;
