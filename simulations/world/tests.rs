//! Who comes, what is best when.

use mabel::domain::{ExperimentKey, Seed, VariationKey};

use super::*;

pub(crate) fn world(shares: &[f64], available_from: &[f64], rates: &[&[f64]]) -> World {
    let variation = |(index, available_from): (usize, &f64)| VariationInWorld {
        key: VariationKey::new(&format!("v{index}")).expect("a key"),
        available_from: *available_from,
    };
    let segment = |(index, (share, rates)): (usize, (&f64, &&[f64]))| SegmentInWorld {
        key: format!("s{index}"),
        share: *share,
        context: vec![("group".to_owned(), Value::Int(i64::try_from(index).expect("small")))],
        rates: rates.to_vec(),
    };
    World {
        key: ExperimentKey::new("world").expect("a key"),
        variations: available_from.iter().enumerate().map(variation).collect(),
        segments: shares.iter().zip(rates).enumerate().map(segment).collect(),
    }
}

#[test]
fn a_variation_that_comes_later_begins_a_phase() {
    let world = world(&[0.5, 0.5], &[0.0, 0.0, 0.5], &[&[0.1, 0.2, 0.3], &[0.3, 0.1, 0.1]]);
    let [before, after] = &world.phases(101)[..] else { panic!("two phases") };
    assert_eq!((before.visitors.clone(), after.visitors.clone()), (0..51, 51..101));
    assert_eq!((&before.available[..], &after.available[..]), (&[0, 1][..], &[0, 1, 2][..]));
    assert_eq!((&before.best[..], before.best_single), (&[0.2, 0.3][..], 0));
    assert_eq!((&after.best[..], after.best_single), (&[0.3, 0.3][..], 0));
}

#[test]
fn visitors_come_by_share_and_are_the_same_every_time() {
    let world = world(&[0.7, 0.2, 0.1], &[0.0], &[&[0.1], &[0.1], &[0.1]]);
    let count = 20_000;
    let mut seen = [0.0; 3];
    for index in 0..count {
        let visitor = Visitor::of(Seed(3), index, &world);
        seen[visitor.segment] += 1.0;
        assert_eq!(visitor.tail, Visitor::of(Seed(3), index, &world).tail);
    }
    for (seen, share) in seen.iter().zip([0.7, 0.2, 0.1]) {
        let sd = (count as f64 * share * (1.0 - share)).sqrt();
        assert!((seen - count as f64 * share).abs() < 4.0 * sd, "{seen} of {count} for {share}");
    }
}

#[test]
fn segments_that_agree_reward_no_segmenting() {
    assert!(!world(&[0.5, 0.5], &[0.0, 0.0], &[&[0.1, 0.2], &[0.1, 0.2]]).rewards_segments(10));
    assert!(world(&[0.5, 0.5], &[0.0, 0.0], &[&[0.1, 0.2], &[0.2, 0.1]]).rewards_segments(10));
}
