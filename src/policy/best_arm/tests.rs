//! Values from scipy and mpmath; laws as properties; draws as a second opinion.

use proptest::prelude::*;

use crate::domain::Seed;
use crate::policy::best_arm::*;
use crate::posterior::Beta;

fn arms(parameters: &[(f64, f64)]) -> Vec<Beta> {
    parameters.iter().map(|&(a, b)| Beta::new(a, b).expect("positive")).collect()
}

/// Parameters of each arm, and the probability that it is best.
type Case = (&'static [(f64, f64)], &'static [f64]);

fn largest_error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max)
}

#[test]
fn probabilities_of_six_known_cases() {
    let cases: [Case; 6] = [
        (&[(2.0, 3.0), (4.0, 3.0)], &[11.0 / 42.0, 31.0 / 42.0]),
        (&[(21.0, 481.0), (31.0, 471.0)], &[0.074_994_806_368_948, 0.925_005_193_631_05]),
        (
            &[(51.0, 951.0), (61.0, 941.0), (55.0, 946.0)],
            &[0.107_989_983_164_15, 0.645_472_726_490_81, 0.246_537_290_345_05],
        ),
        (
            &[(1.0, 1.0), (10.0, 200.0), (200.0, 4000.0)],
            &[0.946_423_568_322_03, 0.027_759_069_051_965, 0.025_817_362_626_006],
        ),
        (&[(1001.0, 19001.0), (1051.0, 18951.0), (5.0, 60.0)], &[0.030_511_193_77, 0.217_039_519_62, 0.752_449_286_61]),
        (&[(0.5, 0.5), (30.0, 40.0), (400.0, 380.0)], &[0.490_236_252_75, 0.045_316_496_29, 0.464_447_250_96]),
    ];
    for (parameters, want) in cases {
        for (resolution, tolerance) in [(Resolution::Report, 1e-10), (Resolution::Propensity, 2e-7)] {
            let got = best_probabilities(&arms(parameters), resolution).expect("a small grid");
            let error = largest_error(&got, want);
            assert!(error < tolerance, "{parameters:?} at {resolution:?}: off by {error:e}");
        }
    }
}

#[test]
fn probabilities_of_normal_scores() {
    let arms = [(0.05, 0.002), (0.052, 0.003), (0.049, 0.001)].map(|(mean, deviation)| Normal { mean, deviation });
    let want = [0.253_015_150_562_065_9, 0.677_495_564_263_943_2, 0.069_489_285_173_990_89];
    for (resolution, tolerance) in [(Resolution::Report, 1e-10), (Resolution::Propensity, 2e-7)] {
        let got = best_of_normals(&arms, resolution).expect("a small grid");
        assert!(largest_error(&got, &want) < tolerance, "{resolution:?}: {:e}", largest_error(&got, &want));
    }
}

#[test]
fn normal_scores_of_any_scale_and_of_none() {
    let normal = |mean, deviation| Normal { mean, deviation };
    let shares = best_of_normals(&[normal(1e9, 1e6), normal(1e9, 3e6)], Resolution::Report).expect("a small grid");
    assert!(largest_error(&shares, &[0.5, 0.5]) < 1e-10, "{shares:?}");
    for arms in [[normal(0.0, 0.0), normal(0.0, 1.0)], [normal(f64::NAN, 1.0), normal(0.0, 1.0)]] {
        assert_eq!(best_of_normals(&arms, Resolution::Propensity), None);
    }
    assert_eq!(best_of_normals(&[normal(0.0, 1e-9), normal(0.0, 1.0)], Resolution::Propensity), None);
    assert_eq!(best_of_normals(&[normal(0.0, 0.0)], Resolution::Propensity), Some(vec![1.0]));
}

#[test]
fn expected_loss_of_a_known_case() {
    let arms = arms(&[(31.0, 471.0), (21.0, 481.0)]);
    let loss = expected_loss(&arms, Resolution::Report).expect("a small grid");
    assert!((loss[0] - 0.000_470_518_747_636).abs() < 1e-10, "{loss:?}");
    // E[(B−A)⁺] − E[(A−B)⁺] = E[B] − E[A].
    let difference = (loss[0] - loss[1]) - (arms[1].mean() - arms[0].mean());
    assert!(difference.abs() < 1e-15, "{difference:e}");
}

/// A grid of fixed size gave 0.44 for 0.40 and 1e-9 for 0.04: two arms of two million exposures among two new ones.
#[test]
fn narrow_arms_among_wide_ones() {
    let arms = arms(&[(100_001.0, 1_900_001.0), (3.0, 50.0), (1.0, 20.0), (100_501.0, 1_900_001.0)]);
    let fine = best_probabilities(&arms, Resolution::Report);
    let coarse = best_probabilities(&arms, Resolution::Propensity).expect("within 8192 cells");
    let drawn = best_by_draws(&arms, 200_000, Seed(1));
    assert!(largest_error(&coarse, &drawn) < 5.0 * (0.25_f64 / 200_000.0).sqrt(), "{coarse:?} {drawn:?}");
    if let Some(fine) = fine {
        assert!(largest_error(&coarse, &fine) < 2e-7, "{coarse:?} {fine:?}");
    }
}

#[test]
fn a_lone_arm_is_best_and_loses_nothing() {
    let lone = arms(&[(1e-3, 1e9)]);
    assert_eq!(best_probabilities(&lone, Resolution::Propensity), Some(vec![1.0]));
    assert_eq!(expected_loss(&lone, Resolution::Report), Some(vec![0.0]));
    assert_eq!(best_by_draws(&lone, 10, Seed(1)), vec![1.0]);
    assert_eq!(expected_loss_by_draws(&lone, 10, Seed(1)), vec![0.0]);
}

#[test]
fn an_unbounded_grid_is_refused_and_draws_answer() {
    let mixed = arms(&[(1e-3, 1e-3), (1e8, 1e9)]);
    assert_eq!(best_probabilities(&mixed, Resolution::Propensity), None);
    assert_eq!(expected_loss(&mixed, Resolution::Propensity), None);
    let extreme = arms(&[(1e-307, 1e-307), (1e300, 1e300)]);
    assert_eq!(best_probabilities(&extreme, Resolution::Propensity), None);
    let shares = best_by_draws(&mixed, 10_000, Seed(3));
    assert!((shares[0] - 0.5).abs() < 0.05, "{shares:?}");
    let losses = expected_loss_by_draws(&mixed, 10_000, Seed(3));
    assert!(losses.iter().all(|loss| (0.0..=1.0).contains(loss)), "{losses:?}");
}

#[test]
fn losses_by_draws_agree_with_the_grid() {
    let arms = arms(&[(51.0, 951.0), (61.0, 941.0), (5.0, 60.0)]);
    let exact = expected_loss(&arms, Resolution::Report).expect("a small grid");
    let drawn = expected_loss_by_draws(&arms, 100_000, Seed(5));
    // A loss is at most a few hundredths here, so its standard error is below 0.03/sqrt(100,000).
    assert!(largest_error(&exact, &drawn) < 5.0 * 1e-4, "{exact:?} {drawn:?}");
}

#[test]
fn two_hundred_and_fifty_six_equal_arms_share_equally() {
    let equal = vec![Beta::new(5.0, 95.0).expect("positive"); ARMS_MAX];
    let shares = best_probabilities(&equal, Resolution::Propensity).expect("a small grid");
    assert!(largest_error(&shares, &[1.0 / 256.0; ARMS_MAX]) < 1e-12);
}

fn any_arms() -> impl Strategy<Value = Vec<Beta>> {
    let arm = (-0.7..7.0_f64, -0.7..9.0_f64).prop_map(|(a, b)| Beta::new(a.exp(), b.exp()).expect("positive"));
    prop::collection::vec(arm, 2..12)
}

proptest! {
    #[test]
    fn shares_sum_to_one(arms in any_arms()) {
        let Some(shares) = best_probabilities(&arms, Resolution::Propensity) else { return Ok(()) };
        prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn coarse_and_fine_grids_agree(arms in any_arms()) {
        let coarse = best_probabilities(&arms, Resolution::Propensity);
        let fine = best_probabilities(&arms, Resolution::Report);
        if let (Some(coarse), Some(fine)) = (coarse, fine) {
            prop_assert!(largest_error(&coarse, &fine) < 2e-7, "{} {coarse:?} {fine:?} {arms:?}", largest_error(&coarse, &fine));
        }
    }

    #[test]
    fn the_order_of_arms_changes_nothing(arms in any_arms(), turn in 0_usize..12) {
        let Some(mut shares) = best_probabilities(&arms, Resolution::Propensity) else { return Ok(()) };
        let mut turned = arms.clone();
        turned.rotate_left(turn % arms.len());
        shares.rotate_left(turn % arms.len());
        let got = best_probabilities(&turned, Resolution::Propensity).expect("the same grid");
        prop_assert!(largest_error(&got, &shares) < 1e-12);
    }

    #[test]
    fn identical_arms_get_equal_shares(arms in any_arms()) {
        let twins: Vec<Beta> = arms.iter().chain(&arms).copied().collect();
        let Some(shares) = best_probabilities(&twins, Resolution::Propensity) else { return Ok(()) };
        prop_assert!(largest_error(&shares[..arms.len()], &shares[arms.len()..]) < 1e-12);
    }

    #[test]
    fn draws_agree(arms in any_arms(), seed: u64) {
        const DRAWS: usize = 20_000;
        let Some(shares) = best_probabilities(&arms, Resolution::Propensity) else { return Ok(()) };
        for (share, drawn) in shares.iter().zip(best_by_draws(&arms, DRAWS, Seed(seed))) {
            // Bernstein's inequality, which holds where next to none are expected as well: beyond it with a probability of e^-18.
            let bound = 6.0 * (share * (1.0 - share) / DRAWS as f64).sqrt() + 36.0 / 3.0 / DRAWS as f64;
            prop_assert!((share - drawn).abs() <= bound, "{drawn} of {shares:?}");
        }
    }

    #[test]
    fn a_loss_is_never_negative_and_least_for_the_best_mean(arms in any_arms()) {
        let Some(losses) = expected_loss(&arms, Resolution::Propensity) else { return Ok(()) };
        let best = arms.iter().enumerate().max_by(|a, b| a.1.mean().total_cmp(&b.1.mean())).expect("arms").0;
        prop_assert!(losses.iter().all(|loss| *loss >= 0.0 && *loss >= losses[best]));
    }
}
