//! From JSON to a definition.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::{
    Aggregation, AttributeName, Currency, ExperimentKey, GoalKey, GoalKind, GroupKey, Probability, RuleName, Span,
    VariationKey,
};
use crate::engine::definition::{
    Attribute, Budget, Definition, Delay, Durability, Encoding, Goal, Group, HalfLife, Objective, OnFinish,
    PolicyChoice, Role, Rule, Schedule, Segments, Status, StoppingRule, Unit, Variation,
};
use crate::engine::error::FieldError;
use crate::http::body::parse_time;
use crate::http::definition::{
    AGGREGATIONS, AttributeBody, BudgetBody, DELAYS, DURABILITIES, DefinitionBody, GoalBody, GroupBody, KINDS,
    OBJECTIVES, ON_FINISH, ROLES, RuleBody, STATUSES, ScheduleBody, SegmentsBody, StoppingBody, UNITS, VariationBody,
};
use crate::http::error::invalid_id;
use crate::http::problem::{Kind, Problem};
use crate::policy::{Builder, Parameter, Parameters};

const DEFAULT_WINDOW: Span = Span::DAY.times(7);
const DEFAULT_FLOOR: f64 = 0.01;
const DEFAULT_POLICY: &str = "thompson";

/// Checks a body's texts and numbers and writes out the defaults; says the status a new experiment is to have. What a
/// definition must be as a whole, the engine checks.
pub(crate) fn read(key: &str, body: DefinitionBody) -> Result<(Definition, Status), Problem> {
    if let Some(given) = body.key.as_deref().filter(|given| *given != key) {
        return Err(Problem::field(
            Kind::FieldRefused,
            "key",
            format!("{given:?}"),
            format!("{key:?}, as in the address"),
        ));
    }
    let status = one_of("status", body.status.as_deref(), STATUSES, Status::Draft)?;
    let variations = variations(body.variations)?;
    let policy = policy(body.policy.unwrap_or_default(), &variations)?;
    let contextual = learns_from_features(&policy.kind);
    let stopping = body.stopping.unwrap_or_default();
    let definition = Definition {
        key: ExperimentKey::new(key).map_err(invalid_id("key"))?,
        unit: one_of("unit", body.unit.as_deref(), UNITS, Unit::Decision)?,
        traffic: share("traffic", body.traffic, Probability::ONE)?,
        control: share("control", body.control, Probability::ZERO)?,
        audience: body.audience,
        schedule: schedule(body.schedule)?,
        policy,
        variations,
        segments: segments(body.segments)?,
        bucket: span("bucket", body.bucket.as_deref(), Span::HOUR)?,
        goals: goals(body.goals, contextual)?,
        durability: one_of("durability", body.durability.as_deref(), DURABILITIES, Durability::Group)?,
        budget: body.budget.map(|BudgetBody { amount, visitors, hard }| Budget { amount, visitors, hard }),
        on_finish: one_of("stopping.on_finish", stopping.on_finish.as_deref(), ON_FINISH, OnFinish::Keep)?,
        stopping: stopping_rule(&stopping)?,
        attributes: attributes(body.attributes)?,
        interactions: interactions(&body.interactions)?,
        group: body.group.map(group).transpose()?,
    };
    Ok((definition, status))
}

fn group(body: GroupBody) -> Result<Group, Problem> {
    let GroupBody { key, priority } = body;
    Ok(Group { key: GroupKey::new(&key).map_err(invalid_id("group.key"))?, priority })
}

fn one_of<T: Copy>(field: &str, given: Option<&str>, words: &[(&str, T)], default: T) -> Result<T, Problem> {
    let Some(given) = given else { return Ok(default) };
    words.iter().find(|(known, _)| *known == given).map(|(_, value)| *value).ok_or_else(|| {
        let allowed = words.iter().map(|(known, _)| format!("{known:?}")).collect::<Vec<_>>().join(", ");
        Problem::field(Kind::FieldRefused, field, format!("{given:?}"), allowed)
    })
}

fn share(field: &str, given: Option<f64>, default: Probability) -> Result<Probability, Problem> {
    let Some(given) = given else { return Ok(default) };
    Probability::new(given).ok_or_else(|| Problem::field(Kind::FieldRefused, field, given, "a number from 0 to 1"))
}

fn span(field: &str, given: Option<&str>, default: Span) -> Result<Span, Problem> {
    let Some(given) = given else { return Ok(default) };
    Span::parse(given).ok_or_else(|| {
        Problem::field(
            Kind::FieldRefused,
            field,
            format!("{given:?}"),
            "a whole number and ms, s, m, h or d, as in \"7d\"",
        )
    })
}

fn schedule(body: Option<ScheduleBody>) -> Result<Schedule, Problem> {
    let Some(body) = body else { return Ok(Schedule::default()) };
    Ok(Schedule {
        starts: body.starts.map(|text| parse_time("schedule.starts", &text)).transpose()?,
        ends: body.ends.map(|text| parse_time("schedule.ends", &text)).transpose()?,
    })
}

fn variations(bodies: Vec<VariationBody>) -> Result<Vec<Variation>, Problem> {
    let read = |(index, body): (usize, VariationBody)| {
        let key = VariationKey::new(&body.key).map_err(invalid_id(&format!("variations[{index}].key")))?;
        Ok(Variation {
            cost: body.cost.unwrap_or_default(),
            cost_per_conversion: body.cost_per_conversion.unwrap_or_default(),
            ..Variation::new(key, body.payload.to_string())
        })
    };
    bodies.into_iter().enumerate().map(read).collect()
}

fn segments(body: Option<SegmentsBody>) -> Result<Segments, Problem> {
    match body.map(|body| (body.by, body.rules)) {
        None | Some((None, None)) => Ok(Segments::All),
        Some((Some(_), Some(_))) => {
            Err(Problem::field(Kind::FieldRefused, "segments", "both by and rules", "one of the two"))
        }
        Some((Some(by), None)) => {
            let name = |(index, name): (usize, &String)| {
                AttributeName::new(name).map_err(invalid_id(&format!("segments.by[{index}]")))
            };
            Ok(Segments::By(by.iter().enumerate().map(name).collect::<Result<_, _>>()?))
        }
        Some((None, Some(rules))) => {
            let rule = |(index, rule): (usize, RuleBody)| {
                let name = RuleName::new(&rule.name).map_err(invalid_id(&format!("segments.rules[{index}].name")))?;
                Ok(Rule { name, when: rule.when })
            };
            Ok(Segments::Rules(rules.into_iter().enumerate().map(rule).collect::<Result<_, Problem>>()?))
        }
    }
}

/// Whether the rewards of a definition are learned as they come, whatever their delay.
fn learns_from_features(kind: &str) -> bool {
    crate::policy::registration(kind).is_ok_and(|known| matches!(known.build, Builder::Contextual(_)))
}

fn goals(bodies: Vec<GoalBody>, contextual: bool) -> Result<Vec<Goal>, Problem> {
    // A single goal can only be the primary one.
    let default_role = if bodies.len() == 1 { Role::Primary } else { Role::Secondary };
    bodies.into_iter().enumerate().map(|(index, body)| goal(index, body, default_role, contextual)).collect()
}

fn goal(index: usize, body: GoalBody, default_role: Role, contextual: bool) -> Result<Goal, Problem> {
    let field = |name: &str| format!("goals[{index}].{name}");
    let key = GoalKey::new(&body.key).map_err(invalid_id(&field("key")))?;
    let role = one_of(&field("role"), body.role.as_deref(), ROLES, default_role)?;
    let window = span(&field("window"), body.window.as_deref(), DEFAULT_WINDOW)?;
    let currency = |code: String| {
        Currency::new(&code).ok_or_else(|| {
            Problem::field(Kind::FieldRefused, field("currency"), format!("{code:?}"), Currency::ALLOWED)
        })
    };
    // Within an hour nearly every reward comes while its decision is still in the newest bucket.
    let default_delay = if window > Span::HOUR && !contextual { Delay::Survival } else { Delay::None };
    let typical = |text: &str| span(&field("typical_delay"), Some(text), window);
    Ok(Goal {
        kind: one_of(&field("kind"), body.kind.as_deref(), KINDS, GoalKind::Conversion)?,
        currency: body.currency.map(currency).transpose()?,
        cap: body.cap,
        aggregation: one_of(&field("rewards"), body.rewards.as_deref(), AGGREGATIONS, Aggregation::First)?,
        worth: body.worth,
        delay: one_of(&field("delay"), body.delay.as_deref(), DELAYS, default_delay)?,
        typical_delay: body.typical_delay.as_deref().map(typical).transpose()?,
        ..Goal::conversion(key, role, window)
    })
}

fn attributes(bodies: Vec<AttributeBody>) -> Result<Vec<Attribute>, Problem> {
    let read = |(index, body): (usize, AttributeBody)| {
        let field = |name: &str| format!("attributes[{index}].{name}");
        let name = AttributeName::new(&body.name).map_err(invalid_id(&field("name")))?;
        let refused =
            |name: &str, given: &str, allowed: &str| Problem::field(Kind::FieldRefused, field(name), given, allowed);
        let encoding = match (body.kind.as_str(), body.levels, body.mean, body.sd, body.bins) {
            ("text", Some(levels), None, None, None) => Encoding::Levels(levels),
            ("boolean", None, None, None, None) => Encoding::Boolean,
            ("number", None, None, None, Some(bins)) => Encoding::Bins(bins),
            ("number", None, mean, sd, None) => {
                Encoding::Standardised { mean: mean.unwrap_or(0.0), sd: sd.unwrap_or(1.0) }
            }
            ("text", None, ..) => return Err(refused("levels", "nothing", "the texts that are told apart")),
            ("text" | "boolean" | "number", ..) => {
                let allowed = "levels for a text, nothing for a boolean, mean and sd or bins for a number";
                return Err(refused("type", "fields of another type", allowed));
            }
            (other, ..) => {
                return Err(refused("type", &format!("{other:?}"), "\"text\", \"number\" or \"boolean\""));
            }
        };
        Ok(Attribute { name, encoding })
    };
    bodies.into_iter().enumerate().map(read).collect()
}

fn interactions(pairs: &[(String, String)]) -> Result<Vec<(AttributeName, AttributeName)>, Problem> {
    let read = |(index, (one, other)): (usize, &(String, String))| {
        let name = |text: &str| AttributeName::new(text).map_err(invalid_id(&format!("interactions[{index}]")));
        Ok((name(one)?, name(other)?))
    };
    pairs.iter().enumerate().map(read).collect()
}

fn stopping_rule(body: &StoppingBody) -> Result<StoppingRule, Problem> {
    let default = StoppingRule::default();
    Ok(StoppingRule {
        value_remaining: body.value_remaining.unwrap_or(default.value_remaining),
        probability: body.probability.unwrap_or(default.probability),
        equivalence: body.equivalence.unwrap_or(default.equivalence),
        span_min: span("stopping.span_min", body.span_min.as_deref(), default.span_min)?,
        conversions_min: body.conversions_min.unwrap_or(default.conversions_min),
        exposures_max: body.exposures_max,
    })
}

fn policy(mut body: Map<String, Value>, variations: &[Variation]) -> Result<PolicyChoice, Problem> {
    let kind = take_text(&mut body, "kind", "the name of a policy")?.unwrap_or_else(|| DEFAULT_POLICY.to_owned());
    let floor = match body.remove("floor") {
        None => DEFAULT_FLOOR,
        Some(value) => value
            .as_f64()
            .ok_or_else(|| Problem::field(Kind::FieldRefused, "policy.floor", value, "a number from 0"))?,
    };
    let half_life = match take_text(&mut body, "half_life", "\"off\", \"auto\", or a length as in \"7d\"")?.as_deref() {
        None | Some("off") => HalfLife::Off,
        Some("auto") => HalfLife::Auto,
        Some(text) => HalfLife::Fixed(span("policy.half_life", Some(text), Span::DAY)?),
    };
    // Who says what a variation costs wants to earn, not to convert.
    let costs = variations.iter().any(Variation::costs);
    let default_objective = if costs { Objective::Margin } else { Objective::Goal };
    let objective = take_text(&mut body, "objective", "\"goal\" or \"margin\"")?;
    let objective = one_of("policy.objective", objective.as_deref(), OBJECTIVES, default_objective)?;
    let expected_visitors = match body.remove("expected_visitors") {
        None => None,
        Some(value) => Some(value.as_u64().ok_or_else(|| {
            Problem::field(Kind::FieldRefused, "policy.expected_visitors", value, "a whole number from 1")
        })?),
    };
    let given = body.into_iter().map(|(name, value)| parameter(&name, value).map(|value| (name, value)));
    let given: Parameters = given.collect::<Result<_, _>>()?;
    let parameters = crate::policy::with_defaults(&kind, &given, variations.len()).map_err(FieldError::from)?;
    Ok(PolicyChoice { kind, parameters, floor, half_life, objective, expected_visitors })
}

fn take_text(body: &mut Map<String, Value>, name: &str, allowed: &str) -> Result<Option<String>, Problem> {
    match body.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Problem::field(Kind::FieldRefused, format!("policy.{name}"), other, allowed)),
    }
}

fn parameter(name: &str, value: Value) -> Result<Parameter, Problem> {
    let numbers = |list: &[Value]| list.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
    let by_name = |map: &Map<String, Value>| {
        map.iter()
            .map(|(key, value)| value.as_f64().map(|number| (key.clone(), number)))
            .collect::<Option<BTreeMap<_, _>>>()
    };
    let read = match &value {
        Value::Bool(flag) => Some(Parameter::Flag(*flag)),
        Value::Number(number) => number.as_f64().map(Parameter::Number),
        Value::String(text) => Some(Parameter::Text(text.clone())),
        Value::Array(list) => numbers(list).map(Parameter::Numbers),
        Value::Object(map) => by_name(map).map(Parameter::Shares),
        Value::Null => None,
    };
    read.ok_or_else(|| {
        Problem::field(
            Kind::FieldRefused,
            format!("policy.{name}"),
            value,
            "a number, a text, true, false, or numbers in a list or by name",
        )
    })
}
