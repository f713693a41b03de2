//! Deciding: the engine's answer, its event enqueued, its receipt made. Never fails but for an experiment that is not
//! there: whatever else goes wrong, the site gets its default and a reason.

mod answer;
mod knowing;
mod round;
mod settling;

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::{Context, DecisionId, ExperimentKey, Timestamp, VariationKey, VisitorId, VisitorToken};
use crate::engine::decide::{Decision, Explain, Reason, Request, RequestId};
use crate::engine::definition::{Durability, Unit};
use crate::engine::error::NoExperiment;
use crate::engine::event::DecisionRecord;
use crate::engine::experiment::Active;
use crate::engine::receipt::{Receipt, ReceiptError, Seals};
use crate::engine::redraw::given_seed;
use crate::service::Service;
use crate::service::committer::{Beside, Pending, SharedPending};
pub use crate::service::decide::answer::{Answer, DecisionName, Why};
use crate::service::decide::round::{Found, Round, Way};
use crate::service::decide::settling::fallen_back;
use crate::service::error::CommitError;
use crate::service::visitors::Held;
use crate::store::StoreError;
use crate::store::record::{About, EncodedContext};

/// What a site asks.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// The experiment's key.
    pub experiment: &'a str,
    /// The visitor; minted if absent.
    pub visitor: Option<&'a str>,
    /// Whether the visitor was minted for this very request, and so does not tell it from a repeat.
    pub minted: bool,
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
    /// Whether something about the visitor may be stored. Without it the id and the receipt are not looked at: each decision
    /// stands alone, and where visitors stay with a variation, the default is shown.
    pub consent: bool,
}

impl<'a> Query<'a> {
    /// Asks for what most do: nothing is excluded, deferred, brought back or explained, and the visitor consents.
    #[must_use]
    pub const fn new(experiment: &'a str, visitor: Option<&'a str>, context: &'a Context<'a>) -> Self {
        Self {
            experiment,
            visitor,
            minted: false,
            context,
            exclude: &[],
            defer: false,
            receipt: None,
            decision_id: None,
            explain: false,
            consent: true,
        }
    }

    /// Whether the visitor has an id that comes again.
    pub(super) const fn brings_visitor(&self) -> bool {
        self.visitor.is_some() && !self.minted
    }

    /// The id under which its answer is kept for a repeat, if it has one.
    fn kept_under(&self) -> Option<&'a str> {
        self.decision_id.filter(|_| !self.explain)
    }
}

/// An answer, and its exposure's commit where the definition wants it awaited: by everybody who is given the answer.
#[derive(Clone)]
pub struct Decided {
    /// The answer.
    pub answer: Arc<Answer<'static>>,
    pending: Option<SharedPending>,
    /// Whether the answer holds only if no other request of the visitor was first.
    assigns: bool,
}

/// The same as it is made, for whoever asked.
struct Made<'a> {
    answer: Answer<'a>,
    pending: Option<SharedPending>,
    assigns: bool,
}

impl<'a> Made<'a> {
    const fn at_once(answer: Answer<'a>) -> Self {
        Self { answer, pending: None, assigns: false }
    }
}

impl From<Made<'_>> for Decided {
    fn from(Made { answer, pending, assigns }: Made<'_>) -> Self {
        Self { answer: Arc::new(answer.kept()), pending, assigns }
    }
}

/// Whom a request is for: what stands for the visitor, or for who it turned out to be, and what it stays with.
struct Who<'v> {
    /// The id that was given, or minted; `None` where one was neither given nor may be.
    visitor: Option<&'v str>,
    token: VisitorToken,
    /// Whose profile was looked at.
    profile_of: Option<VisitorToken>,
    held: Option<Arc<Held>>,
    now: Timestamp,
}

impl Service {
    /// Decides without waiting for any commit.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn decide_now(&self, query: &Query<'_>) -> Result<Decided, NoExperiment> {
        self.decide_among(query, &mut Round::of_one(self))
    }

    /// The same among others.
    fn decide_among<'s>(&'s self, query: &'s Query<'s>, round: &mut Round<'s>) -> Result<Decided, NoExperiment> {
        round.bring(query.context);
        match query.kept_under() {
            None => self.decide_knowing(query, round).map(Decided::from),
            Some(decision_id) => self.decide_once(query, decision_id, round),
        }
    }

    /// What was decided under an id is repeated.
    fn decide_once(
        &self,
        query: &Query<'_>,
        decision_id: &str,
        round: &mut Round<'_>,
    ) -> Result<Decided, NoExperiment> {
        // An answer of the last minute must not outlive its experiment.
        round.last.find(&self.engine, query.experiment)?;
        let now = round.now;
        self.recent.get_or_decide(query, decision_id, now, || self.decide_knowing(query, round).map(Decided::from))
    }

    fn decide_at<'a>(
        &self,
        query: &Query<'_>,
        round: &'a mut Round<'_>,
        profile_of: Option<VisitorToken>,
    ) -> Result<Made<'a>, NoExperiment> {
        let is_brought = round.is_brought(query.context);
        let Round { now, last, bearings, contexts, way, ids, seals, .. } = round;
        let now = *now;
        let Found { experiment, active } = last.find(&self.engine, query.experiment)?;
        let given = query.visitor.filter(|_| query.consent);
        let visitor = given.map_or_else(|| Cow::Owned(self.mint_visitor()), Cow::Borrowed);
        let shown = if query.consent { Some(&*visitor) } else { query.visitor };
        let mut who = Who { visitor: shown, token: self.engine.token(&visitor), profile_of, held: None, now };
        let definition = &active.settings.definition;
        let grouped = definition.group.is_some();
        if definition.unit == Unit::Visitor {
            if !query.consent {
                return Ok(self.default_shown(query, active, &who, Reason::NoConsent));
            }
            match self.visitors.find(experiment.key(), who.token) {
                Ok(found) => (who.token, who.held) = (found.visitor, found.held),
                Err(error) => return Ok(self.unreadable(query, active, &who, &error)),
            }
        } else if grouped && query.consent {
            who.token = match self.visitors.known_as(who.token) {
                Ok(token) => token,
                Err(error) => return Ok(self.unreadable(query, active, &who, &error)),
            };
        }
        let (receipt, receipt_refused) = self.receipt(query, now);
        // Whoever gave no id comes with another the next time: the text alone draws. Without consent each draw stands alone.
        let is_known_by = (!query.consent || query.brings_visitor()).then(|| who.token.short());
        let seed = query.decision_id.map(|text| given_seed(text, is_known_by));
        let request = Request {
            visitor: &visitor,
            token: Some(who.token),
            assignment: who.held.as_deref().map(|held| &held.assignment),
            visitor_given: given.is_some(),
            context: query.context,
            exclude: query.exclude,
            defer: query.defer,
            receipt: receipt.as_ref(),
            id: seed.as_deref().map_or_else(|| RequestId::Minted(ids.wide_bits()), RequestId::Given),
            now,
        };
        // Whoever is in stays in.
        if grouped && who.held.is_none() {
            let stays =
                |other: &ExperimentKey| Ok(query.consent && self.visitors.find(other, who.token)?.held.is_some());
            match self.engine.rival(experiment, &request, stays) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(self.default_shown(query, active, &who, Reason::InOtherExperiment)),
                Err(error) => return Ok(self.unreadable(query, active, &who, &error)),
            }
        }
        let explain = if query.explain { Explain::Yes } else { Explain::No };
        let bearing = match way {
            // Nothing comes after it.
            Way::AtOnce(_) => None,
            Way::Together(_) => is_brought.then(|| bearings.under(active)),
        };
        let decision = self.engine.decide_in(experiment, active, &request, bearing, explain);
        if query.explain {
            return Ok(Made::at_once(self.answer(query, active, decision, &who, seals, receipt_refused)));
        }
        let assigns = decision.assigns();
        let handed_over =
            self.hand_over(query, active, &decision, &who, way, || contexts.encoded(query.context, is_brought));
        let answer = self.answer(query, active, decision, &who, seals, receipt_refused);
        Ok(match handed_over {
            Ok(pending) => Made { answer, pending, assigns },
            Err(error) => Made::at_once(fallen_back(&answer, query, &error)),
        })
    }

    /// The default, of which nothing is recorded.
    fn default_shown<'a>(&self, query: &Query<'_>, active: &'a Arc<Active>, who: &Who<'_>, reason: Reason) -> Made<'a> {
        let decision = Decision::unrecorded(&active.settings, query.exclude, reason);
        Made::at_once(self.answer(query, active, decision, who, &mut self.engine.seals(0), None))
    }

    /// What is kept of the visitor cannot be told, and another variation would be worse than the default.
    fn unreadable<'a>(
        &self,
        query: &Query<'_>,
        active: &'a Arc<Active>,
        who: &Who<'_>,
        error: &StoreError,
    ) -> Made<'a> {
        tracing::error!(%error, "what is kept of a visitor could not be read");
        // Only what was in force is taken of this; why it is shown is said by the fall-back.
        let Made { answer, .. } = self.default_shown(query, active, who, Reason::NotRunning);
        Made::at_once(fallen_back(&answer, query, &CommitError::Unavailable(String::new())))
    }

    /// The receipt that a request brought, if it can be followed, and why it cannot.
    fn receipt(&self, query: &Query<'_>, now: Timestamp) -> (Option<Receipt>, Option<ReceiptError>) {
        match query.receipt.filter(|_| query.consent).map(|text| self.engine.open_receipt(text)) {
            None => (None, None),
            Some(Err(error)) => (None, Some(error)),
            Some(Ok(receipt)) => {
                let expires = self.receipt_expires(receipt.record.decided_at(), query.experiment);
                let valid = expires.is_none_or(|at| now <= at);
                if valid { (Some(receipt), None) } else { (None, Some(ReceiptError::Expired)) }
            }
        }
    }

    /// Hands over what a decision makes happen, if anything.
    fn hand_over<'c>(
        &self,
        query: &Query<'_>,
        active: &Active,
        decision: &Decision<'_>,
        who: &Who<'_>,
        way: &mut Way<'_>,
        encoded: impl FnOnce() -> &'c EncodedContext,
    ) -> Result<Option<SharedPending>, CommitError> {
        let activates = decision.activates();
        let happens =
            if activates { who.held.as_ref().is_some_and(|held| held.activate()) } else { decision.makes_happen() };
        if !happens {
            return Ok(None);
        }
        // What a profile says goes with whose profile it is, under whatever id it was looked at.
        let token = who.profile_of.unwrap_or(who.token);
        let named = who.visitor.filter(|_| self.companions && query.consent && !activates);
        let about = named.map(|visitor| About { token, visitor, context: encoded() });
        let awaited = decision.assigns() || active.settings.definition.durability == Durability::Sync;
        let offered = if self.health.failing() {
            Err(CommitError::Unavailable(String::new()))
        } else if awaited {
            let submit = |event| self.queue.submit_with(event, about.map(Beside::from));
            decision.event().map(submit).transpose().map(|pending| pending.map(Pending::shared))
        } else {
            way.offer(decision, about).map(|()| None)
        };
        if offered.is_err() && activates {
            who.held.iter().for_each(|held| held.deactivate());
        }
        offered
    }

    fn answer<'a>(
        &self,
        query: &Query<'_>,
        active: &'a Arc<Active>,
        decision: Decision<'a>,
        who: &Who<'_>,
        seals: &mut Seals<'_>,
        receipt_refused: Option<ReceiptError>,
    ) -> Answer<'a> {
        let settings = &active.settings;
        let (control, propensity) = (decision.control(), decision.propensity());
        let Decision { variation, reason, record, basis, .. } = decision;
        let sticky = reason == Reason::Sticky;
        let receipt = match (&record, &who.held) {
            (None, _) => None,
            _ if query.explain => None,
            (Some(record), Some(held)) if sticky => Some(seals.seal(record, held.assignment.deferred, who.token)),
            (Some(_), None) if sticky => query.receipt.map(str::to_owned),
            (Some(record), _) => Some(seals.seal(record, query.defer, who.token)),
        };
        let decision_id = match (query.decision_id, &record) {
            (Some(given), _) if !sticky => DecisionName::Given(given.into()),
            (_, Some(record)) => DecisionName::Minted(record.decision),
            (_, None) => DecisionName::Minted(DecisionId::new(who.now, self.entropy.wide_bits())),
        };
        let decided_at = record.as_deref().filter(|_| receipt.is_some()).map(DecisionRecord::decided_at);
        Answer {
            active: Cow::Borrowed(active),
            variation,
            why: Why::Decided(reason),
            minted: who.visitor.filter(|_| !query.brings_visitor()).map(VisitorId::known),
            decision_id,
            receipt,
            control,
            holdout: control && self.engine.holds_out(who.token),
            propensity,
            expires: decided_at.map(|at| at + settings.longest_window()),
            segment: record.map(|record| match record {
                Cow::Borrowed(record) => Cow::Borrowed(&record.segment),
                Cow::Owned(record) => Cow::Owned(record.segment),
            }),
            receipt_refused,
            basis,
            known: query.explain.then(|| query.context.kept(|name| settings.uses(name))),
        }
    }

    fn receipt_expires(&self, decided_at: Timestamp, experiment: &str) -> Option<Timestamp> {
        let experiment = self.engine.experiment(experiment).ok()?;
        Some(decided_at + experiment.active().settings.longest_window())
    }
}
