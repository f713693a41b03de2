//! What is known of one visitor, who it turned out to be, and its erasure.

use std::sync::Arc;

use crate::domain::{Context, ExperimentKey, Timestamp, VariationKey, VisitorToken};
use crate::engine::assignment::{Assignment, flips, now_in_force};
use crate::engine::contribution::value_in_force;
use crate::engine::definition::Unit;
use crate::engine::event::{Aliased, Event, ProfileJoined, VisitorErased};
use crate::engine::ledger::{Fact, LedgerEntry};
use crate::service::Service;
use crate::service::committer::Committed;
use crate::service::companions::{self, KnownContexts, Theirs, contexts_of};
use crate::service::error::{CommitError, VisitorError};
use crate::service::judging::{Fresh, canonical};
use crate::service::ledger::Ledger;
use crate::store::record::profile::{decode_profile, profile_of};
use crate::store::{StoreError, record};

/// What a visitor stays with in one experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownAssignment {
    /// Where.
    pub experiment: ExperimentKey,
    /// What; `None` if its experiment was deleted.
    pub variation: Option<VariationKey>,
    /// The decision, with the propensity of the first draw.
    pub assignment: Assignment,
    /// Whether it counts: a deferred one does once it was activated.
    pub exposed: bool,
    /// Rewards that are remembered and not retracted, in the order in which they came.
    pub rewards: Vec<KnownReward>,
}

/// A reward of a visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReward {
    /// The goal's key; `None` if its experiment was deleted.
    pub goal: Option<String>,
    /// Under which id.
    pub reward_id: String,
    /// Its value as last amended.
    pub value: i64,
}

/// Everything that is known of a visitor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KnownVisitor {
    /// Whether it is known under another id, whose assignments these are.
    pub is_alias: bool,
    /// Whether it is kept out of every experiment.
    pub holdout: bool,
    /// How many other ids are known to be its own.
    pub aliases: usize,
    /// What it stays with, by experiment.
    pub assignments: Vec<KnownAssignment>,
    /// What was known of it when it was decided for, under all of its ids.
    pub contexts: KnownContexts,
    /// What is known of it ahead of its requests.
    pub profile: Option<Context<'static>>,
}

/// What an alias did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AliasDone {
    /// Experiments whose assignment was taken over.
    pub adopted: Vec<ExperimentKey>,
    /// Experiments in which the visitor had another variation of its own, which stays: the anonymous one sees a change.
    pub flipped: usize,
    /// What became of the anonymous id's profile.
    pub profile: ProfileJoined,
    /// Whether it was known already.
    pub repeated: bool,
}

/// What an erasure removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErasureDone {
    /// Ids that were known to be the visitor's, its own included.
    pub identities: usize,
    /// Assignments that are gone.
    pub assignments: usize,
    /// Exposures that were subtracted.
    pub exposures: usize,
    /// Outcomes of goals that were subtracted.
    pub outcomes: usize,
    /// Aliases that are gone.
    pub aliases: usize,
    /// Companions that are gone: ids and contexts beside decisions.
    pub contexts: usize,
    /// Profiles that are gone.
    pub profiles: usize,
    /// Experiments whose unit is the decision: what a visitor counted there cannot be told from others' and stays, without its
    /// name.
    pub anonymous: Vec<ExperimentKey>,
    /// Since when receipts are refused.
    pub at: Timestamp,
}

impl Service {
    /// Everything that is stored of a visitor. Blocks its thread: all companions are read.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn visitor(&self, visitor: &str) -> Result<KnownVisitor, VisitorError> {
        let given = self.engine.token(visitor);
        let visitor = canonical(&*self.store, given)?;
        let mut identities = Fresh::of(&*self.store)?.identities(&[visitor])?;
        let aliases = identities.len() - 1;
        identities.insert(given);
        let theirs = Theirs { engine: &self.engine, visitors: &identities };
        let contexts = contexts_of(&*self.store, &theirs)?;
        let holdout = self.engine.holds_out(visitor);
        let profile = profile_of(&*self.store, visitor)?.map(|value| decode_profile(&value)).transpose()?;
        let mut known = KnownVisitor {
            is_alias: visitor != given,
            holdout,
            aliases,
            assignments: Vec::new(),
            contexts,
            profile: profile.map(|profile| profile.attributes),
        };
        let entries = record::assignments_of(&*self.store, visitor, None)?;
        for entry in &entries {
            if let Some(assignment) = now_in_force(&entries, &entry.experiment)
                && assignment.record.decision == entry.decision
            {
                known.assignments.push(self.known_assignment(assignment.clone())?);
            }
        }
        known.assignments.sort_by(|a, b| a.experiment.cmp(&b.experiment));
        Ok(known)
    }

    fn known_assignment(&self, assignment: Assignment) -> Result<KnownAssignment, StoreError> {
        let mut entries: Vec<LedgerEntry> = Ledger::of(&*self.store)?.known(assignment.record.decision)?;
        entries.sort_by_key(|entry| entry.position);
        let facts: Vec<&Fact> = entries.iter().map(|entry| &entry.fact).collect();
        let activated = facts.iter().any(|fact| matches!(fact, Fact::Activated { in_time: true, .. }));
        let experiment = self.engine.experiment(assignment.record.experiment.as_str()).ok();
        let active = experiment.map(|experiment| experiment.active_full());
        let rewards = facts.iter().filter_map(|fact| match fact {
            Fact::Rewarded(reward) => Some(KnownReward {
                goal: active.as_ref().and_then(|active| active.goal_key(reward.goal)).map(|goal| goal.to_string()),
                reward_id: reward.reward_id.to_string(),
                value: value_in_force(&facts, reward)?,
            }),
            Fact::Activated { .. } | Fact::Corrected { .. } | Fact::Erased => None,
        });
        Ok(KnownAssignment {
            rewards: rewards.collect(),
            experiment: assignment.record.experiment.clone(),
            variation: active
                .as_ref()
                .and_then(|active| active.variation_keys().get(assignment.record.variation.index()).cloned()),
            exposed: !assignment.deferred || activated,
            assignment,
        })
    }

    /// Says that an anonymous visitor is one that has another id. From now on it sees what that one sees: its own assignment
    /// where there is one, else the one that the anonymous visitor brings along.
    ///
    /// # Errors
    /// If the ids cannot be one visitor's, or it could not be recorded.
    pub async fn alias(&self, anonymous: &str, visitor: &str) -> Result<AliasDone, VisitorError> {
        let (anonymous, given) = (self.engine.token(anonymous), self.engine.token(visitor));
        let visitor = canonical(&*self.store, given)?;
        if anonymous == visitor {
            return Err(VisitorError::Itself);
        }
        if record::aliases_to(&*self.store, anonymous)?.iter().any(|alias| alias.erased.is_none()) {
            return Err(VisitorError::Known);
        }
        if canonical(&*self.store, anonymous)? == visitor {
            return Ok(AliasDone { repeated: true, ..AliasDone::default() });
        }
        let before = record::assignments_of(&*self.store, anonymous, None)?;
        let own = record::assignments_of(&*self.store, visitor, None)?;
        let (at, profile) = (self.clock.now(), ProfileJoined::default());
        let event = Aliased { anonymous, visitor, at, adopted: Vec::new(), profile };
        let Committed { filled, .. } = self.queue.submit(Event::Aliased(event.into()))?.committed().await?;
        let Some(Event::Aliased(aliased)) = filled else {
            unreachable!("the committer answers with the event it was given")
        };
        let adopted = aliased.adopted.iter().map(|adopted| adopted.record.experiment.clone()).collect();
        Ok(AliasDone { adopted, flipped: flips(&before, &own), profile: aliased.profile, repeated: false })
    }

    /// Takes everything of a visitor out of what is stored and counted, under every id it is known by.
    ///
    /// # Errors
    /// If it could not be recorded; then nothing was removed. If companions could not be rewritten; then everything else was, and asking
    /// again goes on.
    pub async fn erase(&self, visitor: &str) -> Result<ErasureDone, VisitorError> {
        let visitors: Vec<VisitorToken> = vec![self.engine.token(visitor)];
        let at = self.clock.now();
        let event = VisitorErased { visitors, at, assignments: Vec::new(), aliases: Vec::new(), profiles: 0 };
        let Committed { filled, .. } = self.queue.submit(Event::VisitorErased(event.into()))?.committed().await?;
        let Some(Event::VisitorErased(erased)) = filled else {
            unreachable!("the committer answers with the event it was given")
        };
        let contexts = {
            let _one_at_a_time = self.erasing.lock().await;
            let (store, engine) = (Arc::clone(&self.store), Arc::clone(&self.engine));
            let visitors = erased.visitors.iter().copied().collect();
            let rewriting = tokio::task::spawn_blocking(move || {
                companions::erase(&*store, &Theirs { engine: &engine, visitors: &visitors })
            });
            rewriting.await.map_err(|error| CommitError::Unavailable(error.to_string()))??
        };
        let experiments = self.engine.experiments();
        let by_decision = experiments.iter().filter(|experiment| {
            // Visitors may have been decided for one by one before the unit was changed.
            experiment.active().settings.definition.unit == Unit::Decision || experiment.active().settings.epoch > 0
        });
        Ok(ErasureDone {
            identities: erased.visitors.len(),
            assignments: erased.assignments.len(),
            exposures: erased.assignments.iter().filter(|assignment| assignment.exposed).count(),
            outcomes: erased.assignments.iter().map(|assignment| assignment.changes.len()).sum(),
            aliases: erased.aliases.len(),
            contexts,
            profiles: erased.profiles,
            anonymous: by_decision.map(|experiment| experiment.key().clone()).collect(),
            at,
        })
    }
}

#[cfg(test)]
mod tests;
