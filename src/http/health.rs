//! `GET /healthz`: the process answers. `GET /readyz`: it can record, or why not.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::openapi::schema::{one_of, shapes};
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;

/// How the server is.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(value_type = HealthStatus)]
    status: &'static str,
}

shapes! {
    /// What is well.
    HealthStatus "HealthStatus" = one_of(["ok", "ready"]);
}

/// Whether the process runs
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "getHealth",
    responses((status = 200, description = "It does", body = Health)),
)]
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// Whether rewards can be recorded
///
/// Decisions are answered all the same, with the default.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "getReadiness",
    responses((status = 200, description = "They can", body = Health), ReadyProblems),
)]
pub(crate) async fn readyz(service: Data<Service>) -> Result<HttpResponse, Problem> {
    match service.health().trouble() {
        Some(trouble) => Err(Problem::new(Kind::Unavailable, trouble)),
        None => Ok(HttpResponse::Ok().json(Health { status: "ready" })),
    }
}

problems!(ReadyProblems: Unavailable);
