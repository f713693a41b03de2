//! Every address and method, and what a caller needs for it: the one table. A method without a row is answered with 405, and
//! an address without a row does not start.

use actix_web::http::Method;

use crate::access::key::Role;

/// One method of one address.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// The least role; `None`: no key at all.
    pub(crate) needs: Option<Role>,
    /// Whether pages send their key in the query or in the body: `sendBeacon` sets no header.
    pub(crate) from_pages: bool,
    /// What the audit log calls it, where it changes something that stays, or takes everything away.
    pub(crate) changes: Option<&'static str>,
}

const fn row(method: Method, path: &'static str, role: Role) -> Row {
    Row { method, path, needs: Some(role), from_pages: false, changes: None }
}

/// One that the audit log is told of.
const fn change(method: Method, path: &'static str, role: Role, action: &'static str) -> Row {
    Row { method, path, needs: Some(role), from_pages: false, changes: Some(action) }
}

const fn from_pages(method: Method, path: &'static str) -> Row {
    Row { method, path, needs: Some(Role::Decide), from_pages: true, changes: None }
}

const fn for_all(method: Method, path: &'static str) -> Row {
    Row { method, path, needs: None, from_pages: false, changes: None }
}

/// What a body may ask of a role beyond this stands in `http/decide.rs`, `http/reward.rs` and `http/track.rs`.
pub(crate) static ROWS: &[Row] = &[
    from_pages(Method::POST, "/v1/decide"),
    from_pages(Method::POST, "/v1/reward"),
    from_pages(Method::POST, "/v1/activate"),
    row(Method::POST, "/v1/rewards", Role::Write),
    from_pages(Method::POST, "/v1/track"),
    row(Method::POST, "/ofrep/v1/evaluate/flags/{key}", Role::Decide),
    row(Method::POST, "/ofrep/v1/evaluate/flags", Role::Decide),
    change(Method::POST, "/v1/alias", Role::Write, "visitor.alias"),
    row(Method::GET, "/v1/visitors/{id}", Role::Write),
    change(Method::PUT, "/v1/visitors/{id}", Role::Write, "profile.save"),
    change(Method::DELETE, "/v1/visitors/{id}", Role::Write, "visitor.erase"),
    change(Method::POST, "/v1/profiles", Role::Write, "profiles.save"),
    row(Method::GET, "/v1/experiments", Role::Admin),
    change(Method::PUT, "/v1/experiments/{key}", Role::Admin, "experiment.save"),
    row(Method::GET, "/v1/experiments/{key}", Role::Admin),
    change(Method::DELETE, "/v1/experiments/{key}", Role::Admin, "experiment.delete"),
    change(Method::POST, "/v1/experiments/{key}/start", Role::Admin, "experiment.start"),
    change(Method::POST, "/v1/experiments/{key}/pause", Role::Admin, "experiment.pause"),
    change(Method::POST, "/v1/experiments/{key}/end", Role::Admin, "experiment.end"),
    row(Method::GET, "/v1/experiments/{key}/report", Role::Admin),
    row(Method::GET, "/v1/events", Role::Admin),
    change(Method::GET, "/v1/backup", Role::Admin, "backup.take"),
    row(Method::GET, "/v1/keys", Role::Admin),
    change(Method::POST, "/v1/keys", Role::Admin, "key.create"),
    change(Method::DELETE, "/v1/keys/{id}", Role::Admin, "key.revoke"),
    row(Method::GET, "/metrics", Role::Write),
    for_all(Method::GET, "/sdk/mabel.js"),
    for_all(Method::GET, "/openapi.json"),
    for_all(Method::GET, "/docs"),
    for_all(Method::GET, "/docs/style.css"),
    for_all(Method::GET, "/problems/{name}"),
    for_all(Method::GET, "/healthz"),
    for_all(Method::GET, "/readyz"),
];

/// The rows of an address.
///
/// # Panics
/// If it has none: nobody has said who may use it.
pub(crate) fn of(path: &str) -> Vec<&'static Row> {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.path == path).collect();
    assert!(!rows.is_empty(), "{path} has no row in http/roles.rs: say there who may use it");
    rows
}
