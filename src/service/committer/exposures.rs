//! Exposures of one request, on their way together.

use crate::domain::{Timestamp, VisitorToken};
use crate::engine::event::{DecisionRecord, Own};
use crate::store::record::{About, EncodedContext};

/// Most kinds that are looked through before one is shown again: those of a segment are few.
const MAX_KINDS: usize = 16;

/// Exposures of one request that [are alike](DecisionRecord::is_like), nothing excluded. Each is one event.
pub(crate) struct Exposures {
    /// The first of them.
    record: DecisionRecord,
    each: Vec<One>,
    /// The ids of their visitors, one behind the other.
    visitors: String,
    /// What was known of them, and from which exposure on.
    contexts: Vec<(usize, EncodedContext)>,
}

/// What an exposure has of its own.
struct One {
    own: Own,
    /// Whom it was for, and where its id ends among all, if a companion goes with it.
    visitor: Option<(VisitorToken, usize)>,
}

/// Exposures of which nothing differs but the bits of their ids.
struct Kind {
    own: Own,
    at: Timestamp,
    times: u32,
}

impl Exposures {
    /// One that [others can be like](DecisionRecord::is_like), with room for so many more.
    pub(super) fn beginning(record: &DecisionRecord, about: Option<About<'_>>, room: usize) -> Self {
        let mut exposures = Self {
            record: record.clone(),
            each: Vec::with_capacity(1 + room),
            visitors: String::new(),
            contexts: Vec::new(),
        };
        exposures.push(record, about);
        exposures
    }

    /// How many they are.
    pub(super) const fn count(&self) -> usize {
        self.each.len()
    }

    /// Whether one is like the first.
    pub(super) fn takes(&self, record: &DecisionRecord) -> bool {
        self.record.is_like(record)
    }

    /// Adds one that it [takes](Self::takes).
    pub(super) fn push(&mut self, record: &DecisionRecord, about: Option<About<'_>>) {
        let visitor = about.map(|About { token, visitor, context }| {
            if !self.contexts.last().is_some_and(|(_, last)| last.is(context)) {
                self.contexts.push((self.each.len(), context.clone()));
            }
            self.visitors.push_str(visitor);
            (token, self.visitors.len())
        });
        self.each.push(One { own: record.own(), visitor });
    }

    /// Gives back memory where much is not needed.
    pub(super) fn give_back_room(&mut self) {
        if self.each.capacity() > 2 * self.each.len() {
            self.each.shrink_to_fit();
        }
    }

    /// Shows them one after the other.
    pub(super) fn for_each<'e>(&'e self, mut show: impl FnMut(&DecisionRecord, Option<About<'e>>)) {
        let mut record = self.record.clone();
        let mut contexts = self.contexts.iter().peekable();
        let (mut context, mut start) = (None, 0);
        for (index, One { own, visitor }) in self.each.iter().enumerate() {
            if let Some((_, next)) = contexts.next_if(|(from, _)| *from == index) {
                context = Some(next);
            }
            let about = visitor.zip(context).map(|((token, end), context)| {
                let visitor = &self.visitors[std::mem::replace(&mut start, end)..end];
                About { token, visitor, context }
            });
            record.become_another(*own);
            show(&record, about);
        }
    }

    /// Shows all but the last, those that count as the same once, and how many they are: it may show them again. Then the last, which it says
    /// is: whatever order the others were shown in, all that came before it is then counted.
    pub(super) fn for_each_kind(&self, mut show: impl FnMut(&DecisionRecord, u32, bool)) {
        let Some((last, before)) = self.each.split_last() else { return };
        let mut kinds: Vec<Kind> = Vec::new();
        for One { own, .. } in before {
            let at = own.decision.time();
            let is_same = |kind: &&mut Kind| {
                (kind.own.variation, kind.own.propensity.to_bits(), kind.at)
                    == (own.variation, own.propensity.to_bits(), at)
            };
            let newest = kinds.len().saturating_sub(MAX_KINDS);
            match kinds[newest..].iter_mut().find(is_same) {
                Some(kind) => kind.times += 1,
                None => kinds.push(Kind { own: *own, at, times: 1 }),
            }
        }
        let mut record = self.record.clone();
        for Kind { own, times, .. } in kinds {
            record.become_another(own);
            show(&record, times, false);
        }
        record.become_another(last.own);
        show(&record, 1, true);
    }
}

#[cfg(test)]
mod tests;
