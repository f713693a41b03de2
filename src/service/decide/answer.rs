//! What a site is told.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::domain::{Context, DecisionId, SegmentKey, Timestamp, VisitorId};
use crate::engine::decide::{Basis, Reason};
use crate::engine::experiment::Active;
use crate::engine::receipt::ReceiptError;
use crate::service::decide::Query;

/// Why this variation, the service's own troubles included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The engine's reason.
    Decided(Reason),
    /// Too much is waiting to be recorded: the default, nothing counted.
    Overloaded,
    /// Nothing can be recorded now: the default, nothing counted.
    Unavailable,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Decided(Reason::Policy),
        Self::Decided(Reason::Control),
        Self::Decided(Reason::Sticky),
        Self::Decided(Reason::NotRunning),
        Self::Decided(Reason::NotInAudience),
        Self::Decided(Reason::NotInTraffic),
        Self::Decided(Reason::AllExcluded),
        Self::Decided(Reason::InOtherExperiment),
        Self::Decided(Reason::NoConsent),
        Self::Overloaded,
        Self::Unavailable,
    ];
}

/// What a decision is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionName {
    /// By the caller.
    Given(Box<str>),
    /// By its id.
    Minted(DecisionId),
}

impl fmt::Display for DecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(name) => f.write_str(name),
            Self::Minted(id) => id.fmt(f),
        }
    }
}

/// What a site is told.
#[derive(Debug)]
pub struct Answer<'a> {
    /// What was in force; borrowed while an answer is told where it is made.
    pub active: Cow<'a, Arc<Active>>,
    /// Index of the variation in the definition.
    pub variation: usize,
    /// Why.
    pub why: Why,
    /// The id that the visitor was given who brought none; `None` for one that consented to none.
    pub minted: Option<VisitorId>,
    /// The decision's id.
    pub decision_id: DecisionName,
    /// To bring back with a reward; `None` where nothing is recorded.
    pub receipt: Option<String>,
    /// Whether the visitor is in the control group.
    pub control: bool,
    /// Whether it is there because it is kept out of every experiment.
    pub holdout: bool,
    /// Probability with which the variation was shown.
    pub propensity: f64,
    /// After this no reward is learned; `None` without a receipt.
    pub expires: Option<Timestamp>,
    /// The visitor's segment; `None` where nothing is recorded.
    pub segment: Option<Cow<'a, SegmentKey>>,
    /// Why the given receipt was not followed.
    pub receipt_refused: Option<ReceiptError>,
    /// The numbers behind the draw, where they were asked for.
    pub basis: Option<Basis>,
    /// The attributes that the experiment looks at, a profile's among them, where they were asked for.
    pub known: Option<Context<'static>>,
}

impl Answer<'_> {
    /// The same, to keep.
    #[must_use]
    pub fn kept(self) -> Answer<'static> {
        let segment = self.segment.map(|segment| Cow::Owned(segment.into_owned()));
        Answer { active: Cow::Owned(self.active.into_owned()), segment, ..self }
    }

    /// The visitor decided for; `None` for one that gave no id and no consent to be given one.
    #[must_use]
    pub fn visitor<'v>(&'v self, query: &Query<'v>) -> Option<&'v str> {
        self.minted.as_ref().map(VisitorId::as_str).or(query.visitor.filter(|_| query.brings_visitor()))
    }
}
