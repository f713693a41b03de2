//! `Idempotency-Key`: a request that is sent again under the same key does nothing twice. It stands for the id that the request's
//! body leaves out, and so needs no memory of its own: a decision is repeated for a minute, a reward for as long as its decision's
//! ledger is kept.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use utoipa::IntoParams;

use crate::http::head::{self, Head};
use crate::http::problem::{Kind, Problem};

/// Longest key, in bytes: with the place in a list behind it, it is still an id.
const MAX_BYTES: usize = 200;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the header says.
#[derive(IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub(crate) struct IdempotencyKey(
    /// Stands for the id that the body leaves out, so that the same request sent again does nothing twice: of a decision, or of a
    /// reward. Each of a list has its own, made of this and of its place.
    #[param(min_length = 1, max_length = 200, example = "order-991")]
    Option<String>,
);

const _: () = assert!(MAX_BYTES == 200, "the document says how long a key may be");

impl IdempotencyKey {
    /// The id of a request that is alone.
    pub(crate) fn one(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id of one of many.
    pub(crate) fn at(&self, index: usize) -> Option<String> {
        self.0.as_ref().map(|key| format!("{key}:{index}"))
    }

    pub(crate) fn read(head: &dyn Head) -> Result<Self, Problem> {
        let Some(value) = head.value(&IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let text = head::text(value).filter(|text| (1..=MAX_BYTES).contains(&text.len()));
        text.map(|text| Self(Some(text.to_owned()))).ok_or_else(|| {
            let given = format!("{} bytes", value.len());
            let allowed = format!("1 to {MAX_BYTES} visible ASCII characters");
            Problem::field(Kind::FieldRefused, "Idempotency-Key", given, allowed)
        })
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request.head()))
    }
}
