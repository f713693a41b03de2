//! The shapes of what is tracked, and of the answers.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::openapi::schema::{one_of, shapes};
use crate::http::problem::ProblemBody;
use crate::http::reward::shape::{NotLearned, RewardOutcome};
use crate::http::track::{MAX_EVENTS, MAX_RECEIPTS, TrackBody};

/// One event, or many.
#[derive(ToSchema)]
#[schema(as = TrackRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the two shapes that one type reads")]
pub(super) enum Request<'a> {
    One(Box<TrackBody<'a>>),
    Many(Events<'a>),
}

/// Many events at once.
#[derive(ToSchema)]
#[schema(as = TrackEvents)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the second shape of a request")]
pub(super) struct Events<'a> {
    #[schema(min_items = 1, max_items = 100)]
    events: Vec<TrackBody<'a>>,
    /// For pages that set no header.
    key: Option<String>,
}

const _: () = assert!(MAX_EVENTS == 100 && MAX_RECEIPTS == 100, "the document says how many there may be");

/// As the request was: what became of one event, or of many.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackResponse)]
#[serde(untagged)]
pub(super) enum Answer {
    One(Done),
    Many(AllDone),
}

/// What became of many events, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackedEvents)]
pub(super) struct AllDone {
    pub(super) events: Vec<Entry>,
}

/// What became of one of many, or what was wrong with it.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackedEntry)]
#[serde(untagged)]
pub(super) enum Entry {
    Done(Done),
    #[schema(value_type = ProblemBody<'static>)]
    Refused(Value),
}

/// What became of an event, on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackedEvent)]
pub(super) struct Done {
    pub(super) name: String,
    /// In each experiment that has such a goal.
    pub(super) results: Vec<Fate>,
    /// Experiments of the visitor or of the receipts that have none.
    pub(super) without_goal: Vec<String>,
}

/// What became of an event in one experiment.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackResult)]
#[serde(untagged)]
pub(super) enum Fate {
    Taken(TakenIn),
    Refused(RefusedIn),
}

/// It is a reward now.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackTaken)]
pub(super) struct TakenIn {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) experiment: Option<String>,
    #[schema(value_type = RewardOutcome)]
    pub(super) outcome: &'static str,
    pub(super) reward_id: String,
    /// Whether the policy learns from it.
    pub(super) learned: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NotLearned)]
    pub(super) why: Option<&'static str>,
}

/// It cannot be a reward.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackRefused)]
pub(super) struct RefusedIn {
    /// Absent where a receipt does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(super) experiment: Option<String>,
    #[schema(value_type = RefusedWord)]
    pub(super) outcome: &'static str,
    #[schema(value_type = ProblemBody<'static>)]
    pub(super) problem: Value,
}

pub(super) const REFUSED: &str = "refused";

shapes! {
    /// That it was refused.
    RefusedWord "Refused" = one_of([REFUSED]);
}
