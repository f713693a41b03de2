//! `POST /v1/reward` (one reward, amendment or retraction, or a list under `rewards`) and `POST /v1/activate`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::key::Role;
use crate::domain::{RewardId, Timestamp, VisitorId};
use crate::engine::ledger::Outcome;
use crate::engine::reward::{Action, Reward};
use crate::http::body::{Body, Text, parse, parse_time};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;
use crate::service::reward::{Rewarding, Subject, Unlearned};

/// Most rewards of one list.
const MAX_BATCH: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RewardBody<'a> {
    /// Of pages that set no header.
    #[serde(borrow)]
    key: Option<Text<'a>>,
    action: Option<Text<'a>>,
    receipt: Option<Text<'a>>,
    experiment: Option<Text<'a>>,
    visitor: Option<Text<'a>>,
    goal: Option<Text<'a>>,
    value: Option<f64>,
    currency: Option<Text<'a>>,
    reward_id: Option<Text<'a>>,
    occurred_at: Option<Text<'a>>,
    rewards: Option<Vec<RewardBody<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivateBody<'a> {
    /// Of pages that set no header.
    #[serde(borrow)]
    key: Option<Text<'a>>,
    receipt: Option<Text<'a>>,
    experiment: Option<Text<'a>>,
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

pub(crate) async fn reward(
    service: Data<Service>,
    asker: Asker,
    idempotent: IdempotencyKey,
    Body(bytes): Body,
) -> Result<HttpResponse, Problem> {
    let body: RewardBody<'_> = parse(&bytes)?;
    let role = asker.role(body.key.as_ref())?;
    let Some(list) = &body.rewards else {
        let checked = check(&body, idempotent.one())?;
        let (subject, reward) = to_reward(&body, &checked, role)?;
        let rewarding = service.reward(subject, &reward).await?;
        return Ok(HttpResponse::Ok().json(to_json(&rewarding)));
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
    let results = many(&service, role, &list).await;
    let results: Vec<Value> =
        results.iter().map(|result| result.as_ref().map_or_else(Problem::to_json, to_json)).collect();
    Ok(HttpResponse::Ok().json(json!({ "results": results })))
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
    let mut taken = service.rewards(&sound).await.into_iter();
    rewards
        .into_iter()
        .map(|reward| match reward {
            Err(problem) => Err(problem),
            Ok(_) => {
                let result = taken.next().expect("one result for every reward handed over");
                result.map_err(Problem::from)
            }
        })
        .collect()
}

pub(crate) async fn activate(service: Data<Service>, asker: Asker, Body(bytes): Body) -> Result<HttpResponse, Problem> {
    let body: ActivateBody<'_> = parse(&bytes)?;
    let role = asker.role(body.key.as_ref())?;
    let subject = subject(&body.receipt, &body.experiment, &body.visitor)?;
    check_role(role, &subject, Action::Reward)?;
    let outcome = service.activate(subject).await?;
    Ok(HttpResponse::Ok().json(json!({ "outcome": outcome_word(outcome) })))
}

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

pub(crate) fn to_json(rewarding: &Rewarding) -> Value {
    let mut answer = json!({
        "outcome": outcome_word(rewarding.outcome),
        "reward_id": rewarding.reward_id.as_str(),
        "learned": rewarding.unlearned.is_none(),
    });
    if let Some(unlearned) = rewarding.unlearned {
        answer["why"] = json!(match unlearned {
            Unlearned::AfterWindow => "after_window",
            Unlearned::AwaitsActivation => "awaits_activation",
            Unlearned::AlreadyConverted => "already_converted",
            Unlearned::Control => "control",
            Unlearned::VariationTombstoned => "variation_tombstoned",
            Unlearned::EarlierEpoch => "earlier_epoch",
        });
    }
    answer
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
