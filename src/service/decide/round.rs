//! What queries that come together share.

use std::sync::Arc;

use crate::domain::{Context, Timestamp};
use crate::engine::Engine;
use crate::engine::decide::{Bearing, Decision};
use crate::engine::error::NoExperiment;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::receipt::Seals;
use crate::service::Service;
use crate::service::committer::{Beside, Queue, Room};
use crate::service::entropy::Several;
use crate::service::error::CommitError;
use crate::store::record::{About, EncodedContext, encode_context};

/// Of the queries of one request: one look at the clock, the experiment that the last of them named, one way for their exposures, and what
/// is counted among other threads once for all of them.
pub(super) struct Round<'s> {
    pub(super) now: Timestamp,
    pub(super) last: Last,
    brought: Option<&'s Context<'s>>,
    pub(super) bearings: Bearings,
    pub(super) contexts: Contexts,
    pub(super) way: Way<'s>,
    pub(super) ids: Several<'s>,
    pub(super) seals: Seals<'s>,
}

/// What the context that was brought last comes to under what is in force of an experiment.
#[derive(Default)]
pub(super) struct Bearings(Option<(Arc<Active>, Bearing)>);

/// The stored form of the context that was brought last, and of the last that became of one with a profile under it.
#[derive(Default)]
pub(super) struct Contexts {
    brought: Option<EncodedContext>,
    merged: Option<EncodedContext>,
}

/// The experiment that was looked up last.
#[derive(Default)]
pub(super) struct Last(Option<Found>);

/// An experiment, and what is in force of it.
pub(super) struct Found {
    pub(super) experiment: Arc<Experiment>,
    pub(super) active: Arc<Active>,
}

/// How exposures that nobody waits for go to the committer.
pub(super) enum Way<'s> {
    AtOnce(&'s Queue),
    Together(Room<'s>),
}

impl<'s> Round<'s> {
    /// Of one query.
    pub(super) fn of_one(service: &'s Service) -> Self {
        Self::of(service, 1, Way::AtOnce(&service.queue))
    }

    /// Of so many: what they make happen is handed over when it ends.
    pub(super) fn of_several(service: &'s Service, queries: usize) -> Self {
        Self::of(service, queries, Way::Together(service.queue.room(queries)))
    }

    /// A query brings a context; that of the query before, or another.
    pub(super) fn bring(&mut self, context: &'s Context<'s>) {
        if !self.is_brought(context) {
            self.brought = Some(context);
            (self.bearings, self.contexts) = (Bearings::default(), Contexts::default());
        }
    }

    /// Whether it is what the last query brought, and not what became of it with a profile under it.
    pub(super) fn is_brought(&self, context: &Context<'_>) -> bool {
        self.brought.is_some_and(|brought| std::ptr::eq(brought, context))
    }

    fn of(service: &'s Service, queries: usize, way: Way<'s>) -> Self {
        Self {
            now: service.clock.now(),
            last: Last::default(),
            brought: None,
            bearings: Bearings::default(),
            contexts: Contexts::default(),
            way,
            ids: service.entropy.several(queries),
            seals: service.engine.seals(queries),
        }
    }
}

impl Bearings {
    pub(super) fn under(&mut self, active: &Arc<Active>) -> &mut Bearing {
        drop(self.0.take_if(|(known, _)| !Arc::ptr_eq(known, active)));
        &mut self.0.get_or_insert_with(|| (Arc::clone(active), Bearing::default())).1
    }
}

impl Contexts {
    pub(super) fn encoded(&mut self, context: &Context<'_>, is_brought: bool) -> &EncodedContext {
        if !is_brought {
            return self.merged.insert(encode_context(context));
        }
        self.brought.get_or_insert_with(|| encode_context(context))
    }
}

impl Last {
    /// An experiment by key.
    pub(super) fn find(&mut self, engine: &Engine, key: &str) -> Result<&Found, NoExperiment> {
        let known = self.0.take_if(|last| last.experiment.key().as_str() == key);
        let found = match known {
            Some(found) => found,
            None => {
                let experiment = engine.experiment(key)?;
                Found { active: experiment.active_full(), experiment }
            }
        };
        Ok(self.0.insert(found))
    }
}

impl Way<'_> {
    /// Hands over what a decision makes happen, if anything, and whom it is about.
    pub(super) fn offer(&mut self, decision: &Decision, about: Option<About<'_>>) -> Result<(), CommitError> {
        if let (Self::Together(room), Some(record)) = (&mut *self, decision.plain_exposure()) {
            return room.expose(record, about);
        }
        let Some(event) = decision.event() else { return Ok(()) };
        let beside = about.map(Beside::from);
        match self {
            Self::AtOnce(queue) => queue.offer(event, beside),
            Self::Together(room) => room.offer(event, beside),
        }
    }
}
