//! Every call into sled goes through here: what it panics on comes back as an error, and its errors are told by what the
//! caller can do about them.

use std::cell::Cell;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use crate::store::StoreError;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls sled. A panic is damage: sled asserts what it finds on disk. Whatever the work may have left half-done in memory
/// is not used again: a store that could not read is not written (see `Uncertain`), one that could not open is dropped.
pub(super) fn guarded<T>(action: &'static str, work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    quiet_when_asked();
    QUIET.set(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    match result {
        Ok(result) => result.map_err(|error| translated(action, error)),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(StoreError::Damaged(format!("sled panicked when asked to {action}: {message}")))
        }
    }
}

/// An error of the file system, outside sled.
pub(super) fn refused(action: &'static str, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable { action, detail: error.to_string() }
}

/// Whether sled failed because another process, or a store of this process that was not closed, holds the directory.
pub(super) fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

fn translated(action: &'static str, error: sled::Error) -> StoreError {
    if is_locked(&error) {
        let detail = "another process, or another store of this one, has it open".into();
        return StoreError::Unavailable { action, detail };
    }
    match error {
        // What the system says of the medium. What sled or the standard library made up while reading has no number, and
        // an invalid argument is an offset read from damaged bytes.
        sled::Error::Io(io) if io.raw_os_error().is_some() && io.kind() != ErrorKind::InvalidInput => {
            refused(action, &io)
        }
        sled::Error::Io(io) => StoreError::Damaged(format!("sled could not {action}: {io}")),
        sled::Error::Corruption { .. }
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Damaged(format!("sled could not {action}: {error}")),
    }
}

/// A panic that is caught and reported as an error need not be printed as well. The hook that was there goes on serving
/// every other panic.
fn quiet_when_asked() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
}
