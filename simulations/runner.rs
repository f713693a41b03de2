//! Replications: many runs of the same scenario, on every core, in the same order whatever the number of threads.

use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use mabel::domain::Seed;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::simulations::player::{self, Course, Outcome};
use crate::simulations::strategies::Strategy;
use crate::simulations::world::blueprint::Blueprint;
use crate::simulations::world::{Phase, Scratch, Visitor, World, highest};

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
    /// Expected reward if everyone is shown what is best for them at that moment.
    pub(crate) oracle: f64,
    /// The same, after each of [`Course::points`].
    pub(crate) oracle_curve: Vec<f64>,
    /// Expected reward if all are shown the best one variation.
    pub(crate) best_single: f64,
    /// What that loses against the oracle, after each of [`Course::points`].
    pub(crate) best_single_regret: Vec<f64>,
}

/// Plays all runs; `None` if it was told to stop. Allocations are kept for the strategy `pictured` alone, and only where
/// runs share one truth: a mean over truths would say nothing.
pub(crate) fn run_all(
    blueprint: &Blueprint,
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
            let world = blueprint.draw(*seed, course.visitors);
            let mut outcomes = Vec::with_capacity(strategies.len());
            for (index, strategy) in strategies.iter().enumerate() {
                let mut outcome = player::play(&world, strategy, course, *seed, stop)?;
                if pictured != index || !blueprint.is_stated() {
                    outcome.allocations = Vec::new();
                }
                outcomes.push(outcome);
                progress.inc(1);
            }
            Some(Run { ceiling: Ceiling::of(&world, course, *seed), outcomes })
        })
        .collect()
}

impl Ceiling {
    fn of(world: &World, course: Course, run: Seed) -> Self {
        let mut ceiling =
            Self { oracle: 0.0, oracle_curve: Vec::new(), best_single: 0.0, best_single_regret: Vec::new() };
        let points = course.points();
        let mut scratch = Scratch::default();
        for phase in world.phases(course.visitors) {
            let single = phase.best_single.unwrap_or_else(|| best_of_these(world, &phase, run));
            for index in phase.visitors.clone() {
                let visitor = Visitor::of(run, index, world);
                world.look(index, &visitor, &mut scratch);
                let scene = world.scene(index, &visitor, &phase, &scratch);
                ceiling.oracle += scene.values[scene.best];
                ceiling.best_single += scene.values[single];
                if points.get(ceiling.oracle_curve.len()) == Some(&(index + 1)) {
                    ceiling.oracle_curve.push(ceiling.oracle);
                    ceiling.best_single_regret.push(ceiling.oracle - ceiling.best_single);
                }
            }
        }
        ceiling
    }

    /// Whether showing each visitor their own best wins anything over the best one variation for all.
    pub(crate) fn rewards_segments(&self) -> bool {
        // Rates are decimal fractions in f64: what rounding leaves of equal ones is no gap.
        self.oracle - self.best_single > 1e-9 * self.oracle.abs()
    }
}

/// The best one variation for the very visitors of a phase.
fn best_of_these(world: &World, phase: &Phase, run: Seed) -> usize {
    let mut sums = vec![0.0; world.variations.len()];
    let mut scratch = Scratch::default();
    for index in phase.visitors.clone() {
        let visitor = Visitor::of(run, index, world);
        world.look(index, &visitor, &mut scratch);
        let scene = world.scene(index, &visitor, phase, &scratch);
        sums.iter_mut().zip(scene.values).for_each(|(sum, value)| *sum += value);
    }
    highest(&phase.available, |v| sums[v])
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
