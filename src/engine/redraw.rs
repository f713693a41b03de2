//! A decision's draw done again, for whoever looks at it later: its id and the secret give the same uniform number, and the
//! allocation it names gives the same propensities.

use crate::domain::{DecisionId, Seed, Slot, VisitorToken};
use crate::engine::Engine;
use crate::engine::allocation::shares_under;
use crate::engine::checkpoint::AllocationState;
use crate::engine::definition::Unit;
use crate::engine::draw::sticky_uniform;
use crate::engine::event::{DecisionRecord, Shares};
use crate::engine::experiment::Active;
use crate::engine::receipt::{Receipt, ReceiptError};
use crate::engine::settings::Settings;
use crate::policy::allocation::{draw, project};
use crate::policy::contextual::Beliefs;

/// What a decision was drawn from.
#[derive(Debug, Clone)]
pub enum Allocated {
    /// Shares of a segment, or of all together.
    Shares {
        /// The definition whose policy computed them.
        definition: u32,
        /// As they were computed.
        shares: Shares,
    },
    /// What a policy that learns from features believed.
    Beliefs(Beliefs),
}

/// A draw done again; lists in order of variations' keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Redrawn {
    /// The policy's shares.
    pub shares: Vec<f64>,
    /// After exclusions and floor: what was drawn from.
    pub propensities: Vec<f64>,
    /// The uniform number.
    pub uniform: f64,
    /// Index into the definition's variations of the one it gives.
    pub variation: usize,
}

/// What seeded a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeededBy<'a> {
    /// The decision's id, minted here.
    Id,
    /// The decision's id as its caller gave it, and the visitor: [`Settings::seed_of`].
    Given(&'a [u8]),
    /// The visitor, who stays with what is drawn.
    Visitor {
        /// Who.
        visitor: VisitorToken,
        /// The decision whose variation was removed.
        replaces: Option<DecisionId>,
    },
}

/// What makes the id of a decision, and draws, where its caller gave a text: for another visitor the same text is another decision, in the
/// same millisecond as well. `visitor` is what a receipt keeps of it; `None` for whoever gave no id, and comes with another the next time:
/// the text alone then says who it is.
#[must_use]
pub fn given_seed(text: &str, visitor: Option<u64>) -> Vec<u8> {
    match visitor {
        Some(visitor) => [text.as_bytes(), &[0], &visitor.to_le_bytes()].concat(),
        None => text.as_bytes().to_vec(),
    }
}

impl Engine {
    /// Opens a receipt, whatever became of its experiment and however old it is.
    ///
    /// # Errors
    /// [`ReceiptError`], but for its age.
    pub fn read_receipt(&self, text: &str) -> Result<Receipt, ReceiptError> {
        self.sealer().open(text)
    }
}

impl Active {
    /// What decisions of an id are drawn from, if it is in force now; nothing is said of what was in force before.
    pub(crate) fn allocated(&self, record: &DecisionRecord) -> Option<Allocated> {
        let wanted = record.allocation;
        if let Some(model) = self.model.as_ref().filter(|_| !record.control) {
            return model.beliefs_named(wanted).map(Allocated::Beliefs);
        }
        let named = |definition, shares: &Shares| {
            (shares.id == wanted).then(|| Allocated::Shares { definition, shares: shares.clone() })
        };
        let in_force = |state: AllocationState| named(state.definition, &state.shares);
        let segment = || self.current().segments.get(record.segment.as_str());
        named(self.settings.version, &self.initial_shares)
            .or_else(|| segment().and_then(|segment| in_force(segment.allocation().state())))
            .or_else(|| self.all.as_ref().and_then(|all| in_force(all.allocation().state())))
            .or_else(|| {
                let fitted = self.current().pool.fitted()?;
                named(fitted.computed.definition, &fitted.computed.unseen)
            })
    }
}

impl Settings {
    /// What made the id of a decision, if it was a text that its caller gave, for a visitor of whom a receipt keeps so much or for one that
    /// gave no id. Earlier builds made all of the text alone.
    #[must_use]
    pub fn seed_of(&self, decision: DecisionId, text: &str, visitor: u64) -> Option<Vec<u8>> {
        let made = |seed: &Vec<u8>| DecisionId::new(decision.time(), self.groups.wide_bits(seed)) == decision;
        [Some(visitor), None].into_iter().map(|visitor| given_seed(text, visitor)).find(made)
    }

    /// Draws again. `None` if every variation is excluded, or what it was drawn from or seeded by does not go with this definition.
    #[must_use]
    pub fn draw_again(
        &self,
        record: &DecisionRecord,
        allocated: &Allocated,
        excluded: &[Slot],
        by: SeededBy<'_>,
    ) -> Option<Redrawn> {
        let tail = record.decision.0.to_le_bytes();
        let (seed, uniform) = match (self.definition.unit, by) {
            (Unit::Decision, SeededBy::Id) => (&tail[..10], self.draw.uniform(&tail[..10])),
            (Unit::Decision, SeededBy::Given(seed)) => (seed, self.draw.uniform(seed)),
            // No policy that learns from features keeps visitors with what is drawn: nothing else needs a seed.
            (Unit::Visitor, SeededBy::Visitor { visitor, replaces }) => {
                (&[][..], sticky_uniform(self, visitor, replaces))
            }
            (Unit::Decision, SeededBy::Visitor { .. }) | (Unit::Visitor, SeededBy::Id | SeededBy::Given(_)) => {
                return None;
            }
        };
        let shares = match (allocated, self.contextual()) {
            (Allocated::Shares { definition, shares }, _) => shares_under(self, *definition, shares),
            (Allocated::Beliefs(beliefs), Some(contextual)) => {
                beliefs.shares(&contextual.arms, &record.features, Seed(contextual.scores.bits(seed)))
            }
            (Allocated::Beliefs(_), None) => return None,
        };
        let eligible: Vec<bool> = self.slots_by_key().iter().map(|slot| !excluded.contains(slot)).collect();
        let propensities = project(&shares, &eligible, self.floors())?;
        let variation = self.variation_at(draw(&propensities, uniform));
        Some(Redrawn { shares, propensities, uniform, variation })
    }
}
