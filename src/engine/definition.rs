//! The settings of an experiment as they are stored: complete, with every default written out.

use std::sync::Arc;

use crate::domain::{AttributeName, ExperimentKey, GoalKey, Probability, RuleName, Span, Timestamp, VariationKey};
use crate::policy::Parameters;

/// Whether an experiment decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not started yet.
    Draft,
    /// Deciding and learning, within its schedule.
    Running,
    /// Answers the default until started again; rewards still count.
    Paused,
    /// Answers the default for good; rewards still count.
    Ended,
}

/// What is randomised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Each request draws anew.
    Decision,
}

/// What a decision's answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: its exposure is on disk within the commit interval.
    Group,
    /// Its exposure being on disk.
    Sync,
}

/// An experiment's settings. Its variations are not empty and the first is the default; one goal is primary.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name in addresses.
    pub key: ExperimentKey,
    /// What is randomised.
    pub unit: Unit,
    /// Share of visitors that take part; the rest get the default, unrecorded.
    pub traffic: Probability,
    /// Share of visitors that always get the default, recorded apart.
    pub control: Probability,
    /// A CEL condition: who does not match gets the default, unrecorded.
    pub audience: Option<String>,
    /// When it runs.
    pub schedule: Schedule,
    /// What can be shown: 1 to 256, keys unique.
    pub variations: Vec<Variation>,
    /// How visitors are divided.
    pub segments: Segments,
    /// Length of a recent time bucket; divides a day.
    pub bucket: Span,
    /// How traffic is allocated.
    pub policy: PolicyChoice,
    /// What is measured: 1 to 32, keys unique.
    pub goals: Vec<Goal>,
    /// What a decision's answer waits for.
    pub durability: Durability,
}

/// From when to when an experiment runs; open where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// First instant.
    pub starts: Option<Timestamp>,
    /// First instant after it.
    pub ends: Option<Timestamp>,
}

/// One of the things that can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variation {
    /// Stable, never reused.
    pub key: VariationKey,
    /// JSON, opaque to everything below http.
    pub payload: Arc<str>,
}

/// How visitors are divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segments {
    /// One segment, `all`.
    All,
    /// A cross product of attributes' values.
    By(Vec<AttributeName>),
    /// The first rule that matches names the segment; `other` if none does.
    Rules(Vec<Rule>),
}

/// A named segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The segment's name; neither `all` nor `other`.
    pub name: RuleName,
    /// A CEL condition.
    pub when: String,
}

/// Which policy, with what.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyChoice {
    /// Its kind in the registry.
    pub kind: String,
    /// All its parameters.
    pub parameters: Parameters,
    /// Least probability of every eligible variation.
    pub floor: f64,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// Its name in rewards.
    pub key: GoalKey,
    /// What it is for.
    pub role: Role,
    /// How long after the decision a reward counts.
    pub window: Span,
}

/// What a goal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the policy maximises.
    Primary,
    /// Reported.
    Secondary,
    /// Reported as something that must not fall.
    Guardrail,
}
