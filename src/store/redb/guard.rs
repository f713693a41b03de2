//! Every call into redb goes through here.

use crate::store::StoreError;
use crate::store::guard::{self, Failure};

/// Calls redb. See [`guard::guarded`].
pub(super) fn guarded<T>(action: &'static str, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    guard::guarded(action, work)
}

impl Failure for redb::Error {
    const DATABASE: &'static str = "redb";

    fn translated(self, action: &'static str) -> StoreError {
        if matches!(self, Self::DatabaseAlreadyOpen | Self::LockProtocolMismatch) {
            return guard::held(action);
        }
        // After an error of the medium redb does nothing more until it is opened anew.
        if matches!(self, Self::PreviousIo | Self::DatabaseClosed) {
            return StoreError::Unavailable { action, detail: self.to_string() };
        }
        if let Self::Io(io) = self {
            return guard::passed_on::<Self>(action, &io);
        }
        guard::damaged::<Self>(action, self)
    }
}
