//! The shapes of the protocol's answers. `write_flag` writes flags by hand.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::decide::Reason;
use crate::http::decide::shape::DecisionReason;
use crate::http::ofrep::failure::FailureBody;
use crate::http::ofrep::standard_reason;
use crate::http::openapi::schema::{one_of, shapes};
use crate::service::decide::Why;

/// What to show.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub(super) struct Flag<'a> {
    /// The experiment's key.
    #[schema(example = "hero")]
    key: &'a str,
    /// The variation's payload; its key where there is none.
    #[schema(example = json!({"headline": "Welcome"}))]
    value: Value,
    /// The variation's key.
    #[schema(example = "plain")]
    variant: &'a str,
    /// Why this variant, in the words of the standard; `metadata.reason` says it in those of `POST /v1/decide`.
    #[schema(value_type = StandardReason)]
    reason: &'static str,
    metadata: Metadata<'a>,
}

shapes! {
    /// Why a variant is shown, in the words of the standard.
    StandardReason "FlagReason" = one_of(STANDARD.map(standard_reason));
}

/// One for each word.
const STANDARD: [Why; 4] = [
    Why::Decided(Reason::Policy),
    Why::Decided(Reason::NotRunning),
    Why::Decided(Reason::NotInAudience),
    Why::Unavailable,
];

/// What the value and the variant do not say, as in the answer of `POST /v1/decide`. Flat, since clients drop anything else.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlagMetadata)]
pub(super) struct Metadata<'a> {
    #[schema(value_type = DecisionReason)]
    pub(super) reason: &'static str,
    pub(super) control: bool,
    pub(super) definition: u32,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) propensity: f64,
    pub(super) decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, max_length = 1200)]
    pub(super) receipt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(super) expires: Option<String>,
    /// For keys with role `write` or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) segment: Option<&'a str>,
    /// Names of attributes that have no effect, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) ignored: Option<String>,
}

/// All flags of a visitor.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is written by hand")]
pub(super) struct Flags<'a> {
    flags: Vec<Entry<'a>>,
    metadata: SetMetadata,
}

/// A flag, or why it cannot be evaluated ahead.
#[derive(ToSchema)]
#[schema(as = FlagEntry)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is written by hand")]
enum Entry<'a> {
    Flag(Box<Flag<'a>>),
    Failure(FailureBody<'a>),
}

/// What is said of all flags.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FlagsMetadata)]
pub(super) struct SetMetadata {
    /// Where tracking events go, on this server.
    pub(super) track_url: &'static str,
    /// Where a flag that is read is activated, on this server.
    pub(super) activate_url: &'static str,
    /// Experiments beyond the first 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = usize)]
    pub(super) left_out: Option<usize>,
    /// Names of attributes that have no effect on any of them, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) ignored: Option<String>,
}
