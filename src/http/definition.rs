//! Definitions as JSON: the same shape in and out, with every default written out on the way in.

mod read;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{Aggregation, GoalKind};
use crate::engine::definition::{Delay, Durability, Objective, OnFinish, Role, Status};

pub(crate) use read::read;
pub(crate) use write::write;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefinitionBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    unit: Option<String>,
    traffic: Option<f64>,
    control: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleBody>,
    variations: Vec<VariationBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<SegmentsBody>,
    bucket: Option<String>,
    policy: Option<Map<String, Value>>,
    goals: Vec<GoalBody>,
    durability: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetBody>,
    stopping: Option<StoppingBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interactions: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupBody>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GroupBody {
    key: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ScheduleBody {
    starts: Option<String>,
    ends: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct VariationBody {
    key: String,
    #[serde(default)]
    payload: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_per_conversion: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AttributeBody {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bins: Option<Vec<f64>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BudgetBody {
    amount: f64,
    visitors: u64,
    #[serde(default)]
    hard: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoppingBody {
    value_remaining: Option<f64>,
    probability: Option<f64>,
    equivalence: Option<f64>,
    span_min: Option<String>,
    conversions_min: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposures_max: Option<u64>,
    on_finish: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SegmentsBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleBody>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    name: String,
    when: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GoalBody {
    key: String,
    kind: Option<String>,
    role: Option<String>,
    window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<i64>,
    rewards: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worth: Option<f64>,
    delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_delay: Option<String>,
}

/// Words of a field and what they mean, in the order in which refusals list them; both ways are read off the same table.
type Words<T> = &'static [(&'static str, T)];

const STATUSES: Words<Status> =
    &[("draft", Status::Draft), ("running", Status::Running), ("paused", Status::Paused), ("ended", Status::Ended)];
const KINDS: Words<GoalKind> =
    &[("conversion", GoalKind::Conversion), ("revenue", GoalKind::Revenue), ("count", GoalKind::Count)];
const ROLES: Words<Role> =
    &[("primary", Role::Primary), ("secondary", Role::Secondary), ("guardrail", Role::Guardrail)];
const AGGREGATIONS: Words<Aggregation> =
    &[("first", Aggregation::First), ("sum", Aggregation::Sum), ("last", Aggregation::Last)];
const DELAYS: Words<Delay> = &[("survival", Delay::Survival), ("wait", Delay::Wait), ("none", Delay::None)];
const OBJECTIVES: Words<Objective> = &[("goal", Objective::Goal), ("margin", Objective::Margin)];
const ON_FINISH: Words<OnFinish> = &[("keep", OnFinish::Keep), ("end", OnFinish::End)];
const DURABILITIES: Words<Durability> = &[("group", Durability::Group), ("sync", Durability::Sync)];

/// The word for a value of a table that has one for every value.
fn word<T: PartialEq>(words: Words<T>, value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

/// The word for a status.
pub(crate) fn status_word(status: Status) -> &'static str {
    word(STATUSES, &status)
}

/// The word for what is maximised.
pub(crate) fn objective_word(objective: Objective) -> &'static str {
    word(OBJECTIVES, &objective)
}
