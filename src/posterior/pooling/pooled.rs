//! What is believed of one segment's arms: the fit of all segments and the segment's own counts.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::StandardNormal;

use crate::domain::GoalKind;
use crate::posterior::Arm;
use crate::posterior::BetaSampler;
use crate::posterior::pooling::conversions::{self, Logit};
use crate::posterior::pooling::rewards::Identity;
use crate::posterior::pooling::solver::{Link, segment_effect};
use crate::posterior::pooling::{Fit, Hyper, Node};

/// Most times that evidence counts: beyond it a lucky start is never put right.
const SHARPENING_MAX: f64 = 8.0;

/// The joint distribution of the mean rewards of one segment's arms. Draws cost what the arms cost, whatever the segments.
#[derive(Debug, Clone)]
pub struct Pooled {
    arms_count: usize,
    nodes: Vec<Conditional>,
    shape: Shape,
}

/// The distribution were τ known: predictors are jointly normal, and rewards scatter around them.
#[derive(Debug, Clone)]
struct Conditional {
    /// Weight of this node and of those before it.
    cumulative: f64,
    weight: f64,
    tau2: f64,
    /// Predictors of the arms.
    centre: Vec<f64>,
    /// Packed lower triangle of what normal draws are multiplied by.
    factor: Vec<f64>,
    /// By arm, the standard deviation of the reward around its predictor; empty for conversions.
    deviations: Vec<f64>,
    /// How much of the belief comes from the segment's own counts, on average over the arms.
    own: f64,
}

/// How a reward scatters around its predictor.
#[derive(Debug, Clone)]
enum Shape {
    /// Beta, given the counts of each arm.
    Rates { counts: Vec<conversions::Cell>, expected_visitors: f64, sharpening: f64 },
    /// Normal.
    Means,
}

impl Pooled {
    pub(super) fn new(fit: &Fit, arms: &[Arm], expected_visitors: f64, sharpening: f64) -> Self {
        let expected_visitors = expected_visitors.max(1.0);
        let (mut nodes, shape) = match fit.kind() {
            GoalKind::Conversion => {
                let link = Logit::of(arms);
                let nodes = fit.nodes().iter().map(|node| Conditional::rates(fit, node, &link, sharpening)).collect();
                (nodes, Shape::Rates { counts: link.cells().to_vec(), expected_visitors, sharpening })
            }
            GoalKind::Revenue | GoalKind::Count => {
                let link = Identity::of(arms, fit.deviation());
                let condition = |node| Conditional::means(fit, node, &link, expected_visitors, sharpening);
                (fit.nodes().iter().map(condition).collect::<Vec<_>>(), Shape::Means)
            }
        };
        let mut total = 0.0;
        for node in &mut nodes {
            total += node.weight;
            node.cumulative = total;
        }
        Self { arms_count: arms.len(), nodes, shape }
    }

    /// The mean reward of each arm, at the most probable effects for each τ.
    #[must_use]
    pub fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.arms_count];
        for node in &self.nodes {
            for (arm, (mean, centre)) in means.iter_mut().zip(&node.centre).enumerate() {
                *mean += node.weight
                    * match &self.shape {
                        Shape::Means => *centre,
                        Shape::Rates { .. } if node.tau2 <= 0.0 => conversions::rate(*centre),
                        Shape::Rates { counts, .. } => {
                            let (alpha, beta, _) = conversions::interaction(*centre, node.tau2);
                            (alpha + counts[arm].conversions) / (alpha + beta + counts[arm].exposures)
                        }
                    };
            }
        }
        means
    }

    /// The share of the belief that comes from the segment's own counts and not from the others', 0 to 1: n/(n + κ), where κ is
    /// what the others are worth in exposures, averaged over arms and τ. For conversions κ = 1/(τ² m (1 − m)), for revenue and
    /// counts σ²/τ²; where τ is 0, nothing is the segment's own but its base rate.
    #[must_use]
    pub fn own_weight(&self) -> f64 {
        self.nodes.iter().map(|node| node.weight * node.own).sum()
    }

    /// One joint draw, into one number for each arm (STATISTICS §3.3).
    ///
    /// # Panics
    /// If `rewards` has another number of entries.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        let node = self.predict(rng, rewards);
        self.scatter(node, rng, rewards);
    }

    /// The same for one of several segments that are drawn together: what all of them share (τ and the arms' effects) comes from
    /// `common`, what is the segment's alone from `own`. Segments of one fit whose `common` began with the same seed draw the
    /// same effects, so that sums over segments vary as much as they should.
    ///
    /// # Panics
    /// If `rewards` has another number of entries.
    pub fn draw_among(&self, common: &mut Xoshiro256PlusPlus, own: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        let node = self.predict(common, rewards);
        self.scatter(node, own, rewards);
    }

    /// Draws τ, and every arm's predictor given it.
    fn predict(&self, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) -> &Conditional {
        assert!(rewards.len() == self.arms_count, "room for {} of {} arms", rewards.len(), self.arms_count);
        let node = self.node(rng.random());
        rewards.iter_mut().for_each(|reward| *reward = rng.sample(StandardNormal));
        node.predict(rewards);
        node
    }

    /// From predictors to rewards, in place.
    fn scatter(&self, node: &Conditional, rng: &mut Xoshiro256PlusPlus, rewards: &mut [f64]) {
        match &self.shape {
            Shape::Means => {
                for (reward, deviation) in rewards.iter_mut().zip(&node.deviations) {
                    *reward += deviation * rng.sample::<f64, _>(StandardNormal);
                }
            }
            Shape::Rates { .. } if node.tau2 <= 0.0 => {
                rewards.iter_mut().for_each(|reward| *reward = conversions::rate(*reward));
            }
            Shape::Rates { counts, expected_visitors, sharpening } => {
                let visitors = expected_visitors / self.arms_count as f64;
                for (reward, cell) in rewards.iter_mut().zip(counts) {
                    let (alpha, beta, information) = conversions::interaction(*reward, node.tau2);
                    let times = sharpened(*sharpening, visitors * information);
                    let posterior =
                        BetaSampler::of(times * (alpha + cell.conversions), times * (beta + cell.failures()));
                    *reward = posterior.sample(rng);
                }
            }
        }
    }

    fn node(&self, uniform: f64) -> &Conditional {
        let last = self.nodes.len() - 1;
        let found = self.nodes[..last].iter().find(|node| uniform < node.cumulative);
        found.unwrap_or(&self.nodes[last])
    }
}

/// How many times the evidence on an interaction counts: more where the segment will see too little to learn it, with
/// `learnable` = what it will know of each arm against what was known before, n m (1 − m) τ²/K (STATISTICS §3.4).
fn sharpened(sharpening: f64, learnable: f64) -> f64 {
    (sharpening + learnable.recip()).min(SHARPENING_MAX)
}

impl Conditional {
    fn rates(fit: &Fit, node: &Node, link: &Logit, sharpening: f64) -> Self {
        let steps = Hyper::CONVERSION.steps;
        let effect = segment_effect(link, fit.base(), fit.segment_sd(), &node.gamma, node.tau, steps);
        let narrow = sharpening.sqrt().recip();
        let tau2 = node.tau * node.tau;
        let centre: Vec<f64> = node.gamma.iter().map(|arm| effect + arm).collect();
        let own = |(cell, centre): (&conversions::Cell, &f64)| {
            let (alpha, beta, _) = conversions::interaction(*centre, tau2);
            cell.exposures / (cell.exposures + alpha + beta)
        };
        let own_sum: f64 = if tau2 > 0.0 { link.cells().iter().zip(&centre).map(own).sum() } else { 0.0 };
        Self {
            cumulative: 0.0,
            weight: node.weight,
            tau2,
            own: own_sum / centre.len() as f64,
            centre,
            factor: node.factor.iter().map(|entry| entry * narrow).collect(),
            deviations: Vec::new(),
        }
    }

    /// Precision weighting of the arm's mean in the segment against its predictor: centre and factor are those of the
    /// reward itself.
    fn means(fit: &Fit, node: &Node, link: &Identity, expected_visitors: f64, sharpening: f64) -> Self {
        let effect = segment_effect(link, fit.base(), fit.segment_sd(), &node.gamma, node.tau, Hyper::REWARD.steps);
        let tau2 = node.tau * node.tau;
        let visitors = expected_visitors / node.gamma.len() as f64;
        let mut conditional = Self {
            cumulative: 0.0,
            weight: node.weight,
            tau2,
            centre: Vec::with_capacity(node.gamma.len()),
            factor: Vec::with_capacity(node.factor.len()),
            deviations: Vec::with_capacity(node.gamma.len()),
            own: 0.0,
        };
        let mut entries = node.factor.iter();
        for (arm, (cell, gamma)) in link.cells().iter().zip(&node.gamma).enumerate() {
            // What is left of the predictor, n τ² + σ² in both terms.
            let scale = (cell.variance + cell.exposures * tau2).recip();
            let kept = cell.variance * scale;
            let times = sharpened(sharpening, visitors * tau2 / cell.variance);
            conditional.centre.push(kept * (effect + gamma) + tau2 * cell.sum * scale);
            conditional.factor.extend(entries.by_ref().take(arm + 1).map(|entry| entry * kept / sharpening.sqrt()));
            conditional.deviations.push((tau2 * kept / times).sqrt());
            conditional.own += (1.0 - kept) / node.gamma.len() as f64;
        }
        conditional
    }

    /// From standard normal numbers to predictors, in place.
    fn predict(&self, normals: &mut [f64]) {
        let mut end = self.factor.len();
        // From the last row up: each needs only the normals that are not yet replaced.
        for arm in (0..normals.len()).rev() {
            let row = &self.factor[end - arm - 1..end];
            end -= arm + 1;
            let deviation: f64 = row.iter().zip(&*normals).map(|(entry, normal)| entry * normal).sum();
            normals[arm] = self.centre[arm] + deviation;
        }
    }
}
