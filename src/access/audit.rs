//! The audit log: who changed what, a line each, in a file of its own that is bounded.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Its name in the data directory.
pub const NAME: &str = "audit.jsonl";
/// Bytes after which a new file is begun.
const MAX_BYTES: u64 = 16 << 20;
/// Older files that are kept, as `audit.jsonl.1` (the newest) and so on.
const OLDER: u32 = 4;

/// Where changes are told.
#[derive(Debug, Default)]
pub struct Audit {
    path: Option<PathBuf>,
    open: Mutex<Option<Open>>,
    most: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Audit {
    /// In a file, whose directory must be there once something changes.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self::bounded(path, MAX_BYTES)
    }

    const fn bounded(path: PathBuf, most: u64) -> Self {
        Self { path: Some(path), open: Mutex::new(None), most }
    }

    /// Adds a line. It is not synced: a power cut can take the last ones, and the journal has what they were about.
    ///
    /// # Errors
    /// If the file cannot be written; the next line tries again.
    pub fn write(&self, line: &str) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = match open.take() {
            Some(current) if current.bytes < self.most => current,
            Some(_) => {
                self.rotate()?;
                opened(path)?
            }
            None => opened(path)?,
        };
        // One write: whoever reads meanwhile sees whole lines.
        current.file.write_all(format!("{line}\n").as_bytes())?;
        current.bytes += line.len() as u64 + 1;
        *open = Some(current);
        Ok(())
    }

    fn rotate(&self) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let older = |number: u32| match number {
            0 => path.clone(),
            number => {
                let mut name = path.clone().into_os_string();
                name.push(format!(".{number}"));
                name.into()
            }
        };
        for number in (0..OLDER).rev() {
            match std::fs::rename(older(number), older(number + 1)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn opened(path: &std::path::Path) -> std::io::Result<Open> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file, bytes })
}

#[cfg(test)]
mod tests {
    //! Lines stay, within the bound; what fails once is tried again.

    use super::*;

    #[test]
    fn lines_are_kept_within_the_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        for round in 0..2 {
            let audit = Audit::bounded(path.clone(), 100);
            (0..40).for_each(|number| audit.write(&format!("round {round} line {number:02}")).expect("written"));
        }
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).expect("read").collect();
        assert_eq!(names.len(), 5, "{names:?}");
        names.retain(|entry| entry.as_ref().is_ok_and(|entry| entry.metadata().is_ok_and(|it| it.len() > 200)));
        assert!(names.is_empty(), "{names:?}");
        let newest = std::fs::read_to_string(&path).expect("text");
        assert!(newest.ends_with("round 1 line 39\n"), "{newest}");
    }

    #[test]
    fn what_fails_once_is_tried_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = Audit::at(directory.path().join("later").join(NAME));
        assert!(audit.write("lost, and the caller is told").is_err());
        std::fs::create_dir(directory.path().join("later")).expect("made");
        audit.write("kept").expect("written");
        assert!(Audit::default().write("nowhere").is_ok());
    }
}
