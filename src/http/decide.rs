//! `POST /v1/decide`: one experiment, several of them or all for one visitor under `experiments`, or a batch under `requests`.

use std::io::Write as _;
use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpResponse, http::header::ContentType};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Unexpected, Visitor};

use crate::domain::{ExperimentKey, VariationKey, VisitorId};
use crate::engine::check::MAX_VARIATIONS;
use crate::engine::decide::{Basis, Reason};
use crate::engine::error::NoExperiment;
use crate::http::body::{Body, ContextBody, Text, parse, rfc3339};
use crate::http::error::invalid_id;
use crate::http::idempotency::IdempotencyKey;
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
    #[serde(borrow)]
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
    experiments: Option<Experiments<'a>>,
    requests: Option<Vec<DecideBody<'a>>>,
}

/// Which experiments are asked for at once.
#[derive(Debug)]
enum Experiments<'a> {
    /// Those that take the visitor.
    All,
    Listed(Vec<Text<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Experiments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExperimentsVisitor;
        impl<'de> Visitor<'de> for ExperimentsVisitor {
            type Value = Experiments<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"all\" or a list of keys of experiments")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "all" { Ok(Experiments::All) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = list.next_element()? {
                    keys.push(key);
                }
                Ok(Experiments::Listed(keys))
            }
        }
        deserializer.deserialize_any(ExperimentsVisitor)
    }
}

/// Reads a body and checks all of it that needs no experiment, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let one = |body: &DecideBody<'_>| check(body).is_ok_and(|exclude| query(body, &exclude, None).is_ok());
    parse::<DecideBody<'_>>(bytes).is_ok_and(|body| match &body.requests {
        None => one(&body),
        Some(requests) => requests.iter().filter(|request| one(request)).count() == requests.len(),
    })
}

pub(crate) async fn decide(
    service: Data<Service>,
    idempotent: IdempotencyKey,
    Body(bytes): Body,
) -> Result<HttpResponse, Problem> {
    let body: DecideBody<'_> = parse(&bytes)?;
    let mut out = Vec::with_capacity(1_024);
    match (&body.requests, &body.experiments) {
        (None, None) => one(&service, &body, idempotent.one(), &mut out).await?,
        (None, Some(experiments)) => several(&service, &body, experiments, idempotent.one(), &mut out).await?,
        (Some(requests), _) => batch(&service, &body, requests, &idempotent, &mut out).await?,
    }
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(out))
}

async fn one(
    service: &Service,
    body: &DecideBody<'_>,
    otherwise: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let exclude = check(body)?;
    let query = query(body, &exclude, otherwise)?;
    let answer = service.decide(&query).await?;
    write_answer(&answer, &query, out);
    Ok(())
}

/// One visitor in several experiments, or in all that take it.
async fn several(
    service: &Service,
    body: &DecideBody<'_>,
    experiments: &Experiments<'_>,
    otherwise: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    const ALONE: &str =
        "alone: a list of experiments, or \"all\", takes the place of one experiment and brings no receipt";
    if body.experiment.is_some() || body.receipt.is_some() {
        let given = "experiments beside experiment or receipt";
        return Err(Problem::field(Kind::FieldRefused, "experiments", given, ALONE));
    }
    let exclude = check(body)?;
    let running = service.running();
    let keys: Vec<&str> = match experiments {
        Experiments::All => running.iter().map(ExperimentKey::as_str).collect(),
        Experiments::Listed(list) => list.iter().map(|Text(key)| &**key).collect(),
    };
    let all = matches!(experiments, Experiments::All);
    if keys.len() > MAX_BATCH || keys.is_empty() && !all {
        let given = format!("{} of them", keys.len());
        return Err(Problem::field(Kind::FieldRefused, "experiments", given, format!("1 to {MAX_BATCH}")));
    }
    // The same one for all of them.
    let minted = (body.visitor.is_none() && body.consent != Some(false)).then(|| service.mint_visitor());
    let shared = of(body, "", &exclude, otherwise);
    let visitor = shared.visitor.or(minted.as_deref());
    let queries: Vec<Query<'_>> =
        keys.iter().map(|experiment| Query { experiment, visitor, ..shared.clone() }).collect();
    let answers = service.decide_all(&queries).await;
    let takes_part = |answer: &Result<Arc<Answer>, NoExperiment>| match answer {
        Ok(answer) => match answer.why {
            Why::Decided(Reason::Policy | Reason::Control | Reason::Sticky) | Why::Overloaded | Why::Unavailable => {
                true
            }
            Why::Decided(_) => false,
        },
        Err(_) => false,
    };
    let wanted = answers.into_iter().zip(&queries).filter(|(answer, _)| !all || takes_part(answer));
    write_all(wanted.map(|(answer, query)| answer.map(|answer| (answer, query)).map_err(Problem::from)), out);
    Ok(())
}

/// Requests that have nothing to do with each other.
async fn batch(
    service: &Service,
    body: &DecideBody<'_>,
    requests: &[DecideBody<'_>],
    idempotent: &IdempotencyKey,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let named =
        body.experiment.is_some() || body.visitor.is_some() || body.receipt.is_some() || body.decision_id.is_some();
    let set = body.defer
        || body.explain
        || body.consent.is_some()
        || body.experiments.is_some()
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
    let otherwise: Vec<Option<String>> = (0..requests.len()).map(|index| idempotent.at(index)).collect();
    let excluded: Vec<Result<Vec<VariationKey>, Problem>> = requests.iter().map(check_of_batch).collect();
    let (mut queries, mut flaws) = (Vec::with_capacity(requests.len()), Vec::new());
    for (index, (request, exclude)) in requests.iter().zip(&excluded).enumerate() {
        match exclude
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|exclude| query(request, exclude, otherwise[index].as_deref()))
        {
            Ok(query) => queries.push(query),
            Err(flaw) => flaws.push((index, flaw)),
        }
    }
    let mut answers = service.decide_all(&queries).await.into_iter().zip(&queries);
    let mut flaws = flaws.into_iter().peekable();
    let results = (0..requests.len()).map(|index| match flaws.next_if(|(at, _)| *at == index) {
        Some((_, flaw)) => Err(flaw),
        None => {
            let (answer, query) = answers.next().expect("one answer for every query");
            answer.map(|answer| (answer, query)).map_err(Problem::from)
        }
    });
    write_all(results, out);
    Ok(())
}

fn check_of_batch(request: &DecideBody<'_>) -> Result<Vec<VariationKey>, Problem> {
    if request.requests.is_some() || request.experiments.is_some() {
        let field = if request.requests.is_some() { "requests" } else { "experiments" };
        return Err(Problem::field(Kind::FieldRefused, field, "a batch within a batch", "one level"));
    }
    check(request)
}

fn write_all<'a>(results: impl Iterator<Item = Result<(Arc<Answer>, &'a Query<'a>), Problem>>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"decisions":["#);
    for (index, result) in results.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            Ok((answer, query)) => write_answer(&answer, query, out),
            Err(problem) => write_json(out, &problem.to_json()),
        }
    }
    out.extend_from_slice(b"]}");
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

fn query<'q>(
    body: &'q DecideBody<'_>,
    exclude: &'q [VariationKey],
    otherwise: Option<&'q str>,
) -> Result<Query<'q>, Problem> {
    let Some(Text(experiment)) = &body.experiment else {
        let allowed = "the key of an experiment, or experiments, or requests";
        return Err(Problem::field(Kind::Malformed, "experiment", "nothing", allowed));
    };
    Ok(of(body, experiment, exclude, otherwise))
}

/// What is asked of one experiment. `otherwise` is the id of a decision that says none.
fn of<'q>(
    body: &'q DecideBody<'_>,
    experiment: &'q str,
    exclude: &'q [VariationKey],
    otherwise: Option<&'q str>,
) -> Query<'q> {
    Query {
        experiment,
        visitor: body.visitor.as_ref().map(|Text(text)| &**text),
        context: &body.context.0,
        exclude,
        defer: body.defer,
        receipt: body.receipt.as_ref().map(|Text(text)| &**text),
        decision_id: body.decision_id.as_ref().map(|Text(text)| &**text).or(otherwise),
        explain: body.explain,
        consent: body.consent.unwrap_or(true),
    }
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
        Why::Decided(Reason::InOtherExperiment) => "in_other_experiment",
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
    if answer.holdout {
        out.extend_from_slice(br#","holdout":true"#);
    }
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
