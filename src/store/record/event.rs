//! Events.

mod decision;

pub(super) use crate::store::record::event::decision::{StoredDecision, StoredOwn};

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::{
    Aggregation, AllocationId, DecisionId, ExperimentKey, RewardId, SegmentKey, Slot, Span, Timestamp, VisitorToken,
};
use crate::engine::assignment::Assignment;
use crate::engine::event::{
    Activated, AllocationComputed, Amended, Assigned, Event, ExperimentSaved, Exposed, ProfileSaved, Retracted,
    Rewarded, Shares,
};
use crate::store::record::Checked;
use crate::store::record::definition::{StoredDefinition, StoredStatus};
use crate::store::record::pool::StoredPool;
use crate::store::record::visitor::{StoredAliased, StoredAssignment, StoredErased};

#[derive(Encode, BorrowDecode)]
pub(super) enum StoredEvent<'a> {
    Exposed {
        record: StoredDecision<'a>,
        excluded: Vec<u16>,
    },
    Activated {
        record: StoredDecision<'a>,
        at: u64,
        window: u64,
    },
    Rewarded {
        record: StoredDecision<'a>,
        deferred: bool,
        goal: u16,
        value: i64,
        reward_id: &'a str,
        arrived_at: u64,
        occurred_at: Option<u64>,
        window: u64,
    },
    AllocationComputed {
        experiment: &'a str,
        epoch: u32,
        definition: u32,
        segment: Option<&'a str>,
        at: u64,
        evidence: u64,
        shares: StoredShares,
    },
    ExperimentSaved {
        definition: Box<StoredDefinition<'a>>,
        version: u32,
        epoch: u32,
        status: StoredStatus,
        at: u64,
        initial: StoredShares,
    },
    StatusChanged {
        experiment: &'a str,
        status: StoredStatus,
        at: u64,
    },
    ExperimentDeleted {
        experiment: &'a str,
        at: u64,
    },
    PoolFitted(Box<StoredPool>),
    Amended {
        record: StoredDecision<'a>,
        deferred: bool,
        goal: u16,
        value: i64,
        reward_id: &'a str,
        arrived_at: u64,
    },
    Retracted {
        record: StoredDecision<'a>,
        deferred: bool,
        goal: u16,
        reward_id: &'a str,
        arrived_at: u64,
    },
    Assigned {
        assignment: StoredAssignment<'a>,
        visitor: [u8; 16],
        excluded: Vec<u16>,
        replaces: Option<[u8; 16]>,
    },
    Aliased(Box<StoredAliased<'a>>),
    VisitorErased(Box<StoredErased<'a>>),
    ProfileSaved {
        visitor: [u8; 16],
        at: u64,
    },
}

#[derive(Encode, BorrowDecode, PartialEq)]
pub(super) struct StoredShares {
    id: [u8; 8],
    variations: Vec<u16>,
    shares: Vec<f64>,
}

impl<'a> From<&'a Event> for StoredEvent<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Exposed(exposed) => {
                Self::Exposed { record: (&exposed.record).into(), excluded: numbers(&exposed.excluded) }
            }
            Event::Assigned(assigned) => Self::Assigned {
                assignment: StoredAssignment { record: (&assigned.record).into(), deferred: assigned.deferred },
                visitor: assigned.visitor.to_bytes(),
                excluded: numbers(&assigned.excluded),
                replaces: assigned.replaces.map(DecisionId::to_bytes),
            },
            Event::Aliased(aliased) => Self::Aliased(Box::new((&**aliased).into())),
            Event::VisitorErased(erased) => Self::VisitorErased(Box::new((&**erased).into())),
            Event::ProfileSaved(saved) => {
                Self::ProfileSaved { visitor: saved.visitor.to_bytes(), at: saved.at.as_millis() }
            }
            Event::Activated(activated) => Self::Activated {
                record: (&activated.record).into(),
                at: activated.at.as_millis(),
                window: activated.window.as_millis(),
            },
            Event::Rewarded(rewarded) => Self::Rewarded {
                record: (&rewarded.record).into(),
                deferred: rewarded.deferred,
                goal: rewarded.goal.0,
                value: rewarded.value,
                reward_id: rewarded.reward_id.as_str(),
                arrived_at: rewarded.arrived_at.as_millis(),
                occurred_at: rewarded.occurred_at.map(Timestamp::as_millis),
                window: rewarded.window.as_millis(),
            },
            Event::Amended(amended) => Self::Amended {
                record: (&amended.record).into(),
                deferred: amended.deferred,
                goal: amended.goal.0,
                value: amended.value,
                reward_id: amended.reward_id.as_str(),
                arrived_at: amended.arrived_at.as_millis(),
            },
            Event::Retracted(retracted) => Self::Retracted {
                record: (&retracted.record).into(),
                deferred: retracted.deferred,
                goal: retracted.goal.0,
                reward_id: retracted.reward_id.as_str(),
                arrived_at: retracted.arrived_at.as_millis(),
            },
            Event::AllocationComputed(computed) => Self::AllocationComputed {
                experiment: computed.experiment.as_str(),
                epoch: computed.epoch,
                definition: computed.definition,
                segment: computed.segment.as_ref().map(SegmentKey::as_str),
                at: computed.at.as_millis(),
                evidence: computed.evidence,
                shares: (&computed.shares).into(),
            },
            Event::PoolFitted(fitted) => Self::PoolFitted(Box::new((&**fitted).into())),
            Event::ExperimentSaved(saved) => Self::ExperimentSaved {
                definition: Box::new((&saved.definition).into()),
                version: saved.version,
                epoch: saved.epoch,
                status: saved.status.into(),
                at: saved.at.as_millis(),
                initial: (&saved.initial).into(),
            },
            Event::StatusChanged { experiment, status, at } => {
                Self::StatusChanged { experiment: experiment.as_str(), status: (*status).into(), at: at.as_millis() }
            }
            Event::ExperimentDeleted { experiment, at } => {
                Self::ExperimentDeleted { experiment: experiment.as_str(), at: at.as_millis() }
            }
        }
    }
}

impl TryFrom<StoredEvent<'_>> for Event {
    type Error = String;

    fn try_from(stored: StoredEvent<'_>) -> Checked<Self> {
        Ok(match stored {
            StoredEvent::Exposed { record, excluded } => {
                Self::Exposed(Exposed { record: record.try_into()?, excluded: slots(excluded) })
            }
            StoredEvent::Activated { record, at, window } => Self::Activated(Activated {
                record: record.try_into()?,
                at: Timestamp::from_millis(at),
                window: Span::from_millis(window),
            }),
            StoredEvent::Rewarded { record, deferred, goal, value, reward_id, arrived_at, occurred_at, window } => {
                Self::Rewarded(Rewarded {
                    record: record.try_into()?,
                    deferred,
                    goal: Slot(goal),
                    value,
                    reward_id: known_id(reward_id)?,
                    arrived_at: Timestamp::from_millis(arrived_at),
                    occurred_at: occurred_at.map(Timestamp::from_millis),
                    window: Span::from_millis(window),
                    cap: None,
                    aggregation: Aggregation::First,
                })
            }
            StoredEvent::Amended { record, deferred, goal, value, reward_id, arrived_at } => Self::Amended(Amended {
                record: record.try_into()?,
                deferred,
                goal: Slot(goal),
                value,
                reward_id: known_id(reward_id)?,
                arrived_at: Timestamp::from_millis(arrived_at),
            }),
            StoredEvent::Retracted { record, deferred, goal, reward_id, arrived_at } => Self::Retracted(Retracted {
                record: record.try_into()?,
                deferred,
                goal: Slot(goal),
                reward_id: known_id(reward_id)?,
                arrived_at: Timestamp::from_millis(arrived_at),
            }),
            StoredEvent::AllocationComputed { experiment, epoch, definition, segment, at, evidence, shares } => {
                Self::AllocationComputed(Arc::new(AllocationComputed {
                    experiment: experiment_key(experiment)?,
                    epoch,
                    definition,
                    segment: segment.map(segment_key).transpose()?,
                    at: Timestamp::from_millis(at),
                    evidence,
                    effective: None,
                    fit: None,
                    amendments: 0,
                    shares: shares.try_into()?,
                }))
            }
            StoredEvent::ExperimentSaved { definition, version, epoch, status, at, initial } => {
                Self::ExperimentSaved(Arc::new(ExperimentSaved {
                    definition: (*definition).try_into()?,
                    version,
                    epoch,
                    status: status.into(),
                    at: Timestamp::from_millis(at),
                    initial: initial.try_into()?,
                }))
            }
            StoredEvent::StatusChanged { experiment, status, at } => Self::StatusChanged {
                experiment: experiment_key(experiment)?,
                status: status.into(),
                at: Timestamp::from_millis(at),
            },
            StoredEvent::Assigned { assignment, visitor, excluded, replaces } => {
                let Assignment { record, deferred } = assignment.try_into()?;
                Self::Assigned(Assigned {
                    record,
                    visitor: VisitorToken::from_bytes(visitor),
                    deferred,
                    excluded: slots(excluded),
                    replaces: replaces.map(DecisionId::from_bytes),
                })
            }
            StoredEvent::Aliased(aliased) => Self::Aliased(Arc::new((*aliased).try_into()?)),
            StoredEvent::VisitorErased(erased) => Self::VisitorErased(Arc::new((*erased).try_into()?)),
            StoredEvent::ProfileSaved { visitor, at } => Self::ProfileSaved(ProfileSaved {
                visitor: VisitorToken::from_bytes(visitor),
                at: Timestamp::from_millis(at),
            }),
            StoredEvent::PoolFitted(fitted) => Self::PoolFitted(Arc::new((*fitted).try_into()?)),
            StoredEvent::ExperimentDeleted { experiment, at } => {
                Self::ExperimentDeleted { experiment: experiment_key(experiment)?, at: Timestamp::from_millis(at) }
            }
        })
    }
}

impl From<&Shares> for StoredShares {
    fn from(shares: &Shares) -> Self {
        Self { id: shares.id.0.to_be_bytes(), variations: numbers(&shares.variations), shares: shares.shares.to_vec() }
    }
}

impl TryFrom<StoredShares> for Shares {
    type Error = String;

    fn try_from(stored: StoredShares) -> Checked<Self> {
        if stored.variations.len() != stored.shares.len() {
            return Err(format!("{} shares of {} variations", stored.shares.len(), stored.variations.len()));
        }
        // Rounding can leave a share a hair above 1, never below 0.
        if let Some(share) = stored.shares.iter().find(|share| !(0.0..=1.0 + 1e-9).contains(*share)) {
            return Err(format!("the share {share} is not within 0 and 1"));
        }
        Ok(Self {
            id: AllocationId(u64::from_be_bytes(stored.id)),
            variations: slots(stored.variations),
            shares: stored.shares.into_boxed_slice(),
        })
    }
}

pub(super) fn known_id(text: &str) -> Checked<RewardId> {
    RewardId::new(text).map_err(|invalid| invalid.to_string())
}

pub(super) fn experiment_key(text: &str) -> Checked<ExperimentKey> {
    ExperimentKey::new(text).map_err(|invalid| invalid.to_string())
}

/// [`SegmentKey::new`] panics on what is too long, because only a bug builds it; a damaged byte can as well.
pub(super) fn segment_key(text: &str) -> Checked<SegmentKey> {
    if text.len() > SegmentKey::MAX_BYTES {
        return Err(format!("a segment key of {} bytes, more than {}", text.len(), SegmentKey::MAX_BYTES));
    }
    Ok(SegmentKey::new(text))
}

/// No allocation for none, which is what nearly every exposure excludes.
fn numbers(slots: &[Slot]) -> Vec<u16> {
    slots.iter().map(|slot| slot.0).collect()
}

fn slots(numbers: Vec<u16>) -> Box<[Slot]> {
    numbers.into_iter().map(Slot).collect()
}
