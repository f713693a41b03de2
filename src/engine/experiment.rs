//! One experiment: settings that readers swap in whole, epochs of segments, fates of rewards.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::domain::{
    Aggregation, Currency, ExperimentKey, GoalKind, Seed, SegmentKey, Slot, Span, Timestamp, VariationKey,
};
use crate::engine::checkpoint::{EpochState, ExperimentState, RewardCounts};
use crate::engine::definition::{Goal, Status};
use crate::engine::event::Shares;
use crate::engine::model::{Model, nobody};
use crate::engine::pool::Pool;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::{LATE_SPAN, Settings, Slots};
use crate::engine::table::Table;
use crate::engine::weights::Timing;
use crate::policy::allocation::project;
use crate::posterior::bucket::BucketLengths;
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

/// What a goal measures: tallies of another measure mean something else, so that a change begins an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// How long after the decision a reward counts.
    pub window: Span,
    /// What the rewards are.
    pub kind: GoalKind,
    /// Of their values.
    pub currency: Option<Currency>,
    /// What several of one decision come to.
    pub aggregation: Aggregation,
}

impl Measure {
    /// Of a goal as it is defined.
    pub(crate) const fn of(goal: &Goal) -> Self {
        Self { window: goal.window, kind: goal.kind, currency: goal.currency, aggregation: goal.aggregation }
    }
}

/// Segments between two changes of what a segment is.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u32,
    pub(crate) lengths: BucketLengths,
    pub(crate) goals: Vec<(Slot, Measure)>,
    pub(crate) closed_at: Option<Timestamp>,
    /// Shared by every version of the same epoch.
    pub(crate) segments: Arc<Table<SegmentKey, Segment>>,
    /// What they say together; shared as well.
    pub(crate) pool: Arc<Pool>,
    /// What time it is and how long rewards take; shared as well.
    pub(crate) timing: Arc<Timing>,
}

impl Epoch {
    pub(crate) fn new(number: u32, settings: &Settings) -> Self {
        let segments = Arc::new(Table::new());
        Self {
            number,
            lengths: settings.lengths(),
            goals: Vec::new(),
            closed_at: None,
            segments,
            pool: Arc::default(),
            timing: Arc::default(),
        }
        .with_goals(settings)
    }

    /// The same epoch, knowing a definition's goals. What a goal measures never changes within an epoch.
    pub(crate) fn with_goals(&self, settings: &Settings) -> Self {
        let mut goals = self.goals.clone();
        for (index, goal) in settings.definition.goals.iter().enumerate() {
            let slot = settings.goal_slot(index);
            if !goals.iter().any(|(known, _)| *known == slot) {
                goals.push((slot, Measure::of(goal)));
            }
        }
        Self {
            goals,
            segments: Arc::clone(&self.segments),
            pool: Arc::clone(&self.pool),
            timing: Arc::clone(&self.timing),
            ..*self
        }
    }

    pub(crate) fn closed(&self, at: Timestamp) -> Self {
        Self {
            closed_at: Some(self.closed_at.unwrap_or(at)),
            goals: self.goals.clone(),
            segments: Arc::clone(&self.segments),
            pool: Arc::clone(&self.pool),
            timing: Arc::clone(&self.timing),
            ..*self
        }
    }

    /// Whether receipts of this epoch can still be valid.
    pub(crate) fn receives(&self, now: Timestamp) -> bool {
        self.closed_at.is_none_or(|closed| now <= closed + self.longest_window() + LATE_SPAN)
    }

    /// What a goal measures here; `None` if it was never in this epoch.
    pub(crate) fn measure(&self, goal: Slot) -> Option<Measure> {
        self.goals.iter().find(|(slot, _)| *slot == goal).map(|(_, measure)| *measure)
    }

    pub(crate) fn longest_window(&self) -> Span {
        self.goals.iter().map(|(_, measure)| measure.window).max().unwrap_or_default()
    }

    pub(crate) fn shortest_window(&self) -> Span {
        self.goals.iter().map(|(_, measure)| measure.window).min().unwrap_or_default()
    }

    pub(crate) fn state(&self) -> EpochState {
        EpochState {
            number: self.number,
            lengths: self.lengths,
            closed_at: self.closed_at,
            goals: self.goals.clone(),
            newest: self.timing.newest(),
            delays: self.timing.delays().clone(),
        }
    }

    /// Acts on the segment of a key; on a new one if there is room, else on `other`. For the writer alone.
    pub(crate) fn with_segment(&self, key: &SegmentKey, active: &Active, mut act: impl FnMut(&Segment)) {
        if self.segments.with(key.as_str(), |_, segment| act(segment)).is_some() {
            return;
        }
        let key = if self.segments.len() < MAX_SEGMENTS { key.clone() } else { SegmentKey::new(SegmentKey::OTHER) };
        if self.segments.with(key.as_str(), |_, segment| act(segment)).is_some() {
            return;
        }
        let segment = Segment::new(Some(key.clone()), Tallies::default(), active.unseen());
        act(&segment);
        self.segments.insert(key, segment);
    }
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
