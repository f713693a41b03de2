//! `PUT /v1/visitors/{id}` and `POST /v1/profiles`: what is known of visitors ahead of their requests, one of them or a line each.

use std::ops::ControlFlow;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::context::Value as Attribute;
use crate::domain::{Context, VisitorId};
use crate::engine::profile::AttributeType;
use crate::http::body::{Body, ContextBody, ContextShape, Text, parse};
use crate::http::error::invalid_id;
use crate::http::lines::{Lines, Refusal, Refusals};
use crate::http::openapi::schema::{Id, VisitorPath};
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem};
use crate::http::visitors::value_json;
use crate::service::Service;
use crate::service::error::ProfileError;

/// What is known of a visitor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileRequest)]
struct PutBody<'a> {
    /// All of it: what is not here is known no more.
    #[serde(borrow)]
    #[schema(value_type = ContextShape)]
    profile: ContextBody<'a>,
}

/// What is known of one of many visitors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody<'a> {
    #[serde(borrow)]
    visitor: Text<'a>,
    profile: ContextBody<'a>,
}

/// A profile is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileSaved)]
struct Saved<'a> {
    #[schema(value_type = Id)]
    visitor: &'a str,
}

/// What became of all lines, on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileLines)]
struct Taken {
    recorded: u64,
    /// `false` where reading stopped before the end; the last refusal says why.
    complete: bool,
    refused: u64,
    /// The first 1,000 of them.
    refusals: Vec<Refusal>,
}

/// What is known of a visitor ahead of its requests
///
/// Replaces what was known. Decisions take an attribute from here where the request's context has none of the name; decisions without
/// consent do not. Values have at most 4,096 bytes each, all together 6,987 with their names, and are of the types that running experiments' `attributes` say.
#[utoipa::path(
    put, path = "/v1/visitors/{id}", tag = "visitors", operation_id = "saveProfile",
    params(VisitorPath),
    request_body(content = PutBody<'_>, example = json!({"profile": {"tier": "gold", "orders": 12}})),
    responses((status = 200, description = "It is kept, on disk", body = Saved<'_>), PutProblems),
)]
pub(crate) async fn put(service: Data<Service>, id: Path<String>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let body: PutBody<'_> = parse(&bytes)?;
    service.save_profile(&id, &body.profile.0).await?;
    Ok(HttpResponse::Ok().json(Saved { visitor: &id }))
}

/// What is known of many visitors, line by line
///
/// `{"visitor": ID, "profile": {…}}` a line (NDJSON), each as `PUT /v1/visitors/{id}` takes it. What can be taken is taken, what cannot
/// is told by its line; of several lines for one visitor the last counts. At most 65,536 bytes a line and 10,000,000 lines; blank ones are
/// passed over.
#[utoipa::path(
    post, path = "/v1/profiles", tag = "visitors", operation_id = "profileLines",
    request_body(
        content = String, content_type = "application/x-ndjson",
        example = json!("{\"visitor\": \"v-8f2c\", \"profile\": {\"tier\": \"gold\"}}\n"),
    ),
    responses((status = 200, description = "What became of the lines", body = Taken)),
)]
pub(crate) async fn many(service: Data<Service>, mut lines: Lines) -> Result<HttpResponse, Problem> {
    let mut recorded = 0_u64;
    let mut refusals = Refusals::default();
    let complete = loop {
        let these = match lines.next_or_refuse(&mut refusals).await {
            ControlFlow::Continue(these) => these,
            ControlFlow::Break(complete) => break complete,
        };
        let (mut numbers, mut sound) = (Vec::with_capacity(these.len()), Vec::with_capacity(these.len()));
        let mut refused = Vec::new();
        for read in &these {
            match line(&read.bytes) {
                Ok(body) => {
                    numbers.push(read.number);
                    sound.push(body);
                }
                Err(problem) => refused.push((read.number, problem)),
            }
        }
        let list: Vec<(&str, &Context<'_>)> = sound.iter().map(|body| (&*body.visitor.0, &body.profile.0)).collect();
        for (number, result) in numbers.into_iter().zip(service.save_profiles(&list).await) {
            match result {
                Ok(()) => recorded += 1,
                Err(error) => refused.push((number, error.into())),
            }
        }
        refused.sort_by_key(|(number, _)| *number);
        refused.iter().for_each(|(number, problem)| refusals.add(*number, problem));
    };
    let Refusals { count: refused, told: refusals } = refusals;
    Ok(HttpResponse::Ok().json(Taken { recorded, complete, refused, refusals }))
}

problems!(PutProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, Overloaded, Unavailable);

/// Reads a body, or a line of many, and checks all of it that needs no experiment, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    parse::<PutBody<'_>>(bytes).is_ok() || line(bytes).is_ok()
}

fn line(bytes: &[u8]) -> Result<LineBody<'_>, Problem> {
    let body: LineBody<'_> = parse(bytes)?;
    VisitorId::new(&body.visitor.0).map_err(invalid_id("visitor"))?;
    Ok(body)
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Clash(clash) => {
                let expected = match clash.expected {
                    AttributeType::Text => "a text",
                    AttributeType::Number => "a number",
                    AttributeType::Boolean => "true or false",
                };
                let allowed = format!("{expected}, as the running experiment {} says", clash.experiment);
                let mut given = value_json(&clash.given).to_string();
                if let Attribute::Text(_) = clash.given {
                    given = given.chars().take(80).collect();
                }
                Self::field(Kind::FieldRefused, format!("profile.{}", clash.attribute), given, allowed)
            }
            ProfileError::TooLong { bytes, most } => {
                let (given, allowed) =
                    (format!("{bytes} bytes"), format!("at most {most} bytes, names and values together"));
                Self::field(Kind::FieldRefused, "profile", given, allowed)
            }
            ProfileError::Commit(error) => error.into(),
        }
    }
}
