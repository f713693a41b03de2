//! One segment or several: counts are added up; means are standardised over the segments, so that variations are compared over the
//! same mix of visitors.

use crate::domain::{GoalKind, Seed, Slot};
use crate::engine::definition::Goal;
use crate::engine::experiment::Active;
use crate::engine::reading::SegmentReading;
use crate::posterior::hurdle::Estimate;
use crate::posterior::tally::Tally;
use crate::posterior::{Arm, Beta};
use crate::report::intervals::{Interval, posterior_interval};
use crate::report::lift::{Counts, Sums, lift, mean_lift};
use crate::report::standardised::standardised;
use crate::report::value::{Revenue, counts, revenue};
use crate::service::report::beliefs::Believed;
use crate::service::report::{AgainstControl, Cell, ControlReport, GoalReport, ValueReport, VariationReport};

/// What a cell is made from.
pub(super) struct Seen<'a> {
    pub(super) parts: &'a [&'a SegmentReading],
    /// What the policy believes of them; `None` where it has no beliefs about segments.
    pub(super) believed: Option<&'a Believed>,
}

pub(super) fn cell(active: &Active, seen: &Seen<'_>) -> Cell {
    let settings = &active.settings;
    let current: Vec<Slot> = (0..settings.definition.variations.len()).map(|index| settings.slot(index)).collect();
    let removed = slots(active).filter(|slot| settings.variation_of(*slot).is_none());
    let all: Vec<Slot> = current.iter().copied().chain(removed).collect();
    let mut variations: Vec<VariationReport> = all
        .iter()
        .enumerate()
        .map(|(index, slot)| VariationReport {
            variation: active.variation_keys()[slot.index()].clone(),
            removed: index >= current.len(),
            exposures: seen.parts.iter().map(|part| part.learning.exposures(*slot)).sum(),
            goals: Vec::new(),
            best_probability: None,
            expected_loss: None,
            margin: None,
        })
        .collect();
    for (index, goal) in settings.definition.goals.iter().enumerate() {
        let slot = settings.goal_slot(index);
        let mut reports = goal_reports(active, seen.parts, goal, slot, &all);
        if let (Some(believed), true) = (seen.believed, slot == settings.primary()) {
            let shrunken = believed.shrunken.iter().copied().map(Some);
            reports.iter_mut().zip(shrunken).for_each(|(report, shrunken)| report.shrunken = shrunken);
        }
        for (variation, report) in variations.iter_mut().zip(reports) {
            variation.goals.push((goal.key.clone(), report));
        }
    }
    if let Some(believed) = seen.believed {
        for (variation, (best, loss)) in variations.iter_mut().zip(&believed.best) {
            (variation.best_probability, variation.expected_loss) = (Some(*best), Some(*loss));
        }
        variations.iter_mut().zip(&believed.margins).for_each(|(variation, margin)| variation.margin = Some(*margin));
    }
    let half_life = seen.parts.first().and_then(|part| part.half_life);
    Cell {
        exposures: seen.parts.iter().map(|part| part.learning.all_exposures()).sum(),
        effective_exposures: seen
            .parts
            .iter()
            .map(|part| part.effective_exposures)
            .sum::<Option<f64>>()
            .filter(|_| !seen.parts.is_empty()),
        open_exposures: seen.parts.iter().map(|part| part.open_exposures).sum(),
        half_life: half_life.filter(|_| seen.parts.iter().all(|part| part.half_life == half_life)),
        variations,
        control: against_control(active, seen.parts),
    }
}

/// Slots of all variations there ever were.
fn slots(active: &Active) -> impl Iterator<Item = Slot> + use<> {
    (0..active.variation_keys().len()).filter_map(|index| u16::try_from(index).ok()).map(Slot)
}

/// One goal of every variation, in the order of the slots.
fn goal_reports(
    active: &Active,
    parts: &[&SegmentReading],
    goal: &Goal,
    slot: Slot,
    variations: &[Slot],
) -> Vec<GoalReport> {
    let prior = active.settings.policy().prior();
    let conversions =
        |variation: Slot| parts.iter().map(|part| part.learning.conversions(variation, slot)).sum::<u64>();
    let sum = |variation: Slot| parts.iter().map(|part| part.learning.moments(variation, slot).sum).sum::<i128>();
    match goal.kind {
        GoalKind::Conversion => {
            let report = |variation: &Slot| {
                let posterior = rate(prior, parts, *variation, slot);
                GoalReport {
                    conversions: conversions(*variation),
                    mean: posterior.mean(),
                    interval: Some(posterior_interval(&posterior)),
                    shrunken: None,
                    value: ValueReport::Conversion,
                }
            };
            variations.iter().map(report).collect()
        }
        GoalKind::Revenue => {
            let found = revenue(prior, &weighed(parts, variations, slot), Seed(0));
            let report = |(index, variation): (usize, &Slot)| {
                let found: Option<Revenue> = found.as_ref().map(|found| found[index]);
                GoalReport {
                    conversions: conversions(*variation),
                    mean: found.map_or(0.0, |found| found.visitor.mean),
                    interval: found.map(|found| interval(found.visitor)),
                    shrunken: None,
                    value: ValueReport::Revenue {
                        sum: sum(*variation),
                        currency: goal.currency,
                        conversion_rate: found.map(|found| found.conversion_rate),
                        order_value: found.and_then(|found| found.order_value),
                    },
                }
            };
            variations.iter().enumerate().map(report).collect()
        }
        GoalKind::Count => {
            let found = counts(&weighed(parts, variations, slot));
            let report = |(variation, found): (&Slot, &Estimate)| GoalReport {
                conversions: conversions(*variation),
                mean: found.mean,
                interval: Some(interval(*found)),
                shrunken: None,
                value: ValueReport::Count { sum: sum(*variation) },
            };
            variations.iter().zip(&found).map(report).collect()
        }
    }
}

const fn interval(estimate: Estimate) -> Interval {
    Interval { low: estimate.low, high: estimate.high }
}

/// What is believed of a variation's rate over these segments, each weighing as many visitors as it has.
fn rate(prior: Beta, parts: &[&SegmentReading], variation: Slot, goal: Slot) -> Beta {
    let weighed: Vec<(f64, Beta)> = parts
        .iter()
        .filter(|part| part.learning.all_exposures() > 0)
        .map(|SegmentReading { learning, .. }| {
            let (exposures, conversions) =
                (learning.exposures(variation) as f64, learning.conversions(variation, goal) as f64);
            (learning.all_exposures() as f64, Beta::from_counts(prior, exposures, conversions, 1.0))
        })
        .collect();
    if weighed.is_empty() { prior } else { standardised(&weighed) }
}

/// Counts of every variation in each segment that has visitors; of nobody where none has.
fn weighed(parts: &[&SegmentReading], variations: &[Slot], goal: Slot) -> Vec<(f64, Vec<Arm>)> {
    let arm = |tally: &Tally, variation: Slot| {
        let moments = tally.moments(variation, goal);
        Arm {
            exposures: tally.exposures(variation) as f64,
            conversions: tally.conversions(variation, goal) as f64,
            sum: moments.sum as f64,
            squares: moments.squares as f64,
        }
    };
    let mut weighed: Vec<(f64, Vec<Arm>)> = parts
        .iter()
        .map(|part| &part.learning)
        .filter(|learning| learning.all_exposures() > 0)
        .map(|learning| {
            let arms = variations.iter().map(|variation| arm(learning, *variation)).collect();
            (learning.all_exposures() as f64, arms)
        })
        .collect();
    if weighed.is_empty() {
        weighed.push((1.0, vec![Arm::default(); variations.len()]));
    }
    weighed
}

fn against_control(active: &Active, parts: &[&SegmentReading]) -> ControlReport {
    let counts = |side: fn(&SegmentReading) -> &Tally, goal: Slot| Counts {
        exposures: parts.iter().map(|part| side(part).all_exposures()).sum(),
        conversions: parts
            .iter()
            .map(|part| slots(active).map(|slot| side(part).conversions(slot, goal)).sum::<u64>())
            .sum(),
    };
    let sums = |side: fn(&SegmentReading) -> &Tally, goal: Slot| {
        let tallies = parts.iter().map(|part| side(part));
        let moments = tallies.flat_map(|tally| slots(active).map(move |slot| tally.moments(slot, goal)));
        let (sum, squares) = moments.fold((0, 0), |(sum, squares), of| (sum + of.sum, squares + of.squares));
        Sums { exposures: counts(side, goal).exposures, sum, squares }
    };
    let goals = active.settings.definition.goals.iter().enumerate().map(|(index, goal)| {
        let slot = active.settings.goal_slot(index);
        let held_out = counts(|part| &part.control, slot);
        let against = AgainstControl {
            conversions: held_out.conversions,
            lift: lift(held_out, counts(|part| &part.learning, slot)),
            mean_lift: match goal.kind {
                GoalKind::Conversion => None,
                GoalKind::Revenue | GoalKind::Count => {
                    mean_lift(sums(|part| &part.control, slot), sums(|part| &part.learning, slot))
                }
            },
        };
        (goal.key.clone(), against)
    });
    let exposures = parts.iter().map(|part| part.control.all_exposures()).sum();
    ControlReport { exposures, goals: goals.collect() }
}
