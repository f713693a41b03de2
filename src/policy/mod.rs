//! Layer 2: evidence to an allocation. A policy maps what each variation has shown so far to a share of traffic; one
//! draw from those shares is a decision, so that every propensity is read off and never estimated.
//!
//! Most policies know visitors by their segment alone; contextual ones ([`contextual`]) learn from features of each visitor.
//!
//! Invariant: a policy never chooses, never sees a clock, a segment's name or a store, and gives the same shares for the
//! same evidence. Adding one is a file here and a line in [`REGISTRY`].

pub mod allocation;
pub mod belief;
pub mod best_arm;
pub mod contextual;
pub mod epsilon_greedy;
pub mod fixed;
pub mod linear_thompson;
pub mod linear_ucb;
pub mod logistic_thompson;
pub mod parameters;
pub mod price;
pub mod thompson;
pub mod uniform;

use std::fmt;

use crate::domain::GoalKind;
use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::posterior::Beta;
use crate::posterior::pooling::{Fit, expected_visitors};

pub use crate::posterior::Arm;
pub use contextual::{ContextualModel, ContextualPolicy};
pub use parameters::{Parameter, ParameterSpec, Parameters, PolicyError, Setting};

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
    /// What all segments say together, for partial pooling: of the same kind and arms. Without it a segment is pooled with
    /// itself alone.
    pub fit: Option<&'a Fit>,
    /// The visitors that the segment will have had at the end, those so far included; for partial pooling.
    pub expected_visitors: f64,
    /// Seeds Monte-Carlo draws where a policy needs them: a hash of everything else the allocation depends on.
    pub seed: Seed,
}

impl<'a> Evidence<'a> {
    /// Conversions of a segment by itself, to be maximised as they are.
    #[must_use]
    pub fn of(arms: &'a [Arm], seed: Seed) -> Self {
        let expected_visitors = expected_visitors(arms);
        Self { arms, kind: GoalKind::Conversion, worths: &[], fit: None, expected_visitors, seed }
    }
}

/// Whose evidence a segment's allocation is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Each segment on its own.
    None,
    /// Each segment on its own counts and on a fit to all segments.
    Partial,
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

/// Makes a contextual policy from complete parameters; variations may come and go under it.
pub type BuildContextual = fn(&Parameters) -> Result<Box<dyn ContextualPolicy>, PolicyError>;

/// How the policies of one kind are made.
#[derive(Debug, Clone, Copy)]
pub enum Builder {
    /// From what each segment's variations have shown.
    Segments(Build),
    /// From each visitor's features.
    Contextual(BuildContextual),
}

/// A policy of either sort.
#[derive(Debug)]
pub enum Built {
    /// It gives the shares of a segment.
    Segments(Box<dyn Policy>),
    /// It gives the shares of a visitor.
    Contextual(Box<dyn ContextualPolicy>),
}

/// One kind of policy, as users know it.
#[derive(Debug, Clone, Copy)]
pub struct Registration<B = Build> {
    /// What stands under `policy.kind` in a definition.
    pub kind: &'static str,
    /// One line for help.
    pub summary: &'static str,
    /// Every parameter it takes; any other is refused.
    pub parameters: &'static [ParameterSpec],
    /// Parameters that are allowed with these variations, for help, and for the tests that run on every kind.
    pub example: fn(&[VariationKey]) -> Parameters,
    /// Makes the policy.
    pub build: B,
}

impl Registration {
    const fn segments(self) -> Registration<Builder> {
        let Self { kind, summary, parameters, example, build } = self;
        Registration { kind, summary, parameters, example, build: Builder::Segments(build) }
    }
}

impl Registration<BuildContextual> {
    const fn contextual(self) -> Registration<Builder> {
        let Self { kind, summary, parameters, example, build } = self;
        Registration { kind, summary, parameters, example, build: Builder::Contextual(build) }
    }
}

/// Every kind of policy, in the order in which help lists them.
pub const REGISTRY: &[Registration<Builder>] = &[
    thompson::REGISTRATION.segments(),
    epsilon_greedy::REGISTRATION.segments(),
    uniform::REGISTRATION.segments(),
    fixed::REGISTRATION.segments(),
    linear_thompson::REGISTRATION.contextual(),
    linear_ucb::REGISTRATION.contextual(),
    logistic_thompson::REGISTRATION.contextual(),
];

/// The kind of policy with this name.
///
/// # Errors
/// [`PolicyError::UnknownKind`], which lists the kinds there are.
pub fn registration(kind: &str) -> Result<&'static Registration<Builder>, PolicyError> {
    REGISTRY.iter().find(|entry| entry.kind == kind).ok_or_else(|| PolicyError::UnknownKind {
        given: parameters::excerpt(kind),
        allowed: parameters::join(REGISTRY.iter().map(|entry| entry.kind)),
    })
}

/// The parameters given, and the default of every other: definitions are stored complete, so that a new release changes no
/// running experiment. A default may depend on how many variations there are and on other parameters. Values are checked by
/// [`build`].
///
/// # Errors
/// [`PolicyError`] for an unknown kind or parameter, or a missing parameter that has no default.
pub fn with_defaults(kind: &str, given: &Parameters, variations_count: usize) -> Result<Parameters, PolicyError> {
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
    let mut complete = given.clone();
    for spec in registration.parameters {
        if complete.get(spec.name).is_none() {
            let setting = Setting { parameters: &complete, variations_count };
            let value = (spec.default)(&setting).ok_or_else(|| spec.missing())?;
            complete = complete.with(spec.name, value);
        }
    }
    Ok(complete)
}

/// Makes a policy of either sort for variations whose keys are sorted, with defaults for what is not given.
///
/// # Errors
/// [`PolicyError`] names the field, what was given and what is allowed.
///
/// # Panics
/// If the keys are none, more than [`best_arm::ARMS_MAX`], or not in strictly ascending order.
pub fn build_any(kind: &str, given: &Parameters, variations: &[VariationKey]) -> Result<Built, PolicyError> {
    assert!((1..=best_arm::ARMS_MAX).contains(&variations.len()), "a policy for {} variations", variations.len());
    assert!(variations.is_sorted_by(|a, b| a < b), "variations out of order");
    let complete = with_defaults(kind, given, variations.len())?;
    match registration(kind)?.build {
        Builder::Segments(build) => build(&complete, variations).map(Built::Segments),
        Builder::Contextual(build) => build(&complete).map(Built::Contextual),
    }
}

/// Makes a policy that knows visitors by their segment alone: [`build_any`] where no other is wanted.
///
/// # Errors
/// [`PolicyError`] names the field, what was given and what is allowed; a contextual kind is refused.
///
/// # Panics
/// As [`build_any`].
pub fn build(kind: &str, given: &Parameters, variations: &[VariationKey]) -> Result<Box<dyn Policy>, PolicyError> {
    match build_any(kind, given, variations)? {
        Built::Segments(policy) => Ok(policy),
        Built::Contextual(_) => Err(PolicyError::Refused {
            field: "policy.kind".to_owned(),
            given: format!("{kind:?}, which learns from features,"),
            allowed: parameters::join(segment_kinds().map(|entry| entry.kind)),
        }),
    }
}

/// The kinds of policies that know visitors by their segment alone.
pub fn segment_kinds() -> impl Iterator<Item = &'static Registration<Builder>> {
    REGISTRY.iter().filter(|entry| matches!(entry.build, Builder::Segments(_)))
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
