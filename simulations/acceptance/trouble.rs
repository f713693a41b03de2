//! What befalls a server changes nothing that it does not promise to change: equal to the last bit, run by run.

use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;

use crate::simulations::acceptance::read;
use crate::simulations::player::Course;
use crate::simulations::runner;
use crate::simulations::scenario::Overrides;

/// Regret over time of every strategy of a scenario by name, in each of so many runs, as bits.
struct Played {
    names: Vec<String>,
    curves: Vec<Vec<Vec<f64>>>,
    visitors: f64,
}

fn played(name: &str, runs: u32) -> Played {
    let scenario = read(name, Overrides { runs: Some(runs), ..Overrides::default() }).scenarios.remove(0);
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, runs);
    let stop = AtomicBool::new(false);
    let strategies = &scenario.strategies;
    let runs = runner::run_all(scenario.world(), strategies, course, &seeds, 0, &stop, &ProgressBar::hidden());
    let curves = runs.expect("not stopped").into_iter().map(|run| {
        assert!(run.outcomes.iter().all(|outcome| outcome.sample_ratio.passes()), "{name}");
        run.outcomes.into_iter().map(|outcome| outcome.regret).collect()
    });
    let names = strategies.iter().map(|strategy| strategy.name.clone()).collect();
    Played { names, curves: curves.collect(), visitors: scenario.visitors as f64 }
}

impl Played {
    fn curves<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Vec<f64>> {
        let index = self.names.iter().position(|known| known == name);
        let index = index.unwrap_or_else(|| panic!("no strategy {name:?}"));
        self.curves.iter().map(move |run| &run[index])
    }

    fn bits(&self, name: &str) -> Vec<Vec<u64>> {
        self.curves(name).map(|curve| curve.iter().map(|regret| regret.to_bits()).collect()).collect()
    }

    fn total(&self, name: &str) -> f64 {
        self.curves(name).map(|curve| curve.last().expect("a run has an end")).sum()
    }
}

#[test]
fn a_restart_midway_changes_nothing() {
    let played = played("restart-midway", 3);
    let policies = ["per-segment Thompson", "partial pooling", "half-life"];
    for policy in policies {
        assert_eq!(played.bits(policy), played.bits(&format!("{policy}, restarted")), "{policy}");
    }
    assert_ne!(played.bits(policies[0]), played.bits(policies[2]), "they are not all alike");
}

#[test]
fn a_store_that_fails_midway_costs_the_visitors_of_that_time_and_nothing_else() {
    let played = played("store-fails-midway", 3);
    assert_eq!(played.bits("the store fails"), played.bits("nobody asks"));
    for (undisturbed, fails) in played.curves("undisturbed").zip(played.curves("the store fails")) {
        // Up to 60 % of the run nothing has happened: point 120 of 200.
        assert!(undisturbed[..120].iter().zip(fails).all(|(one, other)| one.to_bits() == other.to_bits()));
        // Each visitor of a tenth is shown the default, worth 0.02 less than the best of both segments.
        let lost = fails[139] - fails[119];
        assert!((lost - 0.1 * played.visitors * 0.02).abs() < 1e-6, "{lost}");
    }
    assert!(played.total("the store fails") > played.total("undisturbed"));
}
