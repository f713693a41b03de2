//! Layer 4: all state in memory. Request threads read it (one look-up, one swap of a pointer); the one writer applies
//! events to it in journal order.
//!
//! Invariant: no I/O, no async, no clock, no ambient randomness, nothing serialisable.

pub mod allocation;
pub mod apply;
pub mod assignment;
pub mod check;
pub mod checkpoint;
mod contextual;
pub mod contribution;
pub mod decide;
pub mod definition;
mod digest;
mod draw;
mod due;
pub mod epoch;
pub mod error;
pub mod event;
mod evidence;
pub mod experiment;
pub mod group;
pub mod known;
pub mod ledger;
mod model;
pub mod pool;
pub mod profile;
pub mod reading;
pub mod receipt;
pub mod redraw;
pub mod refresh;
pub mod restore;
pub mod reward;
pub mod save;
pub mod secret;
pub mod segment;
pub mod settings;
mod table;
mod weights;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{ExperimentKey, Probability, Timestamp, VisitorToken};
use crate::engine::checkpoint::{RowName, SegmentName};
use crate::engine::decide::{Bearing, Decision, Explain, Request, Site};
use crate::engine::epoch::Epoch;
use crate::engine::error::NoExperiment;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::group::Groups;
use crate::engine::model::Model;
use crate::engine::receipt::{Receipt, Sealer, Seals};
use crate::engine::refresh::Task;
use crate::engine::secret::Secret;
use crate::engine::table::Table;

/// All experiments of a server, or of one simulated run.
#[derive(Debug)]
pub struct Engine {
    secret: Secret,
    sealer: Sealer,
    site: Site,
    /// Until when receipts of erased visitors are refused, by what a receipt keeps of a visitor.
    erased: Table<u64, Timestamp>,
    experiments: Table<ExperimentKey, Experiment>,
    groups: Groups,
    /// Deleted keys, and whether a checkpoint knows. Looked at only when a key is not found.
    buried: Mutex<BTreeMap<ExperimentKey, bool>>,
    /// Rows that the next checkpoint removes.
    gone: Mutex<Vec<RowName>>,
}

impl Engine {
    /// An empty engine. `nonce_seed` must be drawn anew for every process that shares the secret: it keeps receipts'
    /// nonces apart.
    #[must_use]
    pub fn new(secret: Secret, nonce_seed: u64) -> Self {
        Self {
            sealer: Sealer::new(&secret, nonce_seed),
            site: Site::new(&secret),
            secret,
            erased: Table::new(),
            experiments: Table::new(),
            groups: Groups::default(),
            buried: Mutex::default(),
            gone: Mutex::default(),
        }
    }

    /// Keeps a share of visitors out of every experiment: they are in the control group of each. A larger share holds out those of a
    /// smaller one and more.
    #[must_use]
    pub fn holding_out(mut self, share: Probability) -> Self {
        self.site.holdout = share.get();
        self
    }

    /// Whether a visitor is kept out of every experiment.
    #[must_use]
    pub fn holds_out(&self, visitor: VisitorToken) -> bool {
        self.site.holds_out(visitor)
    }

    /// What stands for a visitor's id wherever something is kept.
    #[must_use]
    pub fn token(&self, visitor: &str) -> VisitorToken {
        self.site.token(visitor)
    }

    /// From now on receipts of a visitor's decisions up to a time are refused. For the writer, and when a store is opened.
    pub fn refuse_receipts(&self, visitor: u64, until: Timestamp) {
        let known = self.erased.with(&visitor, |_, known| *known);
        self.erased.insert(visitor, Arc::new(known.map_or(until, |known| known.max(until))));
    }

    /// Whether a receipt is one of a visitor that was erased since.
    pub(crate) fn is_erased(&self, receipt: &Receipt) -> bool {
        self.has_erased(receipt.visitor, receipt.record.decided_at())
    }

    /// Whether a visitor, by half of its token, was erased since a decision for it.
    pub(crate) fn has_erased(&self, visitor: u64, decided_at: Timestamp) -> bool {
        self.erased.with(&visitor, |_, until| decided_at <= *until).unwrap_or(false)
    }

    /// An experiment by key.
    ///
    /// # Errors
    /// [`NoExperiment`] if there is none, or none any more.
    pub fn experiment(&self, key: &str) -> Result<Arc<Experiment>, NoExperiment> {
        self.experiments.get(key).ok_or_else(|| self.missing(key))
    }

    /// All experiments, in order of their keys.
    #[must_use]
    pub fn experiments(&self) -> Vec<Arc<Experiment>> {
        self.experiments.sorted()
    }

    /// Decides. Changes nothing: the answer's event, once applied, does.
    ///
    /// # Errors
    /// [`NoExperiment`]; every other obstacle is a reason beside the default variation.
    pub fn decide(
        &self,
        experiment: &str,
        request: &Request<'_>,
        explain: Explain,
    ) -> Result<Decision<'static>, NoExperiment> {
        self.experiments
            .with(experiment, |_, experiment| self.decide_in(experiment, &experiment.active(), request, None, explain))
            .ok_or_else(|| self.missing(experiment))
    }

    /// The same where the experiment was looked up already, and what is in force of it. The bearing is of earlier decisions under the
    /// same, with the same context; the decision borrows its record from there, if that is where the others' stands.
    #[must_use]
    pub fn decide_in<'b>(
        &self,
        experiment: &Experiment,
        active: &Active,
        request: &Request<'_>,
        bearing: Option<&'b mut Bearing>,
        explain: Explain,
    ) -> Decision<'b> {
        decide::decide(experiment, active, request, bearing, explain, self.site)
    }

    /// What makes the receipts of so many decisions.
    #[must_use]
    pub fn seals(&self, count: usize) -> Seals<'_> {
        self.sealer.several(count)
    }

    pub(crate) const fn site(&self) -> Site {
        self.site
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Gives up a refresh that could not be queued; the segment's next event makes a new one.
    pub fn abandon(&self, job: &refresh::RefreshJob) {
        let Ok(experiment) = self.experiment(job.settings().definition.key.as_str()) else { return };
        let active = experiment.active();
        let epoch = active.epoch(job.settings().epoch);
        let segment = match job.task() {
            Task::Allocation { segment: Some(key), .. } => epoch.and_then(|epoch| epoch.segments.get(key.as_str())),
            Task::Allocation { segment: None, .. } => active.all.clone(),
            Task::Fit { .. } => {
                epoch.iter().for_each(|epoch| epoch.pool.abandon());
                None
            }
        };
        if let Some(segment) = segment {
            segment.tallies().refreshing = false;
        }
    }

    pub(crate) fn insert(&self, key: ExperimentKey, experiment: Arc<Experiment>) {
        self.experiments.insert(key, experiment);
    }

    pub(crate) fn remove(&self, key: &ExperimentKey) {
        self.experiments.remove(key.as_str());
        self.buried().insert(key.clone(), false);
    }

    /// Remembers that an epoch's segments are gone.
    pub(crate) fn forget_epoch(&self, experiment: &ExperimentKey, epoch: &Epoch) {
        let keys = epoch.segments.sorted().into_iter().map(|segment| segment.key().cloned());
        for segment in keys.chain(std::iter::once(None)) {
            let name = SegmentName { experiment: experiment.clone(), epoch: epoch.number, segment };
            self.forget_row(RowName::Segment(name));
        }
    }

    /// Remembers that what a model learned is gone.
    pub(crate) fn forget_model(&self, experiment: &ExperimentKey, model: &Model) {
        for variation in model.variations() {
            self.forget_row(RowName::Model { experiment: experiment.clone(), variation });
        }
    }

    pub(crate) fn forget_row(&self, name: RowName) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    pub(crate) fn take_gone(&self) -> Vec<RowName> {
        std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn restore_buried(&self, key: ExperimentKey) {
        self.buried().insert(key, true);
    }

    pub(crate) fn take_buried(&self) -> Vec<ExperimentKey> {
        let mut buried = self.buried();
        let fresh = buried.iter_mut().filter(|(_, saved)| !**saved);
        fresh
            .map(|(key, saved)| {
                *saved = true;
                key.clone()
            })
            .collect()
    }

    pub(crate) fn buried(&self) -> std::sync::MutexGuard<'_, BTreeMap<ExperimentKey, bool>> {
        self.buried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, key: &str) -> NoExperiment {
        if self.buried().contains_key(key) { NoExperiment::Deleted } else { NoExperiment::Unknown }
    }
}

#[cfg(test)]
pub(crate) mod tests;
