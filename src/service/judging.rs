//! What is known of what an event is about: what the store has, and what events before it in the same batch leave, which
//! the store does not have yet. And the events that the writer fills in, because it alone knows what they find.

mod profiles;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::domain::{DecisionId, ExperimentKey, VisitorToken};
use crate::engine::assignment::{AliasEntry, AssignmentEntry, Whose, adoptions, erasure, known_as};
use crate::engine::event::{Aliased, ErasedAlias, Event, VisitorErased};
use crate::engine::known::{Asked, Known, Remembered};
use crate::engine::ledger::LedgerEntry;
use crate::service::ledger::{AddedFacts, Ledger};
use crate::store::{Row, Store, StoreError, record};

/// Most ids that are taken for one visitor when it is erased; more are erased by a second call.
const MAX_IDENTITIES: usize = 1_000;

/// What events of one batch leave.
pub(crate) struct Fresh<'a> {
    store: &'a dyn Store,
    ledger: Ledger<'a>,
    assignments: HashMap<VisitorToken, Vec<AssignmentEntry>>,
    /// Under both ids.
    aliases: HashMap<VisitorToken, Vec<AliasEntry>>,
    /// What was kept beside the ledger, and is not written yet.
    rows: Vec<Row>,
    /// Profiles that were changed, as values of their rows. In an order, so that the same events make the same batch.
    profiles: BTreeMap<VisitorToken, Option<Vec<u8>>>,
}

impl<'a> Fresh<'a> {
    /// Nothing, over a store.
    pub(crate) fn of(store: &'a dyn Store) -> Result<Self, StoreError> {
        Self::with_memory(store, AddedFacts::default())
    }

    /// Nothing, in the memory of a ledger that was written.
    pub(crate) fn with_memory(store: &'a dyn Store, memory: AddedFacts) -> Result<Self, StoreError> {
        let ledger = Ledger::with_memory(store, memory)?;
        let (assignments, aliases, profiles) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        Ok(Self { store, ledger, assignments, aliases, rows: Vec::new(), profiles })
    }

    /// Remembers what an event leaves, and forgets the list; says whether any of it was new or another.
    pub(crate) fn keep(&mut self, left: &mut Vec<Remembered>) -> Result<bool, StoreError> {
        let mut changed = false;
        for remembered in left.drain(..) {
            record::encode_remembered(&remembered, &mut self.rows);
            changed |= match remembered {
                Remembered::Fact(entry) => self.ledger.add(&entry)?,
                Remembered::Assignment(entry) => {
                    self.assignments.entry(entry.visitor).or_default().push(entry);
                    true
                }
                Remembered::Alias(entry) => {
                    self.aliases.entry(entry.anonymous).or_default().push(entry);
                    self.aliases.entry(entry.visitor).or_default().push(entry);
                    true
                }
                Remembered::Erased { .. } => true,
            };
        }
        Ok(changed)
    }

    /// Rows that say what was kept, to be written at once; after that nothing more is kept in memory.
    pub(crate) fn take_rows(&mut self) -> Vec<Row> {
        self.assignments.clear();
        self.aliases.clear();
        let mut rows = std::mem::take(&mut self.rows);
        let profiles = std::mem::take(&mut self.profiles).into_iter();
        rows.extend(profiles.map(|(visitor, value)| record::profile::profile_row(visitor, value)));
        rows.extend(self.ledger.take_rows());
        rows
    }

    /// The ledger's memory, see [`Ledger::into_memory`].
    pub(crate) fn into_memory(self, facts: usize) -> AddedFacts {
        self.ledger.into_memory(facts)
    }

    /// Lets go of what was only read, where that is much.
    pub(crate) fn let_go(&mut self) {
        self.ledger.let_go();
    }

    /// What an event has to be judged by.
    pub(crate) fn known(&mut self, event: &Event) -> Result<Known, StoreError> {
        Ok(match event.asks() {
            Asked::Nothing => Known::default(),
            Asked::Decision(decision) => Known { facts: self.facts(decision)?, ..Known::default() },
            Asked::Visitor(experiment, visitor) => {
                Known { assignments: self.assignments(visitor, Some(experiment))?, ..Known::default() }
            }
        })
    }

    /// All that is known of a decision.
    pub(crate) fn facts(&mut self, decision: DecisionId) -> Result<Vec<LedgerEntry>, StoreError> {
        self.ledger.known(decision)
    }

    /// Fills in what only the writer knows. Does nothing to any other event.
    pub(crate) fn complete(&mut self, event: &mut Event) -> Result<(), StoreError> {
        match event {
            Event::Aliased(aliased) => {
                let anonymous = self.assignments(aliased.anonymous, None)?;
                let own = self.assignments(aliased.visitor, None)?;
                let adopted = adoptions(&anonymous, &own);
                *aliased = Arc::new(Aliased { adopted, ..Aliased::clone(aliased) });
            }
            Event::VisitorErased(erased) => {
                let completed = self.erased(erased)?;
                *erased = Arc::new(completed);
            }
            Event::ProfileSaved(saved) => saved.visitor = self.known_as(saved.visitor)?,
            Event::ExperimentSaved(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Assigned(_)
            | Event::Activated(_)
            | Event::Rewarded(_)
            | Event::Amended(_)
            | Event::Retracted(_)
            | Event::AllocationComputed(_)
            | Event::PoolFitted(_) => {}
        }
        Ok(())
    }

    /// Everything of a visitor that is there, under every id it is known by.
    fn erased(&mut self, event: &VisitorErased) -> Result<VisitorErased, StoreError> {
        let visitors = self.identities(&event.visitors)?;
        let mut aliases = BTreeMap::new();
        for visitor in &visitors {
            for alias in self.aliases(*visitor)?.into_iter().filter(|alias| alias.erased.is_none()) {
                aliases.insert((alias.position, alias.anonymous), alias);
            }
        }
        let ends = aliases.values().flat_map(|alias| [alias.anonymous, alias.visitor]);
        let others: BTreeSet<VisitorToken> = ends.filter(|end| !visitors.contains(end)).collect();
        let mut shared = HashSet::new();
        for other in others {
            let held = self.assignments(other, None)?;
            shared.extend(held.iter().filter(|entry| entry.assignment.is_some()).map(|entry| entry.decision));
        }
        let mut counted = HashSet::new();
        let mut assignments = Vec::new();
        for visitor in &visitors {
            let entries = self.assignments(*visitor, None)?;
            for entry in entries.into_iter().filter(|entry| entry.assignment.is_some()) {
                let whose = match (shared.contains(&entry.decision), counted.insert(entry.decision)) {
                    (true, _) => Whose::AlsoAnothers,
                    (false, true) => Whose::Theirs,
                    (false, false) => Whose::TheirsTwice,
                };
                assignments.extend(erasure(&entry, &self.facts(entry.decision)?, whose));
            }
        }
        let alias = |AliasEntry { anonymous, visitor, position, .. }| ErasedAlias { anonymous, visitor, position };
        let aliases = aliases.into_values().map(alias).collect();
        let visitors = visitors.into_iter().collect();
        Ok(VisitorErased { visitors, assignments, aliases, at: event.at, profiles: 0 })
    }

    /// All ids of visitors: who they turned out to be, and every id from before that is said to be the same one now. An id that
    /// was somebody else's before, as on a device that two people use, is not followed to that one.
    pub(crate) fn identities(&self, given: &[VisitorToken]) -> Result<BTreeSet<VisitorToken>, StoreError> {
        let mut identities = BTreeSet::new();
        for visitor in given {
            let itself = self.known_as(*visitor)?;
            identities.extend([*visitor, itself]);
            for alias in self.aliases(itself)? {
                if identities.len() < MAX_IDENTITIES && self.known_as(alias.anonymous)? == itself {
                    identities.insert(alias.anonymous);
                }
            }
        }
        Ok(identities)
    }

    /// Who a visitor is.
    fn known_as(&self, visitor: VisitorToken) -> Result<VisitorToken, StoreError> {
        let known = record::aliases_of(self.store, visitor)?;
        let fresh = self.aliases.get(&visitor).into_iter().flatten().filter(|alias| alias.anonymous == visitor);
        Ok(known_as(&joined(known, fresh, |entry| (entry.position, entry.anonymous))).unwrap_or(visitor))
    }

    fn assignments(
        &self,
        visitor: VisitorToken,
        experiment: Option<&ExperimentKey>,
    ) -> Result<Vec<AssignmentEntry>, StoreError> {
        let known = record::assignments_of(self.store, visitor, experiment)?;
        let fresh = self.assignments.get(&visitor).into_iter().flatten();
        let fresh = fresh.filter(|entry| experiment.is_none_or(|wanted| entry.experiment == *wanted));
        Ok(joined(known, fresh, |entry| (entry.position, entry.decision)))
    }

    /// Those of an anonymous id, and those to an id.
    fn aliases(&self, visitor: VisitorToken) -> Result<Vec<AliasEntry>, StoreError> {
        let mut known = record::aliases_of(self.store, visitor)?;
        known.extend(record::aliases_to(self.store, visitor)?);
        let fresh = self.aliases.get(&visitor).into_iter().flatten();
        Ok(joined(known, fresh, |entry| (entry.position, entry.anonymous)))
    }
}

/// What the store has, each replaced by what a later event made of it.
fn joined<'a, T: Clone + 'a, K: PartialEq>(
    mut known: Vec<T>,
    fresh: impl Iterator<Item = &'a T>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    for entry in fresh {
        match known.iter_mut().find(|known| key(known) == key(entry)) {
            Some(known) => *known = entry.clone(),
            None => known.push(entry.clone()),
        }
    }
    known
}

/// Who a visitor is, by what is stored.
pub(crate) fn canonical(store: &dyn Store, visitor: VisitorToken) -> Result<VisitorToken, StoreError> {
    Ok(known_as(&record::aliases_of(store, visitor)?).unwrap_or(visitor))
}
