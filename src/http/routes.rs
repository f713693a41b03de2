//! Every address, a line each.

use actix_web::web::{self, PayloadConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use crate::http::body::MAX_BODY_BYTES;
use crate::http::problem::{Kind, Problem};
use crate::http::{backup, decide, experiments, health, openapi, problem, report, reward, visitors};

pub(crate) fn configure(config: &mut ServiceConfig) {
    let at = |path: &str| web::resource(path).default_service(web::to(method_not_allowed));
    config
        .app_data(PayloadConfig::new(MAX_BODY_BYTES))
        .service(at("/v1/decide").route(web::post().to(decide::decide)))
        .service(at("/v1/reward").route(web::post().to(reward::reward)))
        .service(at("/v1/activate").route(web::post().to(reward::activate)))
        .service(at("/v1/alias").route(web::post().to(visitors::alias)))
        .service(at("/v1/visitors/{id}").route(web::get().to(visitors::get)).route(web::delete().to(visitors::delete)))
        .service(at("/v1/experiments").route(web::get().to(experiments::list)))
        .service(
            at("/v1/experiments/{key}")
                .route(web::put().to(experiments::put))
                .route(web::get().to(experiments::get))
                .route(web::delete().to(experiments::delete)),
        )
        .service(at("/v1/experiments/{key}/start").route(web::post().to(experiments::start)))
        .service(at("/v1/experiments/{key}/pause").route(web::post().to(experiments::pause)))
        .service(at("/v1/experiments/{key}/end").route(web::post().to(experiments::end)))
        .service(at("/v1/experiments/{key}/report").route(web::get().to(report::report)))
        .service(at("/v1/backup").route(web::get().to(backup::backup)))
        .service(at("/openapi.json").route(web::get().to(openapi::openapi)))
        .service(at("/docs").route(web::get().to(openapi::docs)))
        .service(at("/docs/style.css").route(web::get().to(openapi::style)))
        .service(at("/problems/{name}").route(web::get().to(problem::document::page)))
        .service(at("/healthz").route(web::get().to(health::healthz)))
        .service(at("/readyz").route(web::get().to(health::readyz)))
        .default_service(web::to(not_found));
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::new(Kind::NotFound, format!("there is nothing at {}", request.path())))
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    let problem =
        Problem::new(Kind::MethodNotAllowed, format!("{} does not take {}", request.path(), request.method()));
    let mut response = problem.error_response();
    openapi::allow(response.headers_mut(), request.match_pattern().as_deref());
    response
}
