//! Where things stand in the one tree, and how long values are cut. All keys begin with a byte that says what they hold, so
//! that one batch over one tree is atomic over all of it.

use crate::store::{CheckpointKind, MAX_VALUE_BYTES, Space};

/// The version of this layout, under [`LAYOUT_KEY`].
pub(super) const LAYOUT_VERSION: u8 = 1;
/// The same once there is a row in [`Space::Journal`]: the journal goes on in files of its own, which earlier builds do not look for.
pub(super) const JOURNALED_VERSION: u8 = 2;
pub(super) const LAYOUT_KEY: &[u8] = b"v";
/// The last block that was dropped, see [`crate::store::stored::base_value`].
pub(super) const BASE_KEY: &[u8] = b"f";
/// Written where nothing else is, to see whether the medium takes it.
pub(super) const PROBE_KEY: &[u8] = b"p";
pub(super) const BLOCK_PREFIX: u8 = b'b';

/// Where a checkpoint stands: its mark under a byte of its own, its rows behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointKeys {
    /// See [`crate::store::stored::CheckpointMark`].
    pub(super) mark: u8,
    pub(super) rows: u8,
}

pub(super) const fn checkpoint_keys(kind: CheckpointKind) -> CheckpointKeys {
    match kind {
        CheckpointKind::Current => CheckpointKeys { mark: b'c', rows: b's' },
        CheckpointKind::Sealed => CheckpointKeys { mark: b'C', rows: b'S' },
    }
}

/// Keys without values, in their order, with which a new database begins beside [`LAYOUT_KEY`].
///
/// sled splits a leaf when its seventeenth entry comes, and writes both halves anew: nine entries stay on the left, eight go to the
/// right. Where a range of keys grows at its end, the halves are full of values, and each value is written 2.9 times: once as it
/// comes, and 17/9 times as leaves are split. With seven empty entries behind the end of the range, the right half is one value and
/// these seven, and it is 2.1 times; somewhat more where a commit brings many values of a range, since sled applies a batch in no order.
/// What sled moves besides, to free half-dead segments, shrinks with it.
///
/// Three ranges grow: blocks, pages of the ledger and companions. Behind each stand its seven (behind the blocks six, and the mark of
/// the checkpoint), and, since nine entries stay on the left, two or three more before them make a leaf end where the seven do.
pub(super) fn first_keys() -> impl Iterator<Item = [u8; 2]> {
    let run = |byte, last| (1..=last).map(move |number| [byte, number]);
    run(b'A', 3).chain(run(b'c', 8)).chain(run(b'h', 8)).chain(run(b'x', 7))
}

const fn space_prefix(space: Space) -> u8 {
    match space {
        Space::Ledger => b'l',
        Space::Assignment => b'a',
        Space::Alias => b'i',
        Space::Erased => b'e',
        Space::Companion => b'w',
        Space::LedgerPage => b'g',
        Space::Profile => b'k',
        Space::Journal => b'j',
    }
}

pub(super) fn block_key(number: u64, piece: u16) -> [u8; 11] {
    let mut key = [BLOCK_PREFIX; 11];
    key[1..9].copy_from_slice(&number.to_be_bytes());
    key[9..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// The block a key belongs to; `None` if it is no block's key.
pub(super) fn block_number(key: &[u8]) -> Option<u64> {
    match key {
        [BLOCK_PREFIX, number @ .., _, _] => number.try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}

/// A row's key in the tree: of a space, and beginning with a prefix or whole.
pub(super) fn space_key(space: Space, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(1 + key.len());
    whole.push(space_prefix(space));
    whole.extend_from_slice(key);
    whole
}

/// What the keys of all pieces of a checkpoint row begin with. Zero bytes are escaped and the end is marked by less than
/// any escape, so that rows sort by their keys and no row's pieces stand among another's.
pub(super) fn row_prefix(keys: CheckpointKeys, key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(key.len() + 8);
    prefix.push(keys.rows);
    for byte in key {
        prefix.push(*byte);
        if *byte == 0 {
            prefix.push(0xff);
        }
    }
    prefix.extend([0, 1]);
    prefix
}

/// The row's key and the number of the piece, of whichever checkpoint; `None` if it is no piece's key.
pub(super) fn row_of(key: &[u8]) -> Option<(Vec<u8>, u16)> {
    let [_, escaped @ .., 0, 1, high, low] = key else { return None };
    let mut row = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        row.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
    }
    Some((row, u16::from_be_bytes([*high, *low])))
}

/// Cuts a value so that each piece and its key of `key_bytes` take no more than [`MAX_VALUE_BYTES`] of a page. The first
/// piece begins with the length of the whole.
pub(super) fn cut(value: &[u8], key_bytes: usize) -> impl Iterator<Item = (u16, Vec<u8>)> + '_ {
    let room = MAX_VALUE_BYTES - key_bytes;
    let length = u32::try_from(value.len()).expect("no value is 4 GiB long");
    let (first, mut rest) = value.split_at(value.len().min(room - 4));
    let mut begin = Vec::with_capacity(4 + first.len());
    begin.extend_from_slice(&length.to_le_bytes());
    begin.extend_from_slice(first);
    let mut piece = Some(begin);
    (0..).map_while(move |number: u16| {
        let current = piece.take()?;
        let (next, after) = rest.split_at(rest.len().min(room));
        rest = after;
        piece = (!next.is_empty()).then(|| next.to_vec());
        Some((number, current))
    })
}

/// Puts pieces together again.
#[derive(Debug)]
pub(super) struct Joining {
    length: usize,
    value: Vec<u8>,
}

impl Joining {
    /// From the first piece; `None` if it is none.
    pub(super) fn begin(first: &[u8]) -> Option<Self> {
        let (length, begin) = first.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        (begin.len() <= length).then(|| Self { length, value: begin.to_vec() })
    }

    pub(super) fn is_whole(&self) -> bool {
        self.value.len() == self.length
    }

    /// The next piece; `false` if it is not one of this value.
    #[must_use]
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        self.value.extend_from_slice(piece);
        !piece.is_empty() && self.value.len() <= self.length
    }

    pub(super) fn into_value(self) -> Vec<u8> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    //! The first keys, in a model of sled's leaves.

    use super::*;

    /// A leaf: keys in order, and whether each has a value.
    type Leaf = Vec<(Vec<u8>, bool)>;

    /// sled 0.34.7, `Node::should_split` and `Node::split`: how many values are written as one entry comes.
    fn insert(leaves: &mut Vec<(Vec<u8>, Leaf)>, key: &[u8], has_value: bool) -> usize {
        let mut written = usize::from(has_value);
        let mut at = leaves.partition_point(|(low, _)| low.as_slice() <= key) - 1;
        if leaves[at].1.len() > 16 {
            let right = leaves[at].1.split_off(9);
            written += leaves[at].1.iter().chain(&right).filter(|(_, has_value)| *has_value).count();
            let left_max = &leaves[at].1[8].0;
            let common = right[0].0.iter().zip(left_max).take_while(|(a, b)| a == b).count();
            leaves.insert(at + 1, (right[0].0[..=common].to_vec(), right));
            at += usize::from(leaves[at + 1].0.as_slice() <= key);
        }
        let leaf = &mut leaves[at].1;
        let place = leaf.partition_point(|(other, _)| other.as_slice() < key);
        leaf.insert(place, (key.to_vec(), has_value));
        written
    }

    /// How many values are written for each value of growing ranges.
    fn amplification(first: impl Iterator<Item = [u8; 2]>) -> f64 {
        let mut leaves = vec![(Vec::new(), Leaf::new())];
        insert(&mut leaves, LAYOUT_KEY, false);
        for key in first {
            insert(&mut leaves, &key, false);
        }
        insert(&mut leaves, &[checkpoint_keys(CheckpointKind::Current).mark], false);
        let (mut written, mut values) = (0, 0);
        for number in 0_u64..2_000 {
            let page = space_key(Space::LedgerPage, &number.to_be_bytes());
            let companion = space_key(Space::Companion, &number.to_be_bytes());
            for key in [&block_key(number, 0)[..], &page, &companion] {
                written += insert(&mut leaves, key, true);
                values += 1;
            }
        }
        f64::from(u32::try_from(written).expect("few")) / f64::from(values)
    }

    #[test]
    fn first_keys_keep_values_from_being_moved_as_leaves_are_split() {
        let (with, without) = (amplification(first_keys()), amplification(std::iter::empty()));
        assert!((2.0..2.15).contains(&with), "{with}");
        assert!(without > 2.8, "{without}");
    }

    #[test]
    fn first_keys_are_nothing_that_is_read() {
        let spaces = Space::ALL.map(space_prefix);
        let checkpoints = [CheckpointKind::Current, CheckpointKind::Sealed].map(checkpoint_keys);
        let read = spaces.into_iter().chain(checkpoints.map(|keys| keys.rows)).chain([BLOCK_PREFIX]);
        let read: Vec<u8> = read.collect();
        let single = [LAYOUT_KEY, BASE_KEY, PROBE_KEY, &[checkpoints[0].mark], &[checkpoints[1].mark]];
        for key in first_keys() {
            assert!(!read.contains(&key[0]) && !single.contains(&&key[..]), "{key:?}");
        }
    }
}
