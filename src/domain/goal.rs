//! What a goal measures.

use std::fmt;

/// Largest size of a reward's value, a cap, a cost or a worth, in minor units or counts: 2^40. Sums of squares of so many
/// values as there are nanoseconds in a month stay exact.
pub const VALUE_MAX: i64 = 1 << 40;

/// The kind of a goal's rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GoalKind {
    /// Whether it happened: a reward is 1.
    #[default]
    Conversion,
    /// Money, in integer minor units of one currency; mostly zero.
    Revenue,
    /// How often it happened.
    Count,
}

/// What several rewards of one decision come to for one goal. Those that were retracted are as if they had never been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// The first that is not 0.
    #[default]
    First,
    /// All of them together.
    Sum,
    /// The last, even if it is 0.
    Last,
}

/// A currency by its code in ISO 4217, such as `EUR`. Amounts are integers in its minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// What is allowed, for refusals.
    pub const ALLOWED: &str = "a code of three capital letters, as in \"EUR\"";

    /// Checks a code; `None` unless it is three capital letters. Which codes are in use changes, so they are not listed.
    #[must_use]
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three capital letters")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
