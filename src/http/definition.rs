//! Definitions as JSON: the same shape in and out, with every default written out on the way in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{AttributeName, ExperimentKey, GoalKey, Probability, RuleName, Span, VariationKey};
use crate::engine::definition::{
    Definition, Durability, Goal, PolicyChoice, Role, Rule, Schedule, Segments, Status, Unit, Variation,
};
use crate::engine::error::FieldError;
use crate::http::body::{parse_time, rfc3339};
use crate::http::error::invalid_id;
use crate::http::problem::{Kind, Problem};
use crate::policy::{Parameter, Parameters};

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
}

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
    let status = body.status.as_deref().map_or(Ok(Status::Draft), |word| {
        one_of(
            "status",
            word,
            &[
                ("draft", Status::Draft),
                ("running", Status::Running),
                ("paused", Status::Paused),
                ("ended", Status::Ended),
            ],
        )
    })?;
    if body.unit.as_deref() == Some("visitor") {
        let allowed = "\"decision\"; sticky visitors come in a later version";
        return Err(Problem::field(Kind::FieldRefused, "unit", "\"visitor\"", allowed));
    }
    let unit = body
        .unit
        .as_deref()
        .map_or(Ok(Unit::Decision), |word| one_of("unit", word, &[("decision", Unit::Decision)]))?;
    let durability = body.durability.as_deref().map_or(Ok(Durability::Group), |word| {
        one_of("durability", word, &[("group", Durability::Group), ("sync", Durability::Sync)])
    })?;
    let variations = variations(body.variations)?;
    let definition = Definition {
        key: ExperimentKey::new(key).map_err(invalid_id("key"))?,
        unit,
        traffic: share("traffic", body.traffic, Probability::ONE)?,
        control: share("control", body.control, Probability::ZERO)?,
        audience: body.audience,
        schedule: schedule(body.schedule)?,
        policy: policy(body.policy.unwrap_or_default(), variations.len())?,
        variations,
        segments: segments(body.segments)?,
        bucket: span("bucket", body.bucket.as_deref(), Span::HOUR)?,
        goals: goals(body.goals)?,
        durability,
    };
    Ok((definition, status))
}

fn one_of<T: Copy>(field: &str, word: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
        let allowed = words.iter().map(|(known, _)| format!("{known:?}")).collect::<Vec<_>>().join(", ");
        Problem::field(Kind::FieldRefused, field, format!("{word:?}"), allowed)
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
        Ok(Variation { key, payload: Arc::from(body.payload.to_string()) })
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

fn goals(bodies: Vec<GoalBody>) -> Result<Vec<Goal>, Problem> {
    // A single goal can only be the primary one.
    let default_role = if bodies.len() == 1 { Role::Primary } else { Role::Secondary };
    let read = |(index, body): (usize, GoalBody)| {
        if let Some(kind) = body.kind.as_deref().filter(|kind| *kind != "conversion") {
            let allowed = "\"conversion\"; revenue and count come in a later version";
            return Err(Problem::field(
                Kind::FieldRefused,
                format!("goals[{index}].kind"),
                format!("{kind:?}"),
                allowed,
            ));
        }
        let roles = [("primary", Role::Primary), ("secondary", Role::Secondary), ("guardrail", Role::Guardrail)];
        Ok(Goal {
            key: GoalKey::new(&body.key).map_err(invalid_id(&format!("goals[{index}].key")))?,
            role: body.role.map_or(Ok(default_role), |word| one_of(&format!("goals[{index}].role"), &word, &roles))?,
            window: span(&format!("goals[{index}].window"), body.window.as_deref(), DEFAULT_WINDOW)?,
        })
    };
    bodies.into_iter().enumerate().map(read).collect()
}

fn policy(mut body: Map<String, Value>, variations_count: usize) -> Result<PolicyChoice, Problem> {
    let kind = match body.remove("kind") {
        None => DEFAULT_POLICY.to_owned(),
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(Problem::field(Kind::FieldRefused, "policy.kind", other, "the name of a policy")),
    };
    let floor = match body.remove("floor") {
        None => DEFAULT_FLOOR,
        Some(value) => value
            .as_f64()
            .ok_or_else(|| Problem::field(Kind::FieldRefused, "policy.floor", value, "a number from 0"))?,
    };
    let given = body.into_iter().map(|(name, value)| parameter(&name, value).map(|value| (name, value)));
    let given: Parameters = given.collect::<Result<_, _>>()?;
    let parameters = crate::policy::with_defaults(&kind, &given, variations_count).map_err(FieldError::from)?;
    Ok(PolicyChoice { kind, parameters, floor })
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

/// The stored definition in the shape that [`read`] takes, all defaults written out.
pub(crate) fn write(definition: &Definition) -> DefinitionBody {
    let Definition {
        key,
        unit,
        traffic,
        control,
        audience,
        schedule,
        variations,
        segments,
        bucket,
        policy,
        goals,
        durability,
    } = definition;
    let Unit::Decision = unit;
    DefinitionBody {
        key: Some(key.to_string()),
        status: None,
        unit: Some("decision".into()),
        traffic: Some(traffic.get()),
        control: Some(control.get()),
        audience: audience.clone(),
        schedule: (*schedule != Schedule::default())
            .then(|| ScheduleBody { starts: schedule.starts.map(rfc3339), ends: schedule.ends.map(rfc3339) }),
        variations: variations
            .iter()
            .map(|v| VariationBody {
                key: v.key.to_string(),
                payload: serde_json::from_str(&v.payload).unwrap_or_default(),
            })
            .collect(),
        segments: match segments {
            Segments::All => None,
            Segments::By(by) => {
                Some(SegmentsBody { by: Some(by.iter().map(ToString::to_string).collect()), rules: None })
            }
            Segments::Rules(rules) => {
                let rules = rules.iter().map(|r| RuleBody { name: r.name.to_string(), when: r.when.clone() }).collect();
                Some(SegmentsBody { by: None, rules: Some(rules) })
            }
        },
        bucket: Some(bucket.to_string()),
        policy: Some(write_policy(policy)),
        goals: goals
            .iter()
            .map(|goal| GoalBody {
                key: goal.key.to_string(),
                kind: Some("conversion".into()),
                role: Some(
                    match goal.role {
                        Role::Primary => "primary",
                        Role::Secondary => "secondary",
                        Role::Guardrail => "guardrail",
                    }
                    .into(),
                ),
                window: Some(goal.window.to_string()),
            })
            .collect(),
        durability: Some(
            match durability {
                Durability::Group => "group",
                Durability::Sync => "sync",
            }
            .into(),
        ),
    }
}

fn write_policy(policy: &PolicyChoice) -> Map<String, Value> {
    let mut written = Map::new();
    written.insert("kind".into(), json!(policy.kind));
    written.insert("floor".into(), json!(policy.floor));
    for (name, parameter) in policy.parameters.iter() {
        let value = match parameter {
            Parameter::Number(number) => json!(number),
            Parameter::Text(text) => json!(text),
            Parameter::Numbers(numbers) => json!(numbers),
            Parameter::Shares(shares) => json!(shares),
            Parameter::Flag(flag) => json!(flag),
        };
        written.insert(name.to_owned(), value);
    }
    written
}

/// The word for a status.
pub(crate) const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Draft => "draft",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Ended => "ended",
    }
}
