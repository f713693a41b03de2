//! The settings of an experiment as they are stored: complete, with every default written out.

use std::sync::Arc;

use crate::domain::{
    Aggregation, AttributeName, Currency, ExperimentKey, GoalKey, GoalKind, GroupKey, Probability, RuleName, Span,
    Timestamp, VariationKey,
};
use crate::policy::Parameters;

pub use crate::domain::StoppingRule;
pub use crate::targeting::features::{Attribute, Encoding};

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
    /// The first draw is kept: a visitor stays with it.
    Visitor,
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
    /// What costed variations may spend; `None`: whatever pays.
    pub budget: Option<Budget>,
    /// When the report says that the experiment has said what it can.
    pub stopping: StoppingRule,
    /// What happens then.
    pub on_finish: OnFinish,
    /// What a contextual policy sees of a visitor.
    pub attributes: Vec<Attribute>,
    /// Pairs of them of which it sees every combination.
    pub interactions: Vec<(AttributeName, AttributeName)>,
    /// The experiments that it shares its visitors with; `None`: it takes whoever comes.
    pub group: Option<Group>,
}

/// A place in a group of experiments, of which a visitor takes part in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's name.
    pub key: GroupKey,
    /// Who is asked first: higher before lower, and equal ones in order of their keys. Within ±1,000,000.
    pub priority: i32,
}

/// What costed variations may spend over the experiment's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// In minor units of the primary goal's currency, above 0.
    pub amount: f64,
    /// Visitors it has to last for.
    pub visitors: u64,
    /// Whether costed variations are left out of the floor, so that exploring spends nothing on its own.
    pub hard: bool,
}

/// What happens once an experiment has said what it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFinish {
    /// The report says so.
    Keep,
    /// It ends.
    End,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// Stable, never reused.
    pub key: VariationKey,
    /// JSON, opaque to everything below http.
    pub payload: Arc<str>,
    /// What showing it costs, in minor units of the primary goal's currency; 0 to 2^40.
    pub cost: f64,
    /// What it costs with every conversion of the primary goal.
    pub cost_per_conversion: f64,
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
    /// How fast what was seen loses its weight.
    pub half_life: HalfLife,
    /// What is maximised.
    pub objective: Objective,
    /// Visitors expected in the whole run, if known: where few are left, exploring pays less.
    pub expected_visitors: Option<u64>,
}

/// How fast what was seen loses its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfLife {
    /// Never.
    Off,
    /// Half of it in so long.
    Fixed(Span),
    /// As it would have told each bucket's conversions apart best so far.
    Auto,
}

/// What a policy maximises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The primary goal.
    Goal,
    /// What the primary goal is worth, less the variations' costs.
    Margin,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// Its name in rewards.
    pub key: GoalKey,
    /// What its rewards are.
    pub kind: GoalKind,
    /// What it is for.
    pub role: Role,
    /// How long after the decision a reward counts.
    pub window: Span,
    /// Of its values; always there where it measures revenue.
    pub currency: Option<Currency>,
    /// Values beyond it, either way, are learned as it is (winsorised); 1 to 2^40.
    pub cap: Option<i64>,
    /// What several rewards of one decision come to.
    pub aggregation: Aggregation,
    /// What one conversion is worth, in minor units; above 0, up to 2^40. For conversions alone.
    pub worth: Option<f64>,
    /// What a policy makes of decisions whose window is still open.
    pub delay: Delay,
    /// How long after the decision half of its rewards are expected, until enough is known; `None`: a quarter of the window.
    pub typical_delay: Option<Span>,
}

/// What a policy makes of decisions whose window is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// They count as they stand: for rewards that come at once.
    None,
    /// They do not count yet.
    Wait,
    /// They count for the share of rewards that has usually come by their age.
    Survival,
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

impl Definition {
    /// A definition that says nothing but what it must: everything else has its default.
    #[must_use]
    pub fn new(key: ExperimentKey, variations: Vec<Variation>, goals: Vec<Goal>, policy: PolicyChoice) -> Self {
        Self {
            key,
            unit: Unit::Decision,
            traffic: Probability::ONE,
            control: Probability::ZERO,
            audience: None,
            schedule: Schedule::default(),
            variations,
            segments: Segments::All,
            bucket: Span::HOUR,
            policy,
            goals,
            durability: Durability::Group,
            budget: None,
            stopping: StoppingRule::default(),
            on_finish: OnFinish::Keep,
            attributes: Vec::new(),
            interactions: Vec::new(),
            group: None,
        }
    }

    /// Whether a variation costs something.
    #[must_use]
    pub fn costs(&self) -> bool {
        self.variations.iter().any(Variation::costs)
    }
}

impl Variation {
    /// A variation that costs nothing; `payload` is JSON.
    #[must_use]
    pub fn new(key: VariationKey, payload: impl Into<Arc<str>>) -> Self {
        Self { key, payload: payload.into(), cost: 0.0, cost_per_conversion: 0.0 }
    }

    /// Whether it costs something.
    #[must_use]
    pub fn costs(&self) -> bool {
        self.cost > 0.0 || self.cost_per_conversion > 0.0
    }
}

impl PolicyChoice {
    /// A kind with complete parameters, no floor, nothing forgotten, the primary goal maximised.
    #[must_use]
    pub fn new(kind: impl Into<String>, parameters: Parameters) -> Self {
        Self {
            kind: kind.into(),
            parameters,
            floor: 0.0,
            half_life: HalfLife::Off,
            objective: Objective::Goal,
            expected_visitors: None,
        }
    }
}

impl Goal {
    /// A goal whose rewards are conversions that come at once.
    #[must_use]
    pub const fn conversion(key: GoalKey, role: Role, window: Span) -> Self {
        Self {
            key,
            kind: GoalKind::Conversion,
            role,
            window,
            currency: None,
            cap: None,
            aggregation: Aggregation::First,
            worth: None,
            delay: Delay::None,
            typical_delay: None,
        }
    }
}
