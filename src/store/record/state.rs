//! Checkpoint rows.

use std::borrow::Cow;
use std::sync::Arc;

use bincode::de::BorrowDecoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Encode};

use crate::domain::{Aggregation, ExperimentKey, GoalKey, GoalKind, SegmentKey, Slot, Span, Timestamp, VariationKey};
use crate::engine::checkpoint::{
    AllocationState, EpochState, ExperimentState, ModelState, RewardCounts, RowName, SegmentState, StateRecord,
};
use crate::engine::epoch::Measure;
use crate::posterior::bucket::{Bucket, BucketLengths, Buckets};
use crate::posterior::learner::State;
use crate::posterior::tally::Tally;
use crate::store::record::Checked;
use crate::store::record::definition::{StoredDefinition, StoredStatus, goal_key, variation_key};
use crate::store::record::event::{StoredShares, experiment_key, segment_key};

#[derive(Encode, BorrowDecode)]
pub(super) enum StoredState<'a> {
    Experiment {
        definition: Box<StoredDefinition<'a>>,
        version: u32,
        status: StoredStatus,
        variations: Vec<&'a str>,
        goals: Vec<&'a str>,
        epochs: Vec<StoredEpoch>,
        initial: StoredShares,
        recorded: u64,
        repeated: u64,
        late: u64,
        newest_learned: Option<u64>,
    },
    Segment {
        experiment: &'a str,
        epoch: u32,
        segment: Option<&'a str>,
        learning: StoredBuckets<'a>,
        control: StoredBuckets<'a>,
        allocation: Option<StoredAllocation>,
    },
    Deleted {
        experiment: &'a str,
    },
    Model {
        experiment: &'a str,
        epoch: u32,
        since: u32,
        events: u64,
        due_at: u64,
        variation: u16,
        counts: Vec<u64>,
        numbers: Vec<f64>,
    },
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredEpoch {
    number: u32,
    fine: u64,
    settled: u64,
    closed_at: Option<u64>,
    windows: Vec<(u16, u64)>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredBuckets<'a> {
    buckets: Vec<StoredBucket<'a>>,
    coalesced_to: u64,
}

#[derive(Encode, BorrowDecode)]
struct StoredBucket<'a> {
    start: u64,
    end: u64,
    goals: u32,
    counts: Counts<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredAllocation {
    definition: u32,
    evidence: u64,
    shares: StoredShares,
}

/// Counts of a tally, borrowed on the way out: a checkpoint writes millions of them, between commits. Numbers of variable
/// length cannot be borrowed on the way in.
struct Counts<'a>(Cow<'a, [u64]>);

impl Encode for Counts<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.as_ref().encode(encoder)
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for Counts<'_> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Vec::borrow_decode(decoder).map(|counts| Self(Cow::Owned(counts)))
    }
}

/// The key of a record's row: the experiment's key, a byte that no key contains, then what the row is. So rows of one
/// experiment stand together, and `hero` and `hero-2` do not mix. At most 632 bytes.
pub(super) fn key(record: &StateRecord) -> Vec<u8> {
    const WHOLE: u8 = 0;
    match record {
        StateRecord::Experiment(experiment) => begin_key(&experiment.definition.key, WHOLE),
        StateRecord::Deleted(experiment) => begin_key(experiment, WHOLE),
        StateRecord::Segment(segment) => segment_row_key(&segment.experiment, segment.epoch, segment.segment.as_ref()),
        StateRecord::Model(model) => model_row_key(&model.experiment, model.variation),
    }
}

/// The key of the row that a name stands for.
pub(super) fn row_key(name: &RowName) -> Vec<u8> {
    match name {
        RowName::Segment(name) => segment_row_key(&name.experiment, name.epoch, name.segment.as_ref()),
        RowName::Model { experiment, variation } => model_row_key(experiment, *variation),
    }
}

fn model_row_key(experiment: &ExperimentKey, variation: Slot) -> Vec<u8> {
    const MODEL: u8 = 2;
    let mut key = begin_key(experiment, MODEL);
    key.extend(variation.0.to_be_bytes());
    key
}

/// The key of a segment's row.
fn segment_row_key(experiment: &ExperimentKey, epoch: u32, segment: Option<&SegmentKey>) -> Vec<u8> {
    const SEGMENT: u8 = 1;
    let mut key = begin_key(experiment, SEGMENT);
    key.extend(epoch.to_be_bytes());
    if let Some(name) = segment {
        key.push(1);
        key.extend(name.as_str().as_bytes());
    }
    key
}

fn begin_key(experiment: &ExperimentKey, kind: u8) -> Vec<u8> {
    let mut key = experiment.as_str().as_bytes().to_vec();
    key.extend([0, kind]);
    key
}

impl<'a> From<&'a StateRecord> for StoredState<'a> {
    fn from(record: &'a StateRecord) -> Self {
        match record {
            StateRecord::Experiment(experiment) => Self::Experiment {
                definition: Box::new((&*experiment.definition).into()),
                version: experiment.version,
                status: experiment.status.into(),
                variations: experiment.variations.iter().map(VariationKey::as_str).collect(),
                goals: experiment.goals.iter().map(GoalKey::as_str).collect(),
                epochs: experiment.epochs.iter().map(StoredEpoch::from).collect(),
                initial: (&experiment.initial).into(),
                recorded: experiment.rewards.recorded,
                repeated: experiment.rewards.repeated,
                late: experiment.rewards.late,
                newest_learned: experiment.rewards.newest.map(Timestamp::as_millis),
            },
            StateRecord::Segment(segment) => Self::Segment {
                experiment: segment.experiment.as_str(),
                epoch: segment.epoch,
                segment: segment.segment.as_ref().map(SegmentKey::as_str),
                learning: (&segment.learning).into(),
                control: (&segment.control).into(),
                allocation: segment.allocation.as_ref().map(StoredAllocation::from),
            },
            StateRecord::Model(model) => Self::Model {
                experiment: model.experiment.as_str(),
                epoch: model.epoch,
                since: model.since,
                events: model.events,
                due_at: model.due_at,
                variation: model.variation.0,
                counts: model.learner.counts.clone(),
                numbers: model.learner.numbers.clone(),
            },
            StateRecord::Deleted(experiment) => Self::Deleted { experiment: experiment.as_str() },
        }
    }
}

impl TryFrom<StoredState<'_>> for StateRecord {
    type Error = String;

    fn try_from(stored: StoredState<'_>) -> Checked<Self> {
        Ok(match stored {
            StoredState::Experiment {
                definition,
                version,
                status,
                variations,
                goals,
                epochs,
                initial,
                recorded,
                repeated,
                late,
                newest_learned,
            } => Self::Experiment(ExperimentState {
                definition: Arc::new((*definition).try_into()?),
                version,
                status: status.into(),
                variations: variations.into_iter().map(variation_key).collect::<Checked<_>>()?,
                goals: goals.into_iter().map(goal_key).collect::<Checked<_>>()?,
                epochs: epochs.into_iter().map(StoredEpoch::restore).collect::<Checked<_>>()?,
                initial: initial.try_into()?,
                rewards: RewardCounts {
                    recorded,
                    repeated,
                    late,
                    capped: 0,
                    amended: 0,
                    retracted: 0,
                    newest: newest_learned.map(Timestamp::from_millis),
                },
                model_since: 0,
                pool: None,
            }),
            StoredState::Segment { experiment, epoch, segment, learning, control, allocation } => {
                Self::Segment(SegmentState {
                    experiment: experiment_key(experiment)?,
                    epoch,
                    segment: segment.map(segment_key).transpose()?,
                    learning: learning.try_into()?,
                    control: control.try_into()?,
                    amendments: 0,
                    allocation: allocation.map(StoredAllocation::restore).transpose()?,
                })
            }
            StoredState::Model { experiment, epoch, since, events, due_at, variation, counts, numbers } => {
                Self::Model(ModelState {
                    experiment: experiment_key(experiment)?,
                    epoch,
                    since,
                    events,
                    due_at,
                    variation: Slot(variation),
                    // Whether they fit is for the model to say: it alone knows what it is made of.
                    learner: State { counts, numbers },
                })
            }
            StoredState::Deleted { experiment } => Self::Deleted(experiment_key(experiment)?),
        })
    }
}

impl From<&EpochState> for StoredEpoch {
    fn from(epoch: &EpochState) -> Self {
        Self {
            number: epoch.number,
            fine: epoch.lengths.fine.as_millis(),
            settled: epoch.lengths.settled.as_millis(),
            closed_at: epoch.closed_at.map(Timestamp::as_millis),
            windows: epoch.goals.iter().map(|(goal, measure)| (goal.0, measure.window.as_millis())).collect(),
        }
    }
}

impl StoredEpoch {
    fn restore(self) -> Checked<EpochState> {
        if self.fine == 0 {
            return Err("time buckets without length".into());
        }
        Ok(EpochState {
            number: self.number,
            lengths: BucketLengths { fine: Span::from_millis(self.fine), settled: Span::from_millis(self.settled) },
            closed_at: self.closed_at.map(Timestamp::from_millis),
            goals: self.windows.into_iter().map(|(goal, window)| (Slot(goal), converting(window))).collect(),
            newest: Timestamp::ZERO,
            delays: None,
        })
    }
}

/// What every goal of version 1 measures.
const fn converting(window: u64) -> Measure {
    let (kind, aggregation) = (GoalKind::Conversion, Aggregation::First);
    Measure { window: Span::from_millis(window), kind, currency: None, aggregation }
}

impl<'a> From<&'a Buckets> for StoredBuckets<'a> {
    fn from(buckets: &'a Buckets) -> Self {
        let stored = buckets.as_slice().iter().map(|bucket| StoredBucket {
            start: bucket.start.as_millis(),
            end: bucket.end.as_millis(),
            goals: u32::try_from(bucket.tally.shape().1).expect("goals are numbered by 16 bits"),
            counts: Counts(Cow::Borrowed(bucket.tally.counts())),
        });
        Self { buckets: stored.collect(), coalesced_to: buckets.coalesced_to().as_millis() }
    }
}

impl TryFrom<StoredBuckets<'_>> for Buckets {
    type Error = String;

    fn try_from(stored: StoredBuckets<'_>) -> Checked<Self> {
        let buckets = stored.buckets.into_iter().map(StoredBucket::restore).collect::<Checked<_>>()?;
        Self::from_parts(buckets, Timestamp::from_millis(stored.coalesced_to))
            .ok_or_else(|| "time buckets that are empty, overlap or stand out of order".into())
    }
}

impl StoredBucket<'_> {
    fn restore(self) -> Checked<Bucket> {
        let goals = usize::try_from(self.goals).map_err(|error| error.to_string())?;
        let length = self.counts.0.len();
        let tally = Tally::from_parts(goals, self.counts.0.into_owned(), Vec::new())
            .ok_or_else(|| format!("{length} counts do not fit {goals} goals"))?;
        Ok(Bucket { start: Timestamp::from_millis(self.start), end: Timestamp::from_millis(self.end), tally })
    }
}

impl From<&AllocationState> for StoredAllocation {
    fn from(allocation: &AllocationState) -> Self {
        Self { definition: allocation.definition, evidence: allocation.evidence, shares: (&allocation.shares).into() }
    }
}

impl StoredAllocation {
    fn restore(self) -> Checked<AllocationState> {
        let shares = self.shares.try_into()?;
        let (definition, evidence, amendments) = (self.definition, self.evidence, 0);
        Ok(AllocationState { definition, evidence, effective: None, fit: None, amendments, shares })
    }
}
