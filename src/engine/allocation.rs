//! An allocation in force: the policy's shares beside the propensities they give when nothing is excluded.

use std::sync::Arc;

use crate::domain::{AllocationId, Slot};
use crate::engine::checkpoint::AllocationState;
use crate::engine::due::{Due, Growth};
use crate::engine::event::Shares;
use crate::engine::settings::Settings;
use crate::policy::allocation::project;

/// Shares computed for one definition as they are under another, in order of its keys. See [`Allocation::shares_for`].
pub(crate) fn shares_under(settings: &Settings, definition: u32, shares: &Shares) -> Vec<f64> {
    if definition == settings.version {
        return shares.shares.to_vec();
    }
    let share = |slot: &Slot| {
        let known = shares.variations.iter().position(|known| known == slot);
        known.map_or(0.0, |index| shares.shares[index])
    };
    settings.slots_by_key().iter().map(share).collect()
}

/// Replaced as a whole, never changed.
#[derive(Debug)]
pub struct Allocation {
    /// As it was computed, and the definition whose policy computed it.
    state: AllocationState,
    growth: Growth,
    /// In order of keys; floor applied, nothing excluded.
    propensities: Box<[f64]>,
}

impl Allocation {
    /// Of shares computed for a definition, with its floors. It is in force until the evidence has grown: a new one at every event
    /// would decide no better (STATISTICS §18).
    pub(crate) fn new(state: AllocationState, growth: Growth, floors: &[f64]) -> Arc<Self> {
        let all = vec![true; floors.len()];
        let propensities = project(&state.shares.shares, &all, floors).expect("a definition has a variation").into();
        Arc::new(Self { state, growth, propensities })
    }

    /// Its id, which exposures name.
    #[must_use]
    pub fn id(&self) -> AllocationId {
        self.state.shares.id
    }

    /// Probabilities by variation in order of keys, when nothing is excluded; `None` if it was computed for another
    /// definition, whose variations or floor may differ.
    pub(crate) fn ready(&self, settings: &Settings) -> Option<&[f64]> {
        (self.state.definition == settings.version).then_some(&self.propensities)
    }

    /// The policy's shares for the variations of a definition in order of their keys. A variation the allocation does not
    /// know yet has no share: the floor alone shows it until the next refresh.
    pub(crate) fn shares_for(&self, settings: &Settings) -> Vec<f64> {
        shares_under(settings, self.state.definition, &self.state.shares)
    }

    /// When the next one is due, where so many conversions have been counted.
    pub(crate) fn due(&self, conversions: u64) -> Due {
        Due::after(self.growth, self.state.evidence, self.state.effective, conversions)
    }

    /// The definition it was computed for.
    pub(crate) fn definition(&self) -> u32 {
        self.state.definition
    }

    /// The fit of all segments it was computed with.
    pub(crate) fn fit(&self) -> Option<AllocationId> {
        self.state.fit
    }

    /// Amendments and retractions in the tallies it was computed from.
    pub(crate) fn amendments(&self) -> u64 {
        self.state.amendments
    }

    /// For a checkpoint.
    pub(crate) fn state(&self) -> AllocationState {
        self.state.clone()
    }
}
