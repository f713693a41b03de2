//! Companions: who a counted decision was for and what was known of the visitor, beside the block that counts it. The fold never
//! reads them; they serve export and evaluation, and an erasure rewrites them without touching the journal.

mod row;

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::context::Value;
use crate::domain::{Context, VisitorId, VisitorToken};
use crate::store::record::companion::row::{Entry, Reading, RowReader, RowWriter};
use crate::store::record::{Checked, FORM};
use crate::store::{MAX_VALUE_BYTES, Row, Space, StoreError};

/// Longest context that is kept, in bytes of its stored form: what waits for a commit is bounded.
const MAX_CONTEXT_BYTES: usize = 4_000;
/// Bytes of a token, with which what is not names begins.
const TOKEN: usize = 16;
/// Bytes of a length.
const LENGTH: usize = 2;

/// One companion, as far as it is encoded where the request is. The writer only joins what is here.
pub struct EncodedCompanion {
    /// What stands for the visitor.
    pub token: VisitorToken,
    /// The visitor's id.
    pub visitor: VisitorId,
    /// What was known of the visitor.
    pub context: EncodedContext,
}

/// The same while it belongs to others.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// What stands for the visitor.
    pub token: VisitorToken,
    /// The visitor's id.
    pub visitor: &'a str,
    /// What was known of the visitor.
    pub context: &'a EncodedContext,
}

impl EncodedCompanion {
    /// Lends it.
    #[must_use]
    pub fn about(&self) -> About<'_> {
        About { token: self.token, visitor: self.visitor.as_str(), context: &self.context }
    }
}

impl From<About<'_>> for EncodedCompanion {
    fn from(About { token, visitor, context }: About<'_>) -> Self {
        Self { token, visitor: VisitorId::known(visitor), context: context.clone() }
    }
}

/// A context, encoded once for all decisions that it was brought for: how many bytes the names of its attributes take and how many of
/// these there are, each in two bytes, the names, how many bytes each value takes, and the values; `None` where it is too long to be kept.
#[derive(Clone)]
pub struct EncodedContext(Option<Arc<[u8]>>);

/// What [`EncodedContext`] is made of.
#[derive(Default)]
struct Parts<'c> {
    names: &'c [u8],
    lengths: &'c [[u8; LENGTH]],
    values: &'c [u8],
}

impl EncodedContext {
    fn parts(&self) -> Parts<'_> {
        let Some(bytes) = &self.0 else { return Parts::default() };
        let (header, rest) = bytes.split_at(2 * LENGTH);
        let [names, count] = std::array::from_fn(|at| length(header.as_chunks().0[at]));
        let (names, rest) = rest.split_at(names);
        let (lengths, values) = rest.split_at(count * LENGTH);
        Parts { names, lengths: lengths.as_chunks().0, values }
    }

    /// Whether it is the very same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
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
    /// A context is written here, and then takes exactly the memory it needs.
    static BYTES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Encodes one.
#[must_use]
pub fn encode_context(context: &Context<'_>) -> EncodedContext {
    BYTES.with_borrow_mut(|bytes| {
        bytes.clear();
        encode_into(bytes, context);
        let is_kept = bytes.len() - (2 + context.len()) * LENGTH <= MAX_CONTEXT_BYTES;
        let kept = is_kept.then(|| Arc::from(bytes.as_slice()));
        bytes.shrink_to(MAX_CONTEXT_BYTES);
        EncodedContext(kept)
    })
}

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

fn encode_into(bytes: &mut Vec<u8>, context: &Context<'_>) {
    fn set(bytes: &mut [u8], at: usize, length: usize) {
        // What is longer than can be said is too long.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        bytes[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
    }
    let count = context.len();
    bytes.extend([0; 2 * LENGTH]);
    let start = bytes.len();
    push(bytes, count as u64);
    context.iter().for_each(|(name, _)| push_text(bytes, name));
    let lengths = bytes.len();
    bytes.resize(lengths + count * LENGTH, 0);
    for (index, (_, value)) in context.iter().enumerate() {
        let before = bytes.len();
        if before > start + count * LENGTH + MAX_CONTEXT_BYTES {
            // Too long already: what follows is not kept either.
            return;
        }
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
    for (index, length) in [lengths - start, count].into_iter().enumerate() {
        set(bytes, index * LENGTH, length);
    }
}

/// Rows of a block's companions, each with the index of its event: as few as hold them.
pub fn companion_rows(block: u64, companions: &[(u32, About<'_>)], rows: &mut Vec<Row>) {
    if companions.is_empty() {
        return;
    }
    // Whom each is about, one behind the other.
    let mut about = Vec::with_capacity(companions.len() * 2 * TOKEN);
    let ends: Vec<usize> = companions
        .iter()
        .map(|(_, About { token, visitor, context })| {
            about.extend_from_slice(&token.to_bytes());
            push_text(&mut about, visitor);
            about.push(u8::from(context.0.is_some()));
            about.len()
        })
        .collect();
    let mut number = 0_u32;
    let mut close = |writer: RowWriter<'_>| {
        let key = [&companion_key(block)[..], &number.to_be_bytes()].concat();
        rows.push(Row { space: Space::Companion, key, value: Some(writer.into_value()) });
        number += 1;
    };
    let mut writer = RowWriter::new(MAX_VALUE_BYTES);
    let mut start = 0;
    for ((index, companion), end) in companions.iter().zip(ends) {
        let whom = &about[start..end];
        if !writer.push_if_room(*index, whom, companion.context) {
            close(std::mem::replace(&mut writer, RowWriter::new(MAX_VALUE_BYTES)));
            writer.push_if_room(*index, whom, companion.context);
        }
        start = end;
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
