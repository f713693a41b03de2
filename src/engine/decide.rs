//! From a request to one draw. Reads one experiment and one segment; changes nothing.

use std::sync::Arc;

use crate::domain::{Context, DecisionId, Features, SegmentKey, Slot, Timestamp, VariationKey};
use crate::engine::definition::{Status, Unit};
use crate::engine::draw::{Drawn, draw_variation, eligible};
use crate::engine::event::{DecisionRecord, Event, Exposed};
use crate::engine::experiment::{Active, Experiment};
use crate::engine::receipt::Receipt;
use crate::engine::settings::Settings;
use crate::targeting::Verdict;

/// Why this variation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Drawn from the policy's allocation.
    Policy,
    /// The visitor is in the control group.
    Control,
    /// The request brought the receipt of an earlier decision.
    Sticky,
    /// The experiment is a draft, paused, ended, or outside its schedule.
    NotRunning,
    /// The audience's condition does not match.
    NotInAudience,
    /// The visitor is not in the share that takes part.
    NotInTraffic,
    /// The request excluded every variation, or the default of a control visitor.
    AllExcluded,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The visitor's id.
    pub visitor: &'a str,
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
    /// The caller's own text.
    Given(&'a str),
}

/// What is answered.
#[derive(Debug)]
pub struct Decision {
    /// What was in force.
    pub active: Arc<Active>,
    /// Index of the variation in the definition.
    pub variation: usize,
    /// Why.
    pub reason: Reason,
    /// What its receipt must hold; `None` where nothing is recorded.
    pub record: Option<DecisionRecord>,
    /// Whether it is an exposure now: not where it is deferred, sticky or not recorded.
    counts: bool,
    excluded: Box<[Slot]>,
    /// How it came about, for an explanation.
    pub basis: Option<Basis>,
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

impl Decision {
    /// The settings it was made under.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.active.settings
    }

    /// Probability of the answer given that it was asked for: 1 where nothing was drawn.
    #[must_use]
    pub fn propensity(&self) -> f64 {
        self.record.as_ref().map_or(1.0, |record| record.propensity)
    }

    /// What the journal must hold; `None` where nothing counts.
    #[must_use]
    pub fn into_event(self) -> Option<Event> {
        let Self { record, counts, excluded, .. } = self;
        record.filter(|_| counts).map(|record| Event::Exposed(Exposed { record, excluded }))
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

thread_local! {
    /// The key of a segment is written here and looked up without allocating.
    static KEY: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

pub(crate) fn decide(experiment: &Experiment, request: &Request<'_>, explain: Explain) -> Decision {
    let active = experiment.active_full();
    let settings = &active.settings;
    if let Some(reason) = closed_to(experiment, settings, request) {
        return unrecorded(active, request, reason);
    }
    let share = settings.definition.control.get();
    let held_out = share > 0.0 && settings.groups.uniform(request.visitor.as_bytes()) < share;
    if let Some(sticky) = request.receipt.and_then(|receipt| stay(experiment, &active, request, receipt, held_out)) {
        return sticky;
    }
    if held_out {
        return control(experiment, active, request);
    }
    let spent = experiment.exhausted();
    let drawn = KEY.with_borrow_mut(|key| {
        key.clear();
        experiment.count_failed_conditions(settings.segmentation.write_key(request.context, key));
        draw_variation(&active, request, spent, key, explain)
    });
    match drawn {
        Some(drawn) => recorded(experiment, active, request, spent, drawn),
        None => unrecorded(active, request, Reason::AllExcluded),
    }
}

/// Why the experiment does not decide for this visitor now, if so.
fn closed_to(experiment: &Experiment, settings: &Settings, request: &Request<'_>) -> Option<Reason> {
    let schedule = &settings.definition.schedule;
    let begun = schedule.starts.is_none_or(|starts| starts <= request.now);
    let over = schedule.ends.is_some_and(|ends| ends <= request.now);
    if experiment.status() != Status::Running || !begun || over {
        return Some(Reason::NotRunning);
    }
    match settings.audience.as_ref().map(|audience| audience.evaluate(request.context)) {
        None | Some(Verdict::Match) => {}
        Some(Verdict::NoMatch) => return Some(Reason::NotInAudience),
        Some(Verdict::Failed) => {
            experiment.count_failed_conditions(1);
            return Some(Reason::NotInAudience);
        }
    }
    let traffic = settings.definition.traffic.get();
    let outside = traffic < 1.0 && settings.traffic.uniform(request.visitor.as_bytes()) >= traffic;
    outside.then_some(Reason::NotInTraffic)
}

/// The default, or the first variation that is not excluded; the default all the same if all are.
fn unrecorded(active: Arc<Active>, request: &Request<'_>, reason: Reason) -> Decision {
    let variations = &active.settings.definition.variations;
    let variation = variations.iter().position(|v| !request.exclude.contains(&v.key)).unwrap_or(0);
    Decision { active, variation, reason, record: None, counts: false, excluded: Box::default(), basis: None }
}

/// The variation of an earlier decision, if it can still be shown to this visitor: not if it was removed or excluded, and not
/// if the visitor has since come into the control group or left it, or the default of that group has changed.
fn stay(
    experiment: &Experiment,
    active: &Arc<Active>,
    request: &Request<'_>,
    receipt: &Receipt,
    held_out: bool,
) -> Option<Decision> {
    let record = &receipt.record;
    let variation = active.settings.variation_of(record.variation)?;
    let key = &active.settings.definition.variations[variation].key;
    let own = receipt.visitor == visitor_hash(&active.settings, request.visitor) && record.control == held_out;
    let same = record.experiment == *experiment.key()
        && (own || !request.visitor_given)
        && (!record.control || variation == 0)
        && !request.exclude.contains(key);
    same.then(|| Decision {
        active: Arc::clone(active),
        variation,
        reason: Reason::Sticky,
        record: Some(receipt.record.clone()),
        counts: false,
        excluded: Box::default(),
        basis: None,
    })
}

fn control(experiment: &Experiment, active: Arc<Active>, request: &Request<'_>) -> Decision {
    let settings = &active.settings;
    if request.exclude.contains(&settings.definition.variations[0].key) {
        // Its group is promised the default and nothing else: what is shown instead must not count for it.
        return unrecorded(active, request, Reason::AllExcluded);
    }
    let segment = KEY.with_borrow_mut(|key| {
        key.clear();
        experiment.count_failed_conditions(settings.segmentation.write_key(request.context, key));
        SegmentKey::new(key)
    });
    let record = DecisionRecord {
        experiment: experiment.key().clone(),
        epoch: settings.epoch,
        definition: settings.version,
        segment,
        variation: settings.slot(0),
        allocation: active.initial.id(),
        propensity: 1.0,
        control: true,
        decision: decision_id(settings, request),
        features: Features::new(),
    };
    let (counts, excluded) = (!request.defer, excluded_slots(settings, request, false));
    Decision { active, variation: 0, reason: Reason::Control, record: Some(record), counts, excluded, basis: None }
}

fn recorded(
    experiment: &Experiment,
    active: Arc<Active>,
    request: &Request<'_>,
    spent: bool,
    drawn: Drawn,
) -> Decision {
    let settings = &active.settings;
    let variation = settings.variation_at(drawn.position);
    let record = DecisionRecord {
        experiment: experiment.key().clone(),
        epoch: settings.epoch,
        definition: settings.version,
        segment: drawn.segment,
        variation: settings.slot(variation),
        allocation: drawn.allocation,
        propensity: drawn.propensity,
        control: false,
        decision: decision_id(settings, request),
        features: drawn.features,
    };
    let (counts, excluded) = (!request.defer, excluded_slots(settings, request, spent));
    let basis = drawn.basis;
    Decision { active, variation, reason: Reason::Policy, record: Some(record), counts, excluded, basis }
}

fn decision_id(settings: &Settings, request: &Request<'_>) -> DecisionId {
    match request.id {
        RequestId::Minted(tail) => DecisionId::new(request.now, tail),
        RequestId::Given(text) => DecisionId::new(request.now, settings.groups.wide_bits(text.as_bytes())),
    }
}

fn excluded_slots(settings: &Settings, request: &Request<'_>, spent: bool) -> Box<[Slot]> {
    // The unit decides what is randomised; there is one so far, and a second must not be forgotten here.
    let Unit::Decision = settings.definition.unit;
    if request.exclude.is_empty() && !spent {
        return Box::default();
    }
    let variations = settings.definition.variations.iter().enumerate();
    variations.filter(|(_, v)| !eligible(v, request, spent)).map(|(index, _)| settings.slot(index)).collect()
}

/// What a receipt keeps of a visitor: enough to tell another one, not who it is.
pub(crate) fn visitor_hash(settings: &Settings, visitor: &str) -> u64 {
    settings.groups.bits(visitor.as_bytes())
}
