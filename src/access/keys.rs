//! All keys of a server: found without a lock, changed here or by whoever else changes their file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::access::file::{FileError, KeyFile, Stamp};
use crate::access::key::{Key, KeyId, RANDOM_BYTES, Refused, Role, Wanted, id_in};
use crate::domain::Timestamp;

/// Most keys of one server.
const MAX_KEYS: usize = 1_000;

/// Keys by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(HashMap<KeyId, Arc<Key>>);

/// Why keys were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A field of what is wanted.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is none of that id.
    #[error("there is no key {0}")]
    Unknown(KeyId),
    /// Nobody could make keys over HTTP any more.
    #[error("{0} is the last admin key: make another one first")]
    LastAdmin(KeyId),
    /// The bound.
    #[error("there are {MAX_KEYS} keys: revoke some first")]
    TooMany,
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
}

/// What changed in the file since it was looked at last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Keys that are new.
    pub created: Vec<KeyId>,
    /// Keys that are gone.
    pub revoked: Vec<KeyId>,
}

/// The keys in force.
#[derive(Debug)]
pub struct Keys {
    file: Option<KeyFile>,
    /// `None` as long as no key was ever made.
    current: ArcSwap<Option<KeySet>>,
    /// Which state of the file was looked at last; held while keys are changed.
    stamp: Mutex<Option<Stamp>>,
}

impl Keys {
    /// None yet; what is made is gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { file: None, current: ArcSwap::from_pointee(None), stamp: Mutex::new(None) }
    }

    /// Those of a file, which need not be there yet.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let file = KeyFile::new(path);
        let (keys, stamp) = file.read()?.unzip();
        Ok(Self { file: Some(file), current: ArcSwap::from_pointee(keys), stamp: Mutex::new(stamp) })
    }

    /// Whether callers must have a key: from the first one made on, for good.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        self.current.load().is_some()
    }

    /// Whether somebody has a key of a role.
    #[must_use]
    pub fn any(&self, role: Role) -> bool {
        self.current.load().as_ref().as_ref().is_some_and(|keys| keys.0.values().any(|key| key.role == role))
    }

    /// Every key, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Key>> {
        let current = self.current.load();
        let mut keys: Vec<_> = current.as_ref().iter().flat_map(|keys| keys.0.values().cloned()).collect();
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }

    /// The key a text is, if it is one.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Arc<Key>> {
        let id = id_in(text)?;
        let current = self.current.load();
        let key = current.as_ref().as_ref()?.0.get(&id)?;
        key.is(text).then(|| Arc::clone(key))
    }

    /// Makes a key; the text is not kept, and cannot be had again. The first one is an admin's, as nobody could make
    /// another otherwise.
    ///
    /// # Errors
    /// [`KeyError`]; nothing is changed then.
    pub fn create(&self, wanted: Wanted, at: Timestamp) -> Result<(Arc<Key>, String), KeyError> {
        let role = wanted.role;
        let (key, text) = wanted.make(random()?, at)?;
        let key = Arc::new(key);
        self.change(|keys| {
            if keys.0.is_empty() && role != Role::Admin {
                let allowed = "admin for the first key, which then makes the others".to_owned();
                return Err(Refused { field: "role", given: role.to_string(), allowed }.into());
            }
            if keys.insert(Key::clone(&key)) { Ok(()) } else { Err(KeyError::TooMany) }
        })?;
        Ok((key, text))
    }

    /// Takes a key out; whoever holds it is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`]; nothing is changed then.
    pub fn revoke(&self, id: KeyId) -> Result<Arc<Key>, KeyError> {
        self.change(|keys| {
            let key = keys.0.remove(&id).ok_or(KeyError::Unknown(id))?;
            if key.role == Role::Admin && !keys.0.values().any(|other| other.role == Role::Admin) {
                return Err(KeyError::LastAdmin(id));
            }
            Ok(key)
        })
    }

    /// Looks whether somebody else has changed the file; `None` if nobody has. A file that is damaged or gone changes nothing:
    /// that is told once.
    ///
    /// # Errors
    /// [`FileError`]; the keys stay as they were.
    pub fn refresh(&self) -> Result<Option<Seen>, FileError> {
        let Some(file) = &self.file else { return Ok(None) };
        let mut looked = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = match file.stamp() {
            Ok(stamp) if stamp == *looked => return Ok(None),
            Ok(stamp) => stamp,
            Err(error) => return looked.take().map_or(Ok(None), |_| Err(error)),
        };
        *looked = stamp;
        let Some((keys, stamp)) = file.read()? else { return Err(file.gone()) };
        *looked = Some(stamp);
        let before = self.current.load().as_ref().clone().unwrap_or_default();
        self.current.store(Arc::new(Some(keys.clone().with_limits_of(&before))));
        let only_in = |these: &KeySet, those: &KeySet| {
            these.sorted().iter().map(|key| key.id).filter(|id| !those.0.contains_key(id)).collect()
        };
        Ok(Some(Seen { created: only_in(&keys, &before), revoked: only_in(&before, &keys) }))
    }

    fn change<T>(&self, change: impl FnOnce(&mut KeySet) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let mut looked = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, keys) = match &self.file {
            Some(file) => {
                // Beginning anew would revoke keys that nobody wanted revoked.
                if self.are_asked_for() && file.stamp()?.is_none() {
                    return Err(file.gone().into());
                }
                let (done, keys, stamp) = file.change(change)?;
                *looked = Some(stamp);
                (done, keys)
            }
            None => {
                let mut keys = self.current.load().as_ref().clone().unwrap_or_default();
                let done = change(&mut keys)?;
                (done, keys)
            }
        };
        let before = self.current.load().as_ref().clone().unwrap_or_default();
        self.current.store(Arc::new(Some(keys.with_limits_of(&before))));
        Ok(done)
    }
}

impl KeySet {
    /// Whether there was room, and none of that id.
    pub(crate) fn insert(&mut self, key: Key) -> bool {
        self.0.len() < MAX_KEYS && self.0.insert(key.id, Arc::new(key)).is_none()
    }

    /// What stays the same stays what it was: a change of one key gives no other its requests back.
    fn with_limits_of(mut self, before: &Self) -> Self {
        for (id, key) in &mut self.0 {
            if let Some(known) = before.0.get(id).filter(|known| *known == key) {
                *key = Arc::clone(known);
            }
        }
        self
    }

    /// In the order in which they were made.
    pub(crate) fn sorted(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.0.values().map(|key| &**key).collect();
        keys.sort_by_key(|key| (key.created_at, key.id));
        keys
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a key must not follow from anything the process has told; it is made seldom"
)]
fn random() -> Result<[u8; RANDOM_BYTES], KeyError> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}
