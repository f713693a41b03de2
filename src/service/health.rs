//! Whether the service can record, and if not, why: for `/readyz`, and for decisions to answer at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by the committer, which sets it, and everyone who asks.
#[derive(Debug, Default)]
pub struct Health {
    failing: AtomicBool,
    reason: Mutex<Option<String>>,
    exposures_lost: AtomicU64,
}

impl Health {
    /// Why nothing can be recorded; `None` if it can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        // The flag spares every decision the lock.
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the last attempt to record failed. Decisions then answer the default at once; the committer tries again every
    /// second, and the first success ends this.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Exposures that were answered and could not be recorded.
    #[must_use]
    pub fn exposures_lost(&self) -> u64 {
        self.exposures_lost.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, trouble: Option<String>) {
        let failing = trouble.is_some();
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        self.failing.store(failing, Ordering::Relaxed);
    }

    pub(crate) fn count_lost(&self, exposures: u64) {
        self.exposures_lost.fetch_add(exposures, Ordering::Relaxed);
    }
}
