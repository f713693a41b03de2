//! Definitions.

use bincode::{BorrowDecode, Encode};

use crate::domain::{AttributeName, GoalKey, InvalidId, Probability, RuleName, Span, Timestamp, VariationKey};
use crate::engine::definition::{
    Definition, Durability, Goal, OnFinish, PolicyChoice, Role, Rule, Schedule, Segments, Status, StoppingRule, Unit,
    Variation,
};
use crate::policy::{Parameter, Parameters};
use crate::store::record::Checked;
use crate::store::record::event::experiment_key;

#[derive(Encode, BorrowDecode)]
pub(super) struct StoredDefinition<'a> {
    key: &'a str,
    unit: StoredUnit,
    traffic: f64,
    control: f64,
    audience: Option<&'a str>,
    starts: Option<u64>,
    ends: Option<u64>,
    /// Key and payload.
    variations: Vec<(&'a str, &'a str)>,
    segments: StoredSegments<'a>,
    bucket: u64,
    policy_kind: &'a str,
    policy_parameters: Vec<(&'a str, StoredParameter<'a>)>,
    policy_floor: f64,
    goals: Vec<StoredGoal<'a>>,
    durability: StoredDurability,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum StoredStatus {
    Draft,
    Running,
    Paused,
    Ended,
}

#[derive(Encode, BorrowDecode)]
enum StoredUnit {
    Decision,
    Visitor,
}

#[derive(Encode, BorrowDecode)]
enum StoredDurability {
    Group,
    Sync,
}

#[derive(Encode, BorrowDecode)]
enum StoredSegments<'a> {
    All,
    By(Vec<&'a str>),
    /// Name and condition.
    Rules(Vec<(&'a str, &'a str)>),
}

#[derive(Encode, BorrowDecode)]
enum StoredParameter<'a> {
    Number(f64),
    Text(&'a str),
    Numbers(Vec<f64>),
    Shares(Vec<(&'a str, f64)>),
    Flag(bool),
}

#[derive(Encode, BorrowDecode)]
struct StoredGoal<'a> {
    key: &'a str,
    role: StoredRole,
    window: u64,
}

#[derive(Encode, BorrowDecode)]
enum StoredRole {
    Primary,
    Secondary,
    Guardrail,
}

impl<'a> From<&'a Definition> for StoredDefinition<'a> {
    fn from(definition: &'a Definition) -> Self {
        Self {
            key: definition.key.as_str(),
            unit: match definition.unit {
                Unit::Decision => StoredUnit::Decision,
                Unit::Visitor => StoredUnit::Visitor,
            },
            traffic: definition.traffic.get(),
            control: definition.control.get(),
            audience: definition.audience.as_deref(),
            starts: definition.schedule.starts.map(Timestamp::as_millis),
            ends: definition.schedule.ends.map(Timestamp::as_millis),
            variations: definition.variations.iter().map(|v| (v.key.as_str(), &*v.payload)).collect(),
            segments: match &definition.segments {
                Segments::All => StoredSegments::All,
                Segments::By(names) => StoredSegments::By(names.iter().map(AttributeName::as_str).collect()),
                Segments::Rules(rules) => {
                    StoredSegments::Rules(rules.iter().map(|rule| (rule.name.as_str(), &*rule.when)).collect())
                }
            },
            bucket: definition.bucket.as_millis(),
            policy_kind: &definition.policy.kind,
            policy_parameters: definition
                .policy
                .parameters
                .iter()
                .map(|(name, parameter)| (name, parameter.into()))
                .collect(),
            policy_floor: definition.policy.floor,
            goals: definition.goals.iter().map(StoredGoal::from).collect(),
            durability: match definition.durability {
                Durability::Group => StoredDurability::Group,
                Durability::Sync => StoredDurability::Sync,
            },
        }
    }
}

impl TryFrom<StoredDefinition<'_>> for Definition {
    type Error = String;

    fn try_from(stored: StoredDefinition<'_>) -> Checked<Self> {
        let variations = stored.variations.into_iter().map(variation).collect::<Checked<Vec<_>>>()?;
        let goals = stored.goals.into_iter().map(StoredGoal::restore).collect::<Checked<Vec<_>>>()?;
        if variations.is_empty() || goals.iter().filter(|goal| goal.role == Role::Primary).count() != 1 {
            return Err("a definition without variations, or without one primary goal".into());
        }
        if stored.bucket == 0 {
            return Err("time buckets without length".into());
        }
        Ok(Self {
            key: experiment_key(stored.key)?,
            unit: match stored.unit {
                StoredUnit::Decision => Unit::Decision,
                StoredUnit::Visitor => Unit::Visitor,
            },
            traffic: probability(stored.traffic)?,
            control: probability(stored.control)?,
            audience: stored.audience.map(str::to_owned),
            schedule: Schedule {
                starts: stored.starts.map(Timestamp::from_millis),
                ends: stored.ends.map(Timestamp::from_millis),
            },
            variations,
            segments: stored.segments.restore()?,
            bucket: Span::from_millis(stored.bucket),
            policy: PolicyChoice {
                floor: probability(stored.policy_floor)?.get(),
                ..PolicyChoice::new(stored.policy_kind, parameters(stored.policy_parameters)?)
            },
            goals,
            durability: match stored.durability {
                StoredDurability::Group => Durability::Group,
                StoredDurability::Sync => Durability::Sync,
            },
            budget: None,
            stopping: StoppingRule::default(),
            on_finish: OnFinish::Keep,
            attributes: Vec::new(),
            interactions: Vec::new(),
            group: None,
        })
    }
}

impl From<Status> for StoredStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Draft => Self::Draft,
            Status::Running => Self::Running,
            Status::Paused => Self::Paused,
            Status::Ended => Self::Ended,
        }
    }
}

impl From<StoredStatus> for Status {
    fn from(stored: StoredStatus) -> Self {
        match stored {
            StoredStatus::Draft => Self::Draft,
            StoredStatus::Running => Self::Running,
            StoredStatus::Paused => Self::Paused,
            StoredStatus::Ended => Self::Ended,
        }
    }
}

impl StoredSegments<'_> {
    fn restore(self) -> Checked<Segments> {
        Ok(match self {
            Self::All => Segments::All,
            Self::By(names) => {
                let names = names.into_iter().map(AttributeName::new).collect::<Result<Vec<_>, InvalidId>>();
                Segments::By(names.map_err(|invalid| invalid.to_string())?)
            }
            Self::Rules(rules) => Segments::Rules(rules.into_iter().map(rule).collect::<Checked<Vec<_>>>()?),
        })
    }
}

impl<'a> From<&'a Parameter> for StoredParameter<'a> {
    fn from(parameter: &'a Parameter) -> Self {
        match parameter {
            Parameter::Number(number) => Self::Number(*number),
            Parameter::Text(text) => Self::Text(text),
            Parameter::Numbers(numbers) => Self::Numbers(numbers.clone()),
            Parameter::Shares(shares) => {
                Self::Shares(shares.iter().map(|(name, share)| (name.as_str(), *share)).collect())
            }
            Parameter::Flag(flag) => Self::Flag(*flag),
        }
    }
}

impl StoredParameter<'_> {
    fn restore(self) -> Checked<Parameter> {
        let finite = |number: f64| match number.is_finite() {
            true => Ok(number),
            false => Err(format!("the parameter {number} is not finite")),
        };
        Ok(match self {
            Self::Number(number) => Parameter::Number(finite(number)?),
            Self::Text(text) => Parameter::Text(text.to_owned()),
            Self::Numbers(numbers) => Parameter::Numbers(numbers.into_iter().map(finite).collect::<Checked<_>>()?),
            Self::Shares(shares) => Parameter::Shares(
                shares
                    .into_iter()
                    .map(|(name, share)| Ok((name.to_owned(), finite(share)?)))
                    .collect::<Checked<_>>()?,
            ),
            Self::Flag(flag) => Parameter::Flag(flag),
        })
    }
}

impl<'a> From<&'a Goal> for StoredGoal<'a> {
    fn from(goal: &'a Goal) -> Self {
        let role = match goal.role {
            Role::Primary => StoredRole::Primary,
            Role::Secondary => StoredRole::Secondary,
            Role::Guardrail => StoredRole::Guardrail,
        };
        Self { key: goal.key.as_str(), role, window: goal.window.as_millis() }
    }
}

impl StoredGoal<'_> {
    fn restore(self) -> Checked<Goal> {
        let role = match self.role {
            StoredRole::Primary => Role::Primary,
            StoredRole::Secondary => Role::Secondary,
            StoredRole::Guardrail => Role::Guardrail,
        };
        Ok(Goal::conversion(goal_key(self.key)?, role, Span::from_millis(self.window)))
    }
}

pub(super) fn variation_key(text: &str) -> Checked<VariationKey> {
    VariationKey::new(text).map_err(|invalid| invalid.to_string())
}

pub(super) fn goal_key(text: &str) -> Checked<GoalKey> {
    GoalKey::new(text).map_err(|invalid| invalid.to_string())
}

fn variation((key, payload): (&str, &str)) -> Checked<Variation> {
    Ok(Variation::new(variation_key(key)?, payload))
}

fn rule((name, when): (&str, &str)) -> Checked<Rule> {
    let name = RuleName::new(name).map_err(|invalid| invalid.to_string())?;
    Ok(Rule { name, when: when.to_owned() })
}

fn parameters(stored: Vec<(&str, StoredParameter<'_>)>) -> Checked<Parameters> {
    stored.into_iter().map(|(name, parameter)| Ok((name.to_owned(), parameter.restore()?))).collect()
}

fn probability(number: f64) -> Checked<Probability> {
    Probability::new(number).ok_or_else(|| format!("{number} is not within 0 and 1"))
}
