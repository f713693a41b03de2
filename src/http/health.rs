//! `GET /healthz`: the process answers. `GET /readyz`: it can record, or why not.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::http::problem::{Kind, Problem};
use crate::service::Service;

pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

pub(crate) async fn readyz(service: Data<Service>) -> Result<HttpResponse, Problem> {
    match service.health().trouble() {
        Some(trouble) => Err(Problem::new(Kind::Unavailable, trouble)),
        None => Ok(HttpResponse::Ok().json(json!({ "status": "ready" }))),
    }
}
