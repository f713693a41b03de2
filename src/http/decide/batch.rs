//! Many requests under one, and what stands beside them for all.

use crate::access::key::Role;
use crate::domain::{Context, VariationKey};
use crate::http::body::Text;
use crate::http::decide::many::{List, MAX_BATCH};
use crate::http::decide::{DecideBody, check, experiment, of, of_query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::{Kind, Problem};
use crate::service::Service;
use crate::service::decide::Query;

/// Answers requests in their order, a problem in the place of what is one.
pub(super) async fn batch(
    service: &Service,
    role: Role,
    shared: &DecideBody<'_>,
    requests: &[DecideBody<'_>],
    idempotent: &IdempotencyKey,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    check_shared(shared, requests.len(), role)?;
    let otherwise: Vec<Option<String>> = (0..requests.len()).map(|index| idempotent.at(index)).collect();
    let excluded: Vec<Result<Vec<VariationKey>, Problem>> =
        requests.iter().map(|request| check_of_batch(request, role)).collect();
    let contexts = Contexts::of(shared, requests);
    let (mut queries, mut flaws) = (Vec::with_capacity(requests.len()), Vec::new());
    for (index, (request, exclude)) in requests.iter().zip(&excluded).enumerate() {
        let asked = exclude.as_ref().map_err(Clone::clone).and_then(|exclude| {
            let experiment = experiment(if request.experiment.is_some() { request } else { shared })?;
            let visitor = request.visitor.as_ref().or(shared.visitor.as_ref());
            Ok(Query {
                visitor: visitor.map(|Text(visitor)| &**visitor),
                context: contexts.at(index)?,
                consent: request.consent.or(shared.consent).unwrap_or(true),
                ..of(request, experiment, exclude, otherwise[index].as_deref())
            })
        });
        match asked {
            Ok(query) => queries.push(query),
            Err(flaw) => flaws.push((index, flaw)),
        }
    }
    let mut list = List::begin(out);
    let mut flaws = flaws.into_iter().peekable();
    let mut index = 0;
    // Problems of requests stand among the answers, each in its place.
    let mut flawed = |list: &mut List<'_, '_>| {
        while let Some((_, flaw)) = flaws.next_if(|(at, _)| *at == index) {
            list.refuse(&flaw);
            index += 1;
        }
        index += 1;
    };
    let told = service.decide_all(&queries, |query, answer| {
        flawed(&mut list);
        list.push(answer.map_err(of_query(query)), query, role);
    });
    told.await;
    flawed(&mut list);
    list.end();
    Ok(())
}

/// Checks what stands beside requests.
fn check_shared(shared: &DecideBody<'_>, requests: usize, role: Role) -> Result<(), Problem> {
    let of_one = shared.receipt.is_some()
        || shared.decision_id.is_some()
        || shared.defer
        || shared.explain
        || shared.experiments.is_some()
        || !shared.exclude.is_empty();
    if of_one {
        let allowed = "beside requests no more than what all share: experiment, visitor, context, consent";
        return Err(Problem::field(Kind::FieldRefused, "requests", "requests beside other fields", allowed));
    }
    if requests == 0 || requests > MAX_BATCH {
        let given = format!("{requests} of them");
        return Err(Problem::field(Kind::FieldRefused, "requests", given, format!("1 to {MAX_BATCH}")));
    }
    check(shared, role).map(drop)
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

/// The contexts of a batch: each request's own over the one that all share.
struct Contexts<'b> {
    shared: &'b Context<'b>,
    /// Where those of requests stand that bring one of their own, or are alike one that does.
    places: Vec<Option<usize>>,
    /// Over the shared one.
    own: Vec<Own<'b>>,
}

enum Own<'b> {
    Alone(&'b Context<'b>),
    Over(Context<'b>),
}

impl<'b> Contexts<'b> {
    fn of(shared: &'b DecideBody<'_>, requests: &'b [DecideBody<'_>]) -> Self {
        let shared = &shared.context.0;
        let mut own = Vec::new();
        let place = |request: &'b DecideBody<'_>| {
            let context = &request.context.0;
            if !context.is_empty() {
                own.push(if shared.is_empty() {
                    Own::Alone(context)
                } else {
                    Own::Over(context.over(shared, |_| true))
                });
            }
            (request.alike || !context.is_empty()).then(|| own.len() - 1)
        };
        Self { shared, places: requests.iter().map(place).collect(), own }
    }

    fn at(&self, index: usize) -> Result<&Context<'b>, Problem> {
        let Some(place) = self.places[index] else { return Ok(self.shared) };
        let context = match &self.own[place] {
            Own::Alone(context) => context,
            Own::Over(context) => context,
        };
        if context.len() > Context::MAX_ATTRIBUTES {
            let given = format!("{} attributes, with those beside requests", context.len());
            let allowed = format!("at most {}", Context::MAX_ATTRIBUTES);
            return Err(Problem::field(Kind::FieldRefused, "context", given, allowed));
        }
        Ok(context)
    }
}
