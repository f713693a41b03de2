//! Computing an allocation that is due, off the request path.

use std::sync::Arc;

use crate::domain::{SegmentKey, Timestamp};
use crate::engine::event::{AllocationComputed, Event};
use crate::engine::evidence::Inputs;
use crate::engine::experiment::Active;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::Settings;
use crate::posterior::bucket::BucketLengths;

/// A copy of everything an allocation is computed from, handed over by the writer.
#[derive(Debug)]
pub struct RefreshJob {
    settings: Arc<Settings>,
    segment: Option<SegmentKey>,
    inputs: Inputs,
    evidence: u64,
    at: Timestamp,
}

impl RefreshJob {
    /// A job if the segment's allocation is due and none is under way.
    pub(crate) fn if_due(segment: &Segment, tallies: &mut Tallies, active: &Active) -> Option<Self> {
        let settings = &active.settings;
        if tallies.refreshing || tallies.events < tallies.due_at || !settings.policy().learns() {
            return None;
        }
        tallies.refreshing = true;
        Some(Self {
            settings: Arc::clone(settings),
            segment: segment.key().cloned(),
            inputs: Inputs::of(settings, &tallies.learning_total, 0.0),
            evidence: tallies.events,
            at: tallies.newest.floor_to(settings.definition.bucket),
        })
    }

    /// Asks the policy: the expensive part, for a background thread.
    #[must_use]
    pub fn compute(&self) -> Event {
        let shares = self.settings.compute(self.segment.as_ref().map(SegmentKey::as_str), &self.inputs);
        Event::AllocationComputed(Arc::new(AllocationComputed {
            experiment: self.settings.definition.key.clone(),
            epoch: self.settings.epoch,
            definition: self.settings.version,
            segment: self.segment.clone(),
            at: self.at,
            evidence: self.evidence,
            shares,
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn segment(&self) -> Option<&SegmentKey> {
        self.segment.as_ref()
    }
}

impl Tallies {
    /// Adds all of another segment's counts.
    pub(crate) fn absorb(&mut self, other: &Self, lengths: BucketLengths) {
        for bucket in other.learning.as_slice() {
            self.learning.at_mut(bucket.start, lengths).merge(&bucket.tally);
        }
        for bucket in other.control.as_slice() {
            self.control.at_mut(bucket.start, lengths).merge(&bucket.tally);
        }
        self.learning_total.merge(&other.learning_total);
        self.control_total.merge(&other.control_total);
        self.newest = self.newest.max(other.newest);
        self.events += other.events;
    }
}
