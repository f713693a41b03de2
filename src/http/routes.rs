//! Every address, a line each.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::front::Endpoint;
use crate::http::gate::{self, Gate};
use crate::http::metrics::{self, Latencies};
use crate::http::problem::{Kind, Problem};
use crate::http::{
    backup, events, experiments, health, keys, ofrep, openapi, problem, profiles, report, rewards, sdk, visitors,
};
use crate::service::spans::Tracer;

/// Those that pages call, which need no router.
pub(crate) const FRONT: [(&str, Endpoint); 4] = [
    ("/v1/decide", Endpoint::Decide),
    ("/v1/reward", Endpoint::Reward),
    ("/v1/activate", Endpoint::Activate),
    ("/v1/track", Endpoint::Track),
];

/// All others.
pub(crate) fn configure(config: &mut ServiceConfig, latencies: &Latencies, tracer: Option<&Arc<dyn Tracer>>) {
    let at = |path: &str| {
        let gate = Rc::new(Gate::at(path, latencies, tracer));
        web::resource(path).wrap(from_fn(move |request, next| gate::pass(Rc::clone(&gate), request, next)))
    };
    config
        .service(at("/v1/rewards").route(web::post().to(rewards::rewards)))
        .service(at("/v1/alias").route(web::post().to(visitors::alias)))
        .service(
            at("/v1/visitors/{id}")
                .route(web::get().to(visitors::get))
                .route(web::put().to(profiles::put))
                .route(web::delete().to(visitors::delete)),
        )
        .service(at("/v1/profiles").route(web::post().to(profiles::many)))
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
        .service(at("/ofrep/v1/evaluate/flags/{key}").route(web::post().to(ofrep::one)))
        .service(at("/ofrep/v1/evaluate/flags").route(web::post().to(ofrep::bulk)))
        .service(at("/v1/events").route(web::get().to(events::events)))
        .service(at("/v1/backup").route(web::get().to(backup::backup)))
        .service(at("/v1/keys").route(web::get().to(keys::list)).route(web::post().to(keys::create)))
        .service(at("/v1/keys/{id}").route(web::delete().to(keys::revoke)))
        .service(at("/metrics").route(web::get().to(metrics::metrics)))
        .service(at("/sdk/mabel.js").route(web::get().to(sdk::script)))
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
