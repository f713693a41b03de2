//! A key: `mbl_ROLE_ID_SECRET`, of which all but the secret is kept, and the hash of the whole.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::access::origin;
use crate::access::rate::{KeyLimit, MAX_RATE, checked};
use crate::domain::Timestamp;

/// Longest text that is looked at: a key has up to 92 bytes.
const MAX_TEXT_BYTES: usize = 96;
/// Bytes of a name.
const MAX_NAME_BYTES: usize = 100;
/// Origins of one key.
const MAX_ORIGINS: usize = 64;

/// Random bytes that make a key: 8 of its id, 32 of its secret.
pub const RANDOM_BYTES: usize = 8 + 32;

/// What the holder of a key may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// For pages, where everybody can read it: decide, activate and reward what one holds the receipt of.
    Decide,
    /// For a site's own servers: rewards and activations of any visitor, amendments, visitors.
    Write,
    /// Everything: experiments, reports, backups, keys.
    Admin,
}

impl Role {
    /// Each of them, the least first.
    pub const ALL: [Self; 3] = [Self::Decide, Self::Write, Self::Admin];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// By which a key is found and named; no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// 16 hexadecimal digits, in small letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (text.len() == 16 && digits).then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// By which it is found.
    pub id: KeyId,
    /// What it is for, for people.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Origins of the pages that may use it; empty: any.
    pub origins: Vec<String>,
    /// Requests a second, and as many at once; `None`: not limited.
    pub rate: Option<NonZeroU32>,
    /// When it was made.
    pub created_at: Timestamp,
    pub(crate) hash: blake3::Hash,
    pub(crate) limit: Option<Arc<KeyLimit>>,
}

/// A key that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is for, for people.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Origins of the pages that may use it; empty: any.
    pub origins: Vec<String>,
    /// Requests a second, and as many at once; `None`: not limited.
    pub rate: Option<u32>,
}

/// A field that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {given} is refused; allowed: {allowed}")]
pub struct Refused {
    /// Which.
    pub field: &'static str,
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl Wanted {
    /// Checks it and makes it. The text is the key itself, and not kept: it cannot be had again.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn make(self, random: [u8; RANDOM_BYTES], created_at: Timestamp) -> Result<(Key, String), Refused> {
        let Self { name, role, origins, rate } = self;
        let refused = |field, given: String, allowed: String| Refused { field, given, allowed };
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let allowed = format!("1 to {MAX_NAME_BYTES} bytes without control characters");
            return Err(refused("name", format!("{name:?}"), allowed));
        }
        if origins.len() > MAX_ORIGINS {
            return Err(refused("origins", format!("{} of them", origins.len()), format!("at most {MAX_ORIGINS}")));
        }
        if let Some(other) = origins.iter().find(|text| !origin::is_origin(text)) {
            let allowed = "as browsers write it: scheme, host in small letters, a port that is not the scheme's own, and \
                           nothing after it, such as https://shop.example or http://localhost:3000";
            return Err(refused("origins", format!("{other:?}"), allowed.to_owned()));
        }
        let rate = match rate {
            None => None,
            Some(rate) => Some(checked(rate).ok_or_else(|| {
                refused("rate", rate.to_string(), format!("1 to {MAX_RATE} requests a second, or nothing"))
            })?),
        };
        let (for_id, for_secret) = random.split_first_chunk().expect("40 bytes have 8 at their beginning");
        let id = KeyId(u64::from_be_bytes(*for_id));
        let secret: String = for_secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("mbl_{role}_{id}_{secret}");
        let hash = blake3::hash(text.as_bytes());
        let limit = rate.map(|rate| Arc::new(KeyLimit::new(rate)));
        Ok((Key { id, name, role, origins, rate, created_at, hash, limit }, text))
    }
}

impl Key {
    /// Whether a text is this key. Takes as long whether its first byte is another or its last.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        // Equality of these hashes is computed in constant time.
        self.hash == blake3::hash(text.as_bytes())
    }

    /// Whether pages of an origin may use it.
    #[must_use]
    pub fn is_for(&self, origin: &str) -> bool {
        self.origins.is_empty() || self.origins.iter().any(|allowed| allowed == origin)
    }
}

/// The id within a key's text.
pub(crate) fn id_in(text: &str) -> Option<KeyId> {
    let rest = text.strip_prefix("mbl_").filter(|_| text.len() <= MAX_TEXT_BYTES)?;
    let mut parts = rest.split('_');
    let _role = parts.next()?;
    KeyId::parse(parts.next()?)
}
