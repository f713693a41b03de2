//! Layer 5: who may do what. Keys with their roles and origins, and the file that keeps them.
//!
//! Invariant: knows nothing of HTTP, of experiments or of what time it is. A key's secret is there while it is made and while
//! it is compared; what is kept is its hash.

pub mod file;
pub mod key;
mod keys;
mod origin;

use std::sync::Arc;

use crate::access::key::{Key, Role};
pub use crate::access::keys::{KeyError, Keys, Seen};

/// Who needs no key as long as none was ever made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Whoever reaches the port, but for pages of other machines: a page that somebody visits must not reach into a server
    /// that listens on that machine alone.
    Here,
    /// Whoever reaches the port, from any page.
    Everywhere,
    /// Nobody.
    Nobody,
}

/// Decides who is let in.
#[derive(Debug)]
pub struct Access {
    keys: Keys,
    open: Open,
}

/// Who was let in.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Somebody without a key, where none is asked for.
    Anyone,
    /// The holder of a key.
    Holder(Arc<Key>),
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A key is asked for, and none came.
    NoKey,
    /// There is no such key, or not any more.
    UnknownKey,
    /// The key is for pages of other origins.
    Origin,
    /// Without keys, only pages of this machine are let in.
    OriginWithoutKeys,
}

impl Access {
    /// Lets in the holders of these keys, and others where it is open.
    #[must_use]
    pub const fn new(keys: Keys, open: Open) -> Self {
        Self { keys, open }
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether everybody is let in, as no key was ever made.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open != Open::Nobody && !self.keys.are_asked_for()
    }

    /// Who this is. `origin` is the page's that a browser sends from; what is no browser sends none.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, key: Option<&str>, origin: Option<&str>) -> Result<Caller, Denied> {
        if self.is_open() {
            return match origin {
                Some(origin) if self.open == Open::Here && !origin::is_of_this_machine(origin) => {
                    Err(Denied::OriginWithoutKeys)
                }
                Some(_) | None => Ok(Caller::Anyone),
            };
        }
        let key = self.keys.find(key.ok_or(Denied::NoKey)?).ok_or(Denied::UnknownKey)?;
        match origin {
            Some(origin) if !key.is_for(origin) => Err(Denied::Origin),
            Some(_) | None => Ok(Caller::Holder(key)),
        }
    }
}

impl Default for Access {
    /// No keys yet, and open here.
    fn default() -> Self {
        Self::new(Keys::in_memory(), Open::Here)
    }
}

impl Caller {
    /// What it may do.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Anyone => Role::Admin,
            Self::Holder(key) => key.role,
        }
    }
}

#[cfg(test)]
mod tests;
