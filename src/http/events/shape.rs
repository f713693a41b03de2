//! The shape of a line: what is written and what the OpenAPI document describes are one.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::ledger::Outcome;
use crate::http::openapi::schema::{one_of, shapes};

/// One line: an event of the journal, where to go on, or what is missing. Which fields stand in it depends on `event`.
#[derive(Serialize, ToSchema, Default)]
#[schema(as = EventLine)]
pub(super) struct Line<'a> {
    #[schema(value_type = EventKind)]
    pub(super) event: &'static str,
    /// The same at every reading, so that what came twice can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "1042:17")]
    pub(super) id: Option<String>,
    /// When it was decided, or when what came of it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(super) at: Option<String>,
    /// Of an activation, a reward, an amendment or a retraction: when what it is about was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(super) decided_at: Option<String>,
    /// 32 hexadecimal digits, also where a caller gave an id of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "019b0000c0de5eed0000000000000001")]
    pub(super) decision_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "hero")]
    pub(super) experiment: Option<&'a str>,
    /// Version of the definition that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) definition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "device=mobile|country=FR")]
    pub(super) segment: Option<&'a str>,
    /// `null` where the experiment was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "plain")]
    pub(super) variation: Option<Option<String>>,
    /// The probability with which the variation was drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub(super) propensity: Option<f64>,
    /// Whether the visitor is in the control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) control: Option<bool>,
    /// Of an assignment: whether it counts as a trial at once; one that was deferred does once it is activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) exposed: Option<bool>,
    /// Of an exposure or an assignment: the id it was decided for; `null` where that is not kept, or was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "v-8f2c")]
    pub(super) visitor: Option<Option<String>>,
    /// A keyed hash that stands for the visitor. `null` of an exposure whose visitor is not kept, or was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "5d41402abc4b2a76b9719d911017c592")]
    pub(super) visitor_token: Option<Option<String>>,
    /// Of an alias: the token of the id from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) anonymous_token: Option<String>,
    /// Of an erasure: the tokens of all ids that were the visitor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) visitor_tokens: Option<Vec<String>>,
    /// `null` where the experiment was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "purchase")]
    pub(super) goal: Option<Option<String>>,
    /// 0 or 1, minor units, or a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "order-991")]
    pub(super) reward_id: Option<&'a str>,
    /// When the site says that the reward happened, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub(super) occurred_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EventOutcome)]
    pub(super) outcome: Option<&'static str>,
    /// Of a cursor, the block to go on after; of a gap, the last block before what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) after: Option<u64>,
    /// Of a gap: the first block that is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next: Option<u64>,
}

shapes! {
    /// What a line is about.
    EventKind "EventKind" = one_of([
        "exposure", "assignment", "activation", "reward", "amendment", "retraction", "alias", "erasure", "cursor", "gap",
    ]);
    /// What became of it. `recorded` and `late` are kept, and only `recorded` is learned from; the others changed nothing.
    EventOutcome "EventOutcome" = one_of(
        [Outcome::Recorded, Outcome::Repeated, Outcome::Late, Outcome::Refused, Outcome::Unknown, Outcome::Erased]
            .map(Outcome::word)
    );
}
