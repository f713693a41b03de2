//! Bodies of many lines, a JSON value each (NDJSON): read as they come, so many lines at a time, whatever their number.

use std::future::{Ready, ready};
use std::ops::ControlFlow;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::limits::Limits;
use crate::http::problem::{Kind, Problem, ProblemBody};

/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 65_536;
/// Most lines that are taken together, at the price of one sync.
const AT_ONCE: usize = 1_000;
/// Most lines of one body.
const MAX_LINES: u64 = 10_000_000;
/// Most refusals that are told one by one.
const MAX_REFUSALS: usize = 1_000;

/// What was read of a body so far.
pub(crate) struct Lines {
    payload: Payload,
    /// Within what something of the body must come.
    piece: Duration,
    rest: BytesMut,
    read: u64,
    ended: bool,
    /// What is wrong after the lines that were returned last.
    flaw: Option<Problem>,
}

/// A line and its number, from 1.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) bytes: Bytes,
}

impl Lines {
    /// The next lines, blank ones left out; none at the end.
    ///
    /// # Errors
    /// If the body breaks off, or has more or longer lines than are allowed. Every line before was returned.
    async fn next(&mut self) -> Result<Vec<Line>, Problem> {
        let mut lines = Vec::new();
        match self.flaw.take().map_or(Ok(()), Err) {
            Ok(()) => self.flaw = self.fill(&mut lines).await.err(),
            Err(flaw) => return Err(flaw),
        }
        match self.flaw.take_if(|_| lines.is_empty()) {
            Some(flaw) => Err(flaw),
            None => Ok(lines),
        }
    }

    /// The same for whoever tells refusals by line: at the end, whether all was read; if not, the last refusal says why.
    pub(crate) async fn next_or_refuse(&mut self, refusals: &mut Refusals) -> ControlFlow<bool, Vec<Line>> {
        match self.next().await {
            Ok(lines) if lines.is_empty() => ControlFlow::Break(true),
            Ok(lines) => ControlFlow::Continue(lines),
            Err(flaw) => {
                refusals.add(self.number(), &flaw);
                ControlFlow::Break(false)
            }
        }
    }

    /// The number of the line that comes next.
    const fn number(&self) -> u64 {
        self.read + 1
    }

    async fn fill(&mut self, lines: &mut Vec<Line>) -> Result<(), Problem> {
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let mut line = self.rest.split_to(end + 1);
                line.truncate(end);
                self.keep(line.freeze(), lines)?;
                if lines.len() == AT_ONCE {
                    return Ok(());
                }
            }
            if self.ended {
                let last = self.rest.split().freeze();
                if !last.is_empty() {
                    self.keep(last, lines)?;
                }
                return Ok(());
            }
            if self.rest.len() > MAX_LINE_BYTES {
                return Err(self.too_long(self.rest.len()));
            }
            let Ok(piece) = tokio::time::timeout(self.piece, self.payload.next()).await else {
                let detail = format!("nothing came for {} s in line {}", self.piece.as_secs(), self.number());
                return Err(Problem::new(Kind::BodyTooSlow, detail));
            };
            match piece {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    let detail = format!("the body broke off in line {}: {error}", self.number());
                    return Err(Problem::new(Kind::Malformed, detail));
                }
                None => self.ended = true,
            }
        }
    }

    fn keep(&mut self, bytes: Bytes, lines: &mut Vec<Line>) -> Result<(), Problem> {
        if bytes.len() > MAX_LINE_BYTES {
            return Err(self.too_long(bytes.len()));
        }
        if self.read == MAX_LINES {
            return Err(Problem::new(Kind::BodyTooLarge, format!("at most {MAX_LINES} lines are allowed")));
        }
        self.read += 1;
        if !bytes.trim_ascii().is_empty() {
            lines.push(Line { number: self.read, bytes });
        }
        Ok(())
    }

    fn too_long(&self, bytes: usize) -> Problem {
        let detail = format!("line {} has {bytes} bytes or more, at most {MAX_LINE_BYTES} are allowed", self.number());
        Problem::new(Kind::BodyTooLarge, detail)
    }
}

impl FromRequest for Lines {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let piece = request.app_data::<Limits>().copied().unwrap_or_default().body;
        ready(Ok(Self { payload: payload.take(), piece, rest: BytesMut::new(), read: 0, ended: false, flaw: None }))
    }
}

/// What was refused, by line: the first of them in full, the others counted.
#[derive(Default)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    pub(crate) told: Vec<Refusal>,
}

/// A line that was refused, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = RefusedLine)]
pub(crate) struct Refusal {
    /// Its number, from 1.
    line: u64,
    #[schema(value_type = ProblemBody<'static>)]
    problem: Value,
}

impl Refusals {
    pub(crate) fn add(&mut self, line: u64, problem: &Problem) {
        self.count += 1;
        if self.told.len() < MAX_REFUSALS {
            self.told.push(Refusal { line, problem: problem.to_json() });
        }
    }
}
