//! Every call into an embedded database goes through here: what it panics on comes back as an error, and its errors are told
//! by what the caller can do about them.

use std::cell::Cell;
use std::io;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use crate::store::StoreError;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What an embedded database says when it fails.
pub(super) trait Failure {
    /// The database's name, for messages.
    const DATABASE: &'static str;

    /// What the caller of a store can do about it.
    fn translated(self, action: &'static str) -> StoreError;
}

/// Calls a database. A panic is damage: it asserts what it finds on disk. Whatever the work may have left half-done in memory
/// is not used again: a store that could not change is not changed until it is opened anew, one that could not open is
/// dropped.
pub(super) fn guarded<T, E: Failure>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    quiet_when_asked();
    QUIET.set(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    match result {
        Ok(result) => result.map_err(|error| error.translated(action)),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(StoreError::Damaged(format!("{} panicked when asked to {action}: {message}", E::DATABASE)))
        }
    }
}

/// An error of the file system, outside any database.
pub(super) fn refused(action: &'static str, error: &io::Error) -> StoreError {
    StoreError::Unavailable { action, detail: error.to_string() }
}

/// An error of the file system, as a database passed it on.
pub(super) fn passed_on<E: Failure>(action: &'static str, error: &io::Error) -> StoreError {
    // What the system says of the medium has a number, or kept its kind where it was copied. What the database or the standard
    // library made up while reading has neither, and an invalid argument is an offset read from damaged bytes.
    let copied =
        [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied];
    match error.raw_os_error().is_some() && error.kind() != ErrorKind::InvalidInput || copied.contains(&error.kind()) {
        true => refused(action, error),
        false => damaged::<E>(action, error),
    }
}

/// What a database says of bytes that it cannot have written.
pub(super) fn damaged<E: Failure>(action: &'static str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{} could not {action}: {error}", E::DATABASE))
}

/// Whoever else holds the medium keeps this opening out.
pub(super) fn held(action: &'static str) -> StoreError {
    StoreError::Unavailable { action, detail: "another process, or another store of this one, has it open".into() }
}

/// Closed, or between two openings.
pub(super) fn not_open(action: &'static str) -> StoreError {
    StoreError::Unavailable { action, detail: "it is closed".into() }
}

/// No change is taken after one of unknown fate.
pub(super) fn uncertain(action: &'static str) -> StoreError {
    let detail = "an earlier change failed and may or may not be on disk; it must be opened anew first".into();
    StoreError::Unavailable { action, detail }
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
