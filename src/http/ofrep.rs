//! `POST /ofrep/v1/evaluate/flags/{key}` and `POST /ofrep/v1/evaluate/flags`: the OpenFeature Remote Evaluation Protocol 0.3. A
//! flag is an experiment, a variant one of its variations, the targeting key a visitor.

pub(crate) mod context;
mod failure;
mod shape;

use actix_web::http::header::{ETag, EntityTag, Header, IfNoneMatch};
use actix_web::web::{Data, Path, ReqData};
use actix_web::{HttpRequest, HttpResponse, http::header::ContentType};
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::access::key::Role;
use crate::domain::{SegmentKey, VisitorId};
use crate::engine::decide::Reason;
use crate::engine::definition::Unit;
use crate::engine::experiment::Experiment;
use crate::http::body::{Body, parse, rfc3339, write_json};
use crate::http::decide::reason;
use crate::http::error::invalid_id;
use crate::http::ofrep::context::{ContextShape, EvaluationContext};
use crate::http::ofrep::failure::{Code, Failure, FailureBody};
use crate::http::ofrep::shape::{Flag, Flags, Metadata, SetMetadata};
use crate::http::openapi::schema::ExperimentPath;
use crate::http::problem::Problem;
use crate::service::Service;
use crate::service::decide::{Answer, Query, Why};

/// Fields the protocol may grow are passed over: it is not ours to say what a client of its next version sends.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EvaluationRequest)]
struct EvaluationBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = Option<ContextShape>)]
    context: Option<EvaluationContext<'a>>,
}

/// Reads a body and checks it, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    read(bytes).is_ok()
}

/// One flag, for OpenFeature
///
/// A flag is an experiment, a variant one of its variations, the targeting key a visitor. It is a decision, which is an exposure at once.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags/{key}", tag = "openfeature", operation_id = "evaluateFlag",
    params(ExperimentPath),
    request_body(content = EvaluationBody<'_>, example = json!({"context": {"targetingKey": "v-8f2c", "device": "mobile"}})),
    responses(
        (status = 200, description = "What to show", body = Flag<'_>),
        (status = 400, description = "The context is none, or names no visitor where one is needed", body = FailureBody<'_>),
        (status = 404, description = "There is no such experiment", body = FailureBody<'_>),
    ),
)]
pub(crate) async fn one(
    service: Data<Service>,
    caller: ReqData<Caller>,
    key: Path<String>,
    body: Result<Body, Problem>,
) -> Result<HttpResponse, Failure> {
    evaluate(&service, caller.role(), &key, body).await.map_err(|failure| failure.of(&key))
}

async fn evaluate(
    service: &Service,
    role: Role,
    key: &str,
    body: Result<Body, Problem>,
) -> Result<HttpResponse, Failure> {
    let Body(bytes) = body?;
    let context = read(&bytes)?;
    let not_found = |error| Failure::new(Code::FlagNotFound, error);
    let unit = |experiment: &Experiment| experiment.active().settings.definition.unit;
    if context.targeting_key.is_none() && unit(&*service.engine().experiment(key).map_err(not_found)?) == Unit::Visitor
    {
        // An id that is minted here could not be told to a client in a way that makes it come back with it: each evaluation would be
        // another visitor's first, and none of them be found again.
        let details =
            "this flag's experiment has visitors stay with what they are shown: context.targetingKey says who is meant";
        return Err(Failure::new(Code::TargetingKeyMissing, details));
    }
    let query = Query::new(key, context.targeting_key.as_deref(), &context.attributes);
    let answer = service.decide(&query).await.map_err(not_found)?;
    let ignored = ignored(&context, |name| answer.active.settings.uses(name));
    let metadata = Metadata { ignored, ..metadata(&answer, role) };
    let mut out = Vec::with_capacity(1_024);
    write_flag(&answer, &metadata, &mut out);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(out))
}

/// All flags of a visitor, for OpenFeature
///
/// Deferred decisions, which count nothing until each is activated. A flag whose unit is the decision stands as an error: it cannot be
/// evaluated ahead.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags", tag = "openfeature", operation_id = "evaluateFlags",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer")),
    request_body(content = EvaluationBody<'_>, example = json!({"context": {"targetingKey": "v-8f2c", "device": "mobile"}})),
    responses(
        (status = 200, description = "What to show", body = Flags<'_>, headers(("ETag" = String, description = "Changes with any of the flags"))),
        (status = 304, description = "Nothing has changed"),
        (status = 400, description = "The context is none, or names no visitor", body = FailureBody<'_>),
    ),
)]
pub(crate) async fn bulk(
    service: Data<Service>,
    caller: ReqData<Caller>,
    request: HttpRequest,
    body: Result<Body, Problem>,
) -> Result<HttpResponse, Failure> {
    let role = caller.role();
    let Body(bytes) = body?;
    let context = read(&bytes)?;
    let Some(visitor) = context.targeting_key.as_deref() else {
        let details = "all flags are evaluated for a visitor that comes back: context.targetingKey says which";
        return Err(Failure::new(Code::TargetingKeyMissing, details));
    };
    let prefetched = service.prefetch(visitor, &context.attributes).await;
    // Weak: receipts are sealed anew for each answer, and are as good as those the client has.
    let tag = EntityTag::new_weak(format!("{:016x}", prefetched.version));
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header(ETag(tag)).finish());
    }
    let mut out = Vec::with_capacity(1_024 * (1 + prefetched.answers.len()));
    out.extend_from_slice(br#"{"flags":["#);
    let mut first = true;
    let mut separate = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
    };
    for answer in &prefetched.answers {
        separate(&mut out);
        write_flag(answer, &metadata(answer, role), &mut out);
    }
    for key in &prefetched.singly {
        separate(&mut out);
        let details = "each request of this flag's experiment draws anew, so that it cannot be evaluated ahead: evaluate it by itself";
        write_json(&mut out, &Failure::new(Code::General, details).of(key.as_str()).body());
    }
    out.extend_from_slice(br#"],"metadata":"#);
    let set = SetMetadata {
        // Clients know the server's address, which it does not know itself behind a proxy.
        track_url: "/v1/track",
        activate_url: "/v1/activate",
        left_out: (prefetched.left_out > 0).then_some(prefetched.left_out),
        ignored: ignored(&context, |name| prefetched.answers.iter().any(|answer| answer.active.settings.uses(name))),
    };
    write_json(&mut out, &set);
    out.push(b'}');
    Ok(HttpResponse::Ok().content_type(ContentType::json()).insert_header(ETag(tag)).body(out))
}

fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

fn read(bytes: &[u8]) -> Result<EvaluationContext<'_>, Failure> {
    let body: EvaluationBody<'_> = parse(bytes).map_err(|problem| {
        let json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        Failure::new(if json { Code::InvalidContext } else { Code::ParseError }, problem)
    })?;
    let context = body.context.unwrap_or_default();
    if let Some(visitor) = &context.targeting_key {
        let refused = |error| Failure::new(Code::InvalidContext, invalid_id("context.targetingKey")(error));
        VisitorId::new(visitor).map_err(refused)?;
    }
    Ok(context)
}

/// The reasons of the standard. Nothing here is a targeting match: rules say who takes part, not what is shown.
const fn standard_reason(why: Why) -> &'static str {
    match why {
        Why::Decided(Reason::Policy | Reason::Control | Reason::Sticky) => "SPLIT",
        Why::Decided(Reason::NotRunning) => "DISABLED",
        Why::Decided(
            Reason::NotInAudience
            | Reason::NotInTraffic
            | Reason::AllExcluded
            | Reason::InOtherExperiment
            | Reason::NoConsent,
        ) => "STATIC",
        Why::Overloaded | Why::Unavailable => "UNKNOWN",
    }
}

/// What the value and the variant do not say. Flat, since clients drop anything else.
fn metadata<'a>(answer: &'a Answer<'_>, role: Role) -> Metadata<'a> {
    Metadata {
        reason: reason(answer.why),
        control: answer.control,
        definition: answer.active.settings.version,
        propensity: answer.propensity,
        decision_id: answer.decision_id.to_string(),
        receipt: answer.receipt.as_deref(),
        expires: answer.expires.map(rfc3339),
        // What a site knows of its visitors is not for whoever reads a page's source.
        segment: answer.segment.as_deref().filter(|_| role >= Role::Write).map(SegmentKey::as_str),
        ignored: None,
    }
}

/// Names what was given and has no effect, in one text: lists would be dropped.
fn ignored(context: &EvaluationContext<'_>, uses: impl Fn(&str) -> bool) -> Option<String> {
    let unused = context.attributes.iter().map(|(name, _)| name).filter(|name| !uses(name));
    let ignored: Vec<&str> = unused.chain(context.nested.iter().map(|name| &**name)).collect();
    (!ignored.is_empty()).then(|| ignored.join(", "))
}

/// A value and a variant always, whatever the reason: clients that miss one of them fall back to the code's own default, which
/// is not what the site's people set as theirs.
fn write_flag(answer: &Answer<'_>, metadata: &Metadata<'_>, out: &mut Vec<u8>) {
    let definition = &answer.active.settings.definition;
    let variation = &definition.variations[answer.variation];
    out.extend_from_slice(br#"{"key":""#);
    // Keys need no escapes.
    out.extend_from_slice(definition.key.as_str().as_bytes());
    out.extend_from_slice(br#"","value":"#);
    if &*variation.payload == "null" {
        write_json(out, variation.key.as_str());
    } else {
        out.extend_from_slice(variation.payload.as_bytes());
    }
    out.extend_from_slice(br#","variant":""#);
    out.extend_from_slice(variation.key.as_str().as_bytes());
    out.extend_from_slice(br#"","reason":""#);
    out.extend_from_slice(standard_reason(answer.why).as_bytes());
    out.extend_from_slice(br#"","metadata":"#);
    write_json(out, metadata);
    out.push(b'}');
}
