//! Computing what is due, off the request path: a segment's allocation, or a fit of all segments.

use std::sync::Arc;

use crate::domain::{AllocationId, ExperimentKey, SegmentKey, Span, Timestamp};
use crate::engine::event::{AllocationComputed, Event, PoolFitted};
use crate::engine::evidence::Inputs;
use crate::engine::experiment::Active;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::Settings;
use crate::engine::weights::Weights;
use crate::policy::Arm;
use crate::posterior::bucket::BucketLengths;
use crate::posterior::pooling::fit;

/// A copy of everything that is computed from, handed over by the writer.
#[derive(Debug, Clone)]
pub struct RefreshJob {
    settings: Arc<Settings>,
    evidence: u64,
    at: Timestamp,
    task: Task,
}

#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// The allocation of a segment; `None`: of all together.
    Allocation { segment: Option<SegmentKey>, amendments: u64, inputs: Box<Inputs> },
    /// A fit to the arms of all segments, in order of the segments' keys.
    Fit { segments: Vec<Vec<Arm>>, effective: Option<u64>, half_life: Option<Span> },
}

impl RefreshJob {
    /// A job if the segment's allocation is due and none is under way; `fit` is [the one in force](Active::fit_in_force).
    pub(crate) fn if_due(
        segment: &Segment,
        tallies: &mut Tallies,
        active: &Active,
        fit: Option<AllocationId>,
    ) -> Option<Self> {
        let settings = &active.settings;
        if tallies.refreshing || !settings.policy().learns() {
            return None;
        }
        let amended = tallies.amendments != tallies.in_force.amendments;
        if !tallies.due.is(tallies.counted()) && fit == tallies.in_force.fit && !amended {
            return None;
        }
        tallies.refreshing = true;
        let inputs = Inputs::of(active, tallies, &Weights::of(active), active.fitted());
        Some(Self {
            settings: Arc::clone(settings),
            evidence: tallies.events,
            at: tallies.newest.floor_to(settings.definition.bucket),
            task: Task::Allocation {
                segment: segment.key().cloned(),
                amendments: tallies.amendments,
                inputs: Box::new(inputs),
            },
        })
    }

    /// A fit of all segments as they are now.
    pub(crate) fn fit(active: &Active, evidence: u64, at: Timestamp) -> Self {
        let segments = active.segments();
        let mut weights = Weights::of(active);
        for segment in &segments {
            weights.look_at(segment.tallies().learning.as_slice());
        }
        let weights = weights.picked();
        let all: Vec<Inputs> =
            segments.iter().map(|segment| Inputs::of(active, &segment.tallies(), &weights, None)).collect();
        let effective = all.iter().map(|inputs| inputs.effective).sum();
        let half_life = weights.half_life(&[]);
        let segments = all.into_iter().map(|inputs| inputs.arms).collect();
        let task = Task::Fit { segments, effective, half_life };
        Self { settings: Arc::clone(&active.settings), evidence, at, task }
    }

    /// Asks the policy, or fits: the expensive part, for a background thread.
    #[must_use]
    pub fn compute(&self) -> Event {
        let experiment = self.settings.definition.key.clone();
        let (epoch, definition, at, evidence) = (self.settings.epoch, self.settings.version, self.at, self.evidence);
        match &self.task {
            Task::Allocation { segment, amendments, inputs } => {
                let shares = self.settings.compute(segment.as_ref().map(SegmentKey::as_str), inputs);
                let (segment, effective, fit) = (segment.clone(), inputs.effective, inputs.fit());
                Event::AllocationComputed(Arc::new(AllocationComputed {
                    experiment,
                    epoch,
                    definition,
                    segment,
                    at,
                    evidence,
                    effective,
                    fit,
                    amendments: *amendments,
                    shares,
                }))
            }
            Task::Fit { segments, effective, half_life } => {
                let fit = fit(self.settings.primary_kind(), segments);
                let unseen = self.settings.unseen(&fit);
                let (effective, half_life) = (*effective, *half_life);
                let computed =
                    PoolFitted { experiment, epoch, definition, at, evidence, effective, half_life, fit, unseen };
                Event::PoolFitted(Arc::new(computed))
            }
        }
    }

    /// Events in the tallies it is computed from.
    pub(crate) const fn evidence(&self) -> u64 {
        self.evidence
    }

    /// What it is for: of which experiment and epoch, a fit, or the allocation of which segment.
    pub(crate) fn key(&self) -> (ExperimentKey, u32, Option<Option<SegmentKey>>) {
        let target = match &self.task {
            Task::Allocation { segment, .. } => Some(segment.clone()),
            Task::Fit { .. } => None,
        };
        (self.settings.definition.key.clone(), self.settings.epoch, target)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
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
        self.conversions += other.conversions;
    }
}
