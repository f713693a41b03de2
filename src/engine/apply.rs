//! The fold: one event after another, in journal order, by one writer. Server, recovery, replay and simulation all come
//! through here, and nothing else changes what the engine holds.

mod count;

use std::sync::Arc;

use crate::domain::ExperimentKey;
use crate::engine::Engine;
use crate::engine::apply::count::{Happened, InForce};
use crate::engine::checkpoint::{AllocationState, RewardCounts};
use crate::engine::contribution::Change;
use crate::engine::due::Due;
use crate::engine::error::NoExperiment;
use crate::engine::event::{
    Activated, AllocationComputed, DecisionRecord, Event, ExperimentSaved, Rewarded, VisitorErased,
};
use crate::engine::experiment::{Active, Experiment};
use crate::engine::ledger::{Judgement, Outcome};
use crate::engine::refresh::RefreshJob;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::{Settings, Slots};

impl Engine {
    /// Applies one event. Only the one writer calls this, in the order of the journal, after the event is durable. Segments
    /// whose allocation is due are pushed to `jobs`; each must be computed, or abandoned by [`Self::abandon`].
    pub fn apply(&self, event: &Event, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        self.applying(jobs).apply(event, judgement);
    }

    /// The same for several, one after the other.
    pub fn applying<'e>(&'e self, jobs: &'e mut Vec<RefreshJob>) -> Applying<'e> {
        Applying { engine: self, last: None, jobs }
    }

    fn apply_exposed(
        &self,
        record: &DecisionRecord,
        times: u32,
        last: &mut Option<InForce>,
        jobs: Option<&mut Vec<RefreshJob>>,
    ) {
        if last.as_ref().is_none_or(|last| *last.experiment.key() != record.experiment) {
            *last = self.experiment(record.experiment.as_str()).ok().map(InForce::of);
        }
        if let Some(last) = last {
            last.expose(record, times, jobs);
        }
    }

    fn apply_next(&self, event: &Event, judgement: &Judgement, last: &mut Option<InForce>, jobs: &mut Vec<RefreshJob>) {
        match event {
            Event::ExperimentSaved(saved) => self.apply_saved(saved, jobs),
            Event::StatusChanged { experiment, status, at: _ } => {
                if let Ok(experiment) = self.experiment(experiment.as_str()) {
                    experiment.set_status(*status);
                }
            }
            Event::ExperimentDeleted { experiment, at: _ } => self.bury(experiment),
            Event::Exposed(exposed) => self.apply_exposed(&exposed.record, 1, last, Some(jobs)),
            Event::Assigned(assigned) => {
                if judgement.outcome == Outcome::Recorded && !assigned.deferred {
                    let at = assigned.record.decided_at();
                    self.count(&assigned.record, Happened::Exposed { at, times: 1 }, &[], jobs);
                }
            }
            Event::Aliased(_) | Event::ProfileSaved(_) => {}
            Event::VisitorErased(erased) => self.apply_erased(erased, jobs),
            Event::Activated(activated) => self.apply_activated(activated, judgement, jobs),
            Event::Rewarded(rewarded) => self.apply_rewarded(rewarded, judgement, jobs),
            Event::Amended(amended) => {
                self.apply_corrected(&amended.record, judgement, |counts| &mut counts.amended, jobs);
            }
            Event::Retracted(retracted) => {
                self.apply_corrected(&retracted.record, judgement, |counts| &mut counts.retracted, jobs);
            }
            Event::AllocationComputed(computed) => self.apply_computed(computed, jobs),
            Event::PoolFitted(fitted) => self.apply_fitted(fitted, jobs),
        }
    }

    fn apply_saved(&self, saved: &ExperimentSaved, jobs: &mut Vec<RefreshJob>) {
        let key = &saved.definition.key;
        let known = match self.experiment(key.as_str()) {
            Ok(experiment) => Some(experiment),
            Err(NoExperiment::Unknown) => None,
            // Checked before its deletion and committed after it: the key stays taken.
            Err(NoExperiment::Deleted) => return,
        };
        let before = known.as_ref().map(|experiment| experiment.active_full());
        let mut slots = before.as_ref().map(|before| Slots::clone(&before.slots)).unwrap_or_default();
        slots.extend(&saved.definition);
        let definition = Arc::new(saved.definition.clone());
        let settings = Settings::compile(definition, saved.version, saved.epoch, &slots, self.secret())
            .expect("a definition in the journal was compiled before it was written");
        let active = Active::saved(before.as_deref(), saved, settings, slots);
        let dropped =
            before.iter().flat_map(|before| &before.epochs).filter(|epoch| active.epoch(epoch.number).is_none());
        dropped.for_each(|epoch| self.forget_epoch(key, epoch));
        if let Some(model) = before.as_ref().and_then(|before| before.model.as_ref())
            && active.model.as_ref().is_none_or(|kept| !Arc::ptr_eq(kept, model))
        {
            self.forget_model(key, model);
        }
        let group_before = before.as_ref().and_then(|before| before.settings.definition.group.clone());
        let experiment = match known {
            Some(experiment) => {
                experiment.set_active(active);
                experiment
            }
            None => {
                let experiment = Experiment::new(key.clone(), saved.status, active, RewardCounts::default());
                self.insert(key.clone(), Arc::clone(&experiment));
                experiment
            }
        };
        if saved.definition.group != group_before {
            self.regroup();
        }
        experiment.active().count_pool();
        experiment.watch_budget(&experiment.active());
        experiment.due(jobs);
    }

    fn bury(&self, key: &ExperimentKey) {
        if let Ok(experiment) = self.experiment(key.as_str()) {
            let active = experiment.active();
            active.epochs.iter().for_each(|epoch| self.forget_epoch(key, epoch));
            active.model.iter().for_each(|model| self.forget_model(key, model));
        }
        self.remove(key);
        self.regroup();
    }

    fn apply_activated(&self, activated: &Activated, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        if judgement.outcome == Outcome::Recorded {
            let happened = Happened::Activated { at: activated.at };
            self.count(&activated.record, happened, &judgement.changes, jobs);
        }
    }

    fn apply_rewarded(&self, rewarded: &Rewarded, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        let Ok(experiment) = self.experiment(rewarded.record.experiment.as_str()) else { return };
        let in_force = InForce::of(experiment);
        let experiment = &in_force.experiment;
        {
            let mut counts = experiment.rewards_for_writing();
            match judgement.outcome {
                Outcome::Recorded => counts.recorded += 1,
                Outcome::Repeated => counts.repeated += 1,
                Outcome::Late => counts.late += 1,
                // Counted as refused, where its sender is told.
                Outcome::Refused | Outcome::Unknown | Outcome::Erased => return,
            }
            if judgement.outcome == Outcome::Recorded
                && !rewarded.record.control
                && in_force.is_current(rewarded.record.epoch)
            {
                counts.newest = counts.newest.max(Some(rewarded.arrived_at));
            }
        }
        experiment.mark_changed();
        if judgement.outcome == Outcome::Recorded {
            let happened = Happened::Rewarded { goal: rewarded.goal, at: rewarded.arrived_at };
            experiment.count(&in_force, &rewarded.record, happened, &judgement.changes, Some(jobs));
        }
    }

    /// An amendment or a retraction, each counted in its place.
    fn apply_corrected(
        &self,
        record: &DecisionRecord,
        judgement: &Judgement,
        counter: fn(&mut RewardCounts) -> &mut u64,
        jobs: &mut Vec<RefreshJob>,
    ) {
        let Ok(experiment) = self.experiment(record.experiment.as_str()) else { return };
        {
            let mut counts = experiment.rewards_for_writing();
            match judgement.outcome {
                Outcome::Recorded | Outcome::Late => *counter(&mut counts) += 1,
                Outcome::Repeated => counts.repeated += 1,
                Outcome::Refused | Outcome::Unknown | Outcome::Erased => return,
            }
        }
        experiment.mark_changed();
        if !judgement.changes.is_empty() {
            self.count(record, Happened::Corrected, &judgement.changes, jobs);
        }
    }

    /// Takes out what a visitor's assignments counted for; from now on its receipts are refused.
    fn apply_erased(&self, erased: &VisitorErased, jobs: &mut Vec<RefreshJob>) {
        for visitor in &erased.visitors {
            self.refuse_receipts(visitor.short(), erased.at);
        }
        for assignment in &erased.assignments {
            if assignment.exposed || !assignment.changes.is_empty() {
                let happened = Happened::Erased { exposed: assignment.exposed };
                self.count(&assignment.record, happened, &assignment.changes, jobs);
            }
        }
    }

    /// Counts what happened to a decision. What belongs to an experiment that was deleted counts for nobody.
    fn count(&self, record: &DecisionRecord, happened: Happened, changes: &[Change], jobs: &mut Vec<RefreshJob>) {
        let Ok(experiment) = self.experiment(record.experiment.as_str()) else { return };
        let in_force = InForce::of(experiment);
        in_force.experiment.count(&in_force, record, happened, changes, Some(jobs));
    }

    fn apply_computed(&self, computed: &AllocationComputed, jobs: &mut Vec<RefreshJob>) {
        let Ok(experiment) = self.experiment(computed.experiment.as_str()) else { return };
        let active = experiment.active();
        let Some(epoch) = active.epoch(computed.epoch) else { return };
        let segment = match &computed.segment {
            Some(key) => epoch.segments.get(key.as_str()),
            None => active.all.clone(),
        };
        let Some(segment) = segment else { return };
        // An allocation of an older definition would be projected all the same; the one in force is at least as new.
        if computed.definition == active.settings.version {
            segment.set_allocation(active.settings.allocation(AllocationState {
                definition: computed.definition,
                evidence: computed.evidence,
                effective: computed.effective,
                fit: computed.fit,
                amendments: computed.amendments,
                shares: computed.shares.clone(),
            }));
            segment.mark_changed();
        }
        let mut tallies = segment.tallies();
        tallies.refreshing = false;
        if epoch.number == active.settings.epoch {
            jobs.extend(RefreshJob::if_due(&segment, &mut tallies, &active, active.fit_in_force()));
        }
    }
}

/// Events that are applied one after the other. Most are exposures, many in a row of one experiment, which is then looked up once.
pub struct Applying<'e> {
    engine: &'e Engine,
    last: Option<InForce>,
    jobs: &'e mut Vec<RefreshJob>,
}

impl Applying<'_> {
    /// As [`Engine::apply`].
    pub fn apply(&mut self, event: &Event, judgement: &Judgement) {
        if !matches!(event, Event::Exposed(_)) {
            // It may change what is in force.
            self.last = None;
        }
        self.engine.apply_next(event, judgement, &mut self.last, self.jobs);
    }

    /// The same of [`Event::Exposed`], of which nothing but the decision matters.
    pub fn expose(&mut self, record: &DecisionRecord) {
        self.engine.apply_exposed(record, 1, &mut self.last, Some(&mut *self.jobs));
    }

    /// Counts so many of them of which nothing but the random bits of their ids differs, and asks for nothing that is due: others of their
    /// segment follow, and the last of them is [applied](Self::expose). They have no features: a model learns one after the other.
    pub fn count_exposures(&mut self, record: &DecisionRecord, times: u32) {
        debug_assert!(record.features.entries().is_empty(), "learned out of order: {record:?}");
        self.engine.apply_exposed(record, times, &mut self.last, None);
    }
}

impl Active {
    /// All segments of the current epoch as one, if something wants it: a policy that pools completely, or a budget.
    pub(crate) fn together(&self) -> Option<Arc<Segment>> {
        self.wants_all().then(|| {
            let mut all = Tallies::default();
            for segment in self.segments() {
                all.absorb(&segment.tallies(), self.current().lengths);
            }
            Segment::new(None, all, Arc::clone(&self.initial))
        })
    }

    pub(crate) fn wants_all(&self) -> bool {
        self.settings.pools() || self.settings.definition.budget.is_some()
    }
}

impl Experiment {
    /// Pushes every segment of the current epoch whose allocation is due, or of an older definition.
    pub(crate) fn due(&self, jobs: &mut Vec<RefreshJob>) {
        let active = self.active();
        let segments = match active.deciding() {
            Some(all) => vec![Arc::clone(all)],
            None => active.segments(),
        };
        jobs.extend(active.fit_if_due());
        let fit = active.fit_in_force();
        for segment in segments {
            let outdated = segment.allocation().definition() != active.settings.version;
            let mut tallies = segment.tallies();
            if outdated {
                // Not even the first event's worth of evidence is needed: variations may have come or gone.
                tallies.due = Due::NOW;
            }
            jobs.extend(RefreshJob::if_due(&segment, &mut tallies, &active, fit));
        }
    }
}
