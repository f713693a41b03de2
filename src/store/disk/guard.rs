//! Every call into sled goes through here.

use crate::store::StoreError;
use crate::store::guard::{self, Failure};

/// Calls sled. See [`guard::guarded`].
pub(super) fn guarded<T>(action: &'static str, work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    guard::guarded(action, work)
}

/// Whether sled failed because another process, or a store of this process that was not closed, holds the directory.
pub(super) fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

impl Failure for sled::Error {
    const DATABASE: &'static str = "sled";

    fn translated(self, action: &'static str) -> StoreError {
        if is_locked(&self) {
            return guard::held(action);
        }
        match self {
            Self::Io(io) => guard::passed_on::<Self>(action, &io),
            error @ (Self::Corruption { .. }
            | Self::CollectionNotFound(_)
            | Self::Unsupported(_)
            | Self::ReportableBug(_)) => guard::damaged::<Self>(action, error),
        }
    }
}
