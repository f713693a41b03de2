//! Several decisions under one request, which wait for their commits together.

use crate::access::key::Role;
use crate::domain::ExperimentKey;
use crate::engine::decide::Reason;
use crate::http::body::{Text, write_json};
use crate::http::decide::answer::Common;
use crate::http::decide::{DecideBody, Experiments, answer, check, of, of_query};
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
    let takes_part = |answer: &Answer<'_>| match answer.why {
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

/// Answers as they are written.
pub(super) struct List<'o, 'q> {
    out: &'o mut Vec<u8>,
    common: Common<'q>,
    is_empty: bool,
}

impl<'o, 'q> List<'o, 'q> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(br#"{"decisions":["#);
        Self { out, common: Common::default(), is_empty: true }
    }

    pub(super) fn push(&mut self, result: Result<&Answer<'_>, Problem>, query: &Query<'q>, role: Role) {
        match result {
            Ok(answer) => {
                self.next();
                answer::write_among(&mut self.common, answer, query, role, self.out);
            }
            Err(problem) => self.refuse(&problem),
        }
    }

    pub(super) fn refuse(&mut self, problem: &Problem) {
        self.next();
        write_json(self.out, &problem.to_json());
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"]}");
    }
}
