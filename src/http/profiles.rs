//! `PUT /v1/visitors/{id}` and `POST /v1/profiles`: what is known of visitors ahead of their requests, one of them or a line each.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use serde::Deserialize;
use serde_json::json;

use crate::domain::context::Value as Attribute;
use crate::domain::{Context, VisitorId};
use crate::engine::profile::AttributeType;
use crate::http::body::{Body, ContextBody, Text, parse};
use crate::http::error::invalid_id;
use crate::http::lines::{Lines, Refusals};
use crate::http::problem::{Kind, Problem};
use crate::http::visitors::value_json;
use crate::service::Service;
use crate::service::error::ProfileError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBody<'a> {
    #[serde(borrow)]
    profile: ContextBody<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody<'a> {
    #[serde(borrow)]
    visitor: Text<'a>,
    profile: ContextBody<'a>,
}

pub(crate) async fn put(service: Data<Service>, id: Path<String>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    VisitorId::new(&id).map_err(invalid_id("visitor"))?;
    let body: PutBody<'_> = parse(&bytes)?;
    service.save_profile(&id, &body.profile.0).await?;
    Ok(HttpResponse::Ok().json(json!({ "visitor": *id, "outcome": "recorded" })))
}

/// What can be taken is taken, what cannot is told by its line. Of several lines for one visitor the last counts.
pub(crate) async fn many(service: Data<Service>, payload: Payload) -> Result<HttpResponse, Problem> {
    let mut lines = Lines::of(payload);
    let mut recorded = 0_u64;
    let mut refusals = Refusals::default();
    let complete = loop {
        let these = match lines.next().await {
            Ok(these) if these.is_empty() => break true,
            Ok(these) => these,
            Err(flaw) => {
                refusals.add(lines.number(), &flaw);
                break false;
            }
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
    Ok(HttpResponse::Ok().json(refusals.beside(json!({ "recorded": recorded, "complete": complete }))))
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
