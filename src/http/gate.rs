//! The gate before every address: which methods it takes, who asks, whether a page of another origin may. What it refuses no
//! handler sees.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{ALLOW, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN, X_FORWARDED_FOR};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _};

use crate::access::key::Role;
use crate::access::{Access, Caller, Denied, Sender};
use crate::http::audit::Change;
use crate::http::body::Text;
use crate::http::cors;
use crate::http::problem::{Kind, Problem};
use crate::http::roles::Row;
use crate::http::traces;
use crate::service::Service;
use crate::service::counts::{Durations, moment};
use crate::service::spans::Tracer;

/// Who is told of the requests of an address.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) durations: Arc<Durations>,
    /// Nobody, unless spans are collected.
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
}

/// Names are made once: a text would be read as one with every request.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets a request pass or answers it, and lets pages of other origins read the answer.
pub(crate) async fn gate(
    rows: Rc<[&'static Row]>,
    watch: Watch,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = moment();
    // Read off before the handler has the request; nothing at all where nobody is told.
    let traced = watch.tracer.as_ref().map(|tracer| {
        let route = rows.first().map_or("", |row| row.path);
        (tracer, route, traces::word(request.method()), traces::parent(request.headers()))
    });
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match enter(&rows, &request) {
        Passage::On(row, entered) => {
            let change = row.changes.map(|action| Change::new(action, entered.0.as_ref(), &request));
            request.extensions_mut().insert(entered);
            let response = next.call(request).await?;
            if let Some(change) = change {
                let service =
                    response.request().app_data::<Data<Service>>().expect("a server is made with its service");
                change.done(response.response(), access(response.request()), service.now());
            }
            response
        }
        Passage::Answered(answer) => request.into_response(answer),
    };
    if let Some(origin) = origin {
        cors::allow(response.headers_mut(), origin);
    }
    watch.durations.ended(began);
    if let Some((tracer, route, method, parent)) = traced {
        traces::answered(tracer, route, method, parent, response.status(), began);
    }
    Ok(response)
}

/// Who has passed the gate; `None`: whoever has a key in the body.
struct Entered(Option<Caller>);

/// On to the handler, or back.
enum Passage {
    On(&'static Row, Entered),
    Answered(HttpResponse),
}

fn enter(rows: &[&'static Row], request: &ServiceRequest) -> Passage {
    if request.method() == Method::OPTIONS && cors::is_preflight(request.headers()) {
        return Passage::Answered(cors::preflight(rows));
    }
    let Some(row) = rows.iter().find(|row| row.method == *request.method()) else {
        return Passage::Answered(method_not_allowed(rows, request));
    };
    match admit(row, request.request()) {
        Ok(entered) => Passage::On(row, entered),
        Err(problem) => Passage::Answered(problem.error_response()),
    }
}

fn admit(row: &Row, request: &HttpRequest) -> Result<Entered, Problem> {
    let Some(needed) = row.needs else { return Ok(Entered(Some(Caller::Anyone))) };
    let access = access(request);
    let in_query = || row.from_pages.then(|| in_query(request.query_string())).flatten();
    let key = in_header(request.headers()).or_else(in_query);
    if key.is_none() && row.from_pages && !access.is_open() {
        return Ok(Entered(None));
    }
    let caller = let_in(access, key, request)?;
    require(caller.role(), needed)?;
    Ok(Entered(Some(caller)))
}

fn access(request: &HttpRequest) -> &Access {
    request.app_data::<Data<Access>>().expect("a server is made with what decides who is let in")
}

fn let_in(access: &Access, key: Option<&str>, request: &HttpRequest) -> Result<Caller, Problem> {
    // What is no text is no origin that any key has.
    let header = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let from = Sender {
        origin: header(ORIGIN),
        peer: request.peer_addr().map(|peer| peer.ip()),
        forwarded: header(X_FORWARDED_FOR),
    };
    access.admit(key, from).map_err(|denied| problem(denied, from.origin.unwrap_or_default()))
}

/// What is no text is passed on as what no key is, rather than passed over.
fn in_header(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get(&X_API_KEY).map(|key| key.to_str().unwrap_or_default()))
}

/// Keys have no characters that a query escapes.
fn in_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("key="))
}

/// Refuses a role that is not enough.
pub(crate) fn require(role: Role, needed: Role) -> Result<(), Problem> {
    if role >= needed {
        return Ok(());
    }
    Err(role_problem(role, needed, "this"))
}

/// That something in a body is for other roles.
pub(crate) fn role_problem(role: Role, needed: Role, what: &str) -> Problem {
    let above = Role::ALL.into_iter().filter(|role| *role >= needed).map(Role::word).collect::<Vec<_>>().join(" or ");
    let detail = format!("{what} needs a key with role {above}; this one has role {role}");
    Problem { field: Some(("key".into(), role.to_string(), above)), ..Problem::new(Kind::RoleRequired, detail) }
}

fn problem(denied: Denied, origin: &str) -> Problem {
    const SENT: &str = "`Authorization: Bearer KEY` or `X-API-Key: KEY`; to decide, activate, reward and track also \
                        `?key=KEY`, or `key` in the body";
    match denied {
        Denied::NoKey => Problem::new(Kind::KeyRequired, format!("this needs a key, sent as {SENT}")),
        Denied::UnknownKey => Problem::new(Kind::KeyRefused, "there is no such key, or it was revoked"),
        Denied::KeyTooOften(seconds) => too_often("this key is", seconds),
        Denied::AddressTooOften(seconds) => too_often("requests of this address are", seconds),
        Denied::Origin => {
            Problem::field(Kind::OriginRefused, "Origin", format!("{origin:?}"), "an origin that the key is for")
        }
        Denied::OriginWithoutKeys => {
            let allowed = "a page of this machine, as this server has no keys yet: `mabel keys create` makes one, or it can \
                           be started with --insecure";
            Problem::field(Kind::OriginRefused, "Origin", format!("{origin:?}"), allowed)
        }
    }
}

fn too_often(what: &str, seconds: u64) -> Problem {
    let detail = format!("{what} limited; try again in {seconds} s");
    Problem { retry_after: Some(seconds), ..Problem::new(Kind::TooManyRequests, detail) }
}

fn method_not_allowed(rows: &[&'static Row], request: &ServiceRequest) -> HttpResponse {
    let detail = format!("{} does not take {}", request.path(), request.method());
    let mut response = Problem::new(Kind::MethodNotAllowed, detail).error_response();
    if let Ok(methods) = HeaderValue::from_str(&cors::methods(rows)) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Whoever asks, for handlers whose answer depends on it, and whose body may bring the key.
pub(crate) struct Asker {
    request: HttpRequest,
}

impl Asker {
    /// What it may do. `key` is the one in the body, if there is one; a key that came otherwise goes before it.
    ///
    /// # Errors
    /// A problem, if none of them lets it in.
    pub(crate) fn role(&self, key: Option<&Text<'_>>) -> Result<Role, Problem> {
        if let Some(Entered(Some(caller))) = self.request.extensions().get::<Entered>() {
            return Ok(caller.role());
        }
        // Only addresses that every role may use come here without a caller.
        let_in(access(&self.request), key.map(|Text(key)| &**key), &self.request).map(|caller| caller.role())
    }
}

impl FromRequest for Asker {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Ok(Self { request: request.clone() }))
    }
}

#[cfg(test)]
mod tests;
