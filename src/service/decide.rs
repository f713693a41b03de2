//! Deciding: the engine's answer, its event enqueued, its receipt made. Never fails but for an experiment that is not
//! there: whatever else goes wrong, the site gets its default and a reason.

use std::sync::Arc;

use crate::domain::{Context, SegmentKey, Timestamp, VariationKey};
use crate::engine::decide::{Basis, Decision, Explain, Reason, Request, RequestId};
use crate::engine::definition::Durability;
use crate::engine::error::NoExperiment;
use crate::engine::experiment::Active;
use crate::engine::receipt::ReceiptError;
use crate::service::Service;
use crate::service::committer::Pending;
use crate::service::error::CommitError;

/// What a site asks.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The experiment's key.
    pub experiment: &'a str,
    /// The visitor; minted if absent.
    pub visitor: Option<&'a str>,
    /// Attributes.
    pub context: &'a Context<'a>,
    /// Variations not to be shown.
    pub exclude: &'a [VariationKey],
    /// An exposure only once it is activated.
    pub defer: bool,
    /// The receipt of an earlier decision to stay with.
    pub receipt: Option<&'a str>,
    /// The caller's own id; minted if absent.
    pub decision_id: Option<&'a str>,
    /// Say how it came about, and record nothing.
    pub explain: bool,
}

/// Why this variation, the service's own troubles included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The engine's reason.
    Decided(Reason),
    /// Too much is waiting to be recorded: the default, nothing counted.
    Overloaded,
    /// Nothing can be recorded now: the default, nothing counted.
    Unavailable,
}

/// What a site is told.
#[derive(Debug)]
pub struct Answer {
    /// What was in force.
    pub active: Arc<Active>,
    /// Index of the variation in the definition.
    pub variation: usize,
    /// Why.
    pub why: Why,
    /// The visitor decided for.
    pub visitor: String,
    /// The decision's id, as the caller gave it or as minted.
    pub decision_id: String,
    /// To bring back with a reward; `None` where nothing is recorded.
    pub receipt: Option<String>,
    /// Whether the visitor is in the control group.
    pub control: bool,
    /// Probability with which the variation was shown.
    pub propensity: f64,
    /// After this no reward is learned; `None` without a receipt.
    pub expires: Option<Timestamp>,
    /// The visitor's segment; `None` where nothing is recorded.
    pub segment: Option<SegmentKey>,
    /// Why the given receipt was not followed.
    pub receipt_refused: Option<ReceiptError>,
    /// The numbers behind the draw, where they were asked for.
    pub basis: Option<Basis>,
}

/// An answer, and its exposure's commit where the definition wants it awaited.
pub struct Decided {
    /// The answer.
    pub answer: Arc<Answer>,
    pending: Option<Pending>,
}

impl Service {
    /// Decides for one experiment.
    ///
    /// # Errors
    /// [`NoExperiment`]; every other obstacle is a reason beside the default variation.
    pub async fn decide(&self, query: &Query<'_>) -> Result<Arc<Answer>, NoExperiment> {
        let Decided { answer, pending } = self.decide_now(query)?;
        match pending {
            None => Ok(answer),
            Some(pending) => match pending.done().await {
                Ok(_) => Ok(answer),
                Err(error) => {
                    // What was not recorded must not be repeated as if it were.
                    if let Some(decision_id) = query.decision_id {
                        self.recent.forget(query.experiment, decision_id);
                    }
                    Ok(Arc::new(fallen_back(&answer, query, &error)))
                }
            },
        }
    }

    /// Decides without waiting for any commit.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_now(&self, query: &Query<'_>) -> Result<Decided, NoExperiment> {
        let now = self.clock.now();
        let Some(decision_id) = query.decision_id.filter(|_| !query.explain) else {
            return self.decide_at(query, now);
        };
        // An answer of the last minute must not outlive its experiment.
        self.engine.experiment(query.experiment)?;
        let mut pending = None;
        let answer = self.recent.get_or_decide(query.experiment, decision_id, now, || {
            let decided = self.decide_at(query, now)?;
            pending = decided.pending;
            let keep = decided.answer.receipt.is_some();
            Ok((decided.answer, keep))
        })?;
        Ok(Decided { answer, pending })
    }

    fn decide_at(&self, query: &Query<'_>, now: Timestamp) -> Result<Decided, NoExperiment> {
        let visitor = query.visitor.map_or_else(|| format!("{:032x}", self.entropy.wide_bits()), str::to_owned);
        let opened = query.receipt.map(|text| self.engine.sealer().open(text));
        let (receipt, mut receipt_refused) = match opened {
            None => (None, None),
            Some(Ok(receipt)) => (Some(receipt), None),
            Some(Err(error)) => (None, Some(error)),
        };
        let receipt = receipt.filter(|receipt| {
            let valid = self.receipt_expires(receipt.record.decided_at(), query.experiment).is_none_or(|at| now <= at);
            if !valid {
                receipt_refused = Some(ReceiptError::Expired);
            }
            valid
        });
        let request = Request {
            visitor: &visitor,
            visitor_given: query.visitor.is_some(),
            context: query.context,
            exclude: query.exclude,
            defer: query.defer,
            receipt: receipt.as_ref(),
            id: query.decision_id.map_or_else(|| RequestId::Minted(self.entropy.wide_bits()), RequestId::Given),
            now,
        };
        let explain = if query.explain { Explain::Yes } else { Explain::No };
        let decision = self.engine.decide(query.experiment, &request, explain)?;
        let answer = self.answer(query, &decision, visitor, now, receipt_refused);
        if query.explain {
            return Ok(Decided { answer: Arc::new(answer), pending: None });
        }
        let sync = decision.settings().definition.durability == Durability::Sync;
        let offered = match decision.into_event() {
            None => Ok(None),
            Some(_) if self.health.failing() => Err(CommitError::Unavailable(String::new())),
            Some(event) if sync => self.queue.submit(event).map(Some),
            Some(event) => self.queue.offer(event).map(|()| None),
        };
        match offered {
            Ok(pending) => Ok(Decided { answer: Arc::new(answer), pending }),
            Err(error) => Ok(Decided { answer: Arc::new(fallen_back(&answer, query, &error)), pending: None }),
        }
    }

    fn answer(
        &self,
        query: &Query<'_>,
        decision: &Decision,
        visitor: String,
        now: Timestamp,
        receipt_refused: Option<ReceiptError>,
    ) -> Answer {
        let settings = decision.settings();
        let record = decision.record.as_ref();
        let sticky = decision.reason == Reason::Sticky;
        let receipt = match record {
            None => None,
            Some(_) if query.explain => None,
            Some(_) if sticky => query.receipt.map(str::to_owned),
            Some(record) => Some(self.engine.seal(record, query.defer, settings, &visitor)),
        };
        let decision_id = match (query.decision_id, record) {
            (Some(given), _) if !sticky => given.to_owned(),
            (_, Some(record)) => record.decision.to_string(),
            (_, None) => crate::domain::DecisionId::new(now, self.entropy.wide_bits()).to_string(),
        };
        Answer {
            variation: decision.variation,
            why: Why::Decided(decision.reason),
            visitor,
            decision_id,
            control: decision.control(),
            propensity: decision.propensity(),
            expires: receipt.as_ref().and(record).map(|record| record.decided_at() + settings.longest_window()),
            segment: record.map(|record| record.segment.clone()),
            receipt,
            receipt_refused,
            basis: decision.basis.clone(),
            active: Arc::clone(&decision.active),
        }
    }

    fn receipt_expires(&self, decided_at: Timestamp, experiment: &str) -> Option<Timestamp> {
        let experiment = self.engine.experiment(experiment).ok()?;
        Some(decided_at + experiment.active().settings.longest_window())
    }
}

/// What a site gets when its exposure cannot be recorded: the default, or the first variation it did not exclude.
fn fallen_back(answer: &Answer, query: &Query<'_>, error: &CommitError) -> Answer {
    let variations = &answer.active.settings.definition.variations;
    let variation = variations.iter().position(|v| !query.exclude.contains(&v.key)).unwrap_or(0);
    Answer {
        active: Arc::clone(&answer.active),
        variation,
        why: match error {
            CommitError::Overloaded => Why::Overloaded,
            CommitError::Unavailable(_) => Why::Unavailable,
        },
        visitor: answer.visitor.clone(),
        decision_id: answer.decision_id.clone(),
        receipt: None,
        control: false,
        propensity: 1.0,
        expires: None,
        segment: None,
        receipt_refused: None,
        basis: None,
    }
}
