//! When what was computed from evidence is due again: once the evidence has grown by a part of itself (STATISTICS §18).

use crate::engine::definition::Delay;
use crate::engine::settings::Settings;

/// By which part evidence must grow, and of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// One in so many.
    parts: u64,
    /// Rewards of what was counted may still come.
    open: bool,
}

/// Counts at which something is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Due {
    events: u64,
    conversions: u64,
}

/// What has been counted: exposures and conversions together, and conversions alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) events: u64,
    pub(crate) conversions: u64,
}

impl Growth {
    pub(crate) fn of(settings: &Settings, parts: u64) -> Self {
        Self { parts, open: settings.primary_goal().delay != Delay::None }
    }
}

impl Due {
    /// At the next event.
    pub(crate) const NOW: Self = Self { events: 0, conversions: 0 };

    /// After something was computed from so many events, which count for `effective` where some are forgotten. While they are few,
    /// every event makes it due.
    ///
    /// Where rewards may still come, new exposures say next to nothing yet, and are measured against all that were counted: against
    /// the few that are known they would make it due with every commit for as long as a window is. Conversions say at once what
    /// they have to say, and are measured among themselves, from one rung of a fixed ladder to the next, so that whoever is restored
    /// finds the same one: the first of them matter, however many wait.
    pub(crate) fn after(growth: Growth, evidence: u64, effective: Option<u64>, conversions: u64) -> Self {
        let part = |count: u64| (count / growth.parts).max(1);
        Self {
            events: evidence + part(effective.unwrap_or(evidence)),
            conversions: if growth.open { rung_above(conversions, part) } else { u64::MAX },
        }
    }

    /// The number of events at which it is.
    pub(crate) const fn at_events(self) -> u64 {
        self.events
    }

    /// The number of conversions at which it is; `None` where they do not make it due by themselves.
    pub(crate) fn at_conversions(self) -> Option<u64> {
        (self.conversions < u64::MAX).then_some(self.conversions)
    }

    /// Whether it is.
    pub(crate) const fn is(self, counted: Counted) -> bool {
        counted.events >= self.events || counted.conversions >= self.conversions
    }
}

/// Each rung stands a part of the one below above it: some hundred steps for a few hundred conversions, a thousand for millions.
fn rung_above(count: u64, part: impl Fn(u64) -> u64) -> u64 {
    let mut rung = 0;
    while rung <= count {
        rung += part(rung);
    }
    rung
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(growth: Growth, counted: impl Iterator<Item = Counted>) -> usize {
        let mut due = Due::NOW;
        let mut times = 0;
        for counted in counted {
            if due.is(counted) {
                times += 1;
                due = Due::after(growth, counted.events, None, counted.conversions);
            }
        }
        times
    }

    #[test]
    fn exposures_that_wait_for_their_rewards_make_as_little_due_as_others() {
        let exposures = || (1..=100_000).map(|events| Counted { events, conversions: 0 });
        let open = times(Growth { parts: 100, open: true }, exposures());
        assert_eq!(open, times(Growth { parts: 100, open: false }, exposures()));
        // 199 while one is a part, then a hundredth more each time.
        assert!((750..900).contains(&open), "{open}");
    }

    #[test]
    fn the_first_conversions_among_many_exposures_make_due_at_once_and_later_ones_as_they_grow() {
        let conversions = || (1..=1_000).map(|conversions| Counted { events: 1_000_000 + conversions, conversions });
        let growth = Growth { parts: 10, open: true };
        let mut due = Due::after(growth, 1_000_000, None, 0);
        for counted in conversions().take(20) {
            assert!(due.is(counted), "{counted:?}");
            due = Due::after(growth, counted.events, None, counted.conversions);
        }
        // 19 while one is a part, then a tenth more each time.
        assert!((55..65).contains(&times(growth, conversions())), "{}", times(growth, conversions()));
        let known = Due::after(Growth { open: false, ..growth }, 1_000_000, None, 0);
        assert!(
            !conversions().any(|counted| known.is(counted)),
            "a million events are known: a thousand more change little"
        );
    }

    #[test]
    fn what_is_forgotten_does_not_keep_from_growing() {
        let growth = Growth { parts: 100, open: false };
        let due = Due::after(growth, 1_000_000, Some(5_000), 0);
        let is = |events| due.is(Counted { events, conversions: 0 });
        assert!(!is(1_000_049) && is(1_000_050));
    }
}
