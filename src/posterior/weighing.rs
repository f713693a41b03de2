//! From buckets to effective counts: what is known of each by now, and how much of it still says something.

use crate::domain::{GoalKind, Slot, Span, Timestamp};
use crate::posterior::Arm;
use crate::posterior::bucket::Bucket;
use crate::posterior::delay::Curve;
use crate::posterior::forgetting;
use crate::posterior::tally::Moments;

/// What is made of decisions whose window is still open.
#[derive(Debug, Clone, Copy)]
pub enum Open<'a> {
    /// They count as they stand.
    Counts,
    /// Neither they nor their rewards count until the window, this long, is over for the whole bucket.
    Waits(Span),
    /// They count for the share of rewards that has come by their age: the estimate Σx / Σ n F(age) of a rate is
    /// unbiased at every age, for young and old arms alike (STATISTICS §5).
    Share(&'a Curve),
}

/// How buckets are weighed.
#[derive(Debug, Clone, Copy)]
pub struct Weighing<'a> {
    /// In how much time what was seen loses half of its weight; `None`: never.
    pub half_life: Option<Span>,
    /// What is made of decisions whose window is still open.
    pub open: Open<'a>,
}

/// How much of a bucket counts.
#[derive(Debug, Clone, Copy)]
enum Weight {
    /// All of it, so that its integers can be added as they are.
    Whole,
    /// So much of its rewards and of its exposures; both 0 to 1.
    Part { rewards: f64, exposures: f64 },
}

impl Open<'_> {
    /// How much of a bucket is known at `now`, 0 to 1; where it is 0, its rewards do not count either.
    pub(crate) fn share(self, bucket: &Bucket, now: Timestamp) -> f64 {
        match self {
            Open::Counts => 1.0,
            Open::Waits(window) => f64::from(u8::from(now.since(bucket.end) >= window)),
            Open::Share(curve) => curve.at(now.since(middle(bucket, now))),
        }
    }
}

impl Weighing<'_> {
    /// Everything counts as it stands.
    pub const PLAIN: Self = Self { half_life: None, open: Open::Counts };

    fn weight(&self, bucket: &Bucket, now: Timestamp) -> Weight {
        let share = self.open.share(bucket, now);
        if share <= 0.0 {
            return Weight::Part { rewards: 0.0, exposures: 0.0 };
        }
        match self.half_life {
            None if share >= 1.0 => Weight::Whole,
            half_life => {
                let age = now.since(middle(bucket, now));
                let rewards = half_life.map_or(1.0, |half_life| forgetting::weight(age, half_life));
                Weight::Part { rewards, exposures: rewards * share }
            }
        }
    }
}

/// When a bucket's decisions were made, as one time: the middle of the part of it that has passed.
pub(crate) fn middle(bucket: &Bucket, now: Timestamp) -> Timestamp {
    let passed = bucket.end.min(now).since(bucket.start);
    bucket.start + Span::from_millis(passed.as_millis() / 2)
}

/// Counts of one arm, whole buckets in integers.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    exposures: u64,
    conversions: u64,
    moments: Moments,
    parts: Arm,
}

impl Sums {
    fn arm(&self, kind: GoalKind) -> Arm {
        let conversions = self.conversions as f64 + self.parts.conversions;
        let (sum, squares) = match kind {
            GoalKind::Conversion => (conversions, conversions),
            GoalKind::Revenue | GoalKind::Count => {
                (self.moments.sum as f64 + self.parts.sum, self.moments.squares as f64 + self.parts.squares)
            }
        };
        Arm { exposures: self.exposures as f64 + self.parts.exposures, conversions, sum, squares }
    }
}

/// The effective counts of each variation, in the order of `slots`, for one goal at `now`. With [`Weighing::PLAIN`] they are
/// the plain totals to the last bit.
///
/// Exposures that count for a share are never fewer than their rewards, which have come already.
#[must_use]
pub fn weigh(
    buckets: &[Bucket],
    slots: &[Slot],
    goal: Slot,
    kind: GoalKind,
    now: Timestamp,
    weighing: Weighing<'_>,
) -> Vec<Arm> {
    let mut sums = vec![Sums::default(); slots.len()];
    for bucket in buckets {
        let weight = weighing.weight(bucket, now);
        for (sums, &slot) in sums.iter_mut().zip(slots) {
            let (exposures, conversions) = (bucket.tally.exposures(slot), bucket.tally.conversions(slot, goal));
            let moments = bucket.tally.moments(slot, goal);
            match weight {
                Weight::Whole => {
                    sums.exposures += exposures;
                    sums.conversions += conversions;
                    sums.moments.sum += moments.sum;
                    sums.moments.squares += moments.squares;
                }
                Weight::Part { rewards, exposures: known } => {
                    sums.parts.exposures += known * exposures as f64;
                    sums.parts.conversions += rewards * conversions as f64;
                    sums.parts.sum += rewards * moments.sum as f64;
                    sums.parts.squares += rewards * moments.squares as f64;
                }
            }
        }
    }
    let shares = matches!(weighing.open, Open::Share(_));
    let arm = |sums: &Sums| {
        let arm = sums.arm(kind);
        if shares { Arm { exposures: arm.exposures.max(arm.conversions), ..arm } } else { arm }
    };
    sums.iter().map(arm).collect()
}

/// The sum of all exposures' weights at `now`, over every variation: how many a report's numbers rest on.
#[must_use]
pub fn effective_exposures(buckets: &[Bucket], now: Timestamp, weighing: Weighing<'_>) -> f64 {
    let known = |bucket: &Bucket| match weighing.weight(bucket, now) {
        Weight::Whole => 1.0,
        Weight::Part { exposures, .. } => exposures,
    };
    buckets.iter().map(|bucket| known(bucket) * bucket.tally.all_exposures() as f64).sum()
}

#[cfg(test)]
mod tests;
