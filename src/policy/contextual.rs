//! Policies that look at the visitor: features to shares, with a belief about the weights of each variation.
//!
//! Variations have weights of their own, so that any feature may matter more for one than for another, and a variation can
//! come or go without touching what the others know. Everything about a visitor is in the features: nothing here sees a
//! context, a schema or a segment.

mod disjoint;
mod scoring;

use std::any::Any;
use std::fmt;

use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Features;
use crate::domain::Seed;
use crate::policy::PolicyError;
use crate::policy::parameters::{Parameter, ParameterSpec, Parameters};
use crate::posterior::learner::{InvalidState, State};

pub use disjoint::Disjoint;
pub use scoring::{Beliefs, Rule};

/// The features that a model will see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// One more than the highest index: 1 to [`Features::MAX_DIMENSIONS`].
    pub dimensions: usize,
    /// How many different features there can be, if all of them are 0 or 1.
    pub patterns: Option<u64>,
}

/// A way to learn and to decide from features.
pub trait ContextualPolicy: Send + Sync + fmt::Debug {
    /// A model that has learned nothing.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] where a parameter does not go with features of this shape.
    fn model(&self, shape: &Shape) -> Result<Box<dyn ContextualModel>, PolicyError>;
}

/// What a contextual policy has learned. Arms are the slots of variations: any number below 65,536, known or new.
///
/// In all of it, features with an index beyond the model's dimensions are features of another schema, and a panic.
pub trait ContextualModel: Any + Send + Sync + fmt::Debug {
    /// An exposure, learned from at once as one that earned nothing.
    fn expose(&mut self, arm: usize, features: &Features);

    /// What an earlier exposure with these features earned beyond what was known: 1 for a conversion, the amount for
    /// revenue; negative where it is taken back.
    fn reward(&mut self, arm: usize, features: &Features, value: f64);

    /// Brings beliefs up to date where learning only takes notes; called off the request path, before a snapshot.
    fn settle(&mut self);

    /// The share of each arm, in the order given: finite, not negative, summing to 1 within 1e-9, and the same bits for
    /// the same seed. The arm is drawn from these, so that they are exact propensities whatever draws they are counted
    /// from (STATISTICS §6c).
    ///
    /// # Panics
    /// If there are no arms.
    fn shares(&self, arms: &[usize], features: &Features, seed: Seed) -> Vec<f64>;

    /// The place in `arms` of one choice, which has no propensity: for simulations, where that is the faster way.
    ///
    /// # Panics
    /// If there are no arms.
    fn choose(&self, arms: &[usize], features: &Features, rng: &mut Xoshiro256PlusPlus) -> usize;

    /// What decisions need of it, as it is now. Cheap: what is learned later is written to a copy.
    fn snapshot(&self) -> Beliefs;

    /// Whether the order in which exposures and rewards come changes more than roundings.
    fn order_matters(&self) -> bool;

    /// The arms of which anything was learned, ascending.
    fn known(&self) -> Vec<usize>;

    /// What was learned of an arm, exact to the bit; nothing of an arm that is not known.
    fn save(&self, arm: usize) -> Option<State>;

    /// Makes an arm what was saved.
    ///
    /// # Errors
    /// [`InvalidState`] if it was saved from another kind of model or for other features; nothing is changed then.
    fn restore(&mut self, arm: usize, state: &State) -> Result<(), InvalidState>;

    /// Adds what a model of the same policy and shape has learned; `false`, and nothing is changed, where order matters
    /// or the model is of another kind.
    #[must_use]
    fn merge(&mut self, other: &dyn ContextualModel) -> bool;
}

/// `draws`, for contextual policies.
pub const DRAWS: ParameterSpec = ParameterSpec {
    name: "draws",
    summary: "draws for each visitor that shares are counted from",
    allowed: "a whole number from 16 to 4096",
    default: |_| Some(Parameter::Number(64.0)),
};

/// `intercept_sd`, for contextual policies.
pub const INTERCEPT_SD: ParameterSpec = ParameterSpec {
    name: "intercept_sd",
    summary: "how far from 0 the score of a visitor without features may lie: a standard deviation",
    allowed: SD_ALLOWED,
    default: |_| Some(Parameter::Number(1.0)),
};

/// What the standard deviations of priors may be.
pub(crate) const SD_ALLOWED: &str = "a number from 0.001 to 1000";

/// Reads a standard deviation.
///
/// # Errors
/// [`PolicyError::Refused`].
pub(crate) fn sd(parameters: &Parameters, spec: &ParameterSpec) -> Result<f64, PolicyError> {
    parameters.number(spec, 0.001, 1_000.0)
}

/// Reads [`DRAWS`] and the sharpening into a rule.
///
/// # Errors
/// [`PolicyError::Refused`].
pub(crate) fn thompson(parameters: &Parameters) -> Result<Rule, PolicyError> {
    let draws = parameters.number(&DRAWS, 16.0, 4_096.0)?;
    if draws.fract() > 0.0 {
        return Err(DRAWS.refuse(&Parameter::Number(draws)));
    }
    let sharpening = parameters.number(&crate::policy::parameters::SHARPENING, 0.1, 8.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to 4,096")]
    let draws = draws as usize;
    Ok(Rule::Thompson { scale: sharpening.sqrt().recip(), draws })
}

/// Prior standard deviations of the weights: the intercept's, then that of all others.
pub(crate) fn prior_sds(dimensions: usize, intercept: f64, others: f64) -> Vec<f64> {
    (0..dimensions).map(|index| if index == 0 { intercept } else { others }).collect()
}

#[cfg(test)]
mod conformance;
