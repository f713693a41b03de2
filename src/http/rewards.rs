//! `POST /v1/rewards`: rewards, amendments and retractions, a line each.

use std::ops::ControlFlow;

use actix_web::HttpResponse;
use actix_web::web::{Data, ReqData};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::engine::ledger::Outcome;
use crate::http::body::parse;
use crate::http::idempotency::IdempotencyKey;
use crate::http::lines::{Line, Lines, Refusal, Refusals};
use crate::http::problem::Problem;
use crate::http::problem::document::problems;
use crate::http::reward::{RewardBody, many, of_list};
use crate::service::Service;

/// What became of all lines, on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = RewardLines)]
struct Taken {
    recorded: u64,
    repeated: u64,
    late: u64,
    /// `false` where reading stopped before the end; the last refusal says why.
    complete: bool,
    refused: u64,
    /// The first 1,000 of them.
    refusals: Vec<Refusal>,
}

/// What many visitors did, line by line
///
/// A reward, amendment or retraction a line, as `POST /v1/reward` takes one (NDJSON). What can be taken is taken, what cannot is told by
/// its line. At most 65,536 bytes a line and 10,000,000 lines; blank ones are passed over.
#[utoipa::path(
    post, path = "/v1/rewards", tag = "rewards", operation_id = "rewardLines",
    params(IdempotencyKey),
    request_body(
        content = String, content_type = "application/x-ndjson",
        example = json!("{\"experiment\": \"hero\", \"visitor\": \"v-8f2c\", \"reward_id\": \"order-991\"}\n"),
    ),
    responses((status = 200, description = "What became of the lines", body = Taken), LinesProblems),
)]
pub(crate) async fn rewards(
    service: Data<Service>,
    caller: ReqData<Caller>,
    idempotent: IdempotencyKey,
    mut lines: Lines,
) -> Result<HttpResponse, Problem> {
    let role = caller.role();
    let (mut recorded, mut repeated, mut late) = (0_u64, 0_u64, 0_u64);
    let mut refusals = Refusals::default();
    let complete = loop {
        let these = match lines.next_or_refuse(&mut refusals).await {
            ControlFlow::Continue(these) => these,
            ControlFlow::Break(complete) => break complete,
        };
        let bodies: Vec<Result<RewardBody<'_>, Problem>> = these.iter().map(|line| parse(&line.bytes)).collect();
        let number = |line: &Line| usize::try_from(line.number).ok().and_then(|number| idempotent.at(number));
        let list: Vec<_> = bodies
            .iter()
            .zip(&these)
            .map(|(body, line)| (body.as_ref().map_err(Clone::clone).and_then(of_list), number(line)))
            .collect();
        for (result, line) in many(&service, role, &list).await.into_iter().zip(&these) {
            match result {
                Ok(rewarding) => match rewarding.outcome {
                    Outcome::Recorded => recorded += 1,
                    Outcome::Repeated => repeated += 1,
                    // The others are never answered as outcomes: the service makes errors of them.
                    Outcome::Late | Outcome::Refused | Outcome::Unknown | Outcome::Erased => late += 1,
                },
                Err(problem) => refusals.add(line.number, &problem),
            }
        }
    };
    let Refusals { count: refused, told: refusals } = refusals;
    Ok(HttpResponse::Ok().json(Taken { recorded, repeated, late, complete, refused, refusals }))
}

problems!(LinesProblems: FieldRefused);
