//! The journal's bound: blocks older than a span, or beyond a size, are sealed and dropped. A seal is the state after the last
//! of them, made by replaying them onto the seal before, so that what is dropped is still accounted for: a verification begins
//! there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::domain::{Span, Timestamp};
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::secret::Secret;
use crate::service::clock::Clock;
use crate::service::error::StartError;
use crate::service::judging::Fresh;
use crate::service::replay::{apply_block, restore};
use crate::store::{CheckpointKind, Space, Store, StoreError, record};

/// Time between two looks, by the clock.
const LOOK_EVERY: Span = Span::SECOND.times(60);
/// How often the clock is asked.
const TICK: Duration = Duration::from_millis(250);
/// Blocks dropped in one batch.
const DROPPED_AT_ONCE: usize = 500;
/// Blocks that are accounted for as one: what is dropped at once is at least so many, or an hour's.
const STRETCH_BLOCKS: u64 = 1_000;

/// How much of the journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Blocks whose newest event is older than this go …
    pub span: Span,
    /// … and the oldest ones, once all of them have more bytes than this.
    pub bytes: u64,
}

impl Default for Retention {
    /// 30 days, and 16 GiB.
    fn default() -> Self {
        Self { span: Span::DAY.times(30), bytes: 16 << 30 }
    }
}

pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    /// Held while blocks are dropped, and by whoever needs them to stay.
    dropping: Arc<Mutex<()>>,
    stop: Receiver<()>,
    /// Oldest first.
    stretches: Vec<Stretch>,
    /// The last block that is accounted for.
    seen: u64,
}

/// Blocks next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: u64,
    last: u64,
    /// The newest event's time in them, as far as events say it.
    newest: Timestamp,
    bytes: u64,
}

impl Keeper {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        retention: Retention,
        dropping: Arc<Mutex<()>>,
        stop: Receiver<()>,
    ) -> Self {
        let seen = store.base().number;
        Self { store, clock, retention, dropping, stop, stretches: Vec::new(), seen }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut looked = self.clock.now();
        while matches!(self.stop.recv_timeout(TICK), Err(RecvTimeoutError::Timeout)) {
            let now = self.clock.now();
            // A clock that was set back must not stop the looks for as long.
            if now.since(looked) >= LOOK_EVERY || now < looked {
                looked = now;
                match self.look(now) {
                    Ok(0) => {}
                    Ok(dropped) => {
                        tracing::info!(blocks = dropped, "old blocks of the journal were sealed and dropped")
                    }
                    Err(error) => tracing::warn!(%error, "old blocks of the journal could not be dropped"),
                }
            }
        }
    }

    /// Seals and drops what is over; says how many blocks went.
    pub(crate) fn look(&mut self, now: Timestamp) -> Result<u64, StartError> {
        self.account()?;
        let Some(through) = self.over(now) else { return Ok(0) };
        let dropping = Arc::clone(&self.dropping);
        let _nobody_needs_them = dropping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.store.load_checkpoint(CheckpointKind::Sealed)?.block < through && !self.seal(through)? {
            return Ok(0);
        }
        let mut dropped = 0;
        while !self.stopping() {
            match self.store.drop_blocks(through, DROPPED_AT_ONCE)? {
                0 => break,
                some => dropped += some as u64,
            }
        }
        let base = self.store.base().number;
        while !self.stopping()
            && self.store.forget(Space::Companion, &record::companion_key(base + 1), DROPPED_AT_ONCE)? > 0
        {}
        self.stretches.retain(|stretch| stretch.last > base);
        Ok(dropped)
    }

    /// Looks at blocks that came since the last time.
    fn account(&mut self) -> Result<(), StoreError> {
        for block in self.store.blocks(self.seen + 1) {
            let block = block?;
            let time =
                record::decode_events(block.payload()).find_map(|event| event.map(|event| time_of(&event)).transpose());
            let (time, bytes) = (time.transpose()?.unwrap_or(Timestamp::ZERO), block.payload().len() as u64);
            match self.stretches.last_mut() {
                Some(last)
                    if block.number() - last.first < STRETCH_BLOCKS
                        && time.floor_to(Span::HOUR) <= last.newest.floor_to(Span::HOUR) =>
                {
                    (last.last, last.bytes) = (block.number(), last.bytes + bytes);
                    last.newest = last.newest.max(time);
                }
                Some(_) | None => {
                    let (first, last) = (block.number(), block.number());
                    // What says no time is as old as what came before it.
                    let newest = time.max(self.stretches.last().map_or(Timestamp::ZERO, |before| before.newest));
                    self.stretches.push(Stretch { first, last, newest, bytes });
                }
            }
            self.seen = block.number();
            if self.stopping() {
                break;
            }
        }
        Ok(())
    }

    /// The last block that is too old, or too much. The newest stretch stays: it still grows.
    fn over(&self, now: Timestamp) -> Option<u64> {
        let (_, complete) = self.stretches.split_last()?;
        let before = now.minus(self.retention.span);
        let mut kept: u64 = self.stretches.iter().map(|stretch| stretch.bytes).sum();
        let mut through = None;
        for stretch in complete {
            if stretch.newest >= before && kept <= self.retention.bytes {
                break;
            }
            kept -= stretch.bytes;
            through = Some(stretch.last);
        }
        through
    }

    /// Makes the seal after a block; `false` if it was told to stop meanwhile. Holds the sealed state in memory for as long.
    fn seal(&self, through: u64) -> Result<bool, StartError> {
        // The state does not depend on the secret.
        let engine = Engine::new(Secret::new([0; 32]), 0);
        let (sealed, _) = restore(&engine, &*self.store, CheckpointKind::Sealed)?;
        // What was written since it was read is of blocks that come later, and has no part in what is replayed.
        let mut known = Fresh::of(&*self.store)?;
        for block in self.store.blocks(sealed + 1) {
            let block = block?;
            if block.number() > through {
                break;
            }
            if self.stopping() {
                return Ok(false);
            }
            apply_block(&engine, &mut known, &block, |_| Ok(()))?;
        }
        let changes = engine.changes();
        let rows = changes.records.iter().map(record::encode_state);
        let rows: Vec<_> = rows.chain(changes.gone.iter().map(record::encode_gone)).collect();
        self.store.save_checkpoint(CheckpointKind::Sealed, through, &rows)?;
        Ok(true)
    }

    /// Whether the service is stopping: the other end of the channel is gone.
    fn stopping(&self) -> bool {
        matches!(self.stop.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected))
    }
}

/// When an event happened, as far as it says.
pub(crate) fn time_of(event: &Event) -> Option<Timestamp> {
    match event {
        Event::ExperimentSaved(saved) => Some(saved.at),
        Event::StatusChanged { at, .. } | Event::ExperimentDeleted { at, .. } => Some(*at),
        Event::Exposed(exposed) => Some(exposed.record.decided_at()),
        Event::Assigned(assigned) => Some(assigned.record.decided_at()),
        Event::Aliased(aliased) => Some(aliased.at),
        Event::VisitorErased(erased) => Some(erased.at),
        Event::ProfileSaved(saved) => Some(saved.at),
        Event::Activated(activated) => Some(activated.at),
        Event::Rewarded(rewarded) => Some(rewarded.arrived_at),
        Event::Amended(amended) => Some(amended.arrived_at),
        Event::Retracted(retracted) => Some(retracted.arrived_at),
        // Computed for the time of what it was computed from.
        Event::AllocationComputed(_) | Event::PoolFitted(_) => None,
    }
}

#[cfg(test)]
mod tests;
