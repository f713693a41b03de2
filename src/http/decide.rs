//! `POST /v1/decide`: one experiment, several of them or all for one visitor under `experiments`, or a batch under `requests`.

mod answer;
mod batch;
mod many;
mod quick;
pub(crate) mod shape;

pub(crate) use crate::http::decide::answer::reason;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Unexpected, Visitor};
use utoipa::ToSchema;

use crate::access::key::Role;
use crate::domain::{Context, VariationKey, VisitorId};
use crate::engine::check::MAX_VARIATIONS;
use crate::engine::error::NoExperiment;
use crate::http::body::{ContextBody, ContextShape, Text, parse};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::idempotency::IdempotencyKey;
use crate::http::openapi::schema::Id;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::service::Service;
use crate::service::decide::Query;

/// Room for most answers.
const ANSWER_BYTES: usize = 1_024;
/// Longest `decision_id` of a caller, in bytes.
const MAX_DECISION_ID_BYTES: usize = 256;

/// What a decision is asked for.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
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
    /// Its context is, byte for byte, the last one of a batch that was not empty, and was not read again.
    #[serde(skip)]
    #[schema(ignore)]
    alike: bool,
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
    /// The site's own id of the decision, 1 to 256 bytes; minted if absent. The same for the same visitor within 60 seconds gets the same answer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    decision_id: Option<Text<'a>>,
    /// Say how the decision came about; records nothing and gives no receipt.
    #[serde(default)]
    explain: bool,
    /// `false`: nothing about the visitor is stored.
    consent: Option<bool>,
    /// For pages that set no header: the key, in the outermost object.
    #[schema(value_type = Option<String>)]
    key: Option<Text<'a>>,
    #[schema(ignore)]
    experiments: Option<Experiments<'a>>,
    #[schema(ignore)]
    requests: Option<Vec<DecideBody<'a>>>,
}

impl<'a> DecideBody<'a> {
    /// With every context where it was said. For tests.
    fn spelt_out(mut self) -> Self {
        let mut last = Context::new();
        for request in self.requests.iter_mut().flatten() {
            match (std::mem::take(&mut request.alike), request.context.0.is_empty()) {
                (true, _) => request.context.0 = last.clone(),
                (false, true) => {}
                (false, false) => last = request.context.0.clone(),
            }
        }
        self
    }
}

/// Which experiments are asked for at once.
#[derive(Debug, PartialEq)]
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
    let one = |body: &DecideBody<'_>| check(body, Role::Admin).is_ok_and(|exclude| query(body, &exclude, None).is_ok());
    let read = parse::<DecideBody<'_>>(bytes);
    let mut quick = DecideBody::default();
    if quick::read(bytes, &mut quick).is_some() {
        assert_eq!(Some(&quick.spelt_out()), read.as_ref().ok(), "what is read quickly is what is read");
    }
    read.is_ok_and(|body| match &body.requests {
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
    params(IdempotencyKey),
    request_body(content = shape::Request<'_>, example = json!({
        "experiment": "hero", "visitor": "v-8f2c", "context": {"device": "mobile", "country": "FR", "visits": 1}
    })),
    responses((status = 200, description = "What to show", body = shape::Answer<'_>), DecideProblems),
)]
pub(crate) async fn decide(
    service: &Service,
    asker: &Asker<'_>,
    idempotent: &IdempotencyKey,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let mut body = DecideBody::default();
    if quick::read(bytes, &mut body).is_none() {
        body = parse(bytes)?;
    }
    let role = asker.role(body.key.as_ref())?;
    out.reserve(ANSWER_BYTES * body.requests.as_ref().map_or(1, Vec::len).min(many::MAX_BATCH));
    match (&body.requests, &body.experiments) {
        (None, None) => one(service, role, &body, idempotent.one(), out).await?,
        // Boxed, so that a single decision has not to find room for them.
        (None, Some(experiments)) => {
            Box::pin(many::several(service, role, &body, experiments, idempotent.one(), out)).await?;
        }
        (Some(requests), _) => Box::pin(batch::batch(service, role, &body, requests, idempotent, out)).await?,
    }
    body.context.0.give_back();
    Ok(())
}

problems!(DecideProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, ExperimentUnknown, ExperimentDeleted);

async fn one(
    service: &Service,
    role: Role,
    body: &DecideBody<'_>,
    otherwise: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let exclude = check(body, role)?;
    let query = query(body, &exclude, otherwise)?;
    let answer = service.decide(&query).await.map_err(of_query(&query))?;
    answer::write(&answer, &query, role, out);
    Ok(())
}

/// A problem of the experiment that a query names.
fn of_query(query: &Query<'_>) -> impl Fn(NoExperiment) -> Problem {
    |error| Problem::from(error).of_experiment("experiment", &quoted(query.experiment))
}

/// Checks what needs no experiment; the excluded keys as keys. A key that could not be any variation's excludes nothing.
fn check(body: &DecideBody<'_>, role: Role) -> Result<Vec<VariationKey>, Problem> {
    if body.explain && role < Role::Write {
        return Err(role_problem(role, Role::Write, "`explain`"));
    }
    if let Some(Text(visitor)) = &body.visitor {
        VisitorId::check(visitor).map_err(invalid_id("visitor"))?;
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
    Ok(of(body, experiment(body)?, exclude, otherwise))
}

fn experiment<'q>(body: &'q DecideBody<'_>) -> Result<&'q str, Problem> {
    let allowed = "the key of an experiment, or experiments, or requests";
    let none = || Problem::field(Kind::Malformed, "experiment", "nothing", allowed);
    body.experiment.as_ref().map(|Text(key)| &**key).ok_or_else(none)
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
        minted: false,
        context: &body.context.0,
        exclude,
        defer: body.defer,
        receipt: body.receipt.as_ref().map(|Text(text)| &**text),
        decision_id: body.decision_id.as_ref().map(|Text(text)| &**text).or(otherwise),
        explain: body.explain,
        consent: body.consent.unwrap_or(true),
    }
}
