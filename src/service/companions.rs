//! Companions of counted decisions, found and taken out by visitor. There is no index of them, which would cost every decision; who asks
//! for a visitor reads all of them, which is seldom and bounded by retention.

use std::collections::{BTreeSet, VecDeque};

use crate::domain::{Context, VisitorToken};
use crate::engine::Engine;
use crate::engine::event::DecisionRecord;
use crate::store::record::{self, Companion};
use crate::store::{Row, Space, Store, StoreError};

/// Rows that are read, and rewritten, at once.
const AT_ONCE: usize = 500;
/// Most companions of a visitor that are told, the newest; all are counted.
pub const TOLD_MAX: usize = 1_000;

/// Companions of a visitor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KnownContexts {
    /// How many there are.
    pub count: usize,
    /// The newest of them, oldest first.
    pub newest: Vec<KnownContext>,
}

/// What was known of a visitor at a decision that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownContext {
    /// The id it was decided for under.
    pub visitor: String,
    /// The decision.
    pub record: DecisionRecord,
    /// What was known; `None` where it was too long to be kept.
    pub context: Option<Context<'static>>,
}

/// Whose a companion is: theirs for whom it was decided, and theirs whose id was given. These are two where an id was joined to a
/// visitor, whose profile was looked at, and to another one since.
pub(crate) struct Theirs<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) visitors: &'a BTreeSet<VisitorToken>,
}

impl Theirs<'_> {
    fn is(&self, token: VisitorToken, visitor: &str) -> bool {
        self.visitors.contains(&token) || self.visitors.contains(&self.engine.token(visitor))
    }
}

/// Finds what is kept of visitors.
pub(crate) fn contexts_of(store: &dyn Store, theirs: &Theirs<'_>) -> Result<KnownContexts, StoreError> {
    let mut newest = VecDeque::new();
    let mut count = 0;
    each_row(store, |key, value| {
        for companion in record::decode_companions(key, value)? {
            if theirs.is(companion.token, &companion.visitor) {
                count += 1;
                newest.push_back(companion);
                if newest.len() > TOLD_MAX {
                    newest.pop_front();
                }
            }
        }
        Ok(None)
    })?;
    let mut told = Vec::with_capacity(newest.len());
    for Companion { block, index, visitor, context, .. } in newest {
        let Some(block) = store.blocks(block).next() else { continue };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(event) = record::decode_events(block?.payload()).nth(index)
            && let Some(record) = event?.decision()
        {
            told.push(KnownContext { visitor, record: record.clone(), context });
        }
    }
    Ok(KnownContexts { count, newest: told })
}

/// Takes out what is kept of visitors; says how many companions went. Stopped in the middle, it can be begun again. Not by two
/// at once: each writes what it read.
pub(crate) fn erase(store: &dyn Store, theirs: &Theirs<'_>) -> Result<usize, StoreError> {
    let mut count = 0;
    each_row(store, |key, value| {
        let left = record::without_visitors(key, value, |token, visitor| theirs.is(token, visitor))?;
        Ok(left.map(|(row, gone)| {
            count += gone;
            row
        }))
    })?;
    Ok(count)
}

/// Shows every row; what comes back takes its place.
fn each_row(
    store: &dyn Store,
    mut look: impl FnMut(&[u8], &[u8]) -> Result<Option<Row>, StoreError>,
) -> Result<(), StoreError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.rows(Space::Companion, &[], after.as_deref(), AT_ONCE)?;
        let mut changed = Vec::new();
        for (key, value) in &rows {
            changed.extend(look(key, value)?);
        }
        if !changed.is_empty() {
            store.append(&[], &changed)?;
        }
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = Some(last.clone());
    }
}
