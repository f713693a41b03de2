//! Laws of the projection and of the draw.

use proptest::prelude::*;

use crate::domain::Seed;
use crate::policy::allocation::*;

/// Shares summing to 1, who is eligible, and an allowed floor.
fn any_case() -> impl Strategy<Value = (Vec<f64>, Vec<bool>, f64)> {
    (1_usize..40).prop_flat_map(|arms_count| {
        let weights = prop::collection::vec(prop_oneof![Just(0.0), 1e-12..1.0_f64], arms_count);
        (weights, prop::collection::vec(any::<bool>(), arms_count), 0.0..=1.0_f64).prop_map(
            move |(mut weights, eligible, floor)| {
                weights[0] += 1e-3;
                let total: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= total);
                (weights, eligible, floor * FLOOR_TOTAL_MAX / arms_count as f64)
            },
        )
    })
}

proptest! {
    #[test]
    fn propensities_sum_to_one_respect_the_floor_and_exclude((shares, eligible, floor) in any_case()) {
        let Some(propensities) = project(&shares, &eligible, &vec![floor; shares.len()]) else {
            prop_assert!(eligible.iter().all(|eligible| !eligible));
            return Ok(());
        };
        prop_assert!((propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for (propensity, eligible) in propensities.iter().zip(&eligible) {
            if *eligible {
                prop_assert!(*propensity >= floor);
            } else {
                prop_assert_eq!(propensity.to_bits(), 0.0_f64.to_bits());
            }
        }
    }

    #[test]
    fn the_projection_keeps_the_order_of_shares((shares, eligible, floor) in any_case()) {
        let Some(propensities) = project(&shares, &eligible, &vec![floor; shares.len()]) else { return Ok(()) };
        for i in 0..shares.len() {
            for j in 0..shares.len() {
                if eligible[i] && eligible[j] && shares[i] <= shares[j] {
                    prop_assert!(propensities[i] <= propensities[j]);
                }
            }
        }
    }

    #[test]
    fn the_draw_rises_with_its_number_and_never_takes_what_cannot_be(
        (shares, eligible, floor) in any_case(), u in 0.0..1.0_f64, v in 0.0..1.0_f64,
    ) {
        let Some(propensities) = project(&shares, &eligible, &vec![floor; shares.len()]) else { return Ok(()) };
        let (low, high) = (u.min(v), u.max(v));
        prop_assert!(draw(&propensities, low) <= draw(&propensities, high));
        for u in [low, high, 0.0, 1.0 - f64::EPSILON / 2.0, 1.0] {
            prop_assert!(propensities[draw(&propensities, u)] > 0.0);
        }
    }
}

#[test]
fn without_exclusions_and_floor_nothing_changes() {
    assert_eq!(project(&[0.25, 0.75], &[true, true], &[0.0; 2]), Some(vec![0.25, 0.75]));
}

#[test]
fn a_remainder_that_says_nothing_is_shared_equally() {
    assert_eq!(project(&[1.0, 1e-10, 0.0], &[false, true, true], &[0.1; 3]), Some(vec![0.0, 0.5, 0.5]));
    assert_eq!(project(&[1.0, 0.0], &[false, false], &[0.1; 2]), None);
}

#[test]
fn the_draw_takes_the_last_possible_where_rounding_falls_short() {
    assert_eq!(draw(&[0.0, 0.3, 0.3, 0.0], 0.99), 2);
    assert_eq!(draw(&[0.0, 1.0], 0.0), 1);
}

#[test]
fn a_floor_takes_at_most_half_of_the_traffic() {
    assert!(check_floor(0.125, 4).is_ok());
    for floor in [0.13, -0.01, f64::NAN] {
        let error = check_floor(floor, 4).expect_err("refused").to_string();
        assert!(error.contains("policy.floor") && error.contains("0.125"), "{error}");
    }
}

#[test]
fn draws_come_as_often_as_their_propensities_say() {
    const DRAWS: u64 = 100_000;
    let propensities = project(&[0.7, 0.2, 0.05, 0.05], &[true, true, false, true], &[0.05; 4]).expect("eligible");
    let mut counts = [0.0; 4];
    for index in 0..DRAWS {
        counts[draw(&propensities, Seed(11).child(index).uniform())] += 1.0;
    }
    for (count, propensity) in counts.iter().zip(&propensities) {
        let expected = propensity * DRAWS as f64;
        let error = (expected * (1.0 - propensity)).sqrt();
        assert!((count - expected).abs() <= 4.0 * error, "{counts:?} for {propensities:?}");
    }
}
