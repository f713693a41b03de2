//! The receipt secret on disk: 32 random bytes as 64 hexadecimal digits. Made once, never overwritten: with another
//! secret every receipt given out before would be refused.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mabel::engine::secret::Secret;

use crate::config::SecretSource;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file cannot be read or made.
    #[error("the secret file {file}: could not {action}: {detail}")]
    Unavailable { file: PathBuf, action: &'static str, detail: String },
    /// The file holds something else.
    #[error(
        "the secret file {file} is damaged: it holds {bytes} bytes, allowed: 64 hexadecimal digits; restore it from a backup, \
         or move it away to begin with a new secret, which refuses every receipt given out before"
    )]
    Damaged { file: PathBuf, bytes: usize },
    /// The operating system has no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
}

/// A secret, and whether it was made now.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) secret: Secret,
    pub(crate) new: bool,
}

/// Finds the secret. `data` is the data directory, which must exist, or `None` where nothing is kept.
///
/// # Errors
/// [`SecretError`].
pub(crate) fn find(source: SecretSource, data: Option<&Path>) -> Result<Found, SecretError> {
    match (source, data) {
        (source @ (SecretSource::Given(_) | SecretSource::File(_)), _) => {
            Ok(Found { secret: existing(source, Path::new(""))?, new: false })
        }
        (SecretSource::Data, None) => Ok(Found { secret: Secret::new(random_bytes()?), new: true }),
        (SecretSource::Data, Some(data)) => {
            let file = data.join("secret");
            match read(&file)? {
                Some(secret) => Ok(Found { secret, new: false }),
                None => Ok(Found { secret: make(&file, data)?, new: true }),
            }
        }
    }
}

/// The secret that a server of this data directory has, for whoever looks at its store: none is made.
///
/// # Errors
/// [`SecretError`].
pub(crate) fn existing(source: SecretSource, data: &Path) -> Result<Secret, SecretError> {
    let file = match source {
        SecretSource::Given(secret) => return Ok(secret),
        SecretSource::File(file) => file,
        SecretSource::Data => data.join("secret"),
    };
    read(&file)?.ok_or_else(|| unavailable(&file, "find it", &"there is no such file"))
}

/// Whether a server would find a secret, or make one.
///
/// # Errors
/// [`SecretError`].
pub(crate) fn look(source: SecretSource, data: Option<&Path>) -> Result<(), SecretError> {
    match (source, data) {
        (SecretSource::Data, None) => Ok(()),
        (SecretSource::Data, Some(data)) => read(&data.join("secret")).map(drop),
        (source @ (SecretSource::Given(_) | SecretSource::File(_)), _) => existing(source, Path::new("")).map(drop),
    }
}

/// Reads 64 hexadecimal digits, white space around them allowed.
pub(crate) fn parse(text: &str) -> Option<Secret> {
    let digits = text.trim().as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |character: u8| char::from(character).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(Secret::new(bytes))
}

/// Random bytes of the operating system.
///
/// # Errors
/// [`SecretError::Random`].
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the system for randomness, when a process starts"
)]
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SecretError::Random(error.to_string()))?;
    Ok(bytes)
}

fn read(file: &Path) -> Result<Option<Secret>, SecretError> {
    match std::fs::read(file) {
        Ok(bytes) => match std::str::from_utf8(&bytes).ok().and_then(parse) {
            Some(secret) => Ok(Some(secret)),
            None => Err(SecretError::Damaged { file: file.to_owned(), bytes: bytes.len() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable(file, "read it", &error)),
    }
}

/// Written aside, synced and renamed, so that a power cut leaves the whole file or none.
fn make(file: &Path, directory: &Path) -> Result<Secret, SecretError> {
    let bytes: [u8; 32] = random_bytes()?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let aside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        // What a crash left of an earlier attempt was never in use.
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        writeln!(writer, "{digits}")?;
        writer.sync_all()?;
        std::fs::rename(&aside, file)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| unavailable(file, "make it", &error))?;
    Ok(Secret::new(bytes))
}

fn unavailable(file: &Path, action: &'static str, detail: &dyn std::fmt::Display) -> SecretError {
    SecretError::Unavailable { file: file.to_owned(), action, detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    //! A secret is made once, readable by its owner alone, and never replaced.

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_once_and_found_again() {
        let data = tempfile::tempdir().expect("a directory");
        assert!(find(SecretSource::Data, Some(data.path())).expect("made").new);
        let file = data.path().join("secret");
        let before = std::fs::read(&file).expect("there");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(!find(SecretSource::Data, Some(data.path())).expect("found").new);
        assert_eq!(std::fs::read(&file).expect("there"), before);
        assert!(!find(SecretSource::File(file), None).expect("the same form").new);
    }

    #[test]
    fn damaged_is_refused_and_left_alone() {
        let data = tempfile::tempdir().expect("a directory");
        let file = data.path().join("secret");
        for damaged in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
            std::fs::write(&file, damaged).expect("written");
            let error = find(SecretSource::Data, Some(data.path())).expect_err("damaged").to_string();
            assert!(error.contains("64 hexadecimal digits") && error.contains("secret"), "{error}");
            assert_eq!(std::fs::read_to_string(&file).expect("there"), damaged);
        }
    }

    #[test]
    fn whoever_only_looks_makes_none() {
        let data = tempfile::tempdir().expect("a directory");
        let error = existing(SecretSource::Data, data.path()).expect_err("absent").to_string();
        assert!(error.contains("no such file") && !data.path().join("secret").exists(), "{error}");
        find(SecretSource::Data, Some(data.path())).expect("made");
        existing(SecretSource::Data, data.path()).expect("found");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = find(SecretSource::File("nowhere/secret".into()), None).expect_err("absent").to_string();
        assert!(error.contains("nowhere/secret"), "{error}");
    }
}
