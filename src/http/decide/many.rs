//! Several decisions under one request, which wait for their commits together.

use crate::access::key::Role;
use crate::domain::{ExperimentKey, VariationKey};
use crate::engine::decide::Reason;
use crate::http::body::{Text, write_json};
use crate::http::decide::answer::Common;
use crate::http::decide::{DecideBody, Experiments, answer, check, experiment, of, of_query};
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
    let takes_part = |answer: &Answer| match answer.why {
        Why::Decided(Reason::Policy | Reason::Control | Reason::Sticky) | Why::Overloaded | Why::Unavailable => true,
        Why::Decided(_) => false,
    };
    let mut list = List::begin(out);
    let told = service.decide_all(&queries, |query, answer| {
        if !all || answer.is_ok_and(takes_part) {
            list.push(answer.map_err(of_query(query)), query, role);
        }
    });
    told.await;
    list.end();
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
    let mut last = &body.context.0;
    for (index, (request, exclude)) in requests.iter().zip(&excluded).enumerate() {
        if !request.context.0.is_empty() {
            last = &request.context.0;
        }
        let context = if request.alike { last } else { &request.context.0 };
        let asked = exclude.as_ref().map_err(Clone::clone).and_then(|exclude| Ok((exclude, experiment(request)?)));
        match asked {
            Ok((exclude, experiment)) => {
                let otherwise = otherwise[index].as_deref();
                queries.push(Query { context, ..of(request, experiment, exclude, otherwise) });
            }
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

/// Answers as they are written.
struct List<'o, 'q> {
    out: &'o mut Vec<u8>,
    common: Common<'q>,
    is_empty: bool,
}

impl<'o, 'q> List<'o, 'q> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(br#"{"decisions":["#);
        Self { out, common: Common::default(), is_empty: true }
    }

    fn push(&mut self, result: Result<&Answer, Problem>, query: &Query<'q>, role: Role) {
        match result {
            Ok(answer) => {
                self.next();
                answer::write_among(&mut self.common, answer, query, role, self.out);
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    fn refuse(&mut self, problem: &Problem) {
        self.next();
        write_json(self.out, &problem.to_json());
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
    }

    fn end(self) {
        self.out.extend_from_slice(b"]}");
    }
}
