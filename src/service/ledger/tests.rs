//! Whatever is added in whatever order and however it is cut into batches, all of it is known, each fact once, and no page
//! outgrows its bound.

use crate::domain::{RewardId, Slot, Timestamp};
use crate::engine::ledger::{Fact, Position};
use crate::service::ledger::pages::PAGE_BYTES;
use crate::service::ledger::*;
use crate::store::memory::MemoryStore;
use proptest::prelude::*;

fn entry(decision: u64, block: u64, index: u32, length: usize) -> LedgerEntry {
    let decision = DecisionId::new(Timestamp::from_millis(1_800_000_000_000 + decision), u128::from(decision % 3));
    let reward_id = RewardId::new(&"r".repeat(length)).expect("an id");
    let fact = Fact::Corrected { goal: Slot(0), reward_id, value: Some(7) };
    LedgerEntry { decision, fact, position: Position { block, index } }
}

fn added(store: &MemoryStore, entries: &[LedgerEntry]) {
    let mut ledger = Ledger::of(store).expect("readable");
    entries.iter().for_each(|entry| assert!(ledger.add(entry).expect("readable"), "{entry:?} is new"));
    store.append(&[], &ledger.take_rows()).expect("written");
}

/// Everything is there, in order and once, in pages that are no longer than they may be and do not overlap.
fn check(store: &MemoryStore, mut entries: Vec<LedgerEntry>) {
    entries.sort_by_key(fact_key);
    let mut found = Vec::new();
    each_fact(store, |entry| found.push(entry)).expect("whole");
    assert_eq!(found, entries);
    let pages = store.rows(Space::LedgerPage, &[], None, usize::MAX).expect("readable");
    for ((key, page), next) in pages.iter().zip(pages[1..].iter().map(Some).chain([None])) {
        let facts = decode_page(page).expect("whole");
        assert!(page.len() <= PAGE_BYTES + 1, "{} bytes", page.len());
        assert!(facts.first().is_some_and(|(first, _)| first[..] >= key[..]), "it begins at its key or above");
        assert!(next.is_none_or(|(next, _)| facts.last().is_some_and(|(last, _)| last.to_vec() < *next)));
    }
    let mut ledger = Ledger::of(store).expect("readable");
    for entry in &entries {
        // Of more pages than a few it keeps none.
        ledger.let_go();
        let known = ledger.known(entry.decision).expect("readable");
        let mut expected: Vec<_> = entries.iter().filter(|other| other.decision == entry.decision).cloned().collect();
        expected.sort_by_key(fact_key);
        let mut sorted = known;
        sorted.sort_by_key(fact_key);
        assert_eq!(sorted, expected);
        assert!(ledger.holds(entry).expect("readable") && !ledger.add(entry).expect("readable"));
    }
    assert!(ledger.take_rows().is_empty(), "nothing was new");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn facts_come_in_any_order(
        decisions in proptest::collection::vec((0_u64..200, 1_usize..250), 1..400),
        batch in 1_usize..90,
    ) {
        let store = MemoryStore::new();
        let numbered = decisions.iter().zip(1_u64..);
        let entries: Vec<_> =
            numbered.map(|((decision, length), number)| entry(*decision, number / 5 + 1, u32::try_from(number % 5).expect("small"), *length)).collect();
        entries.chunks(batch).for_each(|part| added(&store, part));
        check(&store, entries);
    }
}

#[test]
fn facts_in_order_of_time_fill_their_pages() {
    let store = MemoryStore::new();
    let entries: Vec<_> = (0..5_000)
        .map(|number| entry(number, number / 50 + 1, u32::try_from(number % 50).expect("small"), 8))
        .collect();
    entries.chunks(33).for_each(|part| added(&store, part));
    let bytes: usize = entries.iter().map(|entry| fact_bytes(&encode_fact(entry))).sum();
    let pages = store.rows(Space::LedgerPage, &[], None, usize::MAX).expect("readable").len();
    assert!(pages <= bytes / (PAGE_BYTES * 9 / 10), "{pages} pages for {bytes} bytes");
    check(&store, entries);
}

#[test]
fn a_decision_with_as_many_facts_as_it_may_have_takes_several_pages() {
    let store = MemoryStore::new();
    let mut entries: Vec<_> = (1..=64).map(|block| entry(9, block, 0, 256)).collect();
    entries.extend([entry(8, 70, 0, 5), entry(10, 71, 0, 5)]);
    entries.chunks(7).for_each(|part| added(&store, part));
    assert!(store.rows(Space::LedgerPage, &[], None, usize::MAX).expect("readable").len() >= 3);
    check(&store, entries);
}

#[test]
fn what_a_page_held_before_it_was_split_is_not_its_own() {
    // A backup reads pages one after another while facts are added: one page as it was before a split, the next as it is.
    let store = MemoryStore::new();
    let entries: Vec<_> =
        (0..30).map(|number| entry(number * 10, 1, u32::try_from(number).expect("small"), 8)).collect();
    added(&store, &entries);
    let (key, before) = store.rows(Space::LedgerPage, &[], None, 1).expect("readable").remove(0);
    let more: Vec<_> =
        (0..30).map(|number| entry(number * 10 + 5, 2, u32::try_from(number).expect("small"), 8)).collect();
    added(&store, &more);
    let stale = Row { space: Space::LedgerPage, key, value: Some(before) };
    store.append(&[], &[stale]).expect("written");
    let mut found = Vec::new();
    each_fact(&store, |entry| found.push(fact_key(&entry))).expect("whole");
    assert!(found.is_sorted_by(|one, other| one < other), "each fact once, in order");
    let mut ledger = Ledger::of(&store).expect("readable");
    for entry in &more {
        ledger.add(entry).expect("readable");
    }
    store.append(&[], &ledger.take_rows()).expect("written");
    check(&store, entries.into_iter().chain(more).collect());
}

#[test]
fn rows_of_single_facts_are_known_as_well() {
    let store = MemoryStore::new();
    let old: Vec<_> = (0..5).map(|number| entry(number, 1, u32::try_from(number).expect("small"), 8)).collect();
    store.append(&[], &old.iter().map(record::encode_ledger).collect::<Vec<_>>()).expect("written");
    let mut ledger = Ledger::of(&store).expect("readable");
    assert_eq!(ledger.known(old[2].decision).expect("readable"), [old[2].clone()]);
    assert!(!ledger.add(&old[2]).expect("readable") && ledger.holds(&old[2]).expect("readable"));
    let new = LedgerEntry { position: Position { block: 2, index: 0 }, ..old[2].clone() };
    assert!(ledger.add(&new).expect("readable"));
    store.append(&[], &ledger.take_rows()).expect("written");
    let known = Ledger::of(&store).expect("readable").known(old[2].decision).expect("readable");
    assert_eq!(known, [old[2].clone(), new]);
    let mut count = 0;
    each_fact(&store, |_| count += 1).expect("whole");
    assert_eq!(count, 6);
}
