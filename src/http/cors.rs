//! CORS: what browsers ask before a page of one origin may talk to a server of another, and what they want to be told after.
//! A preflight brings no key, so it is answered for everybody; whether the origin may is said to the request itself.

use actix_web::HttpResponse;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};

use crate::http::head::Head;
use crate::http::roles::Row;

/// Headers that pages may send.
const ALLOWED_HEADERS: &str = "content-type, authorization, x-api-key, if-none-match, idempotency-key";
/// Headers of an answer that pages may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("etag, retry-after");
/// How long a browser may remember a preflight: two hours, as long as any does.
const MAX_AGE_SECONDS: &str = "7200";

/// Whether a browser asks before it sends.
pub(crate) fn is_preflight(head: &dyn Head) -> bool {
    [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD].iter().all(|name| head.value(name).is_some())
}

/// The answer to it, without the origin, which every answer has.
pub(crate) fn preflight(rows: &[&'static Row]) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, methods(rows)))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
        .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS))
        .finish()
}

/// What lets the page read an answer, a refusal as well: it says what is wrong. Cookies are not asked for, so that nobody acts in a
/// visitor's name.
pub(crate) fn lines(origin: HeaderValue) -> [(HeaderName, HeaderValue); 3] {
    [
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS),
        (VARY, HeaderValue::from_static("Origin")),
    ]
}

/// Lets the page read an answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    for (name, value) in lines(origin) {
        if name == VARY {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }
}

/// What an address takes.
pub(crate) fn methods(rows: &[&'static Row]) -> String {
    rows.iter().map(|row| row.method.as_str()).collect::<Vec<_>>().join(", ")
}
