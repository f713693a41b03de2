//! How long after their decisions rewards come, and from that, what share of them is known at an age (STATISTICS §5).

mod comparison;
mod curve;
mod log_rank;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::domain::{Slot, Span, Timestamp};

pub use comparison::Comparison;
pub use curve::{Curve, Curves, Shares};

/// Bins of delay. Their edges are W·(i/40)³: seconds at the beginning of a week, half a day at its end, as delays are
/// known by their proportion.
pub const BINS: usize = 40;

/// Decisions are told apart by a 32nd of the window: how much of the delay could be seen of them by now.
const ROWS_PER_WINDOW: u64 = 32;

/// How many rewards of one goal came how long after their decisions, over all segments, together and by variation: a commutative
/// monoid of integers. Equal rewards make an equal state, in whatever order they are added or merged.
///
/// Where a decision's window is over, only the delay is kept; before, also when it was decided. "Now" is the latest reward's time
/// and never a clock's, so that a replay folds alike. At most 34 rows of 40 bins are open, together and of each variation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    window: Span,
    latest: Timestamp,
    all: Counts,
    /// Of variations that had a reward. Those of records that did not tell variations apart are in none.
    by_variation: BTreeMap<Slot, Counts>,
}

/// Rewards by their delays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
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

impl Counts {
    const NONE: Self = Self { closed: [0; BINS], open: BTreeMap::new() };

    /// Rewards of decisions whose window is over, by bin.
    #[must_use]
    pub const fn closed(&self) -> &[u64; BINS] {
        &self.closed
    }

    /// The other rewards in order of row and bin.
    pub fn open(&self) -> impl Iterator<Item = OpenCount> {
        self.open.iter().map(|(&(row, bin), &count)| OpenCount { row, bin, count })
    }

    /// From a record; nothing unless each bin stands there, and each open one once.
    #[must_use]
    pub fn from_parts(closed: &[u64], open: impl IntoIterator<Item = OpenCount>) -> Option<Self> {
        let closed = <[u64; BINS]>::try_from(closed).ok()?;
        let mut counts = Self { closed, open: BTreeMap::new() };
        for OpenCount { row, bin, count } in open {
            if usize::from(bin) >= BINS || counts.open.insert((row, bin), count).is_some() {
                return None;
            }
        }
        Some(counts)
    }

    fn add(&mut self, row: u64, bin: u8, count: u64, over: bool) {
        if over {
            self.closed[usize::from(bin)] += count;
        } else {
            *self.open.entry((row, bin)).or_default() += count;
        }
    }

    fn take_back(&mut self, row: u64, bin: u8, over: bool) {
        if over {
            let closed = &mut self.closed[usize::from(bin)];
            *closed = closed.saturating_sub(1);
        } else if let Entry::Occupied(mut count) = self.open.entry((row, bin)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn merge(&mut self, other: &Self, open_from: u64) {
        self.closed.iter_mut().zip(other.closed).for_each(|(to, from)| *to += from);
        for (&(row, bin), &count) in &other.open {
            self.add(row, bin, count, row < open_from);
        }
    }

    /// Closes rows before one; says whether there was any.
    fn close(&mut self, before: u64) -> bool {
        let mut closed = false;
        while let Some(first) = self.open.first_entry().filter(|first| first.key().0 < before) {
            let bin = usize::from(first.key().1);
            self.closed[bin] += first.remove();
            closed = true;
        }
        closed
    }
}

impl Delays {
    /// No reward yet, for a goal with this window.
    #[must_use]
    pub const fn new(window: Span) -> Self {
        Self { window, latest: Timestamp::ZERO, all: Counts::NONE, by_variation: BTreeMap::new() }
    }

    /// Counts a reward of a variation that came so long after its decision. One beyond the window is no reward of the goal and
    /// is left out.
    pub fn add(&mut self, variation: Slot, decided: Timestamp, delay: Span) {
        if delay > self.window {
            return;
        }
        let (row, bin) = self.place(decided, delay);
        let over = row < self.open_from();
        self.all.add(row, bin, 1, over);
        self.of_mut(variation).add(row, bin, 1, over);
        self.advance(decided + delay);
    }

    /// Takes back a reward that was counted; afterwards only the time it told is left of it.
    pub fn take_back(&mut self, variation: Slot, decided: Timestamp, delay: Span) {
        if delay > self.window {
            return;
        }
        let (row, bin) = self.place(decided, delay);
        let over = row < self.open_from();
        self.all.take_back(row, bin, over);
        // Where an earlier version counted, a variation has less than was counted of it.
        if let Entry::Occupied(mut own) = self.by_variation.entry(variation) {
            own.get_mut().take_back(row, bin, over);
            if *own.get() == Counts::NONE {
                own.remove();
            }
        }
    }

    /// Adds all of another's rewards.
    ///
    /// # Panics
    /// If the windows differ: they are part of a definition's epoch, whose states alone are merged.
    pub fn merge(&mut self, other: &Self) {
        assert!(self.window == other.window, "delays of different windows");
        let open_from = self.open_from();
        self.all.merge(&other.all, open_from);
        for (&variation, counts) in &other.by_variation {
            self.of_mut(variation).merge(counts, open_from);
        }
        self.advance(other.latest);
    }

    /// The window that delays are within.
    #[must_use]
    pub const fn window(&self) -> Span {
        self.window
    }

    /// The time of the latest reward.
    #[must_use]
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// All rewards.
    #[must_use]
    pub const fn all(&self) -> &Counts {
        &self.all
    }

    /// Rewards of each variation that had one, in order of slots.
    pub fn by_variation(&self) -> impl Iterator<Item = (Slot, &Counts)> {
        self.by_variation.iter().map(|(&variation, counts)| (variation, counts))
    }

    /// From a record made of the parts above; `None` if they do not fit.
    #[must_use]
    pub fn from_parts(
        window: Span,
        latest: Timestamp,
        all: Counts,
        by_variation: impl IntoIterator<Item = (Slot, Counts)>,
    ) -> Option<Self> {
        let mut delays = Self { window, latest, all, by_variation: BTreeMap::new() };
        for (variation, counts) in by_variation {
            if delays.by_variation.insert(variation, counts).is_some() {
                return None;
            }
        }
        let open_from = delays.open_from();
        let folded = |counts: &Counts| counts.open.first_key_value().is_none_or(|(&(row, _), _)| row >= open_from);
        let fits = folded(&delays.all) && delays.by_variation.values().all(folded);
        (fits && delays.adds_up()).then_some(delays)
    }

    /// Whether no variation has what all together have not.
    fn adds_up(&self) -> bool {
        let mut rest = self.all.clone();
        let takes = |left: &mut u64, count: u64| left.checked_sub(count).map(|less| *left = less).is_some();
        self.by_variation.values().all(|own| {
            rest.closed.iter_mut().zip(own.closed).all(|(left, count)| takes(left, count))
                && own.open.iter().all(|(at, &count)| rest.open.get_mut(at).is_some_and(|left| takes(left, count)))
        })
    }

    /// Row of a decision and bin of a delay.
    fn place(&self, decided: Timestamp, delay: Span) -> (u64, u8) {
        let row = decided.as_millis() / row_length(self.window);
        (row, u8::try_from(bin(delay, self.window)).expect("bins are few"))
    }

    fn of_mut(&mut self, variation: Slot) -> &mut Counts {
        self.by_variation.entry(variation).or_insert(Counts::NONE)
    }

    /// Says what time it is: rows whose window is over by then are folded. Who takes rewards back says so of every reward,
    /// whatever its value: else what is left of one that was taken back would tell that it came.
    pub fn advance(&mut self, to: Timestamp) {
        self.latest = self.latest.max(to);
        let open_from = self.open_from();
        // Whatever is open of a variation is open of all.
        if self.all.close(open_from) {
            for counts in self.by_variation.values_mut() {
                counts.close(open_from);
            }
        }
    }

    /// The first row of decisions whose window is not over for all of them.
    const fn open_from(&self) -> u64 {
        self.latest.as_millis().saturating_sub(self.window.as_millis()) / row_length(self.window)
    }
}

const fn row_length(window: Span) -> u64 {
    let length = window.as_millis() / ROWS_PER_WINDOW;
    if length == 0 { 1 } else { length }
}

const fn row_end(row: u64, window: Span) -> Timestamp {
    Timestamp::from_millis(row.saturating_add(1).saturating_mul(row_length(window)))
}

/// The bin that holds a delay: the number of edges at or below it, without the first. In integers, so that every machine
/// counts alike.
fn bin(delay: Span, window: Span) -> usize {
    let cubes = cube(BINS) * u128::from(delay.as_millis());
    (1..BINS).take_while(|&edge| cube(edge) * u128::from(window.as_millis()) <= cubes).count()
}

const fn cube(edge: usize) -> u128 {
    let edge = edge as u128;
    edge * edge * edge
}

#[cfg(test)]
mod tests;
