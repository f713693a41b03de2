//! What a contextual policy has learned: one model of an experiment, written by the one writer in journal order, and read by
//! every decision as it was last published.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::domain::{AllocationId, Features, Slot};
use crate::engine::checkpoint::ModelState;
use crate::engine::contextual::Contextual;
use crate::engine::definition::Definition;
use crate::engine::event::DecisionRecord;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::segment::Learned;
use crate::policy::ContextualModel;
use crate::policy::contextual::Beliefs;

/// What was learned grown by less than this part is not published anew; while it is little, every event is.
const GROWTH: u64 = 20;

/// One model, from the definition it began with until the policy or the features change.
#[derive(Debug)]
pub(crate) struct Model {
    /// The version of that definition: what was decided before, another model decided.
    since: u32,
    writer: Mutex<Writer>,
    published: ArcSwap<Published>,
    changed: AtomicBool,
}

/// What decisions are made by.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) beliefs: Beliefs,
    /// Stands for everything learned up to then.
    pub(crate) id: AllocationId,
}

#[derive(Debug)]
struct Writer {
    model: Box<dyn ContextualModel>,
    /// Exposures and rewards learned.
    events: u64,
    due_at: u64,
}

impl Model {
    /// One that has learned nothing.
    pub(crate) fn new(contextual: &Contextual, since: u32) -> Arc<Self> {
        let model = contextual.model();
        let published = ArcSwap::from_pointee(Published { beliefs: model.snapshot(), id: id(since, 0) });
        let writer = Mutex::new(Writer { model, events: 0, due_at: 1 });
        Arc::new(Self { since, writer, published, changed: AtomicBool::new(true) })
    }

    /// Whether decisions of two definitions are of the same model.
    pub(crate) fn goes_on(before: &Definition, after: &Definition) -> bool {
        before.policy.kind == after.policy.kind
            && before.policy.parameters == after.policy.parameters
            && before.attributes == after.attributes
            && before.interactions == after.interactions
    }

    pub(crate) fn published(&self) -> arc_swap::Guard<Arc<Published>> {
        self.published.load()
    }

    /// The beliefs that decisions of this id were made by, if they are those of this very moment. A restart publishes what its
    /// checkpoint held, and so between the moments at which they are published otherwise.
    pub(crate) fn beliefs_named(&self, wanted: AllocationId) -> Option<Beliefs> {
        let published = self.published();
        if published.id == wanted {
            return Some(published.beliefs.clone());
        }
        let writer = self.writer();
        (id(self.since, writer.events) == wanted).then(|| writer.model.snapshot())
    }

    /// Learns from a decision; for the writer alone. Publishes if enough has been learned since.
    fn learn(&self, record: &DecisionRecord, exposure: bool, rewards: impl Iterator<Item = f64>) {
        if record.definition < self.since {
            return;
        }
        let mut writer = self.writer();
        let arm = record.variation.index();
        if exposure {
            writer.model.expose(arm, &record.features);
            writer.events += 1;
        }
        for value in rewards {
            writer.model.reward(arm, &record.features, value);
            writer.events += 1;
        }
        self.changed.store(true, Ordering::Relaxed);
        if writer.events >= writer.due_at {
            writer.due_at = writer.events + (writer.events / GROWTH).max(1);
            writer.model.settle();
            let published = Published { beliefs: writer.model.snapshot(), id: id(self.since, writer.events) };
            self.published.store(Arc::new(published));
        }
    }

    /// Whether it changed since the last time this was asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// What was learned, by arm.
    pub(crate) fn states(&self, experiment: &Experiment, epoch: u32) -> Vec<ModelState> {
        let writer = self.writer();
        let state = |arm: usize| {
            Some(ModelState {
                experiment: experiment.key().clone(),
                epoch,
                since: self.since,
                events: writer.events,
                due_at: writer.due_at,
                variation: Slot(u16::try_from(arm).ok()?),
                learner: writer.model.save(arm)?,
            })
        };
        writer.model.known().into_iter().filter_map(state).collect()
    }

    /// Puts an arm back as it was saved; `false` if it belongs to another model.
    pub(crate) fn restore(&self, state: &ModelState) -> bool {
        let mut writer = self.writer();
        if state.since != self.since || writer.model.restore(state.variation.index(), &state.learner).is_err() {
            return false;
        }
        (writer.events, writer.due_at) = (state.events, state.due_at);
        let published = Published { beliefs: writer.model.snapshot(), id: id(self.since, writer.events) };
        self.published.store(Arc::new(published));
        self.changed.store(false, Ordering::Relaxed);
        true
    }

    pub(crate) fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// The variations of which something was learned.
    pub(crate) fn variations(&self) -> Vec<Slot> {
        self.writer().model.known().into_iter().filter_map(|arm| u16::try_from(arm).ok()).map(Slot).collect()
    }

    /// The definition it began with.
    pub(crate) const fn since(&self) -> u32 {
        self.since
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    /// Learns from an exposure, rewards of the primary goal, or both, where the policy is a contextual one. What is
    /// learned of features is a sum of floats, from which nothing can be taken back to the bit: definitions and amendments that
    /// would have to are refused.
    pub(crate) fn learn(&self, record: &DecisionRecord, exposure: bool, rewards: &[Learned]) {
        let Some(model) = &self.model else { return };
        let primary = self.settings.primary();
        let values =
            rewards.iter().filter(|reward| reward.goal == primary).map(|reward| (reward.after - reward.before) as f64);
        model.learn(record, exposure, values);
    }
}

/// What a visitor of whom nothing is known looks like: for reports.
pub(crate) fn nobody(contextual: &Contextual) -> Features {
    let mut features = Features::new();
    contextual.schema.encode(&crate::domain::Context::new(), &mut features);
    features
}

/// Versions and events together name what was learned: within an experiment no two are alike.
const fn id(since: u32, events: u64) -> AllocationId {
    AllocationId(((since as u64) << 40) | events)
}
