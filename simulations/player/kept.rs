//! A run that a store keeps: every event is appended before it is applied, as a server does, so that a run can be stopped and
//! started again, and meets a store that refuses.

use std::sync::Arc;

use mabel::engine::Engine;
use mabel::engine::decide::{Explain, Request};
use mabel::engine::event::Event;
use mabel::engine::ledger::{Judgement, Position};
use mabel::service::recovery::recover;
use mabel::store::faulty::FaultyStore;
use mabel::store::memory::MemoryStore;
use mabel::store::{Block, CheckpointKind, Store, StoreError, record};

use crate::simulations::player::{Player, new_engine};
use crate::simulations::strategies::Trouble;

/// A run's store, and what befalls it.
pub(super) struct Kept {
    trouble: Trouble,
    /// What survives a restart.
    medium: Arc<MemoryStore>,
    store: FaultyStore,
}

impl Kept {
    pub(super) fn new(trouble: Trouble) -> Self {
        let medium = Arc::new(MemoryStore::new());
        Self { trouble, store: FaultyStore::new(medium.clone()), medium }
    }

    /// Where the next event will stand: each is a block of its own.
    pub(super) fn next(&self) -> Position {
        Position { block: self.store.head().number + 1, index: 0 }
    }

    /// Appends an event and what it leaves beside the journal. After a failure the store is asked first what survived.
    fn append(&self, event: &Event, judgement: &Judgement) -> Result<(), StoreError> {
        let head = self.store.recover()?;
        let mut payload = Vec::new();
        record::encode_event(event, &mut record::Before::default(), &mut payload);
        let rows: Vec<_> = judgement.entry.iter().map(record::encode_ledger).collect();
        self.store.append(&[Block::after(head, payload)], &rows)
    }

    fn save(&self, engine: &Engine) {
        let changes = engine.changes();
        let rows = changes.records.iter().map(record::encode_state);
        let rows: Vec<_> = rows.chain(changes.gone.iter().map(record::encode_gone)).collect();
        let saved = self.store.save_checkpoint(CheckpointKind::Current, self.store.head().number, &rows);
        saved.expect("nothing refuses a checkpoint here");
    }

    /// What a new process finds.
    fn restart(&mut self) -> Engine {
        self.store = FaultyStore::new(self.medium.clone());
        let engine = new_engine();
        let recovered = recover(&engine, &self.store).expect("the store is whole");
        assert!(recovered.rows > 0 && recovered.blocks > 0, "a checkpoint and a tail: {recovered:?}");
        engine
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of visitors")]
fn at(share: f64, visitors: u64) -> u64 {
    (share * visitors as f64) as u64
}

impl Player<'_> {
    /// What befalls the server before a visitor comes. Says whether the site must do without it.
    pub(super) fn befall(&mut self, index: u64) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        match kept.trouble {
            Trouble::Restart { at: share } => {
                if index == at(share / 2.0, self.visitors) {
                    kept.save(&self.engine);
                }
                if index == at(share, self.visitors) {
                    self.engine = kept.restart();
                }
                false
            }
            Trouble::StoreFails { from, to } => {
                kept.store.refuse((at(from, self.visitors)..at(to, self.visitors)).contains(&index));
                false
            }
            Trouble::Away { from, to } => (at(from, self.visitors)..at(to, self.visitors)).contains(&index),
        }
    }

    /// Records a decision's exposure before it is applied, as [`Self::record_event`].
    pub(super) fn record_decision(&self, experiment: &str, request: &Request<'_>) -> bool {
        let Some(kept) = &self.kept else { return true };
        // Deciding changes nothing: the same request, decided once more, is the same decision.
        let decision = self.engine.decide(experiment, request, Explain::No).expect("the experiment was saved");
        let event = decision.event().expect("a decision that is not deferred is an exposure");
        kept.append(&event, &Judgement::PLAIN).is_ok()
    }

    /// Records an event, where a store keeps the run; `false` if it refused: then nothing was recorded.
    pub(super) fn record_event(&self, event: &Event, judgement: &Judgement) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.append(event, judgement).is_ok())
    }
}
