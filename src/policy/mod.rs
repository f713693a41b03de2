//! Layer 2: evidence to an allocation. A policy maps what each variation has shown so far to a share of traffic; one
//! draw from those shares is a decision, so that every propensity is read off and never estimated.
//!
//! Invariant: a policy never chooses, never sees a clock, a segment's name or a store, and gives the same shares for the
//! same evidence. Adding one is a file here and a line in [`REGISTRY`].

pub mod allocation;
pub mod belief;
pub mod best_arm;
pub mod epsilon_greedy;
pub mod fixed;
pub mod information_directed;
pub mod parameters;
pub mod thompson;
pub mod top_two;
pub mod ucb;
pub mod uniform;

use std::fmt;

use crate::domain::GoalKind;
use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::posterior::Beta;

pub use crate::posterior::Arm;
pub use parameters::{Parameter, ParameterSpec, Parameters, PolicyError};

/// What a score is made of: `per_reward` times the mean reward (the rate, where rewards are conversions), and `per_exposure`,
/// which a cost makes negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    /// What one unit of reward is worth.
    pub per_reward: f64,
    /// What each exposure is worth by itself.
    pub per_exposure: f64,
}

/// Everything an allocation is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// One entry per variation of the definition, in order of their keys, so that the order in which a definition lists
    /// them changes nothing. 1 to 256.
    pub arms: &'a [Arm],
    /// What the rewards are.
    pub kind: GoalKind,
    /// By arm, what is maximised where that is not the mean reward itself; empty where it is.
    pub worths: &'a [Worth],
    /// Seeds Monte-Carlo draws where a policy needs them: a hash of everything else the allocation depends on.
    pub seed: Seed,
}

impl<'a> Evidence<'a> {
    /// Conversions, to be maximised as they are.
    #[must_use]
    pub const fn of(arms: &'a [Arm], seed: Seed) -> Self {
        Self { arms, kind: GoalKind::Conversion, worths: &[], seed }
    }
}

/// Whose evidence a segment's allocation is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Each segment on its own.
    None,
    /// One allocation for all segments together.
    Complete,
}

/// A function from evidence to shares.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Whose evidence it wants.
    fn pooling(&self) -> Pooling;

    /// Whether evidence can change the shares; where it cannot, an allocation never needs to be computed again.
    fn learns(&self) -> bool {
        true
    }

    /// What is believed of every arm before its first exposure; reports begin from it too.
    fn prior(&self) -> Beta {
        Beta::UNIFORM
    }

    /// The share of each arm, in the order given: finite, not negative, summing to 1 within 1e-9.
    fn allocate(&self, evidence: &Evidence<'_>) -> Vec<f64>;
}

/// Makes a policy from complete parameters and the variations' keys, which are sorted.
pub type Build = fn(&Parameters, &[VariationKey]) -> Result<Box<dyn Policy>, PolicyError>;

/// One kind of policy, as users know it.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// What stands under `policy.kind` in a definition.
    pub kind: &'static str,
    /// One line for help.
    pub summary: &'static str,
    /// Every parameter it takes; any other is refused.
    pub parameters: &'static [ParameterSpec],
    /// Parameters that are allowed with these variations, for help, and for the tests that run on every kind.
    pub example: fn(&[VariationKey]) -> Parameters,
    /// Makes the policy.
    pub build: Build,
}

/// Every kind of policy, in the order in which help lists them.
pub const REGISTRY: &[Registration] = &[
    thompson::REGISTRATION,
    information_directed::REGISTRATION,
    top_two::REGISTRATION,
    ucb::REGISTRATION,
    epsilon_greedy::REGISTRATION,
    uniform::REGISTRATION,
    fixed::REGISTRATION,
];

/// The kind of policy with this name.
///
/// # Errors
/// [`PolicyError::UnknownKind`], which lists the kinds there are.
pub fn registration(kind: &str) -> Result<&'static Registration, PolicyError> {
    REGISTRY.iter().find(|entry| entry.kind == kind).ok_or_else(|| PolicyError::UnknownKind {
        given: parameters::excerpt(kind),
        allowed: parameters::join(REGISTRY.iter().map(|entry| entry.kind)),
    })
}

/// The parameters given, and the default of every other: definitions are stored complete, so that a new release changes no
/// running experiment. Values are checked by [`build`].
///
/// # Errors
/// [`PolicyError`] for an unknown kind or parameter, or a missing parameter that has no default.
pub fn with_defaults(kind: &str, given: &Parameters) -> Result<Parameters, PolicyError> {
    let registration = registration(kind)?;
    if let Some((name, _)) =
        given.iter().find(|(name, _)| registration.parameters.iter().all(|spec| spec.name != *name))
    {
        return Err(PolicyError::UnknownParameter {
            kind: registration.kind,
            given: parameters::excerpt(name),
            allowed: match registration.parameters {
                [] => "none".to_owned(),
                specs => parameters::join(specs.iter().map(|spec| spec.name)),
            },
        });
    }
    registration
        .parameters
        .iter()
        .map(|spec| {
            let value = given.get(spec.name).cloned().or_else(spec.default).ok_or_else(|| spec.missing())?;
            Ok((spec.name.to_owned(), value))
        })
        .collect()
}

/// Makes a policy for variations whose keys are sorted, with defaults for what is not given.
///
/// # Errors
/// [`PolicyError`] names the field, what was given and what is allowed.
///
/// # Panics
/// If the keys are none, more than [`best_arm::ARMS_MAX`], or not in strictly ascending order.
pub fn build(kind: &str, given: &Parameters, variations: &[VariationKey]) -> Result<Box<dyn Policy>, PolicyError> {
    assert!((1..=best_arm::ARMS_MAX).contains(&variations.len()), "a policy for {} variations", variations.len());
    assert!(variations.is_sorted_by(|a, b| a < b), "variations out of order");
    (registration(kind)?.build)(&with_defaults(kind, given)?, variations)
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
