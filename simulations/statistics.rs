//! Means over runs and how far they can be trusted.

/// The mean of independent runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    /// Its standard error; `None` of a single run.
    pub(crate) se: Option<f64>,
    /// Half the width of its 95 % interval, by Student's t; `None` of a single run.
    pub(crate) half_width: Option<f64>,
}

impl Mean {
    /// Of one number per run, in order; at least one.
    pub(crate) fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let se = (values.len() > 1).then(|| {
            let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
            (squares / (count - 1.0) / count).sqrt()
        });
        Self { mean, se, half_width: se.map(|se| se * student_975(count - 1.0)) }
    }

    /// The 95 % interval.
    pub(crate) fn interval(self) -> Option<[f64; 2]> {
        self.half_width.map(|half| [self.mean - half, self.mean + half])
    }
}

/// The quantile of values, linear between neighbours (type 7 of Hyndman & Fan, 1996).
pub(crate) fn quantile(values: &[f64], level: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = level * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

/// Σ numerators / Σ denominators, with the standard error by linearisation (Cochran, "Sampling Techniques", §6).
pub(crate) fn ratio(numerators: &[f64], denominators: &[f64]) -> Mean {
    let (above, below): (f64, f64) = (numerators.iter().sum(), denominators.iter().sum());
    let ratio = above / below;
    let scale = below / denominators.len() as f64;
    let residuals: Vec<f64> =
        numerators.iter().zip(denominators).map(|(n, d)| ratio + (n - ratio * d) / scale).collect();
    Mean { mean: ratio, ..Mean::of(&residuals) }
}

/// The 97.5 % quantile of Student's t, from that of the normal (Abramowitz & Stegun 26.7.5): within 4 % from 2 degrees of
/// freedom on, within 0.1 % from 8.
fn student_975(freedom: f64) -> f64 {
    let z = 1.959_963_984_540_054_f64;
    let g1 = (z.powi(3) + z) / 4.0;
    let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + g1 / freedom + g2 / freedom.powi(2) + g3 / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    //! Against values of tables.

    use super::*;

    #[test]
    fn student_is_that_of_the_tables() {
        for (freedom, table, tolerance) in [(2.0, 4.303, 0.04), (8.0, 2.306, 0.001), (29.0, 2.045, 0.001)] {
            let relative: f64 = student_975(freedom) / table - 1.0;
            assert!(relative.abs() < tolerance, "{freedom}: {}", student_975(freedom));
        }
    }

    #[test]
    fn means_quantiles_and_ratios_are_exact_on_small_lists() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 6.0]);
        assert!((mean.mean - 3.0).abs() < 1e-12);
        assert!((mean.se.expect("four runs") - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[5.0]), Mean { mean: 5.0, se: None, half_width: None });
        assert!((quantile(&[3.0, 1.0, 2.0], 0.75) - 2.5).abs() < 1e-12);
        // A constant ratio is known without error.
        let exact = ratio(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]);
        assert!((exact.mean - 0.5).abs() < 1e-12 && exact.se.expect("three") < 1e-12);
    }
}
