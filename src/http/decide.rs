//! `POST /v1/decide`: one request, or a batch under `requests`.

use std::io::Write as _;

use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};
use serde::Deserialize;

use crate::access::key::Role;
use crate::domain::{VariationKey, VisitorId};
use crate::engine::check::MAX_VARIATIONS;
use crate::engine::decide::{Basis, Reason};
use crate::http::body::{Body, ContextBody, Text, parse, rfc3339};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::problem::{Kind, Problem};
use crate::service::Service;
use crate::service::decide::{Answer, Query, Why};

/// Most requests of one batch.
const MAX_BATCH: usize = 1_000;
/// Longest `decision_id` of a caller, in bytes.
const MAX_DECISION_ID_BYTES: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecideBody<'a> {
    /// Of pages that set no header.
    #[serde(borrow)]
    key: Option<Text<'a>>,
    experiment: Option<Text<'a>>,
    visitor: Option<Text<'a>>,
    #[serde(default)]
    context: ContextBody<'a>,
    #[serde(default)]
    exclude: Vec<Text<'a>>,
    #[serde(default)]
    defer: bool,
    receipt: Option<Text<'a>>,
    decision_id: Option<Text<'a>>,
    #[serde(default)]
    explain: bool,
    consent: Option<bool>,
    requests: Option<Vec<DecideBody<'a>>>,
}

/// Reads a body and checks all of it that needs no experiment, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let one = |body: &DecideBody<'_>| check(body).is_ok_and(|exclude| query(body, &exclude).is_ok());
    parse::<DecideBody<'_>>(bytes).is_ok_and(|body| match &body.requests {
        None => one(&body),
        Some(requests) => requests.iter().filter(|request| one(request)).count() == requests.len(),
    })
}

pub(crate) async fn decide(service: Data<Service>, asker: Asker, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: DecideBody<'_> = parse(&bytes)?;
    let role = asker.role(body.key.as_ref())?;
    let mut out = Vec::with_capacity(1_024);
    match &body.requests {
        None => one(&service, role, &body, &mut out).await?,
        Some(requests) => batch(&service, role, &body, requests, &mut out).await?,
    }
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(out))
}

async fn one(service: &Service, role: Role, body: &DecideBody<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let exclude = check(body)?;
    if body.explain && role < Role::Write {
        return Err(role_problem(role, Role::Write, "`explain`"));
    }
    let query = query(body, &exclude)?;
    let answer = service.decide(&query).await?;
    write_answer(&answer, &query, role, out);
    Ok(())
}

async fn batch(
    service: &Service,
    role: Role,
    body: &DecideBody<'_>,
    requests: &[DecideBody<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let named =
        body.experiment.is_some() || body.visitor.is_some() || body.receipt.is_some() || body.decision_id.is_some();
    let set = body.defer
        || body.explain
        || body.consent.is_some()
        || !body.exclude.is_empty()
        || body.context.0.iter().next().is_some();
    if named || set {
        let allowed = "alone: each request of a batch brings its own experiment, visitor and context";
        return Err(Problem::field(Kind::FieldRefused, "requests", "requests beside other fields", allowed));
    }
    if requests.is_empty() || requests.len() > MAX_BATCH {
        let given = format!("{} of them", requests.len());
        return Err(Problem::field(Kind::FieldRefused, "requests", given, format!("1 to {MAX_BATCH}")));
    }
    out.extend_from_slice(br#"{"decisions":["#);
    for (index, request) in requests.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if let Err(problem) = one_of_batch(service, role, request, out).await {
            write_json(out, &problem.to_json());
        }
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

async fn one_of_batch(
    service: &Service,
    role: Role,
    request: &DecideBody<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    if request.key.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "key", "a key within a batch", "one key, beside `requests`"));
    }
    if request.requests.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "requests", "a batch within a batch", "one level"));
    }
    one(service, role, request, out).await
}

/// Checks what needs no experiment; the excluded keys as keys. A key that could not be any variation's excludes nothing.
fn check(body: &DecideBody<'_>) -> Result<Vec<VariationKey>, Problem> {
    if let Some(Text(visitor)) = &body.visitor {
        VisitorId::new(visitor).map_err(invalid_id("visitor"))?;
    }
    if let Some(Text(id)) = &body.decision_id
        && (id.is_empty() || id.len() > MAX_DECISION_ID_BYTES)
    {
        let given = format!("{} bytes", id.len());
        return Err(Problem::field(
            Kind::FieldRefused,
            "decision_id",
            given,
            format!("1 to {MAX_DECISION_ID_BYTES} bytes"),
        ));
    }
    if body.exclude.len() > MAX_VARIATIONS {
        let given = format!("{} of them", body.exclude.len());
        return Err(Problem::field(Kind::FieldRefused, "exclude", given, format!("at most {MAX_VARIATIONS}")));
    }
    Ok(body.exclude.iter().filter_map(|Text(key)| VariationKey::new(key).ok()).collect())
}

fn query<'q>(body: &'q DecideBody<'_>, exclude: &'q [VariationKey]) -> Result<Query<'q>, Problem> {
    let Some(Text(experiment)) = &body.experiment else {
        return Err(Problem::field(Kind::Malformed, "experiment", "nothing", "the key of an experiment, or requests"));
    };
    Ok(Query {
        experiment,
        visitor: body.visitor.as_ref().map(|Text(text)| &**text),
        context: &body.context.0,
        exclude,
        defer: body.defer,
        receipt: body.receipt.as_ref().map(|Text(text)| &**text),
        decision_id: body.decision_id.as_ref().map(|Text(text)| &**text),
        explain: body.explain,
        consent: body.consent.unwrap_or(true),
    })
}

/// The word for a reason.
pub(crate) fn reason(why: Why) -> &'static str {
    match why {
        Why::Decided(Reason::Policy) => "policy",
        Why::Decided(Reason::Control) => "control",
        Why::Decided(Reason::Sticky) => "sticky",
        Why::Decided(Reason::NotRunning) => "not_running",
        Why::Decided(Reason::NotInAudience) => "not_in_audience",
        Why::Decided(Reason::NotInTraffic) => "not_in_traffic",
        Why::Decided(Reason::AllExcluded) => "all_excluded",
        Why::Decided(Reason::NoConsent) => "no_consent",
        Why::Overloaded => "overloaded",
        Why::Unavailable => "unavailable",
    }
}

/// Written by hand: the payload is JSON already, and a decision's answer is the one that must be fast.
fn write_answer(answer: &Answer, query: &Query<'_>, role: Role, out: &mut Vec<u8>) {
    let settings = &answer.active.settings;
    let variation = &settings.definition.variations[answer.variation];
    out.extend_from_slice(br#"{"experiment":""#);
    // Keys need no escapes.
    out.extend_from_slice(settings.definition.key.as_str().as_bytes());
    out.extend_from_slice(br#"","variation":""#);
    out.extend_from_slice(variation.key.as_str().as_bytes());
    out.extend_from_slice(br#"","payload":"#);
    out.extend_from_slice(variation.payload.as_bytes());
    out.extend_from_slice(br#","reason":""#);
    out.extend_from_slice(reason(answer.why).as_bytes());
    out.extend_from_slice(br#"","#);
    if let Some(visitor) = &answer.visitor {
        out.extend_from_slice(br#""visitor":"#);
        write_json(out, visitor);
        out.push(b',');
    }
    out.extend_from_slice(br#""decision_id":"#);
    write_json(out, &answer.decision_id);
    if let Some(receipt) = &answer.receipt {
        out.extend_from_slice(br#","receipt":""#);
        out.extend_from_slice(receipt.as_bytes());
        out.push(b'"');
    }
    write(out, format_args!(r#","control":{},"propensity":"#, answer.control));
    write_json(out, &answer.propensity);
    write(out, format_args!(r#","definition":{}"#, settings.version));
    if let Some(expires) = answer.expires {
        write(out, format_args!(r#","expires":"{}""#, rfc3339(expires)));
    }
    out.extend_from_slice(br#","ignored":["#);
    let mut first = true;
    for (name, _) in query.context.iter().filter(|(name, _)| !settings.uses(name)) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_json(out, name);
    }
    out.push(b']');
    // What a site knows of its visitors is not for whoever reads a page's source.
    if let Some(segment) = answer.segment.as_ref().filter(|_| role >= Role::Write) {
        out.extend_from_slice(br#","segment":"#);
        write_json(out, segment.as_str());
    }
    if let Some(refused) = answer.receipt_refused {
        out.extend_from_slice(br#","receipt_refused":"#);
        write_json(out, &Problem::from(refused).to_json());
    }
    if let Some(basis) = &answer.basis {
        write_explanation(answer, basis, out);
    }
    out.push(b'}');
}

fn write_explanation(answer: &Answer, basis: &Basis, out: &mut Vec<u8>) {
    let settings = &answer.active.settings;
    let named = |numbers: &[f64]| {
        let variations = &settings.definition.variations;
        let keys = settings.variations_by_key().iter().map(|index| variations[*index].key.to_string());
        keys.zip(numbers.iter().map(|number| serde_json::json!(number))).collect::<serde_json::Map<_, _>>()
    };
    let explanation = serde_json::json!({
        "recorded": false,
        "epoch": settings.epoch,
        "policy": settings.definition.policy.kind,
        "shares": named(&basis.shares),
        "floor": settings.definition.policy.floor,
        "propensities": named(&basis.propensities),
        "uniform": basis.uniform,
    });
    out.extend_from_slice(br#","explanation":"#);
    write_json(out, &explanation);
}

pub(crate) fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts, numbers and JSON values are always written");
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}
