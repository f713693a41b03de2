//! `GET` and `DELETE /v1/visitors/{id}`: everything known of a visitor, and its erasure; `POST /v1/alias`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::domain::context::Value as Attribute;
use crate::domain::{Context, ExperimentKey, VariationKey, VisitorId};
use crate::http::body::{Body, Text, parse, rfc3339};
use crate::http::error::invalid_id;
use crate::http::openapi::schema::{Id, VisitorPath, one_of, shapes};
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::service::Service;
use crate::service::companions::KnownContext;
use crate::service::visitor::{KnownAssignment, KnownReward};

/// Two ids that are one visitor's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AliasRequest)]
struct AliasBody<'a> {
    /// The id the visitor was known by before it was recognised.
    #[serde(borrow)]
    #[schema(value_type = Id)]
    anonymous: Text<'a>,
    /// The id it is known by from now on.
    #[schema(value_type = Id)]
    visitor: Text<'a>,
}

/// What became of an alias.
#[derive(Serialize, ToSchema)]
struct Aliased<'a> {
    #[schema(value_type = AliasOutcome)]
    outcome: &'static str,
    visitor: &'a str,
    /// Experiments in which the visitor takes over what the anonymous one was assigned.
    adopted: Vec<&'a str>,
    /// Experiments in which the anonymous visitor will see another variation than before.
    flipped: usize,
    attributes: Joined,
}

/// What became of the attributes of the anonymous visitor's profile.
#[derive(Serialize, ToSchema)]
#[schema(as = JoinedAttributes)]
struct Joined {
    /// The visitor's profile takes them over.
    adopted: usize,
    /// There is no room for them.
    left_out: usize,
}

shapes! {
    /// Whether the alias was known.
    AliasOutcome "AliasOutcome" = one_of(["recorded", "repeated"]);
}

/// Everything that is known of a visitor.
#[derive(Serialize, ToSchema)]
struct Visitor<'a> {
    visitor: &'a str,
    /// Whether the id is an alias of another.
    is_alias: bool,
    /// Whether it is in the holdout, which is in the control group of every experiment.
    holdout: bool,
    /// How many other ids the visitor has.
    aliases: usize,
    /// What it stays with, where the unit is the visitor.
    assignments: Vec<Assignment<'a>>,
    /// What is known of it ahead of its requests; `null` where nothing is.
    #[schema(required, value_type = Option<Object>)]
    profile: Option<Map<String, Value>>,
    /// For how many contexts it was decided.
    contexts_count: usize,
    /// The newest 1,000 of them, under all of its ids, oldest first.
    contexts: Vec<KnownAs<'a>>,
}

/// What a visitor stays with in one experiment.
#[derive(Serialize, ToSchema)]
struct Assignment<'a> {
    experiment: &'a str,
    /// `null` where the experiment was deleted.
    #[schema(required)]
    variation: Option<&'a str>,
    decision_id: String,
    #[schema(format = DateTime)]
    decided_at: String,
    segment: &'a str,
    /// The probability with which it was drawn.
    #[schema(minimum = 0, maximum = 1)]
    propensity: f64,
    control: bool,
    definition: u32,
    /// Whether it counts as a trial: a deferred decision does once it is activated.
    exposed: bool,
    rewards: Vec<Received<'a>>,
}

/// A reward of an assignment.
#[derive(Serialize, ToSchema)]
#[schema(as = KnownReward)]
struct Received<'a> {
    /// `null` where the experiment was deleted.
    #[schema(required)]
    goal: Option<&'a str>,
    reward_id: &'a str,
    /// 0 or 1, minor units, or a count; as last amended.
    value: i64,
}

/// A context that was decided for.
#[derive(Serialize, ToSchema)]
#[schema(as = KnownContext)]
struct KnownAs<'a> {
    /// Under which id.
    visitor: &'a str,
    experiment: &'a str,
    decision_id: String,
    #[schema(format = DateTime)]
    decided_at: String,
    /// `null` where it was too long to be kept.
    #[schema(required, value_type = Option<Object>)]
    context: Option<Map<String, Value>>,
}

/// What an erasure did.
#[derive(Serialize, ToSchema)]
struct Erased<'a> {
    visitor: &'a str,
    #[schema(format = DateTime)]
    erased_at: String,
    removed: Removed,
    stays: Stays<'a>,
}

/// How many of each an erasure removed.
#[derive(Serialize, ToSchema)]
struct Removed {
    identities: usize,
    aliases: usize,
    assignments: usize,
    /// Subtracted from the tallies, as are the outcomes.
    exposures: usize,
    outcomes: usize,
    contexts: usize,
    profiles: usize,
}

/// What an erasure cannot remove.
#[derive(Serialize, ToSchema)]
struct Stays<'a> {
    /// Experiments in which what the visitor counted stands under no name, and stays.
    anonymous_counts_of: Vec<&'a str>,
    /// What the journal keeps, and until when.
    journal: &'static str,
}

/// Everything that is known of a visitor
#[utoipa::path(
    get, path = "/v1/visitors/{id}", tag = "visitors", operation_id = "getVisitor",
    params(VisitorPath),
    responses((status = 200, description = "What is known", body = Visitor<'_>), VisitorProblems),
)]
pub(crate) async fn get(service: Data<Service>, id: Path<String>) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let visitor = id.into_inner();
    let reading = actix_web::web::block(move || service.visitor(&visitor).map(|known| (visitor, known)));
    let (id, known) = reading.await.map_err(|error| Problem::new(Kind::Unavailable, error))??;
    Ok(HttpResponse::Ok().json(Visitor {
        visitor: &id,
        is_alias: known.is_alias,
        holdout: known.holdout,
        aliases: known.aliases,
        assignments: known.assignments.iter().map(assignment).collect(),
        profile: known.profile.as_ref().map(attributes),
        contexts_count: known.contexts.count,
        contexts: known.contexts.newest.iter().map(context).collect(),
    }))
}

/// Erase a visitor
///
/// Everything under the id, and under every id that is joined to it, goes; what it counted is subtracted. Asking again is safe.
#[utoipa::path(
    delete, path = "/v1/visitors/{id}", tag = "visitors", operation_id = "eraseVisitor",
    params(VisitorPath),
    responses((status = 200, description = "It is erased, on disk", body = Erased<'_>), EraseProblems),
)]
pub(crate) async fn delete(service: Data<Service>, id: Path<String>) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let done = service.erase(&id).await?;
    Ok(HttpResponse::Ok().json(Erased {
        visitor: &id,
        erased_at: rfc3339(done.at),
        removed: Removed {
            identities: done.identities,
            aliases: done.aliases,
            assignments: done.assignments,
            exposures: done.exposures,
            outcomes: done.outcomes,
            contexts: done.contexts,
            profiles: done.profiles,
        },
        stays: Stays {
            anonymous_counts_of: keys(&done.anonymous),
            journal: "keyed hashes of the visitor's ids, until retention drops the blocks they are in",
        },
    }))
}

/// An anonymous visitor turned out to be a known one
///
/// From then on both ids are one visitor. Its own assignment wins; where it has none, that of the anonymous one is taken over.
#[utoipa::path(
    post, path = "/v1/alias", tag = "visitors", operation_id = "alias",
    request_body(content = AliasBody<'_>, example = json!({"anonymous": "cookie-31", "visitor": "user-7"})),
    responses((status = 200, description = "Both are one, on disk", body = Aliased<'_>), AliasProblems),
)]
pub(crate) async fn alias(service: Data<Service>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: AliasBody<'_> = parse(&bytes)?;
    VisitorId::new(&body.anonymous.0).map_err(invalid_id("anonymous"))?;
    VisitorId::new(&body.visitor.0).map_err(invalid_id("visitor"))?;
    let done = service.alias(&body.anonymous.0, &body.visitor.0).await.map_err(|error| {
        let allowed = "an id that is not this visitor's already, and that no other id was joined to";
        Problem::from(error).about(Kind::AliasRefused, "anonymous", &quoted(&body.anonymous.0), allowed)
    })?;
    Ok(HttpResponse::Ok().json(Aliased {
        outcome: if done.repeated { "repeated" } else { "recorded" },
        visitor: &body.visitor.0,
        adopted: keys(&done.adopted),
        flipped: done.flipped,
        attributes: Joined { adopted: done.profile.adopted, left_out: done.profile.left_out },
    }))
}

problems!(VisitorProblems: FieldRefused, Unavailable);
problems!(EraseProblems: FieldRefused, Overloaded, Unavailable);
problems!(AliasProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, AliasRefused, Overloaded, Unavailable);

fn assignment(known: &KnownAssignment) -> Assignment<'_> {
    let record = &known.assignment.record;
    Assignment {
        experiment: known.experiment.as_str(),
        variation: known.variation.as_ref().map(VariationKey::as_str),
        decision_id: record.decision.to_string(),
        decided_at: rfc3339(record.decided_at()),
        segment: record.segment.as_str(),
        propensity: record.propensity,
        control: record.control,
        definition: record.definition,
        exposed: known.exposed,
        rewards: known.rewards.iter().map(received).collect(),
    }
}

fn received(reward: &KnownReward) -> Received<'_> {
    Received { goal: reward.goal.as_deref(), reward_id: &reward.reward_id, value: reward.value }
}

fn context(known: &KnownContext) -> KnownAs<'_> {
    KnownAs {
        visitor: &known.visitor,
        experiment: known.record.experiment.as_str(),
        decision_id: known.record.decision.to_string(),
        decided_at: rfc3339(known.record.decided_at()),
        context: known.context.as_ref().map(attributes),
    }
}

/// Attributes as they were sent.
pub(crate) fn attributes(context: &Context<'_>) -> Map<String, Value> {
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
