//! What share of rewards is known at an age.

use std::collections::BTreeMap;

use crate::domain::{Slot, Span, Timestamp};
use crate::posterior::delay::{BINS, Counts, Delays, bin, row_end};

/// Rewards that the configured curve counts for. 20 are soon outnumbered, and keep the first few rewards, which are the fast
/// ones, from saying that all rewards are fast.
const CONFIGURED_REWARDS: f64 = 20.0;

/// Rewards that the curve of all variations counts for in that of each. With 20 or 100 a slow variation's own rewards were
/// outvoted for longer; with 5 nothing was lost where delays are alike.
const TOGETHER_REWARDS: f64 = 5.0;

/// No share is smaller: one reward counts for a thousand exposures at most.
const SHARE_MIN: f64 = 1e-3;

/// F, the share of a goal's rewards that has come by an age, of those that come within the window at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    window: Span,
    /// F at the bins' edges: 0 first, 1 last, never falling.
    edges: [f64; BINS + 1],
}

impl Curve {
    /// The curve before anything is known: (age/window)^k, by which half of the rewards come within the typical delay.
    /// `typical` is above 0 and below the window, else a quarter of the window, which makes k = ½.
    #[must_use]
    pub fn configured(window: Span, typical: Option<Span>) -> Self {
        let share = |typical: Span| typical.as_millis() as f64 / window.as_millis() as f64;
        let share = typical.map(share).filter(|share| *share > 0.0 && *share < 1.0).unwrap_or(0.25);
        let power = 0.5_f64.ln() / share.ln();
        // The edges are cubes.
        let edges = std::array::from_fn(|edge| (edge as f64 / BINS as f64).powf(3.0 * power));
        Self { window, edges }
    }

    /// What counts say of F at `now`, with this curve as so many rewards seen beforehand.
    ///
    /// Of a decision that is a day old only delays up to a day can have been seen, so that delays are truncated from the
    /// right. The maximum-likelihood estimate is the product-limit in reversed time (Lynden-Bell, Monthly Notices of the Royal
    /// Astronomical Society 155, 1971; Lagakos, Barraj, De Gruttola, "Nonparametric analysis of truncated survival data, with
    /// application to AIDS", Biometrika 75, 1988): F(lower edge) = F(upper edge)·(1 − d/Y), where d rewards fell in the bin and Y
    /// at or below it, both among decisions old enough to have shown all of the bin. Where no decision is old
    /// enough the curve beforehand alone speaks. Unlike a count over closed decisions alone it knows fast rewards on the first day.
    fn estimate(&self, rewards: f64, counts: &Counts, now: Timestamp) -> Self {
        let mut curve = self.clone();
        let prior = &self.edges;
        let (in_bin, up_to) = at_risk(counts, self.window, now);
        for bin in (0..BINS).rev() {
            let fell = in_bin[bin] as f64 + rewards * (prior[bin + 1] - prior[bin]);
            let risk = up_to[bin] as f64 + rewards * prior[bin + 1];
            curve.edges[bin] = if bin == 0 { 0.0 } else { curve.edges[bin + 1] * (1.0 - fell / risk).max(0.0) };
        }
        curve
    }

    /// F at an age: 0.001 to 1, never falling, 1 from the window on.
    #[must_use]
    pub fn at(&self, age: Span) -> f64 {
        self.at_place(place(age, self.window))
    }

    fn at_place(&self, place: Option<Place>) -> f64 {
        let Some(Place { bin, within }) = place else { return 1.0 };
        (self.edges[bin + 1] - self.edges[bin]).mul_add(within, self.edges[bin]).clamp(SHARE_MIN, 1.0)
    }
}

/// Where an age stands between two edges.
#[derive(Debug, Clone, Copy)]
struct Place {
    bin: usize,
    within: f64,
}

/// Nowhere, once the window is over.
fn place(age: Span, window: Span) -> Option<Place> {
    if age >= window {
        return None;
    }
    let place = BINS as f64 * (age.as_millis() as f64 / window.as_millis() as f64).cbrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place is within 0 and 40")]
    let bin = (place as usize).min(BINS - 1);
    Some(Place { bin, within: place - bin as f64 })
}

/// The curve of each variation of a goal.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Of variations that had no reward yet.
    together: Curve,
    own: BTreeMap<Slot, Curve>,
}

impl Curves {
    /// Before anything is known.
    #[must_use]
    pub fn configured(window: Span, typical: Option<Span>) -> Self {
        Self { together: Curve::configured(window, typical), own: BTreeMap::new() }
    }

    /// What rewards so far say at `now`: of all variations together with the configured curve as 20 rewards seen beforehand,
    /// then of each with that of all together as 5.
    ///
    /// A variation whose rewards come later than the others' would be believed worse than it is by the curve of all, and be shown
    /// less; so each has its own from the start. STATISTICS §5 would wait until a log-rank test among 200 closed rewards each says
    /// that delays differ: simulated, that comes too late, as the variation it should help is hardly shown by then
    /// (simulations/README.md).
    #[must_use]
    pub fn estimate(delays: &Delays, now: Timestamp, typical: Option<Span>) -> Self {
        let configured = Curve::configured(delays.window(), typical);
        let together = configured.estimate(CONFIGURED_REWARDS, delays.all(), now);
        let own = delays.by_variation().map(|(slot, counts)| (slot, together.estimate(TOGETHER_REWARDS, counts, now)));
        let own = own.collect();
        Self { together, own }
    }

    /// F of every variation at an age.
    #[must_use]
    pub fn at(&self, age: Span) -> Shares<'_> {
        Shares { curves: self, place: place(age, self.together.window) }
    }

    /// The curve of a variation.
    #[must_use]
    pub fn of(&self, variation: Slot) -> &Curve {
        self.own.get(&variation).unwrap_or(&self.together)
    }
}

/// What share of rewards has come by one age.
#[derive(Debug, Clone, Copy)]
pub struct Shares<'a> {
    curves: &'a Curves,
    place: Option<Place>,
}

impl Shares<'_> {
    /// Of a variation's rewards.
    #[must_use]
    pub fn of(&self, variation: Slot) -> f64 {
        self.curves.of(variation).at_place(self.place)
    }
}

/// By bin: rewards that fell in it, and at or below it, of decisions that are old enough to have shown all of it.
fn at_risk(counts: &Counts, window: Span, now: Timestamp) -> ([u64; BINS], [u64; BINS]) {
    let mut in_bin = counts.closed;
    let mut up_to = [0; BINS];
    let mut sum = 0;
    for (up_to, closed) in up_to.iter_mut().zip(counts.closed) {
        sum += closed;
        *up_to = sum;
    }
    for (&(row, bin), &count) in &counts.open {
        // The youngest decision of the row decides what all of it have shown.
        let shown = bins_within(now.since(row_end(row, window)), window);
        let bin = usize::from(bin);
        if bin < shown {
            in_bin[bin] += count;
            up_to[bin..shown].iter_mut().for_each(|up_to| *up_to += count);
        }
    }
    (in_bin, up_to)
}

/// How many bins lie wholly within an age.
fn bins_within(age: Span, window: Span) -> usize {
    if age >= window { BINS } else { bin(age, window) }
}
