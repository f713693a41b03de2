//! One draw: from a segment's allocation, or from the shares of a visitor's features.

use std::cell::RefCell;
use std::sync::Arc;

use crate::domain::{AllocationId, Context, DecisionId, Features, Seed, SegmentKey, VisitorToken};
use crate::engine::allocation::Allocation;
use crate::engine::contextual::Contextual;
use crate::engine::decide::{Basis, Explain, Request, RequestId, blank};
use crate::engine::definition::{Unit, Variation};
use crate::engine::event::DecisionRecord;
use crate::engine::experiment::{Active, MAX_SEGMENTS};
use crate::engine::model::Published;
use crate::engine::segment::Segment;
use crate::engine::settings::Settings;
use crate::policy::allocation::{draw, project};

/// What was drawn. Small: a whole [`Decision`] would be copied once for every closure it is handed through.
pub(crate) struct Drawn {
    pub(crate) allocation: AllocationId,
    pub(crate) position: usize,
    pub(crate) propensity: f64,
    pub(crate) basis: Option<Basis>,
}

/// One draw from the segment's allocation, in which segment and with which features; `None` if every variation is excluded. Once the
/// budget is `spent`, what costs is excluded as well.
pub(crate) fn draw_variation(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    key: &str,
    explain: Explain,
    token: impl FnOnce() -> VisitorToken,
) -> Option<(SegmentKey, Features, Drawn)> {
    let settings = &active.settings;
    let uniform = uniform(settings, request, token);
    if let (Some(contextual), Some(model)) = (settings.contextual(), &active.model) {
        let (features, drawn) = draw_for(settings, contextual, &model.published(), request, spent, uniform, explain)?;
        return Some((SegmentKey::new(key), features, drawn));
    }
    let draw = |segment, allocation: &Allocation| {
        let drawn = draw_from(settings, request, spent, allocation, uniform, explain)?;
        Some((segment, Features::new(), drawn))
    };
    let segments = &active.current().segments;
    if let Some(all) = active.deciding() {
        let segment = segments.with(key, |known, _| known.clone()).unwrap_or_else(|| SegmentKey::new(key));
        return draw(segment, &all.allocation());
    }
    let in_segment = |known: &SegmentKey, segment: &Segment| {
        let drawn = draw_in(active, request, spent, segment, uniform, explain)?;
        Some((known.clone(), Features::new(), drawn))
    };
    // One segment too many is counted with the others, and so decided as they are.
    let overflowing =
        || (segments.len() >= MAX_SEGMENTS).then(|| segments.with(SegmentKey::OTHER, in_segment)).flatten();
    segments.with(key, in_segment).or_else(overflowing).unwrap_or_else(|| draw(SegmentKey::new(key), &active.unseen()))
}

/// A segment that visitors are decided in by its own allocation, and how many conditions failed on the way to it.
#[derive(Debug)]
pub(crate) struct Placed {
    segment: Arc<Segment>,
    /// What their decisions have in common; the rest is that of the last one.
    pub(crate) record: DecisionRecord,
    pub(crate) failed_conditions: u32,
}

impl Placed {
    /// In the segment of a context; `None` where something else decides, or nobody was seen there yet.
    pub(crate) fn find(active: &Active, context: &Context<'_>) -> Option<Self> {
        if active.model.is_some() || active.deciding().is_some() {
            return None;
        }
        let (segment, failed_conditions) = with_key(&active.settings, context, |key, failed| {
            active.current().segments.get(key).map(|segment| (segment, failed))
        })?;
        let record = blank(active, segment.key()?.clone());
        Some(Self { segment, record, failed_conditions })
    }
}

/// As [`draw_variation`], in a segment that was found before.
pub(crate) fn draw_placed(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    placed: &Placed,
    explain: Explain,
    token: impl FnOnce() -> VisitorToken,
) -> Option<Drawn> {
    draw_in(active, request, spent, &placed.segment, uniform(&active.settings, request, token), explain)
}

/// One draw by a segment's own allocation, or by the one of all where nothing is learned.
fn draw_in(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    segment: &Segment,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let settings = &active.settings;
    if settings.policy().learns() {
        draw_from(settings, request, spent, &segment.allocation(), uniform, explain)
    } else {
        draw_from(settings, request, spent, &active.initial, uniform, explain)
    }
}

/// Writes the key of a context's segment, where it can be looked up without allocating, and says how many conditions failed.
pub(crate) fn with_key<T>(settings: &Settings, context: &Context<'_>, read: impl FnOnce(&str, u32) -> T) -> T {
    thread_local! {
        static KEY: RefCell<String> = const { RefCell::new(String::new()) };
    }
    KEY.with_borrow_mut(|key| {
        key.clear();
        let failed = settings.segmentation.write_key(context, key);
        read(key, failed)
    })
}

/// The number that draws for a visitor that stays with its variation: its own, and another where that variation was removed,
/// since the first lies where the removed one was.
pub(crate) fn sticky_uniform(settings: &Settings, token: VisitorToken, replaces: Option<DecisionId>) -> f64 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&token.to_bytes());
    if let Some(decision) = replaces {
        bytes[16..].copy_from_slice(&decision.to_bytes());
    }
    settings.sticky.uniform(&bytes)
}

/// The number that draws.
fn uniform(settings: &Settings, request: &Request<'_>, token: impl FnOnce() -> VisitorToken) -> f64 {
    match (settings.definition.unit, request.id) {
        (Unit::Visitor, _) => {
            sticky_uniform(settings, token(), request.assignment.map(|assignment| assignment.record.decision))
        }
        (Unit::Decision, RequestId::Minted(tail)) => settings.draw.uniform(&tail.to_le_bytes()[..10]),
        (Unit::Decision, RequestId::Given(seed)) => settings.draw.uniform(seed),
    }
}

/// One draw; `None` if every variation is excluded. The same numbers are drawn from, logged and explained.
fn draw_from(
    settings: &Settings,
    request: &Request<'_>,
    spent: bool,
    allocation: &Allocation,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let id = allocation.id();
    if let Some(propensities) =
        allocation.ready(settings).filter(|_| request.exclude.is_empty() && !spent && explain == Explain::No)
    {
        let position = draw(propensities, uniform);
        return Some(Drawn { allocation: id, position, propensity: propensities[position], basis: None });
    }
    draw_projected(settings, request, spent, id, allocation.shares_for(settings), uniform, explain)
}

/// One draw from the shares of a visitor with these features.
fn draw_for(
    settings: &Settings,
    contextual: &Contextual,
    published: &Published,
    request: &Request<'_>,
    spent: bool,
    uniform: f64,
    explain: Explain,
) -> Option<(Features, Drawn)> {
    let mut features = Features::new();
    contextual.schema.encode(request.context, &mut features);
    let seed = Seed(match request.id {
        RequestId::Minted(tail) => contextual.scores.bits(&tail.to_le_bytes()[..10]),
        RequestId::Given(seed) => contextual.scores.bits(seed),
    });
    let shares = published.beliefs.shares(&contextual.arms, &features, seed);
    let drawn = draw_projected(settings, request, spent, published.id, shares, uniform, explain)?;
    Some((features, drawn))
}

/// One draw from shares, and the numbers behind it if they are asked for.
fn draw_projected(
    settings: &Settings,
    request: &Request<'_>,
    spent: bool,
    allocation: AllocationId,
    shares: Vec<f64>,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let variations = &settings.definition.variations;
    let eligible: Vec<bool> = (0..variations.len())
        .map(|position| eligible(&variations[settings.variation_at(position)], request, spent))
        .collect();
    let propensities = project(&shares, &eligible, settings.floors())?;
    let position = draw(&propensities, uniform);
    let propensity = propensities[position];
    let basis = (explain == Explain::Yes).then_some(Basis { shares, propensities, uniform });
    Some(Drawn { allocation, position, propensity, basis })
}

/// Whether a variation may be shown: not what the request excludes, nor what costs once the budget is spent.
pub(crate) fn eligible(variation: &Variation, request: &Request<'_>, spent: bool) -> bool {
    let unaffordable = spent && variation.costs();
    !unaffordable && !request.exclude.contains(&variation.key)
}
