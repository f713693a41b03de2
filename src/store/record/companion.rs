//! Companions: who a counted decision was for and what was known of the visitor, beside the block that counts it. The fold never
//! reads them; they serve export and evaluation, and an erasure rewrites them without touching the journal.

mod row;

use bincode::{BorrowDecode, Encode};

use crate::domain::context::Value;
use crate::domain::{Context, VisitorToken};
use crate::store::record::companion::row::{Entry, Reading, RowReader, RowWriter};
use crate::store::record::{Checked, FORM};
use crate::store::{MAX_VALUE_BYTES, Row, Space, StoreError};

/// Longest context that is kept, in bytes of its stored form: what waits for a commit is bounded.
const MAX_CONTEXT_BYTES: usize = 4_000;
/// Bytes of a token, with which what is not names begins.
const TOKEN: usize = 16;
/// Bytes of a length.
const LENGTH: usize = 2;

/// One companion, encoded where the request is: how many bytes the names of its attributes take and how many whom it is about, each in
/// two bytes, both of these, how many bytes each value takes, and the values. The writer only joins them.
pub struct EncodedCompanion(Box<[u8]>);

/// What [`EncodedCompanion`] is made of.
struct Parts<'c> {
    names: &'c [u8],
    whom: &'c [u8],
    lengths: &'c [[u8; LENGTH]],
    values: &'c [u8],
}

impl EncodedCompanion {
    fn parts(&self) -> Parts<'_> {
        let (header, rest) = self.0.split_at(3 * LENGTH);
        let [names, whom, count] = std::array::from_fn(|at| length(header.as_chunks().0[at]));
        let (names, rest) = rest.split_at(names);
        let (whom, rest) = rest.split_at(whom);
        let (lengths, values) = rest.split_at(count * LENGTH);
        Parts { names, whom, lengths: lengths.as_chunks().0, values }
    }
}

impl<'c> Parts<'c> {
    fn values(&self) -> impl ExactSizeIterator<Item = &'c [u8]> {
        let mut rest = self.values;
        self.lengths.iter().map(move |bytes| {
            let (value, after) = rest.split_at(length(*bytes));
            rest = after;
            value
        })
    }
}

fn length(bytes: [u8; LENGTH]) -> usize {
    u16::from_le_bytes(bytes).into()
}

/// A companion as read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Companion {
    /// Number of the block that counts its decision.
    pub block: u64,
    /// Index of the event in it.
    pub index: u32,
    /// What stands for the visitor.
    pub token: VisitorToken,
    /// The visitor's id.
    pub visitor: String,
    /// What was known; `None` where it was too long to be kept.
    pub context: Option<Context<'static>>,
}

/// Whom a companion is about, first in what is not names: an erasure looks at nothing else.
type StoredVisitor<'a> = ([u8; TOKEN], &'a str);

/// Of a text among stored values.
const TEXT: u8 = 3;

#[derive(Encode, BorrowDecode)]
pub(super) enum StoredValue<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

thread_local! {
    /// A companion is written here, and then takes exactly the memory it needs.
    static BYTES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Encodes one.
#[must_use]
pub fn encode_companion(token: VisitorToken, visitor: &str, context: &Context<'_>) -> EncodedCompanion {
    BYTES.with_borrow_mut(|bytes| {
        let whole = encode_into(bytes, (token.to_bytes(), visitor), Some(context));
        if !whole {
            bytes.clear();
            bytes.shrink_to(MAX_CONTEXT_BYTES);
            encode_into(bytes, (token.to_bytes(), visitor), None);
        }
        EncodedCompanion(bytes.as_slice().into())
    })
}

/// Says whether it is short enough.
fn encode_into(bytes: &mut Vec<u8>, visitor: StoredVisitor<'_>, context: Option<&Context<'_>>) -> bool {
    fn push(bytes: &mut Vec<u8>, what: impl Encode) {
        bincode::encode_into_std_write(what, bytes, FORM).expect("a vector takes every byte, and no mirror refuses");
    }
    /// As bincode writes it, whose lengths take one byte up to 250.
    fn push_text(bytes: &mut Vec<u8>, text: &str) {
        match u8::try_from(text.len()) {
            Ok(length @ ..=250) => {
                bytes.push(length);
                bytes.extend_from_slice(text.as_bytes());
            }
            _ => push(bytes, text),
        }
    }
    fn set(bytes: &mut [u8], at: usize, length: usize) {
        // What is longer than can be said is too long.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        bytes[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
    }
    let count = context.map_or(0, Context::len);
    bytes.clear();
    bytes.extend([0; 3 * LENGTH]);
    let start = bytes.len();
    if let Some(context) = context {
        push(bytes, count as u64);
        context.iter().for_each(|(name, _)| push_text(bytes, name));
    }
    let names = bytes.len();
    push(bytes, (visitor, context.is_some()));
    let lengths = bytes.len();
    bytes.resize(lengths + count * LENGTH, 0);
    for (index, (_, value)) in context.into_iter().flat_map(Context::iter).enumerate() {
        let before = bytes.len();
        match value {
            Value::Text(text) => {
                bytes.push(TEXT);
                push_text(bytes, text);
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => push(bytes, StoredValue::from(value)),
        }
        let length = bytes.len() - before;
        set(bytes, lengths + index * LENGTH, length);
    }
    for (index, length) in [names - start, lengths - names, count].into_iter().enumerate() {
        set(bytes, index * LENGTH, length);
    }
    bytes.len() - start - count * LENGTH <= MAX_CONTEXT_BYTES
}

/// Rows of a block's companions, each with the index of its event: as few as hold them.
pub fn companion_rows(block: u64, companions: &[(u32, &EncodedCompanion)], rows: &mut Vec<Row>) {
    if companions.is_empty() {
        return;
    }
    let mut number = 0_u32;
    let mut close = |writer: RowWriter<'_>| {
        let key = [&companion_key(block)[..], &number.to_be_bytes()].concat();
        rows.push(Row { space: Space::Companion, key, value: Some(writer.into_value()) });
        number += 1;
    };
    let mut writer = RowWriter::new(MAX_VALUE_BYTES);
    for (index, companion) in companions {
        let parts = companion.parts();
        if !writer.push_if_room(*index, parts.names, parts.whom, parts.values()) {
            close(std::mem::replace(&mut writer, RowWriter::new(MAX_VALUE_BYTES)));
            writer.push_if_room(*index, parts.names, parts.whom, parts.values());
        }
    }
    close(writer);
}

/// Companions of blocks before one stand below this key.
#[must_use]
pub fn companion_key(block: u64) -> Vec<u8> {
    block.to_be_bytes().to_vec()
}

/// What is left of a row without some visitors, told by what stands for them and by their ids, and how many companions went; `None` if it has none of theirs. A row of which
/// nothing is left is removed.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not what was written.
pub fn without_visitors(
    key: &[u8],
    value: &[u8],
    is_theirs: impl Fn(VisitorToken, &str) -> bool,
) -> Result<Option<(Row, usize)>, StoreError> {
    let mut left = RowWriter::new(value.len());
    let mut gone = 0;
    for entry in RowReader::new(value).map_err(|flaw| damaged(key, &flaw))? {
        let (index, entry) = entry.map_err(|flaw| damaged(key, &flaw))?;
        let (token, visitor) = visitor_of(&entry).map_err(|flaw| damaged(key, &flaw))?;
        if is_theirs(token, visitor) {
            gone += 1;
        } else {
            left.push_again(index, entry);
        }
    }
    let value = (!left.is_empty()).then(|| left.into_value());
    Ok((gone > 0).then(|| (Row { space: Space::Companion, key: key.to_vec(), value }, gone)))
}

fn visitor_of<'r>(entry: &Entry<'r>) -> Checked<(VisitorToken, &'r str)> {
    let (Entry::Whole(bytes) | Entry::Named(_, bytes) | Entry::Told(_, bytes, _)) = entry;
    let (token, visitor): StoredVisitor<'_> = Reading(bytes).read()?;
    Ok((VisitorToken::from_bytes(token), visitor))
}

/// The companions of a row.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not what was written.
pub fn decode_companions(key: &[u8], value: &[u8]) -> Result<Vec<Companion>, StoreError> {
    let block = key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let block = block.ok_or_else(|| damaged(key, "a key that is none"))?;
    let companions = RowReader::new(value).and_then(|entries| {
        let companions = entries.map(|entry| {
            let (index, entry) = entry?;
            let (token, visitor, context) = decode_entry(entry)?;
            Ok(Companion { block, index, token, visitor: visitor.to_owned(), context })
        });
        companions.collect::<Checked<_>>()
    });
    companions.map_err(|flaw| damaged(key, &flaw))
}

fn decode_entry(entry: Entry<'_>) -> Checked<(VisitorToken, &str, Option<Context<'static>>)> {
    let (Entry::Whole(bytes) | Entry::Named(_, bytes) | Entry::Told(_, bytes, _)) = entry;
    let mut bytes = Reading(bytes);
    let ((token, visitor), is_kept): (StoredVisitor<'_>, bool) = bytes.read()?;
    let (mut names, values) = match entry {
        Entry::Whole(_) => (None, None),
        Entry::Named(names, _) => (Some(Reading(names)), None),
        Entry::Told(names, _, values) => (Some(Reading(names)), Some(values)),
    };
    let mut values = values.map(Vec::into_iter);
    let mut context = is_kept.then(Context::new);
    if let Some(context) = &mut context {
        let count: u64 = names.as_mut().unwrap_or(&mut bytes).read()?;
        for _ in 0..count {
            let name: &str = names.as_mut().unwrap_or(&mut bytes).read()?;
            let value: StoredValue<'_> = match &mut values {
                Some(values) => Reading(values.next().ok_or("a name without a value")?).read()?,
                None => bytes.read()?,
            };
            // A profile was merged under it.
            if !context.insert_within(name.to_owned().into(), value.into(), Context::MAX_MERGED) {
                return Err(format!("more than {} attributes", Context::MAX_MERGED));
            }
        }
        names.map_or(Ok(()), |names| names.end())?;
    }
    bytes.end()?;
    Ok((VisitorToken::from_bytes(token), visitor, context))
}

fn damaged(key: &[u8], flaw: &str) -> StoreError {
    let block = key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    StoreError::Damaged(format!("companions of block {block}: {flaw}"))
}

impl<'a> From<&'a Value<'_>> for StoredValue<'a> {
    fn from(value: &'a Value<'_>) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) => Self::Text(text),
        }
    }
}

impl From<StoredValue<'_>> for Value<'static> {
    fn from(stored: StoredValue<'_>) -> Self {
        match stored {
            StoredValue::Bool(value) => Self::Bool(value),
            StoredValue::Int(value) => Self::Int(value),
            StoredValue::Float(value) => Self::Float(value),
            StoredValue::Text(text) => Self::Text(text.to_owned().into()),
        }
    }
}

#[cfg(test)]
mod tests;
