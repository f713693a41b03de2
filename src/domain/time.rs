//! Points in time and lengths of time, in whole milliseconds. Nobody here asks what time it is.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Timestamp {
    /// The first instant.
    pub const ZERO: Self = Self(0);

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time since an earlier point; nothing if that point lies ahead, so that a clock stepping back makes no negative age.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// A point before this one, not before the first instant.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The beginning of the interval of this length, counted from the epoch, that holds this point.
    ///
    /// # Panics
    /// If the length is nothing.
    #[must_use]
    pub const fn floor_to(self, length: Span) -> Self {
        assert!(length.0 > 0, "an interval needs a length");
        Self(self.0 - self.0 % length.0)
    }
}

impl std::ops::Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Span {
    /// No time.
    pub const ZERO: Self = Self(0);
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600_000);
    /// One day.
    pub const DAY: Self = Self(86_400_000);

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// A whole multiple.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Reads `7d`, `12h`, `30m`, `20s` or `150ms`: a whole number and a unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = text[..digits].parse().ok()?;
        let unit = match &text[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        count.checked_mul(unit).map(Self)
    }
}

impl fmt::Display for Span {
    /// In the largest unit that divides it, so that what was read is what is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if self.0 >= millis && self.0.is_multiple_of(millis) {
                return write!(f, "{}{unit}", self.0 / millis);
            }
        }
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    //! Lengths read back as they were written; ages are never negative.

    use crate::domain::time::*;

    #[test]
    fn spans_read_and_show_alike() {
        for text in ["7d", "12h", "30m", "20s", "150ms", "36h"] {
            assert_eq!(Span::parse(text).expect(text).to_string(), text);
        }
        for bad in ["", "7", "d", "7 d", "-1d", "1.5h", "99999999999999999999d", "300000000000d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_clock_stepping_back_makes_no_negative_age() {
        let now = Timestamp::from_millis(5);
        assert_eq!(now.since(Timestamp::from_millis(9)), Span::ZERO);
        assert_eq!(now.minus(Span::DAY), Timestamp::ZERO);
    }
}
