//! Tallies by the time of the decision (not of the reward): forgetting, charts and delays are weights and slices over
//! these. Recent buckets are fine, older ones a day long, the oldest folded into one, so that their number is bounded.

use crate::domain::{Span, Timestamp};
use crate::posterior::tally::Tally;

/// How buckets are cut: part of an experiment's definition; a change of it begins a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLengths {
    /// Length of a recent bucket; divides a day.
    pub fine: Span,
    /// Age at which buckets are coalesced to days: the longest window, after which no more conversions come.
    pub settled: Span,
}

/// Day-long buckets older than this are folded into the first: longer memories than a year and a month decide nothing.
const FOLD_AGE: Span = Span::DAY.times(400);

/// The tally of decisions made in `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// First instant.
    pub start: Timestamp,
    /// First instant after it.
    pub end: Timestamp,
    /// What was counted.
    pub tally: Tally,
}

/// Buckets in order of time, without overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buckets {
    buckets: Vec<Bucket>,
    /// Everything before is day-long. Moves with the newest decision, never with a clock, so that a replay cuts alike.
    coalesced_to: Timestamp,
}

impl Buckets {
    /// The tally of the bucket that holds a decision's time; made, and older ones coalesced, if it is a new one.
    pub fn at_mut(&mut self, decided: Timestamp, lengths: BucketLengths) -> &mut Tally {
        // Nearly every decision belongs to the newest bucket.
        let newest = self.buckets.last().is_some_and(|last| last.start <= decided && decided < last.end);
        let index = if newest { self.buckets.len() - 1 } else { self.find_or_insert(decided, lengths) };
        &mut self.buckets[index].tally
    }

    /// All buckets, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Up to where buckets are day-long.
    #[must_use]
    pub const fn coalesced_to(&self) -> Timestamp {
        self.coalesced_to
    }

    /// From a record; `None` unless the buckets are in order, not empty, and do not overlap.
    #[must_use]
    pub fn from_parts(buckets: Vec<Bucket>, coalesced_to: Timestamp) -> Option<Self> {
        let sound = buckets.iter().all(|b| b.start < b.end) && buckets.windows(2).all(|w| w[0].end <= w[1].start);
        sound.then_some(Self { buckets, coalesced_to })
    }

    /// The sum of all buckets.
    #[must_use]
    pub fn total(&self) -> Tally {
        let mut total = Tally::new();
        for bucket in &self.buckets {
            total.merge(&bucket.tally);
        }
        total
    }

    fn find_or_insert(&mut self, decided: Timestamp, lengths: BucketLengths) -> usize {
        if self.buckets.last().is_none_or(|last| last.end <= decided) {
            self.coalesce(decided.minus(lengths.settled).floor_to(Span::DAY));
        }
        match self.position(decided) {
            Ok(index) => index,
            Err(index) => {
                let length = if decided < self.coalesced_to { Span::DAY } else { lengths.fine };
                let start = decided.floor_to(length);
                // The folded first bucket may end within the day of a straggler: what is left of that day is its bucket.
                let start = index.checked_sub(1).map_or(start, |before| start.max(self.buckets[before].end));
                self.buckets
                    .insert(index, Bucket { start, end: decided.floor_to(length) + length, tally: Tally::new() });
                index
            }
        }
    }

    fn position(&self, decided: Timestamp) -> Result<usize, usize> {
        self.buckets.binary_search_by(|bucket| {
            if bucket.end <= decided {
                std::cmp::Ordering::Less
            } else if bucket.start > decided {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
    }

    fn coalesce(&mut self, to: Timestamp) {
        if to <= self.coalesced_to {
            return;
        }
        self.coalesced_to = to;
        let fold_before = to.minus(FOLD_AGE);
        let mut kept: Vec<Bucket> = Vec::with_capacity(self.buckets.len());
        for bucket in self.buckets.drain(..) {
            let (start, end) = if bucket.start < to {
                let day = bucket.start.floor_to(Span::DAY);
                (day, bucket.end.max(day + Span::DAY))
            } else {
                (bucket.start, bucket.end)
            };
            match kept.last_mut() {
                Some(last) if start < last.end || last.end <= fold_before && end <= fold_before => {
                    last.end = last.end.max(end);
                    last.tally.merge(&bucket.tally);
                }
                _ => kept.push(Bucket { start, end, tally: bucket.tally }),
            }
        }
        self.buckets = kept;
    }
}

#[cfg(test)]
mod tests {
    //! Coalescing loses nothing and stays in bounds, in any order of arrival.

    use crate::domain::{Slot, Span, Timestamp};
    use crate::posterior::bucket::*;
    use proptest::prelude::*;

    const LENGTHS: BucketLengths = BucketLengths { fine: Span::HOUR, settled: Span::DAY.times(7) };

    proptest! {
        #[test]
        fn nothing_is_lost_and_buckets_never_overlap(hours in proptest::collection::vec(0_u64..24 * 900, 1..200)) {
            let mut buckets = Buckets::default();
            for hour in &hours {
                let decided = Timestamp::ZERO + Span::HOUR.times(*hour) + Span::SECOND;
                buckets.at_mut(decided, LENGTHS).add_exposures(Slot(0), 1);
            }
            prop_assert_eq!(buckets.total().exposures(Slot(0)), hours.len() as u64);
            let parts = buckets.as_slice().to_vec();
            let back = Buckets::from_parts(parts, buckets.coalesced_to());
            prop_assert_eq!(back, Some(buckets));
        }
    }

    #[test]
    fn ten_years_stay_within_bounds() {
        let mut buckets = Buckets::default();
        for hour in 0..24 * 3_650 {
            buckets.at_mut(Timestamp::ZERO + Span::HOUR.times(hour), LENGTHS).add_exposures(Slot(0), 1);
        }
        assert_eq!(buckets.total().exposures(Slot(0)), 24 * 3_650);
        // A week and a day of hours, 400 days, and the folded rest.
        assert!(buckets.as_slice().len() <= 8 * 24 + 402, "{} buckets", buckets.as_slice().len());
    }

    #[test]
    fn a_late_reward_counts_in_its_decisions_bucket() {
        let mut buckets = Buckets::default();
        let early = Timestamp::ZERO + Span::HOUR.times(30);
        buckets.at_mut(early, LENGTHS).add_exposures(Slot(0), 1);
        buckets.at_mut(early + Span::DAY.times(20), LENGTHS).add_exposures(Slot(0), 1);
        buckets.at_mut(early, LENGTHS).add_conversions(Slot(0), Slot(0), 1);
        let first = &buckets.as_slice()[0];
        assert_eq!((first.start, first.end), (Timestamp::ZERO + Span::DAY, Timestamp::ZERO + Span::DAY.times(2)));
        assert_eq!((first.tally.exposures(Slot(0)), first.tally.conversions(Slot(0), Slot(0))), (1, 1));
    }
}
