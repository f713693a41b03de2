//! One battery for every entry of the registry: what the engine relies on, whatever the policy.

use crate::domain::Seed;
use crate::domain::VariationKey;
use crate::policy::*;

/// Runs a check on every kind of policy with 1, 2, 10 and 256 arms.
fn for_each_policy(check: impl Fn(&str, &dyn Policy, usize)) {
    for entry in REGISTRY {
        for arms_count in [1, 2, 10, 256] {
            let keys: Vec<_> =
                (0..arms_count).map(|i| VariationKey::new(&format!("v{i:03}")).expect("a key")).collect();
            let policy = build(entry.kind, &(entry.example)(&keys), &keys).expect("an example is allowed");
            check(entry.kind, &*policy, arms_count);
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

fn allocate(policy: &dyn Policy, arms: &[Arm]) -> Vec<f64> {
    policy.allocate(&Evidence::of(arms, Seed(9)))
}

/// How far apart two shares may lie that should agree: next to nothing, but where the seed matters, five standard errors of
/// the difference of two averages over 1,024 draws, the example's number. Information-directed shares jump from arm to arm with
/// such averages, as a minimum does: of them there is nothing to say where the seed matters.
fn tolerance(kind: &str, policy: &dyn Policy, arms: &[Arm], exact: f64) -> f64 {
    let other = policy.allocate(&Evidence::of(arms, Seed(10)));
    let seeded = allocate(policy, arms).iter().zip(&other).any(|(one, two)| one.to_bits() != two.to_bits());
    if seeded && kind == "information-directed" {
        return 1.0;
    }
    if seeded { 5.0 * (2.0 * 0.25 / 1_024.0_f64).sqrt() } else { exact }
}

#[test]
fn shares_are_a_distribution() {
    for_each_policy(|kind, policy, arms_count| {
        for arms in cases(arms_count) {
            let shares = allocate(policy, &arms);
            assert_eq!(shares.len(), arms_count, "{kind}");
            assert!(shares.iter().all(|share| share.is_finite() && *share >= 0.0), "{kind} {arms_count}: {shares:?}");
            let total: f64 = shares.iter().sum();
            assert!((total - 1.0).abs() < 1e-9, "{kind} {arms_count}: {total}");
        }
    });
}

#[test]
fn the_same_evidence_gives_the_same_bits() {
    let bits = |shares: Vec<f64>| shares.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for_each_policy(|kind, policy, arms_count| {
        for arms in cases(arms_count) {
            assert_eq!(bits(allocate(policy, &arms)), bits(allocate(policy, &arms)), "{kind}");
        }
    });
}

#[test]
fn the_order_of_arms_changes_nothing_and_what_does_not_learn_ignores_evidence() {
    for_each_policy(|kind, policy, arms_count| {
        for arms in cases(arms_count) {
            let (mut turned, mut expected) = (arms.clone(), allocate(policy, &arms));
            turned.rotate_left(arms_count / 3);
            if policy.learns() {
                expected.rotate_left(arms_count / 3);
            }
            let got = allocate(policy, &turned);
            let tolerance = tolerance(kind, policy, &arms, 1e-9);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() <= tolerance, "{kind} {arms_count}: {got} for {expected}");
            }
        }
    });
}

/// Kinds that show an arm for what is learned from it as well as for what it gives: successes can make an arm the leader,
/// and it is then its rivals that there is something to learn from.
fn shows_to_learn(kind: &str) -> bool {
    matches!(kind, "information-directed" | "top-two")
}

#[test]
fn more_successes_never_lower_a_share() {
    for_each_policy(|kind, policy, arms_count| {
        if !policy.learns() || shows_to_learn(kind) {
            return;
        }
        for mut arms in cases(arms_count) {
            let before = allocate(policy, &arms)[0];
            arms[0] = Arm::converting(arms[0].exposures + 5.0, arms[0].conversions + 5.0);
            let after = allocate(policy, &arms)[0];
            assert!(
                after >= before - tolerance(kind, policy, &arms, 1e-6),
                "{kind} {arms_count}: {before} to {after}, {:?}",
                arms[0]
            );
        }
    });
}

#[test]
fn draws_come_as_often_as_propensities_say() {
    const DRAWS: u64 = 20_000;
    for_each_policy(|kind, policy, arms_count| {
        let shares = allocate(policy, &cases(arms_count)[1]);
        let everyone = vec![true; arms_count];
        // With a lone arm nothing can be excluded.
        let some: Vec<bool> = (0..arms_count).map(|i| arms_count == 1 || i % 2 == 1).collect();
        for (case, (eligible, floor)) in
            [(&everyone, 0.0), (&everyone, 0.2 / arms_count as f64), (&some, 0.0), (&some, 0.2 / arms_count as f64)]
                .into_iter()
                .enumerate()
        {
            let propensities = allocation::project(&shares, eligible, floor).expect("someone is eligible");
            let mut counts = vec![0.0; arms_count];
            for index in 0..DRAWS {
                let u = Seed(case as u64).child(arms_count as u64).child(index).uniform();
                counts[allocation::draw(&propensities, u)] += 1.0;
            }
            for (count, propensity) in counts.iter().zip(&propensities) {
                let expected = propensity * DRAWS as f64;
                if *propensity <= 0.0 {
                    assert!(*count < 0.5, "{kind}: an impossible arm was drawn");
                } else if expected >= 10.0 {
                    let z: f64 = (count - expected) / (expected * (1.0 - propensity)).sqrt().max(1e-9);
                    assert!(z.abs() <= 4.0, "{kind} {arms_count}: {count} draws of {expected}");
                }
            }
        }
    });
}
