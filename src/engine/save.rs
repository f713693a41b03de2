//! Checking a definition and preparing its event: versions, epochs, slots.

use std::sync::Arc;

use crate::domain::Timestamp;
use crate::engine::Engine;
use crate::engine::check::{MAX_VARIATIONS, check, check_size};
use crate::engine::definition::{Definition, Status};
use crate::engine::epoch::{Epoch, Measure};
use crate::engine::error::{FieldError, NoExperiment, SaveError};
use crate::engine::event::ExperimentSaved;
use crate::engine::experiment::Active;
use crate::engine::model::Model;
use crate::engine::settings::{Settings, Slots};

/// Most epochs whose receipts are still valid.
pub const MAX_EPOCHS: usize = 64;

impl Engine {
    /// Checks a definition against itself and against what the experiment was before, and makes the event that saves it.
    /// `status` applies if the experiment is new. Saving what is already in force gives `None`.
    ///
    /// # Errors
    /// [`SaveError`] names the field, what was given and what is allowed.
    pub fn save(
        &self,
        definition: Definition,
        status: Status,
        now: Timestamp,
    ) -> Result<Option<ExperimentSaved>, SaveError> {
        check(&definition)?;
        self.check_group(&definition)?;
        let known = match self.experiment(definition.key.as_str()) {
            Ok(experiment) => Some(experiment),
            Err(NoExperiment::Unknown) => None,
            Err(NoExperiment::Deleted) => return Err(SaveError::Deleted(definition.key.to_string())),
        };
        let active = known.as_ref().map(|experiment| experiment.active_full());
        if active.as_ref().is_some_and(|active| *active.settings.definition == definition) {
            return Ok(None);
        }
        let mut slots = active.as_ref().map(|active| Slots::clone(&active.slots)).unwrap_or_default();
        if let Some(active) = &active {
            refuse_tombstones(&definition, active)?;
        }
        slots.extend(&definition);
        if slots.variations.len() > MAX_VARIATIONS {
            let given = format!("{} with those removed before", slots.variations.len());
            return Err(FieldError::new(
                "variations",
                given,
                format!("at most {MAX_VARIATIONS} in an experiment's life"),
            )
            .into());
        }
        check_size(&definition, &slots)?;
        let (version, epoch) = match &active {
            None => (1, 0),
            Some(active) => {
                let changed = begins_epoch(active, &definition);
                let open = active.epochs.iter().filter(|epoch| epoch.receives(now)).count();
                if changed && open >= MAX_EPOCHS {
                    return Err(SaveError::TooManyEpochs(open));
                }
                (active.settings.version + 1, active.settings.epoch + u32::from(changed))
            }
        };
        let status = known.map_or(status, |experiment| experiment.status());
        let settings = Settings::compile(Arc::new(definition), version, epoch, &slots, self.secret())?;
        let definition = Definition::clone(&settings.definition);
        Ok(Some(ExperimentSaved { definition, version, epoch, status, at: now, initial: settings.initial() }))
    }
}

/// Whether tallies kept so far mean something else under the new definition. A goal is compared with what it was in this
/// epoch, even if it was away in between.
fn begins_epoch(active: &Active, after: &Definition) -> bool {
    let before = &active.settings.definition;
    let goal_changed = after.goals.iter().any(|goal| {
        let known = active.slots.goal(&goal.key).and_then(|slot| active.current().measure(slot));
        known.is_some_and(|measure| measure != Measure::of(goal))
    });
    before.segments != after.segments || before.unit != after.unit || before.bucket != after.bucket || goal_changed
}

fn refuse_tombstones(definition: &Definition, active: &Active) -> Result<(), FieldError> {
    for (index, variation) in definition.variations.iter().enumerate() {
        let slot = active.slots.variation(&variation.key);
        if slot.is_some_and(|slot| active.settings.variation_of(slot).is_none()) {
            return Err(FieldError::new(
                format!("variations[{index}].key"),
                &variation.key,
                "a key that was not used before: this variation was removed, and its key still names what it was",
            ));
        }
    }
    Ok(())
}

impl Active {
    /// What is in force after a save: `before` is what was, `None` for a new experiment. A pure function of both, so that
    /// a replay arrives at the same.
    pub(crate) fn saved(before: Option<&Self>, saved: &ExperimentSaved, settings: Settings, slots: Slots) -> Self {
        let mut epochs: Vec<Arc<Epoch>> = before
            .map(|before| before.epochs.iter().filter(|epoch| epoch.receives(saved.at)).cloned().collect())
            .unwrap_or_default();
        match epochs.last_mut() {
            Some(current) if current.number == saved.epoch => *current = Arc::new(current.with_goals(&settings)),
            Some(previous) => {
                *previous = Arc::new(previous.closed(saved.at));
                epochs.push(Arc::new(Epoch::new(saved.epoch, &settings)));
            }
            None => epochs.push(Arc::new(Epoch::new(saved.epoch, &settings))),
        }
        let initial = settings.without_evidence(saved.initial.clone());
        let mut active = Self {
            settings: Arc::new(settings),
            slots: Arc::new(slots),
            epochs,
            all: None,
            model: None,
            initial,
            initial_shares: saved.initial.clone(),
        };
        let kept = before.filter(|before| before.settings.epoch == saved.epoch).and_then(|before| before.all.clone());
        let model = before.and_then(|before| {
            let goes_on = before.settings.epoch == saved.epoch
                && Model::goes_on(&before.settings.definition, &active.settings.definition);
            before.model.clone().filter(|_| goes_on)
        });
        active.model = active
            .settings
            .contextual()
            .map(|contextual| model.unwrap_or_else(|| Model::new(contextual, active.settings.version)));
        active.all = kept.filter(|_| active.wants_all()).or_else(|| active.together());
        active
    }
}
