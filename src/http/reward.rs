//! `POST /v1/reward` (one reward, amendment or retraction, or a list under `rewards`) and `POST /v1/activate`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{RewardId, Timestamp, VisitorId};
use crate::engine::ledger::Outcome;
use crate::engine::reward::{Action, Reward};
use crate::http::body::{Body, Text, parse, parse_time};
use crate::http::error::invalid_id;
use crate::http::openapi::schema::{Id, one_of, shapes};
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, ProblemBody, quoted};
use crate::service::Service;
use crate::service::error::FeedbackError;
use crate::service::reward::{Rewarding, Subject, Unlearned};

/// Most rewards of one list.
const MAX_BATCH: usize = 1_000;

/// A reward, or an amendment or retraction of one. It names its decision by a receipt, or by experiment and visitor where the
/// unit is the visitor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RewardEntry)]
struct RewardBody<'a> {
    /// `reward` if absent.
    #[serde(borrow)]
    #[schema(value_type = Option<RewardAction>)]
    action: Option<Text<'a>>,
    /// Of the decision.
    #[schema(value_type = Option<String>)]
    receipt: Option<Text<'a>>,
    /// The key of the experiment that the visitor was decided for in.
    #[schema(value_type = Option<String>)]
    experiment: Option<Text<'a>>,
    #[schema(value_type = Option<Id>)]
    visitor: Option<Text<'a>>,
    /// The goal's key; the primary one if absent.
    #[schema(value_type = Option<String>, example = "purchase")]
    goal: Option<Text<'a>>,
    /// 0 or 1 for a conversion, 1 if absent; whole minor units for revenue, below 0 for a refund; a whole number from 0 for a count.
    #[schema(minimum = -1_099_511_627_776_i64, maximum = 1_099_511_627_776_i64, example = 1)]
    value: Option<f64>,
    /// Must be the goal's.
    #[schema(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    currency: Option<Text<'a>>,
    /// The site's own id, such as the order's; the goal's key if absent. The same again is a repeat.
    #[schema(value_type = Option<Id>)]
    reward_id: Option<Text<'a>>,
    /// When it happened, between the decision and now; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Text<'a>>,
    #[schema(ignore)]
    rewards: Option<Vec<RewardBody<'a>>>,
}

/// One reward, or many.
#[derive(ToSchema)]
#[schema(as = RewardRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the two shapes that one type reads")]
enum Request<'a> {
    One(Box<RewardBody<'a>>),
    Many(Rewards<'a>),
}

/// Many rewards at once.
#[derive(ToSchema)]
#[schema(as = RewardEntries)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the second shape of a request")]
struct Rewards<'a> {
    #[schema(min_items = 1, max_items = 1_000)]
    rewards: Vec<RewardBody<'a>>,
}

/// A deferred decision was seen. It is named by its receipt, or by experiment and visitor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivateRequest)]
struct ActivateBody<'a> {
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    receipt: Option<Text<'a>>,
    #[schema(value_type = Option<String>)]
    experiment: Option<Text<'a>>,
    #[schema(value_type = Option<Id>)]
    visitor: Option<Text<'a>>,
}

/// What became of a reward, on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResult)]
struct Taken {
    /// `recorded` the first time, `repeated` where it is known already, `late` after the goal's window.
    #[schema(value_type = RewardOutcome)]
    outcome: &'static str,
    reward_id: String,
    /// Whether the policy learns from it.
    learned: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NotLearned)]
    why: Option<&'static str>,
}

shapes! {
    /// What is done.
    RewardAction "RewardAction" = one_of(["reward", "amend", "retract"]);
    /// What became of a reward or an activation.
    RewardOutcome "RewardOutcome" = one_of([Outcome::Recorded, Outcome::Repeated, Outcome::Late].map(outcome_word));
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
enum Entry {
    Taken(Taken),
    #[schema(value_type = ProblemBody<'static>)]
    Refused(Value),
}

/// As the request was: one result, or many.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResponse)]
#[serde(untagged)]
enum Answer {
    One(Taken),
    Many(Results),
}

/// Results of many rewards, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardResults)]
struct Results {
    results: Vec<Entry>,
}

/// What became of an activation, on disk.
#[derive(Serialize, ToSchema)]
struct Activated {
    /// `recorded` the first time, `repeated` where the decision counts already, `late` after the shortest window.
    #[schema(value_type = RewardOutcome)]
    outcome: &'static str,
}

/// What is checked before the engine sees it.
struct Checked {
    action: Action,
    reward_id: Option<RewardId>,
    occurred_at: Option<Timestamp>,
}

/// Reads a body and checks all of it that needs no experiment, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let one = |body: &RewardBody<'_>| check(body).is_ok_and(|checked| to_reward(body, &checked).is_ok());
    parse::<RewardBody<'_>>(bytes).is_ok_and(|body| match &body.rewards {
        None => one(&body),
        Some(rewards) => rewards.iter().filter(|reward| one(reward)).count() == rewards.len(),
    })
}

/// The same of an activation.
pub(crate) fn is_activation(bytes: &[u8]) -> bool {
    parse::<ActivateBody<'_>>(bytes).is_ok_and(|body| subject(&body.receipt, &body.experiment, &body.visitor).is_ok())
}

/// What the visitor did
///
/// One reward, amendment or retraction, or a list of them, answered once it is on disk. Sending again is always safe. In a list a
/// problem stands in the place of what is refused.
#[utoipa::path(
    post, path = "/v1/reward", tag = "rewards", operation_id = "reward",
    request_body(content = Request<'_>, example = json!({
        "experiment": "hero", "visitor": "v-8f2c", "goal": "purchase", "value": 1, "reward_id": "order-991"
    })),
    responses((status = 200, description = "What became of it", body = Answer), RewardProblems),
)]
pub(crate) async fn reward(service: Data<Service>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: RewardBody<'_> = parse(&bytes)?;
    let Some(list) = &body.rewards else {
        let checked = check(&body)?;
        let (subject, reward) = to_reward(&body, &checked)?;
        let rewarding = service.reward(subject, &reward).await.map_err(|error| refusal(subject, error))?;
        return Ok(HttpResponse::Ok().json(Answer::One(taken(&rewarding))));
    };
    let about = body.receipt.is_some() || body.experiment.is_some() || body.visitor.is_some();
    let beside = [body.action.is_some(), about, body.goal.is_some(), body.value.is_some()];
    if beside.contains(&true) || body.reward_id.is_some() || body.occurred_at.is_some() {
        let allowed = "alone: each reward of a list brings its own receipt or visitor";
        return Err(Problem::field(Kind::FieldRefused, "rewards", "rewards beside other fields", allowed));
    }
    if list.is_empty() || list.len() > MAX_BATCH {
        let given = format!("{} of them", list.len());
        return Err(Problem::field(Kind::FieldRefused, "rewards", given, format!("1 to {MAX_BATCH}")));
    }
    let results = many(&service, list).await;
    Ok(HttpResponse::Ok().json(Answer::Many(Results { results })))
}

/// Takes what can be taken, at the price of one sync; a problem stands in the place of what cannot.
async fn many(service: &Service, list: &[RewardBody<'_>]) -> Vec<Entry> {
    let checked: Vec<Result<Checked, Problem>> = list.iter().map(check).collect();
    let rewards: Vec<Result<(Subject<'_>, Reward<'_>), Problem>> = list
        .iter()
        .zip(&checked)
        .map(|(body, checked)| to_reward(body, checked.as_ref().map_err(Clone::clone)?))
        .collect();
    let sound: Vec<_> = rewards.iter().filter_map(|reward| reward.as_ref().ok().copied()).collect();
    let mut done = sound.iter().zip(service.rewards(&sound).await);
    rewards
        .into_iter()
        .map(|reward| match reward {
            Err(problem) => Entry::Refused(problem.to_json()),
            Ok(_) => match done.next().expect("one result for every reward handed over") {
                (_, Ok(rewarding)) => Entry::Taken(taken(&rewarding)),
                ((subject, _), Err(error)) => Entry::Refused(refusal(*subject, error).to_json()),
            },
        })
        .collect()
}

/// A deferred decision was seen
///
/// It becomes an exposure. A reward never activates: one that comes before is kept, and learned once the activation comes.
#[utoipa::path(
    post, path = "/v1/activate", tag = "rewards", operation_id = "activate",
    request_body(content = ActivateBody<'_>, example = json!({"experiment": "hero", "visitor": "v-8f2c"})),
    responses((status = 200, description = "What became of it", body = Activated), ActivateProblems),
)]
pub(crate) async fn activate(service: Data<Service>, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: ActivateBody<'_> = parse(&bytes)?;
    let subject = subject(&body.receipt, &body.experiment, &body.visitor)?;
    let outcome = service.activate(subject).await.map_err(|error| refusal(subject, error))?;
    Ok(HttpResponse::Ok().json(Activated { outcome: outcome_word(outcome) }))
}

problems!(
    RewardProblems: Malformed, FieldRefused, BodyTooLarge, ExperimentUnknown, ExperimentDeleted, ReceiptMalformed, ReceiptForeign,
    ReceiptForged, ReceiptExpired, VisitorErased, VisitorUnassigned, EpochClosed, TooManyRewards, RewardUnknown, GoalUnknown,
    Overloaded, Unavailable,
);
problems!(
    ActivateProblems: Malformed, FieldRefused, BodyTooLarge, ExperimentUnknown, ExperimentDeleted, ReceiptMalformed,
    ReceiptForeign, ReceiptForged, ReceiptExpired, VisitorErased, VisitorUnassigned, EpochClosed, TooManyRewards, Overloaded,
    Unavailable,
);

fn check(body: &RewardBody<'_>) -> Result<Checked, Problem> {
    if body.rewards.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "rewards", "a list within a list", "one level"));
    }
    let reward_id =
        body.reward_id.as_ref().map(|Text(id)| RewardId::new(id).map_err(invalid_id("reward_id"))).transpose()?;
    let occurred_at = body.occurred_at.as_ref().map(|Text(at)| parse_time("occurred_at", at)).transpose()?;
    let action = match body.action.as_ref().map(|Text(action)| &**action) {
        None | Some("reward") => Action::Reward,
        Some("amend") => Action::Amend,
        Some("retract") => Action::Retract,
        Some(other) => {
            let allowed = "\"reward\", \"amend\" or \"retract\"";
            return Err(Problem::field(Kind::FieldRefused, "action", format!("{other:?}"), allowed));
        }
    };
    Ok(Checked { action, reward_id, occurred_at })
}

/// What a body is about: a receipt, or an experiment and a visitor.
fn subject<'a>(
    receipt: &'a Option<Text<'_>>,
    experiment: &'a Option<Text<'_>>,
    visitor: &'a Option<Text<'_>>,
) -> Result<Subject<'a>, Problem> {
    const ALLOWED: &str = "the receipt of a decision, or an experiment and a visitor";
    match (receipt, experiment, visitor) {
        (Some(Text(receipt)), None, None) => Ok(Subject::Receipt(receipt)),
        (None, Some(Text(experiment)), Some(Text(visitor))) => {
            VisitorId::new(visitor).map_err(invalid_id("visitor"))?;
            Ok(Subject::Visitor { experiment, visitor })
        }
        (Some(_), _, _) => Err(Problem::field(Kind::FieldRefused, "receipt", "a receipt beside a visitor", ALLOWED)),
        (None, None, Some(_)) => Err(Problem::field(Kind::Malformed, "experiment", "nothing", ALLOWED)),
        (None, Some(_), None) => Err(Problem::field(Kind::Malformed, "visitor", "nothing", ALLOWED)),
        (None, None, None) => Err(Problem::field(Kind::Malformed, "receipt", "nothing", ALLOWED)),
    }
}

/// A problem of what a body is about.
fn refusal(subject: Subject<'_>, error: FeedbackError) -> Problem {
    match subject {
        Subject::Visitor { experiment, .. } => Problem::from(error).of_experiment("experiment", &quoted(experiment)),
        Subject::Receipt(_) => Problem::from(error).of_experiment("receipt", "a receipt"),
    }
}

fn to_reward<'a>(body: &'a RewardBody<'_>, checked: &'a Checked) -> Result<(Subject<'a>, Reward<'a>), Problem> {
    let subject = subject(&body.receipt, &body.experiment, &body.visitor)?;
    let reward = Reward {
        action: checked.action,
        goal: body.goal.as_ref().map(|Text(goal)| &**goal),
        value: body.value,
        currency: body.currency.as_ref().map(|Text(currency)| &**currency),
        reward_id: checked.reward_id.as_ref(),
        occurred_at: checked.occurred_at,
    };
    Ok((subject, reward))
}

fn taken(rewarding: &Rewarding) -> Taken {
    Taken {
        outcome: outcome_word(rewarding.outcome),
        reward_id: rewarding.reward_id.as_str().to_owned(),
        learned: rewarding.unlearned.is_none(),
        why: rewarding.unlearned.map(why_word),
    }
}

const fn why_word(unlearned: Unlearned) -> &'static str {
    match unlearned {
        Unlearned::AfterWindow => "after_window",
        Unlearned::AwaitsActivation => "awaits_activation",
        Unlearned::AlreadyConverted => "already_converted",
        Unlearned::Control => "control",
        Unlearned::VariationTombstoned => "variation_tombstoned",
        Unlearned::EarlierEpoch => "earlier_epoch",
    }
}

const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Recorded => "recorded",
        Outcome::Repeated => "repeated",
        Outcome::Late => "late",
        // The last three are never answered as outcomes: the service makes errors of them.
        Outcome::Refused => "refused",
        Outcome::Unknown => "unknown",
        Outcome::Erased => "erased",
    }
}
