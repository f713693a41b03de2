//! The Gamma distribution of a positive number such as a rate of events: mean, interval and tail probabilities.

use crate::posterior::special::stirling_remainder;

/// A Gamma distribution with density proportional to λ^(shape−1) e^(−rate λ).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma {
    /// Above 0.
    pub shape: f64,
    /// Above 0; the mean is shape/rate.
    pub rate: f64,
}

impl Gamma {
    /// The mean, shape/rate.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.shape / self.rate
    }

    /// The probability of at most `value`.
    #[must_use]
    pub fn cdf(&self, value: f64) -> f64 {
        let x = value * self.rate;
        if x <= 0.0 {
            0.0
        } else if x < self.shape + 1.0 {
            (series(self.shape, x).ln() + self.ln_kernel(x)).exp().min(1.0)
        } else {
            1.0 - (continued_fraction(self.shape, x).ln() + self.ln_kernel(x)).exp().min(1.0)
        }
    }

    /// The value below which the share `probability` of the distribution lies; 0 and infinity for the ends.
    ///
    /// Newton's method in ln λ from the mean, kept within what is known to hold the root.
    ///
    /// # Panics
    /// If `probability` is not within 0 and 1.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        const STEPS_MAX: usize = 200;
        assert!((0.0..=1.0).contains(&probability), "a quantile of {probability}");
        if probability <= 0.0 {
            return 0.0;
        }
        if probability >= 1.0 {
            return f64::INFINITY;
        }
        let unit = Self { shape: self.shape, rate: 1.0 };
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut ln_x = self.shape.ln();
        for _ in 0..STEPS_MAX {
            let x = ln_x.exp();
            let excess = unit.cdf(x) - probability;
            if excess > 0.0 {
                high = ln_x
            } else {
                low = ln_x
            }
            // The density of ln λ is x^a e^−x / Γ(a).
            let step = (excess / unit.ln_kernel(x).exp()).clamp(-2.0, 2.0);
            let mut next = ln_x - if step.is_nan() { excess.signum() } else { step };
            if next < low || next > high {
                next = 0.5 * (low + high);
            }
            let moved = (next - ln_x).abs();
            ln_x = next;
            if moved <= 1e-15 * (1.0 + ln_x.abs()) {
                break;
            }
        }
        ln_x.exp() / self.rate
    }

    /// The equal-tailed interval that holds the share `level`, for example 0.95: lower and upper end.
    ///
    /// # Panics
    /// If `level` is not within 0 and 1.
    #[must_use]
    pub fn interval(&self, level: f64) -> (f64, f64) {
        assert!((0.0..=1.0).contains(&level), "an interval of level {level}");
        let tail = 0.5 * (1.0 - level);
        (self.quantile(tail), self.quantile(1.0 - tail))
    }

    /// ln of x^a e^−x / Γ(a), by Stirling's form, whose terms are of the size of the result.
    fn ln_kernel(&self, x: f64) -> f64 {
        let a = self.shape;
        let excess = (x - a) / a;
        let ln_ratio = if excess.abs() < 0.5 { excess.ln_1p() } else { x.ln() - a.ln() };
        a * (ln_ratio - excess) + 0.5 * (a / (2.0 * std::f64::consts::PI)).ln() - stirling_remainder(a)
    }
}

/// Terms that suffice for shapes up to 10^10: their number grows with the square root of the shape.
const TERMS_MAX: u32 = 1_000_000;

/// P(a, x) Γ(a) / (x^a e^−x) = Σ x^n / (a (a + 1) … (a + n)) (DLMF 8.11.4), for x < a + 1.
fn series(a: f64, x: f64) -> f64 {
    let mut term = a.recip();
    let mut sum = term;
    for n in 1..=TERMS_MAX {
        term *= x / (a + f64::from(n));
        sum += term;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// Q(a, x) Γ(a) / (x^a e^−x), the continued fraction of DLMF 8.9.2 by Lentz's method, for x ≥ a + 1.
fn continued_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut b = x + 1.0 - a;
    let mut c = TINY.recip();
    let mut d = away_from_zero(b).recip();
    let mut product = d;
    for term in 1..=TERMS_MAX {
        let n = f64::from(term);
        let numerator = -n * (n - a);
        b += 2.0;
        d = away_from_zero(numerator * d + b).recip();
        c = away_from_zero(b + numerator / c);
        product *= c * d;
        if (c * d - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    //! statrs as a second opinion; closed forms.

    use proptest::prelude::*;

    use crate::posterior::gamma::Gamma;

    #[test]
    fn an_exponential_has_a_closed_form() {
        let exponential = Gamma { shape: 1.0, rate: 2.0 };
        for p in [1e-9_f64, 0.025, 0.5, 0.975, 0.999_999] {
            let want = -(-p).ln_1p() / 2.0;
            assert!((exponential.quantile(p) - want).abs() < 1e-9 * want, "{p}");
        }
    }

    #[test]
    fn a_billion_events_have_an_interval() {
        let (low, high) = Gamma { shape: 1e9, rate: 1e9 }.interval(0.95);
        assert!((high - low - 2.0 * 1.959_964 / 1e9_f64.sqrt()).abs() < 1e-9, "{low} {high}");
    }

    proptest! {
        #[test]
        fn agrees_with_statrs(shape in 0.05..400.0_f64, x in 0.001..500.0_f64) {
            let want = statrs::function::gamma::gamma_lr(shape, x);
            let got = Gamma { shape, rate: 1.0 }.cdf(x);
            prop_assert!((got - want).abs() < 1e-10, "{got} for {want}");
        }

        #[test]
        fn quantile_inverts_the_distribution_function(ln_shape in -3.0..14.0_f64, probability in 0.001..0.999_f64) {
            let distribution = Gamma { shape: ln_shape.exp(), rate: 3.0 };
            let value = distribution.quantile(probability);
            prop_assert!((distribution.cdf(value) - probability).abs() < 1e-9, "{distribution:?} {value}");
        }
    }
}
