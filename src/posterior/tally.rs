//! Additive counts of one cell: a commutative monoid under field-wise integer addition (STATISTICS §1). Everything that
//! is believed is a function of these; only integers are ever merged, so that no order of merging changes a bit.

use crate::domain::Slot;

/// Exposures per variation, conversions and sums of values per variation and goal. Absent slots count as zero, so tallies of
/// any shape merge. Flat vectors: 10,000 segments keep dozens of these each.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    goals: usize,
    /// Per variation slot: exposures, then conversions by goal slot.
    counts: Vec<u64>,
    /// Per variation slot, by goal slot; empty where every goal is a conversion, whose sums are its conversions.
    moments: Vec<Moments>,
}

/// Sums over the rewards of one variation and goal, exact: a value is below 2^40 in size, so 2^47 of them fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moments {
    /// Σ value, in minor units or counts.
    pub sum: i128,
    /// Σ value².
    pub squares: i128,
}

impl Tally {
    /// Nothing happened.
    #[must_use]
    pub const fn new() -> Self {
        Self { goals: 0, counts: Vec::new(), moments: Vec::new() }
    }

    /// Exposures of a variation.
    #[must_use]
    pub fn exposures(&self, variation: Slot) -> u64 {
        self.counts.get(variation.index() * self.stride()).copied().unwrap_or(0)
    }

    /// Conversions of a variation for a goal.
    #[must_use]
    pub fn conversions(&self, variation: Slot, goal: Slot) -> u64 {
        if goal.index() >= self.goals {
            return 0;
        }
        self.counts.get(variation.index() * self.stride() + 1 + goal.index()).copied().unwrap_or(0)
    }

    /// Sums of the values of a variation for a goal whose rewards have values.
    #[must_use]
    pub fn moments(&self, variation: Slot, goal: Slot) -> Moments {
        if goal.index() >= self.goals {
            return Moments::default();
        }
        self.moments.get(variation.index() * self.goals + goal.index()).copied().unwrap_or_default()
    }

    /// Exposures of all variations.
    #[must_use]
    pub fn all_exposures(&self) -> u64 {
        self.counts.iter().step_by(self.stride()).sum()
    }

    /// Exposures of each variation, in order of slots.
    pub fn exposures_by_variation(&self) -> impl Iterator<Item = (Slot, u64)> {
        (0..).map(Slot).zip(self.counts.iter().step_by(self.stride()).copied())
    }

    /// Everything counted: what an allocation may have changed by.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// One more trial.
    pub fn add_exposures(&mut self, variation: Slot, count: u64) {
        self.reach(variation.index() + 1, 0);
        let at = variation.index() * self.stride();
        self.counts[at] += count;
    }

    /// Trials that are taken back. Those counted before: a journal that lost an exposure has nothing to take back.
    pub fn remove_exposures(&mut self, variation: Slot, count: u64) {
        self.reach(variation.index() + 1, 0);
        let at = variation.index() * self.stride();
        self.counts[at] = self.counts[at].saturating_sub(count);
    }

    /// One more success.
    pub fn add_conversions(&mut self, variation: Slot, goal: Slot, count: u64) {
        self.reach(variation.index() + 1, goal.index() + 1);
        let at = variation.index() * self.stride() + 1 + goal.index();
        self.counts[at] += count;
    }

    /// One more reward with a value: a conversion that is worth something. A value of 0 is no conversion.
    pub fn add_value(&mut self, variation: Slot, goal: Slot, value: i64) {
        if value != 0 {
            self.change_value(variation, goal, 0, value);
        }
    }

    /// What one trial came to has become another value: counted as if it had come to that at once. 0 is no conversion.
    pub fn change_value(&mut self, variation: Slot, goal: Slot, before: i64, after: i64) {
        self.change_conversion(variation, goal, before != 0, after != 0);
        self.moments.resize(self.variations() * self.goals, Moments::default());
        let (before, after) = (i128::from(before), i128::from(after));
        let at = variation.index() * self.goals + goal.index();
        self.moments[at].sum += after - before;
        self.moments[at].squares += after * after - before * before;
    }

    /// The same where a conversion is all that counts.
    pub fn change_conversion(&mut self, variation: Slot, goal: Slot, before: bool, after: bool) {
        self.reach(variation.index() + 1, goal.index() + 1);
        let at = variation.index() * self.stride() + 1 + goal.index();
        // What is taken back was counted: a journal that lost an exposure has not lost its rewards.
        self.counts[at] = (self.counts[at] + u64::from(after)).saturating_sub(u64::from(before));
    }

    /// Adds all of another tally.
    pub fn merge(&mut self, other: &Self) {
        self.reach(other.variations(), other.goals);
        if !other.moments.is_empty() {
            self.moments.resize(self.variations() * self.goals, Moments::default());
            let rows = self.moments.chunks_exact_mut(self.goals).zip(other.moments.chunks_exact(other.goals));
            for (to, from) in rows.flat_map(|(row, moments)| row.iter_mut().zip(moments)) {
                to.sum += from.sum;
                to.squares += from.squares;
            }
        }
        let (mine, theirs) = (self.stride(), other.stride());
        for (row, counts) in self.counts.chunks_exact_mut(mine).zip(other.counts.chunks_exact(theirs)) {
            for (to, from) in row.iter_mut().zip(counts) {
                *to += from;
            }
        }
    }

    /// Slots this tally has seen: variations and goals.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.variations(), self.goals)
    }

    /// The counts in slot order, for a record: per variation its exposures, then its conversions by goal.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sums of values in slot order, for a record: per variation, by goal; empty where no reward had a value.
    #[must_use]
    pub fn all_moments(&self) -> &[Moments] {
        &self.moments
    }

    /// From a record made of [`Self::counts`], [`Self::all_moments`] and the number of goals in [`Self::shape`]; `None` if they
    /// do not fit.
    #[must_use]
    pub fn from_parts(goals: usize, counts: Vec<u64>, moments: Vec<Moments>) -> Option<Self> {
        let variations = counts.len() / (goals + 1);
        let fits =
            counts.len().is_multiple_of(goals + 1) && (moments.is_empty() || moments.len() == variations * goals);
        fits.then_some(Self { goals, counts, moments })
    }

    const fn stride(&self) -> usize {
        1 + self.goals
    }

    const fn variations(&self) -> usize {
        self.counts.len() / self.stride()
    }

    /// Makes room for so many variations and goals; existing counts keep their slots.
    fn reach(&mut self, variations: usize, goals: usize) {
        if goals > self.goals {
            let (old, new) = (self.stride(), 1 + goals);
            let mut counts = vec![0; self.variations() * new];
            for (to, from) in counts.chunks_exact_mut(new).zip(self.counts.chunks_exact(old)) {
                to[..old].copy_from_slice(from);
            }
            if !self.moments.is_empty() {
                let mut moments = vec![Moments::default(); self.variations() * goals];
                for (to, from) in moments.chunks_exact_mut(goals).zip(self.moments.chunks_exact(self.goals)) {
                    to[..self.goals].copy_from_slice(from);
                }
                self.moments = moments;
            }
            self.goals = goals;
            self.counts = counts;
        }
        if variations > self.variations() {
            self.counts.resize(variations * self.stride(), 0);
            if !self.moments.is_empty() {
                self.moments.resize(variations * self.goals, Moments::default());
            }
        }
    }
}

impl PartialEq for Tally {
    /// Equal counts in every slot, whatever room was made for slots that never counted.
    fn eq(&self, other: &Self) -> bool {
        let variations = self.variations().max(other.variations());
        let goals = self.goals.max(other.goals);
        let slot = |index: usize| Slot(u16::try_from(index).unwrap_or(u16::MAX));
        (0..variations).all(|v| {
            self.exposures(slot(v)) == other.exposures(slot(v))
                && (0..goals).all(|g| {
                    self.conversions(slot(v), slot(g)) == other.conversions(slot(v), slot(g))
                        && self.moments(slot(v), slot(g)) == other.moments(slot(v), slot(g))
                })
        })
    }
}

impl Eq for Tally {}

#[cfg(test)]
mod tests {
    //! The monoid's laws.

    use crate::domain::Slot;
    use crate::posterior::tally::{Moments, Tally};
    use proptest::prelude::*;

    fn tally() -> impl Strategy<Value = Tally> {
        let event =
            (0_u16..5, proptest::option::of(0_u16..3), 0_u64..1_000, proptest::option::of(-(1_i64 << 40)..1 << 40));
        proptest::collection::vec(event, 0..20).prop_map(|events| {
            let mut tally = Tally::new();
            for (variation, goal, count, value) in events {
                match (goal, value) {
                    (None, _) => tally.add_exposures(Slot(variation), count),
                    (Some(goal), None) => tally.add_conversions(Slot(variation), Slot(goal), count),
                    (Some(goal), Some(value)) => tally.add_value(Slot(variation), Slot(goal), value),
                }
            }
            tally
        })
    }

    fn merged(parts: &[&Tally]) -> Tally {
        parts.iter().fold(Tally::new(), |mut sum, part| {
            sum.merge(part);
            sum
        })
    }

    proptest! {
        #[test]
        fn merging_is_associative_commutative_and_has_an_identity(a in tally(), b in tally(), c in tally()) {
            prop_assert_eq!(merged(&[&a, &b]), merged(&[&b, &a]));
            prop_assert_eq!(merged(&[&merged(&[&a, &b]), &c]), merged(&[&a, &merged(&[&b, &c])]));
            prop_assert_eq!(merged(&[&a, &Tally::new()]), a.clone());
            prop_assert_eq!(merged(&[&a, &b]).events(), a.events() + b.events());
        }

        #[test]
        fn a_record_reads_back(a in tally()) {
            let back = Tally::from_parts(a.shape().1, a.counts().to_vec(), a.all_moments().to_vec()).expect("its own counts fit");
            prop_assert_eq!(back, a);
        }
    }

    #[test]
    fn room_for_later_goals_moves_nothing() {
        let mut tally = Tally::new();
        tally.add_exposures(Slot(1), 7);
        tally.add_conversions(Slot(1), Slot(0), 2);
        tally.add_conversions(Slot(0), Slot(3), 1);
        assert_eq!((tally.exposures(Slot(1)), tally.conversions(Slot(1), Slot(0))), (7, 2));
        assert_eq!((tally.exposures(Slot(0)), tally.conversions(Slot(0), Slot(3))), (0, 1));
        assert_eq!(tally.exposures(Slot(9)), 0);
        assert_ne!(tally, Tally::new());
        tally.add_value(Slot(1), Slot(1), -5);
        tally.add_value(Slot(2), Slot(4), 7);
        assert_eq!(tally.moments(Slot(1), Slot(1)), Moments { sum: -5, squares: 25 });
        assert_eq!((tally.moments(Slot(2), Slot(4)).sum, tally.conversions(Slot(2), Slot(4))), (7, 1));
        tally.change_value(Slot(2), Slot(4), 7, -2);
        tally.change_value(Slot(1), Slot(1), -5, 0);
        tally.change_conversion(Slot(0), Slot(3), true, false);
        let (amended, retracted) = (tally.moments(Slot(2), Slot(4)), tally.moments(Slot(1), Slot(1)));
        assert_eq!((amended, retracted), (Moments { sum: -2, squares: 4 }, Moments::default()));
        let conversions = |v, g| tally.conversions(Slot(v), Slot(g));
        assert_eq!((conversions(2, 4), conversions(1, 1), conversions(0, 3)), (1, 0, 0));
        assert_eq!(Tally::from_parts(2, vec![1, 2], vec![]), None);
        assert_eq!(Tally::from_parts(1, vec![1, 2], vec![Moments::default(); 2]), None);
    }
}
