//! How much segments borrow from each other, in words.

use crate::domain::GoalKind;
use crate::posterior::pooling::Fit;

/// What a fit of all segments says about how far they differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Borrowing {
    /// The posterior mean of τ, the standard deviation of a variation's effect from segment to segment: in logits for conversions, in
    /// units of the reward otherwise.
    pub tau: f64,
    /// The same as a share of the mean reward: 0.4 where segments differ by about 40 % in which variation works.
    pub difference: f64,
    /// With so many exposures of a variation a segment relies on its own visitors as much as on the others'; `None` where no number
    /// of its own would do, because segments more likely than not agree.
    pub even_at: Option<f64>,
}

/// Share of the mean reward below which a difference is called none.
const CLOSE: f64 = 0.05;

/// Reads it off a fit.
#[must_use]
pub fn borrowing(fit: &Fit) -> Borrowing {
    let tau = fit.spread();
    let difference = match fit.kind() {
        GoalKind::Conversion => tau,
        GoalKind::Revenue | GoalKind::Count => tau / fit.base().abs().max(f64::MIN_POSITIVE),
    };
    Borrowing { tau, difference, even_at: even_at(fit) }
}

/// The n at which Σ ω n/(n + κ) = ½, with κ as many exposures as the other segments are worth (STATISTICS §3.1, §3.6).
fn even_at(fit: &Fit) -> Option<f64> {
    // m (1 − m) of a visitor as visitors are, or σ² of a reward.
    let scatter = match fit.kind() {
        GoalKind::Conversion => {
            let odds = fit.base().exp();
            (1.0 + odds) * (1.0 + odds) / odds
        }
        GoalKind::Revenue | GoalKind::Count => fit.deviation() * fit.deviation(),
    };
    let differ: Vec<(f64, f64)> = fit
        .nodes()
        .iter()
        .filter(|node| node.tau > 0.0)
        .map(|node| (node.weight, scatter / (node.tau * node.tau)))
        .collect();
    let own = |n: f64| differ.iter().map(|(weight, worth)| weight * n / (n + worth)).sum::<f64>();
    if differ.iter().map(|(weight, _)| weight).sum::<f64>() <= 0.5 {
        return None;
    }
    let (mut low, mut high) = (0.0_f64, f64::MAX.sqrt());
    // Halving the logarithm: 60 steps leave no digit that is shown.
    for _ in 0..60 {
        let middle = ((low.ln_1p() + high.ln_1p()) / 2.0).exp_m1();
        if own(middle) < 0.5 { low = middle } else { high = middle }
    }
    Some(high)
}

impl Borrowing {
    /// One sentence for whoever runs the experiment.
    #[must_use]
    pub fn words(&self) -> String {
        let percent = 100.0 * self.difference;
        match self.even_at {
            None if self.difference < CLOSE => {
                "Segments agree closely: each decides nearly as all do together.".to_owned()
            }
            None => format!(
                "Segments probably agree in which variation works; if they differ, then by about {percent:.0} %. \
                 Each decides mostly as all do together."
            ),
            Some(exposures) => format!(
                "Segments differ by about {percent:.0} % in which variation works: each relies mostly on its own visitors \
                 beyond some {} of them for each variation.",
                rounded(exposures)
            ),
        }
    }
}

/// Two digits, with thousands apart.
fn rounded(number: f64) -> String {
    let unit = 10.0_f64.powf((number.max(1.0).log10().floor() - 1.0).max(0.0));
    let digits = format!("{:.0}", (number / unit).round() * unit);
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    //! The number in the sentence is where the weights of both are even.

    use crate::domain::GoalKind;
    use crate::posterior::Arm;
    use crate::posterior::pooling::{Fit, Node, fit};
    use crate::report::borrowing::*;

    fn known(kind: GoalKind, base: f64, deviation: f64, nodes: &[(f64, f64)]) -> Fit {
        let node = |&(tau, weight): &(f64, f64)| Node { tau, weight, gamma: vec![0.0; 2], factor: vec![0.1; 3] };
        Fit::from_parts(kind, base, 2.0, deviation, nodes.iter().map(node).collect()).expect("finite")
    }

    #[test]
    fn own_visitors_outweigh_the_others_beyond_kappa() {
        // κ = 1/(0.4² · 0.05 · 0.95) = 131.6.
        let found = borrowing(&known(GoalKind::Conversion, (0.05_f64 / 0.95).ln(), 1.0, &[(0.4, 1.0)]));
        assert!((found.even_at.expect("they differ") - 131.58).abs() < 0.1, "{found:?}");
        assert_eq!(
            found.words(),
            "Segments differ by about 40 % in which variation works: each relies mostly on its own visitors beyond some \
             130 of them for each variation."
        );
        // 0.8 n/(n + 131.6) = ½ at n = 219.3.
        let mixed = borrowing(&known(GoalKind::Conversion, (0.05_f64 / 0.95).ln(), 1.0, &[(0.0, 0.2), (0.4, 0.8)]));
        assert!((mixed.even_at.expect("they differ") - 219.3).abs() < 0.1, "{mixed:?}");
        // σ²/τ² = 900/4; a fifth of the mean of 10.
        let revenue = borrowing(&known(GoalKind::Revenue, 10.0, 30.0, &[(2.0, 1.0)]));
        assert!(
            (revenue.even_at.expect("they differ") - 225.0).abs() < 0.1 && (revenue.difference - 0.2).abs() < 1e-12
        );
    }

    #[test]
    fn segments_that_agree_are_said_to() {
        let rows = vec![vec![Arm::converting(50_000.0, 2_500.0), Arm::converting(50_000.0, 3_000.0)]; 40];
        let agree = borrowing(&fit(GoalKind::Conversion, &rows));
        assert!(agree.words().starts_with("Segments agree closely"), "{agree:?}");
        let unsure = borrowing(&known(GoalKind::Conversion, -3.0, 1.0, &[(0.0, 0.6), (0.4, 0.4)]));
        assert!(unsure.words().starts_with("Segments probably agree") && unsure.words().contains("16 %"), "{unsure:?}");
        assert_eq!([7.4, 99.6, 1_234.0, 1_960_000.0].map(rounded), ["7", "100", "1,200", "2,000,000"]);
    }
}
