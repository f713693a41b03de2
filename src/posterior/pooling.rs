//! Segments that borrow from each other: segment effect + arm effect + an interaction whose size τ is learned.
//!
//! Where segments agree, τ is small and every segment decides by what all have shown; where they do not, τ is large and
//! each is nearly on its own. Each segment's base rate is its own in either case: shrinking towards the arm's rate instead
//! takes different base rates for different tastes and stops pooling (STATISTICS §3.1).
//!
//! A [`Fit`] is what all segments say together, made in the background; [`Fit::believe`] adds one segment's own counts as
//! they are now. Both are functions of the counts alone, to the last bit: fits start cold and take a fixed number of steps.

use crate::domain::GoalKind;
use crate::posterior::Arm;

mod conversions;
mod factor;
mod pooled;
mod rewards;
mod solver;

use conversions::Logit;
use factor::Packed;
pub use pooled::Pooled;
use rewards::Identity;

/// What is assumed of segments and arms before anything is known, in logits for conversions and in standard deviations of
/// the reward otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyper {
    /// How far segments' base rates lie apart, as a standard deviation. Generous: too small a number makes differences of
    /// base rates look like differences of taste.
    pub segment_sd: f64,
    /// How far arms lie apart, as a standard deviation.
    pub arm_sd: f64,
    /// Sizes of the interaction that are weighed against each other, in ascending order, each as likely as the others.
    pub taus: &'static [f64],
    /// Newton steps of a fit.
    pub steps: usize,
}

impl Hyper {
    /// For conversions. Sizes between 0 and 0.2 are left out: with few segments they hold much of the weight before there is
    /// evidence, and a segment whose best arm is bad elsewhere finds it too late.
    pub const CONVERSION: Self = Self { segment_sd: 2.0, arm_sd: 0.3, taus: &[0.0, 0.2, 0.4, 0.8, 1.6], steps: 8 };

    /// For revenue and counts, whose model is linear, so that one step is all.
    pub const REWARD: Self =
        Self { segment_sd: 1.0, arm_sd: 0.1, taus: &[0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], steps: 1 };

    /// The usual assumptions.
    #[must_use]
    pub const fn of(kind: GoalKind) -> Self {
        match kind {
            GoalKind::Conversion => Self::CONVERSION,
            GoalKind::Revenue | GoalKind::Count => Self::REWARD,
        }
    }
}

/// The posterior of the arms' effects, were τ known.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The size of the interaction: roughly the standard deviation of an arm's effect from segment to segment, in logits
    /// or in units of the reward.
    pub tau: f64,
    /// The posterior probability of this τ.
    pub weight: f64,
    /// Effects of the arms: logits, or units of the reward.
    pub gamma: Vec<f64>,
    /// The lower triangle of L, with L Lᵀ the covariance of the effects: rows of 1, 2, … entries, one after another.
    pub factor: Vec<f64>,
}

/// What all segments say together about the arms.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    kind: GoalKind,
    base: f64,
    segment_sd: f64,
    deviation: f64,
    nodes: Vec<Node>,
}

/// Nodes of less weight are dropped: they would be drawn from once in a million visitors.
const WEIGHT_MIN: f64 = 1e-6;

/// Fits the hierarchy to the arms of all segments, in the order given. Cost: segments × arms² × sizes of τ.
///
/// # Panics
/// If there is no segment, a segment has no arm, or two have different numbers of arms.
#[must_use]
pub fn fit(kind: GoalKind, segments: &[Vec<Arm>]) -> Fit {
    fit_with(kind, segments, &Hyper::of(kind))
}

/// [`fit`] under other assumptions.
///
/// # Panics
/// As [`fit`].
#[must_use]
pub fn fit_with(kind: GoalKind, segments: &[Vec<Arm>], hyper: &Hyper) -> Fit {
    let arms_count = segments.first().map_or(0, Vec::len);
    assert!(arms_count > 0, "a fit to no arms");
    assert!(segments.iter().all(|arms| arms.len() == arms_count), "segments with different arms");
    match kind {
        GoalKind::Conversion => {
            let link = Logit::new(segments);
            Fit::solve(kind, &link, link.base(), 1.0, arms_count, hyper)
        }
        GoalKind::Revenue | GoalKind::Count => {
            let link = Identity::new(segments);
            Fit::solve(kind, &link, link.base(), link.deviation(), arms_count, hyper)
        }
    }
}

/// The visitors a segment is taken to have in all where nobody says: four times those it had, at least 200.
#[must_use]
pub fn expected_visitors(arms: &[Arm]) -> f64 {
    (4.0 * arms.iter().map(|arm| arm.exposures).sum::<f64>()).max(200.0)
}

impl Fit {
    /// Before any evidence.
    ///
    /// # Panics
    /// If there are no arms.
    #[must_use]
    pub fn unseen(kind: GoalKind, arms_count: usize) -> Self {
        fit(kind, &[vec![Arm::default(); arms_count]])
    }

    /// From what was stored of a fit: bit for bit the same. `None` unless every number is finite, there is a node, and the
    /// nodes are for the same number of arms.
    #[must_use]
    pub fn from_parts(kind: GoalKind, base: f64, segment_sd: f64, deviation: f64, nodes: Vec<Node>) -> Option<Self> {
        let arms_count = nodes.first()?.gamma.len();
        let usable = |node: &Node| {
            let numbers = [node.tau, node.weight];
            let finite = numbers.iter().chain(&node.gamma).chain(&node.factor).all(|number| number.is_finite());
            let shaped = node.gamma.len() == arms_count && node.factor.len() == factor::packed_length(arms_count);
            finite && shaped && node.tau >= 0.0 && node.weight >= 0.0
        };
        let scaled = base.is_finite() && segment_sd.is_finite() && deviation.is_finite();
        let usable = scaled && segment_sd > 0.0 && deviation > 0.0 && arms_count > 0 && nodes.iter().all(usable);
        usable.then_some(Self { kind, base, segment_sd, deviation, nodes })
    }

    /// What the rewards are.
    #[must_use]
    pub const fn kind(&self) -> GoalKind {
        self.kind
    }

    /// μ0, where a segment that has shown nothing is: a logit, or a mean reward.
    #[must_use]
    pub const fn base(&self) -> f64 {
        self.base
    }

    /// σβ, how far segments lie apart before any evidence: logits, or units of the reward.
    #[must_use]
    pub const fn segment_sd(&self) -> f64 {
        self.segment_sd
    }

    /// The standard deviation of one exposure's reward within a segment and arm, in its unit; 1 for conversions.
    #[must_use]
    pub const fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The posterior of the arms' effects for each τ that is not out of the question.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many arms it is for.
    #[must_use]
    pub fn arms_count(&self) -> usize {
        self.nodes[0].gamma.len()
    }

    /// The posterior mean of τ: 0 where segments agree; for conversions, 0.3 says that arms' effects differ by some 30 %
    /// from segment to segment.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.nodes.iter().map(|node| node.weight * node.tau).sum()
    }

    /// What is believed of the arms in a segment that has shown `arms` so far and will have `expected_visitors` in all.
    /// `sharpening` is how many times evidence counts: 1 for Thompson sampling proper, above 1 exploits earlier.
    ///
    /// # Panics
    /// If the fit is for another number of arms, or `sharpening` is not finite and above 0.
    #[must_use]
    pub fn believe(&self, arms: &[Arm], expected_visitors: f64, sharpening: f64) -> Pooled {
        assert!(arms.len() == self.arms_count(), "{} arms and a fit for {}", arms.len(), self.arms_count());
        assert!(sharpening.is_finite() && sharpening > 0.0, "a sharpening of {sharpening}");
        Pooled::new(self, arms, expected_visitors, sharpening)
    }

    fn solve<L: solver::Link>(
        kind: GoalKind,
        link: &L,
        base: f64,
        deviation: f64,
        arms_count: usize,
        hyper: &Hyper,
    ) -> Self {
        let segment_sd = hyper.segment_sd * deviation;
        let priors = solver::Priors { base, segment_sd, arm_sd: hyper.arm_sd * deviation, arms_count };
        let modes: Vec<_> = hyper
            .taus
            .iter()
            .map(|tau| (tau * deviation, solver::mode(link, &priors, tau * deviation, hyper.steps)))
            .collect();
        let most = modes.iter().map(|(_, mode)| mode.ln_evidence).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = modes.iter().map(|(_, mode)| (mode.ln_evidence - most).exp()).sum();
        let kept = |(tau, mode): (f64, solver::Mode)| {
            let weight = (mode.ln_evidence - most).exp() / total;
            (weight >= WEIGHT_MIN).then_some(Node { tau, weight, gamma: mode.gamma, factor: mode.factor })
        };
        let mut nodes: Vec<Node> = modes.into_iter().filter_map(kept).collect();
        let total: f64 = nodes.iter().map(|node| node.weight).sum();
        nodes.iter_mut().for_each(|node| node.weight /= total);
        Self { kind, base, segment_sd, deviation, nodes }
    }
}

#[cfg(test)]
mod tests;
