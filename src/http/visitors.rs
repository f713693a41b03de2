//! `GET` and `DELETE /v1/visitors/{id}`: everything known of a visitor, and its erasure; `POST /v1/alias`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::context::Value as Attribute;
use crate::domain::{Context, ExperimentKey, VisitorId};
use crate::http::body::{Body, Text, parse, rfc3339};
use crate::http::error::invalid_id;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;
use crate::service::companions::KnownContext;
use crate::service::visitor::KnownAssignment;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasBody<'a> {
    #[serde(borrow)]
    anonymous: Text<'a>,
    visitor: Text<'a>,
}

pub(crate) async fn get(service: Data<Service>, id: Path<String>) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let visitor = id.into_inner();
    let reading = actix_web::web::block(move || service.visitor(&visitor).map(|known| (visitor, known)));
    let (id, known) = reading.await.map_err(|error| Problem::new(Kind::Unavailable, error))??;
    Ok(HttpResponse::Ok().json(json!({
        "visitor": id,
        "is_alias": known.is_alias,
        "holdout": known.holdout,
        "aliases": known.aliases,
        "assignments": known.assignments.iter().map(assignment).collect::<Vec<_>>(),
        "profile": known.profile.as_ref().map(attributes),
        "contexts_count": known.contexts.count,
        "contexts": known.contexts.newest.iter().map(context).collect::<Vec<_>>(),
    })))
}

pub(crate) async fn delete(service: Data<Service>, id: Path<String>) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let done = service.erase(&id).await?;
    Ok(HttpResponse::Ok().json(json!({
        "visitor": *id,
        "erased_at": rfc3339(done.at),
        "removed": {
            "identities": done.identities,
            "aliases": done.aliases,
            "assignments": done.assignments,
            "exposures": done.exposures,
            "outcomes": done.outcomes,
            "contexts": done.contexts,
            "profiles": done.profiles,
        },
        "stays": {
            "anonymous_counts_of": keys(&done.anonymous),
            "journal": "keyed hashes of the visitor's ids, until retention drops the blocks they are in",
        },
    })))
}

pub(crate) async fn alias(service: Data<Service>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: AliasBody<'_> = parse(&bytes)?;
    VisitorId::new(&body.anonymous.0).map_err(invalid_id("anonymous"))?;
    VisitorId::new(&body.visitor.0).map_err(invalid_id("visitor"))?;
    let done = service.alias(&body.anonymous.0, &body.visitor.0).await?;
    Ok(HttpResponse::Ok().json(json!({
        "outcome": if done.repeated { "repeated" } else { "recorded" },
        "visitor": &*body.visitor.0,
        "adopted": keys(&done.adopted),
        "flipped": done.flipped,
        "attributes": { "adopted": done.profile.adopted, "left_out": done.profile.left_out },
    })))
}

fn assignment(known: &KnownAssignment) -> Value {
    let record = &known.assignment.record;
    let rewards = known
        .rewards
        .iter()
        .map(|reward| json!({ "goal": reward.goal, "reward_id": reward.reward_id, "value": reward.value }));
    json!({
        "experiment": known.experiment.as_str(),
        "variation": known.variation.as_ref().map(ToString::to_string),
        "decision_id": record.decision.to_string(),
        "decided_at": rfc3339(record.decided_at()),
        "segment": record.segment.as_str(),
        "propensity": record.propensity,
        "control": record.control,
        "definition": record.definition,
        "exposed": known.exposed,
        "rewards": rewards.collect::<Vec<_>>(),
    })
}

fn context(known: &KnownContext) -> Value {
    json!({
        "visitor": known.visitor,
        "experiment": known.record.experiment.as_str(),
        "decision_id": known.record.decision.to_string(),
        "decided_at": rfc3339(known.record.decided_at()),
        "context": known.context.as_ref().map(attributes),
    })
}

/// Attributes as they were sent.
pub(crate) fn attributes(context: &Context<'_>) -> serde_json::Map<String, Value> {
    context.iter().map(|(name, value)| (name.to_owned(), value_json(value))).collect()
}

pub(crate) fn value_json(value: &Attribute<'_>) -> Value {
    match value {
        Attribute::Bool(value) => json!(value),
        Attribute::Int(value) => json!(value),
        Attribute::Float(value) => json!(value),
        Attribute::Text(text) => json!(text),
    }
}

fn keys(keys: &[ExperimentKey]) -> Vec<&str> {
    keys.iter().map(ExperimentKey::as_str).collect()
}
