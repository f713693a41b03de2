//! An undisturbed history verifies, across restarts too; whatever is altered is named.

use std::sync::Arc;

use crate::domain::Span;
use crate::engine::checkpoint::StateRecord;
use crate::engine::ledger::Fact;
use crate::service::bench::{START, Site};
use crate::service::rebuild::rebuild;
use crate::service::verify::*;
use crate::store::memory::MemoryStore;
use crate::store::record::page::*;
use crate::store::{Row, Space, StateRow};

/// Two experiments, three lives.
fn lived() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for life in 0..3 {
        let mut site = Site::on(store.clone(), START + Span::HOUR.times(life));
        if life == 0 {
            site.save("hero", "none");
            site.save("banner", "partial");
        }
        for key in ["hero", "banner"] {
            site.visit(key, 150);
            site.pass(Span::HOUR);
            site.visit(key, 20);
        }
        site.rest(&store);
    }
    store
}

fn check(store: &MemoryStore) -> Verified {
    verify(store, &mut |_| {}).expect("readable")
}

#[test]
fn an_undisturbed_history_verifies() {
    let verified = check(&lived());
    assert!(verified.passed(), "{:#?}", verified.differences);
    assert_eq!((verified.from, verified.rows > 5), (0, true));
    assert_eq!(verified.entries, 2 * 3 * 170, "a reward for every visitor");
    // How many depends on how often the refresher came to run.
    assert!(verified.recomputed > 20, "{verified:?}");
    assert!(verified.not_recomputed <= verified.recomputed / 10, "{verified:?}");
}

/// What was altered must be among the differences, and nothing else.
fn expect_difference(store: &MemoryStore, named: &str) {
    let verified = check(store);
    assert_eq!(verified.differences_count, 1, "{:#?}", verified.differences);
    assert!(verified.differences[0].what.contains(named), "{:#?}", verified.differences);
}

#[test]
fn an_altered_state_is_named_and_rebuilt() {
    let store = lived();
    let before = store.load_checkpoint(CheckpointKind::Current).expect("whole");
    let altered = before.rows.iter().find_map(|(key, value)| match record::decode_state(key, value).expect("whole") {
        StateRecord::Segment(mut segment) if segment.segment.is_some() => {
            let place = segment.learning.as_slice().first()?.start;
            let lengths = crate::posterior::bucket::BucketLengths { fine: Span::HOUR, settled: Span::DAY };
            segment.learning.at_mut(place, lengths).add_exposures(crate::domain::Slot(0), 1);
            Some(record::encode_state(&StateRecord::Segment(segment)))
        }
        StateRecord::Experiment(_) | StateRecord::Segment(_) | StateRecord::Model(_) | StateRecord::Deleted(_) => None,
    });
    let altered = altered.expect("there are segments");
    store.save_checkpoint(CheckpointKind::Current, before.block, &[altered]).expect("saved");
    expect_difference(&store, "row ");
    let stranger = StateRow { key: before.rows[0].0.clone(), value: None };
    store.save_checkpoint(CheckpointKind::Current, before.block, &[stranger]).expect("saved");
    let rebuilt = rebuild(&*store, &mut |_| {}).expect("rebuilt");
    assert_eq!((rebuilt.head, rebuilt.rows), (store.head().number, before.rows.len()));
    assert!(check(&store).passed());
    assert_eq!(store.load_checkpoint(CheckpointKind::Current).expect("whole").rows, before.rows);
}

#[test]
fn an_entry_that_is_missing_altered_or_too_many_is_named() {
    let store = lived();
    let (key, page) = store.rows(Space::LedgerPage, &[], None, 1).expect("readable").remove(0);
    let facts: Vec<(FactKey, Vec<u8>)> =
        decode_page(&page).expect("whole").into_iter().map(|(key, record)| (key, record.to_vec())).collect();
    let written = |key: &[u8], facts: &[(FactKey, Vec<u8>)]| {
        let value = encode_page(facts.iter().map(|(key, record)| (key, &record[..])));
        let row = Row { space: Space::LedgerPage, key: key.to_vec(), value: Some(value) };
        store.append(&[], &[row]).expect("written");
    };
    assert!(facts.len() > 10, "many facts share a page");
    let mut fewer = facts.clone();
    let (gone, _) = fewer.remove(7);
    written(&key, &fewer);
    let decision = crate::domain::DecisionId::from_bytes(std::array::from_fn(|index| gone[index]));
    expect_difference(&store, &decision.to_string());
    assert_eq!(rebuild(&*store, &mut |_| {}).expect("rebuilt").entries, 2 * 3 * 170);
    assert!(check(&store).passed());
    let mut other = facts.clone();
    let mut entry = decode_fact(&other[3].0, &other[3].1).expect("whole");
    let Fact::Rewarded(reward) = &mut entry.fact else { panic!("{entry:?}") };
    reward.value = 1 - reward.value;
    other[3].1 = encode_fact(&entry);
    written(&key, &other);
    expect_difference(&store, &entry.decision.to_string());
    rebuild(&*store, &mut |_| {}).expect("rebuilt");
    assert!(check(&store).passed());
    let mut more = facts;
    entry.position.index += 1;
    more.insert(4, (fact_key(&entry), encode_fact(&entry)));
    written(&key, &more);
    expect_difference(&store, "entries of the ledger");
    written(&key, &[(more[5].0, vec![9])]);
    // Such an entry cannot even be read.
    assert!(verify(&*store, &mut |_| {}).is_err());
}
