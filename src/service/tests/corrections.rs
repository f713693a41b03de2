//! Amended and retracted, a history is reported as if its last word had been said at once.

use std::sync::Arc;

use crate::domain::{Span, Timestamp};
use crate::engine::checkpoint::RewardCounts;
use crate::engine::secret::Secret;
use crate::engine::tests::corrections::{Retraction, events, played, recompute, said_at_once, setup, steps};
use crate::engine::tests::driver::{Driver, START};
use crate::service::clock::ManualClock;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;
use crate::store::record::{Before, encode_event, encode_ledger};
use crate::store::{Block, Store};
use proptest::prelude::*;

const LATER: Timestamp = Timestamp::from_millis(START.as_millis() + Span::DAY.as_millis() * 9);

/// The journal and the ledger in a store, and the report of the service that recovers from it, without what must tell an
/// amended history from another: how many rewards came and were corrected.
fn report(driver: &Driver) -> String {
    let mut payload = Vec::new();
    let mut before = Before::default();
    driver.journal.iter().for_each(|event| encode_event(event, &mut before, &mut payload));
    let store = MemoryStore::new();
    let block = Block::after(store.head(), payload);
    let rows: Vec<_> = driver.known.facts.iter().map(encode_ledger).collect();
    store.append(&[block], &rows).expect("a store in memory takes it");
    let (clock, options) = (Arc::new(ManualClock::new(LATER)), Options::default());
    let service = Service::start(Arc::new(store), Secret::new([7; 32]), 3, clock, options).expect("starts");
    let mut report = service.report("hero").expect("there");
    let RewardCounts { capped, newest, .. } = report.rewards;
    report.rewards = RewardCounts { capped, newest, ..RewardCounts::default() };
    service.stop();
    // Floats are written with all the digits that tell them apart.
    format!("{report:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_reports_of_both_histories_are_equal(setup in setup(), steps in steps()) {
        let events = events(&setup, &steps);
        let mut amended = played(&setup, events.clone());
        let mut at_once = played(&setup, said_at_once(&events, Retraction::NeverSent));
        recompute(&mut amended);
        recompute(&mut at_once);
        prop_assert_eq!(report(&amended), report(&at_once));
    }
}
