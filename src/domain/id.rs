//! Names and numbers by which things are known, each a type of its own, so that a goal is never taken for a variation.

use std::fmt;

use smol_str::SmolStr;

/// A text that cannot be an id, with what would be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not allowed: {allowed}")]
pub struct InvalidId {
    /// Which kind of id was wanted, in a user's words.
    pub what: &'static str,
    /// The text that was given, cut to 80 characters.
    pub given: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, given: &str, allowed: &'static str) -> Self {
        Self { what, given: given.chars().take(80).collect(), allowed }
    }
}

/// The rule for keys that appear in addresses: some published OpenFeature clients do not percent-encode them.
const KEY_RULE: &str = "1 to 64 characters of A-Z a-z 0-9 . _ -";
const NAME_RULE: &str = "1 to 64 characters of A-Z a-z 0-9 _, not beginning with a digit";
const TEXT_RULE: &str = "1 to 256 bytes without control characters";

fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

fn is_text(text: &str) -> bool {
    let is_printable = |byte: u8| (b' '..0x7f).contains(&byte);
    (1..=256).contains(&text.len()) && (text.bytes().all(is_printable) || !text.chars().any(char::is_control))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks a text from outside.
            ///
            /// # Errors
            /// [`InvalidId`] names the kind of id, what was given and what is allowed.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if $check(text) { Ok(Self(SmolStr::new(text))) } else { Err(InvalidId::new($what, text, $rule)) }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The key of an experiment: stands in addresses, never reused once deleted.
    ExperimentKey, "experiment key", is_key, KEY_RULE
);
text_id!(
    /// The key of a variation within its experiment, never reused once removed.
    VariationKey, "variation key", is_key, KEY_RULE
);
text_id!(
    /// The key of a goal within its experiment.
    GoalKey, "goal key", is_key, KEY_RULE
);
text_id!(
    /// The key of a group of experiments of which a visitor takes part in one.
    GroupKey, "group key", is_key, KEY_RULE
);
text_id!(
    /// The name of a segment given by a rule.
    RuleName, "segment name", is_key, KEY_RULE
);
text_id!(
    /// The name of an attribute: a CEL identifier, so that every attribute can stand in a condition.
    AttributeName, "attribute name", is_name, NAME_RULE
);
text_id!(
    /// Whoever is decided for; opaque, chosen by the site.
    VisitorId, "visitor", is_text, TEXT_RULE
);
text_id!(
    /// The idempotency key of one reward within its decision and goal.
    RewardId, "reward_id", is_text, TEXT_RULE
);

impl VisitorId {
    /// Whether a text from outside is one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(text: &str) -> Result<(), InvalidId> {
        if is_text(text) { Ok(()) } else { Err(InvalidId::new("visitor", text, TEXT_RULE)) }
    }

    /// A text that was checked when it came.
    #[must_use]
    pub fn known(text: &str) -> Self {
        Self(SmolStr::new(text))
    }
}

/// The cell of attribute space in which one set of tallies is kept. Built by targeting, never by hand; at most
/// [`SegmentKey::MAX_BYTES`] long, which targeting ensures when a definition is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey(SmolStr);

impl SegmentKey {
    /// Longest key, in bytes: a receipt holds it and must stay under 1,200 characters.
    pub const MAX_BYTES: usize = 560;
    /// The one segment of an experiment without segments.
    pub const ALL: &'static str = "all";
    /// Where visitors go who match no rule, or whose segment would be one too many.
    pub const OTHER: &'static str = "other";

    /// Wraps a text made by targeting or read from a record.
    ///
    /// # Panics
    /// If the text is longer than [`Self::MAX_BYTES`]: targeting has a bug.
    #[must_use]
    pub fn new(text: &str) -> Self {
        assert!(text.len() <= Self::MAX_BYTES, "a segment key of {} bytes was built", text.len());
        Self(SmolStr::new(text))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for SegmentKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a variation or a goal in its experiment's tallies: given once, in order of appearance, never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// As an index into per-slot vectors.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One decision: 48 bits of milliseconds, then 80 bits that are random (minted ids) or a hash of the caller's
/// `decision_id`. Sorts by time, so that the ledger grows at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(pub u128);

impl DecisionId {
    const TAIL_BITS: u32 = 80;

    /// Joins a time with 80 bits; higher bits of `tail` are ignored.
    #[must_use]
    pub fn new(at: crate::domain::Timestamp, tail: u128) -> Self {
        let time = u128::from(at.as_millis() & 0xffff_ffff_ffff) << Self::TAIL_BITS;
        Self(time | (tail & ((1 << Self::TAIL_BITS) - 1)))
    }

    /// The time it begins with.
    #[must_use]
    pub fn time(self) -> crate::domain::Timestamp {
        let millis = u64::try_from(self.0 >> Self::TAIL_BITS).expect("48 bits are left");
        crate::domain::Timestamp::from_millis(millis)
    }

    /// Bytes in an order that sorts like the ids.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Inverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// 32 hexadecimal digits, which sort like the ids, eight at a time: every answer has one, and the formatting of a number takes
    /// longer than its digits.
    pub fn digits(self) -> impl Iterator<Item = [u8; 8]> {
        [96, 64, 32, 0].into_iter().map(move |shift| digits((self.0 >> shift) as u32))
    }

    /// The smallest id of a time: everything before it was decided earlier.
    #[must_use]
    pub fn first_at(at: crate::domain::Timestamp) -> Self {
        Self::new(at, 0)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().flatten().try_for_each(|digit| fmt::Write::write_char(f, char::from(digit)))
    }
}

/// The hexadecimal digits of a word, all at once.
const fn digits(word: u32) -> [u8; 8] {
    const EACH: u64 = u64::from_be_bytes([1; 8]);
    // Half a byte to each byte: halves move apart, then their halves, and theirs.
    let word = word as u64;
    let word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    let word = (word | word << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more carries what is above nine into the bit above: a letter, which stands further on than a digit would.
    let letters = (word + 6 * EACH) >> 4 & EACH;
    (word + b'0' as u64 * EACH + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

/// A keyed hash of a visitor's id: tells visitors apart, in every experiment alike, and says of none who it is. Whoever knows the
/// server's secret and an id can find its token; nobody can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorToken(pub u128);

impl VisitorToken {
    /// All of it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Inverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Half of it: what a receipt keeps of a visitor.
    #[must_use]
    pub const fn short(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// One computed allocation: a hash of everything it was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AllocationId(pub u64);

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests;
