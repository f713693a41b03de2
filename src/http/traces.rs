//! Spans of requests, where somebody collects them: the method, the address as `routes.rs` has it, the status. What stands in an
//! address in place of a name never does.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::HeaderName;
use actix_web::http::{Method, StatusCode};

use crate::http::head::{Head, text};
use crate::service::spans::{Fact, Parent, Span, Tracer};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Tells of one that was answered.
pub(crate) fn answered(
    tracer: &Arc<dyn Tracer>,
    route: &'static str,
    method: &'static str,
    parent: Option<Parent>,
    status: StatusCode,
    began: Instant,
) {
    tracer.ended(&Span {
        name: &format!("{method} {route}"),
        parent,
        served: true,
        took: began.elapsed(),
        failed: status.is_server_error(),
        facts: &[
            ("http.request.method", Fact::Text(method)),
            ("http.route", Fact::Text(route)),
            ("http.response.status_code", Fact::Number(status.as_u16().into())),
        ],
    });
}

/// A method by name; whatever a client makes up has none.
pub(crate) fn word(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::PATCH];
    let words = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"];
    known.iter().position(|known| known == method).map_or("_OTHER", |place| words[place])
}

/// What `traceparent` says (W3C Trace Context), if it is one. What is none is passed over, as the recommendation wants it.
pub(crate) fn parent(head: &dyn Head) -> Option<Parent> {
    named(text(head.value(&TRACEPARENT)?)?)
}

fn named(text: &str) -> Option<Parent> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        // Capital letters and signs, which the parser would take, are not allowed.
        part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(())?;
        u128::from_str_radix(part, 16).ok()
    };
    let (version, trace, span, flags) = (number(2)?, number(32)?, number(16)?, number(2)?);
    // A later version may have more behind it, this one has not.
    let whole = version > 0 || parts.next().is_none();
    let span = u64::try_from(span).ok()?;
    (version < 0xff && whole && trace > 0 && span > 0).then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

#[cfg(test)]
mod tests {
    //! What is a `traceparent` and what is not.

    use actix_web::test::TestRequest;

    use super::*;

    fn read(text: &str) -> Option<Parent> {
        let request = TestRequest::default().insert_header((TRACEPARENT.clone(), text)).to_http_request();
        parent(request.head())
    }

    #[test]
    fn a_parent_is_read_as_the_recommendation_has_it() {
        let (trace, span) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
        let of = |sampled| Some(Parent { trace, span, sampled });
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), of(true));
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), of(false));
        assert_eq!(read("07-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more"), of(true));
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn methods_that_are_made_up_have_no_name() {
        assert_eq!(word(&Method::PUT), "PUT");
        assert_eq!(word(&Method::from_bytes(b"SECRET").expect("a method")), "_OTHER");
    }
}
