//! What the table of problems makes: documented responses, and a page for each kind.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Path;
use utoipa::openapi::schema::{AllOfBuilder, Object, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use crate::http::openapi::schema::{self, shapes};
use crate::http::problem::{Kind, Problem, Row};

/// Names the problems that an address can answer, beside its handler: a type for its `responses`.
macro_rules! problems {
    ($name:ident: $($kind:ident),+ $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                crate::http::problem::document::responses(&[$(crate::http::problem::Kind::$kind),+])
            }
        }
    };
}
pub(crate) use problems;

fn one_of(kinds: &[Kind]) -> Object {
    let uris = kinds.iter().map(|kind| format!("/problems/{}", kind.row().name));
    schema::of_type(Type::String).enum_values(Some(uris)).build()
}

shapes! {
    /// Every `type` there is.
    ProblemType "ProblemType" = one_of(Kind::ALL);
}

/// The responses of an address that can answer these, one for each status.
pub(crate) fn responses(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.row().status).or_default().push(*kind);
    }
    by_status.into_iter().map(|(status, kinds)| (status.to_string(), response(status, &kinds).into())).collect()
}

fn response(status: u16, kinds: &[Kind]) -> Response {
    let these = schema::of_type(Type::Object)
        .property("type", one_of(kinds))
        .property("status", schema::of_type(Type::Integer).enum_values(Some([status])));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(these);
    let said = kinds.iter().map(|kind| kind.row()).map(|Row { name, title, .. }| format!("`{name}`: {title}"));
    ResponseBuilder::new()
        .description(said.collect::<Vec<_>>().join(". "))
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

/// What a problem means
///
/// The `type` of every problem is an address: this is what it answers, for people.
#[utoipa::path(
    get, path = "/problems/{name}", tag = "operations", operation_id = "getProblem",
    params(("name" = String, Path, description = "The last part of a problem's `type`", example = "field-refused")),
    responses((status = 200, description = "When it happens, and what to do", body = String), PageProblems),
)]
pub(crate) async fn page(name: Path<String>) -> Result<HttpResponse, Problem> {
    let row = Kind::ALL.iter().map(|kind| kind.row()).find(|row| row.name == *name);
    let Some(Row { name, status, title, advice }) = row else {
        return Err(Problem::new(Kind::NotFound, format!("there is no problem of the kind {:?}", name.as_str())));
    };
    let text = format!("{name}, status {status}\n\n{title}.\n\n{advice}\n");
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(text))
}

problems!(PageProblems: NotFound);
