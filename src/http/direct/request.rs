//! Requests in plain form: a POST of HTTP/1.1 that says how long its body is and asks nothing of the connection.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use httparse::{Header, Status};

use crate::http::body::MAX_BODY_BYTES;
use crate::http::head::Head;

/// Most headers of one; sites and proxies send some ten.
pub(super) const MAX_HEADERS: usize = 32;
/// Room for one.
pub(super) const NO_HEADER: MaybeUninit<Header<'_>> = MaybeUninit::uninit();

static POST: Method = Method::POST;

/// What is in front of a body that has come, or begun to come.
#[derive(Debug)]
pub(super) struct Plain<'h, 'b> {
    path: &'b str,
    query: Option<&'b str>,
    headers: &'h [Header<'b>],
    peer: Option<IpAddr>,
    /// Where the body begins.
    start: usize,
    /// Where it ends.
    end: usize,
}

impl<'h, 'b> Plain<'h, 'b> {
    /// Reads one, if it is one and its head is here to its end. What must be refused, or could be read in two ways, is none.
    pub(super) fn read(bytes: &'b [u8], room: &'h mut [MaybeUninit<Header<'b>>], peer: Option<IpAddr>) -> Option<Self> {
        let mut parsed = httparse::Request::new(&mut []);
        let Ok(Status::Complete(start)) = parsed.parse_with_uninit_headers(bytes, room) else { return None };
        if parsed.method != Some("POST") || parsed.version != Some(1) {
            return None;
        }
        let (mut length, mut hosts) = (None, 0);
        for header in &*parsed.headers {
            if is(header, "content-length") {
                // Twice is refused, even if both say the same (RFC 9112, section 6.3, leaves the choice).
                if length.replace(number(header.value)?).is_some() {
                    return None;
                }
            } else if is(header, "host") {
                hosts += 1;
            } else if is(header, "connection") {
                if !header.value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            } else if ["transfer-encoding", "expect", "upgrade"].into_iter().any(|name| is(header, name)) {
                return None;
            }
        }
        let end = start + length.filter(|length| *length <= MAX_BODY_BYTES)?;
        let target = parsed.path?;
        // The parser takes them, and whoever reads addresses does not, or ends the address there.
        if target.bytes().any(|byte| !byte.is_ascii() || b"\"#<>".contains(&byte)) {
            return None;
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        (hosts == 1).then_some(Self { path, query, headers: parsed.headers, peer, start, end })
    }

    pub(super) const fn start(&self) -> usize {
        self.start
    }

    pub(super) const fn end(&self) -> usize {
        self.end
    }
}

/// Names of headers have no case. Most differ in length already.
fn is(header: &Header<'_>, name: &str) -> bool {
    header.name.len() == name.len() && header.name.eq_ignore_ascii_case(name)
}

/// Digits alone: what else a parser may take for a number, another may not.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

impl Head for Plain<'_, '_> {
    fn method(&self) -> &Method {
        &POST
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    /// A target that names one is no path, and so no plain request's.
    fn authority(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn line(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        let name = name.as_str();
        self.headers.iter().filter(|header| is(header, name)).nth(index).map(|header| header.value)
    }
}

#[cfg(test)]
mod tests {
    //! What is plain, and that nothing else is.

    use proptest::prelude::*;

    use super::*;

    /// Lines of headers, and whether a request with one more of them may be plain.
    const LINES: [(&str, bool); 12] = [
        ("accept: */*", true),
        ("X-Forwarded-For: 192.0.2.1", true),
        ("Connection: Keep-Alive", true),
        ("connection: close", false),
        ("connection: keep-alive, upgrade", false),
        ("TRANSFER-ENCODING: chunked", false),
        ("expect: 100-continue", false),
        ("upgrade: websocket", false),
        ("host: another", false),
        ("Content-Length: 2", false),
        ("content-length: 2, 2", false),
        ("bad name: value", false),
    ];

    fn end(bytes: &[u8]) -> Option<(usize, usize)> {
        let mut room = [NO_HEADER; MAX_HEADERS];
        Plain::read(bytes, &mut room, None).map(|plain| (plain.start(), plain.end()))
    }

    proptest! {
        #[test]
        fn a_request_is_plain_if_each_of_its_lines_may_be(
            chosen in proptest::collection::vec(0..LINES.len(), 0..6),
            body in "[a-z]{0,12}",
        ) {
            let lines: String = chosen.iter().map(|line| format!("{}\r\n", LINES[*line].0)).collect();
            let head = format!("POST /v1/decide HTTP/1.1\r\nhost: a\r\n{lines}content-length: {}\r\n\r\n", body.len());
            let is_plain = chosen.iter().all(|line| LINES[*line].1);
            let bytes = format!("{head}{body}");
            prop_assert_eq!(end(bytes.as_bytes()), is_plain.then_some((head.len(), bytes.len())));
        }

        #[test]
        fn a_head_that_is_not_whole_is_none(cut in 0_usize..64) {
            let head = b"POST /v1/decide HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n";
            prop_assert_eq!(head.len(), 64);
            prop_assert_eq!(end(&head[..cut]), None);
        }

        #[test]
        fn whatever_comes_is_read_or_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((start, end)) = end(&bytes) {
                prop_assert!(start <= bytes.len() && start <= end && end - start <= MAX_BODY_BYTES);
            }
        }
    }

    #[test]
    fn only_a_post_of_this_version_with_a_length_that_is_allowed_is_plain() {
        let head = "POST /v1/decide?a=b?c HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n";
        assert_eq!(end(head.as_bytes()), Some((head.len(), head.len() + MAX_BODY_BYTES)));
        let mut room = [NO_HEADER; MAX_HEADERS];
        let plain = Plain::read(head.as_bytes(), &mut room, None).expect("plain");
        assert_eq!((Head::path(&plain), Head::query(&plain)), ("/v1/decide", Some("a=b?c")));
        for (what, into) in [
            ("POST", "GET"),
            ("POST", "post"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("a=b", "a=\u{fc}"),
            ("a=b", "a#b"),
            ("a=b", "a=<b>"),
            ("a=b", "a=\"b\""),
            ("1048576", "1048577"),
            ("1048576", "+1"),
            ("1048576", "99999999999999999999"),
            ("1048576", ""),
            ("content-length: 1048576\r\n", ""),
            ("host: a\r\n", ""),
        ] {
            assert_eq!(end(head.replace(what, into).as_bytes()), None, "{what} as {into}");
        }
    }

    #[test]
    fn a_request_of_too_many_headers_is_none() {
        let of = |count: usize| {
            let more = "a: b\r\n".repeat(count - 2);
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n{more}\r\n")
        };
        assert!(end(of(MAX_HEADERS).as_bytes()).is_some());
        assert!(end(of(MAX_HEADERS + 1).as_bytes()).is_none());
    }
}
