//! Whether an experiment has said what it can (STATISTICS §11).
//!
//! The rule looks at what going on could still gain and not at an error rate: it may be asked as often as one likes, and errs as
//! often as its model says if the model's prior is close to the truth. It is no frequentist guarantee.

use crate::domain::Span;
pub use crate::domain::StoppingRule;
use crate::report::lift::Counts;

/// What is known when the question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// How long the experiment has run.
    pub age: Span,
    /// By variation.
    pub counts: &'a [Counts],
    /// Joint draws of all variations' scores from unsharpened posteriors: rows as long as `counts`, one after another. A thousand
    /// rows or more.
    pub scores: &'a [f64],
    /// The default variation's place in `counts`.
    pub default: usize,
}

/// Why an experiment is finished, or what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Other variations could hardly add to the best.
    ValueRemaining,
    /// No variation is noticeably better than the default.
    NoPracticalDifference,
    /// It has had all the exposures it was given.
    Limit,
    /// It has not run long enough, by so much.
    Younger(Span),
    /// The variation in this place could be the best and has too few conversions, by so many.
    Fewer(usize, u64),
    /// What other variations could add is still too much.
    Uncertain,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Why it is finished or is not.
    pub reason: Reason,
    /// The quantile, at the rule's probability, of what other variations could add to the best, as a share of its score; infinite
    /// where that score may not be above 0.
    pub value_remaining: f64,
    /// The model probability that no variation is better than the default by more than the equivalence.
    pub equivalence_probability: f64,
    /// Place of the variation with the highest mean score.
    pub best: usize,
}

/// Asks the rule.
///
/// With adaptive traffic a losing variation never gets its 100 conversions, so the minimum is asked only of those that
/// could be the best: a variation is exempt where its model probability to be that is below (1 − probability)/variations. All exempt
/// ones together are then the best less often than the rule may err. The least age holds always; the limit asks for no
/// conversions, or an experiment nobody converts in would never end.
///
/// # Panics
/// If there are no scores, or they do not fit the counts, or the default is not among them.
#[must_use]
pub fn stopping(progress: &Progress<'_>, rule: &StoppingRule) -> Verdict {
    let arms = progress.counts.len();
    assert!(progress.default < arms && !progress.scores.is_empty(), "nothing to compare");
    assert!(progress.scores.len().is_multiple_of(arms), "rows as long as the counts");
    let rows = || progress.scores.chunks_exact(arms);
    let best = highest(&means(progress.scores, arms));
    let mut remaining: Vec<f64> = rows().map(|row| gain(row, best)).collect();
    let value_remaining = quantile(&mut remaining, rule.probability);
    let alike = rows().filter(|row| gain(row, progress.default) < rule.equivalence).count();
    let equivalence_probability = alike as f64 / remaining.len() as f64;
    let exposures: u64 = progress.counts.iter().map(|counts| counts.exposures).sum();
    let reason = if progress.age < rule.span_min {
        Reason::Younger(Span::from_millis(rule.span_min.as_millis() - progress.age.as_millis()))
    } else if rule.exposures_max.is_some_and(|max| exposures >= max) {
        // What could be said anyway is said.
        conclusion(value_remaining, equivalence_probability, rule).unwrap_or(Reason::Limit)
    } else if let Some((arm, missing)) = too_few(progress, rule) {
        Reason::Fewer(arm, missing)
    } else {
        conclusion(value_remaining, equivalence_probability, rule).unwrap_or(Reason::Uncertain)
    };
    Verdict { reason, value_remaining, equivalence_probability, best }
}

fn conclusion(value_remaining: f64, equivalence_probability: f64, rule: &StoppingRule) -> Option<Reason> {
    if value_remaining < rule.value_remaining {
        Some(Reason::ValueRemaining)
    } else {
        (equivalence_probability > rule.probability).then_some(Reason::NoPracticalDifference)
    }
}

/// The variation that lacks most conversions, of those that could be the best, and how many.
fn too_few(progress: &Progress<'_>, rule: &StoppingRule) -> Option<(usize, u64)> {
    let arms = progress.counts.len();
    let rows = progress.scores.len() / arms;
    let mut wins = vec![0_usize; arms];
    progress.scores.chunks_exact(arms).for_each(|row| wins[highest(row)] += 1);
    let exempt = (1.0 - rule.probability) / arms as f64 * rows as f64;
    (0..arms)
        .filter(|&arm| wins[arm] as f64 >= exempt)
        .map(|arm| (arm, rule.conversions_min.saturating_sub(progress.counts[arm].conversions)))
        .filter(|&(_, missing)| missing > 0)
        .max_by_key(|&(_, missing)| missing)
}

/// By how much the best of a draw exceeds one variation, as a share of that one's score.
fn gain(row: &[f64], arm: usize) -> f64 {
    let more = row[highest(row)] - row[arm];
    if more <= 0.0 {
        0.0
    } else if row[arm] > 0.0 {
        more / row[arm]
    } else {
        f64::INFINITY
    }
}

fn means(scores: &[f64], arms: usize) -> Vec<f64> {
    let mut sums = vec![0.0; arms];
    for row in scores.chunks_exact(arms) {
        sums.iter_mut().zip(row).for_each(|(sum, score)| *sum += score);
    }
    sums
}

fn highest(scores: &[f64]) -> usize {
    (1..scores.len()).fold(0, |best, arm| if scores[arm] > scores[best] { arm } else { best })
}

/// The smallest value that this share of the values does not exceed.
fn quantile(values: &mut [f64], probability: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the values")]
    let rank = (probability * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

impl Verdict {
    /// Whether the experiment has said what it can.
    #[must_use]
    pub const fn finished(&self) -> bool {
        match self.reason {
            Reason::ValueRemaining | Reason::NoPracticalDifference | Reason::Limit => true,
            Reason::Younger(_) | Reason::Fewer(..) | Reason::Uncertain => false,
        }
    }

    /// The answer in one or two sentences for whoever runs the experiment; `names` are the variations', as in the counts.
    ///
    /// # Panics
    /// If there are fewer names than variations.
    #[must_use]
    pub fn sentence(&self, names: &[&str], rule: &StoppingRule) -> String {
        let best = names[self.best];
        let sure = rule.probability * 100.0;
        match self.reason {
            Reason::ValueRemaining => format!(
                "Finished: show {best}. With {sure:.0} % model probability no other variation would add more than {}.",
                share(rule.value_remaining)
            ),
            Reason::NoPracticalDifference => format!(
                "Finished: with {:.0} % model probability no variation is better than the default by more than {}. \
                 Choose the one that is easiest to keep.",
                self.equivalence_probability * 100.0,
                share(rule.equivalence)
            ),
            Reason::Limit => format!(
                "Finished: the experiment has had the visitors it was given. {best} leads, but another variation could \
                 still add {}.",
                share(self.value_remaining)
            ),
            Reason::Younger(left) => {
                let days = left.as_millis().div_ceil(Span::DAY.as_millis());
                let unit = if days == 1 { "day" } else { "days" };
                format!("Not finished: it has to run {days} more {unit}, so that every day of a week counts.")
            }
            Reason::Fewer(arm, missing) => {
                format!("Not finished: {} could be the best and lacks {missing} conversions to say so.", names[arm])
            }
            Reason::Uncertain => format!(
                "Not finished: {best} leads, but another variation could still add {}.",
                share(self.value_remaining)
            ),
        }
    }
}

/// A share for people.
fn share(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "more than it earns now".to_owned() }
}

#[cfg(test)]
mod tests;
