//! The least ratio against a search, its limits, and quadrature against draws.

use proptest::prelude::*;

use crate::policy::information_directed::*;

fn prospects_of(entries: &[(f64, f64)]) -> Vec<Prospect> {
    entries.iter().map(|&(loss, information)| Prospect { loss, information }).collect()
}

fn value(shares: &[f64], prospects: &[Prospect], exponent: f64) -> f64 {
    let sum = |of: fn(&Prospect) -> f64| shares.iter().zip(prospects).map(|(share, p)| share * of(p)).sum::<f64>();
    ratio(sum(|p| p.loss), sum(|p| p.information), exponent)
}

#[test]
fn known_cases() {
    // Alike: in equal parts.
    for share in least_ratio(&prospects_of(&[(0.1, 0.2); 4]), 2.0) {
        assert!((share - 0.25).abs() < 1e-12);
    }
    // Nothing to learn: what loses least, ties in equal parts.
    assert_eq!(least_ratio(&prospects_of(&[(0.1, 0.0), (0.0, 0.0), (0.0, 0.0)]), 2.0), [0.0, 0.5, 0.5]);
    // By hand: with q on the first, (1 + 2q)²/(1 + 8q) is least at q = (½) − (2/8) = ¼.
    let shares = least_ratio(&prospects_of(&[(3.0, 9.0), (1.0, 1.0)]), 2.0);
    assert!((shares[0] - 0.25).abs() < 1e-12, "{shares:?}");
    // An arm that costs nothing and teaches something has ratio 0.
    assert_eq!(least_ratio(&prospects_of(&[(0.0, 1e-3), (0.1, 5.0)]), 2.0), [1.0, 0.0]);
}

proptest! {
    #[test]
    fn no_distribution_is_better(
        entries in prop::collection::vec((1e-3_f64..1.0, 1e-3_f64..1.0), 2..6),
        weights in prop::collection::vec(1e-3_f64..1.0, 6),
        exponent in 1.1_f64..4.0,
    ) {
        let prospects = prospects_of(&entries);
        let shares = least_ratio(&prospects, exponent);
        let total: f64 = weights[..entries.len()].iter().sum();
        let other: Vec<f64> = weights[..entries.len()].iter().map(|weight| weight / total).collect();
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(value(&shares, &prospects, exponent) <= value(&other, &prospects, exponent) * (1.0 + 2e-5));
    }

    /// A grid of 101 over each pair, as the paper suggests.
    #[test]
    fn no_pair_on_a_grid_is_better(
        entries in prop::collection::vec((1e-3_f64..1.0, 1e-3_f64..1.0), 2..5),
        exponent in 1.1_f64..4.0,
    ) {
        let prospects = prospects_of(&entries);
        let least = value(&least_ratio(&prospects, exponent), &prospects, exponent);
        for (first, second) in (0..entries.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            for step in 0..=100 {
                let mut shares = vec![0.0; entries.len()];
                shares[first] = f64::from(step) / 100.0;
                shares[second] = 1.0 - shares[first];
                prop_assert!(least <= value(&shares, &prospects, exponent) * (1.0 + 2e-5));
            }
        }
    }
}
