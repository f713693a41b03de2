//! Backups: an archive of a running service's store, and one put into a new store.

use std::io::{Read, Write};

use crate::service::Service;
use crate::service::error::StartError;
use crate::service::rebuild::remake_rows;
use crate::store::Store;
use crate::store::archive::{self, ArchiveError, Archived};

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFailure {
    /// The archive, or the store it goes into.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Making the newest rows anew.
    #[error(transparent)]
    Rows(#[from] StartError),
}

impl Service {
    /// Writes all that is recorded as one archive, while the service goes on; nothing is dropped from the journal meanwhile.
    /// The receipt secret is not in it. Blocks its thread.
    ///
    /// # Errors
    /// [`ArchiveError`]; what was written so far is then no archive.
    pub fn backup(&self, out: &mut dyn Write) -> Result<Archived, ArchiveError> {
        let _nothing_is_dropped = self.dropping.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        archive::write(&*self.store, out)
    }
}

/// Puts an archive into a store that is empty, whatever its kind.
///
/// # Errors
/// [`RestoreFailure`]; the store then holds a part and is to be thrown away.
pub fn restore(input: &mut dyn Read, store: &dyn Store) -> Result<Archived, RestoreFailure> {
    let archived = archive::read(input, store)?;
    // Rows were read before the last blocks: what these left beside the journal is made anew.
    remake_rows(store, archived.fence, &mut |_| {})?;
    Ok(archived)
}
