//! After a change that failed: the store is asked what survived before anything else is tried, so that nothing is recorded
//! twice, and nothing half.

use crate::engine::ledger::Judgement;
use crate::service::committer::draft::Draft;
use crate::service::committer::queue::Outbox;
use crate::service::committer::{Committer, Inbox, Jobs, Passing, Queue};
use crate::service::counts::moment;
use crate::service::error::CommitError;
use crate::store::{Head, StoreError};

/// While the store refuses, unanswered events are kept for the next attempt, up to this many.
const MAX_CARRIED: usize = 65_536;

/// What failed changes left open.
#[derive(Default)]
pub(super) struct Doubt {
    /// Whether anything is: the store then takes no change.
    pub(super) open: bool,
    /// The batch that may be on disk or not; `None` if what failed was no batch.
    attempt: Option<Attempt>,
}

/// A batch that was written, by what the store said, in vain.
struct Attempt {
    /// Each with whether somebody waited for it, and was told to try again.
    events: Vec<(Passing, bool)>,
    judgements: Vec<Result<Judgement, CommitError>>,
    /// The head if it is on disk; `None` if it has no blocks.
    head: Option<Head>,
}

impl Doubt {
    /// Exposures of which nobody knows whether they are on disk.
    pub(super) fn exposures(&self) -> u64 {
        let events = self.attempt.iter().flat_map(|attempt| &attempt.events);
        events.map(|(passing, _)| passing.exposures() as u64).sum()
    }

    /// How many events are kept.
    pub(super) fn len(&self) -> usize {
        self.attempt.iter().flat_map(|attempt| &attempt.events).map(|(passing, _)| passing.events()).sum()
    }
}

impl<O: Outbox> Queue<O> {
    /// An error while nothing can be recorded. What is checked against the state must not be checked while a batch is in
    /// doubt: it may be in the journal, before whatever comes next.
    pub(crate) fn certain(&self) -> Result<(), CommitError> {
        self.health.trouble().map_or(Ok(()), |trouble| Err(CommitError::Unavailable(trouble)))
    }
}

impl<I: Inbox, J: Jobs> Committer<I, J> {
    /// A batch failed. If the store can say at once what became of it, everybody is told the truth: recorded after all, or
    /// not at all. Else they are told to try again, and the batch is kept until the store can. What nobody waits for and is
    /// not on disk comes back.
    pub(super) fn doubt(&mut self, mut batch: Vec<Passing>, mut draft: Draft, error: &StoreError) -> Vec<Passing> {
        // First, so that decisions need not wait for what follows: they answer the default from here on.
        self.trouble(error);
        let head = draft.blocks.last().map(|block| block.head());
        match self.store.recover() {
            Ok(found) if head == Some(found) => {
                tracing::warn!(block = found.number, "a batch that had failed is on disk after all");
                self.settle(&mut batch, &mut draft.judgements);
                batch
            }
            Ok(_) => self.refuse(batch, error),
            Err(second) => {
                tracing::error!(error = %second, "what a failed batch left cannot be told yet");
                self.doubt.open = true;
                let told = |mut passing: Passing| {
                    let reply = passing.take_reply();
                    let awaited = reply.is_some();
                    if let Some(reply) = reply {
                        // Whoever waited may have gone.
                        let _ = reply.send(Err(CommitError::Unavailable(error.to_string())));
                    }
                    (passing, awaited)
                };
                let events = batch.into_iter().map(told).collect();
                self.doubt.attempt = Some(Attempt { events, judgements: draft.judgements, head });
                Vec::new()
            }
        }
    }

    /// Tells whoever waits to try again; keeps the rest.
    pub(super) fn refuse(&self, batch: Vec<Passing>, error: &StoreError) -> Vec<Passing> {
        let mut room = MAX_CARRIED.saturating_sub(self.doubt.len());
        let mut kept = Vec::new();
        let mut lost = 0;
        for mut passing in batch {
            if let Some(reply) = passing.take_reply() {
                let _ = reply.send(Err(CommitError::Unavailable(error.to_string())));
            } else if let Some(left) = room.checked_sub(passing.events()) {
                room = left;
                kept.push(passing);
            } else {
                lost += passing.exposures() as u64;
            }
        }
        self.health.count_lost(lost);
        kept
    }

    /// Makes certain what earlier failures left. A batch that is on disk is applied as if it had not failed: whoever waited
    /// and tries again is answered as for any repeat. Of one that is not, what nobody waited for comes back.
    pub(super) fn resolve(&mut self) -> Result<Vec<Passing>, StoreError> {
        if !self.doubt.open {
            return Ok(Vec::new());
        }
        let found = self.store.recover()?;
        self.doubt.open = false;
        let Some(Attempt { events, mut judgements, head }) = self.doubt.attempt.take() else { return Ok(Vec::new()) };
        if head == Some(found) {
            tracing::warn!(block = found.number, events = events.len(), "a batch that had failed is on disk after all");
            self.settle(&mut events.into_iter().map(|(passing, _)| passing).collect(), &mut judgements);
            return Ok(Vec::new());
        }
        Ok(events.into_iter().filter(|(_, awaited)| !awaited).map(|(passing, _)| passing).collect())
    }

    /// Whether it is too early to try again: each attempt may open the store anew, which a burst of rewards must not ask for
    /// one by one.
    pub(super) fn too_early(&self) -> bool {
        self.health.failing() && self.failed_at.is_some_and(|at| at.elapsed() < self.options.retry_interval)
    }

    /// Says that nothing can be recorded.
    pub(super) fn trouble(&mut self, error: &StoreError) {
        if !self.health.failing() {
            tracing::error!(%error, "the store does not record");
        }
        self.health.set(Some(error.to_string()));
        self.failed_at = Some(moment());
    }
}
