//! What one event adds to the counts of its experiment.

use std::sync::Arc;

use crate::domain::{AllocationId, Slot, Timestamp};
use crate::engine::contribution::{Change, Contribution};
use crate::engine::definition::Delay;
use crate::engine::epoch::Epoch;
use crate::engine::event::DecisionRecord;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::pool::Progress;
use crate::engine::refresh::RefreshJob;
use crate::engine::segment::{Learned, Place, Segment};
use crate::engine::settings::Settings;

/// What happened to a decision, beside what changed in what it comes to.
#[derive(Clone, Copy)]
pub(super) enum Happened {
    /// It was made, and others that count as the same.
    Exposed { at: Timestamp, times: u32 },
    /// It was deferred, and is an exposure now.
    Activated { at: Timestamp },
    /// A reward came in time, whatever its value.
    Rewarded { goal: Slot, at: Timestamp },
    /// A reward was amended or retracted. That tells no time: what it leaves is what would be there without it.
    Corrected,
    /// Its visitor was erased. That tells no time either.
    Erased {
        /// Whether it was an exposure.
        exposed: bool,
    },
}

impl Happened {
    /// By how much it changes the number of exposures.
    fn exposures(self) -> i64 {
        match self {
            Self::Exposed { times, at: _ } => times.into(),
            Self::Activated { .. } => 1,
            Self::Rewarded { .. } | Self::Corrected | Self::Erased { exposed: false } => 0,
            Self::Erased { exposed: true } => -1,
        }
    }
}

/// Tells an epoch what time it is and, if it is the current one, how long rewards of the primary goal take. A reward tells the
/// time even if it changes nothing: what it comes to may be amended, and then it must have told it.
fn tell_time(epoch: &Epoch, current: Option<&Settings>, happened: Happened, place: Place, changes: &[Change]) {
    let timing = &epoch.timing;
    match happened {
        Happened::Exposed { at, .. } | Happened::Activated { at } | Happened::Rewarded { at, .. } => timing.saw(at),
        Happened::Corrected | Happened::Erased { .. } => {}
    }
    let Some(settings) = current.filter(|settings| settings.primary_goal().delay == Delay::Survival) else { return };
    let (primary, window) = (settings.primary(), settings.primary_goal().window);
    match happened {
        Happened::Activated { at } => timing.saw_activation(at.max(place.decided)),
        Happened::Rewarded { goal, at } if goal == primary => timing.saw_reward(window, at.max(place.decided)),
        Happened::Exposed { .. } | Happened::Rewarded { .. } | Happened::Corrected | Happened::Erased { .. } => {}
    }
    for change in changes.iter().filter(|change| change.goal == primary) {
        timing.changed(window, place, change);
    }
}

/// How a change counts in an epoch; `None` where the goal was never in it.
fn learned(epoch: &Epoch, change: &Change) -> Option<Learned> {
    let value = |contribution: Option<Contribution>| contribution.map_or(0, |contribution| contribution.value);
    let (goal, before, after) = (change.goal, value(change.before), value(change.after));
    epoch.measure(goal).map(|measure| Learned { goal, kind: measure.kind, before, after })
}

/// Adds to a segment, under one lock; a job if what is in force is given, with its fit, and the segment's allocation is now due.
fn add(
    segment: &Segment,
    place: Place,
    happened: Happened,
    learned: &[Learned],
    active: Option<(&Active, Option<AllocationId>)>,
) -> Option<RefreshJob> {
    segment.mark_changed();
    let mut tallies = segment.tallies();
    match happened.exposures() {
        0 => {}
        more @ 1.. => tallies.add_exposures(place, more.unsigned_abs()),
        ..0 => tallies.remove_exposure(place),
    }
    for learned in learned {
        tallies.change(place, *learned);
    }
    if matches!(happened, Happened::Corrected | Happened::Erased { .. }) && !place.control {
        tallies.amendments += 1;
    }
    active.filter(|_| !place.control).and_then(|(active, fit)| RefreshJob::if_due(segment, &mut tallies, active, fit))
}

/// An experiment, what is in force of it, and what was looked up in it.
pub(super) struct InForce {
    pub(super) experiment: Arc<Experiment>,
    active: Arc<Active>,
    /// No event that is counted changes it.
    fit: Option<AllocationId>,
    /// Of the decision that was counted last, and its epoch.
    segment: Option<(u32, Arc<Segment>)>,
}

impl InForce {
    pub(super) fn of(experiment: Arc<Experiment>) -> Self {
        let active = experiment.active_full();
        Self { fit: active.fit_in_force(), active, experiment, segment: None }
    }

    /// Whether an epoch is the one in which decisions are made.
    pub(super) fn is_current(&self, epoch: u32) -> bool {
        epoch == self.active.settings.epoch
    }

    /// Counts an exposure so many times; the next one in the same segment finds it without looking.
    pub(super) fn expose(&mut self, record: &DecisionRecord, times: u32, jobs: Option<&mut Vec<RefreshJob>>) {
        self.experiment.count(self, record, Happened::Exposed { at: record.decided_at(), times }, &[], jobs);
        let is_known =
            |(number, known): &(u32, Arc<Segment>)| *number == record.epoch && known.key() == Some(&record.segment);
        if !self.segment.as_ref().is_some_and(is_known) {
            let epoch = self.active.epoch(record.epoch);
            let segment = epoch.and_then(|epoch| epoch.segments.get(record.segment.as_str()));
            self.segment = segment.map(|segment| (record.epoch, segment));
        }
    }
}

impl Experiment {
    /// Counts what happened to a decision in its cell. What belongs to an epoch whose receipts have expired counts for nobody. Without
    /// `jobs` nothing is asked for that is due.
    pub(super) fn count(
        &self,
        InForce { active, fit, segment: known, .. }: &InForce,
        record: &DecisionRecord,
        happened: Happened,
        changes: &[Change],
        jobs: Option<&mut Vec<RefreshJob>>,
    ) {
        let (fit, asks) = (*fit, jobs.is_some());
        let Some(epoch) = active.epoch(record.epoch) else { return };
        let place = Place {
            variation: record.variation,
            decided: record.decided_at(),
            control: record.control,
            lengths: epoch.lengths,
        };
        // The time an epoch has come to is in the experiment's row, whatever else changes.
        self.mark_changed();
        self.count_capped(changes);
        let current = epoch.number == active.settings.epoch;
        if !place.control {
            tell_time(epoch, current.then_some(&active.settings), happened, place, changes);
        }
        let learned: Vec<Learned> = changes.iter().filter_map(|change| learned(epoch, change)).collect();
        if happened.exposures() == 0 && learned.is_empty() {
            return;
        }
        let pools = active.settings.pools();
        let mut due = Vec::new();
        let mut add_to = |segment: &Segment| {
            let by_itself = asks && current && !pools;
            due.extend(add(segment, place, happened, &learned, by_itself.then_some((&**active, fit))));
        };
        match known.as_ref().filter(|(number, known)| *number == epoch.number && known.key() == Some(&record.segment)) {
            Some((_, segment)) => add_to(segment),
            None => epoch.with_segment(&record.segment, active, add_to),
        }
        if let Some(all) = active.all.as_ref().filter(|_| current) {
            due.extend(add(all, place, happened, &learned, (asks && pools).then_some((&**active, fit))));
            self.watch_budget(active);
        }
        if current && !place.control {
            active.learn(record, happened.exposures() > 0, &learned);
            let count = |progress: &mut Progress| progress.count(place.decided, happened.exposures(), &learned);
            if asks {
                due.extend(active.fit_if_due_after(fit, count));
            } else {
                active.progress(count);
            }
        }
        jobs.into_iter().for_each(|jobs| jobs.append(&mut due));
    }

    /// Counts decisions that are learned as the cap, and no more as such.
    fn count_capped(&self, changes: &[Change]) {
        let capped = |contribution: Option<Contribution>| u64::from(contribution.is_some_and(|known| known.capped));
        for Change { goal: _, before, after } in
            changes.iter().filter(|change| capped(change.before) != capped(change.after))
        {
            let mut counts = self.rewards_for_writing();
            counts.capped = (counts.capped + capped(*after)).saturating_sub(capped(*before));
        }
    }
}
