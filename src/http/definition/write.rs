//! From a definition to JSON.

use serde_json::{Map, Value, json};

use crate::engine::definition::{
    Attribute, Budget, Definition, Encoding, HalfLife, PolicyChoice, Schedule, Segments, Unit,
};
use crate::http::body::rfc3339;
use crate::http::definition::{
    AGGREGATIONS, AttributeBody, BudgetBody, DELAYS, DURABILITIES, DefinitionBody, GoalBody, GroupBody, KINDS,
    OBJECTIVES, ON_FINISH, ROLES, RuleBody, ScheduleBody, SegmentsBody, StoppingBody, VariationBody, word,
};
use crate::policy::Parameter;

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
        budget,
        stopping,
        on_finish,
        attributes,
        interactions,
        group,
    } = definition;
    DefinitionBody {
        key: Some(key.to_string()),
        status: None,
        unit: Some(
            match unit {
                Unit::Decision => "decision",
                Unit::Visitor => "visitor",
            }
            .into(),
        ),
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
                cost: (v.cost > 0.0).then_some(v.cost),
                cost_per_conversion: (v.cost_per_conversion > 0.0).then_some(v.cost_per_conversion),
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
                kind: Some(word(KINDS, &goal.kind).into()),
                role: Some(word(ROLES, &goal.role).into()),
                window: Some(goal.window.to_string()),
                currency: goal.currency.map(|currency| currency.to_string()),
                cap: goal.cap,
                rewards: Some(word(AGGREGATIONS, &goal.aggregation).into()),
                worth: goal.worth,
                delay: Some(word(DELAYS, &goal.delay).into()),
                typical_delay: goal.typical_delay.map(|typical| typical.to_string()),
            })
            .collect(),
        durability: Some(word(DURABILITIES, durability).into()),
        budget: budget.map(|Budget { amount, visitors, hard }| BudgetBody { amount, visitors, hard }),
        stopping: Some(StoppingBody {
            value_remaining: Some(stopping.value_remaining),
            probability: Some(stopping.probability),
            equivalence: Some(stopping.equivalence),
            span_min: Some(stopping.span_min.to_string()),
            conversions_min: Some(stopping.conversions_min),
            exposures_max: stopping.exposures_max,
            on_finish: Some(word(ON_FINISH, on_finish).into()),
        }),
        attributes: attributes.iter().map(write_attribute).collect(),
        group: group.as_ref().map(|group| GroupBody { key: group.key.to_string(), priority: group.priority }),
        interactions: interactions.iter().map(|(one, other)| (one.to_string(), other.to_string())).collect(),
    }
}

fn write_attribute(attribute: &Attribute) -> AttributeBody {
    let body = |kind: &str| AttributeBody {
        name: attribute.name.to_string(),
        kind: kind.to_owned(),
        levels: None,
        mean: None,
        sd: None,
        bins: None,
    };
    match &attribute.encoding {
        Encoding::Levels(levels) => AttributeBody { levels: Some(levels.clone()), ..body("text") },
        Encoding::Boolean => body("boolean"),
        Encoding::Standardised { mean, sd } => AttributeBody { mean: Some(*mean), sd: Some(*sd), ..body("number") },
        Encoding::Bins(bins) => AttributeBody { bins: Some(bins.clone()), ..body("number") },
    }
}

fn write_policy(policy: &PolicyChoice) -> Map<String, Value> {
    let mut written = Map::new();
    written.insert("kind".into(), json!(policy.kind));
    written.insert("floor".into(), json!(policy.floor));
    let half_life = match policy.half_life {
        HalfLife::Off => "off".to_owned(),
        HalfLife::Auto => "auto".to_owned(),
        HalfLife::Fixed(span) => span.to_string(),
    };
    written.insert("half_life".into(), json!(half_life));
    written.insert("objective".into(), json!(word(OBJECTIVES, &policy.objective)));
    if let Some(visitors) = policy.expected_visitors {
        written.insert("expected_visitors".into(), json!(visitors));
    }
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
