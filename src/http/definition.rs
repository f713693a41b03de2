//! Definitions as JSON: the same shape in and out, with every default written out on the way in.

mod describe;
mod read;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{Aggregation, GoalKind};
use crate::engine::definition::{Delay, Durability, Objective, OnFinish, Role, Status, Unit};
use crate::http::openapi::schema;

pub(crate) use describe::{ObjectiveWord, StatusWord};
pub(crate) use read::read;
pub(crate) use write::write;

/// What an experiment is. Whatever is absent or `null` gets its default, and the answer writes it out.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Definition)]
pub(crate) struct DefinitionBody {
    /// As in the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Applies when the experiment is new, and is passed over afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<describe::StatusWord>)]
    status: Option<String>,
    /// What is randomised: `decision`, each request draws anew; `visitor`, the first draw is kept.
    #[schema(value_type = Option<describe::UnitWord>)]
    unit: Option<String>,
    /// Share of visitors that take part.
    #[schema(minimum = 0, maximum = 1, example = 1)]
    traffic: Option<f64>,
    /// Share of visitors that always get the default.
    #[schema(minimum = 0, maximum = 1, example = 0.05)]
    control: Option<f64>,
    /// A condition in CEL; who does not match gets the default, and nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "country in [\"FR\", \"DE\"]")]
    audience: Option<String>,
    /// From when to when it decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<ScheduleBody>,
    /// What can be shown. The first is the default.
    #[schema(min_items = 1, max_items = 256)]
    variations: Vec<VariationBody>,
    /// Into which segments visitors fall; one, `all`, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<SegmentsBody>,
    /// Length of a recent time bucket, 1m to 1d, dividing a day.
    #[schema(value_type = Option<schema::Span>)]
    bucket: Option<String>,
    /// How variations are chosen.
    #[schema(value_type = Option<describe::Policy>)]
    policy: Option<Map<String, Value>>,
    /// What is measured. Exactly one is primary: a single one is, without being told.
    #[schema(min_items = 1, max_items = 32)]
    goals: Vec<GoalBody>,
    /// `sync`: a decision is answered once its exposure is on disk.
    #[schema(value_type = Option<describe::DurabilityWord>)]
    durability: Option<String>,
    /// What costed variations may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetBody>,
    /// When the experiment has said what it can.
    stopping: Option<StoppingBody>,
    /// What a policy that learns from features sees of a visitor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeBody>,
    /// Pairs of attributes of which it sees every combination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<schema::AttributeName>>)]
    interactions: Vec<(String, String)>,
    /// Of experiments that share it, a visitor takes part in one at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupBody>,
}

/// Experiments that exclude each other.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Group)]
struct GroupBody {
    #[schema(value_type = schema::Key)]
    key: String,
    /// The higher one comes first.
    #[serde(default)]
    priority: i32,
}

/// From when to when an experiment decides.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Schedule)]
struct ScheduleBody {
    #[schema(format = DateTime)]
    starts: Option<String>,
    #[schema(format = DateTime)]
    ends: Option<String>,
}

/// What can be shown.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Variation)]
struct VariationBody {
    #[schema(value_type = schema::Key)]
    key: String,
    /// Any JSON, at most 65,536 bytes.
    #[serde(default)]
    payload: Value,
    /// What showing it costs, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_099_511_627_776_i64)]
    cost: Option<f64>,
    /// What every conversion of the primary goal costs with it, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_099_511_627_776_i64)]
    cost_per_conversion: Option<f64>,
}

/// What a policy that learns from features sees of a visitor.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Attribute)]
struct AttributeBody {
    #[schema(value_type = schema::AttributeName)]
    name: String,
    #[serde(rename = "type")]
    #[schema(value_type = describe::AttributeType)]
    kind: String,
    /// Of a text: those that are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<String>>,
    /// Of a number: it is standardised by mean and standard deviation,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    /// which is above 0,
    #[serde(skip_serializing_if = "Option::is_none")]
    sd: Option<f64>,
    /// or cut where these are, in ascending order.
    #[serde(skip_serializing_if = "Option::is_none")]
    bins: Option<Vec<f64>>,
}

/// What costed variations may spend over the experiment's life.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Budget)]
struct BudgetBody {
    /// In minor units.
    #[schema(exclusive_minimum = 0, maximum = 1_000_000_000_000_000_000_i64)]
    amount: f64,
    /// For how many visitors it is to last.
    #[schema(minimum = 1)]
    visitors: u64,
    /// Leaves costed variations out of the floor, so that exploring spends nothing on its own.
    #[serde(default)]
    hard: bool,
}

/// When the report says that the experiment has said what it can.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Stopping)]
struct StoppingBody {
    /// Once what other variations could still add is below this share of the best's value,
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1, example = 0.01)]
    value_remaining: Option<f64>,
    /// with this model probability,
    #[schema(exclusive_minimum = 0.5, exclusive_maximum = 1, example = 0.95)]
    probability: Option<f64>,
    /// or once no variation is better than the default by more than this share, with the same probability;
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1, example = 0.03)]
    equivalence: Option<f64>,
    /// never before it ran so long, at most 365d,
    #[schema(value_type = Option<schema::Span>)]
    span_min: Option<String>,
    /// nor before every variation that could be the best has so many conversions;
    conversions_min: Option<u64>,
    /// at so many exposures, whatever is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    exposures_max: Option<u64>,
    /// What happens then.
    #[schema(value_type = Option<describe::OnFinishWord>)]
    on_finish: Option<String>,
}

/// A cross product of attributes, or rules of which the first that matches holds.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Segments)]
struct SegmentsBody {
    /// Names of attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Vec<String>>,
    /// Who matches none is in the segment `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleBody>>,
}

/// A segment by a condition.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SegmentRule)]
struct RuleBody {
    #[schema(value_type = schema::Key)]
    name: String,
    /// A condition in CEL.
    #[schema(example = "device == \"mobile\" && visits <= 1")]
    when: String,
}

/// What is measured.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Goal)]
struct GoalBody {
    #[schema(value_type = schema::Key)]
    key: String,
    /// `conversion`: it happens or not. `revenue`: an amount of money. `count`: how often.
    #[schema(value_type = Option<describe::GoalKindWord>)]
    kind: Option<String>,
    /// The primary one is what the policy maximises.
    #[schema(value_type = Option<describe::RoleWord>)]
    role: Option<String>,
    /// For how long after the decision rewards count, 1s to 365d.
    #[schema(value_type = Option<schema::Span>)]
    window: Option<String>,
    /// Three capital letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Option<String>,
    /// Where a decision's rewards come to more, either way, this is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_099_511_627_776_i64)]
    cap: Option<i64>,
    /// What several rewards of one decision come to.
    #[schema(value_type = Option<describe::AggregationWord>)]
    rewards: Option<String>,
    /// What a conversion is worth, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, maximum = 1_099_511_627_776_i64)]
    worth: Option<f64>,
    /// What the policy makes of decisions whose window is still open.
    #[schema(value_type = Option<describe::DelayWord>)]
    delay: Option<String>,
    /// In which time half of the rewards are expected, until enough is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Span>)]
    typical_delay: Option<String>,
}

/// Words of a field and what they mean, in the order in which refusals list them; both ways are read off the same table.
type Words<T> = &'static [(&'static str, T)];

const STATUSES: Words<Status> =
    &[("draft", Status::Draft), ("running", Status::Running), ("paused", Status::Paused), ("ended", Status::Ended)];
const UNITS: Words<Unit> = &[("decision", Unit::Decision), ("visitor", Unit::Visitor)];
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
