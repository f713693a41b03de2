//! `POST /v1/rewards`: rewards, amendments and retractions, a line each.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::engine::ledger::Outcome;
use crate::http::body::parse;
use crate::http::gate::Asker;
use crate::http::idempotency::IdempotencyKey;
use crate::http::lines::{Line, Lines, Refusals};
use crate::http::problem::Problem;
use crate::http::reward::{RewardBody, many, of_list};
use crate::service::Service;

/// What can be taken is taken, what cannot is told by its line.
pub(crate) async fn rewards(
    service: Data<Service>,
    asker: Asker,
    idempotent: IdempotencyKey,
    mut lines: Lines,
) -> Result<HttpResponse, Problem> {
    let role = asker.role(None)?;
    let (mut recorded, mut repeated, mut late) = (0_u64, 0_u64, 0_u64);
    let mut refusals = Refusals::default();
    let complete = loop {
        let these = match lines.next().await {
            Ok(these) if these.is_empty() => break true,
            Ok(these) => these,
            Err(flaw) => {
                refusals.add(lines.number(), &flaw);
                break false;
            }
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
    let answer = json!({ "recorded": recorded, "repeated": repeated, "late": late, "complete": complete });
    Ok(HttpResponse::Ok().json(refusals.beside(answer)))
}
