//! Rewards on their way: conversions that have happened in the world and are not known yet.

use std::collections::BTreeMap;

use mabel::domain::Timestamp;
use mabel::engine::event::Event;

/// A reward and the cell it was earned in.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) event: Event,
    pub(super) segment: usize,
    pub(super) variation: usize,
    /// What it is worth to whoever compares variations by what they earned.
    pub(super) earned: f64,
}

/// Rewards in order of arrival; those of one instant in order of their decisions.
#[derive(Debug, Default)]
pub(super) struct Clock {
    due: BTreeMap<(Timestamp, u64), Pending>,
    count: u64,
}

impl Clock {
    pub(super) fn push(&mut self, at: Timestamp, pending: Pending) {
        self.due.insert((at, self.count), pending);
        self.count += 1;
    }

    /// The next reward that has arrived by now.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Pending> {
        let next = self.due.first_entry()?;
        (next.key().0 <= now).then(|| next.remove())
    }
}
