//! Replications: many runs of the same scenario, on every core, in the same order whatever the number of threads.

use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use mabel::domain::Seed;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::simulations::player::{self, Course, Outcome};
use crate::simulations::strategies::Strategy;
use crate::simulations::world::{Visitor, World};

/// One run of all strategies on the same visitors.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) ceiling: Ceiling,
    /// In the scenario's order.
    pub(crate) outcomes: Vec<Outcome>,
}

/// What this run's visitors would have given whoever knew the truth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ceiling {
    /// Expected conversions if each segment is shown its best variation.
    pub(crate) oracle: f64,
    /// Expected conversions if all are shown the best one variation.
    pub(crate) best_single: f64,
    /// What the latter loses against the former, after each of [`Course::points`].
    pub(crate) best_single_regret: Vec<f64>,
}

/// Plays all runs; `None` if it was told to stop. Allocations are kept for the strategy `pictured` alone.
pub(crate) fn run_all(
    world: &World,
    strategies: &[Strategy],
    course: Course,
    seeds: &[Seed],
    pictured: usize,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Option<Vec<Run>> {
    // Collecting keeps the order of the runs, so that sums over them are the same bits on one thread and on many.
    seeds
        .into_par_iter()
        .map(|seed| {
            let mut outcomes = Vec::with_capacity(strategies.len());
            for (index, strategy) in strategies.iter().enumerate() {
                let mut outcome = player::play(world, strategy, course, *seed, stop)?;
                if pictured != index {
                    outcome.allocations = Vec::new();
                }
                outcomes.push(outcome);
                progress.inc(1);
            }
            Some(Run { ceiling: Ceiling::of(world, course, *seed), outcomes })
        })
        .collect()
}

impl Ceiling {
    fn of(world: &World, course: Course, run: Seed) -> Self {
        let mut ceiling = Self { oracle: 0.0, best_single: 0.0, best_single_regret: Vec::new() };
        let points = course.points();
        for phase in world.phases(course.visitors) {
            for index in phase.visitors.clone() {
                let segment = Visitor::of(run, index, world).segment;
                ceiling.oracle += phase.best[segment];
                ceiling.best_single += world.segments[segment].rates[phase.best_single];
                if points.get(ceiling.best_single_regret.len()) == Some(&(index + 1)) {
                    ceiling.best_single_regret.push(ceiling.oracle - ceiling.best_single);
                }
            }
        }
        ceiling
    }
}

/// A bar on the terminal; nothing where there is none.
pub(crate) fn progress(name: &str, plays: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} plays, {eta} left")
        .expect("the template is a constant");
    ProgressBar::new(plays).with_style(style).with_message(name.to_owned())
}

/// One seed per run. SplitMix64's finaliser keeps runs of neighbouring seeds apart.
pub(crate) fn seeds(seed: u64, runs: u32) -> Vec<Seed> {
    (0..u64::from(runs)).map(|run| Seed(seed).child(run)).collect()
}

#[cfg(test)]
mod tests;
