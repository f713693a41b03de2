//! `POST /v1/reward` (one reward, amendment or retraction, or a list under `rewards`) and `POST /v1/activate`.

pub(crate) mod shape;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::key::Role;
use crate::domain::{RewardId, Timestamp, VisitorId};
use crate::engine::reward::{Action, Reward};
use crate::http::body::{Text, parse, parse_time, write_json};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::idempotency::IdempotencyKey;
use crate::http::openapi::schema::Id;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::http::reward::shape::{Activated, Answer, Entry, Request, Results, RewardAction, Taken, why_word};
use crate::service::Service;
use crate::service::error::FeedbackError;
use crate::service::reward::{Rewarding, Subject};

/// Most rewards of one list.
const MAX_BATCH: usize = 1_000;

/// A reward, or an amendment or retraction of one. It names its decision by a receipt, or by experiment and visitor where the
/// unit is the visitor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RewardEntry)]
pub(super) struct RewardBody<'a> {
    /// For pages that set no header: the key, in the outermost object.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    key: Option<Text<'a>>,
    /// `reward` if absent.
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

/// A deferred decision was seen. It is named by its receipt, or by experiment and visitor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivateRequest)]
struct ActivateBody<'a> {
    /// Of pages that set no header.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    key: Option<Text<'a>>,
    #[schema(value_type = Option<String>)]
    receipt: Option<Text<'a>>,
    #[schema(value_type = Option<String>)]
    experiment: Option<Text<'a>>,
    #[schema(value_type = Option<Id>)]
    visitor: Option<Text<'a>>,
}

/// What is checked before the engine sees it.
struct Checked {
    action: Action,
    reward_id: Option<RewardId>,
    occurred_at: Option<Timestamp>,
}

/// Reads a body and checks all of it that needs no experiment, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    let one =
        |body: &RewardBody<'_>| check(body, None).is_ok_and(|checked| to_reward(body, &checked, Role::Admin).is_ok());
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
    params(IdempotencyKey),
    request_body(content = Request<'_>, example = json!({
        "experiment": "hero", "visitor": "v-8f2c", "goal": "purchase", "value": 1, "reward_id": "order-991"
    })),
    responses((status = 200, description = "What became of it", body = Answer), RewardProblems),
)]
pub(crate) async fn reward(
    service: &Service,
    asker: &Asker<'_>,
    idempotent: &IdempotencyKey,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let body: RewardBody<'_> = parse(body)?;
    let role = asker.role(body.key.as_ref())?;
    let Some(list) = &body.rewards else {
        let checked = check(&body, idempotent.one())?;
        let (subject, reward) = to_reward(&body, &checked, role)?;
        let rewarding = service.reward(subject, &reward).await.map_err(|error| refusal(subject, error))?;
        write_json(out, &Answer::One(taken(&rewarding)));
        return Ok(());
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
    let list: Vec<_> = list.iter().enumerate().map(|(index, body)| (of_list(body), idempotent.at(index))).collect();
    let results = many(service, role, &list).await;
    let entry = |result: Result<Rewarding, Problem>| match result {
        Ok(rewarding) => Entry::Taken(taken(&rewarding)),
        Err(problem) => Entry::Refused(problem.to_json()),
    };
    write_json(out, &Answer::Many(Results { results: results.into_iter().map(entry).collect() }));
    Ok(())
}

/// Takes what can be taken, at the price of one sync; a problem stands in the place of what cannot. Each may bring the id that it
/// has if it says none.
pub(super) async fn many(
    service: &Service,
    role: Role,
    list: &[(Result<&RewardBody<'_>, Problem>, Option<String>)],
) -> Vec<Result<Rewarding, Problem>> {
    let checked: Vec<Result<Checked, Problem>> = list
        .iter()
        .map(|(body, otherwise)| check(body.as_ref().map_err(Clone::clone)?, otherwise.as_deref()))
        .collect();
    let rewards: Vec<Result<(Subject<'_>, Reward<'_>), Problem>> = list
        .iter()
        .zip(&checked)
        .map(|((body, _), checked)| {
            to_reward(body.as_ref().map_err(Clone::clone)?, checked.as_ref().map_err(Clone::clone)?, role)
        })
        .collect();
    let sound: Vec<_> = rewards.iter().filter_map(|reward| reward.as_ref().ok().copied()).collect();
    let mut done = sound.iter().zip(service.rewards(&sound).await);
    rewards
        .into_iter()
        .map(|reward| match reward {
            Err(problem) => Err(problem),
            Ok(_) => {
                let (subject, result) = done.next().expect("one result for every reward handed over");
                result.map_err(|error| refusal(subject.0, error))
            }
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
pub(crate) async fn activate(
    service: &Service,
    asker: &Asker<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let body: ActivateBody<'_> = parse(body)?;
    let role = asker.role(body.key.as_ref())?;
    let subject = subject(&body.receipt, &body.experiment, &body.visitor)?;
    check_role(role, &subject, Action::Reward)?;
    let outcome = service.activate(subject).await.map_err(|error| refusal(subject, error))?;
    write_json(out, &Activated { outcome: outcome.word() });
    Ok(())
}

problems!(
    RewardProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, ExperimentUnknown, ExperimentDeleted, ReceiptMalformed, ReceiptForeign,
    ReceiptForged, ReceiptExpired, VisitorErased, VisitorUnassigned, EpochClosed, TooManyRewards, RewardUnknown, GoalUnknown,
    Overloaded, Unavailable,
);
problems!(
    ActivateProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, ExperimentUnknown, ExperimentDeleted, ReceiptMalformed,
    ReceiptForeign, ReceiptForged, ReceiptExpired, VisitorErased, VisitorUnassigned, EpochClosed, TooManyRewards, Overloaded,
    Unavailable,
);

/// A reward of a list, which shares the list's key.
pub(super) fn of_list<'a, 'b>(body: &'b RewardBody<'a>) -> Result<&'b RewardBody<'a>, Problem> {
    if body.key.is_none() {
        return Ok(body);
    }
    Err(Problem::field(Kind::FieldRefused, "key", "a key within a list", "one key, beside `rewards`"))
}

/// `otherwise` is the id of a reward that says none.
fn check(body: &RewardBody<'_>, otherwise: Option<&str>) -> Result<Checked, Problem> {
    if body.rewards.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "rewards", "a list within a list", "one level"));
    }
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
    // What is corrected has an id already.
    let otherwise = otherwise.filter(|_| action == Action::Reward);
    let reward_id = body.reward_id.as_ref().map(|Text(id)| &**id).or(otherwise);
    let reward_id = reward_id.map(|id| RewardId::new(id).map_err(invalid_id("reward_id"))).transpose()?;
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

/// A page speaks for whoever looks at it, of whom it has the receipt, and takes nothing back.
fn check_role(role: Role, subject: &Subject<'_>, action: Action) -> Result<(), Problem> {
    let what = match (subject, action) {
        _ if role >= Role::Write => return Ok(()),
        (Subject::Visitor { .. }, _) => "naming a visitor instead of a receipt",
        (Subject::Receipt(_), Action::Amend) => "amending a reward",
        (Subject::Receipt(_), Action::Retract) => "retracting a reward",
        (Subject::Receipt(_), Action::Reward) => return Ok(()),
    };
    Err(role_problem(role, Role::Write, what))
}

/// A problem of what a body is about.
fn refusal(subject: Subject<'_>, error: FeedbackError) -> Problem {
    match subject {
        Subject::Visitor { experiment, .. } => Problem::from(error).of_experiment("experiment", &quoted(experiment)),
        Subject::Receipt(_) => Problem::from(error).of_experiment("receipt", "a receipt"),
    }
}

fn to_reward<'a>(
    body: &'a RewardBody<'_>,
    checked: &'a Checked,
    role: Role,
) -> Result<(Subject<'a>, Reward<'a>), Problem> {
    let subject = subject(&body.receipt, &body.experiment, &body.visitor)?;
    check_role(role, &subject, checked.action)?;
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

/// What became of a reward, as every address answers it.
pub(super) fn taken(rewarding: &Rewarding) -> Taken {
    Taken {
        outcome: rewarding.outcome.word(),
        reward_id: rewarding.reward_id.as_str().to_owned(),
        learned: rewarding.unlearned.is_none(),
        why: rewarding.unlearned.map(why_word),
    }
}
