//! The algebra against itself, and against sums written out.

use proptest::prelude::*;

use crate::domain::Features;
use crate::posterior::symmetric::*;

/// A positive definite matrix and features, sparse or dense, of the same size.
fn case() -> impl Strategy<Value = (Symmetric, Features)> {
    (1_usize..12).prop_flat_map(|dimensions| {
        let rows = prop::collection::vec(prop::collection::vec(-2.0_f32..2.0, dimensions), 0..6);
        let features = prop::collection::vec(prop_oneof![Just(0.0), -3.0_f32..3.0], dimensions);
        (rows, features).prop_map(move |(rows, values)| {
            let mut matrix = Symmetric::zero(dimensions);
            (0..dimensions).for_each(|index| matrix.add_to_diagonal(index, 0.5));
            rows.into_iter().for_each(|row| matrix.add_outer(&Entries::new(&features_of(&row)), 1.0));
            (matrix, features_of(&values))
        })
    })
}

fn features_of(values: &[f32]) -> Features {
    let mut features = Features::new();
    values.iter().enumerate().for_each(|(index, value)| features.push(index, *value));
    features
}

fn close(got: f64, want: f64) -> bool {
    (got - want).abs() <= 1e-11 * (1.0 + want.abs())
}

proptest! {
    #[test]
    fn products_are_the_sums_written_out((matrix, features) in case()) {
        let product = matrix.times(&Entries::new(&features));
        let (mut mean, mut variance) = (0.0, 0.0);
        let gaussian = Gaussian { mean: product.clone(), covariance: matrix.clone() };
        for (row, got) in product.iter().enumerate() {
            let want: f64 = features.iter().map(|(column, value)| matrix.get(row, column) * value).sum();
            prop_assert!(close(*got, want));
        }
        for (index, value) in features.iter() {
            mean += product[index] * value;
            variance += features.iter().map(|(other, second)| value * matrix.get(index, other) * second).sum::<f64>();
        }
        let probe = Probe::new(&features);
        prop_assert!(close(gaussian.score_mean(&probe), mean));
        prop_assert!(close(gaussian.score_variance(&probe), variance));
    }

    #[test]
    fn factors_multiply_back_and_inverses_invert((matrix, _) in case()) {
        let factor = matrix.cholesky().expect("positive definite");
        let inverse = factor.inverse();
        let dimensions = matrix.dimensions();
        for column in 0..dimensions {
            let unit: Vec<f64> = (0..dimensions).map(|row| if row == column { 1.0 } else { 0.0 }).collect();
            for (row, solved) in factor.solve(&unit).into_iter().enumerate() {
                prop_assert!(close(solved, inverse.get(row, column)));
            }
            for (row, want) in unit.iter().enumerate() {
                let product: f64 = (0..dimensions).map(|k| matrix.get(row, k) * inverse.get(k, column)).sum();
                prop_assert!((product - want).abs() < 1e-9, "{product} for {want}");
            }
        }
    }

    #[test]
    fn what_is_added_can_be_subtracted((matrix, features) in case()) {
        let mut changed = matrix.clone();
        changed.add_outer(&Entries::new(&features), 0.7);
        let mut dense = vec![0.0; matrix.dimensions()];
        features.iter().for_each(|(index, value)| dense[index] = value);
        changed.subtract_outer(&dense, 0.7);
        for (got, want) in changed.packed().iter().zip(matrix.packed()) {
            prop_assert!(close(*got, *want));
        }
    }
}

#[test]
fn what_is_not_positive_definite_has_no_factor() {
    for packed in [vec![1.0, 2.0, 1.0], vec![0.0, 0.0, 1.0], vec![f64::NAN, 0.0, 1.0], vec![f64::INFINITY, 0.0, 1.0]] {
        assert_eq!(Symmetric::from_packed(2, packed.clone()).expect("of two rows").cholesky(), None, "{packed:?}");
    }
    assert_eq!(Symmetric::from_packed(2, vec![1.0; 4]), None);
}
