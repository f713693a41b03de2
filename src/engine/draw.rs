//! One draw: from a segment's allocation, or from the shares of a visitor's features.

use std::sync::Arc;

use crate::domain::{AllocationId, DecisionId, Features, Seed, SegmentKey, VisitorToken};
use crate::engine::allocation::Allocation;
use crate::engine::contextual::Contextual;
use crate::engine::decide::{Basis, Explain, Request, RequestId};
use crate::engine::definition::{Unit, Variation};
use crate::engine::experiment::{Active, MAX_SEGMENTS};
use crate::engine::model::Published;
use crate::engine::segment::Segment;
use crate::engine::settings::Settings;
use crate::policy::allocation::{draw, project};

/// What was drawn, from what. Small: a whole [`Decision`] would be copied once for every closure it is handed through.
pub(crate) struct Drawn {
    pub(crate) segment: SegmentKey,
    pub(crate) allocation: AllocationId,
    pub(crate) position: usize,
    pub(crate) propensity: f64,
    pub(crate) features: Features,
    pub(crate) basis: Option<Basis>,
}

/// One draw from the segment's allocation; `None` if every variation is excluded. Once the budget is `spent`, what costs is
/// excluded as well.
pub(crate) fn draw_variation(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    key: &str,
    explain: Explain,
    token: impl FnOnce() -> VisitorToken,
) -> Option<Drawn> {
    let settings = &active.settings;
    let uniform = uniform(settings, request, token);
    if let (Some(contextual), Some(model)) = (settings.contextual(), &active.model) {
        return draw_for(settings, contextual, &model.published(), request, spent, key, uniform, explain);
    }
    let draw =
        |segment, allocation: &Allocation| draw_from(settings, request, spent, segment, allocation, uniform, explain);
    let segments = &active.current().segments;
    if let Some(all) = active.deciding() {
        let segment = segments.with(key, |known, _| known.clone()).unwrap_or_else(|| SegmentKey::new(key));
        return draw(segment, &all.allocation());
    }
    let in_segment =
        |known: &SegmentKey, segment: &Segment| draw_in(active, request, spent, known, segment, uniform, explain);
    // One segment too many is counted with the others, and so decided as they are.
    let overflowing =
        || (segments.len() >= MAX_SEGMENTS).then(|| segments.with(SegmentKey::OTHER, in_segment)).flatten();
    segments.with(key, in_segment).or_else(overflowing).unwrap_or_else(|| draw(SegmentKey::new(key), &active.unseen()))
}

/// A segment that visitors are decided in by its own allocation, and how many conditions failed on the way to it.
#[derive(Debug)]
pub(crate) struct Placed {
    key: SegmentKey,
    segment: Arc<Segment>,
    pub(crate) failed_conditions: u32,
}

impl Placed {
    /// In the segment of a key; `None` where something else decides, or nobody was seen there yet.
    pub(crate) fn find(active: &Active, key: &str, failed_conditions: u32) -> Option<Self> {
        if active.model.is_some() || active.deciding().is_some() {
            return None;
        }
        let segment = active.current().segments.get(key)?;
        Some(Self { key: SegmentKey::new(key), segment, failed_conditions })
    }
}

/// As [`draw_variation`], in a segment that was found before.
pub(crate) fn draw_placed(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    Placed { key, segment, .. }: &Placed,
    explain: Explain,
    token: impl FnOnce() -> VisitorToken,
) -> Option<Drawn> {
    draw_in(active, request, spent, key, segment, uniform(&active.settings, request, token), explain)
}

/// One draw by a segment's own allocation, or by the one of all where nothing is learned.
fn draw_in(
    active: &Active,
    request: &Request<'_>,
    spent: bool,
    key: &SegmentKey,
    segment: &Segment,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let settings = &active.settings;
    if settings.policy().learns() {
        draw_from(settings, request, spent, key.clone(), &segment.allocation(), uniform, explain)
    } else {
        draw_from(settings, request, spent, key.clone(), &active.initial, uniform, explain)
    }
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
    segment: SegmentKey,
    allocation: &Allocation,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let id = allocation.id();
    if let Some(propensities) =
        allocation.ready(settings).filter(|_| request.exclude.is_empty() && !spent && explain == Explain::No)
    {
        let position = draw(propensities, uniform);
        let propensity = propensities[position];
        return Some(Drawn { segment, allocation: id, position, propensity, features: Features::new(), basis: None });
    }
    draw_projected(settings, request, spent, allocation.shares_for(settings), uniform, explain).map(
        |(position, propensity, basis)| Drawn {
            segment,
            allocation: id,
            position,
            propensity,
            features: Features::new(),
            basis,
        },
    )
}

/// One draw from the shares of a visitor with these features.
#[expect(clippy::too_many_arguments, reason = "everything a draw depends on, nothing of it twice")]
fn draw_for(
    settings: &Settings,
    contextual: &Contextual,
    published: &Published,
    request: &Request<'_>,
    spent: bool,
    key: &str,
    uniform: f64,
    explain: Explain,
) -> Option<Drawn> {
    let mut features = Features::new();
    contextual.schema.encode(request.context, &mut features);
    let seed = Seed(match request.id {
        RequestId::Minted(tail) => contextual.scores.bits(&tail.to_le_bytes()[..10]),
        RequestId::Given(seed) => contextual.scores.bits(seed),
    });
    let shares = published.beliefs.shares(&contextual.arms, &features, seed);
    let (position, propensity, basis) = draw_projected(settings, request, spent, shares, uniform, explain)?;
    Some(Drawn { segment: SegmentKey::new(key), allocation: published.id, position, propensity, features, basis })
}

/// A position in order of keys, its propensity, and the numbers behind it if they are asked for.
fn draw_projected(
    settings: &Settings,
    request: &Request<'_>,
    spent: bool,
    shares: Vec<f64>,
    uniform: f64,
    explain: Explain,
) -> Option<(usize, f64, Option<Basis>)> {
    let variations = &settings.definition.variations;
    let eligible: Vec<bool> = (0..variations.len())
        .map(|position| eligible(&variations[settings.variation_at(position)], request, spent))
        .collect();
    let propensities = project(&shares, &eligible, settings.floors())?;
    let position = draw(&propensities, uniform);
    let propensity = propensities[position];
    let basis = (explain == Explain::Yes).then_some(Basis { shares, propensities, uniform });
    Some((position, propensity, basis))
}

/// Whether a variation may be shown: not what the request excludes, nor what costs once the budget is spent.
pub(crate) fn eligible(variation: &Variation, request: &Request<'_>, spent: bool) -> bool {
    let unaffordable = spent && variation.costs();
    !unaffordable && !request.exclude.contains(&variation.key)
}
