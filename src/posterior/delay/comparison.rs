//! Whether rewards take longer on some variations than on others, for people.

use crate::domain::{Slot, Span};
use crate::posterior::delay::log_rank::log_rank;
use crate::posterior::delay::{BINS, Counts, Delays};

/// Closed rewards of a variation from which on its delays are compared (STATISTICS §5).
const COMPARED_FROM: u64 = 200;

/// Delays of variations beside each other: those of decisions whose window is over, so that all of their rewards have come.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The probability of such differences where delays are alike, by the log-rank test.
    pub p: f64,
    /// Within what time half of the rewards came, by variation.
    pub halves: Vec<(Slot, Span)>,
}

impl Delays {
    /// Of the variations with 200 closed rewards; `None` where fewer than two have them.
    #[must_use]
    pub fn compare(&self) -> Option<Comparison> {
        let enough = |(_, counts): &(Slot, &Counts)| counts.closed().iter().sum::<u64>() >= COMPARED_FROM;
        let compared: Vec<(Slot, &Counts)> = self.by_variation().filter(enough).collect();
        if compared.len() < 2 {
            return None;
        }
        let groups: Vec<[u64; BINS]> = compared.iter().map(|(_, counts)| *counts.closed()).collect();
        let half = |&(variation, counts): &(Slot, &Counts)| (variation, half(counts.closed(), self.window()));
        Some(Comparison { p: log_rank(&groups), halves: compared.iter().map(half).collect() })
    }
}

/// Within what time half of some rewards came, by a line between the edges of a bin.
fn half(closed: &[u64; BINS], window: Span) -> Span {
    let half = closed.iter().sum::<u64>() as f64 / 2.0;
    let mut before = 0.0;
    for (bin, &count) in closed.iter().enumerate() {
        let count = count as f64;
        if before + count >= half && count > 0.0 {
            let place = (bin as f64 + (half - before) / count) / BINS as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the window")]
            let millis = (window.as_millis() as f64 * place.powi(3)) as u64;
            return Span::from_millis(millis);
        }
        before += count;
    }
    window
}
