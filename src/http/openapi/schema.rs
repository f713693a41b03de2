//! Schemas of what the types of fields do not say: words out of a list, ids, intervals. Each has a name of its own in the document,
//! so that generators of clients make a type of it.

use utoipa::IntoParams;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};

/// Types that exist for the document: a name there, and what makes the schema.
macro_rules! shapes {
    ($($(#[$doc:meta])+ $shape:ident $name:literal = $schema:expr;)+) => {$(
        $(#[$doc])+
        pub(crate) enum $shape {}

        impl utoipa::PartialSchema for $shape {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::Schema::from($schema).into()
            }
        }

        impl utoipa::ToSchema for $shape {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    )+};
}
pub(crate) use shapes;

/// A schema of one JSON type.
pub(crate) fn of_type(schema_type: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(schema_type))
}

/// A text out of a list.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    of_type(Type::String).enum_values(Some(words)).build()
}

shapes! {
    /// The key of an experiment, a variation, a goal or a segment's rule.
    Key "Key" = of_type(Type::String).pattern(Some("^[A-Za-z0-9._-]{1,64}$")).description(Some("A key.")).build();
    /// An id that a site has chosen.
    Id "Id" = of_type(Type::String)
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
        .min_length(Some(1))
        .max_length(Some(256))
        .description(Some("An id of the site's own, 1 to 256 bytes without control characters."))
        .build();
    /// The name of an attribute.
    AttributeName "AttributeName" = of_type(Type::String)
        .pattern(Some("^[A-Za-z_][A-Za-z0-9_]{0,63}$"))
        .description(Some("The name of an attribute, which can stand in a condition."))
        .build();
    /// A length of time.
    Span "Span" = of_type(Type::String)
        .pattern(Some("^[0-9]{1,12}(ms|s|m|h|d)$"))
        .examples(["7d"])
        .description(Some("A length of time: a whole number and a unit."))
        .build();
    /// The two ends of an interval.
    Interval "Interval" = ArrayBuilder::new()
        .items(of_type(Type::Number))
        .min_items(Some(2))
        .max_items(Some(2))
        .description(Some("The two ends of a 95 % interval, the lower first."))
        .build();
}

/// Which experiment.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the parameter for the OpenAPI document; handlers take the text itself")]
pub(crate) struct ExperimentPath {
    /// The experiment's key.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "hero")]
    key: String,
}

/// Which visitor.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the parameter for the OpenAPI document; handlers take the text itself")]
pub(crate) struct VisitorPath {
    /// The site's own id of the visitor, percent-encoded.
    #[param(pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$", min_length = 1, max_length = 256, example = "v-8f2c")]
    id: String,
}
