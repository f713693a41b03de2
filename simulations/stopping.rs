//! Scenarios that ask when an experiment has said what it can (STATISTICS §11): how long that takes, and what is lost by then.

use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;
use mabel::report::stopping::{Reason, StoppingRule};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use crate::simulations::player::{Course, Finish, play_until_finished};
use crate::simulations::runner;
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::Scenario;
use crate::simulations::statistics::{Mean, quantile};
use crate::simulations::strategies::Strategy;
use crate::simulations::world::blueprint::Blueprint;

/// What is asked of every strategy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stopping {
    /// Visitors from one look to the next.
    pub(crate) every: u64,
    pub(crate) rules: Vec<NamedRule>,
}

/// A rule as tables name it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedRule {
    pub(crate) name: String,
    pub(crate) rule: StoppingRule,
}

/// What all runs of a scenario say about stopping rules.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StoppingResult {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) seed: u64,
    pub(crate) runs: u32,
    /// After which a run is over, whatever a rule says.
    pub(crate) visitors: u64,
    pub(crate) every: u64,
    pub(crate) rows: Vec<StoppingRow>,
    pub(crate) sample_ratio: SampleRatio,
}

/// One rule on one strategy. Shares are of runs, and losses shares of what the variation that is kept earns.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StoppingRow {
    pub(crate) strategy: String,
    pub(crate) rule: String,
    pub(crate) visitors_median: f64,
    /// Runs in which more is lost than the rule says could be gained: its value remaining, or its equivalence where it found no
    /// practical difference.
    pub(crate) exceeded: f64,
    pub(crate) exceeded_se: Option<f64>,
    pub(crate) loss_mean: f64,
    pub(crate) loss_se: Option<f64>,
    /// Runs that ended because there is no practical difference.
    pub(crate) alike: f64,
    /// Runs that were over before the rule said so.
    pub(crate) unfinished: f64,
}

/// Plays all runs of all strategies; `None` if it was told to stop.
pub(crate) fn run_all(
    scenario: &Scenario,
    blueprint: &Blueprint,
    asked: &Stopping,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Option<StoppingResult> {
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, scenario.runs);
    let mut rows = Vec::new();
    let mut sample_ratio = SampleRatio::default();
    for strategy in &scenario.strategies {
        let played = seeds.par_iter().map(|seed| {
            let world = blueprint.draw(*seed, course.visitors);
            let played = play_until_finished(&world, strategy, course, *seed, stop, asked);
            progress.inc(1);
            played
        });
        let played: Vec<(Vec<Finish>, SampleRatio)> = played.collect::<Option<_>>()?;
        sample_ratio = played.iter().map(|(_, check)| *check).fold(sample_ratio, SampleRatio::worst);
        for (place, named) in asked.rules.iter().enumerate() {
            let finishes: Vec<Finish> = played.iter().map(|(finishes, _)| finishes[place]).collect();
            rows.push(row(strategy, named, &finishes));
        }
    }
    Some(StoppingResult {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed: scenario.seed,
        runs: scenario.runs,
        visitors: scenario.visitors,
        every: asked.every,
        rows,
        sample_ratio,
    })
}

fn row(strategy: &Strategy, named: &NamedRule, finishes: &[Finish]) -> StoppingRow {
    let each = |value: &dyn Fn(&Finish) -> f64| finishes.iter().map(value).collect::<Vec<f64>>();
    let share = |holds: &dyn Fn(&Finish) -> bool| Mean::of(&each(&|finish| f64::from(u8::from(holds(finish)))));
    let alike = |finish: &Finish| finish.reason == Reason::NoPracticalDifference;
    let said = |finish: &Finish| if alike(finish) { named.rule.equivalence } else { named.rule.value_remaining };
    let exceeded = share(&|finish| finish.loss > said(finish));
    let loss = Mean::of(&each(&|finish| finish.loss));
    let finished = |finish: &Finish| match finish.reason {
        Reason::ValueRemaining | Reason::NoPracticalDifference | Reason::Limit => true,
        Reason::Younger(_) | Reason::Fewer(..) | Reason::Uncertain => false,
    };
    StoppingRow {
        strategy: strategy.name.clone(),
        rule: named.name.clone(),
        visitors_median: quantile(&each(&|finish| finish.visitors as f64), 0.5),
        exceeded: exceeded.mean,
        exceeded_se: exceeded.se,
        loss_mean: loss.mean,
        loss_se: loss.se,
        alike: share(&alike).mean,
        unfinished: share(&|finish| !finished(finish)).mean,
    }
}

#[cfg(test)]
mod tests;
