//! What opening a store on disk gives, whichever it is.

/// An open store.
#[derive(Debug)]
pub struct Opened<S> {
    /// The store, whole.
    pub store: S,
    /// What was out of order and what was done about it, one sentence each; nearly always empty.
    pub notes: Vec<String>,
}

impl<S> Opened<S> {
    /// The store; what opening did is logged.
    #[must_use]
    pub fn store_with_notes_logged(self) -> S {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        self.store
    }
}
