//! The demo's world: who visits, and how each variation truly converts. The `three-segments` world of the simulations, told
//! as a shop.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// The demo's experiment.
pub(crate) const EXPERIMENT: &str = "demo";
/// What visitors do or do not.
pub(crate) const GOAL: &str = "order";

/// Values of the attribute `device`, equally frequent.
pub(crate) const SEGMENTS: [&str; 3] = ["mobile", "desktop", "tablet"];
/// Keys of the variations, the default first.
pub(crate) const VARIATIONS: [&str; 3] = ["free-delivery", "reviews", "countdown"];

/// True conversion rates, a row per segment: 10 % and so many points more. No variation is best everywhere, so that the
/// best single variation still loses what segments can win.
const RATES: [[f64; 3]; 3] = [[0.12, 0.13, 0.10], [0.13, 0.14, 0.10], [0.14, 0.10, 0.15]];

/// The true rate of a variation in a segment.
pub(crate) const fn rate(segment: usize, variation: usize) -> f64 {
    RATES[segment][variation]
}

/// The truly best variation of a segment.
pub(crate) fn best(segment: usize) -> usize {
    (0..VARIATIONS.len()).max_by(|a, b| rate(segment, *a).total_cmp(&rate(segment, *b))).unwrap_or(0)
}

/// The variation that is best if all visitors must see the same one.
pub(crate) fn best_single() -> usize {
    let mean = |variation: usize| (0..SEGMENTS.len()).map(|segment| rate(segment, variation)).sum::<f64>();
    (0..VARIATIONS.len()).max_by(|a, b| mean(*a).total_cmp(&mean(*b))).unwrap_or(0)
}

/// What the server is asked to run.
pub(crate) fn definition() -> Value {
    let headline = |key: &str, text: &str, colour: &str| {
        let payload = json!({ "headline": text, "colour": colour });
        json!({ "key": key, "payload": payload })
    };
    json!({
        "key": EXPERIMENT,
        "status": "running",
        "variations": [
            headline(VARIATIONS[0], "Free delivery on everything", "green"),
            headline(VARIATIONS[1], "Rated 4.8 by 12,000 customers", "blue"),
            headline(VARIATIONS[2], "Tonight only: order before midnight", "red"),
        ],
        "segments": { "by": ["device"] },
        "goals": [{ "key": GOAL, "kind": "conversion", "window": "7d", "delay": "none" }],
    })
}

/// Exposures by segment and variation.
pub(crate) type Shown = [[u64; 3]; 3];

/// Conversions to expect of what was shown, by the true rates: what was earned, freed of luck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    /// Of what was shown.
    pub(crate) shown: f64,
    /// Had all the same visitors seen [`best_single`].
    pub(crate) best_single: f64,
    /// Had each seen a variation drawn evenly.
    pub(crate) uniform: f64,
    /// Had each seen its segment's best.
    pub(crate) perfect: f64,
}

/// Computes it.
#[expect(clippy::cast_precision_loss, reason = "counts of visitors are far below 2^52")]
pub(crate) fn expected(shown: &Shown) -> Expected {
    let mut expected = Expected { shown: 0.0, best_single: 0.0, uniform: 0.0, perfect: 0.0 };
    for (segment, row) in shown.iter().enumerate() {
        let visitors = row.iter().sum::<u64>() as f64;
        expected.best_single += visitors * rate(segment, best_single());
        expected.perfect += visitors * rate(segment, best(segment));
        for (variation, count) in row.iter().enumerate() {
            expected.shown += *count as f64 * rate(segment, variation);
            expected.uniform += visitors * rate(segment, variation) / row.len() as f64;
        }
    }
    expected
}

/// Visitors, one after the other; a seed repeats them.
#[derive(Debug)]
pub(crate) struct Visitors(StdRng);

impl Visitors {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next visitor's id and segment.
    pub(crate) fn next(&mut self) -> (String, usize) {
        (format!("visitor-{:016x}", self.0.random::<u64>()), self.0.random_range(0..SEGMENTS.len()))
    }

    /// Whether a visitor of this segment orders, having seen this variation.
    pub(crate) fn orders(&mut self, segment: usize, variation: usize) -> bool {
        self.0.random::<f64>() < rate(segment, variation)
    }
}

#[cfg(test)]
mod tests {
    //! The world is the one described: every segment has another best variation than the best single one, but one.

    use super::*;

    #[test]
    fn no_variation_is_best_everywhere() {
        assert_eq!(VARIATIONS[best_single()], "free-delivery");
        assert_eq!([0, 1, 2].map(|segment| VARIATIONS[best(segment)]), ["reviews", "reviews", "countdown"]);
    }

    #[test]
    fn expectations_are_those_of_the_true_rates() {
        let Expected { shown, best_single, uniform, perfect } = expected(&[[100, 0, 0], [0, 100, 0], [0, 0, 100]]);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        near(shown, 12.0 + 14.0 + 15.0);
        near(best_single, 12.0 + 13.0 + 14.0);
        near(uniform, (35.0 + 37.0 + 39.0) / 3.0);
        near(perfect, 13.0 + 14.0 + 15.0);
    }

    #[test]
    fn a_seed_repeats_the_visitors() {
        let (mut one, mut other) = (Visitors::new(7), Visitors::new(7));
        assert_eq!([one.next(), one.next()], [other.next(), other.next()]);
        assert_ne!(Visitors::new(8).next(), Visitors::new(7).next());
    }
}
