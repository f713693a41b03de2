//! What version 3 adds, behind what version 2 does: how several rewards of a decision come together, and what is amended and
//! retracted.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::{Aggregation, Span};
use crate::engine::checkpoint::StateRecord;
use crate::engine::definition::Definition;
use crate::engine::event::Event;
use crate::engine::ledger::{Fact, LedgerEntry};
use crate::store::record::Checked;
use crate::store::record::additions::DelaysByVariation;

/// Of an event.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct EventAdditions {
    aggregation: StoredAggregation,
    /// Of a definition's goals.
    goals: Vec<StoredAggregation>,
    amendments: u64,
}

/// Of a checkpoint row.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct StateAdditions {
    /// Of the definition's goals.
    goals: Vec<StoredAggregation>,
    /// By epoch, by goal in the epoch's order.
    measures: Vec<Vec<StoredAggregation>>,
    amended: u64,
    retracted: u64,
    /// In a segment's tallies, and in those that its allocation was computed from.
    amendments: (u64, u64),
    delays: DelaysByVariation,
}

/// Of a ledger entry.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct EntryAdditions {
    delay: u64,
    aggregation: StoredAggregation,
    cap: Option<i64>,
}

#[derive(Encode, BorrowDecode, Default, Clone, Copy, PartialEq)]
enum StoredAggregation {
    #[default]
    First,
    Sum,
    Last,
}

impl From<Aggregation> for StoredAggregation {
    fn from(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::First => Self::First,
            Aggregation::Sum => Self::Sum,
            Aggregation::Last => Self::Last,
        }
    }
}

impl From<StoredAggregation> for Aggregation {
    fn from(stored: StoredAggregation) -> Self {
        match stored {
            StoredAggregation::First => Self::First,
            StoredAggregation::Sum => Self::Sum,
            StoredAggregation::Last => Self::Last,
        }
    }
}

impl From<&Event> for EventAdditions {
    fn from(event: &Event) -> Self {
        match event {
            Event::Rewarded(rewarded) => Self { aggregation: rewarded.aggregation.into(), ..Self::default() },
            Event::ExperimentSaved(saved) => Self { goals: goals_of(&saved.definition), ..Self::default() },
            Event::AllocationComputed(computed) => Self { amendments: computed.amendments, ..Self::default() },
            Event::Exposed(_)
            | Event::Assigned(_)
            | Event::Aliased(_)
            | Event::VisitorErased(_)
            | Event::ProfileSaved(_)
            | Event::Activated(_)
            | Event::Amended(_)
            | Event::Retracted(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::PoolFitted(_) => Self::default(),
        }
    }
}

impl EventAdditions {
    /// The event as it was.
    pub(super) fn add_to(self, mut event: Event) -> Checked<Event> {
        match &mut event {
            Event::Rewarded(rewarded) => rewarded.aggregation = self.aggregation.into(),
            Event::ExperimentSaved(saved) => add_goals(&self.goals, &mut Arc::make_mut(saved).definition)?,
            Event::AllocationComputed(computed) => Arc::make_mut(computed).amendments = self.amendments,
            Event::Exposed(_)
            | Event::Assigned(_)
            | Event::Aliased(_)
            | Event::VisitorErased(_)
            | Event::ProfileSaved(_)
            | Event::Activated(_)
            | Event::Amended(_)
            | Event::Retracted(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::PoolFitted(_) => {}
        }
        Ok(event)
    }
}

impl From<&StateRecord> for StateAdditions {
    fn from(record: &StateRecord) -> Self {
        match record {
            StateRecord::Experiment(experiment) => {
                let epochs = experiment.epochs.iter().map(|epoch| &epoch.goals);
                let measures =
                    epochs.map(|goals| goals.iter().map(|(_, measure)| measure.aggregation.into()).collect());
                let measures: Vec<Vec<StoredAggregation>> = measures.collect();
                let said = measures.iter().flatten().any(|aggregation| *aggregation != StoredAggregation::First);
                Self {
                    goals: goals_of(&experiment.definition),
                    measures: if said { measures } else { Vec::new() },
                    amended: experiment.rewards.amended,
                    retracted: experiment.rewards.retracted,
                    delays: DelaysByVariation::from(experiment),
                    ..Self::default()
                }
            }
            StateRecord::Segment(segment) => {
                let computed_from = segment.allocation.as_ref().map_or(0, |allocation| allocation.amendments);
                Self { amendments: (segment.amendments, computed_from), ..Self::default() }
            }
            StateRecord::Model(_) | StateRecord::Deleted(_) => Self::default(),
        }
    }
}

impl StateAdditions {
    /// The part of the state as it was.
    pub(super) fn add_to(self, mut record: StateRecord) -> Checked<StateRecord> {
        match &mut record {
            StateRecord::Experiment(experiment) => {
                add_goals(&self.goals, Arc::make_mut(&mut experiment.definition))?;
                for (epoch, measures) in experiment.epochs.iter_mut().zip(self.measures) {
                    for ((_, measure), aggregation) in epoch.goals.iter_mut().zip(measures) {
                        measure.aggregation = aggregation.into();
                    }
                }
                (experiment.rewards.amended, experiment.rewards.retracted) = (self.amended, self.retracted);
                self.delays.add_to(experiment)?;
            }
            StateRecord::Segment(segment) => {
                segment.amendments = self.amendments.0;
                if let Some(allocation) = &mut segment.allocation {
                    allocation.amendments = self.amendments.1;
                }
            }
            StateRecord::Model(_) | StateRecord::Deleted(_) => {}
        }
        Ok(record)
    }
}

impl From<&LedgerEntry> for EntryAdditions {
    fn from(entry: &LedgerEntry) -> Self {
        match &entry.fact {
            Fact::Activated { in_time: _, delay } => Self { delay: delay.as_millis(), ..Self::default() },
            Fact::Rewarded(reward) => {
                Self { delay: reward.delay.as_millis(), aggregation: reward.aggregation.into(), cap: reward.cap }
            }
            Fact::Corrected { .. } | Fact::Erased => Self::default(),
        }
    }
}

impl EntryAdditions {
    /// The entry as it was. One of an earlier version does not say how long it took: it counts as if it had come at once.
    pub(super) fn add_to(self, mut entry: LedgerEntry) -> Checked<LedgerEntry> {
        if let Some(cap) = self.cap.filter(|cap| *cap < 1) {
            return Err(format!("a cap of {cap}"));
        }
        match &mut entry.fact {
            Fact::Activated { in_time: _, delay } => *delay = Span::from_millis(self.delay),
            Fact::Rewarded(reward) => {
                reward.delay = Span::from_millis(self.delay);
                (reward.aggregation, reward.cap) = (self.aggregation.into(), self.cap);
            }
            Fact::Corrected { .. } | Fact::Erased => {}
        }
        Ok(entry)
    }
}

/// Nothing where every goal's first reward counts.
fn goals_of(definition: &Definition) -> Vec<StoredAggregation> {
    if definition.goals.iter().all(|goal| goal.aggregation == Aggregation::First) {
        return Vec::new();
    }
    definition.goals.iter().map(|goal| goal.aggregation.into()).collect()
}

fn add_goals(stored: &[StoredAggregation], definition: &mut Definition) -> Checked<()> {
    if !stored.is_empty() && stored.len() != definition.goals.len() {
        return Err("ways to count the rewards of other goals than the definition has".into());
    }
    for (goal, aggregation) in definition.goals.iter_mut().zip(stored) {
        goal.aggregation = (*aggregation).into();
    }
    Ok(())
}
