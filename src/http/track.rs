//! `POST /v1/track`: a tracking event of OpenFeature, or a list of them under `events`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::key::Role;
use crate::domain::{ExperimentKey, RewardId, Timestamp, VisitorId};
use crate::http::body::{Body, Text, parse, parse_time};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::ofrep::context::EvaluationContext;
use crate::http::problem::{Kind, Problem};
use crate::http::reward;
use crate::service::Service;
use crate::service::error::FeedbackError;
use crate::service::track::{Tracked, Tracking};

/// Most events of one list, and most receipts of one event.
const MAX_EVENTS: usize = 100;
const MAX_RECEIPTS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackBody<'a> {
    /// Of pages that set no header.
    #[serde(borrow)]
    key: Option<Text<'a>>,
    name: Option<Text<'a>>,
    visitor: Option<Text<'a>>,
    #[serde(rename = "targetingKey")]
    targeting_key: Option<Text<'a>>,
    receipts: Option<Vec<Text<'a>>>,
    value: Option<f64>,
    currency: Option<Text<'a>>,
    track_id: Option<Text<'a>>,
    reward_id: Option<Text<'a>>,
    occurred_at: Option<Text<'a>>,
    context: Option<EvaluationContext<'a>>,
    details: Option<Details<'a>>,
    events: Option<Vec<TrackBody<'a>>>,
}

/// Whatever else a site says of its events is for other services.
#[derive(Debug, Deserialize)]
struct Details<'a> {
    value: Option<f64>,
    #[serde(borrow)]
    currency: Option<Text<'a>>,
}

/// What is checked before the service sees it.
struct Checked<'a> {
    name: &'a str,
    visitor: Option<&'a str>,
    receipts: Vec<&'a str>,
    value: Option<f64>,
    currency: Option<&'a str>,
    reward_id: Option<RewardId>,
    occurred_at: Option<Timestamp>,
}

/// Reads a body and checks all of it, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    parse::<TrackBody<'_>>(bytes).is_ok_and(|body| match &body.events {
        None => check(&body).is_ok(),
        Some(events) => events.iter().filter(|event| check(event).is_ok()).count() == events.len(),
    })
}

pub(crate) async fn track(service: Data<Service>, asker: Asker, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: TrackBody<'_> = parse(&bytes)?;
    let role = asker.role(body.key.as_ref())?;
    let Some(list) = &body.events else {
        let checked = check_for(role, &body)?;
        let mut tracked = service.track(&[tracking(&checked)]).await;
        let answer = to_json(checked.name, tracked.pop().expect("one answer for every event handed over"))?;
        return Ok(HttpResponse::Ok().json(answer));
    };
    let texts = [&body.name, &body.visitor, &body.targeting_key, &body.currency, &body.track_id, &body.reward_id];
    let about = texts.iter().any(|text| text.is_some()) || body.receipts.is_some() || body.context.is_some();
    if about || body.value.is_some() || body.occurred_at.is_some() || body.details.is_some() {
        let allowed = "alone: each event of a list brings its own name and targetingKey";
        return Err(Problem::field(Kind::FieldRefused, "events", "events beside other fields", allowed));
    }
    if list.is_empty() || list.len() > MAX_EVENTS {
        let given = format!("{} of them", list.len());
        return Err(Problem::field(Kind::FieldRefused, "events", given, format!("1 to {MAX_EVENTS}")));
    }
    Ok(HttpResponse::Ok().json(json!({ "events": many(&service, role, list).await })))
}

/// Takes what can be taken, at the price of one sync; a problem stands in the place of what cannot.
async fn many(service: &Service, role: Role, list: &[TrackBody<'_>]) -> Vec<Value> {
    let checked: Vec<Result<Checked<'_>, Problem>> = list.iter().map(|body| check_of_list(role, body)).collect();
    let sound: Vec<Tracking<'_>> = checked.iter().flatten().map(tracking).collect();
    let mut tracked = service.track(&sound).await.into_iter();
    checked
        .into_iter()
        .map(|checked| {
            let answer = checked.and_then(|checked| {
                to_json(checked.name, tracked.next().expect("one answer for every event handed over"))
            });
            answer.unwrap_or_else(|problem| problem.to_json())
        })
        .collect()
}

fn check_of_list<'a>(role: Role, body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    if body.key.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "key", "a key within a list", "one key, beside `events`"));
    }
    check_for(role, body)
}

/// A page speaks for whoever looks at it, of whom it has receipts.
fn check_for<'a>(role: Role, body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    let checked = check(body)?;
    if checked.visitor.is_some() && role < Role::Write {
        return Err(role_problem(role, Role::Write, "naming a visitor instead of receipts"));
    }
    Ok(checked)
}

fn check<'a>(body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    if body.events.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "events", "a list within a list", "one level"));
    }
    let Some(Text(name)) = &body.name else {
        return Err(Problem::field(Kind::Malformed, "name", "nothing", "the key of a goal"));
    };
    let in_context = body.context.as_ref().and_then(|context| context.targeting_key.as_deref());
    let visitor = one_of([
        ("visitor", text(&body.visitor)),
        ("targetingKey", text(&body.targeting_key)),
        ("context.targetingKey", in_context),
    ])?;
    if let Some((field, visitor)) = visitor {
        VisitorId::new(visitor).map_err(invalid_id(field))?;
    }
    if visitor.is_none() && body.receipts.is_none() {
        let allowed = "whose decisions are meant, or receipts of them";
        return Err(Problem::field(Kind::Malformed, "targetingKey", "nothing", allowed));
    }
    let receipts: Vec<&str> = body.receipts.iter().flatten().map(|Text(receipt)| &**receipt).collect();
    if receipts.len() > MAX_RECEIPTS {
        let given = format!("{} of them", receipts.len());
        return Err(Problem::field(Kind::FieldRefused, "receipts", given, format!("at most {MAX_RECEIPTS}")));
    }
    let reward_id = one_of([("track_id", text(&body.track_id)), ("reward_id", text(&body.reward_id))])?;
    let reward_id = reward_id.map(|(field, id)| RewardId::new(id).map_err(invalid_id(field))).transpose()?;
    let details = body.details.as_ref();
    let currency = [("currency", text(&body.currency)), ("details.currency", details.and_then(|d| text(&d.currency)))];
    Ok(Checked {
        name,
        visitor: visitor.map(|(_, visitor)| visitor),
        receipts,
        value: one_of([("value", body.value), ("details.value", details.and_then(|details| details.value))])?
            .map(|(_, value)| value),
        currency: one_of(currency)?.map(|(_, currency)| currency),
        reward_id,
        occurred_at: body.occurred_at.as_ref().map(|Text(at)| parse_time("occurred_at", at)).transpose()?,
    })
}

fn text<'a>(given: &'a Option<Text<'_>>) -> Option<&'a str> {
    given.as_ref().map(|Text(text)| &**text)
}

/// What is said once, or several times alike.
fn one_of<T: PartialEq + std::fmt::Debug, const N: usize>(
    given: [(&'static str, Option<T>); N],
) -> Result<Option<(&'static str, T)>, Problem> {
    let mut known: Option<(&'static str, T)> = None;
    for (field, value) in given {
        let Some(value) = value else { continue };
        match &known {
            Some((other, said)) if *said != value => {
                let allowed = format!("what {other} says, or only one of them");
                return Err(Problem::field(Kind::FieldRefused, field, format!("{value:?}"), allowed));
            }
            Some(_) => {}
            None => known = Some((field, value)),
        }
    }
    Ok(known)
}

fn tracking<'a>(checked: &'a Checked<'_>) -> Tracking<'a> {
    Tracking {
        goal: checked.name,
        visitor: checked.visitor,
        receipts: &checked.receipts,
        value: checked.value,
        currency: checked.currency,
        reward_id: checked.reward_id.as_ref(),
        occurred_at: checked.occurred_at,
    }
}

/// The fate of an event in each experiment. If any of it could not be recorded, the whole is to be sent again: what was recorded
/// is known by its id and counts once.
fn to_json(name: &str, tracked: Result<Tracked, FeedbackError>) -> Result<Value, Problem> {
    let tracked = tracked?;
    let mut results = Vec::with_capacity(tracked.results.len());
    for reward in tracked.results {
        let mut result = match reward.result {
            Ok(rewarding) => reward::to_json(&rewarding),
            Err(error @ (FeedbackError::Commit(_) | FeedbackError::Unreadable(_))) => {
                let Problem { kind, .. } = Problem::from(error);
                let detail = "not all of it could be recorded; send it again: what is recorded already counts once";
                return Err(Problem::new(kind, detail));
            }
            Err(error @ FeedbackError::Reward(_)) => {
                json!({ "outcome": "refused", "problem": Problem::from(error).to_json() })
            }
        };
        if let Some(experiment) = &reward.experiment {
            result["experiment"] = json!(experiment.as_str());
        }
        results.push(result);
    }
    let without_goal: Vec<&str> = tracked.without_goal.iter().map(ExperimentKey::as_str).collect();
    Ok(json!({ "name": name, "results": results, "without_goal": without_goal }))
}
