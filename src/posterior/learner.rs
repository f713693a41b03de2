//! What is learned of one variation's weights, whatever the model.

use std::fmt;
use std::sync::Arc;

use crate::domain::Features;
use crate::posterior::Gaussian;

/// A learner as plain numbers, exact to the bit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Counts, and what is counted.
    pub counts: Vec<u64>,
    /// Everything else.
    pub numbers: Vec<f64>,
}

/// A state that does not belong to the learner it is given to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the saved state of a learner has {counts} counts and {numbers} numbers, which do not fit {dimensions} features"
)]
pub struct InvalidState {
    /// How many counts it has.
    pub counts: usize,
    /// How many numbers it has.
    pub numbers: usize,
    /// How many features the learner has.
    pub dimensions: usize,
}

/// Learns the weights of one variation from exposures and rewards.
///
/// An exposure is learned from at once, as one that earned nothing; a reward then adds what it did earn. So nothing waits
/// for a reward, and a late one costs what an early one does.
pub trait Learner: Clone + Send + Sync + fmt::Debug {
    /// Whether the order of exposures and rewards changes more than roundings: then it cannot be merged either.
    const ORDER_MATTERS: bool;

    /// What is believed of the weights, shared with whoever decides by it: what is learned later is written to a copy.
    fn belief(&self) -> &Arc<Gaussian>;

    /// An exposure.
    ///
    /// # Panics
    /// Here and in [`Learner::reward`], if there is a feature for which there is no weight: features of another schema.
    fn expose(&mut self, features: &Features);

    /// What an earlier exposure earned beyond what was known; negative where it is taken back.
    fn reward(&mut self, features: &Features, value: f64);

    /// Brings the belief up to date where [`Learner::expose`] and [`Learner::reward`] only take notes.
    fn settle(&mut self);

    /// Adds what another has learned that began with the same prior; `false`, and nothing is changed, where
    /// [`Learner::ORDER_MATTERS`].
    #[must_use]
    fn merge(&mut self, other: &Self) -> bool;

    /// All of it.
    fn save(&self) -> State;

    /// Becomes what was saved: afterwards every bit is what it was.
    ///
    /// # Errors
    /// [`InvalidState`] if it was saved with other dimensions or by another model; nothing is changed then.
    fn restore(&mut self, state: &State) -> Result<(), InvalidState>;
}

/// The largest reward that is learned from, either way: that of STATISTICS §1 in minor units. Beyond it, and for what is
/// no number, the nearest value and 0 are learned, so that no reward from outside can make a belief infinite.
const REWARD_MAX: f64 = 1_099_511_627_776.0;

/// A reward within bounds.
pub(crate) fn bounded(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(-REWARD_MAX, REWARD_MAX) }
}
