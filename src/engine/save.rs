//! Checking a definition and preparing its event: versions, epochs, slots.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::{Span, Timestamp};
use crate::engine::Engine;
use crate::engine::definition::{Definition, Role, Status};
use crate::engine::error::{FieldError, NoExperiment, SaveError};
use crate::engine::event::ExperimentSaved;
use crate::engine::experiment::{Active, Epoch};
use crate::engine::settings::{Settings, Slots};
use crate::policy::allocation::check_floor;

/// Most variations of an experiment, and most there ever were.
pub const MAX_VARIATIONS: usize = 256;
/// Most goals of an experiment.
pub const MAX_GOALS: usize = 32;
/// Longest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 65_536;
/// Most epochs whose receipts are still valid.
pub const MAX_EPOCHS: usize = 64;
/// Most bytes of one segment's tallies: half of what a checkpoint's row can hold, for the control group has as many.
const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// Day-long buckets of a segment, at most.
const DAY_BUCKETS: u64 = 402;
const LONGEST_WINDOW: Span = Span::DAY.times(365);

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

/// Whether tallies kept so far mean something else under the new definition. A goal's window is compared with the one it had
/// in this epoch, even if it was away in between.
fn begins_epoch(active: &Active, after: &Definition) -> bool {
    let before = &active.settings.definition;
    let window_changed = after.goals.iter().any(|goal| {
        let known = active.slots.goal(&goal.key).and_then(|slot| active.current().window(slot));
        known.is_some_and(|window| window != goal.window)
    });
    before.segments != after.segments || before.unit != after.unit || before.bucket != after.bucket || window_changed
}

/// Whether a segment's tallies stay small enough to be saved: every bucket counts every variation and goal there ever was.
fn check_size(definition: &Definition, slots: &Slots) -> Result<(), FieldError> {
    let longest = definition.goals.iter().map(|goal| goal.window).max().unwrap_or_default();
    let fine = (longest.as_millis() + Span::DAY.as_millis()) / definition.bucket.as_millis().max(1);
    let counts = (slots.variations.len() * (1 + slots.goals.len())) as u64;
    let bytes = (fine + DAY_BUCKETS) * (32 + 8 * counts);
    if bytes <= MAX_SEGMENT_BYTES {
        return Ok(());
    }
    Err(FieldError::new(
        "bucket",
        format!("{}, with windows up to {longest} and {counts} counts a bucket,", definition.bucket),
        format!(
            "longer buckets, shorter windows, or fewer variations and goals: a segment could take {bytes} bytes, at most {MAX_SEGMENT_BYTES} are kept"
        ),
    ))
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

/// Checks what a definition says of itself, but for conditions and the policy, which compiling checks.
fn check(definition: &Definition) -> Result<(), FieldError> {
    check_variations(definition)?;
    check_goals(definition)?;
    let bucket = definition.bucket;
    let (minute, day) = (Span::from_millis(60_000), Span::DAY);
    if bucket < minute || bucket > day || !day.as_millis().is_multiple_of(bucket.as_millis()) {
        return Err(FieldError::new("bucket", bucket, "a length from 1m to 1d that divides a day"));
    }
    let schedule = &definition.schedule;
    if let (Some(starts), Some(ends)) = (schedule.starts, schedule.ends)
        && starts >= ends
    {
        return Err(FieldError::new(
            "schedule.ends",
            format!("{} ms", ends.as_millis()),
            "a time after schedule.starts",
        ));
    }
    check_floor(definition.policy.floor, definition.variations.len())?;
    Ok(())
}

fn check_variations(definition: &Definition) -> Result<(), FieldError> {
    let variations = &definition.variations;
    if variations.is_empty() || variations.len() > MAX_VARIATIONS {
        return Err(FieldError::new(
            "variations",
            format!("{} of them", variations.len()),
            format!("1 to {MAX_VARIATIONS}"),
        ));
    }
    let mut seen = HashSet::new();
    for (index, variation) in variations.iter().enumerate() {
        if !seen.insert(&variation.key) {
            return Err(FieldError::new(format!("variations[{index}].key"), &variation.key, "each key once"));
        }
        if variation.payload.len() > MAX_PAYLOAD_BYTES {
            let given = format!("{} bytes", variation.payload.len());
            return Err(FieldError::new(
                format!("variations[{index}].payload"),
                given,
                format!("at most {MAX_PAYLOAD_BYTES} bytes"),
            ));
        }
    }
    Ok(())
}

fn check_goals(definition: &Definition) -> Result<(), FieldError> {
    let goals = &definition.goals;
    if goals.is_empty() || goals.len() > MAX_GOALS {
        return Err(FieldError::new("goals", format!("{} of them", goals.len()), format!("1 to {MAX_GOALS}")));
    }
    let mut seen = HashSet::new();
    for (index, goal) in goals.iter().enumerate() {
        if !seen.insert(&goal.key) {
            return Err(FieldError::new(format!("goals[{index}].key"), &goal.key, "each key once"));
        }
        if goal.window < Span::SECOND || goal.window > LONGEST_WINDOW {
            return Err(FieldError::new(format!("goals[{index}].window"), goal.window, "a length from 1s to 365d"));
        }
    }
    let primaries = goals.iter().filter(|goal| goal.role == Role::Primary).count();
    if primaries != 1 {
        return Err(FieldError::new("goals", format!("{primaries} of role primary"), "exactly one of role primary"));
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
            Some(current) if current.number == saved.epoch => *current = Arc::new(current.with_windows(&settings)),
            Some(previous) => {
                *previous = Arc::new(previous.closed(saved.at));
                epochs.push(Arc::new(Epoch::new(saved.epoch, &settings)));
            }
            None => epochs.push(Arc::new(Epoch::new(saved.epoch, &settings))),
        }
        let initial = settings.allocation(0, saved.initial.clone());
        let mut active = Self {
            settings: Arc::new(settings),
            slots: Arc::new(slots),
            epochs,
            pooled: None,
            initial,
            initial_shares: saved.initial.clone(),
        };
        let kept =
            before.filter(|before| before.settings.epoch == saved.epoch).and_then(|before| before.pooled.clone());
        active.pooled = kept.filter(|_| active.pools()).or_else(|| active.pool());
        active
    }
}
