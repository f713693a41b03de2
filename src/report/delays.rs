//! How long rewards take, by variation, in words.

use crate::domain::{Span, VariationKey};

/// Delays of a goal's rewards, of decisions whose window is over.
#[derive(Debug, Clone, PartialEq)]
pub struct DelaysByVariation {
    /// The probability of such differences where delays are alike, by a log-rank test.
    pub p: f64,
    /// Within what time half of the rewards came, by variation; those with too few rewards are left out.
    pub halves: Vec<(VariationKey, Span)>,
}

/// Below it delays are said to depend on the variation (STATISTICS §5).
const DEPENDS_BELOW: f64 = 1e-3;

impl DelaysByVariation {
    /// Whether the delay depends on the variation.
    #[must_use]
    pub fn depend(&self) -> bool {
        self.p < DEPENDS_BELOW
    }

    /// One sentence for whoever runs the experiment.
    #[must_use]
    pub fn words(&self) -> String {
        let shown = |(key, half): &(VariationKey, Span)| format!("{} on {key}", rounded(*half));
        let halves: Vec<String> = self.halves.iter().map(shown).collect();
        let halves = halves.join(", ");
        if self.depend() {
            format!(
                "How long rewards take depends on the variation: half of them come within {halves}. Until its windows are \
                 over, a slow variation looks worse than it is; the policy allows for that."
            )
        } else {
            format!("Rewards take about as long on every variation: half of them come within {halves}.")
        }
    }
}

/// In the largest unit of which there is one and a half.
fn rounded(span: Span) -> String {
    let units = [("days", Span::DAY), ("hours", Span::HOUR), ("minutes", Span::from_millis(60_000))];
    let count = |unit: Span| span.as_millis() as f64 / unit.as_millis() as f64;
    let unit = units.into_iter().find(|(_, unit)| count(*unit) >= 1.5).unwrap_or(("seconds", Span::SECOND));
    format!("{:.1} {}", count(unit.1), unit.0)
}

#[cfg(test)]
mod tests {
    //! The sentence says which variations, and how long.

    use crate::domain::{Span, VariationKey};
    use crate::report::delays::*;

    fn of(p: f64) -> DelaysByVariation {
        let half = |(key, span): (&str, Span)| (VariationKey::new(key).expect("allowed"), span);
        let spans =
            [("plain", Span::HOUR.times(16)), ("offer", Span::HOUR.times(54)), ("bold", Span::from_millis(900))];
        DelaysByVariation { p, halves: spans.map(half).to_vec() }
    }

    #[test]
    fn slow_variations_are_named() {
        assert!(of(0.0009).depend() && !of(0.001).depend());
        assert_eq!(
            of(0.000_1).words(),
            "How long rewards take depends on the variation: half of them come within 16.0 hours on plain, 2.2 days on \
             offer, 0.9 seconds on bold. Until its windows are over, a slow variation looks worse than it is; the policy \
             allows for that."
        );
        assert!(of(0.2).words().starts_with("Rewards take about as long on every variation"), "{}", of(0.2).words());
    }
}
