//! Weights change what counts, and nothing where there are none.

use crate::domain::{GoalKind, Slot, Span, Timestamp};
use crate::posterior::Arm;
use crate::posterior::bucket::{Bucket, BucketLengths, Buckets};
use crate::posterior::delay::Curves;
use crate::posterior::tally::Tally;
use crate::posterior::weighing::*;
use proptest::prelude::*;

const GOAL: Slot = Slot(0);
const SLOTS: [Slot; 3] = [Slot(2), Slot(0), Slot(1)];
const WEEK: Span = Span::DAY.times(7);
const START: Timestamp = Timestamp::from_millis(Span::DAY.times(20_000).as_millis());

fn at(hours: u64) -> Timestamp {
    START + Span::HOUR.times(hours)
}

/// Buckets of an hour with exposures and values of up to three variations, over 40 days.
fn buckets() -> impl Strategy<Value = Buckets> {
    let event = (0_u64..40 * 24, 0_u16..3, 0_u64..100, proptest::option::of(-(1_i64 << 40)..1 << 40));
    proptest::collection::vec(event, 0..60).prop_map(|mut events| {
        events.sort_unstable();
        let mut buckets = Buckets::default();
        for (hour, variation, exposures, value) in events {
            let tally = buckets.at_mut(at(hour), BucketLengths { fine: Span::HOUR, settled: WEEK });
            tally.add_exposures(Slot(variation), exposures);
            if let Some(value) = value {
                tally.add_value(Slot(variation), GOAL, value);
            }
        }
        buckets
    })
}

fn weighed(buckets: &[Bucket], now: Timestamp, weighing: Weighing<'_>) -> Vec<Arm> {
    weigh(buckets, &SLOTS, GOAL, GoalKind::Revenue, now, weighing)
}

proptest! {
    #[test]
    fn with_nothing_at_work_the_totals_come_out_to_the_last_bit(buckets in buckets(), hour in 0_u64..50 * 24) {
        let total = buckets.total();
        let plain = weighed(buckets.as_slice(), at(hour), Weighing::PLAIN);
        for (arm, slot) in plain.iter().zip(SLOTS) {
            let moments = total.moments(slot, GOAL);
            let expected = Arm {
                exposures: total.exposures(slot) as f64,
                conversions: total.conversions(slot, GOAL) as f64,
                sum: moments.sum as f64,
                squares: moments.squares as f64,
            };
            prop_assert_eq!(*arm, expected);
        }
        let all: f64 = plain.iter().map(|arm| arm.exposures).sum();
        prop_assert!((effective_exposures(buckets.as_slice(), at(hour), Weighing::PLAIN) - all).abs() < 1e-9);
        // Once every window is over, delays change nothing either.
        let curves = Curves::configured(WEEK, None);
        let late = at(60 * 24);
        for open in [Open::Waits(WEEK), Open::Share(&curves)] {
            let closed = weighed(buckets.as_slice(), late, Weighing { half_life: None, open });
            for (arm, plain) in closed.iter().zip(&plain) {
                // Exposures that count for a share are at least as many as their rewards.
                let least = if matches!(open, Open::Share(_)) { plain.conversions } else { 0.0 };
                prop_assert_eq!(*arm, Arm { exposures: plain.exposures.max(least), ..*plain });
            }
        }
    }

    #[test]
    fn exposures_become_known_and_are_forgotten_with_time(buckets in buckets(), first in 0_u64..50 * 24, later in 0_u64..240) {
        let exposures = |hour, weighing| -> Vec<f64> {
            weighed(buckets.as_slice(), at(hour), weighing).iter().map(|arm| arm.exposures).collect()
        };
        let curves = Curves::configured(WEEK, None);
        for open in [Open::Waits(WEEK), Open::Share(&curves)] {
            let weighing = Weighing { half_life: None, open };
            for (before, after) in exposures(first, weighing).iter().zip(exposures(first + later, weighing)) {
                prop_assert!(*before <= after * (1.0 + 1e-12));
            }
        }
        let weighing = Weighing { half_life: Some(Span::DAY), open: Open::Counts };
        for (before, after) in exposures(first, weighing).iter().zip(exposures(first + later, weighing)) {
            prop_assert!(*before >= after * (1.0 - 1e-12));
        }
    }

    #[test]
    fn how_buckets_are_cut_changes_nothing_where_nothing_is_forgotten(buckets in buckets(), hour in 0_u64..50 * 24) {
        let total = [Bucket { start: START, end: at(40 * 24), tally: buckets.total() }];
        prop_assert_eq!(
            weighed(buckets.as_slice(), at(hour), Weighing::PLAIN),
            weighed(&total, at(hour), Weighing::PLAIN)
        );
    }
}

fn bucket(start: u64, end: u64, exposures: u64, conversions: u64) -> Bucket {
    let mut tally = Tally::new();
    tally.add_exposures(Slot(0), exposures);
    tally.add_conversions(Slot(0), GOAL, conversions);
    Bucket { start: at(start), end: at(end), tally }
}

fn only(buckets: &[Bucket], now: Timestamp, weighing: Weighing<'_>) -> Arm {
    weigh(buckets, &[Slot(0)], GOAL, GoalKind::Conversion, now, weighing)[0]
}

#[test]
fn half_of_a_buckets_weight_is_gone_a_half_life_after_its_middle() {
    let weighing = Weighing { half_life: Some(Span::DAY), open: Open::Counts };
    let buckets = [bucket(0, 2, 100, 10), bucket(24, 48, 50, 5)];
    // The second bucket is being filled: half a day of it has passed, a quarter of a day ago in its middle.
    let arm = only(&buckets, at(36), weighing);
    let weights = [0.5_f64.powf(35.0 / 24.0), 0.5_f64.powf(0.25)];
    assert!((arm.exposures - (100.0 * weights[0] + 50.0 * weights[1])).abs() < 1e-9);
    assert!((arm.conversions - (10.0 * weights[0] + 5.0 * weights[1])).abs() < 1e-9);
    assert!((arm.sum - arm.conversions).abs() < 1e-12 && (arm.squares - arm.conversions).abs() < 1e-12);
    assert!((effective_exposures(&buckets, at(36), weighing) - arm.exposures).abs() < 1e-9);
}

#[test]
fn open_decisions_wait_or_count_for_their_share() {
    let buckets = [bucket(0, 1, 100, 3), bucket(100, 101, 40, 30)];
    let now = at(170);
    let waiting = only(&buckets, now, Weighing { half_life: None, open: Open::Waits(WEEK) });
    assert_eq!(waiting, Arm::converting(100.0, 3.0));
    let curves = Curves::configured(WEEK, None);
    let share = curves.of(Slot(0)).at(Span::from_millis(69 * 3_600_000 + 1_800_000));
    let shared = only(&buckets[1..], at(170), Weighing { half_life: None, open: Open::Share(&curves) });
    assert!((share - (69.5_f64 / 168.0).sqrt()).abs() < 1e-3);
    // 26 exposures cannot have had 30 rewards.
    assert!(40.0 * share < 30.0);
    assert_eq!(shared, Arm::converting(30.0, 30.0));
    let both = only(&buckets, now, Weighing { half_life: None, open: Open::Share(&curves) });
    assert!((both.exposures - (100.0 + 40.0 * share)).abs() < 1e-9);
    // A clock that stepped back makes no negative age.
    assert!(only(&buckets, START, Weighing { half_life: None, open: Open::Share(&curves) }).exposures >= 33.0);
}
