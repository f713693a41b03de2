//! One segment: its tallies, which only the writer changes, and its allocation, which everyone reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::domain::{AllocationId, GoalKind, SegmentKey, Slot, Timestamp};
use crate::engine::allocation::Allocation;
use crate::engine::due::{Counted, Due};
use crate::posterior::bucket::{BucketLengths, Buckets};
use crate::posterior::tally::Tally;

/// Tallies of one segment of one epoch, or of all together where pooling is complete.
#[derive(Debug)]
pub struct Segment {
    key: Option<SegmentKey>,
    /// Never on the request path: the writer adds, reports and checkpoints copy.
    tallies: Mutex<Tallies>,
    allocation: ArcSwap<Allocation>,
    changed: AtomicBool,
}

/// What a segment has counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies {
    /// What trains, by time.
    pub(crate) learning: Buckets,
    /// The control group's, by time.
    pub(crate) control: Buckets,
    /// Sum of `learning`: allocations without forgetting need no more.
    pub(crate) learning_total: Tally,
    /// Sum of `control`.
    pub(crate) control_total: Tally,
    /// Time of the newest decision that trains.
    pub(crate) newest: Timestamp,
    /// Exposures and conversions that train.
    pub(crate) events: u64,
    /// Amendments, retractions and erasures that changed what trains: an allocation is due where it was computed from fewer.
    pub(crate) amendments: u64,
    /// Conversions among them.
    pub(crate) conversions: u64,
    /// When the next allocation is.
    pub(crate) due: Due,
    /// What the one in force was computed from, at hand where every event asks.
    pub(crate) in_force: InForce,
    /// An allocation is being computed.
    pub(crate) refreshing: bool,
}

/// Of an allocation: any change makes the next one due.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InForce {
    pub(crate) amendments: u64,
    pub(crate) fit: Option<AllocationId>,
}

/// What an exposure or a reward counts in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) variation: Slot,
    pub(crate) decided: Timestamp,
    pub(crate) control: bool,
    pub(crate) lengths: BucketLengths,
}

/// How what a decision comes to for a goal changes; 0 is nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned {
    pub(crate) goal: Slot,
    pub(crate) kind: GoalKind,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

impl Learned {
    /// A number of conversions after the change.
    pub(crate) const fn count_into(&self, conversions: u64) -> u64 {
        (conversions + (self.after != 0) as u64).saturating_sub((self.before != 0) as u64)
    }
}

impl Tallies {
    pub(crate) fn add_exposures(&mut self, place: Place, count: u64) {
        let (buckets, total) = self.side(place.control);
        buckets.at_mut(place.decided, place.lengths).add_exposures(place.variation, count);
        total.add_exposures(place.variation, count);
        if !place.control {
            self.newest = self.newest.max(place.decided);
            self.events += count;
        }
    }

    /// As if the exposure had never been; the newest decision's time stays what it is.
    pub(crate) fn remove_exposure(&mut self, place: Place) {
        let (buckets, total) = self.side(place.control);
        buckets.at_mut(place.decided, place.lengths).remove_exposures(place.variation, 1);
        total.remove_exposures(place.variation, 1);
        if !place.control {
            self.events = self.events.saturating_sub(1);
        }
    }

    pub(crate) fn change(&mut self, place: Place, learned: Learned) {
        let Learned { goal, kind, before, after } = learned;
        let (buckets, total) = self.side(place.control);
        for tally in [buckets.at_mut(place.decided, place.lengths), total] {
            match kind {
                GoalKind::Conversion => tally.change_conversion(place.variation, goal, before != 0, after != 0),
                GoalKind::Revenue | GoalKind::Count => tally.change_value(place.variation, goal, before, after),
            }
        }
        if !place.control {
            self.events = learned.count_into(self.events);
            self.conversions = learned.count_into(self.conversions);
        }
    }

    /// An allocation comes into force.
    fn follow(&mut self, allocation: &Allocation) {
        self.due = allocation.due(self.conversions);
        self.in_force = InForce { amendments: allocation.amendments(), fit: allocation.fit() };
    }

    /// What trains.
    pub(crate) const fn counted(&self) -> Counted {
        Counted { events: self.events, conversions: self.conversions }
    }

    fn side(&mut self, control: bool) -> (&mut Buckets, &mut Tally) {
        if control {
            (&mut self.control, &mut self.control_total)
        } else {
            (&mut self.learning, &mut self.learning_total)
        }
    }

    /// From buckets read back.
    pub(crate) fn restored(learning: Buckets, control: Buckets, amendments: u64) -> Self {
        let newest = learning.as_slice().last().map_or(Timestamp::ZERO, |bucket| bucket.start);
        let (learning_total, control_total) = (learning.total(), control.total());
        let events = learning_total.events();
        let conversions = events - learning_total.all_exposures();
        Self {
            learning,
            control,
            learning_total,
            control_total,
            newest,
            events,
            amendments,
            conversions,
            due: Due::NOW,
            in_force: InForce::default(),
            refreshing: false,
        }
    }
}

impl Segment {
    pub(crate) fn new(key: Option<SegmentKey>, mut tallies: Tallies, allocation: Arc<Allocation>) -> Arc<Self> {
        tallies.follow(&allocation);
        let allocation = ArcSwap::new(allocation);
        Arc::new(Self { key, tallies: Mutex::new(tallies), allocation, changed: AtomicBool::new(true) })
    }

    /// Its key; `None` for all segments together.
    #[must_use]
    pub fn key(&self) -> Option<&SegmentKey> {
        self.key.as_ref()
    }

    /// The allocation in force.
    #[must_use]
    pub fn allocation(&self) -> arc_swap::Guard<Arc<Allocation>> {
        self.allocation.load()
    }

    /// Puts an allocation in force. For the writer alone.
    pub(crate) fn set_allocation(&self, allocation: Arc<Allocation>) {
        let mut tallies = self.tallies();
        tallies.follow(&allocation);
        self.allocation.store(allocation);
    }

    /// Tallies under their lock. A poisoned lock is taken all the same: adding to integers leaves nothing half-done.
    pub(crate) fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether it changed since the last time this was asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}
