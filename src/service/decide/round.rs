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
    pub(super) brought: Brought<'s>,
    pub(super) way: Way<'s>,
    pub(super) ids: Several<'s>,
    pub(super) seals: Seals<'s>,
}

/// The context that was brought last, and what was worked out of it.
#[derive(Default)]
pub(super) struct Brought<'s> {
    context: Option<&'s Context<'s>>,
    encoded: Option<EncodedContext>,
    /// Of what became of it with a profile under it.
    merged: Option<EncodedContext>,
    /// What it comes to under what is in force of an experiment.
    bearing: Option<(Arc<Active>, Bearing)>,
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

    fn of(service: &'s Service, queries: usize, way: Way<'s>) -> Self {
        Self {
            now: service.clock.now(),
            last: Last::default(),
            brought: Brought::default(),
            way,
            ids: service.entropy.several(queries),
            seals: service.engine.seals(queries),
        }
    }
}

impl<'s> Brought<'s> {
    /// A query brings a context; that of the query before, or another.
    pub(super) fn bring(&mut self, context: &'s Context<'s>) {
        if !self.context.is_some_and(|known| std::ptr::eq(known, context)) {
            *self = Self { context: Some(context), ..Self::default() };
        }
    }

    /// The stored form of what the last query brought, or of what became of it with a profile under it.
    pub(super) fn encoded(&mut self, context: &Context<'_>) -> &EncodedContext {
        if !self.is(context) {
            return self.merged.insert(encode_context(context));
        }
        self.encoded.get_or_insert_with(|| encode_context(context))
    }

    /// What the last query's context comes to; `None` where a profile is under it.
    pub(super) fn bearing(&mut self, context: &Context<'_>, active: &Arc<Active>) -> Option<&mut Bearing> {
        if !self.is(context) {
            return None;
        }
        let known = self.bearing.take_if(|(known, _)| Arc::ptr_eq(known, active));
        let known = known.unwrap_or_else(|| (Arc::clone(active), Bearing::default()));
        Some(&mut self.bearing.insert(known).1)
    }

    fn is(&self, context: &Context<'_>) -> bool {
        self.context.is_some_and(|brought| std::ptr::eq(brought, context))
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
