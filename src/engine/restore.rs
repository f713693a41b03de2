//! To a checkpoint and back. Restoring and then replaying the tail gives what never stopped would have.

use std::sync::Arc;

use crate::domain::ExperimentKey;
use crate::engine::Engine;
use crate::engine::allocation::Allocation;
use crate::engine::checkpoint::{
    AllocationState, Changes, ExperimentState, ModelState, RowName, SegmentName, SegmentState, StateRecord,
};
use crate::engine::due::Growth;
use crate::engine::epoch::Epoch;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::model::Model;
use crate::engine::pool::Fitted;
use crate::engine::refresh::RefreshJob;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::{Settings, Slots};
use crate::engine::table::Table;
use crate::engine::weights::Timing;

/// A checkpoint that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the checkpoint does not fit together: {0}")]
pub struct RestoreError(String);

/// Which records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Changed,
    All,
}

impl Engine {
    /// Everything that changed since this was last asked, in a fixed order. For the one writer, between two commits.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut records = self.records(Wanted::Changed);
        records.extend(self.take_buried().into_iter().map(StateRecord::Deleted));
        Changes { records, gone: self.take_gone() }
    }

    /// Everything there is, in a fixed order; what changed is not forgotten by asking. Equal histories give equal records.
    #[must_use]
    pub fn state(&self) -> Vec<StateRecord> {
        let mut records = self.records(Wanted::All);
        records.extend(self.buried().keys().cloned().map(StateRecord::Deleted));
        records
    }

    /// Lets the next [`Self::changes`] be everything: where the checkpoint that they are added to is empty.
    pub fn save_all_anew(&self) {
        for experiment in self.experiments() {
            experiment.mark_changed();
            let active = experiment.active_full();
            active.epochs.iter().flat_map(|epoch| epoch.segments.sorted()).for_each(|segment| segment.mark_changed());
            active.all.iter().for_each(|all| all.mark_changed());
            active.model.iter().for_each(|model| model.mark_changed());
        }
        self.buried().values_mut().for_each(|saved| *saved = false);
    }

    fn records(&self, wanted: Wanted) -> Vec<StateRecord> {
        let wants = |changed: &dyn Fn() -> bool| wanted == Wanted::All || changed();
        let mut records: Vec<StateRecord> = Vec::new();
        for experiment in self.experiments() {
            if wants(&|| experiment.take_changed()) {
                records.push(StateRecord::Experiment(experiment.state()));
            }
            let active = experiment.active_full();
            for epoch in &active.epochs {
                for segment in epoch.segments.sorted() {
                    if wants(&|| segment.take_changed()) {
                        records.push(segment_state(&experiment, epoch.number, &segment));
                    }
                }
            }
            if let Some(model) = &active.model
                && wants(&|| model.take_changed())
            {
                records.extend(model.states(&experiment, active.settings.epoch).into_iter().map(StateRecord::Model));
            }
            if let Some(all) = &active.all
                && wants(&|| all.take_changed())
            {
                records.push(segment_state(&experiment, active.settings.epoch, all));
            }
        }
        records
    }

    /// Puts back what a checkpoint holds, into an engine that is still empty.
    ///
    /// # Errors
    /// [`RestoreError`] if a record does not fit the others.
    pub fn restore(&self, records: Vec<StateRecord>) -> Result<(), RestoreError> {
        let (mut segments, mut models) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                StateRecord::Experiment(state) => self.restore_experiment(state)?,
                StateRecord::Segment(state) => segments.push(state),
                StateRecord::Model(state) => models.push(state),
                StateRecord::Deleted(key) => self.restore_buried(key),
            }
        }
        for state in segments {
            self.restore_segment(state)?;
        }
        models.into_iter().for_each(|state| self.restore_model(&state));
        for experiment in self.experiments() {
            experiment.active().count_pool();
            experiment.watch_budget(&experiment.active());
        }
        self.regroup();
        Ok(())
    }

    /// Every segment whose allocation is due: after recovery, what was under way when the process ended.
    pub fn due(&self, jobs: &mut Vec<RefreshJob>) {
        for experiment in self.experiments() {
            experiment.due(jobs);
        }
    }

    fn restore_experiment(&self, state: ExperimentState) -> Result<(), RestoreError> {
        let key = state.definition.key.clone();
        let slots = Slots { variations: state.variations, goals: state.goals };
        let complete = state.definition.variations.iter().all(|v| slots.variation(&v.key).is_some())
            && state.definition.goals.iter().all(|g| slots.goal(&g.key).is_some());
        let current =
            state.epochs.last().filter(|_| complete && state.initial.shares.len() == state.definition.variations.len());
        let Some(current) = current else {
            return Err(RestoreError(format!("experiment {key} lacks slots, epochs or shares")));
        };
        let settings = Settings::compile(state.definition, state.version, current.number, &slots, self.secret())
            .map_err(|error| RestoreError(format!("experiment {key}: {error}")))?;
        let initial = settings.without_evidence(state.initial.clone());
        let epochs = state.epochs.into_iter().map(|epoch| {
            let segments = Arc::new(Table::new());
            let (number, lengths, goals, closed_at) = (epoch.number, epoch.lengths, epoch.goals, epoch.closed_at);
            let timing: Arc<Timing> = Arc::default();
            timing.saw(epoch.newest);
            *timing.delays() = epoch.delays;
            Arc::new(Epoch { number, lengths, goals, closed_at, segments, pool: Arc::default(), timing })
        });
        let mut active = Active {
            settings: Arc::new(settings),
            slots: Arc::new(slots),
            epochs: epochs.collect(),
            all: None,
            model: None,
            initial,
            initial_shares: state.initial,
        };
        active.all = active.together();
        active.model = active.settings.contextual().map(|contextual| Model::new(contextual, state.model_since));
        if let Some(computed) = state.pool {
            let shares = computed.unseen.clone();
            let state = AllocationState {
                definition: computed.definition,
                evidence: 0,
                effective: None,
                fit: None,
                amendments: 0,
                shares,
            };
            let unseen = restored_allocation(&active.settings, state)?;
            active.current().pool.set(Fitted::new(computed, unseen, &active.settings));
        }
        self.insert(key.clone(), Experiment::new(key, state.status, active, state.rewards));
        Ok(())
    }

    /// What was learned of one variation; its row goes if it is of a deleted experiment or of a model that was given up.
    fn restore_model(&self, state: &ModelState) {
        let active = self.experiment(state.experiment.as_str()).ok().map(|experiment| experiment.active_full());
        let model =
            active.as_ref().filter(|active| active.settings.epoch == state.epoch).and_then(|a| a.model.as_ref());
        if !model.is_some_and(|model| model.restore(state)) {
            self.forget_row(RowName::Model { experiment: state.experiment.clone(), variation: state.variation });
        }
    }

    fn restore_segment(&self, state: SegmentState) -> Result<(), RestoreError> {
        let SegmentState { experiment: key, epoch, segment, learning, control, amendments, allocation } = state;
        let experiment = self.experiment(key.as_str()).ok();
        let active = experiment.map(|experiment| experiment.active_full());
        let Some((active, epoch)) = active.as_ref().and_then(|active| active.epoch(epoch).map(|epoch| (active, epoch)))
        else {
            // Of a deleted experiment or a forgotten epoch, and not removed before the process ended.
            self.forget_row(RowName::Segment(SegmentName { experiment: key, epoch, segment }));
            return Ok(());
        };
        let allocation = match allocation {
            Some(known) => restored_allocation(&active.settings, known)?,
            None => Arc::clone(&active.initial),
        };
        match segment {
            Some(segment) => {
                let restored =
                    Segment::new(Some(segment.clone()), Tallies::restored(learning, control, amendments), allocation);
                restored.take_changed();
                epoch.segments.insert(segment, restored);
            }
            None => {
                if let Some(all) = &active.all {
                    *all.tallies() = Tallies::restored(learning, control, amendments);
                    all.set_allocation(allocation);
                    all.take_changed();
                }
            }
        }
        Ok(())
    }
}

/// An allocation as it was. One of an earlier definition, which had other variations, is asked only for its shares.
fn restored_allocation(settings: &Settings, state: AllocationState) -> Result<Arc<Allocation>, RestoreError> {
    if state.definition != settings.version {
        let floors = vec![0.0; state.shares.shares.len()];
        return Ok(Allocation::new(state, Growth::of(settings, 1), &floors));
    }
    if state.shares.shares.len() != settings.slots_by_key().len() {
        let key = &settings.definition.key;
        return Err(RestoreError(format!("an allocation of {key} has shares for other variations")));
    }
    Ok(settings.allocation(state))
}

fn segment_state(experiment: &Experiment, epoch: u32, segment: &Segment) -> StateRecord {
    let tallies = segment.tallies();
    StateRecord::Segment(SegmentState {
        experiment: ExperimentKey::clone(experiment.key()),
        epoch,
        segment: segment.key().cloned(),
        learning: tallies.learning.clone(),
        control: tallies.control.clone(),
        amendments: tallies.amendments,
        allocation: Some(segment.allocation().state()),
    })
}
