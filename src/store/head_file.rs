//! The side file `head`: what had been committed, said outside the database, so that a journal that lost its end is not taken for a
//! shorter one. A thread writes it at most once a second, away from the committer; what it lags behind is what a loss could
//! hide.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::store::guard::refused;
use crate::store::{Head, StoreError};

const NAME: &str = "head";
const VERSION: u8 = 1;
/// Version, number, hash, and the beginning of a digest of these.
const BYTES: usize = 1 + 8 + 32 + 8;
const EVERY: Duration = Duration::from_secs(1);

/// The head that is known to have been committed; `None` if nothing is known.
pub(super) fn read(directory: &Path) -> Result<Option<Head>, StoreError> {
    let path = directory.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("read the head file", &error)),
    };
    let head = decoded(&bytes).ok_or_else(|| {
        StoreError::Damaged(format!(
            "{} cannot be read, so nobody knows how long the journal was; if the journal is known to be whole, move that \
             file away, or start with --accept-loss",
            path.display()
        ))
    })?;
    Ok(Some(head))
}

/// Writes beside, syncs, and renames over: at every moment one whole file is there.
pub(super) fn write(directory: &Path, head: Head) -> Result<(), StoreError> {
    let step = || {
        let beside = directory.join("head.new");
        let mut file = File::create(&beside)?;
        file.write_all(&encoded(head))?;
        file.sync_all()?;
        fs::rename(&beside, directory.join(NAME))?;
        File::open(directory)?.sync_all()
    };
    step().map_err(|error: std::io::Error| refused("write the head file", &error))
}

/// The head that is known to have been committed. A file that cannot be read is set aside where a loss is accepted.
pub(super) fn known(directory: &Path, accept_loss: bool, notes: &mut Vec<String>) -> Result<Option<Head>, StoreError> {
    match read(directory) {
        Err(StoreError::Damaged(_)) if accept_loss => set_aside(directory, notes),
        known => known,
    }
}

/// Moves the file away, to a name that says why; from then on nothing is known.
pub(super) fn set_aside(directory: &Path, notes: &mut Vec<String>) -> Result<Option<Head>, StoreError> {
    let path = directory.join(NAME);
    if path.exists() {
        let aside = free_name(directory, "head.before-loss");
        fs::rename(&path, &aside).map_err(|error| refused("set the head file aside", &error))?;
        notes.push(format!("the loss was accepted; the head file is kept as {}", aside.display()));
    }
    Ok(None)
}

/// The first of `stem-1`, `stem-2`, … that is not there: nothing is ever overwritten.
pub(super) fn free_name(directory: &Path, stem: &str) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let path = directory.join(format!("{stem}-{number}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

fn encoded(head: Head) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(head.number.to_le_bytes());
    bytes.extend(head.hash);
    bytes.extend_from_slice(&blake3::hash(&bytes).as_bytes()[..8]);
    bytes
}

fn decoded(bytes: &[u8]) -> Option<Head> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let number = u64::from_le_bytes(bytes[1..9].try_into().ok()?);
    let head = Head { number, hash: bytes[9..41].try_into().ok()? };
    (encoded(head) == bytes).then_some(head)
}

/// The thread that keeps the file up to date.
#[derive(Debug)]
pub(super) struct HeadWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

#[derive(Debug)]
struct Shared {
    /// Held for a moment only, never while the file is written.
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug)]
struct Wanted {
    head: Head,
    written: Option<Head>,
    /// Whether the thread waits for a head to write: else it looks by itself, and waking it for each commit costs more than the lock.
    idle: bool,
    stop: bool,
}

impl HeadWriter {
    /// Starts with what the file says now.
    pub(super) fn start(directory: &Path, head: Head, written: Option<Head>) -> Result<Self, StoreError> {
        let wanted = Mutex::new(Wanted { head, written, idle: false, stop: false });
        let shared = Arc::new(Shared { wanted, changed: Condvar::new() });
        let (directory, theirs) = (directory.to_path_buf(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("head file".into())
            .spawn(move || theirs.run(&directory))
            .map_err(|error| refused("start the head file's thread", &error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Says that blocks up to this one are on disk.
    pub(super) fn committed(&self, head: Head) {
        let mut wanted = self.shared.lock();
        wanted.head = head;
        if wanted.idle {
            self.shared.changed.notify_one();
        }
    }

    /// Writes the last head and ends the thread. The second call does nothing.
    pub(super) fn stop(&self) -> Result<(), StoreError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // Nothing that can panic runs under this lock.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, directory: &Path) -> Result<(), StoreError> {
        loop {
            let waits = |wanted: &mut Wanted| {
                wanted.idle = !wanted.stop && wanted.written == Some(wanted.head);
                wanted.idle
            };
            let wanted = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
            let (head, stop, due) = (wanted.head, wanted.stop, wanted.written != Some(wanted.head));
            drop(wanted);
            let result = if due { write(directory, head) } else { Ok(()) };
            match &result {
                Ok(()) => self.lock().written = Some(head),
                Err(error) => tracing::warn!(%error, "the head file was not written; trying again"),
            }
            if stop {
                return result;
            }
            let pause = self.changed.wait_timeout_while(self.lock(), EVERY, |wanted| !wanted.stop);
            drop(pause);
        }
    }
}
