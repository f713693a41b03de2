//! Connections, before the framework sees them: a request of a [front](crate::http::front) address that comes in its plain form is
//! answered where it is read, since the framework's message, body and timers cost more than a decision. With the first that is
//! anything else the connection is the framework's, for good, and with all that was read of it.
//!
//! Invariant: what is answered here is answered as the framework would; what this does not know it does not judge.

mod answer;
mod handed;
mod request;
mod waiting;

use std::borrow::Cow;
use std::cell::Cell;
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
use crate::http::problem::Problem;
use crate::service::counts::moment;

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
                    let Some(handed) = direct.serve(stream, peer).await else { return Ok(()) };
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

    /// Answers until the connection ends, or until something comes that is not for here: that goes on.
    async fn serve<S>(&self, mut stream: S, peer: Option<SocketAddr>) -> Option<Handed<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut inbox = Vec::new();
        match self.answers(&mut stream, &mut inbox, peer.map(|peer| peer.ip())).await {
            Ok(Last::IsOther) => return Some(Handed::new(inbox, stream)),
            Ok(Last::IsAnswered) => Box::pin(end(stream)).await,
            // The other end is gone, or does not take what it asked for.
            Err(_) => {}
        }
        None
    }

    async fn answers<S>(&self, stream: &mut S, inbox: &mut Vec<u8>, peer: Option<IpAddr>) -> io::Result<Last>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Limits { head, idle, .. } = self.doors.state.limits;
        let mut waiting = Waiting::new(&self.stop, head);
        loop {
            match waiting.next(stream, inbox, &self.requests).await? {
                Came::Something => {}
                Came::Nothing | Came::Late { answered: true } => return Ok(Last::IsAnswered),
                Came::Late { answered: false } => {
                    write(stream, &answer::timed_out(self.doors.state.service.now()), idle).await?;
                    return Ok(Last::IsAnswered);
                }
            }
            while !inbox.is_empty() {
                let next = pin!(self.answer(stream, inbox, peer)).await?;
                match next {
                    Next::MayCome(answered) => waiting.again(answered, idle),
                    Next::IsNone => return Ok(Last::IsAnswered),
                    Next::IsOther => return Ok(Last::IsOther),
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
        let mut headers = [NO_HEADER; MAX_HEADERS];
        let Some(plain) = Plain::read(inbox, &mut headers, peer) else { return Ok(Next::IsOther) };
        let Some(door) = self.doors.find(plain.path()) else { return Ok(Next::IsOther) };
        let (start, end) = (plain.start(), plain.end());
        let is_whole = Cell::new(end <= inbox.len());
        // Asked for behind the gate, which may do without.
        let body = async {
            match inbox.get(start..end) {
                Some(body) => Ok(Cow::Borrowed(body)),
                None => {
                    let body = Box::pin(rest(stream, &inbox[start..], end - start, state.limits.body)).await?;
                    is_whole.set(true);
                    Ok(Cow::Owned(body))
                }
            }
        };
        let mut out = self.answers.take();
        answer::begin(&mut out);
        let mut said = pin!(door.answer(state, &plain, body, &mut out)).await;
        let status = said.status();
        let closes = !is_whole.get() || self.stop.is_told();
        let start = self.heads.end(&mut out, &mut said, closes, || state.service.now());
        inbox.drain(..end.min(inbox.len()));
        if inbox.is_empty() {
            self.requests.give(std::mem::take(inbox));
        }
        let answered = said.visit.leave(status).await;
        let at_once = pin!(write(stream, &out[start..], state.limits.idle)).await?;
        self.answers.give(out);
        if closes {
            return Ok(Next::IsNone);
        }
        Ok(Next::MayCome(if at_once { answered } else { moment() }))
    }
}

/// What follows an answer.
enum Next {
    MayCome(Instant),
    IsNone,
    /// What has come is not for here.
    IsOther,
}

/// What a connection ends with here.
enum Last {
    IsAnswered,
    IsOther,
}

/// Reads the rest of a body of so many bytes, and nothing behind it.
async fn rest<S: AsyncRead + Unpin>(
    stream: &mut S,
    begun: &[u8],
    length: usize,
    most: Duration,
) -> Result<Vec<u8>, Problem> {
    /// Memory is taken as bytes come, not as they are announced.
    const PIECE_BYTES: usize = 16_384;
    let mut body = begun.to_vec();
    let all = async {
        while let Some(missing) = length.checked_sub(body.len()).filter(|missing| *missing > 0) {
            body.reserve(missing.min(PIECE_BYTES));
            if (&mut *stream).take(missing as u64).read_buf(&mut body).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(())
    };
    match timeout(most, all).await {
        Ok(Ok(())) => Ok(body),
        Ok(Err(error)) => Err(body::unreadable(error)),
        Err(_) => Err(body::too_slow(most)),
    }
}

/// Mostly there is room for all at once, and no timer is needed; says whether there was.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8], most: Duration) -> io::Result<bool> {
    let mut sent = poll_immediate(stream.write(bytes)).await.transpose()?.unwrap_or(0);
    if sent == bytes.len()
        && let Some(flushed) = poll_immediate(stream.flush()).await
    {
        return flushed.map(|()| true);
    }
    let all = async {
        while sent < bytes.len() {
            match timeout(most, stream.write(&bytes[sent..])).await?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => sent += count,
            }
        }
        timeout(most, stream.flush()).await?
    };
    Box::pin(all).await.map(|()| false)
}

/// Says that nothing more comes, and reads on for a while: to whoever still sends, a connection that is closed is one that fails, and the
/// last answer is lost with it.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let all = async {
        stream.shutdown().await?;
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // It ends either way.
    let _ = timeout(LINGER, all).await;
}

#[cfg(test)]
mod tests;
