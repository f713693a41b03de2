//! A monoid of rewards, bounded, whose curve finds the delays' distribution before a window is over.

use crate::domain::{Span, Timestamp};
use crate::posterior::delay::*;
use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

const WEEK: Span = Span::DAY.times(7);
const START: Timestamp = Timestamp::from_millis(Span::DAY.times(20_000).as_millis());

fn hours(count: u64) -> Span {
    Span::HOUR.times(count)
}

fn counted(rewards: &[(u64, u64)]) -> Delays {
    let mut delays = Delays::new(WEEK);
    for &(decided, delay) in rewards {
        delays.add(START + Span::SECOND.times(decided), Span::SECOND.times(delay));
    }
    delays
}

fn total(delays: &Delays) -> u64 {
    delays.closed().iter().sum::<u64>() + delays.open().map(|open| open.count).sum::<u64>()
}

/// Decisions over a month, delays up to a little more than the week that counts; in seconds.
fn rewards() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0_u64..30 * 86_400, 0_u64..8 * 86_400), 0..60)
}

proptest! {
    #[test]
    fn what_is_taken_back_leaves_only_the_time_it_told(kept in rewards(), taken in rewards(), late in rewards()) {
        let mut delays = counted(&[kept.clone(), taken.clone()].concat());
        let mut without = counted(&kept);
        delays.merge(&counted(&late));
        without.merge(&counted(&late));
        for (decided, delay) in taken {
            let (decided, delay) = (START + Span::SECOND.times(decided), Span::SECOND.times(delay));
            delays.take_back(decided, delay);
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
        prop_assert_eq!(total(&at_once), all.iter().filter(|(_, delay)| *delay <= 7 * 86_400).count() as u64);
    }

    #[test]
    fn a_record_reads_back(a in rewards()) {
        let delays = counted(&a);
        let back = Delays::from_parts(delays.window(), delays.latest(), delays.closed(), delays.open());
        prop_assert_eq!(back, Some(delays));
    }

    #[test]
    fn a_curve_rises_from_a_thousandth_to_one(a in rewards(), now in 0_u64..40 * 24, ages in proptest::collection::vec(0_u64..200 * 3_600, 2..40)) {
        let curve = Curve::estimate(&counted(&a), START + hours(now), None);
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
    let mut delays = counted(&[(0, 60), (0, 7_200)]);
    let open: Vec<OpenCount> = delays.open().collect();
    let read = |closed: &[u64], open: &[OpenCount], latest| Delays::from_parts(WEEK, latest, closed, open.to_vec());
    assert!(read(delays.closed(), &open, delays.latest()).is_some());
    assert_eq!(read(&delays.closed()[1..], &open, delays.latest()), None);
    assert_eq!(read(delays.closed(), &[open[0], open[0]], delays.latest()), None);
    assert_eq!(read(delays.closed(), &[OpenCount { bin: 40, ..open[0] }], delays.latest()), None);
    // A row whose window was over would have been folded.
    assert_eq!(read(delays.closed(), &open, delays.latest() + WEEK + WEEK), None);
    delays.add(START + WEEK + WEEK, Span::ZERO);
    assert_eq!((delays.closed().iter().sum::<u64>(), delays.open().count()), (2, 1));
}

#[test]
fn open_rows_stay_within_bounds() {
    let mut delays = Delays::new(WEEK);
    for hour in 0..24 * 60 {
        for delay in 0..60 {
            delays.add(START + hours(hour), Span::SECOND.times(delay * delay * 168));
        }
    }
    assert!(delays.open().count() <= 34 * BINS, "{} open counts", delays.open().count());
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
    close(Curve::estimate(&Delays::new(WEEK), START, None).at(hours(50)), default.at(hours(50)));
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
            delays.add(decided, delay);
        }
    }
    Curve::estimate(&delays, now, None)
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
