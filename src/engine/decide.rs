//! From a request to one draw. Reads one experiment and one segment; changes nothing.

mod admission;
mod recording;

use std::borrow::Cow;

use crate::domain::{Context, DecisionId, Slot, Span, Timestamp, VariationKey, VisitorToken};
use crate::engine::assignment::Assignment;
pub use crate::engine::decide::admission::Bearing;
use crate::engine::decide::admission::closed_to;
pub(crate) use crate::engine::decide::admission::{Site, decides_for, is_running};
pub(crate) use crate::engine::decide::recording::blank;
use crate::engine::decide::recording::{control, recorded, recorded_in};
use crate::engine::draw::{draw_placed, draw_variation, with_key};
use crate::engine::event::{Activated, Assigned, DecisionRecord, Event, Exposed};
use crate::engine::experiment::{Active, Experiment};
use crate::engine::receipt::Receipt;
use crate::engine::settings::Settings;

/// Why this variation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Drawn from the policy's allocation.
    Policy,
    /// The visitor is in the control group.
    Control,
    /// The visitor stays with an earlier decision: its assignment, or the receipt that the request brought.
    Sticky,
    /// The experiment is a draft, paused, ended, or outside its schedule.
    NotRunning,
    /// The audience's condition does not match.
    NotInAudience,
    /// The visitor is not in the share that takes part.
    NotInTraffic,
    /// The request excluded every variation, or the one that the visitor stays with, as the control group with the default.
    AllExcluded,
    /// The visitor takes part in another experiment of the same group.
    InOtherExperiment,
    /// The visitor consents to nothing being stored, without which it cannot stay with a variation.
    NoConsent,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The visitor's id.
    pub visitor: &'a str,
    /// What stands for it, or for who it turned out to be; `None`: made from the id where it is needed.
    pub token: Option<VisitorToken>,
    /// What the visitor stays with, where that is the unit.
    pub assignment: Option<&'a Assignment>,
    /// Whether the caller gave it: a receipt brought without a visitor is taken for its own visitor's.
    pub visitor_given: bool,
    /// Attributes, a profile merged under them.
    pub context: &'a Context<'a>,
    /// Variations not to be shown; unknown keys have no effect.
    pub exclude: &'a [VariationKey],
    /// An exposure only once it is activated.
    pub defer: bool,
    /// An earlier decision to stay with.
    pub receipt: Option<&'a Receipt>,
    /// Identifies the decision and seeds its draw.
    pub id: RequestId<'a>,
    /// When.
    pub now: Timestamp,
}

/// Where a decision's id comes from.
#[derive(Debug, Clone, Copy)]
pub enum RequestId<'a> {
    /// 80 random bits (higher ones are ignored).
    Minted(u128),
    /// The caller's own text and the visitor it came for, if it has an id: [`given_seed`](crate::engine::redraw::given_seed).
    Given(&'a [u8]),
}

/// What is answered.
#[derive(Debug)]
pub struct Decision<'b> {
    /// Index of the variation in the definition.
    pub variation: usize,
    /// Why.
    pub reason: Reason,
    /// What its receipt must hold; `None` where nothing is recorded. Among decisions with one [`Bearing`] it is borrowed from there.
    pub record: Option<Cow<'b, DecisionRecord>>,
    happening: Happening,
    excluded: Box<[Slot]>,
    /// How it came about, for an explanation.
    pub basis: Option<Basis>,
}

/// What a decision makes happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    /// Nothing: it is deferred, sticky or not recorded.
    Nothing,
    /// It is an exposure.
    Exposure,
    /// A visitor is given something to stay with.
    Assignment { visitor: VisitorToken, deferred: bool, replaces: Option<DecisionId> },
    /// What the visitor stays with was deferred, and is seen now.
    Activation { at: Timestamp, window: Span },
}

/// The numbers behind a draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// The policy's shares, in order of keys.
    pub shares: Vec<f64>,
    /// After exclusions and floor, in order of keys: what was drawn from.
    pub propensities: Vec<f64>,
    /// The uniform number that drew.
    pub uniform: f64,
}

impl Decision<'_> {
    /// The default, or the first variation that is not excluded, the default all the same if all are; nothing is recorded.
    #[must_use]
    pub fn unrecorded(settings: &Settings, exclude: &[VariationKey], reason: Reason) -> Self {
        let variations = &settings.definition.variations;
        let variation = variations.iter().position(|v| !exclude.contains(&v.key)).unwrap_or(0);
        Self { variation, reason, record: None, happening: Happening::Nothing, excluded: Box::default(), basis: None }
    }

    /// Probability of the answer given that it was asked for: 1 where nothing was drawn.
    #[must_use]
    pub fn propensity(&self) -> f64 {
        self.record.as_ref().map_or(1.0, |record| record.propensity)
    }

    /// What the journal must hold; `None` where nothing counts.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        let record = self.record.as_ref()?;
        let excluded = || self.excluded.clone();
        let owned = |record: &Cow<'_, DecisionRecord>| record.clone().into_owned();
        match self.happening {
            Happening::Nothing => None,
            Happening::Exposure => Some(Event::Exposed(Exposed { record: owned(record), excluded: excluded() })),
            Happening::Assignment { visitor, deferred, replaces } => Some(Event::Assigned(Assigned {
                record: owned(record),
                visitor,
                deferred,
                excluded: excluded(),
                replaces,
            })),
            Happening::Activation { at, window } => {
                Some(Event::Activated(Activated { record: owned(record), at, window }))
            }
        }
    }

    /// Its record, if it is an exposure that others can be [like](DecisionRecord::is_like), and of which nothing was excluded.
    #[must_use]
    pub fn plain_exposure(&self) -> Option<&DecisionRecord> {
        let is_plain = self.happening == Happening::Exposure && self.excluded.is_empty();
        self.record.as_deref().filter(|record| is_plain && record.features.entries().is_empty())
    }

    /// Whether there is an [event](Self::event).
    #[must_use]
    pub fn makes_happen(&self) -> bool {
        self.happening != Happening::Nothing
    }

    /// Whether what the visitor stays with was deferred, and is seen now.
    #[must_use]
    pub const fn activates(&self) -> bool {
        matches!(self.happening, Happening::Activation { .. })
    }

    /// Whether it gives the visitor something to stay with. It is so only if no other request of the visitor was first.
    #[must_use]
    pub const fn assigns(&self) -> bool {
        matches!(self.happening, Happening::Assignment { .. })
    }

    /// Whether the visitor is in the control group.
    #[must_use]
    pub fn control(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.control)
    }
}

/// Keeps the numbers behind the draw as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// No.
    No,
    /// Yes.
    Yes,
}

pub(crate) fn decide<'b>(
    experiment: &Experiment,
    active: &Active,
    request: &Request<'_>,
    mut bearing: Option<&'b mut Bearing>,
    explain: Explain,
    site: Site,
) -> Decision<'b> {
    let settings = &active.settings;
    if !is_running(experiment, settings, request) {
        return unrecorded(active, request, Reason::NotRunning);
    }
    let token = || request.token.unwrap_or_else(|| site.token(request.visitor));
    if let Some(kept) = request.assignment.and_then(|assignment| keep(active, request, assignment)) {
        return kept;
    }
    // Whoever is in stays in: neither a changed audience nor less traffic sends away who has an assignment already.
    if request.assignment.is_none()
        && let Some(reason) = closed_to(experiment, settings, request, bearing.as_deref_mut(), token)
    {
        return unrecorded(active, request, reason);
    }
    let share = settings.definition.control.get();
    let held_out = match request.assignment {
        Some(assignment) => assignment.record.control,
        None => {
            (share > 0.0 && settings.groups.uniform(&token().to_bytes()) < share)
                || (site.holdout > 0.0 && site.holds_out(token()))
        }
    };
    let stays = |receipt| stay(experiment, active, request, receipt, held_out, token);
    if let Some(sticky) = request.receipt.and_then(stays) {
        return sticky;
    }
    if held_out {
        return control(experiment, active, request, token);
    }
    let spent = experiment.exhausted();
    if let Some(placed) = bearing.and_then(|bearing| bearing.place(active, request.context)) {
        experiment.count_failed_conditions(placed.failed_conditions);
        return match draw_placed(active, request, spent, placed, explain, token) {
            Some(drawn) => recorded_in(active, request, spent, placed, drawn, token),
            None => unrecorded(active, request, Reason::AllExcluded),
        };
    }
    let drawn = with_key(settings, request.context, |key, failed| {
        experiment.count_failed_conditions(failed);
        draw_variation(active, request, spent, key, explain, token)
    });
    match drawn {
        Some((segment, features, drawn)) => recorded(active, request, spent, segment, features, drawn, token),
        None => unrecorded(active, request, Reason::AllExcluded),
    }
}

fn unrecorded<'b>(active: &Active, request: &Request<'_>, reason: Reason) -> Decision<'b> {
    Decision::unrecorded(&active.settings, request.exclude, reason)
}

/// What a visitor stays with; the first variation that is not excluded, unrecorded, where the request excludes that. `None` if
/// it cannot be shown any more: it was removed, or is not the default that the control group is promised.
fn keep<'b>(active: &Active, request: &Request<'_>, assignment: &Assignment) -> Option<Decision<'b>> {
    let record = &assignment.record;
    let variation = active.settings.variation_of(record.variation)?;
    if record.control && variation != 0 {
        return None;
    }
    if request.exclude.contains(&active.settings.definition.variations[variation].key) {
        return Some(unrecorded(active, request, Reason::AllExcluded));
    }
    // Of an epoch that is gone nothing is counted any more.
    let window = active.activation_window(record.epoch).filter(|_| assignment.deferred && !request.defer);
    Some(Decision {
        variation,
        reason: Reason::Sticky,
        record: Some(Cow::Owned(record.clone())),
        happening: window.map_or(Happening::Nothing, |window| Happening::Activation { at: request.now, window }),
        excluded: Box::default(),
        basis: None,
    })
}

/// The variation of an earlier decision, if it can still be shown to this visitor: not if it was removed or excluded, and not
/// if the visitor has since come into the control group or left it, or the default of that group has changed.
fn stay<'b>(
    experiment: &Experiment,
    active: &Active,
    request: &Request<'_>,
    receipt: &Receipt,
    held_out: bool,
    token: impl FnOnce() -> VisitorToken,
) -> Option<Decision<'b>> {
    let record = &receipt.record;
    let variation = active.settings.variation_of(record.variation)?;
    let key = &active.settings.definition.variations[variation].key;
    let own = receipt.visitor == token().short() && record.control == held_out;
    let same = record.experiment == *experiment.key()
        && (own || !request.visitor_given)
        && (!record.control || variation == 0)
        && !request.exclude.contains(key);
    same.then(|| Decision {
        variation,
        reason: Reason::Sticky,
        record: Some(Cow::Owned(receipt.record.clone())),
        happening: Happening::Nothing,
        excluded: Box::default(),
        basis: None,
    })
}
