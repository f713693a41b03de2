//! The evaluation context of OpenFeature: a targeting key beside attributes, which may be nested.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BoolDeserializer, BorrowedStrDeserializer, F64Deserializer, I64Deserializer};
use serde::de::value::{StrDeserializer, U64Deserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, Schema, SchemaType, Type};

use crate::domain::Context;
use crate::http::body::{Attribute, MAX_NAME_BYTES, Text};
use crate::http::openapi::schema::{self, shapes};

/// What a client says of whom it asks for.
#[derive(Debug, Default)]
pub(crate) struct EvaluationContext<'a> {
    /// The visitor; an empty one is none.
    pub(crate) targeting_key: Option<Cow<'a, str>>,
    /// What can be looked at.
    pub(crate) attributes: Context<'a>,
    /// Names of lists and objects. The published clients let sites put them into the context, where other services of theirs may
    /// want them: a flag must not fail over what it does not look at.
    pub(crate) nested: Vec<Cow<'a, str>>,
}

shapes! {
    /// The evaluation context, in the document.
    ContextShape "EvaluationContext" = shape();
}

fn shape() -> Object {
    let targeting_key = SchemaType::from_iter([Type::String, Type::Null]);
    let targeting_key =
        ObjectBuilder::new().schema_type(targeting_key).max_length(Some(256)).description(Some("The visitor."));
    schema::of_type(Type::Object)
        .property("targetingKey", targeting_key)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .description(Some(
            "OpenFeature's: a visitor beside attributes. Lists and objects among these are taken, and have no effect.",
        ))
        .examples([serde_json::json!({"targetingKey": "v-8f2c", "device": "mobile", "country": "FR"})])
        .build()
}

impl<'de: 'a, 'a> Deserialize<'de> for EvaluationContext<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContextVisitor;
        impl<'de> Visitor<'de> for ContextVisitor {
            type Value = EvaluationContext<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a targetingKey and attributes")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut context = EvaluationContext::default();
                while let Some(Text(name)) = map.next_key()? {
                    if name == "targetingKey" {
                        let key = map.next_value::<Option<Text<'_>>>()?;
                        context.targeting_key = key.map(|Text(key)| key).filter(|key| !key.is_empty());
                        continue;
                    }
                    if name.is_empty() || name.len() > MAX_NAME_BYTES {
                        return Err(M::Error::custom(format!("an attribute's name has 1 to {MAX_NAME_BYTES} bytes")));
                    }
                    let fits = match map.next_value()? {
                        Given::Attribute(Attribute(None)) => true,
                        Given::Attribute(Attribute(Some(value))) => context.attributes.insert(name, value),
                        Given::Nested => {
                            context.nested.push(name);
                            context.nested.len() <= Context::MAX_ATTRIBUTES
                        }
                    };
                    if !fits {
                        let most = Context::MAX_ATTRIBUTES;
                        return Err(M::Error::custom(format!("at most {most} attributes are allowed")));
                    }
                }
                Ok(context)
            }
        }
        deserializer.deserialize_map(ContextVisitor)
    }
}

/// A value as `/v1/decide` takes it, or one that has no place there.
enum Given<'a> {
    Attribute(Attribute<'a>),
    Nested,
}

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GivenVisitor;
        impl<'de> Visitor<'de> for GivenVisitor {
            type Value = Given<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                Attribute::deserialize(BoolDeserializer::new(value)).map(Given::Attribute)
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Attribute::deserialize(I64Deserializer::new(value)).map(Given::Attribute)
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Attribute::deserialize(U64Deserializer::new(value)).map(Given::Attribute)
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Attribute::deserialize(F64Deserializer::new(value)).map(Given::Attribute)
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Attribute::deserialize(BorrowedStrDeserializer::new(text)).map(Given::Attribute)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Attribute::deserialize(StrDeserializer::new(text)).map(Given::Attribute)
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Given::Attribute(Attribute(None)))
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Given::Nested)
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Given::Nested)
            }
        }
        deserializer.deserialize_any(GivenVisitor)
    }
}
