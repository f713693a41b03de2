//! Where things stand in the one tree, and how long values are cut. All keys begin with a byte that says what they hold, so
//! that one batch over one tree is atomic over all of it.

use crate::store::{CheckpointKind, MAX_VALUE_BYTES, Space};

/// The version of this layout, under [`LAYOUT_KEY`].
pub(super) const LAYOUT_VERSION: u8 = 1;
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

const fn space_prefix(space: Space) -> u8 {
    match space {
        Space::Ledger => b'l',
        Space::Assignment => b'a',
        Space::Alias => b'i',
        Space::Erased => b'e',
        Space::Companion => b'w',
        Space::LedgerPage => b'g',
        Space::Profile => b'k',
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
