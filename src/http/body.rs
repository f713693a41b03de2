//! Bodies: read within a bound, parsed with the path of what is wrong.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use actix_web::dev::{Payload, RequestHead};
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::Stream as _;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use tokio::time::Sleep;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::domain::context::Value;
use crate::domain::{Context, Timestamp};
use crate::http::limits::Limits;
use crate::http::openapi::schema::{self, shapes};
use crate::http::problem::{Kind, Problem};

/// Longest body, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;
/// Longest text of one attribute, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 4_096;
/// Longest name of an attribute, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 64;

/// The bytes of a body. Any content type is taken: `sendBeacon` sends `text/plain`.
pub(crate) struct Body(pub(crate) Bytes);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Reading;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let most = request.app_data::<Limits>().copied().unwrap_or_default().body;
        Self::read(request.head(), payload.take(), most)
    }
}

impl Body {
    /// Reads one within so much time.
    pub(crate) fn read(head: &RequestHead, payload: Payload, most: Duration) -> Reading {
        let told = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let too_large = told.is_some_and(|bytes| bytes > MAX_BODY_BYTES);
        Reading { payload, first: Bytes::new(), all: BytesMut::new(), too_large, most, timer: None }
    }
}

/// A body on its way. What is there already starts no timer, and what came in one piece is not copied.
pub(crate) struct Reading {
    payload: Payload,
    first: Bytes,
    /// The first and all others, if there are others.
    all: BytesMut,
    too_large: bool,
    most: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    fn take(&mut self, piece: Bytes) {
        let bytes = piece.len() + self.first.len() + self.all.len();
        if bytes > MAX_BODY_BYTES {
            self.too_large = true;
        } else if bytes == piece.len() {
            self.first = piece;
        } else {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
            self.all.extend_from_slice(&piece);
        }
    }

    fn whole(&mut self) -> Bytes {
        if self.all.is_empty() { std::mem::take(&mut self.first) } else { std::mem::take(&mut self.all).freeze() }
    }
}

impl Future for Reading {
    type Output = Result<Body, Problem>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        loop {
            if self.too_large {
                let detail = format!("at most {MAX_BODY_BYTES} bytes are allowed");
                return Poll::Ready(Err(Problem::new(Kind::BodyTooLarge, detail)));
            }
            match Pin::new(&mut self.payload).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => self.take(piece),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(unreadable(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(Body(self.whole()))),
                Poll::Pending => break,
            }
        }
        let most = self.most;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        timer.as_mut().poll(context).map(|()| Err(too_slow(most)))
    }
}

/// What is said of a body that breaks off.
pub(crate) fn unreadable(error: impl fmt::Display) -> Problem {
    Problem::new(Kind::Malformed, format!("the body could not be read: {error}"))
}

/// What is said of a body that is not here in time.
pub(crate) fn too_slow(most: Duration) -> Problem {
    Problem::new(Kind::BodyTooSlow, format!("a body must be here within {} s", most.as_secs()))
}

/// Parses a body. The happy path pays nothing for good messages: only what failed is parsed again with its path.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    // Texts are then not looked at one by one for whether they are any.
    let parsed = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    };
    parsed.map_err(|error| {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let path = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(error) => error.path().to_string(),
            Ok(_) => ".".to_owned(),
        };
        let message = error.to_string();
        let detail = if path == "." { message.clone() } else { format!("{path}: {message}") };
        let mut problem = Problem::new(Kind::Malformed, detail);
        problem.field = at_fault(path, message.split(" at line ").next().unwrap_or(&message));
        problem
    })
}

/// Writes a body, or a part of one.
pub(crate) fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts, numbers and JSON values are always written");
}

/// The field, what was given and what is allowed, out of what serde says; nothing where the body is no JSON.
fn at_fault(path: String, said: &str) -> Option<(String, String, String)> {
    let named = |rest: &str| {
        let name = rest.trim_matches('`');
        if path == "." { name.to_owned() } else { format!("{path}.{name}") }
    };
    if let Some(name) = said.strip_prefix("missing field ") {
        return Some((named(name), "nothing".to_owned(), "a value: the field is required".to_owned()));
    }
    if let Some(name) = said.strip_prefix("duplicate field ") {
        return Some((named(name), "the field twice".to_owned(), "it once".to_owned()));
    }
    // "unknown field `x`, expected one of …", "invalid type: …, expected …".
    let (given, expected) = said.split_once(", expected ")?;
    let given = given.strip_prefix("invalid type: ").or_else(|| given.strip_prefix("invalid value: ")).unwrap_or(given);
    Some((path, given.to_owned(), in_words_of_json(expected).to_owned()))
}

/// What is expected, for whoever does not know Rust.
fn in_words_of_json(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "i64" => "a whole number",
        "u64" => "a whole number from 0",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "a tuple of size 2" => "a list of two",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// A text borrowed from the body unless it has escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// The attributes of a request. `null` is a missing attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ContextBody<'a>(pub(crate) Context<'a>);

shapes! {
    /// The attributes of a request, in the document.
    ContextShape "Context" = context();
}

fn context() -> Object {
    let types = SchemaType::from_iter([Type::Boolean, Type::Number, Type::String, Type::Null]);
    let attribute = ObjectBuilder::new().schema_type(types).max_length(Some(MAX_TEXT_BYTES));
    let name = schema::of_type(Type::String).min_length(Some(1)).max_length(Some(MAX_NAME_BYTES));
    schema::of_type(Type::Object)
        .property_names(Some(name))
        .additional_properties(Some(attribute))
        .max_properties(Some(Context::MAX_ATTRIBUTES))
        .examples([serde_json::json!({"device": "mobile", "country": "FR", "visits": 1})])
        .build()
}

impl<'de: 'a, 'a> Deserialize<'de> for ContextBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContextVisitor;
        impl<'de> Visitor<'de> for ContextVisitor {
            type Value = ContextBody<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of attributes")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ContextBody<'de>, M::Error> {
                let mut context = Context::with_room();
                while let Some(Text(name)) = map.next_key()? {
                    if name.is_empty() || name.len() > MAX_NAME_BYTES {
                        return Err(M::Error::custom(format!(
                            "an attribute's name of {} bytes, expected one of 1 to {MAX_NAME_BYTES} bytes",
                            name.len()
                        )));
                    }
                    let Attribute(value) = map.next_value()?;
                    if let Some(value) = value
                        && !context.insert(name, value)
                    {
                        let most = Context::MAX_ATTRIBUTES;
                        return Err(M::Error::custom(format!("more attributes, expected at most {most}")));
                    }
                }
                Ok(ContextBody(context))
            }
        }
        deserializer.deserialize_map(ContextVisitor)
    }
}

pub(crate) struct Attribute<'a>(pub(crate) Option<Value<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Attribute<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AttributeVisitor;
        impl<'de> Visitor<'de> for AttributeVisitor {
            type Value = Attribute<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, a number, a text or null (lists and objects are not attributes)")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Attribute(Some(Value::Bool(value))))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Attribute(Some(Value::Int(value))))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a number beyond an i64 is kept as JSON keeps it, as a float"
                )]
                let value = i64::try_from(value).map_or(Value::Float(value as f64), Value::Int);
                Ok(Attribute(Some(value)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Attribute(Some(Value::Float(value))))
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                bounded(text)?;
                Ok(Attribute(Some(Value::Text(Cow::Borrowed(text)))))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                bounded(text)?;
                Ok(Attribute(Some(Value::Text(Cow::Owned(text.to_owned())))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Attribute(None))
            }
        }
        deserializer.deserialize_any(AttributeVisitor)
    }
}

fn bounded<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(E::custom(format!("a text of {} bytes, expected one of at most {MAX_TEXT_BYTES} bytes", text.len())))
}

/// RFC 3339 in UTC, with milliseconds where there are any.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    calendar(at).to_string()
}

/// As calendars have it, or the last moment that they have.
pub(crate) fn calendar(at: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(at.as_millis()).ok();
    millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()).unwrap_or(jiff::Timestamp::MAX)
}

/// Reads RFC 3339.
pub(crate) fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|at| u64::try_from(at.as_millisecond()).ok())
        .map(Timestamp::from_millis)
        .ok_or_else(|| {
            Problem::field(
                Kind::FieldRefused,
                field,
                format!("{text:?}"),
                "a time as in 2026-12-01T00:00:00Z, from 1970 on",
            )
        })
}
