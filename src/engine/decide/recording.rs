//! What a decision leaves: its record, and what it makes happen.

use std::borrow::Cow;

use crate::domain::{DecisionId, Features, SegmentKey, Slot, Timestamp, VisitorToken};
use crate::engine::decide::{Decision, Happening, Reason, Request, RequestId, unrecorded};
use crate::engine::definition::Unit;
use crate::engine::draw::{Drawn, Placed, eligible, with_key};
use crate::engine::event::{DecisionRecord, Own};
use crate::engine::experiment::{Active, Experiment};
use crate::engine::settings::Settings;

/// What all decisions in a segment have in common; the rest is that of one for the default, for certain, at no time.
pub(crate) fn blank(active: &Active, segment: SegmentKey) -> DecisionRecord {
    let settings = &active.settings;
    DecisionRecord {
        experiment: settings.definition.key.clone(),
        epoch: settings.epoch,
        definition: settings.version,
        segment,
        variation: settings.slot(0),
        allocation: active.initial.id(),
        propensity: 1.0,
        control: false,
        decision: DecisionId::first_at(Timestamp::ZERO),
        features: Features::new(),
    }
}

/// The default, for whoever is in the control group.
pub(super) fn control<'b>(
    experiment: &Experiment,
    active: &Active,
    request: &Request<'_>,
    token: impl FnOnce() -> VisitorToken,
) -> Decision<'b> {
    let settings = &active.settings;
    if request.exclude.contains(&settings.definition.variations[0].key) {
        // Its group is promised the default and nothing else: what is shown instead must not count for it.
        return unrecorded(active, request, Reason::AllExcluded);
    }
    let segment = with_key(settings, request.context, |key, failed| {
        experiment.count_failed_conditions(failed);
        SegmentKey::new(key)
    });
    let record = DecisionRecord { control: true, decision: decision_id(settings, request), ..blank(active, segment) };
    let record = Some(Cow::Owned(record));
    let (happening, excluded) = (happening(settings, request, token), excluded_slots(settings, request, false));
    Decision { variation: 0, reason: Reason::Control, record, happening, excluded, basis: None }
}

/// What was drawn in a segment.
pub(super) fn recorded<'b>(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    segment: SegmentKey,
    features: Features,
    drawn: Drawn,
    token: impl FnOnce() -> VisitorToken,
) -> Decision<'b> {
    let mut record = DecisionRecord { features, ..blank(active, segment) };
    write(&mut record, active, request, &drawn);
    by_policy(active, request, spent, Cow::Owned(record), drawn, token)
}

/// The same where others were recorded before: no more than what differs is written.
pub(super) fn recorded_in<'b>(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    placed: &'b mut Placed,
    drawn: Drawn,
    token: impl FnOnce() -> VisitorToken,
) -> Decision<'b> {
    write(&mut placed.record, active, request, &drawn);
    by_policy(active, request, spent, Cow::Borrowed(&placed.record), drawn, token)
}

fn write(record: &mut DecisionRecord, active: &Active, request: &Request<'_>, drawn: &Drawn) {
    let settings = &active.settings;
    record.allocation = drawn.allocation;
    record.become_another(Own {
        variation: settings.slot(settings.variation_at(drawn.position)),
        propensity: drawn.propensity,
        decision: decision_id(settings, request),
    });
}

fn by_policy<'b>(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    record: Cow<'b, DecisionRecord>,
    Drawn { position, basis, .. }: Drawn,
    token: impl FnOnce() -> VisitorToken,
) -> Decision<'b> {
    let settings = &active.settings;
    let variation = settings.variation_at(position);
    let (happening, excluded) = (happening(settings, request, token), excluded_slots(settings, request, spent));
    Decision { variation, reason: Reason::Policy, record: Some(record), happening, excluded, basis }
}

/// A decision that was just made: what it makes happen depends on what is randomised.
fn happening(settings: &Settings, request: &Request<'_>, token: impl FnOnce() -> VisitorToken) -> Happening {
    match settings.definition.unit {
        Unit::Visitor => Happening::Assignment {
            visitor: token(),
            deferred: request.defer,
            replaces: request.assignment.map(|assignment| assignment.record.decision),
        },
        Unit::Decision if request.defer => Happening::Nothing,
        Unit::Decision => Happening::Exposure,
    }
}

fn decision_id(settings: &Settings, request: &Request<'_>) -> DecisionId {
    match request.id {
        RequestId::Minted(tail) => DecisionId::new(request.now, tail),
        RequestId::Given(seed) => DecisionId::new(request.now, settings.groups.wide_bits(seed)),
    }
}

fn excluded_slots(settings: &Settings, request: &Request<'_>, spent: bool) -> Box<[Slot]> {
    if request.exclude.is_empty() && !spent {
        return Box::default();
    }
    let variations = settings.definition.variations.iter().enumerate();
    variations.filter(|(_, v)| !eligible(v, request, spent)).map(|(index, _)| settings.slot(index)).collect()
}
