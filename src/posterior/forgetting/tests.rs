//! The half-life that is picked is the world's.

use crate::domain::{Slot, Span, Timestamp};
use crate::posterior::Beta;
use crate::posterior::bucket::{BucketLengths, Buckets};
use crate::posterior::forgetting::*;
use crate::posterior::weighing::Open;
use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const SLOTS: [Slot; 2] = [Slot(0), Slot(1)];
const START: Timestamp = Timestamp::from_millis(Span::DAY.times(20_000).as_millis());
const LENGTHS: BucketLengths = BucketLengths { fine: Span::HOUR, settled: Span::DAY };

proptest! {
    #[test]
    fn weights_halve_in_a_half_life(age in 0_u64..1 << 40, half_life in 1_u64..1 << 40) {
        let at = |age| weight(Span::from_millis(age), Span::from_millis(half_life));
        prop_assert!((at(age + half_life) - 0.5 * at(age)).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&at(age)));
    }
}

/// Scores after 60 days of 100 visitors an hour, divided evenly, whose two arms convert at these rates by hour.
fn scored(rates: impl Fn(f64) -> [f64; 2]) -> Scores {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut buckets = Buckets::default();
    for hour in 0..24 * 60_u32 {
        let tally = buckets.at_mut(START + Span::HOUR.times(u64::from(hour)), LENGTHS);
        for (slot, rate) in SLOTS.into_iter().zip(rates(f64::from(hour))) {
            tally.add_exposures(slot, 50);
            tally.add_conversions(slot, Slot(0), (0..50).filter(|_| rng.random::<f64>() < rate).count() as u64);
        }
    }
    Scores::of(buckets.as_slice(), &SLOTS, Slot(0), START + Span::DAY.times(60), Open::Counts, Beta::UNIFORM)
}

/// Rates that change places every 15 days.
fn swapping(hour: f64, one: f64, other: f64) -> [f64; 2] {
    if (hour / 360.0) % 2.0 < 1.0 { [one, other] } else { [other, one] }
}

/// Four weeks and never are told apart by noise alone in two months.
fn is_long(half_life: Option<Span>) -> bool {
    half_life.is_none_or(|half_life| half_life >= Span::DAY.times(28))
}

#[test]
fn arms_that_stay_as_they_are_are_hardly_forgotten() {
    assert!(is_long(scored(|_| [0.10, 0.13]).best()));
}

#[test]
fn a_wave_that_lifts_all_arms_is_no_reason_to_forget() {
    let wave = |hour: f64| 1.0 + 0.7 * (hour / 168.0 * std::f64::consts::TAU).sin();
    assert!(is_long(scored(|hour| [0.10 * wave(hour), 0.13 * wave(hour)]).best()));
}

#[test]
fn arms_that_change_places_are_forgotten() {
    assert_eq!(scored(|hour| swapping(hour, 0.06, 0.20)).best(), Some(Span::DAY.times(3)));
}

#[test]
fn scores_of_segments_add_up_and_nothing_seen_forgets_nothing() {
    let none = Scores::of(&[], &SLOTS, Slot(0), START, Open::Counts, Beta::UNIFORM);
    assert_eq!((none, none.best()), (Scores::default(), None));
    let still = scored(|_| [0.1, 0.1]);
    let swapped = scored(|hour| swapping(hour, 0.02, 0.30));
    let sum = |mut a: Scores, b: Scores| {
        a.add(b);
        a
    };
    assert_eq!(sum(still, swapped), sum(swapped, still));
    assert_eq!(sum(still, none), still);
    assert_eq!(sum(still, swapped).best(), Some(Span::DAY.times(3)));
}
