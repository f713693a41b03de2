//! `POST /v1/track`: a tracking event of OpenFeature, or a list of them under `events`.

mod shape;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::key::Role;
use crate::domain::{RewardId, Timestamp, VisitorId};
use crate::http::body::{Text, parse, parse_time, write_json};
use crate::http::error::invalid_id;
use crate::http::gate::{Asker, role_problem};
use crate::http::ofrep::context::{ContextShape, EvaluationContext};
use crate::http::openapi::schema::Id;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem};
use crate::http::reward;
use crate::http::reward::shape::Taken;
use crate::http::track::shape::{AllDone, Answer, Done, Entry, Fate, REFUSED, RefusedIn, Request, TakenIn};
use crate::service::Service;
use crate::service::error::FeedbackError;
use crate::service::track::{Tracked, Tracking};

/// Most events of one list, and most receipts of one event.
const MAX_EVENTS: usize = 100;
const MAX_RECEIPTS: usize = 100;

/// Something that happened on the site, for every decision of one visitor whose experiment has a goal of that name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrackEvent)]
struct TrackBody<'a> {
    /// For pages that set no header: the key, in the outermost object.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    key: Option<Text<'a>>,
    /// The key of a goal.
    #[schema(value_type = String, example = "purchase")]
    name: Option<Text<'a>>,
    /// Whose decisions are meant, where the unit is the visitor.
    #[schema(value_type = Option<Id>)]
    visitor: Option<Text<'a>>,
    /// The same as `visitor`, as OpenFeature calls it.
    #[serde(rename = "targetingKey")]
    #[schema(value_type = Option<Id>)]
    targeting_key: Option<Text<'a>>,
    /// Of decisions that are meant.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    receipts: Option<Vec<Text<'a>>>,
    /// As a reward's.
    #[schema(minimum = -1_099_511_627_776_i64, maximum = 1_099_511_627_776_i64, example = 1)]
    value: Option<f64>,
    /// Must be the goal's.
    #[schema(value_type = Option<String>, pattern = "^[A-Z]{3}$")]
    currency: Option<Text<'a>>,
    /// The site's own id of the event, such as the order's; the goal's key if absent. The same again is a repeat.
    #[schema(value_type = Option<Id>)]
    track_id: Option<Text<'a>>,
    /// The same as `track_id`.
    #[schema(value_type = Option<Id>)]
    reward_id: Option<Text<'a>>,
    /// When it happened, between the decision and now; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    occurred_at: Option<Text<'a>>,
    /// OpenFeature's: its `targetingKey` is the visitor.
    #[schema(value_type = Option<ContextShape>)]
    context: Option<EvaluationContext<'a>>,
    /// OpenFeature's.
    details: Option<Details<'a>>,
    #[schema(ignore)]
    events: Option<Vec<TrackBody<'a>>>,
}

/// Whatever else a site says of its events is for other services.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TrackDetails)]
struct Details<'a> {
    /// The same as `value` beside `details`.
    value: Option<f64>,
    /// The same as `currency` beside `details`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    currency: Option<Text<'a>>,
}

/// What is checked before the service sees it.
struct Checked<'a> {
    name: &'a str,
    visitor: Option<&'a str>,
    receipts: Vec<&'a str>,
    value: Option<f64>,
    currency: Option<&'a str>,
    reward_id: Option<RewardId>,
    occurred_at: Option<Timestamp>,
}

/// Reads a body and checks all of it, for fuzzing.
pub(crate) fn is_read(bytes: &[u8]) -> bool {
    parse::<TrackBody<'_>>(bytes).is_ok_and(|body| match &body.events {
        None => check(&body).is_ok(),
        Some(events) => events.iter().filter(|event| check(event).is_ok()).count() == events.len(),
    })
}

/// Something happened, told as OpenFeature tells it
///
/// It is a reward in every experiment that has a goal of its name and decided for the visitor, or one of the receipts. Sending again is always
/// safe. In a list a problem stands in the place of what is refused.
#[utoipa::path(
    post, path = "/v1/track", tag = "rewards", operation_id = "track",
    request_body(content = Request<'_>, example = json!({
        "name": "purchase", "targetingKey": "v-8f2c", "track_id": "order-991"
    })),
    responses((status = 200, description = "What became of it", body = Answer), TrackProblems),
)]
pub(crate) async fn track(service: &Service, asker: &Asker<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let body: TrackBody<'_> = parse(body)?;
    let role = asker.role(body.key.as_ref())?;
    let Some(list) = &body.events else {
        let checked = check_for(role, &body)?;
        let mut tracked = service.track(&[tracking(&checked)]).await;
        let done = done(checked.name, tracked.pop().expect("one answer for every event handed over"))?;
        write_json(out, &Answer::One(done));
        return Ok(());
    };
    let texts = [&body.name, &body.visitor, &body.targeting_key, &body.currency, &body.track_id, &body.reward_id];
    let about = texts.iter().any(|text| text.is_some()) || body.receipts.is_some() || body.context.is_some();
    if about || body.value.is_some() || body.occurred_at.is_some() || body.details.is_some() {
        let allowed = "alone: each event of a list brings its own name and targetingKey";
        return Err(Problem::field(Kind::FieldRefused, "events", "events beside other fields", allowed));
    }
    if list.is_empty() || list.len() > MAX_EVENTS {
        let given = format!("{} of them", list.len());
        return Err(Problem::field(Kind::FieldRefused, "events", given, format!("1 to {MAX_EVENTS}")));
    }
    write_json(out, &Answer::Many(AllDone { events: many(service, role, list).await }));
    Ok(())
}

/// Takes what can be taken, at the price of one sync; a problem stands in the place of what cannot.
async fn many(service: &Service, role: Role, list: &[TrackBody<'_>]) -> Vec<Entry> {
    let checked: Vec<Result<Checked<'_>, Problem>> = list.iter().map(|body| check_of_list(role, body)).collect();
    let sound: Vec<Tracking<'_>> = checked.iter().flatten().map(tracking).collect();
    let mut tracked = service.track(&sound).await.into_iter();
    checked
        .into_iter()
        .map(|checked| {
            let answer = checked.and_then(|checked| {
                done(checked.name, tracked.next().expect("one answer for every event handed over"))
            });
            answer.map_or_else(|problem| Entry::Refused(problem.to_json()), Entry::Done)
        })
        .collect()
}

fn check_of_list<'a>(role: Role, body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    if body.key.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "key", "a key within a list", "one key, beside `events`"));
    }
    check_for(role, body)
}

/// A page speaks for whoever looks at it, of whom it has receipts.
fn check_for<'a>(role: Role, body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    let checked = check(body)?;
    if checked.visitor.is_some() && role < Role::Write {
        return Err(role_problem(role, Role::Write, "naming a visitor instead of receipts"));
    }
    Ok(checked)
}

fn check<'a>(body: &'a TrackBody<'_>) -> Result<Checked<'a>, Problem> {
    if body.events.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "events", "a list within a list", "one level"));
    }
    let Some(Text(name)) = &body.name else {
        return Err(Problem::field(Kind::Malformed, "name", "nothing", "the key of a goal"));
    };
    let in_context = body.context.as_ref().and_then(|context| context.targeting_key.as_deref());
    let visitor = one_of([
        ("visitor", text(&body.visitor)),
        ("targetingKey", text(&body.targeting_key)),
        ("context.targetingKey", in_context),
    ])?;
    if let Some((field, visitor)) = visitor {
        VisitorId::new(visitor).map_err(invalid_id(field))?;
    }
    if visitor.is_none() && body.receipts.is_none() {
        let allowed = "whose decisions are meant, or receipts of them";
        return Err(Problem::field(Kind::Malformed, "targetingKey", "nothing", allowed));
    }
    let receipts: Vec<&str> = body.receipts.iter().flatten().map(|Text(receipt)| &**receipt).collect();
    if receipts.len() > MAX_RECEIPTS {
        let given = format!("{} of them", receipts.len());
        return Err(Problem::field(Kind::FieldRefused, "receipts", given, format!("at most {MAX_RECEIPTS}")));
    }
    let reward_id = one_of([("track_id", text(&body.track_id)), ("reward_id", text(&body.reward_id))])?;
    let reward_id = reward_id.map(|(field, id)| RewardId::new(id).map_err(invalid_id(field))).transpose()?;
    let details = body.details.as_ref();
    let currency = [("currency", text(&body.currency)), ("details.currency", details.and_then(|d| text(&d.currency)))];
    Ok(Checked {
        name,
        visitor: visitor.map(|(_, visitor)| visitor),
        receipts,
        value: one_of([("value", body.value), ("details.value", details.and_then(|details| details.value))])?
            .map(|(_, value)| value),
        currency: one_of(currency)?.map(|(_, currency)| currency),
        reward_id,
        occurred_at: body.occurred_at.as_ref().map(|Text(at)| parse_time("occurred_at", at)).transpose()?,
    })
}

fn text<'a>(given: &'a Option<Text<'_>>) -> Option<&'a str> {
    given.as_ref().map(|Text(text)| &**text)
}

/// What is said once, or several times alike.
fn one_of<T: PartialEq + std::fmt::Debug, const N: usize>(
    given: [(&'static str, Option<T>); N],
) -> Result<Option<(&'static str, T)>, Problem> {
    let mut known: Option<(&'static str, T)> = None;
    for (field, value) in given {
        let Some(value) = value else { continue };
        match &known {
            Some((other, said)) if *said != value => {
                let allowed = format!("what {other} says, or only one of them");
                return Err(Problem::field(Kind::FieldRefused, field, format!("{value:?}"), allowed));
            }
            Some(_) => {}
            None => known = Some((field, value)),
        }
    }
    Ok(known)
}

fn tracking<'a>(checked: &'a Checked<'_>) -> Tracking<'a> {
    Tracking {
        goal: checked.name,
        visitor: checked.visitor,
        receipts: &checked.receipts,
        value: checked.value,
        currency: checked.currency,
        reward_id: checked.reward_id.as_ref(),
        occurred_at: checked.occurred_at,
    }
}

/// The fate of an event in each experiment. If any of it could not be recorded, the whole is to be sent again: what was recorded
/// is known by its id and counts once.
fn done(name: &str, tracked: Result<Tracked, FeedbackError>) -> Result<Done, Problem> {
    let tracked = tracked?;
    let mut results = Vec::with_capacity(tracked.results.len());
    for reward in tracked.results {
        let experiment = reward.experiment.as_ref().map(ToString::to_string);
        results.push(match reward.result {
            Ok(rewarding) => {
                let Taken { outcome, reward_id, learned, why } = reward::taken(&rewarding);
                Fate::Taken(TakenIn { experiment, outcome, reward_id, learned, why })
            }
            Err(error @ (FeedbackError::Commit(_) | FeedbackError::Unreadable(_))) => {
                let Problem { kind, .. } = Problem::from(error);
                let detail = "not all of it could be recorded; send it again: what is recorded already counts once";
                return Err(Problem::new(kind, detail));
            }
            Err(error @ FeedbackError::Reward(_)) => {
                let problem = Problem::from(error).to_json();
                Fate::Refused(RefusedIn { experiment, outcome: REFUSED, problem })
            }
        });
    }
    let without_goal = tracked.without_goal.iter().map(ToString::to_string).collect();
    Ok(Done { name: name.to_owned(), results, without_goal })
}

problems!(TrackProblems: Malformed, FieldRefused, BodyTooLarge, BodyTooSlow, Overloaded, Unavailable);
