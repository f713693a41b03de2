//! `PUT GET DELETE /v1/experiments/{key}`, `GET /v1/experiments`, `POST /v1/experiments/{key}/start|pause|end`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::{Value, json};

use crate::domain::Timestamp;
use crate::engine::Engine;
use crate::engine::definition::Status;
use crate::engine::experiment::Experiment;
use crate::engine::secret::Secret;
use crate::http::body::{Body, parse};
use crate::http::definition::{read, status_word, write};
use crate::http::problem::Problem;
use crate::service::Service;

/// Reads a body and checks all of it, for fuzzing; what is read is written and read again, to the same.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let Ok((definition, status)) = parse(bytes).and_then(|body| read("hero", body)) else { return false };
    let written = serde_json::to_vec(&write(&definition)).expect("a definition is made of texts, numbers and lists");
    let again = parse(&written).and_then(|body| read("hero", body));
    assert!(again.as_ref().is_ok_and(|(again, _)| *again == definition), "{again:?} is not {definition:?}");
    let engine = Engine::new(Secret::new([7; 32]), 1);
    engine.save(definition, status, Timestamp::ZERO).is_ok()
}

pub(crate) async fn put(service: Data<Service>, key: Path<String>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let (definition, status) = read(&key, parse(&bytes)?)?;
    let (experiment, new) = service.save(definition, status).await?;
    let mut response = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(to_json(&experiment)))
}

pub(crate) async fn get(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(to_json(&*service.engine().experiment(&key)?)))
}

pub(crate) async fn delete(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    service.delete(&key).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub(crate) async fn list(service: Data<Service>) -> HttpResponse {
    let experiments: Vec<Value> = service
        .experiments()
        .iter()
        .map(|experiment| {
            let active = experiment.active();
            json!({
                "experiment": experiment.key().as_str(),
                "status": status_word(experiment.status()),
                "definition": active.settings.version,
                "epoch": active.settings.epoch,
                "variations": active.settings.definition.variations.iter().map(|v| v.key.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    HttpResponse::Ok().json(json!({ "experiments": experiments }))
}

pub(crate) async fn start(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Running).await
}

pub(crate) async fn pause(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Paused).await
}

pub(crate) async fn end(service: Data<Service>, key: Path<String>) -> Result<HttpResponse, Problem> {
    set(&service, &key, Status::Ended).await
}

async fn set(service: &Service, key: &str, status: Status) -> Result<HttpResponse, Problem> {
    let experiment = service.set_status(key, status).await?;
    Ok(HttpResponse::Ok().json(to_json(&experiment)))
}

fn to_json(experiment: &Experiment) -> Value {
    let active = experiment.active();
    json!({
        "experiment": experiment.key().as_str(),
        "status": status_word(experiment.status()),
        "definition": active.settings.version,
        "epoch": active.settings.epoch,
        "settings": write(&active.settings.definition),
    })
}
