//! What is too old or too much is sealed and dropped, and everything that was counted stays counted.

use std::sync::Arc;

use crate::service::bench::{START, Site, run};
use crate::service::clock::ManualClock;
use crate::service::retention::*;
use crate::service::verify::verify;
use crate::store::memory::MemoryStore;

/// Five days of visitors.
fn lived(store: &Arc<MemoryStore>) -> Site {
    let mut site = Site::on(store.clone(), START);
    site.save("hero", "partial");
    for _ in 0..5 {
        site.visit("hero", 60);
        site.pass(Span::DAY);
    }
    site.checkpointed(&**store);
    site
}

fn keeper(store: &Arc<MemoryStore>, retention: Retention) -> (Keeper, crossbeam_channel::Sender<()>) {
    let (sender, stop) = crossbeam_channel::bounded(0);
    let clock = Arc::new(ManualClock::new(START));
    (Keeper::new(store.clone(), clock, retention, Arc::default(), stop), sender)
}

#[test]
fn old_blocks_go_and_what_they_counted_stays() {
    let store = Arc::new(MemoryStore::new());
    let mut site = lived(&store);
    let (mut keeper, _running) = keeper(&store, Retention { span: Span::DAY.times(2), bytes: u64::MAX });
    let before = site.totals("hero");
    let dropped = keeper.look(site.now()).expect("dropped");
    assert!(dropped > 100 && dropped == store.base().number, "{dropped}");
    assert_eq!(keeper.look(site.now()).expect("nothing is too old"), 0);
    let now = site.rest(&store);
    let verified = verify(&*store, &mut |_| {}).expect("readable");
    assert!(verified.passed() && verified.from == store.base().number, "{verified:#?}");
    site = Site::on(store.clone(), now + Span::SECOND);
    site.visit("hero", 30);
    site.pass(Span::DAY.times(3));
    site.checkpointed(&*store);
    assert!(keeper.look(site.now()).expect("dropped") > 0);
    let after = site.totals("hero");
    assert_ne!(before, after);
    let now = site.rest(&store);
    assert!(verify(&*store, &mut |_| {}).expect("readable").passed());
    site = Site::on(store.clone(), now + Span::SECOND);
    assert_eq!(site.totals("hero"), after);
    // A lost checkpoint is made anew from the seal and what came after it.
    let now = site.rest(&store);
    crate::service::rebuild::rebuild(&*store, &mut |_| {}).expect("rebuilt");
    assert_eq!(Site::on(store.clone(), now + Span::SECOND).totals("hero"), after);
}

#[test]
fn a_journal_that_is_too_long_loses_its_oldest_blocks() {
    let store = Arc::new(MemoryStore::new());
    let site = lived(&store);
    let size =
        |store: &MemoryStore| store.blocks(1).map(|block| block.expect("whole").payload().len() as u64).sum::<u64>();
    let whole = size(&store);
    let (mut keeper, _running) = keeper(&store, Retention { span: Span::DAY.times(99), bytes: whole / 2 });
    assert!(keeper.look(site.now()).expect("dropped") > 0);
    assert!(size(&store) <= whole / 2, "{} of {whole}", size(&store));
    assert!(size(&store) > whole / 10, "{} of {whole}", size(&store));
    site.rest(&store);
    assert!(verify(&*store, &mut |_| {}).expect("readable").passed());
}

#[test]
fn nothing_is_dropped_that_a_recovery_needs() {
    let store = Arc::new(MemoryStore::new());
    let site = lived(&store);
    site.rest(&store);
    store.save_checkpoint(CheckpointKind::Current, 10, &[]).expect("saved");
    let (mut keeper, _running) = keeper(&store, Retention { span: Span::DAY, bytes: u64::MAX });
    assert_eq!(keeper.look(START + Span::DAY.times(9)).expect("dropped"), 10);
}

#[test]
fn a_backup_of_a_running_service_is_restored_as_it_was() {
    let store = Arc::new(MemoryStore::new());
    let mut site = lived(&store);
    let mut bytes = Vec::new();
    std::thread::scope(|scope| {
        let service = &site.service;
        let bytes = &mut bytes;
        let backup = scope.spawn(move || service.backup(bytes).expect("written"));
        assert!(backup.join().expect("no panic").head > 0);
    });
    let then = site.totals("hero");
    site.visit("hero", 10);
    let restored = Arc::new(MemoryStore::new());
    crate::service::backup::restore(&mut &bytes[..], &*restored).expect("whole");
    let verified = verify(&*restored, &mut |_| {}).expect("readable");
    assert!(verified.passed(), "{verified:#?}");
    let again = Site::on(restored, site.now());
    assert_eq!(again.totals("hero"), then);
    assert!(run(async { again.service.health().trouble() }).is_none());
}
