//! An allocation in force: the policy's shares beside the propensities they give when nothing is excluded.

use std::sync::Arc;

use crate::domain::{AllocationId, Slot};
use crate::engine::checkpoint::AllocationState;
use crate::engine::event::Shares;
use crate::engine::settings::Settings;
use crate::policy::allocation::project;

/// Replaced as a whole, never changed.
#[derive(Debug)]
pub struct Allocation {
    /// Of the definition whose policy computed it.
    definition: u32,
    /// Events in the tallies it was computed from.
    evidence: u64,
    shares: Shares,
    /// In order of keys; floor applied, nothing excluded.
    propensities: Box<[f64]>,
}

impl Allocation {
    /// Of shares computed for a definition, with its floors.
    pub(crate) fn new(definition: u32, evidence: u64, shares: Shares, floors: &[f64]) -> Arc<Self> {
        let all = vec![true; shares.shares.len()];
        let propensities = project(&shares.shares, &all, floors).expect("a definition has a variation").into();
        Arc::new(Self { definition, evidence, shares, propensities })
    }

    /// Its id, which exposures name.
    #[must_use]
    pub fn id(&self) -> AllocationId {
        self.shares.id
    }

    /// Probabilities by variation in order of keys, when nothing is excluded; `None` if it was computed for another
    /// definition, whose variations or floor may differ.
    pub(crate) fn ready(&self, settings: &Settings) -> Option<&[f64]> {
        (self.definition == settings.version).then_some(&self.propensities)
    }

    /// The policy's shares for the variations of a definition in order of their keys. A variation the allocation does not
    /// know yet has no share: the floor alone shows it until the next refresh.
    pub(crate) fn shares_for(&self, settings: &Settings) -> Vec<f64> {
        if self.definition == settings.version {
            return self.shares.shares.to_vec();
        }
        let share = |slot: &Slot| {
            let known = self.shares.variations.iter().position(|known| known == slot);
            known.map_or(0.0, |index| self.shares.shares[index])
        };
        settings.slots_by_key().iter().map(share).collect()
    }

    /// Events it was computed from.
    pub(crate) fn evidence(&self) -> u64 {
        self.evidence
    }

    /// The definition it was computed for.
    pub(crate) fn definition(&self) -> u32 {
        self.definition
    }

    /// For a checkpoint.
    pub(crate) fn state(&self) -> AllocationState {
        AllocationState { definition: self.definition, evidence: self.evidence, shares: self.shares.clone() }
    }
}
