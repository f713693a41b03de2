//! The shapes of lists of rewards, and of what became of them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::engine::ledger::{Outcome, Standing};
use crate::http::openapi::schema::{one_of, shapes};
use crate::http::problem::ProblemBody;
use crate::http::reward::RewardBody;
use crate::service::reward::Unlearned;

/// One reward, or many.
#[derive(ToSchema)]
#[schema(as = RewardRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the two shapes that one type reads")]
pub(super) enum Request<'a> {
    One(Box<RewardBody<'a>>),
    Many(Rewards<'a>),
}

/// Many rewards at once.
#[derive(ToSchema)]
#[schema(as = RewardEntries)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the second shape of a request")]
pub(super) struct Rewards<'a> {
    #[schema(min_items = 1, max_items = 1_000)]
    rewards: Vec<RewardBody<'a>>,
    /// For pages that set no header.
    key: Option<String>,
}

/// What became of a reward, on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResult)]
pub(crate) struct Taken {
    /// `recorded` the first time, `repeated` where it is known already, `late` after the goal's window.
    #[schema(value_type = RewardOutcome)]
    pub(crate) outcome: &'static str,
    pub(crate) reward_id: String,
    /// Whether the policy learns from it.
    pub(crate) learned: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NotLearned)]
    pub(crate) why: Option<&'static str>,
}

shapes! {
    /// What is done.
    RewardAction "RewardAction" = one_of(["reward", "amend", "retract"]);
    /// What became of a reward or an activation.
    RewardOutcome "RewardOutcome" = one_of([Outcome::Recorded, Outcome::Repeated, Outcome::Late].map(Outcome::word));
    /// Why a policy does not learn from a reward.
    NotLearned "NotLearned" = one_of(UNLEARNED.map(why_word));
}

const UNLEARNED: [Unlearned; 6] = [
    Unlearned::AfterWindow,
    Unlearned::AwaitsActivation,
    Unlearned::AlreadyConverted,
    Unlearned::Control,
    Unlearned::VariationTombstoned,
    Unlearned::EarlierEpoch,
];

/// What became of one of many, or what was wrong with it.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResultEntry)]
#[serde(untagged)]
pub(super) enum Entry {
    Taken(Taken),
    #[schema(value_type = ProblemBody<'static>)]
    Refused(Value),
}

/// As the request was: one result, or many.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResponse)]
#[serde(untagged)]
pub(super) enum Answer {
    One(Taken),
    Many(Results),
}

/// Results of many rewards, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResults)]
pub(super) struct Results {
    pub(super) results: Vec<Entry>,
}

/// What became of an activation, on disk.
#[derive(Serialize, ToSchema)]
pub(super) struct Activated {
    /// `recorded` the first time, `repeated` where the decision counts already, `late` after the shortest window.
    #[schema(value_type = RewardOutcome)]
    pub(super) outcome: &'static str,
}

pub(super) const fn why_word(unlearned: Unlearned) -> &'static str {
    match unlearned {
        Unlearned::AfterWindow => Standing::AfterWindow.word(),
        Unlearned::AwaitsActivation => Standing::AwaitsActivation.word(),
        Unlearned::AlreadyConverted => Standing::AlreadyConverted.word(),
        Unlearned::Control => "control",
        Unlearned::VariationTombstoned => "variation_tombstoned",
        Unlearned::EarlierEpoch => "earlier_epoch",
    }
}
