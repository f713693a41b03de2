//! What all segments of an epoch say together, where they borrow from each other: refitted when the evidence of all has
//! grown, in the background; each fit makes every segment's allocation due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::domain::{AllocationId, Timestamp};
use crate::engine::Engine;
use crate::engine::allocation::Allocation;
use crate::engine::due::{Counted, Due, Growth};
use crate::engine::event::PoolFitted;
use crate::engine::experiment::Active;
use crate::engine::refresh::RefreshJob;
use crate::engine::segment::Learned;
use crate::engine::settings::Settings;

/// Evidence of all segments grown by less than this part keeps its fit: what it says of a segment changes slowly, and each
/// segment's own counts are live in between.
const GROWTH: u64 = 10;

/// Of one epoch.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    fitted: ArcSwapOption<Fitted>,
    progress: Mutex<Progress>,
}

/// A fit in force.
#[derive(Debug)]
pub struct Fitted {
    /// As it was journalled.
    pub computed: Arc<PoolFitted>,
    /// What segments without evidence are allocated by.
    pub(crate) unseen: Arc<Allocation>,
    growth: Growth,
}

impl Fitted {
    pub(crate) fn new(computed: Arc<PoolFitted>, unseen: Arc<Allocation>, settings: &Settings) -> Self {
        Self { computed, unseen, growth: Growth::of(settings, GROWTH) }
    }

    /// When the next one is due.
    fn due(&self, counted: Counted) -> Due {
        Due::after(self.growth, self.computed.evidence, self.computed.effective, counted.conversions)
    }

    /// Its id: that of what unseen segments are allocated by, which is a hash of the fit.
    #[must_use]
    pub fn id(&self) -> AllocationId {
        self.computed.unseen.id
    }
}

/// How far the epoch has come since its last fit.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Exposures and conversions of all segments that train.
    pub(crate) events: u64,
    /// Exposures among them.
    pub(crate) exposures: u64,
    pub(crate) newest: Timestamp,
    due: Due,
    refreshing: bool,
}

impl Pool {
    /// The fit in force; `None` before the first.
    pub(crate) fn fitted(&self) -> Option<Arc<Fitted>> {
        self.fitted.load_full()
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, fitted: Fitted) {
        let mut progress = self.progress();
        progress.due = fitted.due(progress.counted());
        self.fitted.store(Some(Arc::new(fitted)));
    }

    #[cfg(test)]
    pub(crate) fn is_fitting(&self) -> bool {
        self.progress().refreshing
    }

    /// Gives up a fit that could not be queued.
    pub(crate) fn abandon(&self) {
        self.progress().refreshing = false;
    }
}

impl Progress {
    /// Exposures, changes of what a decision comes to, or both.
    pub(crate) fn count(&mut self, decided: Timestamp, exposures: i64, changes: &[Learned]) {
        let changed = |count: u64| count.saturating_add_signed(exposures);
        self.events = changes.iter().fold(changed(self.events), |events, learned| learned.count_into(events));
        self.exposures = changed(self.exposures);
        self.newest = self.newest.max(decided);
    }

    fn counted(&self) -> Counted {
        Counted { events: self.events, conversions: self.events.saturating_sub(self.exposures) }
    }

    /// Whether a fit is due; then one is under way.
    fn begin(&mut self, outdated: bool) -> bool {
        let due = !self.refreshing && self.events > 0 && (outdated || self.due.is(self.counted()));
        self.refreshing |= due;
        due
    }
}

impl Active {
    /// The fit in force, if segments borrow from each other and it is one for the definition in force.
    #[must_use]
    pub fn fitted(&self) -> Option<Arc<Fitted>> {
        self.of_fitted(Arc::clone)
    }

    /// Its id, asked for with every event.
    pub(crate) fn fit_in_force(&self) -> Option<AllocationId> {
        self.of_fitted(|fitted| fitted.id())
    }

    fn of_fitted<R>(&self, read: impl FnOnce(&Arc<Fitted>) -> R) -> Option<R> {
        if !self.settings.borrows() {
            return None;
        }
        let fitted = self.current().pool.fitted.load();
        fitted.as_ref().filter(|fitted| fitted.computed.definition == self.settings.version).map(read)
    }

    /// What a segment without evidence is allocated by.
    pub(crate) fn unseen(&self) -> Arc<Allocation> {
        self.fitted().map_or_else(|| Arc::clone(&self.initial), |fitted| Arc::clone(&fitted.unseen))
    }

    /// A fit of all segments, if one is due and none is under way.
    pub(crate) fn fit_if_due(&self) -> Option<RefreshJob> {
        self.fit_if_due_after(self.fit_in_force(), |_| {})
    }

    /// Counts some progress, where segments borrow from each other.
    pub(crate) fn progress(&self, count: impl FnOnce(&mut Progress)) {
        if self.settings.borrows() {
            count(&mut self.current().pool.progress());
        }
    }

    /// The same, and a fit if it is due then; `fit` is the one in force.
    pub(crate) fn fit_if_due_after(
        &self,
        fit: Option<AllocationId>,
        count: impl FnOnce(&mut Progress),
    ) -> Option<RefreshJob> {
        if !self.settings.borrows() {
            return None;
        }
        let (evidence, at) = {
            let mut progress = self.current().pool.progress();
            count(&mut progress);
            if !progress.begin(fit.is_none()) {
                return None;
            }
            (progress.events, progress.newest)
        };
        Some(RefreshJob::fit(self, evidence, at))
    }
}

impl Active {
    /// Counts what all segments have, where they have not been counted as they came: after a restart, or when a policy that
    /// did not borrow is replaced by one that does.
    pub(crate) fn count_pool(&self) {
        if !self.settings.borrows() {
            return;
        }
        let (mut events, mut exposures, mut newest) = (0, 0, Timestamp::ZERO);
        for segment in self.segments() {
            let tallies = segment.tallies();
            events += tallies.events;
            exposures += tallies.learning_total.all_exposures();
            newest = newest.max(tallies.newest);
        }
        let mut progress = self.current().pool.progress();
        (progress.events, progress.exposures, progress.newest) = (events, exposures, newest);
        if let Some(fitted) = self.current().pool.fitted() {
            progress.due = fitted.due(progress.counted());
        }
    }
}

impl Engine {
    /// Puts a fit in force, and makes every segment's allocation due.
    pub(crate) fn apply_fitted(&self, computed: &Arc<PoolFitted>, jobs: &mut Vec<RefreshJob>) {
        let Ok(experiment) = self.experiment(computed.experiment.as_str()) else { return };
        let active = experiment.active();
        let Some(epoch) = active.epoch(computed.epoch) else { return };
        if computed.definition == active.settings.version {
            let unseen = active.settings.without_evidence(computed.unseen.clone());
            epoch.pool.set(Fitted::new(Arc::clone(computed), unseen, &active.settings));
            experiment.mark_changed();
        }
        epoch.pool.abandon();
        if epoch.number == active.settings.epoch {
            let fit = active.fit_in_force();
            for segment in epoch.segments.sorted() {
                jobs.extend(RefreshJob::if_due(&segment, &mut segment.tallies(), &active, fit));
            }
            jobs.extend(active.fit_if_due());
        }
    }
}
