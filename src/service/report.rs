//! What an experiment has shown so far: tallies copied segment by segment, then inference from `report`.

use crate::domain::{ExperimentKey, GoalKey, Seed, SegmentKey, Slot, Timestamp, VariationKey};
use crate::engine::checkpoint::RewardCounts;
use crate::engine::definition::Status;
use crate::engine::error::NoExperiment;
use crate::engine::experiment::Active;
use crate::engine::segment::Segment;
use crate::policy::Arm;
use crate::posterior::tally::Tally;
use crate::report::intervals::{Interval, posterior_intervals};
use crate::report::lift::{Counts, Lift, lift};
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
    /// Posterior mean of the conversion rate.
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
    /// Reports on an experiment. Costs some 0.1 ms a segment: not for a thread that answers requests.
    ///
    /// # Errors
    /// If there is no such experiment.
    pub fn report(&self, key: &str) -> Result<Report, NoExperiment> {
        let experiment = self.engine.experiment(key)?;
        let active = experiment.active_full();
        let (mut learning, mut control) = (Tally::new(), Tally::new());
        let mut segments = Vec::new();
        for segment in active.segments() {
            let (trained, held_out) = {
                let tallies = segment.tallies();
                (tallies.learning_total.clone(), tallies.control_total.clone())
            };
            learning.merge(&trained);
            control.merge(&held_out);
            segments.push(SegmentReport {
                segment: segment.key().cloned().unwrap_or_else(|| SegmentKey::new(SegmentKey::ALL)),
                allocation: allocation(&active, &segment),
                cell: cell(&active, &trained, &held_out),
            });
        }
        Ok(Report {
            experiment: experiment.key().clone(),
            definition: active.settings.version,
            epoch: active.settings.epoch,
            status: experiment.status(),
            generated_at: self.clock.now(),
            totals: cell(&active, &learning, &control),
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

fn cell(active: &Active, learning: &Tally, control: &Tally) -> Cell {
    let settings = &active.settings;
    let definition = &settings.definition;
    let goals: Vec<(GoalKey, Slot)> =
        definition.goals.iter().enumerate().map(|(i, goal)| (goal.key.clone(), settings.goal_slot(i))).collect();
    let prior = settings.policy().prior();
    let current: Vec<Slot> = (0..definition.variations.len()).map(|index| settings.slot(index)).collect();
    let arm = |slot: Slot, goal: Slot| Arm {
        exposures: learning.exposures(slot),
        conversions: learning.conversions(slot, goal),
    };
    let primary: Vec<Arm> = current.iter().map(|slot| arm(*slot, settings.primary())).collect();
    let summaries = summarise(&primary, prior, Seed(0));
    let mut reports = Vec::with_capacity(active.variation_keys().len());
    for (index, slot) in current.iter().enumerate() {
        let mut report = variation(active, *slot, &goals, &|goal| arm(*slot, goal));
        report.best_probability = Some(summaries[index].best_probability);
        report.expected_loss = Some(summaries[index].expected_loss);
        reports.push(report);
    }
    for index in 0..active.variation_keys().len() {
        let Some(slot) = u16::try_from(index).ok().map(Slot) else { continue };
        if settings.variation_of(slot).is_none() {
            reports.push(variation(active, slot, &goals, &|goal| arm(slot, goal)));
        }
    }
    Cell {
        exposures: learning.all_exposures(),
        variations: reports,
        control: against_control(active, learning, control, &goals),
    }
}

fn variation(active: &Active, slot: Slot, goals: &[(GoalKey, Slot)], arm: &dyn Fn(Slot) -> Arm) -> VariationReport {
    let prior = active.settings.policy().prior();
    let arms: Vec<Arm> = goals.iter().map(|(_, goal)| arm(*goal)).collect();
    let intervals = posterior_intervals(&arms, prior);
    let goals = goals.iter().zip(&arms).zip(intervals).map(|(((key, _), arm), interval)| {
        let mean = crate::posterior::Beta::from_counts(prior, arm.exposures, arm.conversions, 1.0).mean();
        (key.clone(), GoalReport { conversions: arm.conversions, mean, interval })
    });
    VariationReport {
        variation: active.variation_keys()[slot.index()].clone(),
        exposures: arms.first().map_or(0, |arm| arm.exposures),
        goals: goals.collect(),
        best_probability: None,
        expected_loss: None,
    }
}

fn against_control(active: &Active, learning: &Tally, control: &Tally, goals: &[(GoalKey, Slot)]) -> ControlReport {
    let conversions = |tally: &Tally, goal: Slot| -> u64 {
        (0..active.variation_keys().len())
            .filter_map(|index| u16::try_from(index).ok())
            .map(|index| tally.conversions(Slot(index), goal))
            .sum()
    };
    let counts =
        |tally: &Tally, goal: Slot| Counts { exposures: tally.all_exposures(), conversions: conversions(tally, goal) };
    let goals = goals.iter().map(|(key, goal)| {
        let held_out = counts(control, *goal);
        (key.clone(), held_out.conversions, lift(held_out, counts(learning, *goal)))
    });
    ControlReport { exposures: control.all_exposures(), goals: goals.collect() }
}
