//! Answers as bytes: the body is written first, and the head before it once its length is known.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody as _;
use actix_web::http::header::{HeaderName, HeaderValue};
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::domain::Timestamp;
use crate::http::body::{calendar, write_json};
use crate::http::cors;
use crate::http::front::Said;

/// What a client is told that sends nothing.
pub(super) fn timed_out(now: Timestamp) -> Vec<u8> {
    let date = date(now);
    format!("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\ndate: {date}\r\n\r\n").into()
}

/// Room before a body for most heads.
const ROOM: usize = 256;

/// Room for a head, in memory that is empty.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.resize(ROOM, 0);
}

/// A thread's memory for heads.
#[derive(Debug, Default)]
pub(super) struct Heads {
    last: RefCell<Vec<u8>>,
    date: RefCell<Date>,
}

/// Asked for and written a few times a second.
#[derive(Debug, Default)]
struct Date {
    since: Option<Instant>,
    text: String,
}

impl Heads {
    /// Writes the head before the body that has been written since the beginning, or all of another answer; from where the answer is.
    pub(super) fn end(
        &self,
        out: &mut Vec<u8>,
        said: &mut Said<'_>,
        closes: bool,
        now: impl Fn() -> Timestamp,
    ) -> usize {
        let mut head = self.last.borrow_mut();
        head.clear();
        match said.otherwise.take() {
            None => head.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"),
            Some(response) => {
                let status = response.status();
                write!(head, "HTTP/1.1 {status}\r\n").expect("memory is written to");
                for (name, value) in response.headers() {
                    line(&mut head, name, value);
                }
                let body = response.into_body().try_into_bytes();
                out.extend_from_slice(&body.expect("what is said at a door is in memory"));
            }
        }
        for (name, value) in said.visit.origin().into_iter().flat_map(cors::lines) {
            line(&mut head, &name, &value);
        }
        if closes {
            head.extend_from_slice(b"connection: close\r\n");
        }
        head.extend_from_slice(b"content-length: ");
        write_json(&mut head, &(out.len() - ROOM));
        head.extend_from_slice(b"\r\ndate: ");
        head.extend_from_slice(self.date.borrow_mut().at(said.visit.began(), now).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let Some(start) = ROOM.checked_sub(head.len()) else {
            out.splice(..ROOM, head.iter().copied());
            return 0;
        };
        out[start..ROOM].copy_from_slice(&head);
        start
    }
}

impl Date {
    const KEPT: Duration = Duration::from_millis(250);

    fn at(&mut self, at: Instant, now: impl Fn() -> Timestamp) -> &str {
        if self.since.is_none_or(|since| at.saturating_duration_since(since) >= Self::KEPT) {
            *self = Self { since: Some(at), text: date(now()) };
        }
        &self.text
    }
}

/// As HTTP has it (RFC 9110, section 5.6.7).
fn date(at: Timestamp) -> String {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&calendar(at));
    text.expect("years after the first have four digits")
}

fn line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(part);
    }
}
