//! The file that keeps keys: JSON that people can read, for its owner alone. A server and the command line both change it, one
//! at a time, and it is always whole: written aside, synced and renamed.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::access::key::{Key, KeyId, Role, Wanted};
use crate::access::keys::KeySet;
use crate::domain::Timestamp;

/// Its name in the data directory.
pub const NAME: &str = "keys.json";
/// The form this version writes.
const VERSION: u32 = 1;
/// Longest file that is read: more keys than may be made.
const MAX_BYTES: u64 = 32 << 20;

/// Why the file is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("the key file {file}: could not {action}: {detail}")]
    Unavailable {
        /// Which.
        file: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        detail: String,
    },
    /// It holds something else.
    #[error(
        "the key file {file} is damaged: {detail}; restore it from a backup, or move it away and make new keys with \
         `mabel keys create`"
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What is wrong, without what the file holds.
        detail: String,
    },
}

/// A state of the file: another one has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Where the file is.
#[derive(Debug, Clone)]
pub(crate) struct KeyFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    name: String,
    role: String,
    origins: Vec<String>,
    rate: Option<u32>,
    created_at_ms: u64,
    hash: String,
}

impl KeyFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Which state the file is in; `None` if there is none.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>, FileError> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Stamp::of(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unavailable("look at it", &error)),
        }
    }

    /// What it holds, and in which state; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<(KeySet, Stamp)>, FileError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unavailable("open it", &error)),
        };
        let mut text = String::new();
        let stamp = file.metadata().map(|metadata| Stamp::of(&metadata));
        let read = stamp.and_then(|stamp| file.take(MAX_BYTES).read_to_string(&mut text).map(|_| stamp));
        let stamp = read.map_err(|error| self.unavailable("read it", &error))?;
        let keys = self.parse(&text)?;
        Ok(Some((keys, stamp)))
    }

    /// Changes what it holds; nobody else does meanwhile. A change that is refused leaves it as it is.
    pub(crate) fn change<T, E: From<FileError>>(
        &self,
        change: impl FnOnce(&mut KeySet) -> Result<T, E>,
    ) -> Result<(T, KeySet, Stamp), E> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        std::fs::create_dir_all(directory).map_err(|error| self.unavailable("make its directory", &error))?;
        // Not the file itself, which is another one after every change. It is released when it is closed.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.beside("lock"));
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(|error| self.unavailable("lock it", &error))?;
        let mut keys = self.read()?.map(|(keys, _)| keys).unwrap_or_default();
        let done = change(&mut keys)?;
        let stamp = self.write(&keys, directory).map_err(|error| self.unavailable("write it", &error))?;
        Ok((done, keys, stamp))
    }

    fn write(&self, keys: &KeySet, directory: &Path) -> std::io::Result<Stamp> {
        let stored = Stored { version: VERSION, keys: keys.sorted().into_iter().map(StoredKey::of).collect() };
        let text = serde_json::to_string_pretty(&stored).map_err(std::io::Error::other)?;
        let aside = self.beside("new");
        // What a crash left of an earlier attempt was never in use, and may be readable by others.
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        writeln!(writer, "{text}")?;
        writer.sync_all()?;
        let stamp = Stamp::of(&writer.metadata()?);
        std::fs::rename(&aside, &self.path)?;
        File::open(directory)?.sync_all()?;
        Ok(stamp)
    }

    fn parse(&self, text: &str) -> Result<KeySet, FileError> {
        let damaged = |detail: String| FileError::Damaged { file: self.path.clone(), detail };
        let stored: Stored = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(format!("it is of version {}, and this server reads {VERSION}", stored.version)));
        }
        let mut keys = KeySet::default();
        for (index, stored) in stored.keys.into_iter().enumerate() {
            let key = stored.read().ok_or_else(|| damaged(format!("keys[{index}] is no key")))?;
            if !keys.insert(key) {
                return Err(damaged(format!("keys[{index}] is there twice, or one too many")));
            }
        }
        Ok(keys)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }

    /// It was there, and is not any more.
    pub(crate) fn gone(&self) -> FileError {
        let detail = "it is gone; the keys stay in force until the server is started again".to_owned();
        FileError::Unavailable { file: self.path.clone(), action: "find it", detail }
    }

    fn unavailable(&self, action: &'static str, detail: &std::io::Error) -> FileError {
        FileError::Unavailable { file: self.path.clone(), action, detail: detail.to_string() }
    }
}

impl StoredKey {
    fn of(key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role.word().to_owned(),
            origins: key.origins.clone(),
            rate: key.rate.map(std::num::NonZeroU32::get),
            created_at_ms: key.created_at.as_millis(),
            hash: key.hash.to_hex().to_string(),
        }
    }

    /// The key, if it is one that could have been made.
    fn read(self) -> Option<Key> {
        let wanted = Wanted { name: self.name, role: Role::parse(&self.role)?, origins: self.origins, rate: self.rate };
        let (key, _) =
            wanted.make([0; crate::access::key::RANDOM_BYTES], Timestamp::from_millis(self.created_at_ms)).ok()?;
        Some(Key { id: KeyId::parse(&self.id)?, hash: blake3::Hash::from_hex(self.hash).ok()?, ..key })
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}
