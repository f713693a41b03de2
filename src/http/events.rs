//! `GET /v1/events`: what happened, a line each, for the site's own analysis. Some blocks at a time are read when the last ones are
//! sent: whoever reads slowly holds neither memory nor a thread.

mod shape;

use std::sync::Arc;

use actix_web::web::{Bytes, Data, block};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;

use crate::domain::{Slot, VisitorToken};
use crate::engine::Engine;
use crate::engine::event::{DecisionRecord, Event};
use crate::engine::experiment::Active;
use crate::engine::ledger::Position;
use crate::http::body::rfc3339;
use crate::http::events::shape::Line;
use crate::http::problem::document::problems;
use crate::http::problem::{Kind, Problem, quoted};
use crate::service::Service;
use crate::service::events::{Happened, Named, Told};

/// What happened, line by line
///
/// A line is a JSON object (NDJSON). Events come in the order in which they count, and after those of each block of the journal a
/// `cursor`, whose `after` is asked for to go on. The answer ends where the journal does: ask again for what comes later. Where blocks
/// that were asked for are gone, a `gap` stands in their place.
#[utoipa::path(
    get, path = "/v1/events", tag = "operations", operation_id = "getEvents",
    params(("after" = Option<u64>, Query, nullable = false, example = 1042,
        description = "The block to go on after: that of the last cursor. From the beginning without it.")),
    responses(
        (status = 200, description = "The lines", body = Line<'_>, content_type = "application/x-ndjson"),
        EventsProblems
    ),
)]
pub(crate) async fn events(service: Data<Service>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    // Where the journal ends now, so that the answer ends on a server that is never quiet.
    let through = service.journal_head();
    let after = after(request.query_string(), through)?;
    let service = service.into_inner();
    let parts = stream::try_unfold(after, move |after| next(Arc::clone(&service), after, through));
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(parts))
}

problems!(EventsProblems: FieldRefused);

fn after(query: &str, head: u64) -> Result<u64, Problem> {
    let mut after = 0;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(text) = pair.strip_prefix("after=") else {
            return Err(Problem::field(Kind::FieldRefused, "query", quoted(pair), "after=BLOCK, and nothing else"));
        };
        let block = text.parse().ok().filter(|block| *block <= head);
        after = block.ok_or_else(|| {
            let allowed = format!("a whole number from 0 to {head}, the newest block of this server's journal");
            Problem::field(Kind::FieldRefused, "after", quoted(text), allowed)
        })?;
    }
    Ok(after)
}

/// The lines of some blocks after one, and the last of these; `None` at the end.
async fn next(service: Arc<Service>, after: u64, through: u64) -> std::io::Result<Option<(Bytes, u64)>> {
    if after >= through {
        return Ok(None);
    }
    let read = move || {
        let mut text = Vec::new();
        let reached = service.events(after, through, &mut |told| write(told, service.engine(), &mut text));
        reached.map(|reached| (Bytes::from(text), reached))
    };
    let read = block(read).await.map_err(std::io::Error::other)?;
    // The connection breaks off: the status is out, and an end like any other would say that this was all.
    read.map(Some).map_err(|error| {
        tracing::warn!(%error, after, "a stream of events broke off");
        std::io::Error::other(error)
    })
}

fn write(told: Told<'_>, engine: &Engine, text: &mut Vec<u8>) {
    let line = match told {
        Told::Gap { after, next } => {
            Some(Line { event: "gap", after: Some(after), next: Some(next), ..Line::default() })
        }
        Told::Through(block) => Some(Line { event: "cursor", after: Some(block), ..Line::default() }),
        Told::Event(happened) => line(happened, engine),
    };
    if let Some(line) = line {
        serde_json::to_writer(&mut *text, &line).expect("a line is made of texts, numbers and lists");
        text.push(b'\n');
    }
}

/// The line of an event; `None` of one that tells nothing of visitors: a definition, an allocation, a profile.
fn line<'a>(happened: &'a Happened, engine: &Engine) -> Option<Line<'a>> {
    let Position { block, index } = happened.position;
    let outcome = Some(happened.outcome.word());
    let line = match &happened.event {
        Event::Exposed(exposed) => Line {
            event: "exposure",
            at: Some(rfc3339(exposed.record.decided_at())),
            ..decided(&exposed.record, happened, None, engine)
        },
        Event::Assigned(assigned) => Line {
            event: "assignment",
            at: Some(rfc3339(assigned.record.decided_at())),
            exposed: Some(!assigned.deferred),
            outcome,
            ..decided(&assigned.record, happened, Some(assigned.visitor), engine)
        },
        Event::Activated(activated) => Line {
            event: "activation",
            at: Some(rfc3339(activated.at)),
            outcome,
            ..came_of(&activated.record, None, engine)
        },
        Event::Rewarded(rewarded) => Line {
            event: "reward",
            at: Some(rfc3339(rewarded.arrived_at)),
            value: Some(rewarded.value),
            reward_id: Some(rewarded.reward_id.as_str()),
            occurred_at: rewarded.occurred_at.map(rfc3339),
            outcome,
            ..came_of(&rewarded.record, Some(rewarded.goal), engine)
        },
        Event::Amended(amended) => Line {
            event: "amendment",
            at: Some(rfc3339(amended.arrived_at)),
            value: Some(amended.value),
            reward_id: Some(amended.reward_id.as_str()),
            outcome,
            ..came_of(&amended.record, Some(amended.goal), engine)
        },
        Event::Retracted(retracted) => Line {
            event: "retraction",
            at: Some(rfc3339(retracted.arrived_at)),
            reward_id: Some(retracted.reward_id.as_str()),
            outcome,
            ..came_of(&retracted.record, Some(retracted.goal), engine)
        },
        Event::Aliased(aliased) => Line {
            event: "alias",
            at: Some(rfc3339(aliased.at)),
            anonymous_token: Some(token(aliased.anonymous)),
            visitor_token: Some(Some(token(aliased.visitor))),
            ..Line::default()
        },
        Event::VisitorErased(erased) => Line {
            event: "erasure",
            at: Some(rfc3339(erased.at)),
            visitor_tokens: Some(erased.visitors.iter().copied().map(token).collect()),
            ..Line::default()
        },
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::ProfileSaved(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => return None,
    };
    Some(Line { id: Some(format!("{block}:{index}")), ..line })
}

/// Of an event that makes a decision. `visitor`: what the event itself says of it.
fn decided<'a>(
    record: &'a DecisionRecord,
    happened: &Happened,
    visitor: Option<VisitorToken>,
    engine: &Engine,
) -> Line<'a> {
    let named = happened.visitor.as_ref();
    Line {
        visitor: Some(named.map(|Named { id, .. }| id.clone())),
        visitor_token: Some(visitor.or(named.map(|named| named.token)).map(token)),
        ..about(record, None, engine)
    }
}

/// Of an event that comes after its decision.
fn came_of<'a>(record: &'a DecisionRecord, goal: Option<Slot>, engine: &Engine) -> Line<'a> {
    Line { decided_at: Some(rfc3339(record.decided_at())), ..about(record, goal, engine) }
}

fn about<'a>(record: &'a DecisionRecord, goal: Option<Slot>, engine: &Engine) -> Line<'a> {
    let experiment = engine.experiment(record.experiment.as_str()).ok();
    let active = experiment.as_ref().map(|experiment| experiment.active());
    let goal_key = |active: &Active, goal| active.goal_key(goal).map(ToString::to_string);
    let variation_key =
        |active: &Active| active.variation_keys().get(record.variation.index()).map(ToString::to_string);
    Line {
        decision_id: Some(record.decision.to_string()),
        experiment: Some(record.experiment.as_str()),
        definition: Some(record.definition),
        epoch: Some(record.epoch),
        segment: Some(record.segment.as_str()),
        variation: Some(active.as_ref().and_then(|active| variation_key(active))),
        propensity: Some(record.propensity),
        control: Some(record.control),
        goal: goal.map(|goal| active.as_ref().and_then(|active| goal_key(active, goal))),
        ..Line::default()
    }
}

fn token(token: VisitorToken) -> String {
    format!("{:032x}", token.0)
}
