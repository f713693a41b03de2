//! What is true in a simulation: who comes, and how likely each visitor converts on each variation.

use std::ops::Range;

use mabel::domain::{Context, ExperimentKey, Seed, Value, VariationKey};

/// Visitors of a few segments, variations with a conversion rate in each.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The experiment's key, which stands in every draw: a world under another name is another world.
    pub(crate) key: ExperimentKey,
    pub(crate) variations: Vec<VariationInWorld>,
    pub(crate) segments: Vec<SegmentInWorld>,
}

/// Something that can be shown.
#[derive(Debug, Clone)]
pub(crate) struct VariationInWorld {
    pub(crate) key: VariationKey,
    /// Share of the visitors who have come before it can be shown, in [0, 1); 0: from the first visitor.
    pub(crate) available_from: f64,
}

/// Visitors who are alike.
#[derive(Debug, Clone)]
pub(crate) struct SegmentInWorld {
    pub(crate) key: String,
    /// Share of the traffic; all shares sum to 1.
    pub(crate) share: f64,
    /// What the site knows of these visitors, from which the engine must find the segment.
    pub(crate) context: Vec<(String, Value<'static>)>,
    /// Probability of converting, per variation of the world.
    pub(crate) rates: Vec<f64>,
}

/// Visitors between two changes of what can be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Phase {
    pub(crate) visitors: Range<u64>,
    /// Indices of the variations that can be shown, in the world's order.
    pub(crate) available: Vec<usize>,
    /// The highest rate in each segment.
    pub(crate) best: Vec<f64>,
    /// The variation with the highest rate over all segments, by their shares.
    pub(crate) best_single: usize,
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
}

impl Visitor {
    /// The `index`-th visitor of a run. Each number is SplitMix64's finaliser of (seed, run, visitor, purpose): three of
    /// them cost 5 ns, where keying a ChaCha8 stream per visitor costs ten times that, as much as deciding; nothing here
    /// needs its strength.
    pub(crate) fn of(run: Seed, index: u64, world: &World) -> Self {
        let seed = run.child(index);
        let mut rest = seed.child(0).uniform();
        let last = world.segments.len() - 1;
        let position = world.segments[..last].iter().position(|segment| {
            rest -= segment.share;
            rest < 0.0
        });
        Self { segment: position.unwrap_or(last), tail: u128::from(seed.child(1).0), uniform: seed.child(2).uniform() }
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
        let best = self
            .segments
            .iter()
            .map(|segment| available.iter().map(|v| segment.rates[*v]).fold(0.0, f64::max))
            .collect();
        let mean = |v: usize| self.segments.iter().map(|segment| segment.share * segment.rates[v]).sum::<f64>();
        let best_single = available.iter().copied().reduce(|a, b| if mean(b) > mean(a) { b } else { a });
        let best_single = best_single.expect("a scenario has a variation that is available from the start");
        Phase { visitors: range, available, best, best_single }
    }

    /// Whether showing each segment its own best can win anything over the best one variation for all.
    pub(crate) fn rewards_segments(&self, visitors: u64) -> bool {
        let gap = |phase: &Phase| {
            let lost = |(s, best): (&SegmentInWorld, &f64)| s.share * (best - s.rates[phase.best_single]);
            self.segments.iter().zip(&phase.best).map(lost).sum::<f64>()
        };
        // Rates are decimal fractions in f64: what rounding leaves of equal ones is no gap.
        self.phases(visitors).iter().any(|phase| gap(phase) > 1e-12)
    }

    /// The attributes of each segment, as a request carries them.
    pub(crate) fn contexts(&self) -> Vec<Context<'_>> {
        let context = |segment: &'_ SegmentInWorld| {
            let mut context = Context::new();
            for (name, value) in &segment.context {
                let inserted = context.insert(name.clone().into(), value.clone());
                assert!(inserted, "the number of attributes was checked when the scenario was read");
            }
            context
        };
        self.segments.iter().map(context).collect()
    }
}

impl VariationInWorld {
    /// The first of `visitors` to whom it can be shown.
    fn first_visitor(&self, visitors: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count of visitors")]
        let first = (self.available_from * visitors as f64).ceil() as u64;
        first
    }
}

#[cfg(test)]
pub(crate) mod tests;
