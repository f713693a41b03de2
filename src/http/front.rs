//! The addresses that sites call with every page, answered in front of the router: for one fixed path, its look-ups, guards, extractors
//! and boxes are a good part of what a request costs, and give nothing.
//!
//! Invariant: whoever comes here passes the same gate as whoever goes on to the router.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory, Service as Answers, ServiceFactory, forward_ready};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{Error, HttpResponse, ResponseError as _};
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, MapOk};

use crate::access::Access;
use crate::http::body::Body;
use crate::http::gate::{Asker, Gate, Passage, Visit};
use crate::http::head::Head;
use crate::http::idempotency::IdempotencyKey;
use crate::http::limits::Limits;
use crate::http::metrics::Latencies;
use crate::http::problem::Problem;
use crate::http::{cors, decide, reward, routes, track};
use crate::service::Service;

/// What stands at an address.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Endpoint {
    Decide,
    Reward,
    Activate,
    Track,
}

/// What every answer is made with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) service: Arc<Service>,
    pub(crate) access: Arc<Access>,
    pub(crate) limits: Limits,
    pub(crate) latencies: Arc<Latencies>,
}

/// The addresses, for one thread.
pub(crate) struct Doors {
    pub(crate) state: State,
    doors: [Door; routes::FRONT.len()],
}

/// One address.
pub(crate) struct Door {
    path: &'static str,
    endpoint: Endpoint,
    gate: Gate,
}

/// What was said at a door.
pub(crate) struct Said<'d> {
    /// Nothing: the JSON of a 200 was written.
    pub(crate) otherwise: Option<HttpResponse>,
    /// To be left when all is ready to be sent.
    pub(crate) visit: Visit<'d>,
}

impl Said<'_> {
    pub(crate) fn status(&self) -> StatusCode {
        self.otherwise.as_ref().map_or(StatusCode::OK, HttpResponse::status)
    }
}

impl Doors {
    pub(crate) fn new(state: State) -> Self {
        let State { service, latencies, .. } = &state;
        let doors = routes::FRONT.map(|(path, endpoint)| {
            let gate = Gate::at(path, latencies, service.tracer());
            Door { path, endpoint, gate }
        });
        Self { state, doors }
    }

    /// The one at an address, if there is one.
    pub(crate) fn find(&self, path: &str) -> Option<&Door> {
        self.doors.iter().find(|door| door.path == path)
    }
}

impl Door {
    /// Answers what is asked here. JSON is written behind what `out` holds already.
    pub(crate) async fn answer<B: AsRef<[u8]>>(
        &self,
        state: &State,
        head: &dyn Head,
        body: impl Future<Output = Result<B, Problem>>,
        out: &mut Vec<u8>,
    ) -> Said<'_> {
        let visit = self.gate.receive(head);
        let before = out.len();
        let otherwise = match self.gate.row(head) {
            Passage::On(row) => {
                let answered = match Asker::admitted(row, head, &state.access) {
                    Ok(asker) => asker.hears(pin!(self.behind(state, &asker, head, body, out)).await),
                    Err(problem) => Err(problem),
                };
                answered.err().map(|problem| {
                    out.truncate(before);
                    problem.error_response()
                })
            }
            Passage::Answered(answer) => Some(answer),
        };
        Said { otherwise, visit }
    }

    async fn behind<B: AsRef<[u8]>>(
        &self,
        State { service, .. }: &State,
        asker: &Asker<'_>,
        head: &dyn Head,
        body: impl Future<Output = Result<B, Problem>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let idempotent = || IdempotencyKey::read(head);
        let body = body.await?;
        let body = body.as_ref();
        match self.endpoint {
            Endpoint::Decide => pin!(decide::decide(service, asker, &idempotent()?, body, out)).await,
            Endpoint::Reward => Box::pin(reward::reward(service, asker, &idempotent()?, body, out)).await,
            Endpoint::Activate => Box::pin(reward::activate(service, asker, body, out)).await,
            Endpoint::Track => Box::pin(track::track(service, asker, body, out)).await,
        }
    }
}

/// The doors, and behind them the router.
pub(crate) struct Front<A> {
    behind: A,
    state: State,
}

impl<A> Front<A> {
    pub(crate) fn before(behind: impl IntoServiceFactory<A, Request>, state: State) -> Self
    where
        A: ServiceFactory<Request>,
    {
        Self { behind: behind.into_factory(), state }
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }
}

impl<A> ServiceFactory<Request> for Front<A>
where
    A: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = Error>,
    A::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = AppConfig;
    type Service = FrontService<A::Service>;
    type InitError = A::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let doors = Rc::new(Doors::new(self.state.clone()));
        let behind = self.behind.new_service(config);
        Box::pin(behind.map_ok(move |behind| FrontService { behind, doors }))
    }
}

/// A thread's own.
pub(crate) struct FrontService<A> {
    behind: A,
    doors: Rc<Doors>,
}

type Boxed = LocalBoxFuture<'static, Result<Response<BoxBody>, Error>>;

impl<A> Answers<Request> for FrontService<A>
where
    A: Answers<Request, Response = ServiceResponse, Error = Error>,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Either<Boxed, MapOk<A::Future, fn(ServiceResponse) -> Response<BoxBody>>>;

    forward_ready!(behind);

    fn call(&self, request: Request) -> Self::Future {
        if self.doors.find(request.path()).is_none() {
            return Either::Right(self.behind.call(request).map_ok(Response::from));
        }
        Either::Left(Box::pin(answer(Rc::clone(&self.doors), request)))
    }
}

async fn answer(doors: Rc<Doors>, request: Request) -> Result<Response<BoxBody>, Error> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let (head, payload) = request.into_parts();
    let door = doors.find(head.uri.path()).expect("whoever is called has looked");
    let mut out = Vec::new();
    let body = Body::read(&head, payload, doors.state.limits.body);
    let mut said = door.answer(&doors.state, &*head, body, &mut out).await;
    let (status, origin) = (said.status(), said.visit.origin());
    let mut response =
        said.otherwise.unwrap_or_else(|| HttpResponse::Ok().insert_header((CONTENT_TYPE, JSON)).body(out));
    if let Some(origin) = origin {
        cors::allow(response.headers_mut(), origin);
    }
    said.visit.leave(status).await;
    Ok(response.into())
}
