//! Several decisions under one request, which wait for their commits together.

use std::sync::Arc;

use crate::access::key::Role;
use crate::domain::{ExperimentKey, VariationKey};
use crate::engine::decide::Reason;
use crate::engine::error::NoExperiment;
use crate::http::body::{Text, write_json};
use crate::http::decide::{DecideBody, Experiments, answer, check, of, of_query, query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;
use crate::service::decide::{Answer, Query, Why};

/// Most requests of one batch, and most experiments of one request.
pub(super) const MAX_BATCH: usize = 1_000;

/// One visitor in several experiments, or in all that take it.
pub(super) async fn several(
    service: &Service,
    role: Role,
    body: &DecideBody<'_>,
    experiments: &Experiments<'_>,
    otherwise: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    const ALONE: &str =
        "alone: a list of experiments, or \"all\", takes the place of one experiment and brings no receipt";
    if body.experiment.is_some() || body.receipt.is_some() {
        let given = "experiments beside experiment or receipt";
        return Err(Problem::field(Kind::FieldRefused, "experiments", given, ALONE));
    }
    let exclude = check(body, role)?;
    // Asked for only where it is meant: it looks at every experiment.
    let running = if matches!(experiments, Experiments::All) { service.running() } else { Vec::new() };
    let keys: Vec<&str> = match experiments {
        Experiments::All => running.iter().map(ExperimentKey::as_str).collect(),
        Experiments::Listed(list) => list.iter().map(|Text(key)| &**key).collect(),
    };
    let all = matches!(experiments, Experiments::All);
    if keys.len() > MAX_BATCH || keys.is_empty() && !all {
        let given = format!("{} of them", keys.len());
        return Err(Problem::field(Kind::FieldRefused, "experiments", given, format!("1 to {MAX_BATCH}")));
    }
    // The same one for all of them.
    let minted = (body.visitor.is_none() && body.consent != Some(false)).then(|| service.mint_visitor());
    let shared = of(body, "", &exclude, otherwise);
    let visitor = shared.visitor.or(minted.as_deref());
    let shared = Query { visitor, minted: minted.is_some(), ..shared };
    let queries: Vec<Query<'_>> = keys.iter().map(|experiment| Query { experiment, ..shared.clone() }).collect();
    let answers = service.decide_all(&queries).await;
    let takes_part = |answer: &Result<Arc<Answer>, NoExperiment>| match answer {
        Ok(answer) => match answer.why {
            Why::Decided(Reason::Policy | Reason::Control | Reason::Sticky) | Why::Overloaded | Why::Unavailable => {
                true
            }
            Why::Decided(_) => false,
        },
        Err(_) => false,
    };
    let wanted = answers.into_iter().zip(&queries).filter(|(answer, _)| !all || takes_part(answer));
    write_all(wanted.map(|(answer, query)| answer.map(|answer| (answer, query)).map_err(of_query(query))), role, out);
    Ok(())
}

/// Requests that have nothing to do with each other.
pub(super) async fn batch(
    service: &Service,
    role: Role,
    body: &DecideBody<'_>,
    requests: &[DecideBody<'_>],
    idempotent: &IdempotencyKey,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let named =
        body.experiment.is_some() || body.visitor.is_some() || body.receipt.is_some() || body.decision_id.is_some();
    let set = body.defer
        || body.explain
        || body.consent.is_some()
        || body.experiments.is_some()
        || !body.exclude.is_empty()
        || !body.context.0.is_empty();
    if named || set {
        let allowed = "alone: each request of a batch brings its own experiment, visitor and context";
        return Err(Problem::field(Kind::FieldRefused, "requests", "requests beside other fields", allowed));
    }
    if requests.is_empty() || requests.len() > MAX_BATCH {
        let given = format!("{} of them", requests.len());
        return Err(Problem::field(Kind::FieldRefused, "requests", given, format!("1 to {MAX_BATCH}")));
    }
    let otherwise: Vec<Option<String>> = (0..requests.len()).map(|index| idempotent.at(index)).collect();
    let excluded: Vec<Result<Vec<VariationKey>, Problem>> =
        requests.iter().map(|request| check_of_batch(request, role)).collect();
    let (mut queries, mut flaws) = (Vec::with_capacity(requests.len()), Vec::new());
    for (index, (request, exclude)) in requests.iter().zip(&excluded).enumerate() {
        match exclude
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|exclude| query(request, exclude, otherwise[index].as_deref()))
        {
            Ok(query) => queries.push(query),
            Err(flaw) => flaws.push((index, flaw)),
        }
    }
    let mut answers = service.decide_all(&queries).await.into_iter().zip(&queries);
    let mut flaws = flaws.into_iter().peekable();
    let results = (0..requests.len()).map(|index| match flaws.next_if(|(at, _)| *at == index) {
        Some((_, flaw)) => Err(flaw),
        None => {
            let (answer, query) = answers.next().expect("one answer for every query");
            answer.map(|answer| (answer, query)).map_err(of_query(query))
        }
    });
    write_all(results, role, out);
    Ok(())
}

fn check_of_batch(request: &DecideBody<'_>, role: Role) -> Result<Vec<VariationKey>, Problem> {
    if request.key.is_some() {
        return Err(Problem::field(Kind::FieldRefused, "key", "a key within a batch", "one key, beside `requests`"));
    }
    if request.requests.is_some() || request.experiments.is_some() {
        let field = if request.requests.is_some() { "requests" } else { "experiments" };
        return Err(Problem::field(Kind::FieldRefused, field, "a batch within a batch", "one level"));
    }
    check(request, role)
}

fn write_all<'a>(
    results: impl Iterator<Item = Result<(Arc<Answer>, &'a Query<'a>), Problem>>,
    role: Role,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#"{"decisions":["#);
    for (index, result) in results.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            Ok((answer, query)) => answer::write(&answer, query, role, out),
            Err(problem) => write_json(out, &problem.to_json()),
        }
    }
    out.extend_from_slice(b"]}");
}
