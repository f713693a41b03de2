//! From buckets to effective counts: what is known of each by now, and how much of it still says something.

use crate::domain::{GoalKind, Slot, Span, Timestamp};
use crate::posterior::Arm;
use crate::posterior::bucket::Bucket;
use crate::posterior::delay::{Curves, Shares};
use crate::posterior::forgetting;
use crate::posterior::tally::Moments;

/// What is made of decisions whose window is still open.
#[derive(Debug, Clone, Copy)]
pub enum Open<'a> {
    /// They count as they stand.
    Counts,
    /// Neither they nor their rewards count until the window, this long, is over for the whole bucket.
    Waits(Span),
    /// They count for the share of rewards of their variation that has come by their age: the estimate Σx / Σ n F(age) of a rate is
    /// unbiased at every age, for young and old arms alike (STATISTICS §5).
    Share(&'a Curves),
}

/// How buckets are weighed.
#[derive(Debug, Clone, Copy)]
pub struct Weighing<'a> {
    /// In how much time what was seen loses half of its weight; `None`: never.
    pub half_life: Option<Span>,
    /// What is made of decisions whose window is still open.
    pub open: Open<'a>,
}

/// How much of a variation's part of a bucket counts.
#[derive(Debug, Clone, Copy)]
enum Weight {
    /// All of it, so that its integers can be added as they are.
    Whole,
    /// So much of its rewards and of its exposures; both 0 to 1.
    Part { rewards: f64, exposures: f64 },
}

/// How much of a bucket counts.
#[derive(Debug, Clone, Copy)]
struct BucketWeight<'a> {
    known: Known<'a>,
    /// What is not forgotten of it, where anything is.
    kept: Option<f64>,
}

impl BucketWeight<'_> {
    fn of(&self, variation: Slot) -> Weight {
        let known = self.known.of(variation);
        if known <= 0.0 {
            return Weight::Part { rewards: 0.0, exposures: 0.0 };
        }
        match self.kept {
            None if known >= 1.0 => Weight::Whole,
            kept => {
                let rewards = kept.unwrap_or(1.0);
                Weight::Part { rewards, exposures: rewards * known }
            }
        }
    }
}

/// How much of a bucket is known at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known<'a> {
    Nothing,
    Everything,
    Share(Shares<'a>),
}

impl Known<'_> {
    /// Of a variation's exposures, 0 to 1; where it is 0, its rewards do not count either.
    pub(crate) fn of(&self, variation: Slot) -> f64 {
        match self {
            Known::Nothing => 0.0,
            Known::Everything => 1.0,
            Known::Share(shares) => shares.of(variation),
        }
    }
}

impl<'a> Open<'a> {
    /// How much of a bucket is known at `now`.
    pub(crate) fn known(self, bucket: &Bucket, now: Timestamp) -> Known<'a> {
        match self {
            Open::Waits(window) if now.since(bucket.end) < window => Known::Nothing,
            Open::Counts | Open::Waits(_) => Known::Everything,
            Open::Share(curves) => Known::Share(curves.at(now.since(middle(bucket, now)))),
        }
    }
}

impl Weighing<'_> {
    /// Everything counts as it stands.
    pub const PLAIN: Self = Self { half_life: None, open: Open::Counts };

    fn weight(&self, bucket: &Bucket, now: Timestamp) -> BucketWeight<'_> {
        let age = now.since(middle(bucket, now));
        let kept = self.half_life.map(|half_life| forgetting::weight(age, half_life));
        BucketWeight { known: self.open.known(bucket, now), kept }
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
            match weight.of(slot) {
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
    let known = |bucket: &Bucket| -> f64 {
        let weight = weighing.weight(bucket, now);
        let of = |(variation, exposures)| match weight.of(variation) {
            Weight::Whole => exposures as f64,
            Weight::Part { exposures: share, .. } => share * exposures as f64,
        };
        bucket.tally.exposures_by_variation().map(of).sum()
    };
    buckets.iter().map(known).sum()
}

#[cfg(test)]
mod tests;
