//! Exposures come out as they came in, and count as often.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::domain::{AllocationId, Context, DecisionId, ExperimentKey, Features, SegmentKey, Slot};
use crate::service::committer::exposures::*;
use crate::store::record::encode_context;

fn record(variation: u16, propensity: f64, at: u64, tail: u64) -> DecisionRecord {
    DecisionRecord {
        experiment: ExperimentKey::new("hero").expect("a key"),
        epoch: 0,
        definition: 1,
        segment: SegmentKey::new("all"),
        variation: Slot(variation),
        allocation: AllocationId(7),
        propensity,
        control: false,
        decision: DecisionId::new(Timestamp::from_millis(at), tail.into()),
        features: Features::new(),
    }
}

proptest! {
    #[test]
    fn they_come_out_as_they_came_in_and_count_as_often(
        came in proptest::collection::vec((0..40_u16, 1..3_u8, 0..3_u64, proptest::option::of(("[a-zé]{0,40}", 0..3_usize))), 1..80),
    ) {
        let contexts = ["mobile", "desktop", "tablet"].map(|device| encode_context(&Context::from([("device", device.into())])));
        let came: Vec<_> = (0..).zip(&came).map(|(tail, (variation, parts, at, whom))| {
            let about = whom.as_ref().map(|(visitor, context)| {
                About { token: VisitorToken(tail.into()), visitor, context: &contexts[*context] }
            });
            (record(*variation, 1.0 / f64::from(*parts), *at, tail), about)
        }).collect();
        let mut exposures = Exposures::beginning(&came[0].0, came[0].1, 3);
        came[1..].iter().for_each(|(record, about)| exposures.push(record, *about));
        prop_assert_eq!(exposures.count(), came.len());
        let mut wanted = came.iter();
        exposures.for_each(|record, about| {
            let (came, of) = wanted.next().expect("no more than came");
            assert_eq!(record, came);
            assert_eq!(about.map(|about| (about.token, about.visitor)), of.map(|of| (of.token, of.visitor)));
            assert!(about.zip(of.as_ref()).is_none_or(|(about, of)| about.context.is(of.context)));
        });
        prop_assert!(wanted.next().is_none(), "all of them");
        let kind = |record: &DecisionRecord| (record.variation, record.propensity.to_bits(), record.decided_at());
        let (mut counted, mut all) = (BTreeMap::new(), BTreeMap::new());
        let mut last = None;
        exposures.for_each_kind(|record, times, is_last| {
            *counted.entry(kind(record)).or_insert(0) += times;
            assert!(last.is_none(), "nothing after the last");
            last = is_last.then(|| record.clone());
        });
        prop_assert_eq!(last.as_ref(), came.last().map(|(record, _)| record));
        came.iter().for_each(|(record, _)| *all.entry(kind(record)).or_insert(0) += 1);
        prop_assert_eq!(counted, all);
    }
}
