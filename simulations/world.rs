//! What is true in one run: who comes, and what each visitor would give on each variation.

use std::ops::Range;

use mabel::domain::{AttributeName, Context, Currency, ExperimentKey, GoalKind, Seed, Span, Value, VariationKey};
use mabel::targeting::features::Attribute;

use crate::simulations::world::features::{Logistic, Rows};
use crate::simulations::world::orders::Orders;
use crate::simulations::world::segmented::Segmented;

pub(crate) mod blueprint;
pub(crate) mod features;
pub(crate) mod orders;
pub(crate) mod segmented;

/// Variations, what is measured, and how likely each visitor converts on each variation.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The experiment's key, which stands in every draw: a world under another name is another world.
    pub(crate) key: ExperimentKey,
    pub(crate) variations: Vec<VariationInWorld>,
    pub(crate) goal: GoalInWorld,
    /// Mean of the exponential time from a decision to its conversion, given that it comes within the window; `None`: at once.
    pub(crate) delay: Option<Span>,
    /// What conversions bring, where the goal is revenue.
    pub(crate) orders: Option<Orders>,
    /// What contextual policies see of a visitor.
    pub(crate) seen: SeenInWorld,
    pub(crate) truth: Truth,
}

/// Attributes and pairs of them, as a definition has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenInWorld {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) interactions: Vec<(AttributeName, AttributeName)>,
}

/// Something that can be shown.
#[derive(Debug, Clone)]
pub(crate) struct VariationInWorld {
    pub(crate) key: VariationKey,
    /// Share of the visitors who have come before it can be shown, in [0, 1); 0: from the first visitor.
    pub(crate) available_from: f64,
    /// What showing it costs, in minor units.
    pub(crate) cost: f64,
    /// What each conversion costs.
    pub(crate) cost_per_conversion: f64,
    /// Mean time to its conversions, where that differs from the world's.
    pub(crate) mean_delay: Option<Span>,
}

/// What is measured, and what it is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoalInWorld {
    pub(crate) kind: GoalKind,
    pub(crate) currency: Option<Currency>,
    /// What a conversion is worth, in minor units; `None`: conversions are counted.
    pub(crate) worth: Option<f64>,
    pub(crate) cap: Option<i64>,
    pub(crate) window: Span,
}

/// How likely whom converts on what.
#[derive(Debug, Clone)]
pub(crate) enum Truth {
    /// Visitors of a few segments, alike within each.
    Segments(Segmented),
    /// Every visitor has features; rates are logistic in them.
    Logistic(Logistic),
    /// Rows of a file: the variation that is the row's class converts, no other does.
    Rows(Rows),
}

/// Visitors between two changes of what can be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Phase {
    pub(crate) visitors: Range<u64>,
    /// Indices of the variations that can be shown, in the world's order.
    pub(crate) available: Vec<usize>,
    /// The best variation of each cell of [`Segmented`]; empty for other truths.
    pub(crate) best: Vec<usize>,
    /// The best one variation for all by what is expected of them; `None` where only the visitors themselves tell.
    pub(crate) best_single: Option<usize>,
}

/// One visitor's chance, the same under every strategy: common random numbers, so that strategies differ by what they
/// chose and not by whom they met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) segment: usize,
    /// Random bits of the decision's id, which the engine hashes into the uniform number it draws with.
    pub(crate) tail: u128,
    /// Converts if this is below the rate of what was shown.
    pub(crate) uniform: f64,
    seed: Seed,
}

/// What one visitor would give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// Probability of converting, by variation of the world.
    pub(crate) rates: &'a [f64],
    /// Expected reward, by variation: conversions, or what they bring less what they cost.
    pub(crate) values: &'a [f64],
    /// The variation of those available with the highest value.
    pub(crate) best: usize,
}

/// Numbers of one visitor, kept so that a run allocates them once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scratch {
    features: Vec<f64>,
    rates: Vec<f64>,
    values: Vec<f64>,
}

/// What a visitor's seed is for, by number of child; features take one more.
const FEATURES: u64 = 3;
const ORDER: u64 = 4;
const DELAY: u64 = 5;

impl Visitor {
    /// The `index`-th visitor of a run. Each number is SplitMix64's finaliser of (seed, run, visitor, purpose): three of
    /// them cost 5 ns, where keying a ChaCha8 stream per visitor costs ten times that, as much as deciding; nothing here
    /// needs its strength.
    pub(crate) fn of(run: Seed, index: u64, world: &World) -> Self {
        let seed = run.child(index);
        let segment = match &world.truth {
            Truth::Segments(segmented) => segmented.segment_of(seed.child(0).uniform()),
            Truth::Logistic(_) | Truth::Rows(_) => 0,
        };
        Self { segment, tail: u128::from(seed.child(1).0), uniform: seed.child(2).uniform(), seed }
    }
}

impl World {
    /// The phases of a run, in order; together they hold all `visitors`.
    pub(crate) fn phases(&self, visitors: u64) -> Vec<Phase> {
        let mut starts: Vec<u64> = self.variations.iter().map(|v| v.first_visitor(visitors)).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([visitors]);
        starts.iter().zip(ends).map(|(start, end)| self.phase(*start..end, visitors)).collect()
    }

    fn phase(&self, range: Range<u64>, visitors: u64) -> Phase {
        let available: Vec<usize> =
            (0..self.variations.len()).filter(|v| self.variations[*v].first_visitor(visitors) <= range.start).collect();
        let (best, best_single) = match &self.truth {
            Truth::Segments(segmented) => {
                (segmented.best(&available), Some(segmented.best_single(&available, range.clone())))
            }
            Truth::Logistic(_) | Truth::Rows(_) => (Vec::new(), None),
        };
        Phase { visitors: range, available, best, best_single }
    }

    /// Looks at the `index`-th visitor: what [`Self::scene`] and [`Self::context`] then tell.
    pub(crate) fn look(&self, index: u64, visitor: &Visitor, scratch: &mut Scratch) {
        match &self.truth {
            // Known beforehand.
            Truth::Segments(_) => return,
            Truth::Logistic(logistic) => {
                logistic.rates(visitor.seed.child(FEATURES), &mut scratch.features, &mut scratch.rates);
            }
            Truth::Rows(rows) => rows.rates(index, self.variations.len(), &mut scratch.rates),
        }
        scratch.values.clear();
        scratch.values.extend(scratch.rates.iter().enumerate().map(|(v, rate)| self.value(v, *rate)));
    }

    /// What the `index`-th visitor would give; [`Self::look`] has looked.
    pub(crate) fn scene<'a>(&'a self, index: u64, visitor: &Visitor, phase: &Phase, scratch: &'a Scratch) -> Scene<'a> {
        match &self.truth {
            Truth::Segments(segmented) => segmented.scene(index, visitor.segment, phase),
            Truth::Logistic(_) | Truth::Rows(_) => {
                let values = &scratch.values[..];
                Scene { rates: &scratch.rates, values, best: highest(&phase.available, |v| values[v]) }
            }
        }
    }

    /// What a request of the `index`-th visitor says, where each visitor has features; `None` where the segment says it.
    pub(crate) fn context<'a>(&'a self, index: u64, scratch: &Scratch) -> Option<Context<'a>> {
        match &self.truth {
            Truth::Segments(_) => None,
            Truth::Logistic(logistic) => Some(logistic.context(&scratch.features)),
            Truth::Rows(rows) => Some(rows.context(index)),
        }
    }

    /// What each segment's requests say.
    pub(crate) fn contexts(&self) -> Vec<Context<'_>> {
        match &self.truth {
            Truth::Segments(segmented) => segmented.segments.iter().map(|s| context_of(&s.context)).collect(),
            Truth::Logistic(_) | Truth::Rows(_) => Vec::new(),
        }
    }

    /// How many segments there are to tell apart.
    pub(crate) fn segments_count(&self) -> usize {
        match &self.truth {
            Truth::Segments(segmented) => segmented.segments.len(),
            Truth::Logistic(_) | Truth::Rows(_) => 1,
        }
    }

    /// Names of the segments' attributes, without repetition, in order.
    pub(crate) fn segment_attributes(&self) -> Vec<&str> {
        let Truth::Segments(segmented) = &self.truth else { return Vec::new() };
        let names = segmented.segments.iter().flat_map(|segment| segment.context.iter().map(|(name, _)| name.as_str()));
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Expected reward of showing a variation to somebody who converts on it with this probability.
    pub(crate) fn value(&self, variation: usize, rate: f64) -> f64 {
        let order = self.orders.as_ref().map(|orders| orders.means[variation]);
        expected_value(&self.variations[variation], &self.goal, order, rate)
    }

    /// Expected costs of showing a variation to somebody who converts on it with this probability.
    pub(crate) fn spend(&self, variation: usize, rate: f64) -> f64 {
        let shown = &self.variations[variation];
        shown.cost + rate * shown.cost_per_conversion
    }

    /// Whether a variation costs something.
    pub(crate) fn costs(&self) -> bool {
        self.variations.iter().any(VariationInWorld::costs)
    }

    /// What a visitor's order brings on a variation, in whole minor units; 1 where conversions are counted.
    pub(crate) fn amount(&self, visitor: &Visitor, variation: usize) -> i64 {
        self.orders.as_ref().map_or(1, |orders| orders.amount(variation, visitor.seed.child(ORDER)))
    }

    /// How long after the decision a visitor converts on a variation: exponential, given that it is within the window.
    pub(crate) fn delay(&self, visitor: &Visitor, variation: usize) -> Option<Span> {
        let mean = self.variations[variation].mean_delay.or(self.delay)?.as_millis() as f64;
        let window = self.goal.window.as_millis() as f64;
        let within = -(-window / mean).exp_m1();
        let delay = -mean * (-visitor.seed.child(DELAY).uniform() * within).ln_1p();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds within a window")]
        let millis = delay.clamp(0.0, window) as u64;
        Some(Span::from_millis(millis))
    }
}

impl VariationInWorld {
    /// One that costs nothing and can be shown from the first visitor on.
    pub(crate) fn new(key: VariationKey) -> Self {
        Self { key, available_from: 0.0, cost: 0.0, cost_per_conversion: 0.0, mean_delay: None }
    }

    pub(crate) fn costs(&self) -> bool {
        self.cost > 0.0 || self.cost_per_conversion > 0.0
    }

    /// The first of `visitors` to whom it can be shown.
    fn first_visitor(&self, visitors: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count of visitors")]
        let first = (self.available_from * visitors as f64).ceil() as u64;
        first
    }
}

impl GoalInWorld {
    /// Conversions within a week, counted.
    pub(crate) const CONVERSIONS: Self =
        Self { kind: GoalKind::Conversion, currency: None, worth: None, cap: None, window: Span::DAY.times(7) };
}

/// Conversions, or what they bring less what they cost, of showing a variation to somebody who converts at this rate.
fn expected_value(shown: &VariationInWorld, goal: &GoalInWorld, order: Option<f64>, rate: f64) -> f64 {
    let conversion = order.or(goal.worth).unwrap_or(1.0);
    rate * (conversion - shown.cost_per_conversion) - shown.cost
}

/// The first of some variations with the highest value.
pub(crate) fn highest(available: &[usize], value: impl Fn(usize) -> f64) -> usize {
    let best = available.iter().copied().reduce(|a, b| if value(b) > value(a) { b } else { a });
    best.expect("a scenario has a variation that is available from the start")
}

fn context_of(attributes: &[(String, Value<'static>)]) -> Context<'static> {
    let mut context = Context::new();
    for (name, value) in attributes {
        let inserted = context.insert(name.clone().into(), value.clone());
        assert!(inserted, "the number of attributes was checked when the scenario was read");
    }
    context
}

#[cfg(test)]
pub(crate) mod tests;
