//! Worlds before a run has drawn its truth: stated, or a family with parameters.

use std::f64::consts::TAU;
use std::sync::Arc;

use mabel::domain::{AttributeName, ExperimentKey, GoalKind, Seed, Span, Value};
use mabel::targeting::features::{Attribute, Encoding};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, StandardNormal};

use crate::simulations::world::features::{Logistic, Rows, Table, feature_names};
use crate::simulations::world::orders::OrdersBlueprint;
use crate::simulations::world::segmented::{Rates, SegmentInWorld, Segmented};
use crate::simulations::world::{GoalInWorld, SeenInWorld, Truth, VariationInWorld, World, expected_value};

/// Everything about a world but what each run draws anew.
#[derive(Debug, Clone)]
pub(crate) struct Blueprint {
    pub(crate) key: ExperimentKey,
    pub(crate) variations: Vec<VariationInWorld>,
    pub(crate) goal: GoalInWorld,
    pub(crate) delay: Option<Span>,
    pub(crate) orders: Option<OrdersBlueprint>,
    pub(crate) drift: Option<Drift>,
    /// What contextual policies see of a visitor.
    pub(crate) seen: SeenInWorld,
    pub(crate) family: Family,
}

/// Where rates come from.
#[derive(Debug, Clone)]
pub(crate) enum Family {
    /// Segments, and their rates by segment, then variation.
    Stated(Vec<SegmentInWorld>, Vec<f64>),
    TwoWay(TwoWay),
    Logistic(LogisticFamily),
    /// Rows of a data set; none before it is read.
    Rows(Arc<Table>),
}

/// Segments of equal shares with logit θ = logit base + segment + variation + interaction, each normal (STATISTICS §3.5).
#[derive(Debug, Clone, Copy)]
pub(crate) struct TwoWay {
    pub(crate) segments: usize,
    /// In (0, 1).
    pub(crate) base: f64,
    pub(crate) segment_sd: f64,
    pub(crate) arm_sd: f64,
    pub(crate) interaction_sd: f64,
}

/// Weights of a logistic world.
#[derive(Debug, Clone)]
pub(crate) struct LogisticFamily {
    pub(crate) dimensions: usize,
    pub(crate) weights: Weights,
}

#[derive(Debug, Clone)]
pub(crate) enum Weights {
    /// By variation, then feature.
    Stated(Vec<f64>),
    /// Normal around 0, drawn in each run.
    Drawn { sd: f64 },
}

/// How rates change while a run goes on (STATISTICS §4). Lengths are in visitors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drift {
    /// All rates rise and fall together, by a sine of this relative amplitude.
    Season { period: u64, amplitude: f64 },
    /// What variations do is drawn anew.
    Redraw { every: u64 },
    /// What variations do is an Ornstein-Uhlenbeck process that keeps its variance: correlation 1/e over `memory`.
    OrnsteinUhlenbeck { memory: u64 },
}

/// Visitors between two steps of a drift that is not drawn anew at once.
const STEP: u64 = 500;

/// Keeps the truth apart from the visitors, who have the children of small numbers.
const TRUTH: u64 = u64::MAX - 1;

impl Drift {
    /// Visitors of one step.
    pub(crate) const fn step(&self) -> u64 {
        match self {
            Self::Redraw { every } => *every,
            Self::Season { .. } | Self::OrnsteinUhlenbeck { .. } => STEP,
        }
    }

    /// What all rates are multiplied with in a step.
    fn factor(&self, step: u64) -> f64 {
        match self {
            Self::Season { period, amplitude } => {
                1.0 + amplitude * (TAU * ((step * STEP + STEP / 2) as f64 / *period as f64)).sin()
            }
            Self::Redraw { .. } | Self::OrnsteinUhlenbeck { .. } => 1.0,
        }
    }

    /// Correlation of what variations do between a step and the next.
    fn persistence(&self) -> f64 {
        match self {
            Self::Season { .. } => 1.0,
            Self::Redraw { .. } => 0.0,
            Self::OrnsteinUhlenbeck { memory } => (-(STEP as f64) / *memory as f64).exp(),
        }
    }
}

impl Blueprint {
    /// A world whose rates are stated, by segment, then variation; for conversions that come at once.
    pub(crate) fn stated(
        key: ExperimentKey,
        variations: Vec<VariationInWorld>,
        segments: Vec<SegmentInWorld>,
        rates: Vec<f64>,
    ) -> Self {
        let family = Family::Stated(segments, rates);
        let (goal, seen) = (GoalInWorld::CONVERSIONS, SeenInWorld::default());
        Self { key, variations, goal, delay: None, orders: None, drift: None, seen, family }
    }

    /// Rates by segment, then variation, where they are stated; none elsewhere.
    pub(crate) fn stated_rates(&self) -> &[f64] {
        match &self.family {
            Family::Stated(_, rates) => rates,
            Family::TwoWay(_) | Family::Logistic(_) | Family::Rows(_) => &[],
        }
    }

    /// Segments, where they are stated; none elsewhere.
    #[cfg(any(test, feature = "plots"))]
    pub(crate) fn stated_segments(&self) -> &[SegmentInWorld] {
        match &self.family {
            Family::Stated(segments, _) => segments,
            Family::TwoWay(_) | Family::Logistic(_) | Family::Rows(_) => &[],
        }
    }

    /// What rewards are, in the plural, for people.
    pub(crate) fn unit(&self) -> &'static str {
        match (&self.family, self.goal.kind) {
            (Family::Rows(_), _) => "right answers",
            (Family::Stated(..) | Family::TwoWay(_) | Family::Logistic(_), _) if self.costs() => "margin",
            (_, GoalKind::Revenue) => "revenue",
            (_, GoalKind::Conversion | GoalKind::Count) => match self.goal.worth {
                Some(_) => "worth",
                None => "conversions",
            },
        }
    }

    /// Whether a variation costs something.
    pub(crate) fn costs(&self) -> bool {
        self.variations.iter().any(VariationInWorld::costs)
    }

    /// Whether every run has the same truth all the time, so that runs can be averaged segment by segment.
    pub(crate) fn is_stated(&self) -> bool {
        matches!(self.family, Family::Stated(..)) && self.orders.is_none_or(|orders| orders.arm_sd <= 0.0)
    }

    /// How many numbers the rates of a run take.
    pub(crate) fn rates_count(&self, visitors: u64) -> u64 {
        let segments = match &self.family {
            Family::Stated(segments, _) => segments.len() as u64,
            Family::TwoWay(family) => family.segments as u64,
            Family::Logistic(_) | Family::Rows(_) => 1,
        };
        let steps = self.drift.map_or(1, |drift| visitors.div_ceil(drift.step()));
        steps.saturating_mul(segments).saturating_mul(self.variations.len() as u64)
    }

    /// The world of a run.
    pub(crate) fn draw(&self, run: Seed, visitors: u64) -> World {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(run.child(TRUTH).0);
        let variations = self.variations.len();
        let orders = self.orders.map(|orders| orders.draw(variations, &mut rng));
        let value = |v: usize, rate: f64| {
            let order = orders.as_ref().map(|orders| orders.means[v]);
            expected_value(&self.variations[v], &self.goal, order, rate)
        };
        let truth = match &self.family {
            Family::Stated(segments, rates) => {
                let rates = waved(rates, self.drift, visitors);
                Truth::Segments(Segmented::new(segments.clone(), variations, rates, value))
            }
            Family::TwoWay(family) => {
                let rates = family.rates(variations, self.drift, visitors, &mut rng);
                Truth::Segments(Segmented::new(family.segments(), variations, rates, value))
            }
            Family::Logistic(family) => {
                let weights = match &family.weights {
                    Weights::Stated(weights) => weights.clone(),
                    Weights::Drawn { sd } => normals(variations * family.dimensions, *sd, &mut rng),
                };
                Truth::Logistic(Logistic::new(family.dimensions, weights))
            }
            Family::Rows(table) => Truth::Rows(Rows::shuffled(Arc::clone(table), &mut rng)),
        };
        World {
            key: self.key.clone(),
            variations: self.variations.clone(),
            goal: self.goal,
            delay: self.delay,
            orders,
            seen: self.seen.clone(),
            truth,
        }
    }
}

impl LogisticFamily {
    /// The features, as a definition lists them: they are standard normal already.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let attribute = |name: &String| Attribute {
            name: AttributeName::new(name).expect("a letter and digits"),
            encoding: Encoding::Standardised { mean: 0.0, sd: 1.0 },
        };
        feature_names(self.dimensions).iter().map(attribute).collect()
    }
}

impl TwoWay {
    fn segments(&self) -> Vec<SegmentInWorld> {
        let width = self.segments.to_string().len();
        let segment = |place: usize| {
            let key = format!("s{place:0width$}");
            let context = vec![("segment".to_owned(), Value::Text(key.clone().into()))];
            SegmentInWorld { key, share: 1.0 / self.segments as f64, context }
        };
        (1..=self.segments).map(segment).collect()
    }

    fn rates(&self, variations: usize, drift: Option<Drift>, visitors: u64, rng: &mut Xoshiro256PlusPlus) -> Rates {
        let segments = normals(self.segments, self.segment_sd, rng);
        let mut arms = normals(variations, self.arm_sd, rng);
        let mut interactions = normals(self.segments * variations, self.interaction_sd, rng);
        let base = (self.base / (1.0 - self.base)).ln();
        let mut rates = Vec::new();
        for step in 0..drift.map_or(1, |drift| visitors.div_ceil(drift.step())) {
            if let Some(drift) = drift.filter(|_| step > 0) {
                move_on(&mut arms, self.arm_sd, drift.persistence(), rng);
                move_on(&mut interactions, self.interaction_sd, drift.persistence(), rng);
            }
            let factor = drift.map_or(1.0, |drift| drift.factor(step));
            rates.extend(interactions.iter().enumerate().map(|(place, interaction)| {
                let score = base + segments[place / variations] + arms[place % variations] + interaction;
                (factor / (1.0 + (-score).exp())).min(1.0)
            }));
        }
        Rates { step: drift.map_or(u64::MAX, |drift| drift.step()), rates }
    }
}

/// Stated rates, which only a season changes.
fn waved(rates: &[f64], drift: Option<Drift>, visitors: u64) -> Rates {
    let Some(drift) = drift else { return Rates::constant(rates.to_vec()) };
    let steps = visitors.div_ceil(drift.step());
    let at = |step: u64| rates.iter().map(move |rate| (rate * drift.factor(step)).min(1.0));
    Rates { step: drift.step(), rates: (0..steps).flat_map(at).collect() }
}

fn normals(count: usize, sd: f64, rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    let draw = |_| -> f64 { StandardNormal.sample(rng) };
    (0..count).map(draw).map(|normal| sd * normal).collect()
}

/// The next step of an autoregressive process of this standard deviation.
fn move_on(effects: &mut [f64], sd: f64, persistence: f64, rng: &mut Xoshiro256PlusPlus) {
    // What does not move costs no draw, and a season's arms stay what they are, bit for bit.
    if persistence >= 1.0 {
        return;
    }
    let fresh = sd * (1.0 - persistence * persistence).sqrt();
    for effect in effects {
        let normal: f64 = StandardNormal.sample(rng);
        *effect = persistence * *effect + fresh * normal;
    }
}
