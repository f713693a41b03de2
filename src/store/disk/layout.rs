//! Where things stand in the one tree, and how long values are cut. All keys begin with a byte that says what they hold, so
//! that one batch over one tree is atomic over all of it.

use crate::store::{BlockHash, Checkpoint, CheckpointKind, Head, MAX_VALUE_BYTES, Space, StoreError};

/// The version of this layout, under [`LAYOUT_KEY`].
pub(super) const LAYOUT_VERSION: u8 = 1;
pub(super) const LAYOUT_KEY: &[u8] = b"v";
/// The last block that was dropped, see [`base_value`].
pub(super) const BASE_KEY: &[u8] = b"f";
pub(super) const BLOCK_PREFIX: u8 = b'b';

/// Where a checkpoint stands: its mark under a byte of its own, its rows behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointKeys {
    /// See [`CheckpointMark`].
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
    }
}

/// Bytes before a block's payload: its hash and the hash of the block before.
const BLOCK_HEADER_BYTES: usize = 64;

/// What a checkpoint says of itself: its rows can be missing without a trace, so their number and the exclusive or of
/// their digests are kept beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CheckpointMark {
    pub(super) block: u64,
    pub(super) rows: u64,
    pub(super) digest: [u8; 32],
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

/// Number and hash of the last block that was dropped.
pub(super) fn base_value(base: Head) -> Vec<u8> {
    [&base.number.to_le_bytes()[..], &base.hash].concat()
}

pub(super) fn base_of(value: &[u8]) -> Result<Head, StoreError> {
    let read = || {
        let (number, hash) = value.split_first_chunk::<8>()?;
        Some(Head { number: u64::from_le_bytes(*number), hash: hash.try_into().ok()? })
    };
    read().ok_or_else(|| StoreError::Damaged("where the journal begins cannot be read".into()))
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

/// A block's bytes before they are cut.
pub(super) fn block_value(hash: &BlockHash, previous: &BlockHash, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(BLOCK_HEADER_BYTES + payload.len());
    value.extend_from_slice(hash);
    value.extend_from_slice(previous);
    value.extend_from_slice(payload);
    value
}

/// Hash, hash before and payload of a block's bytes; `None` if there are too few.
pub(super) fn split_block(value: &[u8]) -> Option<(BlockHash, BlockHash, &[u8])> {
    let (hash, rest) = value.split_first_chunk::<32>()?;
    let (previous, payload) = rest.split_first_chunk::<32>()?;
    Some((*hash, *previous, payload))
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

impl CheckpointMark {
    /// Version, block, number of rows, digest: 49 bytes.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT_VERSION];
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let (version, rest) = bytes.split_first_chunk::<1>()?;
            let (block, rest) = rest.split_first_chunk::<8>()?;
            let (rows, digest) = rest.split_first_chunk::<8>()?;
            let digest = digest.try_into().ok()?;
            let mark = Self { block: u64::from_le_bytes(*block), rows: u64::from_le_bytes(*rows), digest };
            (*version == [LAYOUT_VERSION]).then_some(mark)
        };
        read().ok_or_else(|| StoreError::Damaged("the checkpoint's mark cannot be read".into()))
    }

    /// Counts a row in.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.toggle(key, value);
    }

    /// Counts a row out.
    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.toggle(key, value);
    }

    /// An error unless the rows that were found are the rows that were saved.
    pub(super) fn check(&self, found: &Checkpoint) -> Result<(), StoreError> {
        let mut sum = Self { block: self.block, ..Self::default() };
        for (key, value) in &found.rows {
            sum.add(key, value);
        }
        if sum == *self {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the checkpoint has {} rows where {} were saved, or some are not what was saved",
            sum.rows, self.rows
        )))
    }

    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.len().to_le_bytes()).update(key).update(value);
        for (sum, byte) in self.digest.iter_mut().zip(hasher.finalize().as_bytes()) {
            *sum ^= byte;
        }
    }
}
