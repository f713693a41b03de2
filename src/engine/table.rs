//! Concurrent maps behind verbs of the domain. The one file that knows `DashMap`: each shard has a read-write lock, held
//! only inside these methods, so that no guard ever escapes or meets an `await`.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;

/// Values by key, shared. Readers of different shards never meet; readers of one shard do not exclude each other.
pub(crate) struct Table<K, V>(DashMap<K, Arc<V>, foldhash::fast::RandomState>);

impl<K: Eq + Hash + Ord + Clone, V> Table<K, V> {
    pub(crate) fn new() -> Self {
        // Few shards: there are many tables (one per experiment and epoch) and writes come from one thread.
        Self(DashMap::with_hasher_and_shard_amount(foldhash::fast::RandomState::default(), 4))
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|value| Arc::clone(&value))
    }

    /// Calls a function with the value, sparing the count of a reference.
    #[inline]
    pub(crate) fn with<Q: Eq + Hash + ?Sized, R>(&self, key: &Q, read: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|entry| read(entry.key(), entry.value()))
    }

    pub(crate) fn insert(&self, key: K, value: Arc<V>) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.0.remove(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All values in order of their keys: whatever is derived from them must not depend on the order of a hash.
    pub(crate) fn sorted(&self) -> Vec<Arc<V>> {
        let mut all: Vec<(K, Arc<V>)> = self.0.iter().map(|e| (e.key().clone(), Arc::clone(e.value()))).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, value)| value).collect()
    }
}

impl<K, V> std::fmt::Debug for Table<K, V>
where
    K: Eq + Hash + Ord + Clone,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table of {}", self.len())
    }
}
