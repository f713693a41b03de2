//! The shape of a decision, which `answer::write` writes by hand. It exists for the OpenAPI document; integration tests
//! hold every answer against it.
#![expect(
    dead_code,
    reason = "describes answers that are written by hand, and requests whose two shapes one type reads"
)]

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use utoipa::openapi::schema::{ArrayBuilder, Object, OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema as _, ToSchema};

use crate::engine::decide::Reason;
use crate::http::body::ContextShape;
use crate::http::decide::many::MAX_BATCH;
use crate::http::decide::{DecideBody, reason};
use crate::http::openapi::schema::{Id, Key, one_of, shapes};
use crate::http::problem::ProblemBody;
use crate::service::decide::Why;

/// One experiment, several at once, or many requests.
#[derive(ToSchema)]
#[schema(as = DecideRequest)]
#[serde(untagged)]
pub(super) enum Request<'a> {
    One(Box<DecideBody<'a>>),
    Several(Several),
    Many(Requests<'a>),
}

/// Many requests at once.
#[derive(ToSchema)]
#[schema(as = DecisionRequests)]
#[serde(deny_unknown_fields)]
pub(super) struct Requests<'a> {
    /// Each brings its experiment, visitor and context, or what of them is its own.
    #[schema(value_type = Vec<OneOfMany>, min_items = 1, max_items = 1_000)]
    requests: Vec<DecideBody<'a>>,
    /// Of those that name none.
    #[schema(value_type = Option<Key>)]
    experiment: Option<String>,
    /// Of those that name none.
    #[schema(value_type = Option<Id>)]
    visitor: Option<String>,
    /// Under that of each: an attribute of its own comes before one of the same name here. With it each has at most 64.
    #[schema(value_type = Option<ContextShape>)]
    context: Option<Map<String, Value>>,
    /// Of those that do not say.
    consent: Option<bool>,
    /// For pages that set no header.
    key: Option<String>,
}

shapes! {
    /// One visitor in several experiments.
    Several "DecisionsRequest" = several();
    /// A request of a batch.
    OneOfMany "DecisionRequestOfBatch" = one_of_many();
}

/// As one decision is asked for, but that what stands beside all need not be said, and the key only there.
fn one_of_many() -> Object {
    let RefOr::T(Schema::Object(mut one)) = DecideBody::schema() else {
        unreachable!("a struct with names is an object")
    };
    one.required.retain(|required| required != "experiment");
    one.properties.shift_remove("key");
    one.description = Some("What is asked for one of many, as far as it does not stand beside all.".to_owned());
    one
}

/// As one decision is asked for, but for what names the experiment.
fn several() -> Object {
    let RefOr::T(Schema::Object(mut several)) = DecideBody::schema() else {
        unreachable!("a struct with names is an object")
    };
    for name in ["experiment", "receipt"] {
        several.properties.shift_remove(name);
        several.required.retain(|required| required != name);
    }
    let listed =
        ArrayBuilder::new().items(Ref::from_schema_name(Key::name())).min_items(Some(1)).max_items(Some(MAX_BATCH));
    let which = OneOfBuilder::new().item(one_of(["all"])).item(listed).description(Some(
        "Keys of experiments, answered in their order; or all that the visitor takes part in, in order of their keys.",
    ));
    several.properties.insert("experiments".to_owned(), Schema::from(which.build()).into());
    several.required.push("experiments".to_owned());
    several.description = Some("One visitor in several experiments at once.".to_owned());
    several
}

const _: () = assert!(MAX_BATCH == 1_000, "the document says how many requests there may be");

/// As the request was: one decision, or many.
#[derive(ToSchema)]
#[schema(as = DecideResponse)]
#[serde(untagged)]
pub(super) enum Answer<'a> {
    One(Box<Decision<'a>>),
    Many(Decisions<'a>),
}

/// Answers to many requests, in their order.
#[derive(ToSchema)]
pub(super) struct Decisions<'a> {
    decisions: Vec<Entry<'a>>,
}

/// A decision, or what was wrong with its request.
#[derive(ToSchema)]
#[schema(as = DecisionEntry)]
#[serde(untagged)]
enum Entry<'a> {
    Decision(Box<Decision<'a>>),
    Problem(ProblemBody<'a>),
}

/// What to show.
#[derive(ToSchema)]
pub(super) struct Decision<'a> {
    #[schema(example = "hero")]
    experiment: String,
    /// The key of the variation to show.
    #[schema(example = "plain")]
    variation: String,
    /// What the definition says is to be shown: any JSON.
    #[schema(example = json!({"headline": "Welcome"}))]
    payload: Value,
    /// Why this variation.
    #[schema(value_type = DecisionReason)]
    reason: String,
    /// The visitor's id: as given, or minted. Absent without consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "v-8f2c")]
    visitor: Option<String>,
    /// As given, or minted.
    #[schema(example = "019b0000c0de5eed0000000000000001")]
    decision_id: String,
    /// To be sent with activations and rewards; at most 1,200 characters. Absent where nothing was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, max_length = 1200)]
    receipt: Option<String>,
    /// Whether the visitor is in the control group, which always gets the default.
    control: bool,
    /// The exact probability with which this variation was drawn.
    #[schema(minimum = 0, maximum = 1, example = 0.6134)]
    propensity: f64,
    /// `true` where the visitor is in the holdout, which is in the control group of every experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    holdout: Option<bool>,
    /// Version of the definition that was used.
    definition: u32,
    /// Until when a reward is learned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    expires: Option<String>,
    /// Attributes that no condition, segment or policy uses.
    ignored: Vec<String>,
    /// The segment that was decided in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "device=mobile|country=FR")]
    segment: Option<String>,
    /// Why the receipt that was given was not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemBody<'a>)]
    receipt_refused: Option<ProblemBody<'a>>,
    /// How the decision came about, with `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Explanation)]
    explanation: Option<Explanation>,
}

shapes! {
    /// Why a variation is shown.
    DecisionReason "DecisionReason" = one_of(reasons());
}

fn reasons() -> impl Iterator<Item = &'static str> {
    let decided = [
        Reason::Policy,
        Reason::Control,
        Reason::Sticky,
        Reason::NotRunning,
        Reason::NotInAudience,
        Reason::NotInTraffic,
        Reason::AllExcluded,
        Reason::InOtherExperiment,
        Reason::NoConsent,
    ];
    decided.map(Why::Decided).into_iter().chain([Why::Overloaded, Why::Unavailable]).map(reason)
}

/// How a decision came about.
#[derive(ToSchema)]
struct Explanation {
    /// The attributes that the experiment looks at.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// Those of them that come from the visitor's profile.
    from_profile: Vec<String>,
    /// Always `false`: what is explained is not recorded.
    recorded: bool,
    epoch: u32,
    /// The kind of policy.
    #[schema(example = "thompson")]
    policy: String,
    /// What the policy gives each variation, before exclusions and the floor.
    #[schema(value_type = BTreeMap<String, f64>)]
    shares: BTreeMap<String, f64>,
    floor: f64,
    /// The probability of each variation.
    propensities: BTreeMap<String, f64>,
    /// The number from 0 to 1 that chose among them.
    #[schema(minimum = 0, maximum = 1)]
    uniform: f64,
}
