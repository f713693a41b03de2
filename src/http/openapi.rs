//! `GET /openapi.json`: every address, from what stands beside its handler; `GET /docs`: the same for people.
//!
//! Invariant: nothing about a single address is here but its line in the list.

mod page;
pub(crate) mod schema;
mod security;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Bytes;
use utoipa::OpenApi;

use crate::http::openapi::security::Roles;
use crate::http::{
    backup, decide, events, experiments, health, keys, metrics, ofrep, problem, profiles, report, reward, rewards, sdk,
    track, visitors,
};

/// A new address is a line in `paths`, one in `routes.rs`, and `#[utoipa::path]` on its handler.
#[derive(OpenApi)]
#[openapi(
    info(title = "Mabel", description = include_str!("openapi/introduction.md")),
    paths(
        decide::decide,
        reward::activate,
        reward::reward,
        rewards::rewards,
        ofrep::one,
        ofrep::bulk,
        experiments::list,
        experiments::put,
        experiments::get,
        experiments::delete,
        experiments::start,
        experiments::pause,
        experiments::end,
        report::report,
        visitors::get,
        profiles::put,
        visitors::delete,
        profiles::many,
        visitors::alias,
        track::track,
        events::events,
        backup::backup,
        keys::list,
        keys::create,
        keys::revoke,
        metrics::metrics,
        sdk::script,
        health::healthz,
        health::readyz,
        problem::document::page,
        openapi,
        docs,
        style,
    ),
    modifiers(&Roles),
    components(schemas(problem::ProblemBody<'static>)),
    tags(
        (name = "decisions", description = "Which variation to show"),
        (name = "rewards", description = "What the visitor did"),
        (name = "openfeature", description = "The same for clients of OpenFeature: OFREP 0.3"),
        (name = "experiments", description = "What is decided, and what was learned"),
        (name = "visitors", description = "What is known of a visitor, and its erasure"),
        (name = "operations", description = "For whoever runs the server"),
    ),
)]
struct Document;

/// The document and the page made from it: once, when either is asked for.
struct Made {
    json: Bytes,
    page: Bytes,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let made = Document::openapi();
    let value = serde_json::to_value(&made).expect("the document is made of texts, numbers and lists");
    // Written from what was made, which keeps the order in which fields and addresses are declared; a value has its own.
    let json = made.to_json().expect("what becomes a value becomes a text");
    Made { json: json.into(), page: page::html(&value).into() }
});

/// The OpenAPI document
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "getOpenapi",
    responses((status = 200, description = "What you are reading, as OpenAPI 3.1", body = Object)),
)]
pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(MADE.json.clone())
}

/// The OpenAPI document, for people
///
/// Without scripts, and without anything from another server.
#[utoipa::path(
    get, path = "/docs", tag = "operations", operation_id = "getDocs",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header(("content-security-policy", page::POLICY))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(MADE.page.clone())
}

/// How that page looks
#[utoipa::path(
    get, path = "/docs/style.css", tag = "operations", operation_id = "getDocsStyle",
    responses((status = 200, description = "A style sheet", body = String, content_type = "text/css")),
)]
pub(crate) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header(("x-content-type-options", "nosniff"))
        .body(page::STYLE)
}

#[cfg(test)]
mod tests;
