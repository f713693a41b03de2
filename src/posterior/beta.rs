//! The Beta distribution of a conversion rate: prior and counts to mean, interval and tail probabilities.
//!
//! Everything is computed in z = logit θ, in which the density is log-concave and has no poles at 0 and 1 (prior
//! parameters below 1 are common). Two general-purpose routes were tried and rejected: ln B(α, β) as a difference of
//! ln Γ loses eight digits at a million exposures, and a continued fraction cut at 140 terms, as in statrs, has not
//! converged there.

use std::f64::consts::PI;

use crate::posterior::special::stirling_remainder;

/// Parameters that make no Beta distribution.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("Beta({alpha}, {beta}) is not allowed: both parameters are finite and above 0")]
pub struct InvalidBeta {
    /// First parameter given.
    pub alpha: f64,
    /// Second parameter given.
    pub beta: f64,
}

/// A Beta(α, β) distribution of a rate θ in [0, 1], with density θ^(α−1) (1−θ)^(β−1) / B(α, β).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    alpha: f64,
    beta: f64,
}

impl Beta {
    /// The uniform distribution: every rate is as likely as every other.
    pub const UNIFORM: Self = Self { alpha: 1.0, beta: 1.0 };

    /// Checks parameters from outside.
    ///
    /// # Errors
    /// [`InvalidBeta`] unless both are finite and above 0 (numbers below 2.3e-308 count as 0).
    pub fn new(alpha: f64, beta: f64) -> Result<Self, InvalidBeta> {
        let allowed = |parameter: f64| parameter.is_normal() && parameter > 0.0;
        if allowed(alpha) && allowed(beta) { Ok(Self { alpha, beta }) } else { Err(InvalidBeta { alpha, beta }) }
    }

    /// The posterior after `conversions` successes in `exposures` trials, both parameters multiplied by `sharpening`
    /// (1 for Bayes' rule; above 1 narrows it, the mean stays).
    ///
    /// More conversions than exposures count as no failures: a crash can lose an exposure whose reward survives.
    ///
    /// # Panics
    /// If `sharpening` is not finite and above 0: it is checked where it enters.
    #[must_use]
    pub fn from_counts(prior: Self, exposures: f64, conversions: f64, sharpening: f64) -> Self {
        assert!(sharpening.is_finite() && sharpening > 0.0, "a sharpening of {sharpening}");
        Self {
            alpha: sharpening * (prior.alpha + conversions),
            beta: sharpening * (prior.beta + (exposures - conversions).max(0.0)),
        }
    }

    /// The same after one success more, whose density is θ times this one over its mean.
    #[must_use]
    pub fn with_success(&self) -> Self {
        Self { alpha: self.alpha + 1.0, beta: self.beta }
    }

    /// First parameter: prior successes plus conversions.
    #[must_use]
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Second parameter: prior failures plus failures.
    #[must_use]
    pub const fn beta(&self) -> f64 {
        self.beta
    }

    /// The expected rate α / (α + β).
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The variance αβ / ((α + β)² (α + β + 1)).
    #[must_use]
    pub fn variance(&self) -> f64 {
        let sum = self.alpha + self.beta;
        (self.alpha / sum) * (self.beta / sum) / (sum + 1.0)
    }

    /// The log odds of the mean, ln(α/β): where the density of logit θ has its peak.
    #[must_use]
    pub fn centre(&self) -> f64 {
        self.alpha.ln() - self.beta.ln()
    }

    /// The width of logit θ, sqrt(1/α + 1/β): its standard deviation to first order in 1/α and 1/β.
    #[must_use]
    pub fn logit_width(&self) -> f64 {
        (1.0 / self.alpha + 1.0 / self.beta).sqrt()
    }

    /// The log density of logit θ at [`Self::centre`].
    ///
    /// Stirling's series for the three ln Γ of ln B(α, β), whose large terms cancel on paper and so cannot cancel in
    /// floating point: ½ ln(αβ / (2π(α+β))) + δ(α+β) − δ(α) − δ(β).
    #[must_use]
    pub fn ln_density_at_centre(&self) -> f64 {
        let (a, b) = (self.alpha, self.beta);
        let sum = a + b;
        0.5 * (a * (b / sum) / (2.0 * PI)).ln() + stirling_remainder(sum)
            - stirling_remainder(a)
            - stirling_remainder(b)
    }

    /// The probability that the rate is at most `rate`; 0 below 0, 1 above 1.
    #[must_use]
    pub fn cdf(&self, rate: f64) -> f64 {
        if rate <= 0.0 {
            return 0.0;
        }
        if rate >= 1.0 {
            return 1.0;
        }
        self.ln_cdf(&Point { x: rate, y: 1.0 - rate, ln_x: rate.ln(), ln_y: (-rate).ln_1p() }).exp()
    }

    /// The probability that logit θ is at most `logit`; keeps its digits where the rate itself would round to 0 or 1.
    #[must_use]
    pub fn cdf_logit(&self, logit: f64) -> f64 {
        self.ln_cdf(&Point::at(logit)).exp()
    }

    /// The rate below which the share `probability` of the distribution lies; 0 and 1 for the ends.
    ///
    /// Newton's method on ln F(z), which is concave because the density is log-concave in z: whatever the start, the
    /// second point lies left of the root and the rest rise to it, so there is no bracket to keep. The upper half is the
    /// lower half of the mirrored distribution, where no digits are lost against 1.
    ///
    /// # Panics
    /// If `probability` is not within 0 and 1.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        assert!((0.0..=1.0).contains(&probability), "a quantile of {probability}");
        let logit = if probability <= 0.5 {
            self.lower_quantile_logit(probability)
        } else {
            -Self { alpha: self.beta, beta: self.alpha }.lower_quantile_logit(1.0 - probability)
        };
        Point::at(logit).x
    }

    /// The equal-tailed interval that holds the rate with probability `level`, for example 0.95: lower and upper end.
    ///
    /// # Panics
    /// If `level` is not within 0 and 1.
    #[must_use]
    pub fn interval(&self, level: f64) -> (f64, f64) {
        assert!((0.0..=1.0).contains(&level), "an interval of level {level}");
        let tail = 0.5 * (1.0 - level);
        (self.quantile(tail), self.quantile(1.0 - tail))
    }

    fn lower_quantile_logit(&self, probability: f64) -> f64 {
        const STEPS_MAX: usize = 200;
        if probability <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let target = probability.ln();
        let mut logit = self.centre();
        for _ in 0..STEPS_MAX {
            let point = Point::at(logit);
            let ln_cdf = self.ln_cdf(&point);
            let step = (ln_cdf - target) * (ln_cdf - self.ln_density(&point)).exp();
            logit -= step;
            if step.abs() <= 1e-14 * (1.0 + logit.abs()) {
                break;
            }
        }
        logit
    }

    /// ln of x^α y^β / B(α, β), the density of logit θ.
    ///
    /// Relative to the centre x0, where α (x−x0)/x0 + β (y−y0)/y0 = 0: subtracting that nothing leaves terms of the size
    /// of the result, so that rounding grows with the square root of the counts and not with the counts.
    fn ln_density(&self, point: &Point) -> f64 {
        let sum = self.alpha + self.beta;
        let term = |parameter: f64, value: f64, ln_value: f64| {
            let centre = parameter / sum;
            let excess = (value - centre) / centre;
            let ln_ratio = if excess.abs() < 0.5 { excess.ln_1p() } else { ln_value - centre.ln() };
            parameter * (ln_ratio - excess)
        };
        term(self.alpha, point.x, point.ln_x) + term(self.beta, point.y, point.ln_y) + self.ln_density_at_centre()
    }

    /// ln F, from whichever tail the continued fraction converges on.
    fn ln_cdf(&self, point: &Point) -> f64 {
        let (a, b) = (self.alpha, self.beta);
        let ln_density = self.ln_density(point);
        if point.x < (a + 1.0) / (a + b + 2.0) {
            (ln_density + continued_fraction(a, b, point.x).ln() - a.ln()).min(0.0)
        } else {
            let upper = (ln_density + continued_fraction(b, a, point.y).ln() - b.ln()).exp();
            (-upper.min(1.0)).ln_1p()
        }
    }
}

/// A rate, its complement and their logarithms, each with all its digits.
struct Point {
    x: f64,
    y: f64,
    ln_x: f64,
    ln_y: f64,
}

impl Point {
    fn at(logit: f64) -> Self {
        let t = (-logit.abs()).exp();
        let (near, far) = (-t.ln_1p(), -t.ln_1p() - logit.abs());
        let (large, small) = (1.0 / (1.0 + t), t / (1.0 + t));
        if logit >= 0.0 {
            Self { x: large, y: small, ln_x: near, ln_y: far }
        } else {
            Self { x: small, y: large, ln_x: far, ln_y: near }
        }
    }
}

/// α · I_x(α, β) · B(α, β) / (x^α y^β): the continued fraction of DLMF 8.17.22 by Lentz's method. Converges fast for
/// x < (α+1)/(α+β+2), in a number of terms that grows with the square root of the larger parameter; the bound on terms is
/// far above what 10^10 exposures need.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TERMS_MAX: u32 = 1_000_000;
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = away_from_zero(1.0 - (a + b) * x / (a + 1.0)).recip();
    let mut product = d;
    for term in 1..=TERMS_MAX {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a - 1.0 + 2.0 * m) * (a + 2.0 * m));
        d = away_from_zero(1.0 + even * d).recip();
        c = away_from_zero(1.0 + even / c);
        product *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 1.0 + 2.0 * m));
        d = away_from_zero(1.0 + odd * d).recip();
        c = away_from_zero(1.0 + odd / c);
        product *= c * d;
        if (c * d - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests;
