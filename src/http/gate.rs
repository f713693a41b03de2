//! The gate before every address: which methods it takes, who asks, whether a page of another origin may. What it refuses no
//! handler sees.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, X_FORWARDED_FOR};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::rt::task::yield_now;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _};

use crate::access::key::Role;
use crate::access::{Access, Caller, Denied, Sender};
use crate::http::audit::Change;
use crate::http::body::Text;
use crate::http::cors;
use crate::http::head::{Head, text};
use crate::http::metrics::Latencies;
use crate::http::problem::{Kind, Problem};
use crate::http::roles::{self, Row};
use crate::http::traces;
use crate::service::Service;
use crate::service::counts::{Durations, moment};
use crate::service::spans::{Parent, Tracer};

/// What stands before one address.
pub(crate) struct Gate {
    rows: Rc<[&'static Row]>,
    durations: Arc<Durations>,
    /// Nobody, unless spans are collected.
    tracer: Option<Arc<dyn Tracer>>,
}

/// Names are made once: a text would be read as one with every request.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Lets a request pass on to its handler, or answers it.
pub(crate) async fn pass(
    gate: Rc<Gate>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut visit = gate.receive(request.head());
    let mut response = match gate.row(request.head()) {
        Passage::On(row) => match admit(row, key(row, request.head()), request.head(), access(request.request())) {
            Ok(caller) => handled(row, caller, request, next).await?,
            Err(problem) => request.into_response(problem.error_response()),
        },
        Passage::Answered(answer) => request.into_response(answer),
    };
    if let Some(origin) = visit.origin() {
        cors::allow(response.headers_mut(), origin);
    }
    visit.leave(response.status()).await;
    Ok(response)
}

async fn handled(
    row: &Row,
    caller: Caller,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let change = row.changes.map(|action| Change::new(action, &caller, &request));
    // For handlers whose answer depends on it.
    request.extensions_mut().insert(caller);
    let response = next.call(request).await?;
    if let Some(change) = change {
        let request = response.request();
        let service = request.app_data::<Data<Service>>().expect("a server is made with its service");
        change.done(response.response(), access(request), service.now());
    }
    Ok(response)
}

/// On to whoever is asked for, or back.
pub(crate) enum Passage {
    On(&'static Row),
    Answered(HttpResponse),
}

impl Gate {
    /// Before an address that has rows in `http/roles.rs`.
    pub(crate) fn at(path: &str, latencies: &Latencies, tracer: Option<&Arc<dyn Tracer>>) -> Self {
        Self { rows: roles::of(path).into(), durations: latencies.of(path), tracer: tracer.cloned() }
    }

    /// Begins to measure, and reads off what is told afterwards.
    pub(crate) fn receive(&self, head: &dyn Head) -> Visit<'_> {
        let traced = self.tracer.as_ref().map(|tracer| Traced {
            tracer,
            route: self.rows.first().map_or("", |row| row.path),
            method: traces::word(head.method()),
            parent: traces::parent(head),
        });
        let origin = head.value(&ORIGIN).and_then(|origin| HeaderValue::from_bytes(origin).ok());
        Visit { durations: &self.durations, began: moment(), origin, traced }
    }

    /// What is asked for, or the answer to what the address does not take and to what a browser asks beforehand.
    pub(crate) fn row(&self, head: &dyn Head) -> Passage {
        if *head.method() == Method::OPTIONS && cors::is_preflight(head) {
            return Passage::Answered(cors::preflight(&self.rows));
        }
        match self.rows.iter().find(|row| row.method == *head.method()) {
            Some(row) => Passage::On(row),
            None => Passage::Answered(method_not_allowed(&self.rows, head)),
        }
    }
}

/// A request that is at the gate.
pub(crate) struct Visit<'g> {
    durations: &'g Durations,
    began: Instant,
    origin: Option<HeaderValue>,
    traced: Option<Traced<'g>>,
}

/// Who is told of it, and what.
struct Traced<'g> {
    tracer: &'g Arc<dyn Tracer>,
    route: &'static str,
    method: &'static str,
    parent: Option<Parent>,
}

impl Visit<'_> {
    pub(crate) const fn began(&self) -> Instant {
        self.began
    }

    /// The origin of the page that is to be let read the answer.
    pub(crate) fn origin(&mut self) -> Option<HeaderValue> {
        self.origin.take()
    }

    /// Lets whoever else has asked by now be heard first, so that answers leave together: the first wakes the client's core, and the
    /// others find it awake. Waking it for each can cost more than deciding does. Tells how it was answered, and when, which is now.
    pub(crate) async fn leave(self, status: StatusCode) -> Instant {
        yield_now().await;
        let Self { durations, began, traced, .. } = self;
        let ended = durations.ended(began);
        if let Some(Traced { tracer, route, method, parent }) = traced {
            traces::answered(tracer, route, method, parent, status, began);
        }
        ended
    }
}

/// Who asks, if that is enough.
fn admit(row: &Row, key: Option<&str>, head: &dyn Head, access: &Access) -> Result<Caller, Problem> {
    let Some(needed) = row.needs else { return Ok(Caller::Anyone) };
    let caller = let_in(access, key, head)?;
    require(caller.role(), needed)?;
    Ok(caller)
}

fn access(request: &HttpRequest) -> &Access {
    request.app_data::<Data<Access>>().expect("a server is made with what decides who is let in")
}

fn let_in(access: &Access, key: Option<&str>, head: &dyn Head) -> Result<Caller, Problem> {
    asks(access, head, |from| access.admit(key, from))
}

/// What is said to a sender.
fn asks<T>(access: &Access, head: &dyn Head, say: impl FnOnce(Sender<'_>) -> Result<T, Denied>) -> Result<T, Problem> {
    let forwarded = list(head, &X_FORWARDED_FOR);
    let from = Sender {
        origin: head.value(&ORIGIN).map(name),
        // Looked at only where there are no keys.
        host: access.is_open().then(|| host(head)).flatten(),
        peer: head.peer(),
        forwarded: forwarded.as_deref(),
    };
    say(from).map_err(|denied| problem(denied, &from))
}

/// What is no text is no origin that any key has, no address, and no name.
fn name(value: &[u8]) -> &str {
    text(value).unwrap_or_default()
}

/// A header whose lines are one list (RFC 9110, section 5.3): a proxy may add a line of its own to the one that came.
fn list<'h>(head: &'h dyn Head, header: &HeaderName) -> Option<Cow<'h, str>> {
    let mut lines = head.lines(header).map(name);
    let first = Cow::Borrowed(lines.next()?);
    Some(lines.fold(first, |list, line| format!("{list},{line}").into()))
}

/// What a request calls this server: in its address, where HTTP/2 and proxies have it, or else in `Host` (RFC 9112, section 3.2.2).
fn host(head: &dyn Head) -> Option<&str> {
    head.authority().or_else(|| head.value(&HOST).map(name))
}

/// The key that a request brings, but for its body.
fn key<'h>(row: &Row, head: &'h dyn Head) -> Option<&'h str> {
    let in_query = || row.from_pages.then(|| in_query(head.query().unwrap_or_default())).flatten();
    in_header(head).or_else(in_query)
}

/// What is no text is passed on as what no key is, rather than passed over.
fn in_header(head: &dyn Head) -> Option<&str> {
    let bearer = head.value(&AUTHORIZATION).and_then(|value| {
        let (scheme, key) = text(value)?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| head.value(&X_API_KEY).map(name))
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

fn problem(denied: Denied, from: &Sender<'_>) -> Problem {
    const SENT: &str = "`Authorization: Bearer KEY` or `X-API-Key: KEY`; to decide, activate, reward and track also \
                        `?key=KEY`, or `key` in the body";
    match denied {
        Denied::NoKey => Problem::new(Kind::KeyRequired, format!("this needs a key, sent as {SENT}")),
        Denied::UnknownKey => Problem::new(Kind::KeyRefused, "there is no such key, or it was revoked"),
        Denied::KeyTooOften(seconds) => too_often("this key is", seconds),
        Denied::AddressTooOften(seconds) => too_often("requests of this address are", seconds),
        Denied::Origin => {
            let given = format!("{:?}", from.origin.unwrap_or_default());
            Problem::field(Kind::OriginRefused, "Origin", given, "an origin that the key is for")
        }
        Denied::OriginWithoutKeys => {
            let (given, allowed) = (from.origin.unwrap_or_default(), format!("a page of this machine, {NO_KEYS}"));
            Problem::field(Kind::OriginRefused, "Origin", format!("{given:?}"), allowed)
        }
        Denied::HostWithoutKeys => {
            let (given, allowed) =
                (from.host.unwrap_or_default(), format!("localhost or a loopback address, {NO_KEYS}"));
            Problem::field(Kind::OriginRefused, "Host", format!("{given:?}"), allowed)
        }
    }
}

const NO_KEYS: &str =
    "as this server has no keys yet: `mabel keys create` makes one, or it can be started with --insecure";

fn too_often(what: &str, seconds: u64) -> Problem {
    let detail = format!("{what} limited; try again in {seconds} s");
    Problem { retry_after: Some(seconds), ..Problem::new(Kind::TooManyRequests, detail) }
}

fn method_not_allowed(rows: &[&'static Row], head: &dyn Head) -> HttpResponse {
    let detail = format!("{} does not take {}", head.path(), head.method());
    let mut response = Problem::new(Kind::MethodNotAllowed, detail).error_response();
    if let Ok(methods) = HeaderValue::from_str(&cors::methods(rows)) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Whoever asks at an address of pages, whose body may bring the key.
pub(crate) struct Asker<'r> {
    head: &'r dyn Head,
    access: &'r Access,
    /// `None`: whoever has the key in the body.
    caller: Option<Caller>,
    /// Whether it counts towards the limit of its address already.
    counted: Cell<bool>,
}

impl<'r> Asker<'r> {
    /// Lets in whoever brings a key that is enough, or none yet.
    ///
    /// # Errors
    /// A problem, if a key was brought that does not let in.
    pub(crate) fn admitted(row: &Row, head: &'r dyn Head, access: &'r Access) -> Result<Self, Problem> {
        let key = key(row, head);
        let caller = match key {
            None if !access.is_open() => None,
            _ => Some(admit(row, key, head, access)?),
        };
        let counted = Cell::new(caller.is_some());
        Ok(Self { head, access, caller, counted })
    }

    /// What it may do. `key` is the one in the body, if there is one; a key that came otherwise goes before it.
    ///
    /// # Errors
    /// A problem, if none of them lets it in.
    pub(crate) fn role(&self, key: Option<&Text<'_>>) -> Result<Role, Problem> {
        match &self.caller {
            Some(caller) => Ok(caller.role()),
            // Pages' addresses are for every role.
            None => {
                self.counted.set(true);
                let_in(self.access, key.map(|Text(key)| &**key), self.head).map(|caller| caller.role())
            }
        }
    }

    /// What is said in the end. A body that could not be read has brought no key, and counts all the same.
    ///
    /// # Errors
    /// The problem that there was, or that this comes too often.
    pub(crate) fn hears<T>(&self, answered: Result<T, Problem>) -> Result<T, Problem> {
        if answered.is_err() && !self.counted.get() {
            asks(self.access, self.head, |from| self.access.pace(from))?;
        }
        answered
    }
}

#[cfg(test)]
mod tests;
