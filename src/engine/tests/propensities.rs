//! What is logged is what happens: for every policy, with and without floor, exclusions and control, each variation is
//! shown as often as its logged propensities add up to, |z| ≤ 4.

use std::sync::Arc;

use crate::domain::{Context, VariationKey};
use crate::engine::decide::Reason;
use crate::engine::tests::driver::{Driver, definition, share};
use crate::policy::REGISTRY;

const ROUNDS: u64 = 20_000;

fn keys() -> Vec<VariationKey> {
    ["bold", "offer", "plain"].map(|key| VariationKey::new(key).expect("a key")).to_vec()
}

fn check(kind: &str, floor: f64, control: f64, exclude: &[&str]) {
    let registration = crate::policy::registration(kind).expect("registered");
    let mut definition = definition(kind, (registration.example)(&keys()));
    definition.policy.floor = floor;
    definition.control = share(control);
    let mut driver = Driver::with(definition);
    // Learn something uneven first, so that shares are neither equal nor certain.
    for index in 0..300 {
        driver.play(&Context::new(), index, |variation| [0.30, 0.34, 0.32][variation]);
    }
    let exclude: Vec<VariationKey> = exclude.iter().map(|key| VariationKey::new(key).expect("a key")).collect();
    let name = format!("{kind}, floor {floor}, control {control}, without {exclude:?}");
    let (mut shown, mut expected, mut variance) = ([0.0_f64; 3], [0.0_f64; 3], [0.0_f64; 3]);
    let mut held = 0.0_f64;
    let settings = Arc::clone(&driver.engine.experiment("hero").expect("saved").active().settings);
    for index in 1_000..1_000 + ROUNDS {
        let decision = driver.explain(&Context::new(), &exclude, index);
        match decision.reason {
            Reason::Control => {
                assert_eq!((decision.variation, decision.propensity().to_bits()), (0, 1.0_f64.to_bits()), "{name}");
                held += 1.0;
            }
            Reason::AllExcluded => {
                assert!(exclude.contains(&settings.definition.variations[0].key), "{name}")
            }
            Reason::Policy => {
                let basis = decision.basis.as_ref().expect("explained");
                assert!((basis.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}");
                for (position, propensity) in basis.propensities.iter().enumerate() {
                    expected[position] += propensity;
                    variance[position] += propensity * (1.0 - propensity);
                }
                let position = settings.variations_by_key().iter().position(|v| *v == decision.variation);
                let position = position.expect("one of the three");
                shown[position] += 1.0;
                assert_eq!(basis.propensities[position].to_bits(), decision.propensity().to_bits(), "{name}");
                assert!(decision.propensity() >= floor, "{name}: below the floor");
                let plain = driver.decide(&Context::new(), &exclude, index);
                assert_eq!(plain.record, decision.record, "{name}: an explanation changes nothing");
            }
            Reason::Sticky
            | Reason::NotRunning
            | Reason::NotInAudience
            | Reason::NotInTraffic
            | Reason::InOtherExperiment
            | Reason::NoConsent => {
                panic!("{name}: {:?}", decision.reason)
            }
        }
    }
    for position in 0..3 {
        z_within(shown[position], expected[position], variance[position], &name);
    }
    if exclude.iter().all(|key| key.as_str() != "plain") {
        let rounds = ROUNDS as f64;
        z_within(held, rounds * control, rounds * control * (1.0 - control), &name);
    }
}

/// A sum of independent draws within four standard errors; exactly what it must be where nothing is left to chance.
fn z_within(count: f64, expected: f64, variance: f64, name: &str) {
    let z = (count - expected) / variance.sqrt().max(1e-6);
    assert!(z.abs() <= 4.0, "{name}: {count} of {expected}, z = {z}");
}

#[test]
fn every_policy_shows_what_it_logs() {
    for registration in REGISTRY {
        for floor in [0.0, 0.05] {
            for control in [0.0, 0.2] {
                for exclude in [&[][..], &["bold"], &["plain"], &["plain", "offer"]] {
                    check(registration.kind, floor, control, exclude);
                }
            }
        }
    }
}

#[test]
fn all_excluded_gives_the_default_and_records_nothing() {
    let driver = Driver::with(definition("uniform", crate::policy::Parameters::new()));
    let decision = driver.decide(&Context::new(), &keys(), 1);
    assert_eq!((decision.reason, decision.variation), (Reason::AllExcluded, 0));
    assert!(decision.record.is_none() && decision.event().is_none());
}

#[test]
fn the_control_group_is_stable_and_the_rest_learns_without_it() {
    let mut definition = definition("thompson", crate::policy::Parameters::new());
    definition.control = share(0.3);
    let mut driver = Driver::with(definition);
    let group = |driver: &Driver| -> Vec<bool> {
        (0..200).map(|index| driver.decide(&Context::new(), &[], index).control()).collect()
    };
    let before = group(&driver);
    for index in 0..200 {
        driver.play(&Context::new(), index, |_| 0.5);
    }
    assert_eq!(before, group(&driver));
    let experiment = driver.engine.experiment("hero").expect("there");
    let segments = experiment.active().segments();
    let tallies = segments[0].tallies();
    let held = before.iter().filter(|held| **held).count() as u64;
    assert_eq!(tallies.control_total.all_exposures(), held);
    assert_eq!(tallies.learning_total.all_exposures(), 200 - held);
}
