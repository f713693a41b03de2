//! How long after their decisions rewards come, and from that, what share of them is known at an age (STATISTICS §5).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::{Span, Timestamp};

/// Bins of delay. Their edges are W·(i/40)³: seconds at the beginning of a week, half a day at its end, as delays are
/// known by their proportion.
pub const BINS: usize = 40;

/// Decisions are told apart by a 32nd of the window: how much of the delay could be seen of them by now.
const ROWS_PER_WINDOW: u64 = 32;

/// Rewards that the configured curve counts for. 20 are soon outnumbered, and keep the first few rewards, which are the fast
/// ones, from saying that all rewards are fast.
const PRIOR_REWARDS: f64 = 20.0;

/// No share is smaller: one reward counts for a thousand exposures at most.
const SHARE_MIN: f64 = 1e-3;

/// How many rewards of one goal came how long after their decisions, over all variations and segments: a commutative monoid of
/// integers. Equal rewards make an equal state, in whatever order they are added or merged.
///
/// Where a decision's window is over, only the delay is kept; before, also when it was decided. "Now" is the latest reward's time
/// and never a clock's, so that a replay folds alike. At most 34 rows of 40 bins are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    window: Span,
    latest: Timestamp,
    closed: [u64; BINS],
    /// By row of the decision and bin of the delay.
    open: BTreeMap<(u64, u8), u64>,
}

/// Rewards of decisions made in one row of time, with delays in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCount {
    /// The decision's time in units of a 32nd of the window.
    pub row: u64,
    /// Bin of the delay, below [`BINS`].
    pub bin: u8,
    /// How many.
    pub count: u64,
}

impl Delays {
    /// No reward yet, for a goal with this window.
    #[must_use]
    pub const fn new(window: Span) -> Self {
        Self { window, latest: Timestamp::ZERO, closed: [0; BINS], open: BTreeMap::new() }
    }

    /// Counts a reward that came so long after its decision. One beyond the window is no reward of the goal and is left out.
    pub fn add(&mut self, decided: Timestamp, delay: Span) {
        if delay > self.window {
            return;
        }
        self.count(self.row(decided), self.bin(delay), 1);
        self.advance(decided + delay);
    }

    /// Takes back a reward that was counted; afterwards only the time it told is left of it.
    pub fn take_back(&mut self, decided: Timestamp, delay: Span) {
        if delay > self.window {
            return;
        }
        let (row, bin) = (self.row(decided), self.bin(delay));
        if self.is_over(row, self.latest) {
            self.closed[bin] = self.closed[bin].saturating_sub(1);
        } else if let Entry::Occupied(mut count) = self.open.entry((row, u8::try_from(bin).expect("bins are few"))) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Adds all of another's rewards.
    ///
    /// # Panics
    /// If the windows differ: they are part of a definition's epoch, whose states alone are merged.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.window == other.window, "delays of different windows");
        self.closed.iter_mut().zip(other.closed).for_each(|(to, from)| *to += from);
        for (&(row, bin), &count) in &other.open {
            self.count(row, usize::from(bin), count);
        }
        self.advance(other.latest);
    }

    /// The window that delays are within.
    #[must_use]
    pub const fn window(&self) -> Span {
        self.window
    }

    /// The time of the latest reward, for a record.
    #[must_use]
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Rewards of decisions whose window is over, by bin, for a record.
    #[must_use]
    pub const fn closed(&self) -> &[u64; BINS] {
        &self.closed
    }

    /// The other rewards in order of row and bin, for a record.
    pub fn open(&self) -> impl Iterator<Item = OpenCount> {
        self.open.iter().map(|(&(row, bin), &count)| OpenCount { row, bin, count })
    }

    /// From a record made of the parts above; `None` if they do not fit.
    #[must_use]
    pub fn from_parts(
        window: Span,
        latest: Timestamp,
        closed: &[u64],
        open: impl IntoIterator<Item = OpenCount>,
    ) -> Option<Self> {
        let closed = <[u64; BINS]>::try_from(closed).ok()?;
        let mut delays = Self { window, latest, closed, open: BTreeMap::new() };
        for OpenCount { row, bin, count } in open {
            let fits = usize::from(bin) < BINS && !delays.is_over(row, latest);
            if !fits || delays.open.insert((row, bin), count).is_some() {
                return None;
            }
        }
        Some(delays)
    }

    fn count(&mut self, row: u64, bin: usize, count: u64) {
        if self.is_over(row, self.latest) {
            self.closed[bin] += count;
        } else {
            let bin = u8::try_from(bin).expect("bins are few");
            *self.open.entry((row, bin)).or_default() += count;
        }
    }

    /// Says what time it is: rows whose window is over by then are folded. Who takes rewards back says so of every reward,
    /// whatever its value: else what is left of one that was taken back would tell that it came.
    pub fn advance(&mut self, to: Timestamp) {
        self.latest = self.latest.max(to);
        while let Some(first) = self.open.first_entry() {
            let (row, bin) = *first.key();
            if row_end(row, self.window) + self.window > self.latest {
                break;
            }
            self.closed[usize::from(bin)] += first.remove();
        }
    }

    fn row(&self, decided: Timestamp) -> u64 {
        decided.as_millis() / row_length(self.window)
    }

    fn is_over(&self, row: u64, at: Timestamp) -> bool {
        row_end(row, self.window) + self.window <= at
    }

    /// The bin that holds a delay: the number of edges at or below it, without the first. In integers, so that every machine
    /// counts alike.
    fn bin(&self, delay: Span) -> usize {
        let cubes = cube(BINS) * u128::from(delay.as_millis());
        (1..BINS).take_while(|&edge| cube(edge) * u128::from(self.window.as_millis()) <= cubes).count()
    }

    /// How many bins lie wholly within an age.
    fn bins_within(&self, age: Span) -> usize {
        if age >= self.window { BINS } else { self.bin(age) }
    }
}

const fn row_length(window: Span) -> u64 {
    let length = window.as_millis() / ROWS_PER_WINDOW;
    if length == 0 { 1 } else { length }
}

const fn row_end(row: u64, window: Span) -> Timestamp {
    Timestamp::from_millis(row.saturating_add(1).saturating_mul(row_length(window)))
}

const fn cube(edge: usize) -> u128 {
    let edge = edge as u128;
    edge * edge * edge
}

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

    /// What rewards so far say of F at `now`, with the configured curve as 20 rewards seen beforehand.
    ///
    /// Of a decision that is a day old only delays up to a day can have been seen, so that delays are truncated from the
    /// right. The maximum-likelihood estimate is the product-limit in reversed time (Lynden-Bell, Monthly Notices of the Royal
    /// Astronomical Society 155, 1971; Lagakos, Barraj, De Gruttola, "Nonparametric analysis of truncated survival data, with
    /// application to AIDS", Biometrika 75, 1988): F(lower edge) = F(upper edge)·(1 − d/Y), where d rewards fell in the bin and Y
    /// at or below it, both among decisions old enough to have shown all of the bin. Where no decision is old
    /// enough the configured curve alone speaks. Unlike a count over closed decisions alone it knows fast rewards on the first day.
    #[must_use]
    pub fn estimate(delays: &Delays, now: Timestamp, typical: Option<Span>) -> Self {
        let mut curve = Self::configured(delays.window, typical);
        let prior = curve.edges;
        let (in_bin, up_to) = at_risk(delays, now);
        for bin in (0..BINS).rev() {
            let fell = in_bin[bin] as f64 + PRIOR_REWARDS * (prior[bin + 1] - prior[bin]);
            let risk = up_to[bin] as f64 + PRIOR_REWARDS * prior[bin + 1];
            curve.edges[bin] = if bin == 0 { 0.0 } else { curve.edges[bin + 1] * (1.0 - fell / risk).max(0.0) };
        }
        curve
    }

    /// F at an age: 0.001 to 1, never falling, 1 from the window on.
    #[must_use]
    pub fn at(&self, age: Span) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let place = BINS as f64 * (age.as_millis() as f64 / self.window.as_millis() as f64).cbrt();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place is within 0 and 40")]
        let bin = (place as usize).min(BINS - 1);
        let share = (self.edges[bin + 1] - self.edges[bin]).mul_add(place - bin as f64, self.edges[bin]);
        share.clamp(SHARE_MIN, 1.0)
    }

    /// From when on nothing more comes.
    #[must_use]
    pub const fn window(&self) -> Span {
        self.window
    }
}

/// By bin: rewards that fell in it, and at or below it, of decisions that are old enough to have shown all of it.
fn at_risk(delays: &Delays, now: Timestamp) -> ([u64; BINS], [u64; BINS]) {
    let mut in_bin = delays.closed;
    let mut up_to = [0; BINS];
    let mut sum = 0;
    for (up_to, closed) in up_to.iter_mut().zip(delays.closed) {
        sum += closed;
        *up_to = sum;
    }
    for (&(row, bin), &count) in &delays.open {
        // The youngest decision of the row decides what all of it have shown.
        let shown = delays.bins_within(now.since(row_end(row, delays.window)));
        let bin = usize::from(bin);
        if bin < shown {
            in_bin[bin] += count;
            up_to[bin..shown].iter_mut().for_each(|up_to| *up_to += count);
        }
    }
    (in_bin, up_to)
}

#[cfg(test)]
mod tests;
