//! A monoid of rewards, bounded, whose curve finds the delays' distribution before a window is over.

use crate::domain::{Slot, Span, Timestamp};
use crate::posterior::delay::*;
use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const WEEK: Span = Span::DAY.times(7);
const START: Timestamp = Timestamp::from_millis(Span::DAY.times(20_000).as_millis());

fn hours(count: u64) -> Span {
    Span::HOUR.times(count)
}

fn counted(rewards: &[(u16, u64, u64)]) -> Delays {
    let mut delays = Delays::new(WEEK);
    for &(variation, decided, delay) in rewards {
        delays.add(Slot(variation), START + Span::SECOND.times(decided), Span::SECOND.times(delay));
    }
    delays
}

fn total(counts: &Counts) -> u64 {
    counts.closed().iter().sum::<u64>() + counts.open().map(|open| open.count).sum::<u64>()
}

/// Of a few variations, decisions over a month, delays up to a little more than the week that counts; in seconds.
fn rewards() -> impl Strategy<Value = Vec<(u16, u64, u64)>> {
    proptest::collection::vec((0_u16..3, 0_u64..30 * 86_400, 0_u64..8 * 86_400), 0..60)
}

proptest! {
    #[test]
    fn what_is_taken_back_leaves_only_the_time_it_told(kept in rewards(), taken in rewards(), late in rewards()) {
        let mut delays = counted(&[kept.clone(), taken.clone()].concat());
        let mut without = counted(&kept);
        delays.merge(&counted(&late));
        without.merge(&counted(&late));
        for (variation, decided, delay) in taken {
            let (decided, delay) = (START + Span::SECOND.times(decided), Span::SECOND.times(delay));
            delays.take_back(Slot(variation), decided, delay);
            if delay <= WEEK {
                without.advance(decided + delay);
            }
        }
        prop_assert_eq!(delays, without);
    }

    #[test]
    fn equal_rewards_make_an_equal_state_in_any_order(a in rewards(), b in rewards(), c in rewards()) {
        let joined = |parts: &[&Delays]| {
            parts.iter().fold(Delays::new(WEEK), |mut sum, part| {
                sum.merge(part);
                sum
            })
        };
        let (x, y, z) = (counted(&a), counted(&b), counted(&c));
        let all = [a, b, c].concat();
        let backwards: Vec<_> = all.iter().rev().copied().collect();
        let at_once = counted(&all);
        prop_assert_eq!(&joined(&[&x, &y, &z]), &at_once);
        prop_assert_eq!(&joined(&[&z, &joined(&[&y, &x])]), &at_once);
        prop_assert_eq!(&joined(&[&at_once, &Delays::new(WEEK)]), &at_once);
        prop_assert_eq!(&counted(&backwards), &at_once);
        let within = all.iter().filter(|(.., delay)| *delay <= 7 * 86_400).count() as u64;
        prop_assert_eq!(total(at_once.all()), within);
        prop_assert_eq!(at_once.by_variation().map(|(_, counts)| total(counts)).sum::<u64>(), within);
    }

    #[test]
    fn a_record_reads_back(a in rewards()) {
        let delays = counted(&a);
        let part = |counts: &Counts| Counts::from_parts(counts.closed(), counts.open()).expect("sound");
        let by_variation = delays.by_variation().map(|(variation, counts)| (variation, part(counts)));
        let back = Delays::from_parts(delays.window(), delays.latest(), part(delays.all()), by_variation);
        prop_assert_eq!(back, Some(delays));
    }

    #[test]
    fn a_curve_rises_from_a_thousandth_to_one(a in rewards(), now in 0_u64..40 * 24, ages in proptest::collection::vec(0_u64..200 * 3_600, 2..40)) {
        let curve = Curves::estimate(&counted(&a), START + hours(now), None).of(Slot(0)).clone();
        let mut ages = ages;
        ages.sort_unstable();
        let shares: Vec<f64> = ages.iter().map(|&age| curve.at(Span::SECOND.times(age))).collect();
        prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(shares.iter().all(|share| (1e-3..=1.0).contains(share)));
        prop_assert!(curve.at(WEEK) >= 1.0 && curve.at(Span::ZERO) <= 1e-3);
    }
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let mut delays = counted(&[(0, 0, 60), (1, 0, 7_200)]);
    let (closed, open) = ([0; BINS], delays.all().open().collect::<Vec<_>>());
    assert!(Counts::from_parts(&closed, open.clone()).is_some());
    assert_eq!(Counts::from_parts(&closed[1..], open.clone()), None);
    assert_eq!(Counts::from_parts(&closed, [open[0], open[0]]), None);
    assert_eq!(Counts::from_parts(&closed, [OpenCount { bin: 40, ..open[0] }]), None);
    let own: Vec<(Slot, Counts)> = delays.by_variation().map(|(slot, counts)| (slot, counts.clone())).collect();
    let read = |latest, all: &Counts, own: Vec<_>| Delays::from_parts(WEEK, latest, all.clone(), own);
    let (latest, all) = (delays.latest(), delays.all());
    assert_eq!(read(latest, all, own.clone()), Some(delays.clone()));
    // What an earlier version wrote: of no variation.
    assert!(read(latest, all, Vec::new()).is_some());
    // A row whose window was over would have been folded.
    assert_eq!(read(latest + WEEK + WEEK, all, own.clone()), None);
    // One variation twice, and variations with more than all have.
    assert_eq!(read(latest, all, vec![own[0].clone(), own[0].clone()]), None);
    assert_eq!(read(latest, &own[0].1, own.clone()), None);
    assert_eq!(read(latest, all, vec![own[0].clone(), (Slot(2), own[0].1.clone())]), None);
    delays.add(Slot(0), START + WEEK + WEEK, Span::ZERO);
    assert_eq!((delays.all().closed().iter().sum::<u64>(), delays.all().open().count()), (2, 1));
    let opened = delays.by_variation().map(|(_, counts)| counts.open().count()).collect::<Vec<_>>();
    assert_eq!(opened, [1, 0]);
}

#[test]
fn open_rows_stay_within_bounds() {
    let mut delays = Delays::new(WEEK);
    for hour in 0..24 * 60 {
        for delay in 0..60 {
            delays.add(Slot(0), START + hours(hour), Span::SECOND.times(delay * delay * 168));
        }
    }
    let open = delays.all().open().count();
    assert!(
        open <= 34 * BINS && delays.by_variation().all(|(_, own)| own.open().count() == open),
        "{open} open counts"
    );
}

#[test]
fn half_of_the_rewards_come_within_the_typical_delay() {
    let close = |a: f64, b: f64| assert!((a - b).abs() < 2e-3, "{a} for {b}");
    let default = Curve::configured(WEEK, None);
    close(default.at(hours(42)), 0.5);
    close(default.at(hours(7)), (7.0_f64 / 168.0).sqrt());
    close(Curve::configured(WEEK, Some(hours(12))).at(hours(12)), 0.5);
    close(Curve::configured(WEEK, Some(hours(120))).at(hours(120)), 0.5);
    // What cannot be a typical delay is none.
    assert_eq!(Curve::configured(WEEK, Some(WEEK)), default);
    assert_eq!(Curve::configured(WEEK, Some(Span::ZERO)), default);
    close(Curves::estimate(&Delays::new(WEEK), START, None).of(Slot(0)).at(hours(50)), default.at(hours(50)));
}

/// 1 − e^(−u/mean), as a share of what comes within the week; hours.
fn exponential(age: f64, mean: f64) -> f64 {
    (1.0 - (-age / mean).exp()) / (1.0 - (-168.0 / mean).exp())
}

/// The curve after so many days of 2,000 rewards each, delays exponential with this mean in hours.
fn estimated(days: u64, mean: f64) -> Curve {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(days);
    let mut delays = Delays::new(WEEK);
    let now = START + Span::DAY.times(days);
    for _ in 0..2_000 * days {
        let decided = START + Span::SECOND.times(rng.random_range(0..86_400 * days));
        let delay = -mean * (1.0 - rng.random::<f64>() * (1.0 - (-168.0 / mean).exp())).ln();
        let delay = Span::from_millis((delay * 3.6e6) as u64);
        if decided + delay <= now {
            delays.add(Slot(0), decided, delay);
        }
    }
    Curves::estimate(&delays, now, None).of(Slot(0)).clone()
}

#[test]
fn the_curve_finds_the_delays_distribution() {
    // 80,000 closed rewards: a standard error below 0.002, and as much for lines between the edges.
    for mean in [6.0, 48.0, 120.0] {
        let curve = estimated(40, mean);
        for age in [1, 3, 6, 12, 24, 48, 96, 140, 160] {
            let (found, truth) = (curve.at(hours(age)), exponential(age as f64, mean));
            assert!((found - truth).abs() < 0.01, "mean {mean} h, age {age} h: {found} for {truth}");
        }
    }
}

#[test]
fn open_windows_tell_early_that_rewards_are_fast() {
    // After two days no window is over: of delays of 6 h, what was seen so far says what the configured curve does not know.
    let curve = estimated(2, 6.0);
    let (found, truth, configured) = (curve.at(hours(6)), exponential(6.0, 6.0), (6.0_f64 / 168.0).sqrt());
    // It cannot know how many more come after the second day: the configured curve says half.
    assert!(configured < 0.2 && found > 0.3 && found < truth, "{found}");
    let relative = |curve: &Curve| curve.at(hours(6)) / curve.at(hours(36));
    assert!((relative(&curve) - truth / exponential(36.0, 6.0)).abs() < 0.05);
}

/// Rewards of two variations over so many days, exponential with these means in hours, of which as many as said are known.
fn two(days: u64, means: [f64; 2], each: [usize; 2]) -> Delays {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(days);
    let mut delays = Delays::new(WEEK);
    for (slot, (mean, count)) in (0..).map(Slot).zip(means.into_iter().zip(each)) {
        for _ in 0..count {
            let decided = START + Span::SECOND.times(rng.random_range(0..86_400 * days));
            let delay = -mean * (1.0 - rng.random::<f64>() * (1.0 - (-168.0 / mean).exp())).ln();
            let delay = Span::from_millis((delay * 3.6e6) as u64);
            if decided + delay <= START + Span::DAY.times(days) {
                delays.add(slot, decided, delay);
            }
        }
    }
    delays
}

#[test]
fn each_variation_has_its_own_curve() {
    let delays = two(40, [24.0, 96.0], [20_000, 2_000]);
    let curves = Curves::estimate(&delays, START + Span::DAY.times(40), None);
    for age in [12, 24, 48, 96] {
        for (slot, mean) in [(0, 24.0), (1, 96.0)] {
            let (found, truth) = (curves.of(Slot(slot)).at(hours(age)), exponential(age as f64, mean));
            assert!((found - truth).abs() < 0.05, "mean {mean} h, age {age} h: {found} for {truth}");
        }
        // Of a variation without a reward what holds for all together, who are mostly fast; at one look the same.
        let (fast, slow, new) = (curves.of(Slot(0)), curves.of(Slot(1)), curves.of(Slot(2)));
        assert!(slow.at(hours(age)) < new.at(hours(age)) && new.at(hours(age)) < fast.at(hours(age)));
        let shares = curves.at(hours(age));
        assert!((0..3).all(|slot| shares.of(Slot(slot)).to_bits() == curves.of(Slot(slot)).at(hours(age)).to_bits()));
    }
}

#[test]
fn delays_are_compared_where_200_windows_are_over() {
    let different = two(40, [24.0, 96.0], [5_000, 600]).compare().expect("enough");
    assert!(different.p < 1e-3, "{different:?}");
    for ((slot, half), (expected, mean)) in different.halves.iter().zip([(Slot(0), 24.0), (Slot(1), 96.0)]) {
        assert_eq!(*slot, expected);
        let share = exponential(half.as_millis() as f64 / 3.6e6, mean);
        assert!((share - 0.5).abs() < 0.1, "{share} of a mean of {mean} h come within {half}");
    }
    // One in a thousand seeds would fail here.
    assert!(two(40, [48.0, 48.0], [5_000, 600]).compare().expect("enough").p > 1e-3);
    assert_eq!(two(40, [24.0, 96.0], [5_000, 190]).compare(), None);
    assert_eq!(two(6, [24.0, 96.0], [5_000, 600]).compare(), None);
}
