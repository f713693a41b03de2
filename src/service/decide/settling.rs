//! From a decision to its answer: at once, or once its event is on disk.

use std::sync::Arc;

use crate::domain::ExperimentKey;
use crate::engine::definition::Status;
use crate::engine::error::NoExperiment;
use crate::engine::ledger::Outcome;
use crate::service::Service;
use crate::service::decide::round::Round;
use crate::service::decide::{Answer, Decided, Made, Query, Why};
use crate::service::error::CommitError;

/// Times that a visitor is asked for who comes second to itself again and again.
const ATTEMPTS: usize = 3;

impl Service {
    /// Decides for one experiment.
    ///
    /// # Errors
    /// [`NoExperiment`]; every other obstacle is a reason beside the default variation.
    pub async fn decide(&self, query: &Query<'_>) -> Result<Arc<Answer<'static>>, NoExperiment> {
        self.settle(query, self.decide_now(query)?).await
    }

    /// Decides for several, which wait for their commits together; tells the answers in order.
    pub async fn decide_all<'q>(
        &self,
        queries: &'q [Query<'q>],
        mut tell: impl FnMut(&'q Query<'q>, Result<&Answer<'_>, NoExperiment>),
    ) {
        let (told, waiting) = self.decide_at_once(queries, &mut tell);
        for (query, decided) in queries[told..].iter().zip(waiting) {
            let answer = match decided {
                Ok(decided) => self.settle(query, decided).await,
                Err(error) => Err(error),
            };
            tell(query, answer.as_deref().map_err(|error| *error));
        }
    }

    /// Decides for several, and tells the answers up to the first that waits for its commit: how many, and what was decided from there on.
    fn decide_at_once<'q>(
        &self,
        queries: &'q [Query<'q>],
        tell: &mut impl FnMut(&'q Query<'q>, Result<&Answer<'_>, NoExperiment>),
    ) -> (usize, Vec<Result<Decided, NoExperiment>>) {
        let mut round = Round::of_several(self, queries.len());
        let mut counts = self.counts.deciding();
        let mut waiting = Vec::new();
        let mut tell = |query: &'q Query<'q>, answer: Result<&Answer<'_>, NoExperiment>| {
            if let Some(answer) = answer.ok().filter(|_| !query.explain) {
                counts.decided(answer.why);
            }
            tell(query, answer);
        };
        for query in queries {
            let decided = if query.kept_under().is_some() {
                self.decide_among(query, &mut round)
            } else {
                round.bring(query.context);
                // Told where it is made: an answer is large, and borrows what others have as well.
                match self.decide_knowing(query, &mut round) {
                    Ok(Made { answer, pending: None, .. }) if waiting.is_empty() => {
                        tell(query, Ok(&answer));
                        continue;
                    }
                    made => made.map(Decided::from),
                }
            };
            match decided {
                Ok(Decided { answer, pending: None, .. }) if waiting.is_empty() => {
                    tell(query, Ok(&answer));
                }
                Err(error) if waiting.is_empty() => tell(query, Err(error)),
                decided => waiting.push(decided),
            }
        }
        (queries.len() - waiting.len(), waiting)
    }

    /// The running experiments, in order of their keys: those that may decide for a visitor.
    #[must_use]
    pub fn running(&self) -> Vec<ExperimentKey> {
        let experiments = self.engine.experiments();
        let running = experiments.iter().filter(|experiment| experiment.status() == Status::Running);
        running.map(|experiment| experiment.key().clone()).collect()
    }

    /// An id for a visitor who has none.
    #[must_use]
    pub fn mint_visitor(&self) -> String {
        format!("{:032x}", self.entropy.wide_bits())
    }

    /// Waits for what a decision's answer waits for, and counts the answer.
    pub(crate) async fn settle(
        &self,
        query: &Query<'_>,
        decided: Decided,
    ) -> Result<Arc<Answer<'static>>, NoExperiment> {
        let answer = match decided.pending {
            None => decided.answer,
            Some(_) => Box::pin(self.awaited(query, decided)).await?,
        };
        if !query.explain {
            self.counts.decided(answer.why);
        }
        Ok(answer)
    }

    /// Asks again for a visitor that came second to itself.
    async fn awaited(&self, query: &Query<'_>, mut decided: Decided) -> Result<Arc<Answer<'static>>, NoExperiment> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Decided { answer, pending, assigns } = decided;
            let Some(pending) = pending else { return Ok(answer) };
            let error = match pending.await {
                Ok(judgement) if !assigns || judgement.outcome == Outcome::Recorded => return Ok(answer),
                // Another request of the visitor was first: its assignment is there now.
                Ok(_) if attempt < ATTEMPTS => None,
                Ok(_) => Some(CommitError::Overloaded),
                Err(error) => Some(error),
            };
            // What was not recorded must not be repeated as if it were.
            if let Some(decision_id) = query.decision_id {
                self.recent.forget(query, decision_id, &answer);
            }
            if let Some(error) = error {
                return Ok(Arc::new(fallen_back(&answer, query, &error)));
            }
            decided = self.decide_now(query)?;
        }
    }
}

/// What a site gets when its exposure cannot be recorded: the default, or the first variation it did not exclude.
pub(super) fn fallen_back<'a>(answer: &Answer<'a>, query: &Query<'_>, error: &CommitError) -> Answer<'a> {
    let variations = &answer.active.settings.definition.variations;
    let variation = variations.iter().position(|v| !query.exclude.contains(&v.key)).unwrap_or(0);
    Answer {
        active: answer.active.clone(),
        variation,
        why: match error {
            CommitError::Overloaded => Why::Overloaded,
            CommitError::Unavailable(_) => Why::Unavailable,
        },
        minted: answer.minted.clone(),
        decision_id: answer.decision_id.clone(),
        receipt: None,
        control: false,
        holdout: false,
        propensity: 1.0,
        expires: None,
        segment: None,
        receipt_refused: None,
        basis: None,
        known: None,
    }
}
