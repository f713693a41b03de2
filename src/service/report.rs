//! What an experiment has shown so far: tallies copied segment by segment, then inference from `report`, and what the policy
//! believes.

mod beliefs;
mod cell;
mod verdict;

use crate::domain::{Currency, ExperimentKey, GoalKey, SegmentKey, Span, Timestamp, VariationKey};
use crate::engine::checkpoint::RewardCounts;
use crate::engine::definition::{Objective, Status, Variation};
use crate::engine::error::NoExperiment;
use crate::engine::experiment::{Active, Experiment};
use crate::engine::reading::{Reading, SegmentReading};
use crate::engine::segment::Segment;
use crate::posterior::hurdle::Estimate;
use crate::report::borrowing::{Borrowing, borrowing};
use crate::report::delays::DelaysByVariation;
use crate::report::intervals::Interval;
use crate::report::lift::{Lift, MeanLift};
use crate::service::Service;
use crate::service::report::beliefs::Beliefs;
use crate::service::report::cell::{Seen, cell};
pub use crate::service::report::verdict::Stopped;

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
    /// What best probabilities and expected losses are about.
    pub objective: Objective,
    /// Whose allocation stands under a segment.
    pub allocation_of: AllocationOf,
    /// All segments together.
    pub totals: Cell,
    /// Each segment, in order of keys.
    pub segments: Vec<SegmentReport>,
    /// How much segments borrow from each other; `None` where they do not, or there is one.
    pub borrowing: Option<Borrowing>,
    /// How long rewards of the primary goal take by variation; `None` until two of them have enough rewards to be compared.
    pub delays: Option<DelaysByVariation>,
    /// What costed variations have spent, where there is one.
    pub spending: Option<Spending>,
    /// Whether the experiment has said what it can; `None` where the policy learns from features, whose beliefs are about single
    /// visitors.
    pub stopping: Option<Stopped>,
    /// What became of rewards.
    pub rewards: RewardCounts,
    /// Rewards and activations refused since the server's start.
    pub refused: u64,
    /// Those refused whose experiment could not be told, server-wide.
    pub refused_unattributed: u64,
    /// Conditions that could not be decided since the server's start.
    pub failed_conditions: u64,
}

/// Whose allocation stands under a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationOf {
    /// The segment's.
    Segment,
    /// That of a visitor of whom nothing is known: the policy has none of a segment.
    UnknownVisitor,
}

/// What costed variations have spent in the epoch, in minor units of the primary goal's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spending {
    /// By everyone but the control group.
    pub spent: f64,
    /// Of which currency, if the primary goal says.
    pub currency: Option<Currency>,
    /// What they may spend, if that is limited.
    pub budget: Option<BudgetReport>,
}

/// A budget and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetReport {
    /// All of it.
    pub amount: f64,
    /// Visitors it has to last for.
    pub visitors: u64,
    /// λ: each unit spent counts as 1 + λ units.
    pub price: f64,
    /// Whether there is no room for what one more costed variation may cost.
    pub exhausted: bool,
}

/// One segment's part.
#[derive(Debug, Clone)]
pub struct SegmentReport {
    /// Its key.
    pub segment: SegmentKey,
    /// Current probability of each variation, in the definition's order, when nothing is excluded.
    pub allocation: Vec<(VariationKey, f64)>,
    /// How much of what is believed of it comes from its own counts, 0 to 1; `None` where segments do not borrow.
    pub own_weight: Option<f64>,
    /// What was counted.
    pub cell: Cell,
}

/// What was counted of some visitors, and what follows.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Exposures that train.
    pub exposures: u64,
    /// Those that the policy's beliefs rest on, where some are forgotten or not yet known.
    pub effective_exposures: Option<f64>,
    /// Exposures whose window for the primary goal is still open: more of them may convert, so raw means are low until then.
    pub open_exposures: u64,
    /// In which time what was seen loses half of its weight, as fixed or as picked; `None` where nothing is forgotten, or segments
    /// differ.
    pub half_life: Option<Span>,
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
    /// Whether it is in the definition no more.
    pub removed: bool,
    /// Exposures.
    pub exposures: u64,
    /// By goal, in the definition's order.
    pub goals: Vec<(GoalKey, GoalReport)>,
    /// Model probability of being the best; `None` for a removed variation, or where the policy learns from features.
    pub best_probability: Option<f64>,
    /// What is expected to be lost per exposure against the best, in the unit of what is maximised; `None` as above.
    pub expected_loss: Option<f64>,
    /// What a visitor is worth less the variation's costs, in minor units, where that is maximised.
    pub margin: Option<Estimate>,
}

/// One goal of one variation.
#[derive(Debug, Clone, Copy)]
pub struct GoalReport {
    /// Conversions: exposures with a reward.
    pub conversions: u64,
    /// Posterior mean per visitor, of the counts as they stand: a rate, minor units or a count; standardised where the cell has
    /// several segments.
    pub mean: f64,
    /// 95 % posterior interval of it; `None` for revenue before the first reward.
    pub interval: Option<Interval>,
    /// The primary goal's mean with what is borrowed from other segments.
    pub shrunken: Option<Estimate>,
    /// What rewards with values add.
    pub value: ValueReport,
}

/// What rewards with values add.
#[derive(Debug, Clone, Copy)]
pub enum ValueReport {
    /// They have none.
    Conversion,
    /// Money.
    Revenue {
        /// Σ value, in minor units.
        sum: i128,
        /// Of which currency.
        currency: Option<Currency>,
        /// The share of visitors with an order; `None` before the first.
        conversion_rate: Option<Estimate>,
        /// The mean value of an order, in minor units; `None` before the first.
        order_value: Option<Estimate>,
    },
    /// How often it happened.
    Count {
        /// In all.
        sum: i128,
    },
}

/// The control group beside everyone else.
#[derive(Debug, Clone)]
pub struct ControlReport {
    /// Its exposures.
    pub exposures: u64,
    /// By goal.
    pub goals: Vec<(GoalKey, AgainstControl)>,
}

/// One goal of the control group.
#[derive(Debug, Clone, Copy)]
pub struct AgainstControl {
    /// Its conversions.
    pub conversions: u64,
    /// What the policy gains over it in conversions.
    pub lift: Lift,
    /// What it gains per visitor, where rewards have values.
    pub mean_lift: Option<MeanLift>,
}

impl Service {
    /// Reports on an experiment. Costs some thousand joint draws a segment: not for a thread that answers requests.
    ///
    /// # Errors
    /// If there is no such experiment.
    pub fn report(&self, key: &str) -> Result<Report, NoExperiment> {
        let experiment = self.engine.experiment(key)?;
        let active = experiment.active_full();
        let now = self.clock.now();
        let reading = active.reading();
        let (reads, mut beliefs) = read(&active, &reading, now);
        let mut segments = Vec::with_capacity(reads.len());
        for (segment, read) in &reads {
            let believed = beliefs.as_mut().map(|beliefs| beliefs.add(read));
            segments.push(SegmentReport {
                segment: segment.key().cloned().unwrap_or_else(|| SegmentKey::new(SegmentKey::ALL)),
                allocation: allocation(&active, segment),
                own_weight: own_weight(&reading, read),
                cell: cell(&active, &Seen { parts: &[read], believed: believed.as_ref() }),
            });
        }
        let parts: Vec<&SegmentReading> = reads.iter().map(|(_, read)| read).collect();
        let total = beliefs.map(|beliefs| beliefs.total(&reading.nobody()));
        Ok(Report {
            experiment: experiment.key().clone(),
            definition: active.settings.version,
            epoch: active.settings.epoch,
            status: experiment.status(),
            generated_at: now,
            objective: active.settings.definition.policy.objective,
            allocation_of: if total.is_some() { AllocationOf::Segment } else { AllocationOf::UnknownVisitor },
            totals: cell(&active, &Seen { parts: &parts, believed: total.as_ref().map(|total| &total.believed) }),
            segments,
            borrowing: reading.fitted().filter(|_| reads.len() > 1).map(|fitted| borrowing(&fitted.computed.fit)),
            delays: delays(&active),
            spending: spending(&experiment, &active, &reading, &parts),
            stopping: total.map(|total| verdict::verdict(&active, &parts, &total.scores)),
            rewards: experiment.reward_counts(),
            refused: self.refused(Some(experiment.key())),
            refused_unattributed: self.refused(None),
            failed_conditions: experiment.failed_conditions(),
        })
    }
}

/// Whether an experiment has said what it can, and nothing else of its report; `None` where that is not asked of its policy.
pub(crate) fn stopped(active: &Active, now: Timestamp) -> Option<Stopped> {
    let reading = active.reading();
    let (reads, beliefs) = read(active, &reading, now);
    let mut beliefs = beliefs?;
    for (_, read) in &reads {
        beliefs.add(read);
    }
    let total = beliefs.total(&reading.nobody());
    let parts: Vec<&SegmentReading> = reads.iter().map(|(_, read)| read).collect();
    Some(verdict::verdict(active, &parts, &total.scores))
}

type Read = (std::sync::Arc<Segment>, SegmentReading);

/// All segments, and what will be believed of them; nothing where the policy learns from features.
fn read<'a>(active: &'a Active, reading: &Reading<'_>, now: Timestamp) -> (Vec<Read>, Option<Beliefs<'a>>) {
    let of = |segment: std::sync::Arc<Segment>| {
        let read = reading.of(&segment, now);
        (segment, read)
    };
    let reads: Vec<Read> = active.segments().into_iter().map(of).collect();
    let beliefs = (!active.settings.is_contextual()).then(|| Beliefs::new(active, reads.len(), reading.price()));
    (reads, beliefs)
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

fn own_weight(reading: &Reading<'_>, read: &SegmentReading) -> Option<f64> {
    let evidence = read.evidence();
    let fitted = reading.fitted()?;
    Some(fitted.computed.fit.believe(evidence.arms, evidence.expected_visitors, 1.0).own_weight())
}

/// Of the definition's variations.
fn delays(active: &Active) -> Option<DelaysByVariation> {
    let compared = active.delays()?;
    let variations = active.settings.definition.variations.iter().enumerate();
    let half = |(index, variation): (usize, &Variation)| {
        let found = compared.halves.iter().find(|(slot, _)| *slot == active.settings.slot(index));
        found.map(|(_, half)| (variation.key.clone(), *half))
    };
    Some(DelaysByVariation { p: compared.p, halves: variations.filter_map(half).collect() })
}

fn spending(
    experiment: &Experiment,
    active: &Active,
    reading: &Reading<'_>,
    parts: &[&SegmentReading],
) -> Option<Spending> {
    let definition = &active.settings.definition;
    let budget = definition.budget.map(|budget| BudgetReport {
        amount: budget.amount,
        visitors: budget.visitors,
        price: reading.price().excess,
        exhausted: experiment.exhausted(),
    });
    let spent = parts.iter().map(|part| active.spent(&part.learning)).sum();
    let currency = active.settings.primary_goal().currency;
    (definition.costs() || budget.is_some()).then_some(Spending { spent, currency, budget })
}
