//! The lift of the policy over the default: the control group against the rest.
//!
//! Both groups are chosen by a fixed hash, so a plain comparison of two proportions is sound; between variations, whose
//! traffic the policy chose, it is not.

use crate::report::intervals::{Interval, Z, wilson};

/// Trials and successes of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Exposures.
    pub exposures: u64,
    /// Conversions; can exceed the exposures by what a crash lost.
    pub conversions: u64,
}

impl Counts {
    /// Exposures, with those that must have been there for the conversions to happen.
    fn trials(self) -> f64 {
        self.exposures.max(self.conversions) as f64
    }

    /// Conversions per exposure, 0 to 1; nothing before the first exposure.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        let trials = self.trials();
        (trials > 0.0).then(|| self.conversions as f64 / trials)
    }
}

/// What the policy gains over the default. Whatever cannot be said yet is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lift {
    /// The control group's rate.
    pub control_rate: Option<f64>,
    /// The rate of everyone else.
    pub treated_rate: Option<f64>,
    /// Treated rate less control rate, in −1 to 1.
    pub difference: Option<f64>,
    /// 95 % interval of the difference.
    pub difference_interval: Option<Interval>,
    /// The difference as a share of the control group's rate; nothing while that is 0.
    pub relative: Option<f64>,
}

/// Compares the visitors a policy treated with the control group.
///
/// The interval is Newcombe's hybrid score interval, which joins the Wilson intervals of both rates ("Interval estimation
/// for the difference between independent proportions: comparison of eleven methods", Statistics in Medicine 17, 1998,
/// method 10). It is for one look at a time chosen beforehand: watched until it excludes 0, it errs more often than 5 %.
#[must_use]
pub fn lift(control: Counts, treated: Counts) -> Lift {
    let (control_rate, treated_rate) = (control.rate(), treated.rate());
    let both = control_rate.zip(treated_rate);
    let difference = both.map(|(control_rate, treated_rate)| treated_rate - control_rate);
    let difference_interval = both.map(|(control_rate, treated_rate)| {
        let c = wilson(control.conversions as f64, control.trials());
        let t = wilson(treated.conversions as f64, treated.trials());
        let middle = treated_rate - control_rate;
        Interval {
            low: middle - (treated_rate - t.low).hypot(c.high - control_rate),
            high: middle + (t.high - treated_rate).hypot(control_rate - c.low),
        }
    });
    let relative = difference.zip(control_rate).filter(|(_, rate)| *rate > 0.0).map(|(gain, rate)| gain / rate);
    Lift { control_rate, treated_rate, difference, difference_interval, relative }
}

/// Sums over the visitors of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Exposures.
    pub exposures: u64,
    /// Σ value.
    pub sum: i128,
    /// Σ value².
    pub squares: i128,
}

impl Sums {
    /// The mean per visitor and the variance of that mean, from two visitors on.
    fn moments(self) -> Option<(f64, f64)> {
        if self.exposures < 2 {
            return None;
        }
        let n = self.exposures as f64;
        let mean = self.sum as f64 / n;
        let scatter = (self.squares as f64 - self.sum as f64 * mean).max(0.0);
        Some((mean, scatter / (n - 1.0) / n))
    }
}

/// What the policy gains over the default per visitor, where rewards have values; in their unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLift {
    /// The control group's mean.
    pub control: f64,
    /// The mean of everyone else.
    pub treated: f64,
    /// The difference, and its 95 % interval.
    pub difference: f64,
    /// See there.
    pub difference_interval: Interval,
    /// The difference as a share of the control group's mean; nothing unless that is above 0.
    pub relative: Option<f64>,
}

/// Compares means; nothing before both groups have two visitors.
///
/// The interval is the normal one on Welch's standard error ("The generalization of 'Student's' problem when several different
/// population variances are involved", Biometrika 34, 1947): with few orders, of very different values, it is too
/// narrow. For one look at a time chosen beforehand, as [`lift`]'s.
#[must_use]
pub fn mean_lift(control: Sums, treated: Sums) -> Option<MeanLift> {
    let ((control, v), (treated, w)) = (control.moments()?, treated.moments()?);
    let difference = treated - control;
    let reach = Z * (v + w).sqrt();
    let difference_interval = Interval { low: difference - reach, high: difference + reach };
    let relative = (control > 0.0).then(|| difference / control);
    Some(MeanLift { control, treated, difference, difference_interval, relative })
}

#[cfg(test)]
mod tests;
