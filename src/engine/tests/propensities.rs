//! What is logged is what happens: for every policy, with and without floor, exclusions and control, each variation is
//! shown as often as its logged propensities add up to, |z| ≤ 4.

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
    // The allocation stands still: every eligible variation's propensity is the same in all rounds.
    let (mut shown, mut logged, mut held, mut drawn) = ([0_u64; 3], [None; 3], 0_u64, 0_u64);
    for index in 1_000..1_000 + ROUNDS {
        let decision = driver.decide(&Context::new(), &exclude, index);
        match decision.reason {
            Reason::Control => {
                assert_eq!((decision.variation, decision.propensity().to_bits()), (0, 1.0_f64.to_bits()), "{name}");
                held += 1;
            }
            Reason::AllExcluded => {
                assert!(exclude.contains(&decision.settings().definition.variations[0].key), "{name}")
            }
            Reason::Policy => {
                let known = logged[decision.variation].get_or_insert(decision.propensity());
                assert_eq!(known.to_bits(), decision.propensity().to_bits(), "{name}");
                assert!(decision.propensity() >= floor, "{name}: below the floor");
                shown[decision.variation] += 1;
                drawn += 1;
            }
            Reason::Sticky | Reason::NotRunning | Reason::NotInAudience | Reason::NotInTraffic => {
                panic!("{name}: {:?}", decision.reason)
            }
        }
    }
    let total: f64 = logged.iter().flatten().sum();
    assert!(total <= 1.0 + 1e-9, "{name}: propensities sum to {total}");
    for (count, propensity) in shown.iter().zip(logged) {
        z_within(*count, drawn, propensity.unwrap_or(0.0), &name);
    }
    if exclude.iter().all(|key| key.as_str() != "plain") {
        z_within(held, ROUNDS, control, &name);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of 20,000")]
fn z_within(count: u64, of: u64, probability: f64, name: &str) {
    let (count, of) = (count as f64, of as f64);
    let sd = (of * probability * (1.0 - probability)).sqrt();
    let difference = (count - of * probability).abs();
    assert!(difference <= 4.0 * sd + 1e-6, "{name}: {count} of {of} at probability {probability}");
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
    assert!(decision.record.is_none() && decision.into_event().is_none());
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
