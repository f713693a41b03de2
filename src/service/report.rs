//! What an experiment has shown so far: tallies copied segment by segment, then inference from `report`.

use crate::domain::{ExperimentKey, GoalKey, Seed, SegmentKey, Slot, Timestamp, VariationKey};
use crate::engine::checkpoint::RewardCounts;
use crate::engine::definition::Status;
use crate::engine::error::NoExperiment;
use crate::engine::experiment::Active;
use crate::engine::segment::Segment;
use crate::posterior::Beta;
use crate::posterior::tally::Tally;
use crate::report::intervals::{Interval, posterior_interval};
use crate::report::lift::{Counts, Lift, lift};
use crate::report::standardised::standardised;
use crate::report::summary::summarise;
use crate::service::Service;

/// A report on the current epoch of an experiment.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which.
    pub experiment: ExperimentKey,
    /// Version of the definition in force.
    pub definition: u32,
    /// The epoch reported on.
    pub epoch: u32,
    /// Deciding or not.
    pub status: Status,
    /// When it was made.
    pub generated_at: Timestamp,
    /// All segments together.
    pub totals: Cell,
    /// Each segment, in order of keys.
    pub segments: Vec<SegmentReport>,
    /// What became of rewards.
    pub rewards: RewardCounts,
    /// Rewards and activations refused since the server's start.
    pub refused: u64,
    /// Those refused whose experiment could not be told, server-wide.
    pub refused_unattributed: u64,
    /// Conditions that could not be decided since the server's start.
    pub failed_conditions: u64,
}

/// One segment's part.
#[derive(Debug, Clone)]
pub struct SegmentReport {
    /// Its key.
    pub segment: SegmentKey,
    /// Current probability of each variation, in the definition's order, when nothing is excluded.
    pub allocation: Vec<(VariationKey, f64)>,
    /// What was counted.
    pub cell: Cell,
}

/// What was counted of some visitors, and what follows.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Exposures that train.
    pub exposures: u64,
    /// Each variation, in the definition's order, removed ones last.
    pub variations: Vec<VariationReport>,
    /// The control group of the same visitors.
    pub control: ControlReport,
}

/// One variation's part.
#[derive(Debug, Clone)]
pub struct VariationReport {
    /// Its key.
    pub variation: VariationKey,
    /// Exposures.
    pub exposures: u64,
    /// By goal, in the definition's order.
    pub goals: Vec<(GoalKey, GoalReport)>,
    /// Model probability of being the best for the primary goal; `None` for a removed variation.
    pub best_probability: Option<f64>,
    /// Expected rate lost against the best for the primary goal; `None` for a removed variation.
    pub expected_loss: Option<f64>,
}

/// One goal of one variation.
#[derive(Debug, Clone, Copy)]
pub struct GoalReport {
    /// Conversions.
    pub conversions: u64,
    /// Posterior mean of the conversion rate, standardised where the cell has several segments.
    pub mean: f64,
    /// 95 % posterior interval of it.
    pub interval: Interval,
}

/// The control group beside everyone else.
#[derive(Debug, Clone)]
pub struct ControlReport {
    /// Its exposures.
    pub exposures: u64,
    /// By goal: its conversions, and what the policy gains over it.
    pub goals: Vec<(GoalKey, u64, Lift)>,
}

impl Service {
    /// Reports on an experiment. Costs a quadrature a segment: not for a thread that answers requests.
    ///
    /// # Errors
    /// If there is no such experiment.
    pub fn report(&self, key: &str) -> Result<Report, NoExperiment> {
        let experiment = self.engine.experiment(key)?;
        let active = experiment.active_full();
        let mut counted = Vec::new();
        let mut segments = Vec::new();
        for segment in active.segments() {
            let part = {
                let tallies = segment.tallies();
                Counted { learning: tallies.learning_total.clone(), control: tallies.control_total.clone() }
            };
            segments.push(SegmentReport {
                segment: segment.key().cloned().unwrap_or_else(|| SegmentKey::new(SegmentKey::ALL)),
                allocation: allocation(&active, &segment),
                cell: cell(&active, std::slice::from_ref(&part)),
            });
            counted.push(part);
        }
        Ok(Report {
            experiment: experiment.key().clone(),
            definition: active.settings.version,
            epoch: active.settings.epoch,
            status: experiment.status(),
            generated_at: self.clock.now(),
            totals: cell(&active, &counted),
            segments,
            rewards: experiment.reward_counts(),
            refused: self.refused(Some(experiment.key())),
            refused_unattributed: self.refused(None),
            failed_conditions: experiment.failed_conditions(),
        })
    }
}

fn allocation(active: &Active, segment: &Segment) -> Vec<(VariationKey, f64)> {
    let propensities = active.propensities(segment);
    let variations = &active.settings.definition.variations;
    let mut by_definition = vec![0.0; variations.len()];
    for (position, propensity) in propensities.iter().enumerate() {
        by_definition[active.settings.variations_by_key()[position]] = *propensity;
    }
    variations.iter().map(|variation| variation.key.clone()).zip(by_definition).collect()
}

/// What one segment counted.
struct Counted {
    learning: Tally,
    control: Tally,
}

/// A cell of one segment or more. Counts are added up; rates are standardised over the segments, so that variations are
/// compared over the same mix of visitors.
fn cell(active: &Active, parts: &[Counted]) -> Cell {
    let settings = &active.settings;
    let definition = &settings.definition;
    let goals: Vec<(GoalKey, Slot)> =
        definition.goals.iter().enumerate().map(|(i, goal)| (goal.key.clone(), settings.goal_slot(i))).collect();
    let current: Vec<Slot> = (0..definition.variations.len()).map(|index| settings.slot(index)).collect();
    let primary: Vec<Beta> = current.iter().map(|slot| belief(active, parts, *slot, settings.primary())).collect();
    let summaries = summarise(&primary, Seed(0));
    let mut variations: Vec<VariationReport> =
        current.iter().map(|slot| variation(active, parts, *slot, &goals)).collect();
    for (report, summary) in variations.iter_mut().zip(summaries) {
        report.best_probability = Some(summary.best_probability);
        report.expected_loss = Some(summary.expected_loss);
    }
    let removed = slots(active).filter(|slot| settings.variation_of(*slot).is_none());
    variations.extend(removed.map(|slot| variation(active, parts, slot, &goals)));
    let exposures = parts.iter().map(|part| part.learning.all_exposures()).sum();
    Cell { exposures, variations, control: against_control(active, parts, &goals) }
}

/// Slots of all variations there ever were.
fn slots(active: &Active) -> impl Iterator<Item = Slot> + use<> {
    (0..active.variation_keys().len()).filter_map(|index| u16::try_from(index).ok()).map(Slot)
}

/// What is believed of a variation's rate over these segments, each weighing as many visitors as it has.
fn belief(active: &Active, parts: &[Counted], variation: Slot, goal: Slot) -> Beta {
    let prior = active.settings.policy().prior();
    let weighed: Vec<(f64, Beta)> = parts
        .iter()
        .map(|Counted { learning, .. }| {
            let (exposures, conversions) =
                (learning.exposures(variation) as f64, learning.conversions(variation, goal) as f64);
            let weight = learning.all_exposures() as f64;
            (weight, Beta::from_counts(prior, exposures, conversions, 1.0))
        })
        .filter(|(weight, _)| *weight > 0.0)
        .collect();
    if weighed.is_empty() { prior } else { standardised(&weighed) }
}

fn variation(active: &Active, parts: &[Counted], slot: Slot, goals: &[(GoalKey, Slot)]) -> VariationReport {
    let goals = goals.iter().map(|(key, goal)| {
        let posterior = belief(active, parts, slot, *goal);
        let conversions = parts.iter().map(|part| part.learning.conversions(slot, *goal)).sum();
        (key.clone(), GoalReport { conversions, mean: posterior.mean(), interval: posterior_interval(&posterior) })
    });
    VariationReport {
        variation: active.variation_keys()[slot.index()].clone(),
        exposures: parts.iter().map(|part| part.learning.exposures(slot)).sum(),
        goals: goals.collect(),
        best_probability: None,
        expected_loss: None,
    }
}

fn against_control(active: &Active, parts: &[Counted], goals: &[(GoalKey, Slot)]) -> ControlReport {
    let counts = |side: fn(&Counted) -> &Tally, goal: Slot| Counts {
        exposures: parts.iter().map(|part| side(part).all_exposures()).sum(),
        conversions: parts
            .iter()
            .map(|part| slots(active).map(|slot| side(part).conversions(slot, goal)).sum::<u64>())
            .sum(),
    };
    let goals = goals.iter().map(|(key, goal)| {
        let held_out = counts(|part| &part.control, *goal);
        (key.clone(), held_out.conversions, lift(held_out, counts(|part| &part.learning, *goal)))
    });
    let exposures = parts.iter().map(|part| part.control.all_exposures()).sum();
    ControlReport { exposures, goals: goals.collect() }
}
