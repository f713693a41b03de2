//! A value as what changed of the one before it: a page of the ledger that got one fact more is a page's length of bytes, of which some
//! fifty are new.

use crate::store::MAX_VALUE_BYTES;
use crate::store::journaled::record::take;

/// Shorter values are written whole.
pub(super) const LEAST_BYTES: usize = 256;
/// Bytes of the digest of the value.
const DIGEST: usize = 8;

/// What stands between a beginning and an end of the value before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch<'a> {
    beginning: usize,
    end: usize,
    between: &'a [u8],
    /// Of the value that comes of it: it is never laid over another one than it was made for.
    digest: [u8; DIGEST],
}

impl<'a> Patch<'a> {
    /// What makes one value of another; `None` where it would not be half as long as the value.
    pub(super) fn of(before: &[u8], value: &'a [u8]) -> Option<Self> {
        let same = |(one, other): &(&u8, &u8)| one == other;
        let beginning = before.iter().zip(value).take_while(same).count();
        let (left, rest) = (&before[beginning..], &value[beginning..]);
        let end = left.iter().rev().zip(rest.iter().rev()).take_while(same).count();
        let between = &rest[..rest.len() - end];
        let short = 2 * between.len() <= value.len() && before.len().max(value.len()) <= MAX_VALUE_BYTES;
        short.then(|| Self { beginning, end, between, digest: digest(value) })
    }

    /// The value that it makes of another; `None` if it was made for another one.
    pub(super) fn over(&self, before: &[u8]) -> Option<Vec<u8>> {
        let beginning = before.get(..self.beginning)?;
        let end = before.get(before.len().checked_sub(self.end)?..)?;
        let value = [beginning, self.between, end].concat();
        (digest(&value) == self.digest).then_some(value)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for length in [self.beginning, self.end, self.between.len()] {
            out.extend(u16::try_from(length).expect("a value has at most 7,000 bytes").to_le_bytes());
        }
        out.extend(self.digest);
        out.extend_from_slice(self.between);
    }

    /// `None` if these are not the bytes of one.
    pub(super) fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let mut length = || Some(usize::from(u16::from_le_bytes(take(rest, 2)?.try_into().ok()?)));
        let (beginning, end, between) = (length()?, length()?, length()?);
        let digest = take(rest, DIGEST)?.try_into().ok()?;
        Some(Self { beginning, end, between: take(rest, between)?, digest })
    }
}

fn digest(value: &[u8]) -> [u8; DIGEST] {
    *blake3::hash(value).as_bytes().first_chunk().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    //! Whatever was before, what comes of a patch is the value; over anything else nothing does.

    use proptest::prelude::*;

    use crate::store::journaled::patch::*;

    proptest! {
        #[test]
        fn a_patch_makes_the_value_of_the_one_before_and_of_no_other(
            before in proptest::collection::vec(0_u8..4, 0..400),
            at in 0_usize..400,
            gone in 0_usize..40,
            added in proptest::collection::vec(0_u8..4, 0..300),
        ) {
            let at = at.min(before.len());
            let after = &before[(at + gone).min(before.len())..];
            let value = [&before[..at], &added, after].concat();
            let patch = Patch::of(&before, &value);
            prop_assert!(patch.is_some() || 2 * added.len() > value.len());
            if let Some(patch) = patch {
                let mut bytes = Vec::new();
                patch.write(&mut bytes);
                let mut rest = &bytes[..];
                let read = Patch::read(&mut rest);
                prop_assert_eq!(read.as_ref(), Some(&patch));
                prop_assert!(rest.is_empty());
                prop_assert_eq!(patch.over(&before), Some(value.clone()));
                let another = [&before[..], &[9]].concat();
                prop_assert!(patch.over(&another).is_none_or(|made| made == value));
                prop_assert!((0..bytes.len()).all(|kept| Patch::read(&mut &bytes[..kept]).is_none()));
            }
        }
    }
}
