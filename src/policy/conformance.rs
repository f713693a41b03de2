//! One battery for every policy on segments: what the engine relies on, whatever the policy.

use crate::domain::GoalKind;
use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::*;

/// A policy under one set of parameters, and what its rewards are.
struct Case {
    name: String,
    policy: Box<dyn Policy>,
    kind: GoalKind,
    arms_count: usize,
}

/// Runs a check on every kind of policy, with every way of pooling that it takes, on every kind of reward, with up to 256
/// arms.
fn for_each_policy(check: impl Fn(&Case)) {
    for entry in segment_kinds() {
        let pools = entry.parameters.iter().any(|spec| spec.name == parameters::POOLING.name);
        for pooling in if pools { &["none", "partial", "complete"][..] } else { &[""] } {
            for most in [1, 2, 10, best_arm::ARMS_MAX] {
                let partial = *pooling == "partial";
                let arms_count = if partial { most.min(parameters::PARTIAL_ARMS_MAX) } else { most };
                for kind in [GoalKind::Conversion, GoalKind::Revenue, GoalKind::Count] {
                    let keys: Vec<_> =
                        (0..arms_count).map(|i| VariationKey::new(&format!("v{i:03}")).expect("a key")).collect();
                    let mut given = (entry.example)(&keys);
                    if pools {
                        given = given.with("pooling", Parameter::Text((*pooling).to_owned()));
                    }
                    let policy = build(entry.kind, &given, &keys).expect("an example is allowed");
                    let name = format!("{} {pooling} {kind:?} {arms_count}", entry.kind);
                    check(&Case { name, policy, kind, arms_count });
                }
            }
        }
    }
}

fn arm(exposures: u64, conversions: u64) -> Arm {
    Arm::converting(exposures as f64, conversions as f64)
}

/// Evidence as it comes, and as it never should.
fn cases(arms_count: usize) -> Vec<Vec<Arm>> {
    let seed = Seed(42);
    let usual = |i: usize| arm(1_000 + seed.child(i as u64).0 % 500, 30 + seed.child(i as u64 + 1_000).0 % 40);
    let uneven = |i: usize| match i % 4 {
        0 => arm(0, 0),
        1 => arm(1_000_000_000, 50_000_000),
        2 => arm(30, 2),
        _ => arm(2_000, 90),
    };
    vec![
        vec![Arm::default(); arms_count],
        (0..arms_count).map(usual).collect(),
        (0..arms_count).map(uneven).collect(),
        vec![arm(1_000_000_000, 0); arms_count],
        vec![arm(1_000_000_000, 1_000_000_000); arms_count],
        (0..arms_count).map(|i| arm(3, 3 + (i as u64) % 5)).collect(),
        vec![arm(0, 7); arms_count],
    ]
}

/// Each conversion with a reward of 3, but for conversions themselves.
fn allocate_with(case: &Case, arms: &[Arm], seed: Seed) -> Vec<f64> {
    let value = if case.kind == GoalKind::Conversion { 1.0 } else { 3.0 };
    let paid = |arm: &Arm| Arm { sum: value * arm.conversions, squares: value * value * arm.conversions, ..*arm };
    let arms: Vec<Arm> = arms.iter().map(paid).collect();
    case.policy.allocate(&Evidence { kind: case.kind, ..Evidence::of(&arms, seed) })
}

fn allocate(case: &Case, arms: &[Arm]) -> Vec<f64> {
    allocate_with(case, arms, Seed(9))
}

/// How far apart two shares may lie that should agree: next to nothing, but where the seed matters, five standard errors of
/// the difference of two averages over 1,024 draws, the fewest that a policy may take.
fn tolerance(case: &Case, arms: &[Arm], exact: f64) -> f64 {
    let other = allocate_with(case, arms, Seed(10));
    let seeded = allocate(case, arms).iter().zip(&other).any(|(one, two)| one.to_bits() != two.to_bits());
    if seeded { 5.0 * (2.0 * 0.25 / 1_024.0_f64).sqrt() } else { exact }
}

#[test]
fn shares_are_a_distribution() {
    for_each_policy(|case| {
        let (name, arms_count) = (&case.name, case.arms_count);
        for arms in cases(arms_count) {
            let shares = allocate(case, &arms);
            assert_eq!(shares.len(), arms_count, "{name}");
            assert!(shares.iter().all(|share| share.is_finite() && *share >= 0.0), "{name}: {shares:?}");
            let total: f64 = shares.iter().sum();
            assert!((total - 1.0).abs() < 1e-9, "{name}: {total}");
        }
    });
}

#[test]
fn the_same_evidence_gives_the_same_bits() {
    let bits = |shares: Vec<f64>| shares.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for_each_policy(|case| {
        let (name, arms_count) = (&case.name, case.arms_count);
        for arms in cases(arms_count) {
            assert_eq!(bits(allocate(case, &arms)), bits(allocate(case, &arms)), "{name}");
        }
    });
}

#[test]
fn the_order_of_arms_changes_nothing_and_what_does_not_learn_ignores_evidence() {
    for_each_policy(|case| {
        let (name, arms_count) = (&case.name, case.arms_count);
        for arms in cases(arms_count) {
            let (mut turned, mut expected) = (arms.clone(), allocate(case, &arms));
            turned.rotate_left(arms_count / 3);
            if case.policy.learns() {
                expected.rotate_left(arms_count / 3);
            }
            let got = allocate(case, &turned);
            let tolerance = tolerance(case, &arms, 1e-9);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() <= tolerance, "{name}: {got} for {expected}");
            }
        }
    });
}

#[test]
fn more_successes_never_lower_a_share() {
    for_each_policy(|case| {
        let (name, arms_count) = (&case.name, case.arms_count);
        if !case.policy.learns() {
            return;
        }
        for mut arms in cases(arms_count) {
            let before = allocate(case, &arms)[0];
            arms[0] = Arm::converting(arms[0].exposures + 5.0, arms[0].conversions + 5.0);
            let after = allocate(case, &arms)[0];
            assert!(after >= before - tolerance(case, &arms, 1e-6), "{name}: {before} to {after}, {:?}", arms[0]);
        }
    });
}

#[test]
fn draws_come_as_often_as_propensities_say() {
    const DRAWS: u64 = 20_000;
    for_each_policy(|case| {
        let (name, arms_count) = (&case.name, case.arms_count);
        let shares = allocate(case, &cases(arms_count)[1]);
        let everyone = vec![true; arms_count];
        // With a lone arm nothing can be excluded.
        let some: Vec<bool> = (0..arms_count).map(|i| arms_count == 1 || i % 2 == 1).collect();
        for (trial, (eligible, floor)) in
            [(&everyone, 0.0), (&everyone, 0.2 / arms_count as f64), (&some, 0.0), (&some, 0.2 / arms_count as f64)]
                .into_iter()
                .enumerate()
        {
            let propensities =
                allocation::project(&shares, eligible, &vec![floor; arms_count]).expect("someone is eligible");
            let mut counts = vec![0.0; arms_count];
            for index in 0..DRAWS {
                let u = Seed(trial as u64).child(arms_count as u64).child(index).uniform();
                counts[allocation::draw(&propensities, u)] += 1.0;
            }
            for (count, propensity) in counts.iter().zip(&propensities) {
                let expected = propensity * DRAWS as f64;
                if *propensity <= 0.0 {
                    assert!(*count < 0.5, "{name}: an impossible arm was drawn");
                } else if expected >= 10.0 {
                    let z: f64 = (count - expected) / (expected * (1.0 - propensity)).sqrt().max(1e-9);
                    assert!(z.abs() <= 4.0, "{name}: {count} draws of {expected}");
                }
            }
        }
    });
}
