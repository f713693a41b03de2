//! Densities that the grid integrates: Beta arms in the logit of the rate, normal arms in the score.

use crate::policy::best_arm::{Normal, Resolution};
use crate::posterior::Beta;

/// The density of an arm's z, smooth and falling off fast both ways.
pub(super) trait Curve {
    /// What all arms need at one point of the grid.
    type Point;
    /// What one arm needs at all points.
    type Peak;
    /// The width from which on the grid gets no coarser.
    const WIDTH_MAX: f64;

    /// The point z.
    fn point(z: f64) -> Self::Point;
    /// The scale on which the density changes.
    fn width(&self) -> f64;
    /// Where z is, but for a negligible probability.
    fn support(&self, resolution: Resolution) -> (f64, f64);
    /// The density's height and place.
    fn peak(&self) -> Self::Peak;
    /// The log density at a point.
    fn ln_density(&self, peak: &Self::Peak, point: &Self::Point) -> f64;
    /// The first three derivatives of the log density.
    fn slopes(&self, point: &Self::Point) -> (f64, f64, f64);
}

/// A logit z, as a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogitPoint {
    /// θ = 1/(1 + e^-z).
    pub(super) rate: f64,
    /// −ln θ.
    success: f64,
    /// −ln(1 − θ).
    failure: f64,
}

impl LogitPoint {
    fn at(z: f64) -> Self {
        let t = (-z.abs()).exp();
        let (near, far) = (t.ln_1p(), t.ln_1p() + z.abs());
        if z >= 0.0 {
            Self { rate: 1.0 / (1.0 + t), success: near, failure: far }
        } else {
            Self { rate: t / (1.0 + t), success: far, failure: near }
        }
    }
}

impl Curve for Beta {
    type Point = LogitPoint;
    type Peak = (f64, LogitPoint);
    /// The logit of an arm with a parameter below 1 is wide only on one side: the other falls off as ln Gamma does, whose
    /// Fourier transform decays as e^(−π|ω|/2) however wide the arm.
    const WIDTH_MAX: f64 = 1.0;

    fn point(z: f64) -> LogitPoint {
        LogitPoint::at(z)
    }

    fn width(&self) -> f64 {
        self.logit_width()
    }

    /// Some widths each way, and the exponential tails that parameters below 60 have.
    fn support(&self, resolution: Resolution) -> (f64, f64) {
        const EXPONENTIAL_BELOW: f64 = 60.0;
        const EXPONENTIAL_LENGTH: f64 = 18.0;
        let reach = resolution.widths_kept() * self.logit_width();
        let extra = |parameter: f64| if parameter < EXPONENTIAL_BELOW { EXPONENTIAL_LENGTH / parameter } else { 0.0 };
        (self.centre() - reach - extra(self.alpha()), self.centre() + reach + extra(self.beta()))
    }

    fn peak(&self) -> (f64, LogitPoint) {
        (self.ln_density_at_centre(), LogitPoint::at(self.centre()))
    }

    fn ln_density(&self, (peak, centre): &(f64, LogitPoint), point: &LogitPoint) -> f64 {
        peak - self.alpha() * (point.success - centre.success) - self.beta() * (point.failure - centre.failure)
    }

    fn slopes(&self, point: &LogitPoint) -> (f64, f64, f64) {
        let (a, sum) = (self.alpha(), self.alpha() + self.beta());
        let second = -sum * point.rate * (1.0 - point.rate);
        (a - sum * point.rate, second, second * (1.0 - 2.0 * point.rate))
    }
}

impl Curve for Normal {
    type Point = f64;
    /// 1/σ, and the log density at the mean.
    type Peak = (f64, f64);
    const WIDTH_MAX: f64 = f64::INFINITY;

    fn point(z: f64) -> f64 {
        z
    }

    fn width(&self) -> f64 {
        self.deviation
    }

    fn support(&self, resolution: Resolution) -> (f64, f64) {
        let reach = resolution.widths_kept() * self.deviation;
        (self.mean - reach, self.mean + reach)
    }

    fn peak(&self) -> (f64, f64) {
        let scale = self.deviation.recip();
        (scale, scale.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln())
    }

    fn ln_density(&self, (scale, peak): &(f64, f64), point: &f64) -> f64 {
        let distance = (point - self.mean) * scale;
        peak - 0.5 * distance * distance
    }

    fn slopes(&self, point: &f64) -> (f64, f64, f64) {
        let precision = self.deviation.powi(-2);
        ((self.mean - point) * precision, -precision, 0.0)
    }
}
