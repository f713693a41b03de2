//! `Idempotency-Key`: a request that is sent again under the same key does nothing twice. It stands for the id that the request's
//! body leaves out, and so needs no memory of its own: a decision is repeated for a minute, a reward for as long as its decision's
//! ledger is kept.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::http::problem::{Kind, Problem};

/// Longest key, in bytes: with the place in a list behind it, it is still an id.
const MAX_BYTES: usize = 200;

/// What the header says.
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// The id of a request that is alone.
    pub(crate) fn one(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id of one of many.
    pub(crate) fn at(&self, index: usize) -> Option<String> {
        self.0.as_ref().map(|key| format!("{key}:{index}"))
    }

    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let Some(value) = request.headers().get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().ok().filter(|text| (1..=MAX_BYTES).contains(&text.len()));
        text.map(|text| Self(Some(text.to_owned()))).ok_or_else(|| {
            let given = format!("{} bytes", value.as_bytes().len());
            let allowed = format!("1 to {MAX_BYTES} visible ASCII characters");
            Problem::field(Kind::FieldRefused, "Idempotency-Key", given, allowed)
        })
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::read(request))
    }
}
