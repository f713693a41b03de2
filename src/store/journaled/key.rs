//! Rows of a file are written so that only whoever has the file's key can read them, and the key is deleted once the database holds
//! them. What a file says of visitors is then gone with it, long before the file itself goes with its blocks: an erasure takes effect in
//! the files as well. Blocks name nobody, and are written as they are.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::guard::refused;
use crate::store::stored::sync_directory;

const SUFFIX: &str = ".key";
const BYTES: usize = 32;
/// Bytes of the stream that are made at once.
const CHUNK: usize = 4_096;

/// What a file's rows are hidden with: the stream that BLAKE3, keyed, makes of a record's number (J. O'Connor et al., "BLAKE3", §2.6
/// and §6.1). Each record has a number of its own, and each file a key; what failed to be written of a record is overwritten by the next
/// one of its number.
#[derive(Clone)]
pub(super) struct RowKey([u8; BYTES]);

fn path(directory: &Path, file: u64) -> PathBuf {
    directory.join(format!("{file:010}{SUFFIX}"))
}

impl RowKey {
    /// Makes the key of a file that is about to begin; on the medium when this returns.
    pub(super) fn make(directory: &Path, file: u64) -> Result<Self, StoreError> {
        let make = || {
            let mut bytes = [0; BYTES];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let mut file = File::create(path(directory, file))?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            Ok(Self(bytes))
        };
        let key = make().map_err(|error: std::io::Error| refused("make a key of the journal", &error))?;
        sync_directory(directory)?;
        Ok(key)
    }

    /// The key of a file; `None` once it is deleted.
    pub(super) fn read(directory: &Path, file: u64) -> Result<Option<Self>, StoreError> {
        match fs::read(path(directory, file)) {
            Ok(bytes) => Ok(bytes.try_into().ok().map(Self)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused("read a key of the journal", &error)),
        }
    }

    /// Files whose keys are there.
    pub(super) fn all(directory: &Path) -> Result<Vec<u64>, StoreError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| refused("read the journal", &error))? {
            let name = entry.map_err(|error| refused("read the journal", &error))?.file_name();
            files.extend(
                name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.parse::<u64>().ok()),
            );
        }
        Ok(files)
    }

    pub(super) fn delete(directory: &Path, file: u64) -> std::io::Result<()> {
        match fs::remove_file(path(directory, file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Hides what a record says of rows, or shows it again.
    pub(super) fn hide(&self, record: u64, bytes: &mut [u8]) {
        let mut stream = blake3::Hasher::new_keyed(&self.0).update(&record.to_le_bytes()).finalize_xof();
        let mut chunk = [0; CHUNK];
        for part in bytes.chunks_mut(CHUNK) {
            let chunk = &mut chunk[..part.len()];
            stream.fill(chunk);
            part.iter_mut().zip(&*chunk).for_each(|(byte, hidden)| *byte ^= hidden);
        }
    }
}

impl std::fmt::Debug for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowKey")
    }
}
