//! Profiles in memory, within a bound of bytes. Where nobody has one, nothing is looked up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::context::Value;
use crate::domain::{Context, VisitorToken};
use crate::service::visitors::Visitors;
use crate::store::record::profile::{decode_profile, profile_of};
use crate::store::{Space, Store, StoreError};

/// Memory for each of the visitors that may be held; a longer profile takes the place of several.
const BYTES_OF_EACH: u64 = 1_024;
/// What an attribute takes beside its texts, and a visitor beside its attributes.
const BYTES_BESIDE: usize = 64;

/// What a visitor's profile says; `None` where it has none.
type Said = Option<Arc<Context<'static>>>;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<VisitorToken, Said> for Bytes {
    fn weight(&self, _: &VisitorToken, said: &Said) -> u64 {
        let text = |value: &Value<'_>| if let Value::Text(text) = value { text.len() } else { 0 };
        let attributes = said.iter().flat_map(|said| said.iter());
        let bytes: usize = attributes.map(|(name, value)| BYTES_BESIDE + name.len() + text(value)).sum();
        (BYTES_BESIDE + bytes) as u64
    }
}

pub(super) struct Profiles {
    cache: Cache<VisitorToken, Said, Bytes>,
    /// Whether there has been any.
    any: AtomicBool,
}

impl Profiles {
    pub(super) fn of(store: &dyn Store, visitors: usize) -> Result<Self, StoreError> {
        let any = !store.rows(Space::Profile, &[], None, 1)?.is_empty();
        let cache = Cache::with_weighter(visitors, visitors as u64 * BYTES_OF_EACH, Bytes);
        Ok(Self { cache, any: AtomicBool::new(any) })
    }

    /// What is held of visitors is true no more.
    pub(super) fn forget(&self, visitors: impl IntoIterator<Item = VisitorToken>) {
        for visitor in visitors {
            self.cache.remove(&visitor);
        }
    }

    pub(super) fn saved(&self, visitor: VisitorToken) {
        self.any.store(true, Ordering::SeqCst);
        self.forget([visitor]);
    }
}

impl Visitors {
    /// Whether anybody may have a profile.
    pub(crate) fn have_profiles(&self) -> bool {
        self.profiles.any.load(Ordering::Relaxed)
    }

    /// Who a visitor turned out to be, and what that one's profile says.
    pub(crate) fn profile(&self, visitor: VisitorToken) -> Result<(VisitorToken, Said), StoreError> {
        let visitor = self.known_as(visitor)?;
        if let Some(said) = self.profiles.cache.get(&visitor) {
            return Ok((visitor, said));
        }
        let before = self.changes.load(Ordering::SeqCst);
        let saved = profile_of(&*self.store, visitor)?.map(|value| decode_profile(&value)).transpose()?;
        let said = saved.map(|saved| Arc::new(saved.attributes));
        self.profiles.cache.insert(visitor, said.clone());
        self.recheck(before, || {
            self.profiles.cache.remove(&visitor);
        });
        Ok((visitor, said))
    }
}
