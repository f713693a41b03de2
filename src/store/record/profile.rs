//! Profiles: what is known of visitors ahead of their requests, a row for each under what stands for the visitor. The journal says when
//! one was saved and nothing of what it says, so that an erasure can take all of it away.

use bincode::{BorrowDecode, Encode};

use crate::domain::{Context, VisitorToken};
use crate::engine::ledger::Position;
use crate::store::record::companion::StoredValue;
use crate::store::record::{Checked, FORM, VERSION};
use crate::store::{MAX_VALUE_BYTES, Row, Space, Store, StoreError};

/// Longest profile, in bytes of its stored form: it stands in one value.
pub const MAX_PROFILE_BYTES: usize = MAX_VALUE_BYTES - HEADER_BYTES;
/// The version, then where in the journal it was saved.
const HEADER_BYTES: usize = 1 + 8 + 4;

/// A profile, encoded where the request is: the writer only says where it stands.
pub type EncodedProfile = Box<[u8]>;

/// A profile as read back.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedProfile {
    /// Where in the journal it was saved, or joined with another.
    pub position: Position,
    /// What it says.
    pub attributes: Context<'static>,
}

#[derive(Encode, BorrowDecode)]
struct StoredProfile<'a>(Vec<(&'a str, StoredValue<'a>)>);

/// Encodes one.
///
/// # Errors
/// How many bytes it has, if more than [`MAX_PROFILE_BYTES`].
pub fn encode_profile(profile: &Context<'_>) -> Result<EncodedProfile, usize> {
    let attributes = profile.iter().map(|(name, value)| (name, StoredValue::from(value))).collect();
    let bytes = bincode::encode_to_vec(StoredProfile(attributes), FORM).expect("no mirror refuses");
    if bytes.len() > MAX_PROFILE_BYTES { Err(bytes.len()) } else { Ok(bytes.into()) }
}

/// The value of a profile's row.
#[must_use]
pub fn profile_value(position: Position, profile: &[u8]) -> Vec<u8> {
    [&[VERSION][..], &position.block.to_be_bytes(), &position.index.to_be_bytes(), profile].concat()
}

/// The row of a visitor's profile; without a value it removes it.
#[must_use]
pub fn profile_row(visitor: VisitorToken, value: Option<Vec<u8>>) -> Row {
    Row { space: Space::Profile, key: visitor.to_bytes().to_vec(), value }
}

/// The profile in a row's value.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not what was written.
pub fn decode_profile(value: &[u8]) -> Result<SavedProfile, StoreError> {
    read(value).map_err(|flaw| StoreError::Damaged(format!("a profile: {flaw}")))
}

fn read(value: &[u8]) -> Checked<SavedProfile> {
    let (version, rest) = value.split_first().ok_or("it is empty")?;
    if *version != VERSION {
        return Err(format!("its version is {version}, this program reads {VERSION}"));
    }
    let (block, rest) = rest.split_first_chunk().ok_or("it is too short")?;
    let (index, rest) = rest.split_first_chunk().ok_or("it is too short")?;
    let (StoredProfile(stored), length): (StoredProfile<'_>, usize) =
        bincode::borrow_decode_from_slice(rest, FORM).map_err(|error| error.to_string())?;
    if length != rest.len() {
        return Err(format!("{} bytes follow it", rest.len() - length));
    }
    let mut attributes = Context::new();
    for (name, value) in stored {
        if !attributes.insert(name.to_owned().into(), value.into()) {
            return Err(format!("more than {} attributes", Context::MAX_ATTRIBUTES));
        }
    }
    let position = Position { block: u64::from_be_bytes(*block), index: u32::from_be_bytes(*index) };
    Ok(SavedProfile { position, attributes })
}

/// The stored profile of a visitor, as a row's value; `None` if there is none.
///
/// # Errors
/// If the store cannot be read.
pub fn profile_of(store: &dyn Store, visitor: VisitorToken) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = store.rows(Space::Profile, &visitor.to_bytes(), None, 1)?;
    Ok(rows.into_iter().next().map(|(_, value)| value))
}
