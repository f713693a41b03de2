//! The bytes of the journal's files: a header, then records, each of which is one change: blocks, and rows beside them.

use crate::store::journaled::key::RowKey;
use crate::store::journaled::patch::Patch;
use crate::store::stored::BLOCK_HEADER_BYTES;
use crate::store::{Block, Head, MAX_KEY_BYTES, Space};

/// What a file begins with, and the version of these bytes.
const FILE_MAGIC: &[u8; 8] = b"mabel-j1";
/// Magic, number of the file, number of its first record, head before it, end of the file before, digest.
pub(in crate::store) const HEADER_BYTES: usize = 8 + 8 + 8 + 40 + 8 + 32;

/// What every record begins with: where one is damaged, the next one can be found.
const RECORD_MAGIC: &[u8; 4] = b"\xf1mjr";
/// Magic, length of the body, digest of all that follows it, number, number of the first block.
pub(super) const PREFIX_BYTES: usize = 4 + 4 + 32 + 8 + 8;

/// In the place of a value's length: the row is removed, or its value is told by what stands in its row.
const REMOVED: u32 = u32::MAX;
const PATCHED: u32 = u32::MAX - 1;

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// From 1, without gaps.
    pub(super) file: u64,
    /// Number of its first record.
    pub(super) first: u64,
    /// The head before its first record.
    pub(super) before: Head,
    /// Where the records of the file before it end: what may stand there behind them was never acknowledged.
    pub(super) end_before: u64,
}

/// One change, as it was written.
#[derive(Debug)]
pub(super) struct Record {
    /// From 1, without gaps, through all files.
    pub(super) number: u64,
    /// Number of its first block, or of the one that comes next where it has none.
    pub(super) first_block: u64,
    body: Vec<u8>,
}

/// What a record says of a row.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) space: Space,
    pub(super) key: &'a [u8],
    pub(super) value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Removed,
    Whole(&'a [u8]),
    /// The value before, with something else in its midst.
    Patched(Patch<'a>),
}

/// The beginning of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    pub(super) body: usize,
    digest: [u8; 32],
    pub(super) number: u64,
    pub(super) first_block: u64,
}

impl Header {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = FILE_MAGIC.to_vec();
        bytes.extend(self.file.to_le_bytes());
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.before.number.to_le_bytes());
        bytes.extend(self.before.hash);
        bytes.extend(self.end_before.to_le_bytes());
        let digest = blake3::hash(&bytes);
        bytes.extend(digest.as_bytes());
        bytes
    }

    /// Whether its file can come right after another.
    pub(super) const fn may_follow(&self, before: &Self) -> bool {
        self.file == before.file + 1 && self.first >= before.first && self.before.number >= before.before.number
    }

    /// `None` if these are not the bytes of one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(FILE_MAGIC)?;
        let (file, rest) = number(rest)?;
        let (first, rest) = number(rest)?;
        let (before, rest) = number(rest)?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (end_before, _) = number(rest)?;
        let header = Self { file, first, before: Head { number: before, hash: *hash }, end_before };
        (header.to_bytes() == bytes).then_some(header)
    }
}

impl Prefix {
    /// `None` if no record begins here.
    pub(super) fn from_bytes(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(RECORD_MAGIC)?;
        let (body, rest) = rest.split_first_chunk::<4>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (record, rest) = number(rest)?;
        let (first_block, _) = number(rest)?;
        let body = usize::try_from(u32::from_le_bytes(*body)).ok()?;
        Some(Self { body, digest: *digest, number: record, first_block })
    }

    /// The record with this body; `None` if it is not the one that was written.
    pub(super) fn with(self, body: Vec<u8>) -> Option<Record> {
        let Self { digest, number, first_block, .. } = self;
        (digest_of(number, first_block, &body) == digest).then_some(Record { number, first_block, body })
    }
}

/// Appends a record's bytes to some; what it says of rows is hidden with the key.
pub(super) fn encode(
    number: u64,
    first_block: u64,
    blocks: &[Block],
    changes: &[Change<'_>],
    key: &RowKey,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + PREFIX_BYTES, 0);
    out.extend(length(blocks.len()));
    for block in blocks {
        out.extend(length(BLOCK_HEADER_BYTES + block.payload().len()));
        for part in [&block.hash()[..], block.previous(), block.payload()] {
            out.extend_from_slice(part);
        }
    }
    let rows = out.len();
    for Change { space, key, value } in changes {
        out.push(space.number());
        out.push(u8::try_from(key.len()).expect("keys have at most 64 bytes"));
        out.extend_from_slice(key);
        match value {
            Value::Removed => out.extend(REMOVED.to_le_bytes()),
            Value::Whole(value) => {
                out.extend(length(value.len()));
                out.extend_from_slice(value);
            }
            Value::Patched(patch) => {
                out.extend(PATCHED.to_le_bytes());
                patch.write(out);
            }
        }
    }
    key.hide(number, &mut out[rows..]);
    let (prefix, body) = out[start..].split_at_mut(PREFIX_BYTES);
    let fields: [&[u8]; 5] = [
        RECORD_MAGIC,
        &length(body.len()),
        &digest_of(number, first_block, body),
        &number.to_le_bytes(),
        &first_block.to_le_bytes(),
    ];
    prefix.copy_from_slice(&fields.concat());
}

impl Record {
    /// Its blocks' bytes, as `stored::checked_block` reads them; `None` if it is not what [`encode`] writes.
    pub(super) fn blocks(&self) -> Option<Vec<&[u8]>> {
        self.parts().map(|(blocks, _)| blocks)
    }

    fn parts(&self) -> Option<(Vec<&[u8]>, &[u8])> {
        let mut rest = &self.body[..];
        let mut blocks = Vec::new();
        for _ in 0..take_length(&mut rest)? {
            let length = usize::try_from(take_length(&mut rest)?).ok()?;
            blocks.push(take(&mut rest, length)?);
        }
        Some((blocks, rest))
    }

    pub(super) fn says_nothing_of_rows(&self) -> bool {
        self.parts().is_some_and(|(_, rows)| rows.is_empty())
    }

    /// The bytes of what it says of rows, for [`changes`].
    pub(super) fn shown(&self, key: &RowKey) -> Option<Vec<u8>> {
        let mut rows = self.parts()?.1.to_vec();
        key.hide(self.number, &mut rows);
        Some(rows)
    }
}

/// What a record says of rows, as it is shown; `None` if it is not what [`encode`] writes, or the key is another.
pub(super) fn changes(mut rest: &[u8]) -> Option<Vec<Change<'_>>> {
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let [space, length] = *take(&mut rest, 2)? else { return None };
        let key = take(&mut rest, usize::from(length)).filter(|key| key.len() <= MAX_KEY_BYTES)?;
        let value = match take_length(&mut rest)? {
            REMOVED => Value::Removed,
            PATCHED => Value::Patched(Patch::read(&mut rest)?),
            length => Value::Whole(take(&mut rest, usize::try_from(length).ok()?)?),
        };
        changes.push(Change { space: Space::from_number(space)?, key, value });
    }
    Some(changes)
}

/// Where the next record begins, of which nothing is damaged.
pub(super) fn next_whole(bytes: &[u8]) -> Option<Record> {
    let begins = bytes.windows(RECORD_MAGIC.len()).enumerate().filter(|(_, four)| four == RECORD_MAGIC);
    begins.map(|(at, _)| &bytes[at..]).find_map(|bytes| {
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
        let prefix = Prefix::from_bytes(prefix)?;
        prefix.with(rest.get(..prefix.body)?.to_vec())
    })
}

fn digest_of(number: u64, first_block: u64, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(&first_block.to_le_bytes()).update(body);
    *hasher.finalize().as_bytes()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("no change has four gigabytes").to_le_bytes()
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

pub(super) fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_length(rest: &mut &[u8]) -> Option<u32> {
    let (taken, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*taken))
}
