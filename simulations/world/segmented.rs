//! Visitors of a few segments: rates by segment and variation, the same for ever or changing in steps.

use std::ops::Range;

use mabel::domain::Value;

use crate::simulations::world::{Phase, Scene, highest};

/// Visitors who are alike.
#[derive(Debug, Clone)]
pub(crate) struct SegmentInWorld {
    pub(crate) key: String,
    /// Share of the traffic; all shares sum to 1.
    pub(crate) share: f64,
    /// What the site knows of these visitors, from which the engine must find the segment.
    pub(crate) context: Vec<(String, Value<'static>)>,
}

/// Rates of all segments over a run. A cell is one segment in one step.
#[derive(Debug, Clone)]
pub(crate) struct Segmented {
    pub(crate) segments: Vec<SegmentInWorld>,
    /// Where each segment's share of [0, 1) ends.
    ends: Vec<f64>,
    variations: usize,
    /// Visitors of one step.
    step: u64,
    /// By step, then segment, then variation.
    rates: Vec<f64>,
    /// Expected rewards, in the same order.
    values: Vec<f64>,
}

/// Rates by step, then segment, then variation.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    /// Visitors of one step; the last lasts to the end of the run.
    pub(crate) step: u64,
    pub(crate) rates: Vec<f64>,
}

impl Rates {
    /// Rates that never change, by segment, then variation.
    pub(crate) fn constant(rates: Vec<f64>) -> Self {
        Self { step: u64::MAX, rates }
    }
}

impl Segmented {
    /// `value` is the expected reward of a variation at a rate.
    pub(crate) fn new(
        segments: Vec<SegmentInWorld>,
        variations: usize,
        rates: Rates,
        value: impl Fn(usize, f64) -> f64,
    ) -> Self {
        let mut end = 0.0;
        let ends = segments.iter().map(|segment| {
            end += segment.share;
            end
        });
        let ends = ends.collect();
        let Rates { step, rates } = rates;
        assert!(rates.len().is_multiple_of(segments.len() * variations), "a rate for every segment and variation");
        let values = rates.iter().enumerate().map(|(place, rate)| value(place % variations, *rate)).collect();
        Self { segments, ends, variations, step, rates, values }
    }

    /// The segment of a visitor with this uniform number.
    pub(crate) fn segment_of(&self, uniform: f64) -> usize {
        self.ends[..self.ends.len() - 1].partition_point(|end| *end <= uniform)
    }

    pub(crate) fn scene(&self, index: u64, segment: usize, phase: &Phase) -> Scene<'_> {
        let cell = self.cell(index, segment);
        let range = self.of_cell(cell);
        Scene { rates: &self.rates[range.clone()], values: &self.values[range], best: phase.best[cell] }
    }

    /// The best of some variations in each cell.
    pub(crate) fn best(&self, available: &[usize]) -> Vec<usize> {
        self.values.chunks(self.variations).map(|values| highest(available, |v| values[v])).collect()
    }

    /// The best of some variations for all who come in a range, by their expected shares.
    pub(crate) fn best_single(&self, available: &[usize], visitors: Range<u64>) -> usize {
        let mut sums = vec![0.0; self.variations];
        for step in 0..self.steps() {
            let start = self.step.saturating_mul(step as u64).max(visitors.start);
            let end = if step + 1 == self.steps() { u64::MAX } else { self.step.saturating_mul(step as u64 + 1) };
            let here = end.min(visitors.end).saturating_sub(start) as f64;
            for (segment, known) in self.segments.iter().enumerate().filter(|_| here > 0.0) {
                let values = &self.values[self.of_cell(step * self.segments.len() + segment)];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += here * known.share * value);
            }
        }
        highest(available, |v| sums[v])
    }

    fn steps(&self) -> usize {
        self.rates.len() / (self.segments.len() * self.variations)
    }

    fn cell(&self, index: u64, segment: usize) -> usize {
        if self.step == u64::MAX {
            return segment;
        }
        let step = usize::try_from(index / self.step).unwrap_or(usize::MAX).min(self.steps() - 1);
        step * self.segments.len() + segment
    }

    fn of_cell(&self, cell: usize) -> Range<usize> {
        cell * self.variations..(cell + 1) * self.variations
    }
}
