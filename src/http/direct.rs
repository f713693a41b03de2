//! Connections, before the framework sees them: a request of a [front](crate::http::front) address that comes in its plain form is
//! answered where it is read, since the framework's message, body and timers cost more than a decision. With the first that is
//! anything else the connection is the framework's, for good, and with all that was read of it.
//!
//! Invariant: what is answered here is answered as the framework would; what this does not know it does not judge.

mod answer;
mod handed;
mod request;
mod waiting;

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{HttpService, Protocol, Request};
use actix_service::{Service as _, ServiceFactory, fn_factory, fn_service, map_config};
use actix_web::Error;
use actix_web::dev::{AppConfig, ServiceResponse};
use futures_util::future::poll_immediate;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::http::body;
use crate::http::direct::answer::Heads;
use crate::http::direct::handed::Handed;
use crate::http::direct::request::{MAX_HEADERS, NO_HEADER, Plain};
pub(crate) use crate::http::direct::waiting::Stop;
use crate::http::direct::waiting::{Buffers, Came, Waiting};
use crate::http::front::{Doors, Front, State};
use crate::http::head::Head as _;
use crate::http::limits::Limits;

/// Room for requests: read at once, if it is there.
const REQUEST_BYTES: usize = 65_536;
/// Room for most answers.
const ANSWER_BYTES: usize = 2_048;

/// How long a connection that ends is still read, so that whoever still sends reads why it ends.
const LINGER: Duration = Duration::from_secs(1);

/// What answers connections: what is plain here, everything else behind.
pub(crate) fn connections<A, S>(
    front: Front<A>,
    stop: Arc<Stop>,
) -> impl ServiceFactory<(S, Option<SocketAddr>), Config = (), Response = (), Error = (), InitError = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = Error, InitError = ()> + 'static,
    A::Future: 'static,
{
    let state = front.state().clone();
    let signal = Arc::clone(&stop);
    let framework = HttpService::build()
        .graceful_shutdown_signal(move || {
            let signal = Arc::clone(&signal);
            async move { signal.told().await }
        })
        .keep_alive(state.limits.idle)
        .client_request_timeout(state.limits.head)
        .client_disconnect_timeout(LINGER)
        .finish(map_config(front, |()| AppConfig::default()));
    fn_factory(move || {
        let direct = Direct::new(state.clone(), Arc::clone(&stop));
        let direct = Rc::new(direct);
        let framework = framework.new_service(());
        async move {
            let framework = Rc::new(framework.await?);
            Ok(fn_service(move |(stream, peer): (S, Option<SocketAddr>)| {
                let (direct, framework) = (Rc::clone(&direct), Rc::clone(&framework));
                async move {
                    let Ok(Some(handed)) = direct.serve(stream, peer).await else { return Ok(()) };
                    framework.call((handed, Protocol::Http1, peer)).await.map_err(drop)
                }
            }))
        }
    })
}

/// A thread's own.
struct Direct {
    doors: Doors,
    stop: Arc<Stop>,
    requests: Buffers,
    answers: Buffers,
    heads: Heads,
}

impl Direct {
    fn new(state: State, stop: Arc<Stop>) -> Self {
        let (requests, answers) = (Buffers::new(REQUEST_BYTES), Buffers::new(ANSWER_BYTES));
        Self { doors: Doors::new(state), stop, requests, answers, heads: Heads::default() }
    }

    /// Answers until the connection ends, or until something comes that is not for here.
    ///
    /// # Errors
    /// If the other end is gone.
    async fn serve<S>(&self, mut stream: S, peer: Option<SocketAddr>) -> io::Result<Option<Handed<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Limits { head, idle, .. } = self.doors.state.limits;
        let peer = peer.map(|peer| peer.ip());
        let mut waiting = Waiting::new(&self.stop, head);
        let mut inbox = Vec::new();
        loop {
            match waiting.next(&mut stream, &mut inbox, &self.requests).await? {
                Came::Something => {}
                Came::Nothing => return Ok(None),
                Came::Late { answered: true } => return Ok(None),
                Came::Late { answered: false } => {
                    write(&mut stream, answer::TIMED_OUT, idle).await?;
                    return Ok(None);
                }
            }
            while !inbox.is_empty() {
                let next = pin!(self.answer(&mut stream, &mut inbox, peer)).await?;
                match next {
                    Next::MayCome(answered) => waiting.again(answered, idle),
                    Next::IsNone => return Ok(None),
                    Next::IsOther => return Ok(Some(Handed::new(inbox, stream))),
                }
            }
        }
    }

    /// Answers the first request of those that have come.
    async fn answer<S>(&self, stream: &mut S, inbox: &mut Vec<u8>, peer: Option<IpAddr>) -> io::Result<Next>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let state = &self.doors.state;
        let mut too_late = false;
        loop {
            let mut headers = [NO_HEADER; MAX_HEADERS];
            let Some(plain) = Plain::read(inbox, &mut headers, peer) else { return Ok(Next::IsOther) };
            let Some(door) = self.doors.find(plain.path()) else { return Ok(Next::IsOther) };
            let end = plain.end();
            let body = match inbox.get(plain.start()..end) {
                Some(body) => Ok(body),
                None if too_late => Err(body::too_slow(state.limits.body)),
                None => {
                    too_late = !Box::pin(fill(stream, inbox, end, state.limits.body)).await?;
                    continue;
                }
            };
            let mut out = self.answers.take();
            answer::begin(&mut out);
            let mut said = pin!(door.answer(state, &plain, ready(body), &mut out)).await;
            let status = said.status();
            let closes = too_late || self.stop.is_told();
            let start = self.heads.end(&mut out, &mut said, closes, || state.service.now());
            inbox.drain(..end.min(inbox.len()));
            if inbox.is_empty() {
                self.requests.give(std::mem::take(inbox));
            }
            let answered = said.visit.leave(status).await;
            pin!(write(stream, &out[start..], state.limits.idle)).await?;
            self.answers.give(out);
            if closes {
                stream.shutdown().await?;
                return Ok(Next::IsNone);
            }
            return Ok(Next::MayCome(answered));
        }
    }
}

/// What follows an answer.
enum Next {
    MayCome(Instant),
    IsNone,
    /// What has come is not for here.
    IsOther,
}

/// Reads until so many bytes are there; whether they are in time.
async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    inbox: &mut Vec<u8>,
    end: usize,
    most: Duration,
) -> io::Result<bool> {
    /// Memory is taken as bytes come, not as they are announced.
    const PIECE_BYTES: usize = 65_536;
    let all = async {
        while let Some(missing) = end.checked_sub(inbox.len()).filter(|missing| *missing > 0) {
            inbox.reserve(missing.min(PIECE_BYTES));
            if stream.read_buf(inbox).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    match timeout(most, all).await {
        Ok(read) => read.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Mostly there is room for all at once, and no timer is needed.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8], most: Duration) -> io::Result<()> {
    let mut sent = poll_immediate(stream.write(bytes)).await.transpose()?.unwrap_or(0);
    if sent < bytes.len() {
        let all = async {
            while sent < bytes.len() {
                match timeout(most, stream.write(&bytes[sent..])).await?? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => sent += count,
                }
            }
            io::Result::Ok(())
        };
        Box::pin(all).await?;
    }
    stream.flush().await
}

#[cfg(test)]
mod tests;
