//! `PUT GET DELETE /v1/experiments/{key}`, `GET /v1/experiments`, `POST /v1/experiments/{key}/start|pause|end`.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::engine::Engine;
use crate::engine::definition::Status;
use crate::engine::experiment::Experiment;
use crate::engine::secret::Secret;
use crate::http::body::{Body, parse};
use crate::http::definition::{DefinitionBody, StatusWord, read, status_word, write};
use crate::http::openapi::schema::ExperimentPath;
use crate::http::problem::document::problems;
use crate::http::problem::{Problem, quoted};
use crate::service::Service;

/// An experiment as it is in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Experiment)]
struct Shown<'a> {
    #[schema(example = "hero")]
    experiment: &'a str,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// Version of the definition: rises with every save that changes something.
    definition: u32,
    /// Rises when something changes what is measured; learning then starts afresh.
    epoch: u32,
    /// The whole definition, every default written out.
    settings: DefinitionBody,
}

/// An experiment in few words.
#[derive(Serialize, ToSchema)]
#[schema(as = ExperimentSummary)]
struct Listed {
    experiment: String,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    definition: u32,
    epoch: u32,
    /// Keys of the variations, the default first.
    variations: Vec<String>,
}

/// All experiments that were not deleted.
#[derive(Serialize, ToSchema)]
#[schema(as = Experiments)]
struct All {
    experiments: Vec<Listed>,
}

/// Reads a body and checks all of it, for fuzzing; what is read is written and read again, to the same.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let Ok((definition, status)) = parse(bytes).and_then(|body| read("hero", body)) else { return false };
    let written = serde_json::to_vec(&write(&definition)).expect("a definition is made of texts, numbers and lists");
    let again = parse(&written).and_then(|body| read("hero", body));
    assert!(again.as_ref().is_ok_and(|(again, _)| *again == definition), "{again:?} is not {definition:?}");
    let engine = Engine::new(Secret::new([7; 32]), 1);
    engine.save(definition, status, Timestamp::ZERO).is_ok()
}

/// Save an experiment
///
/// Saving what is in force changes nothing. Changing what is measured begins a new epoch.
#[utoipa::path(
    put, path = "/v1/experiments/{key}", tag = "experiments", operation_id = "saveExperiment",
    params(ExperimentPath),
    request_body(content = DefinitionBody, example = json!({
        "status": "running",
        "unit": "visitor",
        "control": 0.05,
        "audience": "country in [\"FR\", \"DE\"]",
        "variations": [
            {"key": "plain", "payload": {"headline": "Welcome"}},
            {"key": "discount", "payload": {"headline": "10 % off today"}}
        ],
        "segments": {"by": ["device", "country"]},
        "policy": {"kind": "thompson"},
        "goals": [{"key": "purchase", "kind": "conversion", "window": "7d"}]
    })),
    responses(
        (status = 200, description = "A version of a known experiment, on disk", body = Shown<'_>),
        (status = 201, description = "A new experiment, on disk", body = Shown<'_>),
        SaveProblems
    ),
)]
pub(crate) async fn put(service: Data<Service>, key: Path<String>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let (definition, status) = read(&key, parse(&bytes)?)?;
    let (experiment, new) = service.save(definition, status).await?;
    let mut response = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(shown(&experiment)))
}

/// An experiment as it is in force
#[utoipa::path(
    get, path = "/v1/experiments/{key}", tag = "experiments", operation_id = "getExperiment",
    params(ExperimentPath),
    responses((status = 200, description = "The experiment", body = Shown<'_>), KnownProblems),
)]
pub(crate) async fn get(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(shown(&*service.engine().experiment(&key).map_err(of(&key))?)))
}

/// Delete an experiment, for good
///
/// Its key is not used again.
#[utoipa::path(
    delete, path = "/v1/experiments/{key}", tag = "experiments", operation_id = "deleteExperiment",
    params(ExperimentPath),
    responses((status = 204, description = "It is deleted, on disk"), DeleteProblems),
)]
pub(crate) async fn delete(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    service.delete(&key).await.map_err(of(&key))?;
    Ok(HttpResponse::NoContent().finish())
}

/// All experiments
#[utoipa::path(
    get, path = "/v1/experiments", tag = "experiments", operation_id = "listExperiments",
    responses((status = 200, description = "In order of their keys", body = All)),
)]
pub(crate) async fn list(service: Data<Service>) -> HttpResponse {
    let listed = |experiment: &Arc<Experiment>| {
        let active = experiment.active();
        Listed {
            experiment: experiment.key().to_string(),
            status: status_word(experiment.status()),
            definition: active.settings.version,
            epoch: active.settings.epoch,
            variations: active.settings.definition.variations.iter().map(|v| v.key.to_string()).collect(),
        }
    };
    HttpResponse::Ok().json(All { experiments: service.experiments().iter().map(listed).collect() })
}

/// Let an experiment decide
#[utoipa::path(
    post, path = "/v1/experiments/{key}/start", tag = "experiments", operation_id = "startExperiment",
    params(ExperimentPath),
    responses((status = 200, description = "The experiment, its status on disk", body = Shown<'_>), StatusProblems),
)]
pub(crate) async fn start(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Running).await
}

/// Pause an experiment
///
/// It answers the default; rewards of earlier decisions still count.
#[utoipa::path(
    post, path = "/v1/experiments/{key}/pause", tag = "experiments", operation_id = "pauseExperiment",
    params(ExperimentPath),
    responses((status = 200, description = "The experiment, its status on disk", body = Shown<'_>), StatusProblems),
)]
pub(crate) async fn pause(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Paused).await
}

/// End an experiment, for good
///
/// It answers the default; rewards of earlier decisions still count.
#[utoipa::path(
    post, path = "/v1/experiments/{key}/end", tag = "experiments", operation_id = "endExperiment",
    params(ExperimentPath),
    responses((status = 200, description = "The experiment, its status on disk", body = Shown<'_>), StatusProblems),
)]
pub(crate) async fn end(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Ended).await
}

async fn set(service: &Service, key: &str, status: Status) -> Result<HttpResponse, Problem> {
    let experiment = service.set_status(key, status).await.map_err(of(key))?;
    Ok(HttpResponse::Ok().json(shown(&experiment)))
}

/// A problem of the experiment that an address names.
fn of<E: Into<Problem>>(key: &str) -> impl Fn(E) -> Problem {
    |error| error.into().of_experiment("key", &quoted(key))
}

fn shown(experiment: &Experiment) -> Shown<'_> {
    let active = experiment.active();
    Shown {
        experiment: experiment.key().as_str(),
        status: status_word(experiment.status()),
        definition: active.settings.version,
        epoch: active.settings.epoch,
        settings: write(&active.settings.definition),
    }
}

problems!(SaveProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, TooManyEpochs, Overloaded, Unavailable);
problems!(KnownProblems: ExperimentUnknown, ExperimentDeleted);
problems!(DeleteProblems: ExperimentUnknown, ExperimentDeleted, Overloaded, Unavailable);
problems!(StatusProblems: ExperimentUnknown, ExperimentDeleted, ExperimentEnded, Overloaded, Unavailable);
