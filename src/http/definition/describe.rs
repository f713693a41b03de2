//! What the OpenAPI document says of fields whose types do not say it: words from the tables that read them, parameters from the
//! registry of policies.

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, Schema, Type};

use crate::http::definition::{
    AGGREGATIONS, DELAYS, DURABILITIES, KINDS, OBJECTIVES, ON_FINISH, ROLES, STATUSES, UNITS, Words,
};
use crate::http::openapi::schema::{self, shapes};
use crate::policy::{Parameter, ParameterSpec, Parameters, REGISTRY, Setting};

fn choice<T>(words: Words<T>) -> Object {
    schema::one_of(words.iter().map(|(word, _)| *word))
}

shapes! {
    /// `status`.
    StatusWord "Status" = choice(STATUSES);
    /// `unit`.
    UnitWord "Unit" = choice(UNITS);
    /// `durability`.
    DurabilityWord "Durability" = choice(DURABILITIES);
    /// `on_finish`.
    OnFinishWord "OnFinish" = choice(ON_FINISH);
    /// `kind` of a goal.
    GoalKindWord "GoalKind" = choice(KINDS);
    /// `role`.
    RoleWord "GoalRole" = choice(ROLES);
    /// `rewards` of a goal.
    AggregationWord "Aggregation" = choice(AGGREGATIONS);
    /// `delay`.
    DelayWord "DelayModel" = choice(DELAYS);
    /// `objective`.
    ObjectiveWord "Objective" = choice(OBJECTIVES);
    /// `type` of an attribute.
    AttributeType "AttributeType" = schema::one_of(["text", "number", "boolean"]);
    /// `policy`.
    Policy "Policy" = policy();
}

/// Every parameter of every kind, each with the kinds that take it.
fn policy() -> Object {
    let kinds = schema::one_of(REGISTRY.iter().map(|entry| entry.kind));
    let floor = schema::of_type(Type::Number)
        .description(Some(
            "Least probability of every variation that can be shown; all together at most half of the traffic",
        ))
        .minimum(Some(0))
        .maximum(Some(0.5));
    let half_life = schema::of_type(Type::String)
        .description(Some("In which time what was seen loses half of its weight: `off`, `auto`, or a length"))
        .pattern(Some("^(off|auto|[0-9]{1,12}(ms|s|m|h|d))$"));
    let visitors = schema::of_type(Type::Integer)
        .description(Some("Visitors of the whole run: where few are left, exploring pays less"))
        .minimum(Some(1));
    let mut all = schema::of_type(Type::Object)
        .property("kind", kinds)
        .property("floor", floor)
        .property("half_life", half_life)
        .property("objective", choice(OBJECTIVES))
        .property("expected_visitors", visitors);
    let mut known: Vec<&str> = Vec::new();
    for spec in REGISTRY.iter().flat_map(|entry| entry.parameters) {
        if known.contains(&spec.name) {
            continue;
        }
        known.push(spec.name);
        let takes = REGISTRY.iter().filter(|entry| entry.parameters.iter().any(|other| other.name == spec.name));
        let takes: Vec<String> = takes.map(|entry| format!("`{}`", entry.kind)).collect();
        let said = format!("{}: {}. Of {}", spec.summary, spec.allowed, takes.join(", "));
        all = all.property(spec.name, parameter(spec, said));
    }
    all.description(Some("How variations are chosen. Which parameters there are depends on the kind."))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .build()
}

/// Every default is of the one type that its parameter takes; what has none is shares by variation.
fn parameter(spec: &ParameterSpec, said: String) -> Schema {
    let number = || schema::of_type(Type::Number);
    let setting = Setting { parameters: &Parameters::new(), variations_count: 2 };
    let by_name = schema::of_type(Type::Object).additional_properties(Some(number()));
    let plain = match (spec.default)(&setting) {
        Some(Parameter::Numbers(_)) => {
            return ArrayBuilder::new().items(number()).description(Some(said)).build().into();
        }
        Some(Parameter::Number(_)) => number(),
        Some(Parameter::Text(_)) => schema::of_type(Type::String),
        Some(Parameter::Flag(_)) => schema::of_type(Type::Boolean),
        Some(Parameter::Shares(_)) | None => by_name,
    };
    plain.description(Some(said)).build().into()
}
