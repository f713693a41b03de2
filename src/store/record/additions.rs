//! What version 2 adds: a record of version 2 is one of version 1 and its additions behind it; version 3 adds behind these. Where
//! nothing was added, the earlier version is written, so that what it could say is said as it said it.

mod definition;
mod delays;

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::{AllocationId, Features, GoalKind, Timestamp};
use crate::engine::checkpoint::{EpochState, StateRecord};
use crate::engine::epoch::Measure;
use crate::engine::event::{DecisionRecord, Event};
use crate::posterior::bucket::Buckets;
use crate::posterior::tally::{Moments, Tally};
use crate::store::record::Checked;
use crate::store::record::additions::definition::{DefinitionAdditions, StoredMeasure};
pub(super) use crate::store::record::additions::delays::DelaysByVariation;
use crate::store::record::additions::delays::StoredTiming;
use crate::store::record::pool::StoredPool;

/// Of an event.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct EventAdditions {
    cap: Option<i64>,
    definition: Option<DefinitionAdditions>,
    fit: Option<[u8; 8]>,
    effective: Option<u64>,
    features: Vec<(u16, f32)>,
}

/// Of a checkpoint row.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct StateAdditions {
    definition: Option<DefinitionAdditions>,
    capped: u64,
    /// By epoch, by goal in the epoch's order.
    measures: Vec<Vec<StoredMeasure>>,
    learning: StoredMoments,
    control: StoredMoments,
    pool: Option<StoredPool>,
    fit: Option<[u8; 8]>,
    effective: Option<u64>,
    model_since: u32,
    /// By epoch.
    timings: Vec<StoredTiming>,
}

/// By bucket, by variation and goal: Σ value, Σ value².
type StoredMoments = Vec<Vec<(i128, i128)>>;

impl From<&Event> for EventAdditions {
    fn from(event: &Event) -> Self {
        match event {
            Event::Rewarded(rewarded) => {
                Self { cap: rewarded.cap, features: entries(&rewarded.record), ..Self::default() }
            }
            Event::Amended(amended) => Self { features: entries(&amended.record), ..Self::default() },
            Event::Retracted(retracted) => Self { features: entries(&retracted.record), ..Self::default() },
            Event::Exposed(exposed) => Self { features: entries(&exposed.record), ..Self::default() },
            Event::Activated(activated) => Self { features: entries(&activated.record), ..Self::default() },
            Event::AllocationComputed(computed) => {
                Self { fit: computed.fit.map(id_bytes), effective: computed.effective, ..Self::default() }
            }
            Event::ExperimentSaved(saved) => {
                Self { definition: DefinitionAdditions::of(&saved.definition), ..Self::default() }
            }
            // Only a unit that draws each decision anew has features.
            Event::Assigned(_) | Event::Aliased(_) | Event::VisitorErased(_) => Self::default(),
            Event::ProfileSaved(_) | Event::StatusChanged { .. } => Self::default(),
            Event::ExperimentDeleted { .. } | Event::PoolFitted(_) => Self::default(),
        }
    }
}

impl EventAdditions {
    /// The event as it was.
    pub(super) fn add_to(self, event: Event) -> Checked<Event> {
        let Self { cap, definition, fit, effective, features } = self;
        let features = Features::from_entries(features).ok_or("features that are out of order or out of range")?;
        Ok(match event {
            Event::Rewarded(mut rewarded) => {
                if let Some(cap) = cap.filter(|cap| *cap < 1) {
                    return Err(format!("a cap of {cap}"));
                }
                rewarded.cap = cap;
                rewarded.record.features = features;
                Event::Rewarded(rewarded)
            }
            Event::AllocationComputed(mut computed) => {
                let changed = Arc::make_mut(&mut computed);
                (changed.fit, changed.effective) = (fit.map(id_of), effective);
                Event::AllocationComputed(computed)
            }
            Event::ExperimentSaved(mut saved) => {
                if let Some(additions) = definition {
                    additions.add_to(&mut Arc::make_mut(&mut saved).definition)?;
                }
                Event::ExperimentSaved(saved)
            }
            Event::Exposed(mut exposed) => {
                exposed.record.features = features;
                Event::Exposed(exposed)
            }
            Event::Activated(mut activated) => {
                activated.record.features = features;
                Event::Activated(activated)
            }
            Event::Amended(mut amended) => {
                amended.record.features = features;
                Event::Amended(amended)
            }
            Event::Retracted(mut retracted) => {
                retracted.record.features = features;
                Event::Retracted(retracted)
            }
            Event::Assigned(_) | Event::Aliased(_) | Event::VisitorErased(_) => event,
            Event::ProfileSaved(_) | Event::StatusChanged { .. } => event,
            Event::ExperimentDeleted { .. } | Event::PoolFitted(_) => event,
        })
    }
}

impl From<&StateRecord> for StateAdditions {
    fn from(record: &StateRecord) -> Self {
        match record {
            StateRecord::Experiment(experiment) => {
                let mut known = experiment.epochs.iter().flat_map(|epoch| &epoch.goals);
                let plain = |measure: &Measure| measure.kind == GoalKind::Conversion && measure.currency.is_none();
                let all_plain = known.all(|(_, measure)| plain(measure));
                let measures = experiment
                    .epochs
                    .iter()
                    .map(|epoch| epoch.goals.iter().map(|(_, measure)| StoredMeasure::from(*measure)).collect());
                Self {
                    definition: DefinitionAdditions::of(&experiment.definition),
                    capped: experiment.rewards.capped,
                    model_since: experiment.model_since,
                    timings: stored_timings(&experiment.epochs),
                    pool: experiment.pool.as_deref().map(StoredPool::from),
                    measures: if all_plain { Vec::new() } else { measures.collect() },
                    ..Self::default()
                }
            }
            StateRecord::Segment(segment) => Self {
                learning: stored_moments(&segment.learning),
                control: stored_moments(&segment.control),
                fit: segment.allocation.as_ref().and_then(|allocation| allocation.fit).map(id_bytes),
                effective: segment.allocation.as_ref().and_then(|allocation| allocation.effective),
                ..Self::default()
            },
            StateRecord::Model(_) | StateRecord::Deleted(_) => Self::default(),
        }
    }
}

impl StateAdditions {
    /// The part of the state as it was.
    pub(super) fn add_to(self, record: StateRecord) -> Checked<StateRecord> {
        let Self { definition, capped, measures, learning, control, pool, fit, effective, model_since, timings } = self;
        Ok(match record {
            StateRecord::Experiment(mut experiment) => {
                if let Some(additions) = definition {
                    additions.add_to(Arc::make_mut(&mut experiment.definition))?;
                }
                experiment.rewards.capped = capped;
                experiment.model_since = model_since;
                for (epoch, timing) in experiment.epochs.iter_mut().zip(timings) {
                    timing.add_to(epoch)?;
                }
                experiment.pool = pool.map(|pool| pool.try_into().map(Arc::new)).transpose()?;
                for (epoch, measures) in experiment.epochs.iter_mut().zip(measures) {
                    for ((_, measure), stored) in epoch.goals.iter_mut().zip(measures) {
                        (measure.kind, measure.currency) = stored.restore()?;
                    }
                }
                StateRecord::Experiment(experiment)
            }
            StateRecord::Segment(mut segment) => {
                segment.learning = with_moments(segment.learning, learning)?;
                segment.control = with_moments(segment.control, control)?;
                if let Some(allocation) = &mut segment.allocation {
                    (allocation.fit, allocation.effective) = (fit.map(id_of), effective);
                }
                StateRecord::Segment(segment)
            }
            StateRecord::Model(_) | StateRecord::Deleted(_) => record,
        })
    }
}

/// Nothing where no epoch has anything to say.
fn stored_timings(epochs: &[EpochState]) -> Vec<StoredTiming> {
    let silent = |epoch: &EpochState| epoch.newest == Timestamp::ZERO && epoch.delays.is_none();
    if epochs.iter().all(silent) {
        return Vec::new();
    }
    epochs.iter().map(StoredTiming::from).collect()
}

fn entries(record: &DecisionRecord) -> Vec<(u16, f32)> {
    record.features.entries().to_vec()
}

const fn id_bytes(id: AllocationId) -> [u8; 8] {
    id.0.to_be_bytes()
}

const fn id_of(bytes: [u8; 8]) -> AllocationId {
    AllocationId(u64::from_be_bytes(bytes))
}

/// Nothing where no bucket has a value.
fn stored_moments(buckets: &Buckets) -> StoredMoments {
    let all = buckets.as_slice().iter().map(|bucket| bucket.tally.all_moments());
    if all.clone().all(<[Moments]>::is_empty) {
        return Vec::new();
    }
    all.map(|moments| moments.iter().map(|m| (m.sum, m.squares)).collect()).collect()
}

fn with_moments(buckets: Buckets, stored: StoredMoments) -> Checked<Buckets> {
    if stored.is_empty() {
        return Ok(buckets);
    }
    if stored.len() != buckets.as_slice().len() {
        return Err("sums of values for other time buckets".into());
    }
    let coalesced_to = buckets.coalesced_to();
    let restored = buckets.as_slice().iter().zip(stored).map(|(bucket, moments)| {
        let moments = moments.into_iter().map(|(sum, squares)| Moments { sum, squares }).collect();
        let mut bucket = bucket.clone();
        bucket.tally = Tally::from_parts(bucket.tally.shape().1, bucket.tally.counts().to_vec(), moments)
            .ok_or("sums of values for other variations or goals")?;
        Ok(bucket)
    });
    let restored = restored.collect::<Checked<Vec<_>>>()?;
    Buckets::from_parts(restored, coalesced_to).ok_or_else(|| "time buckets that do not fit".into())
}
