//! One experiment: settings that readers swap in whole, epochs of segments, fates of rewards.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::domain::{ExperimentKey, GoalKey, Seed, Slot, Span, VariationKey};
use crate::engine::checkpoint::{ExperimentState, RewardCounts};
use crate::engine::definition::Status;
use crate::engine::epoch::Epoch;
use crate::engine::event::Shares;
use crate::engine::model::{Model, nobody};
use crate::engine::segment::Segment;
use crate::engine::settings::{Settings, Slots};
use crate::policy::allocation::project;
use crate::posterior::tally::Tally;

/// Most segments of one epoch; visitors of further ones are counted in `other`.
pub const MAX_SEGMENTS: usize = 10_000;

/// An experiment as the engine holds it.
#[derive(Debug)]
pub struct Experiment {
    key: ExperimentKey,
    status: AtomicU8,
    active: ArcSwap<Active>,
    rewards: Mutex<RewardCounts>,
    changed: AtomicBool,
    /// Conditions that could not be decided since the start.
    failed_conditions: AtomicU64,
    /// The budget has room for no further cost.
    exhausted: AtomicBool,
}

/// What a save replaces, in one piece.
#[derive(Debug)]
pub struct Active {
    /// The settings in force.
    pub settings: Arc<Settings>,
    pub(crate) slots: Arc<Slots>,
    /// Oldest first; the last is the current one.
    pub(crate) epochs: Vec<Arc<Epoch>>,
    /// All segments together, where a policy pools completely or a budget has to be watched.
    pub(crate) all: Option<Arc<Segment>>,
    /// What a contextual policy has learned.
    pub(crate) model: Option<Arc<Model>>,
    /// What segments without evidence are allocated by.
    pub(crate) initial: Arc<crate::engine::allocation::Allocation>,
    pub(crate) initial_shares: Shares,
}

impl Active {
    pub(crate) fn epoch(&self, number: u32) -> Option<&Arc<Epoch>> {
        self.epochs.iter().rev().find(|epoch| epoch.number == number)
    }

    pub(crate) fn current(&self) -> &Arc<Epoch> {
        self.epochs.last().expect("an experiment has an epoch")
    }

    /// Segments of the current epoch, in order of their keys.
    #[must_use]
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.current().segments.sorted()
    }

    /// Keys of all variations there ever were, by slot.
    #[must_use]
    pub fn variation_keys(&self) -> &[VariationKey] {
        &self.slots.variations
    }

    /// Within what of a decision of an epoch it can be activated; `None` if the epoch is gone. A goal that was removed since
    /// still has its window in the epoch; it must not hurry what is decided now.
    pub(crate) fn activation_window(&self, epoch: u32) -> Option<Span> {
        let epoch = self.epoch(epoch)?;
        let current = epoch.number == self.settings.epoch;
        Some(if current { self.settings.shortest_window() } else { epoch.shortest_window() })
    }

    /// The key of a goal there is or was.
    #[must_use]
    pub fn goal_key(&self, goal: Slot) -> Option<&GoalKey> {
        self.slots.goals.get(goal.index())
    }

    /// Probabilities by which a segment's visitors are decided now, in order of keys, when nothing is excluded.
    #[must_use]
    pub fn propensities(&self, segment: &Segment) -> Vec<f64> {
        if let (Some(contextual), Some(model)) = (self.settings.contextual(), &self.model) {
            // A contextual policy has no allocation of a segment: this one is for a visitor of whom nothing is known.
            let shares = model.published().beliefs.shares(&contextual.arms, &nobody(contextual), Seed(0));
            let all = vec![true; shares.len()];
            return project(&shares, &all, self.settings.floors()).expect("a definition has a variation");
        }
        let allocation = match self.deciding() {
            Some(all) => all.allocation(),
            None => segment.allocation(),
        };
        let allocation = if self.settings.policy().learns() { &**allocation } else { &self.initial };
        let shares = allocation.shares_for(&self.settings);
        let all = vec![true; shares.len()];
        project(&shares, &all, self.settings.floors()).expect("a definition has a variation")
    }

    /// All segments together, where something wants that.
    #[must_use]
    pub fn all(&self) -> Option<&Arc<Segment>> {
        self.all.as_ref()
    }

    /// All segments together, where one allocation decides for them.
    pub(crate) fn deciding(&self) -> Option<&Arc<Segment>> {
        self.all.as_ref().filter(|_| self.settings.pools())
    }

    /// What costed variations have spent in the current epoch, in minor units.
    #[must_use]
    pub fn spent(&self, tally: &Tally) -> f64 {
        let variations = self.settings.definition.variations.iter().enumerate();
        let spend = variations.map(|(index, variation)| {
            let slot = self.settings.slot(index);
            let shown = variation.cost * tally.exposures(slot) as f64;
            let converted = tally.conversions(slot, self.settings.primary()) as f64;
            variation.cost_per_conversion.mul_add(converted, shown)
        });
        spend.sum()
    }
}

impl Experiment {
    pub(crate) fn new(key: ExperimentKey, status: Status, active: Active, rewards: RewardCounts) -> Arc<Self> {
        Arc::new(Self {
            key,
            status: AtomicU8::new(status_code(status)),
            active: ArcSwap::from_pointee(active),
            rewards: Mutex::new(rewards),
            changed: AtomicBool::new(true),
            failed_conditions: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
        })
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &ExperimentKey {
        &self.key
    }

    /// Deciding or not, by what was last said; its schedule is another matter.
    #[must_use]
    pub fn status(&self) -> Status {
        status_of(self.status.load(Ordering::Relaxed))
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.store(status_code(status), Ordering::Relaxed);
        self.mark_changed();
    }

    /// What is in force now.
    #[must_use]
    pub fn active(&self) -> arc_swap::Guard<Arc<Active>> {
        self.active.load()
    }

    /// What is in force now, to keep.
    #[must_use]
    pub fn active_full(&self) -> Arc<Active> {
        self.active.load_full()
    }

    pub(crate) fn set_active(&self, active: Active) {
        self.active.store(Arc::new(active));
        self.mark_changed();
    }

    /// Fates of rewards so far.
    #[must_use]
    pub fn reward_counts(&self) -> RewardCounts {
        *self.rewards_for_writing()
    }

    pub(crate) fn rewards_for_writing(&self) -> MutexGuard<'_, RewardCounts> {
        self.rewards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn count_failed_conditions(&self, count: u32) {
        if count > 0 {
            self.failed_conditions.fetch_add(u64::from(count), Ordering::Relaxed);
        }
    }

    /// Conditions that could not be decided since the start (a missing attribute, a wrong type).
    #[must_use]
    pub fn failed_conditions(&self) -> u64 {
        self.failed_conditions.load(Ordering::Relaxed)
    }

    /// Whether costed variations may no longer be shown, because the budget has no room for what one may cost.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Looks whether the budget has room for one more of the largest cost.
    pub(crate) fn watch_budget(&self, active: &Active) {
        let definition = &active.settings.definition;
        let exhausted = match (definition.budget, &active.all) {
            (Some(budget), Some(all)) => {
                let costs =
                    definition.variations.iter().map(|variation| variation.cost + variation.cost_per_conversion);
                active.spent(&all.tallies().learning_total) + costs.fold(0.0, f64::max) > budget.amount
            }
            (Some(_) | None, _) => false,
        };
        self.exhausted.store(exhausted, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> ExperimentState {
        let active = self.active_full();
        ExperimentState {
            definition: Arc::clone(&active.settings.definition),
            version: active.settings.version,
            status: self.status(),
            variations: active.slots.variations.clone(),
            goals: active.slots.goals.clone(),
            epochs: active.epochs.iter().map(|epoch| epoch.state()).collect(),
            initial: active.initial_shares.clone(),
            rewards: self.reward_counts(),
            model_since: active.model.as_ref().map_or(0, |model| model.since()),
            pool: active.current().pool.fitted().map(|fitted| Arc::clone(&fitted.computed)),
        }
    }
}

const fn status_code(status: Status) -> u8 {
    match status {
        Status::Draft => 0,
        Status::Running => 1,
        Status::Paused => 2,
        Status::Ended => 3,
    }
}

const fn status_of(code: u8) -> Status {
    match code {
        0 => Status::Draft,
        1 => Status::Running,
        2 => Status::Paused,
        _ => Status::Ended,
    }
}
