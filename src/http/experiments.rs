//! `PUT GET DELETE /v1/experiments/{key}`, `GET /v1/experiments`, `POST /v1/experiments/{key}/start|pause|end`.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use serde_json::{Value, json};

use crate::engine::definition::Status;
use crate::engine::experiment::Experiment;
use crate::http::body::{Body, parse};
use crate::http::definition::{read, status_word, write};
use crate::http::problem::Problem;
use crate::service::Service;

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
