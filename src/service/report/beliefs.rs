//! What the policy believes of variations, unsharpened, segment by segment and of all together: by quadrature where rates are
//! independent, else from seeded joint draws.

use crate::domain::{GoalKind, Seed};
use crate::engine::definition::Objective;
use crate::engine::experiment::Active;
use crate::engine::reading::SegmentReading;
use crate::policy::belief::{Draws, Model};
use crate::policy::price::Price;
use crate::policy::{Evidence, Pooling};
use crate::posterior::Beta;
use crate::posterior::hurdle::Estimate;
use crate::report::standardised::standardised;
use crate::report::summary::{estimate, of_draws, summarise};

/// Joint draws of a segment: a standard error of a probability below 0.008.
const DRAWS: usize = 4_096;

/// The same where there are so many scores to draw that it would take seconds: below 0.016.
const DRAWS_OF_MANY: usize = 1_024;

/// Segments × variations from which on there are many.
const MANY: usize = 1_000;

/// Of the draws, which must differ from those of policies in nothing but that they are others.
const SEED: Seed = Seed(0x7265_706f_7274);

/// Made segment by segment.
pub(super) struct Beliefs<'a> {
    active: &'a Active,
    model: Model,
    price: Price,
    added: u64,
    /// Σ weight.
    weight: f64,
    /// Σ weight × draws, in the definition's order.
    scores: Vec<f64>,
    shrunken: Vec<f64>,
    /// Σ weight × what λ adds to the costs.
    excess: Vec<f64>,
    /// By segment, while all of them have a quadrature.
    rates: Option<Vec<(f64, Vec<Beta>)>>,
}

/// By variation, in the definition's order.
pub(super) struct Believed {
    /// Model probability of being the best, and expected loss.
    pub(super) best: Vec<(f64, f64)>,
    /// The primary goal's mean with what is borrowed; empty where nothing is.
    pub(super) shrunken: Vec<Estimate>,
    /// Empty where it is not what is maximised.
    pub(super) margins: Vec<Estimate>,
}

/// Of all segments together, standardised.
pub(super) struct Total {
    pub(super) believed: Believed,
    /// Joint draws of the scores, rows in the definition's order.
    pub(super) scores: Vec<f64>,
}

/// What is believed of one segment, in the definition's order.
struct One {
    scores: Vec<f64>,
    shrunken: Vec<f64>,
    excess: Vec<f64>,
    rates: Option<Vec<Beta>>,
}

impl<'a> Beliefs<'a> {
    pub(super) fn new(active: &'a Active, segments: usize, price: Price) -> Self {
        let policy = active.settings.policy();
        let many = segments * active.settings.definition.variations.len() > MANY;
        let draws = if many { DRAWS_OF_MANY } else { DRAWS };
        let pooling = if policy.learns() { policy.pooling() } else { Pooling::None };
        let model = Model { pooling, prior: policy.prior(), sharpening: 1.0, draws };
        let rates = Some(Vec::new());
        Self {
            active,
            model,
            price,
            added: 0,
            weight: 0.0,
            scores: Vec::new(),
            shrunken: Vec::new(),
            excess: Vec::new(),
            rates,
        }
    }

    /// One segment more, and what is believed of it.
    pub(super) fn add(&mut self, read: &SegmentReading) -> Believed {
        let one = self.one(read);
        let weight = read.learning.all_exposures() as f64;
        if weight > 0.0 {
            self.join(weight, &one);
        }
        self.believed(&one)
    }

    /// All that were added; what is believed of `nobody` where none of them had a visitor.
    pub(super) fn total(mut self, nobody: &SegmentReading) -> Total {
        if self.weight <= 0.0 {
            let one = self.one(nobody);
            self.join(1.0, &one);
        }
        let scale = self.weight.recip();
        let scaled = |numbers: &[f64]| numbers.iter().map(|number| scale * number).collect::<Vec<f64>>();
        let rates = self.rates.take().map(|segments| {
            let of = |arm: usize| {
                standardised(&segments.iter().map(|(weight, rates)| (*weight, rates[arm])).collect::<Vec<_>>())
            };
            (0..self.arms()).map(of).collect()
        });
        let total =
            One { scores: scaled(&self.scores), shrunken: scaled(&self.shrunken), excess: scaled(&self.excess), rates };
        Total { believed: self.believed(&total), scores: total.scores }
    }

    fn arms(&self) -> usize {
        self.active.settings.definition.variations.len()
    }

    fn join(&mut self, weight: f64, one: &One) {
        self.weight += weight;
        for (sum, part) in
            [(&mut self.scores, &one.scores), (&mut self.shrunken, &one.shrunken), (&mut self.excess, &one.excess)]
        {
            sum.resize(part.len(), 0.0);
            sum.iter_mut().zip(part).for_each(|(sum, number)| *sum += weight * number);
        }
        self.rates = match (self.rates.take(), &one.rates) {
            (Some(mut all), Some(rates)) => {
                all.push((weight, rates.clone()));
                Some(all)
            }
            (Some(_) | None, _) => None,
        };
    }

    fn one(&mut self, read: &SegmentReading) -> One {
        let own = SEED.child(1).child(self.added);
        self.added += 1;
        let evidence = read.evidence();
        let belief = self.model.believe(&evidence);
        let scores = self.in_order(&belief.draws_among(SEED, own));
        let rates = belief.rates().map(|rates| {
            let mut ordered = rates.to_vec();
            self.positions().for_each(|(position, index)| ordered[index] = rates[position]);
            ordered
        });
        let shrunken = match (self.shrinks(&evidence), evidence.worths.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => scores.clone(),
            (true, false) => self.in_order(&self.model.believe(&read.uncosted()).draws_among(SEED, own)),
        };
        One { scores, shrunken, excess: self.excess(&evidence), rates }
    }

    /// Whether a mean with what is borrowed can be given: not of revenue whose costs are taken off before segments are fitted.
    fn shrinks(&self, evidence: &Evidence<'_>) -> bool {
        let definition = &self.active.settings.definition;
        let net = evidence.kind != GoalKind::Conversion
            && definition.policy.objective == Objective::Margin
            && definition.variations.iter().any(|variation| variation.cost_per_conversion > 0.0);
        evidence.fit.is_some() && !net
    }

    /// What a price on spending takes off each score beyond what is spent; empty where margins are not maximised.
    fn excess(&self, evidence: &Evidence<'_>) -> Vec<f64> {
        let definition = &self.active.settings.definition;
        if definition.policy.objective == Objective::Goal {
            return Vec::new();
        }
        let mut excess = vec![0.0; self.arms()];
        for (position, index) in self.positions() {
            let (arm, variation) = (&evidence.arms[position], &definition.variations[index]);
            let rate = Beta::from_counts(self.model.prior, arm.exposures, arm.conversions, 1.0).mean();
            excess[index] = self.price.excess * variation.cost_per_conversion.mul_add(rate, variation.cost);
        }
        excess
    }

    fn believed(&self, one: &One) -> Believed {
        let arms = self.arms();
        let best = match &one.rates {
            Some(rates) => summarise(rates, SEED).iter().map(|arm| (arm.best_probability, arm.expected_loss)).collect(),
            None => of_draws(&one.scores, arms),
        };
        let shrunken = if one.shrunken.is_empty() { 0 } else { arms };
        let margin = |(arm, excess): (usize, &f64)| {
            let Estimate { mean, low, high } = estimate(&one.scores, arms, arm);
            Estimate { mean: mean + excess, low: low + excess, high: high + excess }
        };
        Believed {
            best,
            shrunken: (0..shrunken).map(|arm| estimate(&one.shrunken, arms, arm)).collect(),
            margins: one.excess.iter().enumerate().map(margin).collect(),
        }
    }

    /// Rows from the order of keys to that of the definition.
    fn in_order(&self, draws: &Draws) -> Vec<f64> {
        let arms = self.arms();
        let mut ordered = vec![0.0; draws.count() * arms];
        for (to, from) in ordered.chunks_exact_mut(arms).zip(draws.rows()) {
            self.positions().for_each(|(position, index)| to[index] = from[position]);
        }
        ordered
    }

    fn positions(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.active.settings.variations_by_key().iter().copied().enumerate()
    }
}
