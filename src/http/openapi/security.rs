//! Who may use an address, and what it answers to others: from the table in `http/roles.rs`, so that no handler says it again.

use actix_web::http::Method;
use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, OpenApi};

use crate::access::key::Role;
use crate::http::problem::Kind;
use crate::http::problem::document::responses;
use crate::http::roles::{ROWS, Row};

/// What every address that needs a key may answer.
const REFUSALS: &[Kind] =
    &[Kind::KeyRequired, Kind::KeyRefused, Kind::RoleRequired, Kind::OriginRefused, Kind::TooManyRequests];

/// Adds it to the document.
pub(super) struct Roles;

impl Modify for Roles {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        for (name, scheme) in schemes() {
            components.add_security_scheme(name, scheme);
        }
        for row in ROWS {
            let described = document.paths.paths.get_mut(row.path).and_then(|path| operation(path, &row.method));
            if let (Some(described), Some(role)) = (described, row.needs) {
                guard(described, role, row);
            }
        }
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`Authorization: Bearer KEY`"));
    let header = ApiKeyValue::with_description("X-API-Key", "The same key, for clients that set no `Authorization`");
    let query = ApiKeyValue::with_description("key", "The same key, for pages: `sendBeacon` sets no header");
    [
        ("bearer", SecurityScheme::Http(bearer.build())),
        ("header", SecurityScheme::ApiKey(ApiKey::Header(header))),
        ("query", SecurityScheme::ApiKey(ApiKey::Query(query))),
    ]
}

/// The operation of a method that the table has.
fn operation<'a>(path: &'a mut PathItem, method: &Method) -> Option<&'a mut Operation> {
    let operation = match method.as_str() {
        "GET" => &mut path.get,
        "PUT" => &mut path.put,
        "POST" => &mut path.post,
        "DELETE" => &mut path.delete,
        _ => return None,
    };
    operation.as_mut()
}

fn guard(operation: &mut Operation, role: Role, row: &Row) {
    let enough: Vec<String> =
        Role::ALL.into_iter().filter(|other| *other >= role).map(|role| format!("`{role}`")).collect();
    let mut said = format!("Needs a key with role {}.", enough.join(" or "));
    let mut ways = vec!["bearer", "header"];
    if row.from_pages {
        ways.push("query");
        said += " It can also stand in the body, as `key`.";
    }
    let before = operation.description.take().filter(|text| !text.is_empty());
    operation.description = Some(before.map_or_else(|| said.clone(), |text| format!("{text}\n\n{said}")));
    // For schemes of these kinds, the list names the roles that are needed.
    operation.security = Some(ways.into_iter().map(|way| SecurityRequirement::new(way, [role.word()])).collect());
    for (status, response) in responses(REFUSALS) {
        operation.responses.responses.entry(status).or_insert(response);
    }
}
