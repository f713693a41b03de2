//! The fold: one event after another, in journal order, by one writer. Server, recovery, replay and simulation all come
//! through here, and nothing else changes what the engine holds.

use std::sync::Arc;

use crate::domain::{ExperimentKey, Slot, Timestamp};
use crate::engine::Engine;
use crate::engine::checkpoint::RewardCounts;
use crate::engine::definition::Delay;
use crate::engine::error::NoExperiment;
use crate::engine::event::{Activated, AllocationComputed, DecisionRecord, Event, ExperimentSaved, Rewarded};
use crate::engine::experiment::{Active, Experiment};
use crate::engine::ledger::{Judgement, Outcome, Standing};
use crate::engine::refresh::RefreshJob;
use crate::engine::segment::{Learned, Place, Segment, Tallies};
use crate::engine::settings::{Settings, Slots};

impl Engine {
    /// Applies one event. Only the one writer calls this, in the order of the journal, after the event is durable. Segments
    /// whose allocation is due are pushed to `jobs`; each must be computed, or abandoned by [`Self::abandon`].
    pub fn apply(&self, event: &Event, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        match event {
            Event::ExperimentSaved(saved) => self.apply_saved(saved, jobs),
            Event::StatusChanged { experiment, status, at: _ } => {
                if let Ok(experiment) = self.experiment(experiment.as_str()) {
                    experiment.set_status(*status);
                }
            }
            Event::ExperimentDeleted { experiment, at: _ } => self.bury(experiment),
            Event::Exposed(exposed) => {
                let at = exposed.record.decided_at();
                self.count(&exposed.record, &Happened { at, exposure: true, rewards: &[] }, jobs);
            }
            Event::Activated(activated) => self.apply_activated(activated, judgement, jobs),
            Event::Rewarded(rewarded) => self.apply_rewarded(rewarded, judgement, jobs),
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
    }

    fn apply_activated(&self, activated: &Activated, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        if judgement.outcome == Outcome::Recorded {
            let happened = Happened { at: activated.at, exposure: true, rewards: &judgement.released };
            self.count(&activated.record, &happened, jobs);
        }
    }

    fn apply_rewarded(&self, rewarded: &Rewarded, judgement: &Judgement, jobs: &mut Vec<RefreshJob>) {
        let Ok(experiment) = self.experiment(rewarded.record.experiment.as_str()) else { return };
        let learned = judgement.standing == Standing::Learned && judgement.outcome == Outcome::Recorded;
        {
            let mut counts = experiment.rewards_for_writing();
            match judgement.outcome {
                Outcome::Recorded => counts.recorded += 1,
                Outcome::Repeated => counts.repeated += 1,
                Outcome::Late => counts.late += 1,
                // Counted as refused, where its sender is told.
                Outcome::Refused => return,
            }
            if judgement.outcome == Outcome::Recorded && rewarded.learned_value() != rewarded.value {
                counts.capped += 1;
            }
            if learned && !rewarded.record.control && rewarded.record.epoch == experiment.active().settings.epoch {
                counts.newest_learned = counts.newest_learned.max(Some(rewarded.arrived_at));
            }
        }
        experiment.mark_changed();
        if learned && rewarded.learned_value() != 0 {
            let rewards = [(rewarded.goal, rewarded.learned_value())];
            let happened = Happened { at: rewarded.arrived_at, exposure: false, rewards: &rewards };
            self.count(&rewarded.record, &happened, jobs);
        }
    }

    /// Adds an exposure, rewards, or both to the cell of a decision. What belongs to an experiment that was deleted, or
    /// to an epoch whose receipts have expired, counts for nobody.
    fn count(&self, record: &DecisionRecord, happened: &Happened<'_>, jobs: &mut Vec<RefreshJob>) {
        let Happened { at, exposure, rewards } = *happened;
        self.with_experiment(&record.experiment, |experiment| {
            let active = experiment.active();
            let Some(epoch) = active.epoch(record.epoch) else { return };
            let place = Place {
                variation: record.variation,
                decided: record.decided_at(),
                control: record.control,
                lengths: epoch.lengths,
            };
            experiment.saw_decision(place.decided);
            // A goal that was never in the epoch has nothing to count in it.
            let learned = |(goal, value): &(Slot, i64)| {
                epoch.measure(*goal).map(|measure| Learned { goal: *goal, kind: measure.kind, value: *value })
            };
            let rewards: Vec<Learned> = rewards.iter().filter_map(learned).collect();
            let current = epoch.number == active.settings.epoch;
            if !place.control {
                epoch.timing.saw(at);
            }
            if current && !place.control && !exposure && active.settings.primary_goal().delay == Delay::Survival {
                let primary = rewards.iter().filter(|reward| reward.goal == active.settings.primary());
                let window = active.settings.primary_goal().window;
                primary.for_each(|_| epoch.timing.saw_reward(window, place.variation, place.decided, at));
            }
            let pools = active.settings.pools();
            epoch.with_segment(&record.segment, &active, |segment| {
                jobs.extend(add(segment, place, &rewards, exposure, (current && !pools).then_some(&active)));
            });
            if let Some(all) = active.all.as_ref().filter(|_| current) {
                jobs.extend(add(all, place, &rewards, exposure, pools.then_some(&active)));
                experiment.watch_budget(&active);
            }
            if current && !place.control {
                active.learn(record, exposure, &rewards);
            }
            if current && !place.control && active.settings.borrows() {
                epoch.pool.progress().count(place.decided, exposure, rewards.len());
                jobs.extend(active.fit_if_due());
            }
        });
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
            segment.set_allocation(active.settings.allocation(
                computed.evidence,
                computed.effective,
                computed.fit,
                computed.shares.clone(),
            ));
            segment.mark_changed();
        }
        let mut tallies = segment.tallies();
        tallies.refreshing = false;
        if epoch.number == active.settings.epoch {
            jobs.extend(RefreshJob::if_due(&segment, &mut tallies, &active));
        }
    }
}

/// What a decision came to: an exposure, rewards, or both.
struct Happened<'a> {
    at: Timestamp,
    exposure: bool,
    /// Goals and values.
    rewards: &'a [(Slot, i64)],
}

/// Adds to a segment, under one lock; a job if `active` is given and its allocation is now due.
fn add(
    segment: &Segment,
    place: Place,
    rewards: &[Learned],
    exposure: bool,
    active: Option<&Active>,
) -> Option<RefreshJob> {
    segment.mark_changed();
    let mut tallies = segment.tallies();
    if exposure {
        tallies.add_exposure(place);
    }
    for reward in rewards {
        tallies.add_reward(place, *reward);
    }
    active.filter(|_| !place.control).and_then(|active| RefreshJob::if_due(segment, &mut tallies, active))
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
        for segment in segments {
            let outdated = segment.allocation().definition() != active.settings.version;
            let mut tallies = segment.tallies();
            if outdated {
                // Not even the first event's worth of evidence is needed: variations may have come or gone.
                tallies.due_at = 0;
            }
            jobs.extend(RefreshJob::if_due(&segment, &mut tallies, &active));
        }
    }
}
