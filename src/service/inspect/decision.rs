//! One decision by its receipt: what was known, what it was drawn from, the draw done again, and everything that came of it.
//! The journal is replayed from where it begins, because what a decision was drawn from may have been replaced since.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::{DecisionId, ExperimentKey, GoalKey, Slot, Span, Timestamp, VariationKey, VisitorToken};
use crate::engine::Engine;
use crate::engine::event::{Assigned, DecisionRecord, Event, Exposed};
use crate::engine::experiment::Active;
use crate::engine::ledger::{LedgerEntry, Outcome, Position, Standing};
use crate::engine::receipt::Receipt;
use crate::engine::redraw::{Allocated, Redrawn, SeededBy};
use crate::engine::refresh::RefreshJob;
use crate::engine::secret::Secret;
use crate::engine::settings::{LATE_SPAN, Settings};
use crate::service::error::StartError;
use crate::service::inspect::InspectError;
use crate::service::judging::Fresh;
use crate::service::replay::{Step, apply_block, restore};
use crate::service::verify::{JOBS_KEPT, computed, same_bits};
use crate::store::{CheckpointKind, Store};

/// All that a store knows of a decision.
#[derive(Debug)]
pub struct DecisionInspection {
    /// What the receipt says.
    pub receipt: Receipt,
    /// Until when rewards are learned, and until when they are taken at all; `None` where the epoch is forgotten.
    pub expires: Option<(Timestamp, Timestamp)>,
    /// Whether the experiment was deleted since.
    pub deleted: bool,
    /// The definition that decided; `None` if it stands in no block that is left.
    pub settings: Option<Arc<Settings>>,
    /// Every variation there ever was, by slot.
    pub variations: Vec<VariationKey>,
    /// Every goal there ever was, by slot.
    pub goals: Vec<GoalKey>,
    /// What its exposure says was excluded; `None` where there is no such event to say it.
    pub excluded: Option<Vec<VariationKey>>,
    /// What it was drawn from; `None` if that is gone with the oldest blocks, or in a control group, where nothing is drawn.
    pub allocation: Option<AllocationFound>,
    /// The draw done again.
    pub draw: Result<Redrawn, RedrawFailure>,
    /// Events of the journal about it, in order.
    pub happenings: Vec<Happening>,
    /// What the ledger knows of it whose events are gone with the oldest blocks.
    pub older: Vec<LedgerEntry>,
    /// The first block that is left of the journal, and the last one.
    pub journal: (u64, u64),
}

/// Where an allocation was found.
#[derive(Debug, Clone)]
pub struct AllocationFound {
    /// What it says.
    pub allocated: Allocated,
    /// Where.
    pub origin: Origin,
    /// From how many events it was computed, and at which time, where an event says so.
    pub evidence: Option<(u64, Timestamp)>,
    /// Whether computing it again from the moment it was computed from gives the same bits; `None` if no event of the journal
    /// stands for that moment.
    pub again: Option<bool>,
}

/// See [`AllocationFound::origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An event of the journal.
    Journal(Position),
    /// The checkpoint that stands for what was dropped from the journal.
    Seal,
    /// Recomputed: what a model had learned by then, by replaying the journal.
    Replay(Position),
}

/// Why a draw was not done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedrawFailure {
    /// A control group gets the default.
    #[error("nothing was drawn: a visitor of the control group gets the default")]
    Control,
    /// The definition that decided is gone.
    #[error("the definition that decided is gone with the oldest blocks of the journal")]
    NoDefinition,
    /// The allocation is gone.
    #[error("the allocation it was drawn from is gone with the oldest blocks of the journal")]
    NoAllocation,
    /// They do not fit, which no decision of this store can bring about.
    #[error("the allocation does not go with the definition that decided")]
    Unfit,
}

/// One event about the decision.
#[derive(Debug, Clone)]
pub struct Happening {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub event: Event,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it counts.
    pub standing: Standing,
}

/// Looks for everything about a receipt's decision. Reads the whole journal once. `given` is the decision's id where its
/// caller gave one, without which its draw cannot be done again. `progress` is told of each block.
///
/// # Errors
/// [`InspectError`].
pub fn inspect_decision(
    store: &dyn Store,
    secret: Secret,
    receipt: &str,
    given: Option<&str>,
    progress: &mut dyn FnMut(u64),
) -> Result<DecisionInspection, InspectError> {
    let engine = Engine::new(secret, 0);
    let receipt = engine.read_receipt(receipt)?;
    let mut search = Search::of(receipt.record.clone());
    let base = store.base().number;
    if base > 0 {
        restore(&engine, store, CheckpointKind::Sealed)?;
        search.look_at(&engine, Origin::Seal);
    }
    let mut known = Fresh::of(store).map_err(StartError::from)?;
    for block in store.blocks(base + 1) {
        let block = block.map_err(StartError::from)?;
        progress(block.number());
        let mut index = 0;
        apply_block(&engine, &mut known, &block, |step| {
            search.step(&engine, Position { block: block.number(), index }, &step);
            index += 1;
            Ok(())
        })?;
    }
    let entries = known.facts(receipt.record.decision).map_err(StartError::from)?;
    search.finish(&engine, receipt, entries, given, (base + 1, store.head().number))
}

/// What is found on the way.
struct Search {
    record: DecisionRecord,
    /// The experiment as it was last.
    active: Option<Arc<Active>>,
    settings: Option<Arc<Settings>>,
    excluded: Option<Box<[Slot]>>,
    /// Who stays with it, and the decision in whose place it stands.
    assigned: Option<(VisitorToken, Option<DecisionId>)>,
    allocation: Option<AllocationFound>,
    happenings: Vec<Happening>,
    /// What could have been computed of the decision's segment, or of all: the newest.
    jobs: VecDeque<RefreshJob>,
}

impl Search {
    fn of(record: DecisionRecord) -> Self {
        let (active, settings, excluded, assigned, allocation) = (None, None, None, None, None);
        let (happenings, jobs) = (Vec::new(), VecDeque::new());
        Self { record, active, settings, excluded, assigned, allocation, happenings, jobs }
    }

    fn step(&mut self, engine: &Engine, position: Position, step: &Step<'_>) {
        if let Some(happened) = record_of(step.event).filter(|record| record.decision == self.record.decision) {
            debug_assert!(
                happened.experiment == self.record.experiment,
                "ids of decisions are made from 80 random bits"
            );
            if let Event::Exposed(Exposed { excluded, .. }) = step.event {
                self.excluded = Some(excluded.clone());
            }
            if let Event::Assigned(Assigned { excluded, visitor, replaces, .. }) = step.event {
                (self.excluded, self.assigned) = (Some(excluded.clone()), Some((*visitor, *replaces)));
            }
            let (outcome, standing) = (step.judgement.outcome, step.judgement.standing);
            self.happenings.push(Happening { position, event: step.event.clone(), outcome, standing });
        }
        if experiment_of(step.event) != Some(&self.record.experiment) {
            return;
        }
        self.look_at_computed(position, step.event);
        // A model is what its events have made of it; anything else is in force once an event has said so.
        let learns =
            matches!(step.event, Event::Exposed(_) | Event::Assigned(_) | Event::Activated(_) | Event::Rewarded(_));
        let contextual = self.active.as_ref().is_some_and(|active| active.settings.is_contextual());
        if !learns || (contextual && self.allocation.is_none()) {
            let origin = if contextual { Origin::Replay(position) } else { Origin::Journal(position) };
            self.look_at(engine, origin);
        }
        for job in step.jobs {
            if self.concerns(&job.key().2) {
                self.jobs.push_back(job.clone());
                if self.jobs.len() > JOBS_KEPT {
                    self.jobs.pop_front();
                }
            }
        }
    }

    /// What an event computed, by the decision's segment or by all.
    fn concerns(&self, target: &Option<Option<crate::domain::SegmentKey>>) -> bool {
        match target {
            Some(Some(segment)) => *segment == self.record.segment,
            Some(None) | None => true,
        }
    }

    fn look_at_computed(&mut self, position: Position, event: &Event) {
        let Some((key, evidence, shares)) =
            computed(event).filter(|(_, _, shares)| shares.id == self.record.allocation)
        else {
            return;
        };
        let (definition, at) = match event {
            Event::AllocationComputed(computed) => (computed.definition, computed.at),
            Event::PoolFitted(fitted) => (fitted.definition, fitted.at),
            Event::ExperimentSaved(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Assigned(_)
            | Event::Aliased(_)
            | Event::VisitorErased(_)
            | Event::ProfileSaved(_)
            | Event::Activated(_)
            | Event::Rewarded(_)
            | Event::Amended(_)
            | Event::Retracted(_) => return,
        };
        let candidates = self.jobs.iter().filter(|job| job.key() == key && job.evidence() == evidence);
        let mut again = candidates.filter_map(|job| computed(&job.compute()).map(|(_, _, shares)| shares.clone()));
        let again = again.find(|again| again.id == shares.id).map(|again| same_bits(&again, shares));
        self.allocation = Some(AllocationFound {
            allocated: Allocated::Shares { definition, shares: shares.clone() },
            origin: Origin::Journal(position),
            evidence: Some((evidence, at)),
            again,
        });
    }

    /// What is in force.
    fn look_at(&mut self, engine: &Engine, origin: Origin) {
        let Ok(experiment) = engine.experiment(self.record.experiment.as_str()) else { return };
        let active = experiment.active_full();
        if active.settings.version == self.record.definition {
            self.settings = Some(Arc::clone(&active.settings));
        }
        if self.allocation.is_none() && active.settings.epoch == self.record.epoch {
            let found = |allocated| AllocationFound { allocated, origin, evidence: None, again: None };
            self.allocation = active.allocated(&self.record).map(found);
        }
        self.active = Some(active);
    }

    fn finish(
        self,
        engine: &Engine,
        receipt: Receipt,
        entries: Vec<LedgerEntry>,
        given: Option<&str>,
        journal: (u64, u64),
    ) -> Result<DecisionInspection, InspectError> {
        let Self { record, active, settings, excluded, assigned, allocation, happenings, .. } = self;
        let Some(active) = active else { return Err(InspectError::OtherStore(record.experiment.to_string())) };
        let seed = given.map(|text| {
            let other = || InspectError::OtherDecision { given: text.to_owned(), id: record.decision.to_string() };
            active.settings.seed_of(record.decision, text, receipt.visitor).ok_or_else(other)
        });
        let seed = seed.transpose()?;
        let draw = match (&settings, &allocation) {
            _ if record.control => Err(RedrawFailure::Control),
            (None, _) => Err(RedrawFailure::NoDefinition),
            (_, None) => Err(RedrawFailure::NoAllocation),
            (Some(settings), Some(found)) => {
                let excluded = excluded.as_deref().unwrap_or_default();
                let by = match (assigned, &seed) {
                    (Some((visitor, replaces)), _) => SeededBy::Visitor { visitor, replaces },
                    (None, Some(seed)) => SeededBy::Given(seed),
                    (None, None) => SeededBy::Id,
                };
                settings.draw_again(&record, &found.allocated, excluded, by).ok_or(RedrawFailure::Unfit)
            }
        };
        let named = |slots: Box<[Slot]>| {
            let keys = slots.iter().filter_map(|slot| active.slots.variations.get(slot.index()).cloned());
            keys.collect()
        };
        let windows = active.epoch(record.epoch).map(|epoch| epoch.longest_window());
        let until = |window: Span| (record.decided_at() + window, record.decided_at() + window + LATE_SPAN);
        Ok(DecisionInspection {
            expires: windows.map(until),
            deleted: engine.experiment(record.experiment.as_str()).is_err(),
            settings,
            variations: active.slots.variations.clone(),
            goals: active.slots.goals.clone(),
            excluded: excluded.map(named),
            allocation: allocation.filter(|_| !record.control),
            draw,
            older: entries.into_iter().filter(|entry| entry.position.block < journal.0).collect(),
            happenings,
            journal,
            receipt,
        })
    }
}

/// The decision that an event is about.
fn record_of(event: &Event) -> Option<&DecisionRecord> {
    match event {
        Event::Exposed(exposed) => Some(&exposed.record),
        Event::Assigned(assigned) => Some(&assigned.record),
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Aliased(_)
        | Event::VisitorErased(_)
        | Event::ProfileSaved(_)
        | Event::Activated(_)
        | Event::Rewarded(_)
        | Event::Amended(_)
        | Event::Retracted(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => event.feedback_of(),
    }
}

/// `None` for what is about a visitor in all of them.
fn experiment_of(event: &Event) -> Option<&ExperimentKey> {
    Some(match event {
        Event::ExperimentSaved(saved) => &saved.definition.key,
        Event::StatusChanged { experiment, .. } | Event::ExperimentDeleted { experiment, .. } => experiment,
        Event::Exposed(exposed) => &exposed.record.experiment,
        Event::Assigned(assigned) => &assigned.record.experiment,
        Event::Activated(activated) => &activated.record.experiment,
        Event::Rewarded(rewarded) => &rewarded.record.experiment,
        Event::Amended(amended) => &amended.record.experiment,
        Event::Retracted(retracted) => &retracted.record.experiment,
        Event::AllocationComputed(computed) => &computed.experiment,
        Event::PoolFitted(fitted) => &fitted.experiment,
        Event::Aliased(_) | Event::VisitorErased(_) | Event::ProfileSaved(_) => return None,
    })
}
