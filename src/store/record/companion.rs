//! Companions: who a counted decision was for and what was known of the visitor, beside the block that counts it. The fold never
//! reads them; they serve export and evaluation, and an erasure rewrites them without touching the journal.

use bincode::enc::Encoder;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};

use crate::domain::context::Value;
use crate::domain::{Context, VisitorToken};
use crate::store::record::{Checked, FORM, VERSION};
use crate::store::{MAX_VALUE_BYTES, Row, Space, StoreError};

/// Longest context that is kept, in bytes of its stored form: what waits for a commit is bounded.
const MAX_CONTEXT_BYTES: usize = 4_000;
/// Bytes of a token, with which every companion begins.
const TOKEN: usize = 16;

/// One companion, encoded where the request is: the writer only joins them.
pub type EncodedCompanion = Box<[u8]>;

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

/// `C` is the context, as attributes on the way in.
#[derive(Encode, BorrowDecode)]
struct StoredCompanion<'a, C> {
    /// First, and the id behind it: an erasure looks at nothing else.
    token: [u8; TOKEN],
    visitor: &'a str,
    context: Option<C>,
}

type StoredAttributes<'a> = Vec<(&'a str, StoredValue<'a>)>;

/// The same bytes as [`StoredAttributes`], without a list of them.
struct Attributes<'c>(&'c Context<'c>);

impl Encode for Attributes<'_> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        self.0.iter().try_for_each(|(name, value)| (name, StoredValue::from(value)).encode(encoder))
    }
}

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
    const NEVER: &str = "a vector takes every byte, and no mirror refuses";
    let stored = |context| StoredCompanion { token: token.to_bytes(), visitor, context };
    BYTES.with_borrow_mut(|bytes| {
        bytes.clear();
        bincode::encode_into_std_write(stored(Some(Attributes(context))), &mut *bytes, FORM).expect(NEVER);
        if bytes.len() > MAX_CONTEXT_BYTES {
            bytes.clear();
            bytes.shrink_to(MAX_CONTEXT_BYTES);
            bincode::encode_into_std_write(stored(None), &mut *bytes, FORM).expect(NEVER);
        }
        bytes.as_slice().into()
    })
}

/// Rows of a block's companions, each with the index of its event: as few as hold them, but for some bytes.
pub fn companion_rows(block: u64, companions: &[(u32, &[u8])], rows: &mut Vec<Row>) {
    let mut values: Vec<Vec<u8>> = Vec::new();
    for (index, companion) in companions {
        let most = entry_bytes_at_most(companion);
        if values.last().is_none_or(|value| value.len() + most > MAX_VALUE_BYTES) {
            let mut value = Vec::with_capacity(MAX_VALUE_BYTES);
            value.push(VERSION);
            values.push(value);
        }
        write_entry(*index, companion, values.last_mut().expect("there is one with room"));
    }
    for (number, value) in (0_u32..).zip(values) {
        let key = [&companion_key(block)[..], &number.to_be_bytes()].concat();
        rows.push(Row { space: Space::Companion, key, value: Some(value) });
    }
}

/// Bytes of an entry, or a few more: numbers take up to five of them.
const fn entry_bytes_at_most(companion: &[u8]) -> usize {
    5 + 5 + companion.len()
}

fn write_entry(index: u32, companion: &[u8], into: &mut Vec<u8>) {
    bincode::encode_into_std_write((index, companion), into, FORM)
        .expect("a vector takes every byte, and no mirror refuses");
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
    let mut left = vec![VERSION];
    let mut gone = 0;
    for entry in entries(value) {
        let (index, companion) = entry.map_err(|flaw| damaged(key, &flaw))?;
        let ((token, visitor), _): (([u8; TOKEN], &str), usize) =
            bincode::borrow_decode_from_slice(companion, FORM).map_err(|error| damaged(key, &error.to_string()))?;
        if is_theirs(VisitorToken::from_bytes(token), visitor) {
            gone += 1;
        } else {
            write_entry(index, companion, &mut left);
        }
    }
    let value = Some(left).filter(|left| left.len() > 1);
    Ok((gone > 0).then(|| (Row { space: Space::Companion, key: key.to_vec(), value }, gone)))
}

/// The companions of a row.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not what was written.
pub fn decode_companions(key: &[u8], value: &[u8]) -> Result<Vec<Companion>, StoreError> {
    let block = key.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let block = block.ok_or_else(|| damaged(key, "a key that is none"))?;
    let companions = entries(value).map(|entry| {
        let (index, bytes) = entry?;
        let (stored, length): (StoredCompanion<'_, StoredAttributes<'_>>, usize) =
            bincode::borrow_decode_from_slice(bytes, FORM).map_err(|error| error.to_string())?;
        if length != bytes.len() {
            return Err(format!("{} bytes follow a companion", bytes.len() - length));
        }
        let context = stored.context.map(|attributes| {
            let mut context = Context::new();
            for (name, value) in attributes {
                // A profile was merged under it.
                if !context.insert_within(name.to_owned().into(), value.into(), Context::MAX_MERGED) {
                    return Err(format!("more than {} attributes", Context::MAX_MERGED));
                }
            }
            Ok(context)
        });
        let token = VisitorToken::from_bytes(stored.token);
        Ok(Companion { block, index, token, visitor: stored.visitor.to_owned(), context: context.transpose()? })
    });
    companions.collect::<Checked<_>>().map_err(|flaw| damaged(key, &flaw))
}

fn damaged(key: &[u8], flaw: &str) -> StoreError {
    let block = key.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    StoreError::Damaged(format!("companions of block {block}: {flaw}"))
}

/// Index and bytes of each companion of a row.
fn entries(value: &[u8]) -> impl Iterator<Item = Checked<(u32, &[u8])>> {
    let (version, mut rest) = value.split_first().map_or((0, value), |(version, rest)| (*version, rest));
    let mut unknown = (version != VERSION).then(|| format!("its version is {version}, this program reads {VERSION}"));
    std::iter::from_fn(move || {
        if let Some(flaw) = unknown.take() {
            rest = &[];
            return Some(Err(flaw));
        }
        if rest.is_empty() {
            return None;
        }
        let read = bincode::borrow_decode_from_slice::<(u32, &[u8]), _>(rest, FORM);
        Some(match read {
            Ok((entry, length)) => {
                rest = &rest[length..];
                Ok(entry)
            }
            Err(error) => {
                rest = &[];
                Err(error.to_string())
            }
        })
    })
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
mod tests {
    //! Companions read back, without those of one visitor as if it had never been.

    use crate::domain::VisitorToken;
    use crate::store::MAX_VALUE_BYTES;
    use crate::store::record::companion::*;
    use proptest::prelude::*;

    fn context() -> impl Strategy<Value = Context<'static>> {
        let value = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9_f64).prop_map(Value::Float),
            "\\PC{0,300}".prop_map(|text| Value::Text(text.into())),
        ];
        proptest::collection::vec(("[a-z]{1,9}", value), 0..20).prop_map(|attributes| {
            let mut context = Context::new();
            for (name, value) in attributes {
                assert!(context.insert(name.into(), value), "there is room for twenty");
            }
            context
        })
    }

    fn read(rows: &[Row]) -> Vec<Companion> {
        let read = |row: &Row| decode_companions(&row.key, row.value.as_deref().expect("a value"));
        rows.iter().flat_map(|row| read(row).expect("what was written is read")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn companions_read_back_and_go_one_by_one(
            visitors in proptest::collection::vec((0..5_u128, context()), 0..40),
            block: u64,
            gone in 0..5_u128,
            damage: prop::sample::Index,
        ) {
            let encoded: Vec<_> = (0..)
                .zip(&visitors)
                .map(|(index, (visitor, context))| (index, encode_companion(VisitorToken(*visitor), &visitor.to_string(), context)))
                .collect();
            let mut rows = Vec::new();
            let borrowed: Vec<(u32, &[u8])> = encoded.iter().map(|(index, companion)| (*index, &**companion)).collect();
            companion_rows(block, &borrowed, &mut rows);
            prop_assert!(rows.iter().all(|row| row.value.as_ref().is_some_and(|value| value.len() <= MAX_VALUE_BYTES)));
            let all = read(&rows);
            prop_assert_eq!(all.len(), visitors.len());
            for ((found, index), (visitor, context)) in all.iter().zip(0..).zip(&visitors) {
                let wanted = Companion {
                    block,
                    index,
                    token: VisitorToken(*visitor),
                    visitor: visitor.to_string(),
                    // A long context is left out, and says so.
                    context: found.context.as_ref().map(|_| context.clone()),
                };
                prop_assert_eq!(found, &wanted);
                let length: usize = context.iter().map(|(name, value)| name.len() + format!("{value:?}").len()).sum();
                prop_assert!(found.context.is_some() || length > 2_000, "{:?}", context);
            }
            let mut left = Vec::new();
            let mut count = 0;
            for row in &rows {
                let value = row.value.as_deref().expect("a value");
                match without_visitors(&row.key, value, |token, _| token.0 == gone).expect("readable") {
                    None => left.push(row.clone()),
                    Some((row, some)) => {
                        count += some;
                        left.extend(Some(row).filter(|row| row.value.is_some()));
                    }
                }
            }
            prop_assert_eq!(count, visitors.iter().filter(|(visitor, _)| *visitor == gone).count());
            let kept: Vec<Companion> = all.into_iter().filter(|companion| companion.token.0 != gone).collect();
            prop_assert_eq!(read(&left), kept);
            for row in &rows {
                let mut value = row.value.clone().expect("a value");
                let at = damage.index(value.len());
                value[at] ^= 0x80;
                // An error or a value, and no panic.
                drop(decode_companions(&row.key, &value));
                drop(without_visitors(&row.key, &value[..at], |_, _| true));
            }
        }
    }
}
