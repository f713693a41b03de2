//! `POST /v1/decide`: one request, or a batch under `requests`.

mod shape;

use std::io::Write as _;

use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::{VariationKey, VisitorId};
use crate::engine::check::MAX_VARIATIONS;
use crate::engine::decide::{Basis, Reason};
use crate::http::body::{Body, ContextBody, ContextShape, Text, parse, rfc3339};
use crate::http::error::invalid_id;
use crate::http::openapi::schema::Id;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::service::Service;
use crate::service::decide::{Answer, Query, Why};

/// Most requests of one batch.
const MAX_BATCH: usize = 1_000;
/// Longest `decision_id` of a caller, in bytes.
const MAX_DECISION_ID_BYTES: usize = 256;

/// What a decision is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DecisionRequest)]
struct DecideBody<'a> {
    /// The experiment's key.
    #[serde(borrow)]
    #[schema(value_type = String, example = "hero")]
    experiment: Option<Text<'a>>,
    /// The site's own id, 1 to 256 bytes; minted if absent, and then good for this answer only.
    #[schema(value_type = Option<Id>)]
    visitor: Option<Text<'a>>,
    /// Attributes of the visitor and the request: true, false, a number or a text; `null` is a missing attribute.
    #[serde(default)]
    #[schema(value_type = ContextShape)]
    context: ContextBody<'a>,
    /// Keys of variations not to be shown now; the others share their part.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 256)]
    exclude: Vec<Text<'a>>,
    /// The decision counts once it is activated.
    #[serde(default)]
    defer: bool,
    /// Of an earlier decision for this visitor: stay with its variation.
    #[schema(value_type = Option<String>)]
    receipt: Option<Text<'a>>,
    /// The site's own id of the decision, 1 to 256 bytes; minted if absent. The same within 60 seconds gets the same answer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    decision_id: Option<Text<'a>>,
    /// Say how the decision came about; records nothing and gives no receipt.
    #[serde(default)]
    explain: bool,
    /// `false`: nothing about the visitor is stored.
    consent: Option<bool>,
    #[schema(ignore)]
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

/// Which variation to show
///
/// Whatever goes wrong with the decision itself, the answer is `200` with a variation to show and a `reason`. Only a malformed
/// request or an unknown experiment is an error; in a list a problem stands in the place of what is one.
#[utoipa::path(
    post, path = "/v1/decide", tag = "decisions", operation_id = "decide",
    request_body(content = shape::Request<'_>, example = json!({
        "experiment": "hero", "visitor": "v-8f2c", "context": {"device": "mobile", "country": "FR", "visits": 1}
    })),
    responses((status = 200, description = "What to show", body = shape::Answer<'_>), DecideProblems),
)]
pub(crate) async fn decide(service: Data<Service>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: DecideBody<'_> = parse(&bytes)?;
    let mut out = Vec::with_capacity(1_024);
    match &body.requests {
        None => one(&service, &body, &mut out).await?,
        Some(requests) => batch(&service, &body, requests, &mut out).await?,
    }
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(out))
}

problems!(DecideProblems: Malformed, FieldRefused, BodyTooLarge, ExperimentUnknown, ExperimentDeleted);

async fn one(service: &Service, body: &DecideBody<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let exclude = check(body)?;
    let query = query(body, &exclude)?;
    let answer = service.decide(&query).await;
    let answer = answer.map_err(|error| Problem::from(error).of_experiment("experiment", &quoted(query.experiment)))?;
    write_answer(&answer, &query, out);
    Ok(())
}

async fn batch(
    service: &Service,
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
        if let Err(problem) = one_of_batch(service, request, out).await {
            write_json(out, &problem.to_json());
        }
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

async fn one_of_batch(service: &Service, request: &DecideBody<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
    if request.requests.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "requests", "a batch within a batch", "one level"));
    }
    one(service, request, out).await
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
fn reason(why: Why) -> &'static str {
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
fn write_answer(answer: &Answer, query: &Query<'_>, out: &mut Vec<u8>) {
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
    if let Some(segment) = &answer.segment {
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

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts, numbers and JSON values are always written");
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}
