//! What a contextual policy sees of one decision: numbers by index, zeros left out.

/// Sparse numbers, ascending by index, each within ±8 and not 0: what a receipt carries, and what replay reads back, exactly.
/// Index 0 is the intercept, which a schema sets to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features(Vec<(u16, f32)>);

impl Features {
    /// Most dimensions there can be: a belief about d weights is d² numbers for every variation.
    pub const MAX_DIMENSIONS: usize = 200;

    /// The largest number, either way: one broken value must not outweigh ten thousand visitors.
    pub const MAX_VALUE: f32 = 8.0;

    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Entries from outside, such as a receipt; nothing if their indices do not ascend or lie beyond
    /// [`Features::MAX_DIMENSIONS`], or a value is 0 or not within [`Features::MAX_VALUE`].
    #[must_use]
    pub fn from_entries(entries: Vec<(u16, f32)>) -> Option<Self> {
        let ascending = entries.is_sorted_by(|a, b| a.0 < b.0);
        let inside = entries.last().is_none_or(|(index, _)| usize::from(*index) < Self::MAX_DIMENSIONS);
        let usable = entries.iter().all(|(_, value)| value.abs() > 0.0 && value.abs() <= Self::MAX_VALUE);
        (ascending && inside && usable).then_some(Self(entries))
    }

    /// Takes all entries out, and keeps the memory for the next decision.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds an entry behind the others; a value of 0 is left out.
    ///
    /// # Panics
    /// If the index does not ascend or is too large, or the value is beyond [`Features::MAX_VALUE`]: an encoder's mistake.
    pub fn push(&mut self, index: usize, value: f32) {
        assert!(index < Self::MAX_DIMENSIONS, "feature {index} of at most {}", Self::MAX_DIMENSIONS);
        assert!(value.abs() <= Self::MAX_VALUE, "feature {index} is {value}");
        let index = u16::try_from(index).expect("below 200");
        assert!(self.0.last().is_none_or(|(last, _)| *last < index), "features out of order at {index}");
        if value.abs() > 0.0 {
            self.0.push((index, value));
        }
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[(u16, f32)] {
        &self.0
    }

    /// All entries as they are calculated with.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, f64)> + ExactSizeIterator + Clone {
        self.0.iter().map(|(index, value)| (usize::from(*index), f64::from(*value)))
    }
}

#[cfg(test)]
mod tests {
    //! What comes back from a receipt is what went in, or is refused.

    use crate::domain::Features;

    #[test]
    fn entries_come_back_as_they_were() {
        let mut features = Features::new();
        features.push(0, 1.0);
        features.push(3, -0.0);
        features.push(7, 0.1);
        assert_eq!(features.entries(), [(0, 1.0), (7, 0.1)]);
        assert_eq!(Features::from_entries(features.entries().to_vec()), Some(features));
    }

    #[test]
    fn entries_that_no_encoder_makes_are_refused() {
        for entries in [
            vec![(1, 1.0), (1, 1.0)],
            vec![(2, 1.0), (1, 1.0)],
            vec![(0, 0.0)],
            vec![(0, f32::NAN)],
            vec![(0, f32::INFINITY)],
            vec![(0, -8.01)],
            vec![(200, 1.0)],
        ] {
            assert_eq!(Features::from_entries(entries.clone()), None, "{entries:?}");
        }
        assert!(Features::from_entries(vec![(199, f32::MIN_POSITIVE)]).is_some());
    }
}
