//! How fast what was seen loses its weight, and which half-life would have told the arms apart best (STATISTICS §4).

use crate::domain::{Slot, Span, Timestamp};
use crate::posterior::Beta;
use crate::posterior::bucket::Bucket;
use crate::posterior::weighing::{Known, Open, middle};

/// The half-lives to choose from; `None`: nothing is ever forgotten.
pub const HALF_LIVES: [Option<Span>; 4] =
    [Some(Span::DAY.times(3)), Some(Span::DAY.times(7)), Some(Span::DAY.times(28)), None];

/// In how much time a score loses half of its weight: two weeks. Ten days told no better, four weeks were slow to notice
/// worlds that move. Averaging the half-lives by the probability of their scores was later still where arms are redrawn.
const SCORE_HALF_LIFE: Span = Span::DAY.times(14);

/// What is left of one exposure or reward after an age: 2^(−age/half-life), 0 to 1.
#[must_use]
pub fn weight(age: Span, half_life: Span) -> f64 {
    (-(age.as_millis() as f64) / half_life.as_millis() as f64).exp2()
}

/// How well each of [`HALF_LIVES`] would have told how each bucket's conversions are divided between arms, from what was
/// known before the bucket.
///
/// `score ← 2^(−step/14 days)·score + Σ_a x_a ln(n_a m_a / Σ_b n_b m_b)`, oldest bucket first, m the posterior mean under the
/// half-life, with a prior that never decays. Only the split between arms is scored, so that a wave that lifts all
/// arms cancels. Scores of several segments are added.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores([f64; HALF_LIVES.len()]);

impl Scores {
    /// Of one segment's buckets, in order of time. `slots` are the variations compared, `prior` is what the policy believes of a
    /// rate beforehand, and `open` says what counts of decisions whose window is open at `now`.
    ///
    /// A bucket is scored whole: one that is a day long is told with what was known the day before, which a half-life of three
    /// days or more hardly notices.
    #[must_use]
    pub fn of(buckets: &[Bucket], slots: &[Slot], goal: Slot, now: Timestamp, open: Open<'_>, prior: Beta) -> Self {
        let mut scores = [0.0; HALF_LIVES.len()];
        let mut known = [(); HALF_LIVES.len()].map(|()| vec![(0.0, 0.0); slots.len()]);
        let mut before = None;
        let mut batch = Vec::with_capacity(slots.len());
        for bucket in buckets {
            let at = middle(bucket, now);
            let step = before.map_or(Span::ZERO, |before| at.since(before));
            before = Some(at);
            let shares = open.known(bucket, now);
            if matches!(shares, Known::Nothing) {
                continue;
            }
            batch.clear();
            batch.extend(slots.iter().map(|&slot| {
                let conversions = bucket.tally.conversions(slot, goal) as f64;
                ((shares.of(slot) * bucket.tally.exposures(slot) as f64).max(conversions), conversions)
            }));
            let fade = weight(step, SCORE_HALF_LIFE);
            for ((score, known), half_life) in scores.iter_mut().zip(&mut known).zip(HALF_LIVES) {
                let decay = half_life.map_or(1.0, |half_life| weight(step, half_life));
                *score = fade.mul_add(*score, learn(known, &batch, decay, prior));
            }
        }
        Self(scores)
    }

    /// Adds another segment's.
    pub fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(to, from)| *to += from);
    }

    /// The half-life with the best score, the longest of several; `None`: nothing is forgotten.
    #[must_use]
    pub fn best(self) -> Option<Span> {
        let better = |best: usize, index: usize| if self.0[index] > self.0[best] { index } else { best };
        HALF_LIVES[(0..HALF_LIVES.len()).rev().fold(HALF_LIVES.len() - 1, better)]
    }
}

/// Decays what is known of each arm, scores a batch with it, adds the batch. Pairs of exposures and conversions.
fn learn(known: &mut [(f64, f64)], batch: &[(f64, f64)], decay: f64, prior: Beta) -> f64 {
    let (mut converted, mut expected, mut gain) = (0.0, 0.0, 0.0);
    for ((n, x), &(exposures, conversions)) in known.iter_mut().zip(batch) {
        *n *= decay;
        *x *= decay;
        let arm = exposures * Beta::from_counts(prior, *n, *x, 1.0).mean();
        expected += arm;
        converted += conversions;
        if conversions > 0.0 {
            gain += conversions * arm.ln();
        }
        *n += exposures;
        *x += conversions;
    }
    if converted > 0.0 { converted.mul_add(-f64::ln(expected), gain) } else { 0.0 }
}

#[cfg(test)]
mod tests;
