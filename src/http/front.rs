//! The addresses that sites call with every page, answered in front of the router: for one fixed path, its look-ups, guards, extractors
//! and boxes are a good part of what a request costs, and give nothing.
//!
//! Invariant: whoever comes here passes the same gate as whoever goes on to the router.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory, Service as Answers, ServiceFactory, forward_ready};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Payload, RequestHead, ServiceResponse};
use actix_web::{Error, HttpResponse, ResponseError as _};
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, MapOk};

use crate::access::Access;
use crate::http::body::Body;
use crate::http::gate::{Asker, Gate, Passage};
use crate::http::idempotency::IdempotencyKey;
use crate::http::limits::Limits;
use crate::http::metrics::Latencies;
use crate::http::problem::Problem;
use crate::http::{decide, reward, routes, track};
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

/// One address.
struct Door {
    path: &'static str,
    endpoint: Endpoint,
    gate: Gate,
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
        let State { service, latencies, .. } = &self.state;
        let door = |(path, endpoint)| {
            let gate = Gate::at(path, latencies, service.tracer());
            Rc::new(Door { path, endpoint, gate })
        };
        let doors = routes::FRONT.map(door);
        let state = Rc::new(self.state.clone());
        let behind = self.behind.new_service(config);
        Box::pin(behind.map_ok(move |behind| FrontService { behind, state, doors }))
    }
}

/// A thread's own.
pub(crate) struct FrontService<A> {
    behind: A,
    state: Rc<State>,
    doors: [Rc<Door>; routes::FRONT.len()],
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
        match self.doors.iter().find(|door| door.path == request.path()) {
            Some(door) => Either::Left(Box::pin(answer(Rc::clone(door), Rc::clone(&self.state), request))),
            None => Either::Right(self.behind.call(request).map_ok(Response::from)),
        }
    }
}

async fn answer(door: Rc<Door>, state: Rc<State>, request: Request) -> Result<Response<BoxBody>, Error> {
    let (head, payload) = request.into_parts();
    let visit = door.gate.receive(&head);
    let mut response = match door.gate.row(&head) {
        Passage::On(row) => {
            let answered = match Asker::admitted(row, &head, &state.access) {
                Ok(asker) => behind(door.endpoint, &state, &asker, &head, payload).await,
                Err(problem) => Err(problem),
            };
            answered.unwrap_or_else(|problem| problem.error_response())
        }
        Passage::Answered(answer) => answer,
    };
    let status = response.status();
    visit.leave(status, response.headers_mut()).await;
    Ok(response.into())
}

async fn behind(
    endpoint: Endpoint,
    state: &State,
    asker: &Asker<'_>,
    head: &RequestHead,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let idempotent = || IdempotencyKey::read(&head.headers);
    let Body(body) = Body::read(head, payload, state.limits.body).await?;
    match endpoint {
        Endpoint::Decide => decide::decide(&state.service, asker, &idempotent()?, &body).await,
        Endpoint::Reward => reward::reward(&state.service, asker, &idempotent()?, &body).await,
        Endpoint::Activate => reward::activate(&state.service, asker, &body).await,
        Endpoint::Track => track::track(&state.service, asker, &body).await,
    }
}
