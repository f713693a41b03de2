//! One number for everything that is counted: what an erased visitor's absence is shown by.

use std::collections::BTreeMap;

use crate::domain::{Slot, Span};
use crate::engine::Engine;
use crate::engine::checkpoint::{SegmentState, StateRecord};
use crate::posterior::bucket::Buckets;
use crate::posterior::tally::Tally;

impl Engine {
    /// BLAKE3 of all tallies: by experiment, epoch, segment, control or not, day of the decision, variation and goal. What has counted
    /// nothing is left out, so that a cell that was emptied is as one that never was; and counts are taken by day, since when
    /// hours are joined to days depends on the newest decision, whose visitor may be gone.
    #[must_use]
    pub fn tallies_digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for record in self.state() {
            if let StateRecord::Segment(segment) = &record {
                digest_segment(segment, &mut hasher);
            }
        }
        *hasher.finalize().as_bytes()
    }
}

fn digest_segment(segment: &SegmentState, hasher: &mut blake3::Hasher) {
    for (side, buckets) in [(0_u8, &segment.learning), (1, &segment.control)] {
        for (day, tally) in by_day(buckets) {
            let (variations, goals) = tally.shape();
            for variation in slots(variations) {
                let counts = std::iter::once((u16::MAX, i128::from(tally.exposures(variation)), 0, 0));
                let counts = counts.chain(slots(goals).map(|goal| {
                    let moments = tally.moments(variation, goal);
                    (goal.0, i128::from(tally.conversions(variation, goal)), moments.sum, moments.squares)
                }));
                for (goal, count, sum, squares) in
                    counts.filter(|(_, count, sum, squares)| (*count, *sum, *squares) != (0, 0, 0))
                {
                    let key = segment.segment.as_ref().map_or("", |key| key.as_str());
                    for text in [segment.experiment.as_str(), key] {
                        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
                    }
                    hasher.update(&[side, u8::from(segment.segment.is_some())]);
                    hasher.update(&segment.epoch.to_le_bytes()).update(&day.to_le_bytes());
                    hasher.update(&variation.0.to_le_bytes()).update(&goal.to_le_bytes());
                    for number in [count, sum, squares] {
                        hasher.update(&number.to_le_bytes());
                    }
                }
            }
        }
    }
}

fn by_day(buckets: &Buckets) -> BTreeMap<u64, Tally> {
    let mut days: BTreeMap<u64, Tally> = BTreeMap::new();
    for bucket in buckets.as_slice() {
        days.entry(bucket.start.as_millis() / Span::DAY.as_millis()).or_default().merge(&bucket.tally);
    }
    days
}

fn slots(count: usize) -> impl Iterator<Item = Slot> {
    (0..).map(Slot).take(count)
}
