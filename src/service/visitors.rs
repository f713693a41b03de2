//! What visitors stay with, read from the store through a cache of bounded size. Only the committer says that something has
//! changed, after it is durable.

mod profiles;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::domain::{ExperimentKey, VisitorToken};
use crate::engine::assignment::{Assignment, now_in_force};
use crate::engine::event::Event;
use crate::engine::ledger::{Fact, Judgement, Outcome};
use crate::service::judging::canonical;
use crate::service::ledger::Ledger;
use crate::service::visitors::profiles::Profiles;
use crate::store::{Store, StoreError, record};

/// An assignment as it is kept in memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) assignment: Assignment,
    /// Whether its activation has been recorded, or is about to be; of no meaning where it was not deferred.
    activated: AtomicBool,
}

impl Held {
    /// Whether this is the first to ask for its activation.
    pub(crate) fn activate(&self) -> bool {
        !self.activated.swap(true, Ordering::Relaxed)
    }

    /// The activation could not be recorded after all.
    pub(crate) fn deactivate(&self) {
        self.activated.store(false, Ordering::Relaxed);
    }
}

/// A visitor, who it is, and what it stays with.
pub(crate) struct Found {
    pub(crate) visitor: VisitorToken,
    pub(crate) held: Option<Arc<Held>>,
}

pub(crate) struct Visitors {
    store: Arc<dyn Store>,
    held: Cache<(VisitorToken, ExperimentKey), Arc<Held>>,
    known_as: Cache<VisitorToken, VisitorToken>,
    profiles: Profiles,
    /// Rises with every change that can make something cached untrue.
    changes: AtomicU64,
}

impl Visitors {
    /// Keeps at most so many assignments in memory.
    pub(crate) fn new(store: Arc<dyn Store>, capacity: usize) -> Result<Self, StoreError> {
        let (held, known_as) = (Cache::new(capacity), Cache::new(capacity));
        let profiles = Profiles::of(&*store, capacity)?;
        Ok(Self { store, held, known_as, profiles, changes: AtomicU64::new(0) })
    }

    /// Who a visitor is and what it stays with in an experiment. A new visitor costs two reads of the store; one that is in
    /// memory none.
    pub(crate) fn find(&self, experiment: &ExperimentKey, visitor: VisitorToken) -> Result<Found, StoreError> {
        let visitor = self.known_as(visitor)?;
        let key = (visitor, experiment.clone());
        if let Some(held) = self.held.get(&key) {
            return Ok(Found { visitor, held: Some(held) });
        }
        let before = self.changes.load(Ordering::SeqCst);
        let entries = record::assignments_of(&*self.store, visitor, Some(experiment))?;
        let Some(assignment) = now_in_force(&entries, experiment) else { return Ok(Found { visitor, held: None }) };
        let held = self.load(assignment.clone())?;
        self.held.insert(key.clone(), Arc::clone(&held));
        self.recheck(before, || {
            self.held.remove(&key);
        });
        Ok(Found { visitor, held: Some(held) })
    }

    /// Who a visitor is.
    pub(crate) fn known_as(&self, visitor: VisitorToken) -> Result<VisitorToken, StoreError> {
        if let Some(known) = self.known_as.get(&visitor) {
            return Ok(known);
        }
        let before = self.changes.load(Ordering::SeqCst);
        let known = canonical(&*self.store, visitor)?;
        self.known_as.insert(visitor, known);
        self.recheck(before, || {
            self.known_as.remove(&visitor);
        });
        Ok(known)
    }

    /// What was read from the store may have changed before it came into the cache: then it goes again. A change raises
    /// the number first and removes then, so that one of both sees the other.
    fn recheck(&self, before: u64, remove: impl FnOnce()) {
        if self.changes.load(Ordering::SeqCst) != before {
            remove();
        }
    }

    fn load(&self, assignment: Assignment) -> Result<Arc<Held>, StoreError> {
        let activated = assignment.deferred && {
            let facts = Ledger::of(&*self.store)?.known(assignment.record.decision)?;
            facts.iter().any(|entry| matches!(entry.fact, Fact::Activated { .. }))
        };
        Ok(Arc::new(Held { assignment, activated: AtomicBool::new(activated) }))
    }

    /// An event is durable and applied. For the committer alone.
    pub(crate) fn saw(&self, event: &Event, judgement: &Judgement) {
        match event {
            Event::Assigned(assigned) if judgement.outcome == Outcome::Recorded => {
                let key = (assigned.visitor, assigned.record.experiment.clone());
                if assigned.replaces.is_some() {
                    self.changes.fetch_add(1, Ordering::SeqCst);
                }
                let assignment = Assignment { record: assigned.record.clone(), deferred: assigned.deferred };
                self.held.insert(key, Arc::new(Held { assignment, activated: AtomicBool::new(false) }));
            }
            Event::Aliased(aliased) => {
                self.changes.fetch_add(1, Ordering::SeqCst);
                self.known_as.remove(&aliased.anonymous);
                self.profiles.forget([aliased.anonymous, aliased.visitor]);
            }
            Event::ProfileSaved(saved) => {
                self.changes.fetch_add(1, Ordering::SeqCst);
                self.profiles.saved(saved.visitor);
            }
            Event::VisitorErased(erased) => {
                self.changes.fetch_add(1, Ordering::SeqCst);
                for visitor in &erased.visitors {
                    self.known_as.remove(visitor);
                }
                self.profiles.forget(erased.visitors.iter().copied());
                for assignment in &erased.assignments {
                    self.held.remove(&(assignment.visitor, assignment.record.experiment.clone()));
                }
            }
            Event::Assigned(_)
            | Event::ExperimentSaved(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Activated(_)
            | Event::Rewarded(_)
            | Event::Amended(_)
            | Event::Retracted(_)
            | Event::AllocationComputed(_)
            | Event::PoolFitted(_) => {}
        }
    }
}
