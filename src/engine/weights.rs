//! How much of what was counted counts now: decisions whose rewards may still come, and what was seen long ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{GoalKind, Slot, Span, Timestamp};
use crate::engine::contribution::Change;
use crate::engine::definition::{Delay, HalfLife};
use crate::engine::experiment::Active;
use crate::engine::segment::{Place, Tallies};
use crate::engine::settings::Settings;
use crate::policy::Arm;
use crate::policy::price::{Batch, Budget, Price};
use crate::posterior::bucket::Bucket;
use crate::posterior::delay::{Curves, Delays};
use crate::posterior::forgetting::Scores;
use crate::posterior::weighing::{Open, Weighing, effective_exposures, weigh};

/// How much earlier than the newest event another may be without a clock having been set: threads overtake each other by
/// milliseconds, and what waits for a store that refuses is written before what came after it. Ages are known to an hour at best.
const OUT_OF_ORDER_MAX: Span = Span::HOUR;

/// Of one epoch: what time it is, by its events and never by a clock, and how long rewards of the primary goal take.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    newest: AtomicU64,
    delays: Mutex<Option<Delays>>,
}

impl Timing {
    pub(crate) fn newest(&self) -> Timestamp {
        Timestamp::from_millis(self.newest.load(Ordering::Relaxed))
    }

    /// Something happens now. For the writer alone. What happens long before the newest event says that a clock had run ahead
    /// and was set right: then the time is what it is now, or everything learned would be as old as that clock was wrong.
    pub(crate) fn saw(&self, at: Timestamp) {
        let newest = self.newest();
        if at > newest || newest.since(at) > OUT_OF_ORDER_MAX {
            self.newest.store(at.as_millis(), Ordering::Relaxed);
        }
    }

    /// A reward of the primary goal came in time, whatever its value: how long it took, [`Self::changed`] says.
    pub(crate) fn saw_reward(&self, window: Span, at: Timestamp) {
        self.delays().get_or_insert_with(|| Delays::new(window)).advance(at);
    }

    /// Something else happened that can make a reward count.
    pub(crate) fn saw_activation(&self, at: Timestamp) {
        if let Some(delays) = &mut *self.delays() {
            delays.advance(at);
        }
    }

    /// What a decision comes to for the primary goal has changed, and with it how long that took.
    pub(crate) fn changed(&self, window: Span, place: Place, change: &Change) {
        let mut delays = self.delays();
        let delays = delays.get_or_insert_with(|| Delays::new(window));
        if let Some(before) = change.before {
            delays.take_back(place.variation, place.decided, before.delay);
        }
        if let Some(after) = change.after {
            delays.add(place.variation, place.decided, after.delay);
        }
    }

    pub(crate) fn delays(&self) -> MutexGuard<'_, Option<Delays>> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How tallies of an epoch are weighed at one moment.
pub(crate) struct Weights<'a> {
    settings: &'a Settings,
    now: Timestamp,
    open: Kind,
    half_life: HalfLife,
    /// What `auto` picked from all segments together, where they are looked at together.
    picked: Option<Option<Span>>,
    together: Option<Scores>,
}

enum Kind {
    Counts,
    Waits(Span),
    Share(Box<Curves>),
}

impl<'a> Weights<'a> {
    /// As things are now. What `auto` picked is taken from the fit of all segments where there is one.
    pub(crate) fn of(active: &'a Active) -> Self {
        let settings = &*active.settings;
        let timing = &active.current().timing;
        let now = timing.newest();
        let goal = settings.primary_goal();
        let open = match goal.delay {
            Delay::None => Kind::Counts,
            Delay::Wait => Kind::Waits(goal.window),
            Delay::Survival => Kind::Share(Box::new(match &*timing.delays() {
                Some(delays) => Curves::estimate(delays, now, goal.typical_delay),
                None => Curves::configured(goal.window, goal.typical_delay),
            })),
        };
        let picked = active.fitted().map(|fitted| fitted.computed.half_life);
        Self { settings, now, open, half_life: settings.definition.policy.half_life, picked, together: None }
    }

    /// Lets one more segment have its say in what `auto` picks from all together.
    pub(crate) fn look_at(&mut self, buckets: &[Bucket]) {
        if self.half_life == HalfLife::Auto {
            let own = self.scores(buckets);
            match &mut self.together {
                Some(scores) => scores.add(own),
                None => self.together = Some(own),
            }
        }
    }

    /// With what all that were looked at pick.
    pub(crate) fn picked(mut self) -> Self {
        self.picked = Some(self.together.take().and_then(Scores::best));
        self
    }

    /// The half-life that segments are weighed by; `None` where nothing is forgotten.
    pub(crate) fn half_life(&self, buckets: &[Bucket]) -> Option<Span> {
        match (self.half_life, self.picked) {
            (HalfLife::Off, _) => None,
            (HalfLife::Fixed(span), _) => Some(span),
            (HalfLife::Auto, Some(picked)) => picked,
            (HalfLife::Auto, None) => self.scores(buckets).best(),
        }
    }

    /// Effective counts of a segment, in order of keys, and how many events they are where some are forgotten, whether their rewards
    /// may still come or not.
    pub(crate) fn arms(&self, tallies: &Tallies) -> (Vec<Arm>, Option<u64>) {
        let buckets = tallies.learning.as_slice();
        let (goal, kind, slots) = (self.settings.primary(), self.settings.primary_kind(), self.settings.slots_by_key());
        let weighing = Weighing { half_life: self.half_life(buckets), open: self.open() };
        if matches!(weighing, Weighing { half_life: None, open: Open::Counts }) {
            // The sum of all buckets is kept: most experiments need no more.
            let arm = |slot: &Slot| total(tallies, *slot, goal, kind);
            return (slots.iter().map(arm).collect(), None);
        }
        let arms = weigh(buckets, slots, goal, kind, self.now, weighing);
        let effective = weighing.half_life.map(|_| {
            let kept = weigh(buckets, slots, goal, kind, self.now, Weighing { open: Open::Counts, ..weighing });
            let events: f64 = kept.iter().map(|arm| arm.exposures + arm.conversions).sum();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of events")]
            let events = events as u64;
            events
        });
        (arms, effective)
    }

    /// Exposures that a report's numbers rest on.
    pub(crate) fn effective_exposures(&self, tallies: &Tallies) -> f64 {
        let buckets = tallies.learning.as_slice();
        let weighing = Weighing { half_life: self.half_life(buckets), open: self.open() };
        effective_exposures(buckets, self.now, weighing)
    }

    /// What spending costs beyond itself, by what was spent so far; nothing where there is no budget.
    /// `own` are the tallies that are asked for: those of all segments, already locked, where one allocation serves them.
    pub(crate) fn price(&self, active: &Active, own: &Tallies) -> Price {
        let (Some(budget), Some(all)) = (self.settings.definition.budget, active.all()) else { return Price::NONE };
        let locked;
        let tallies = if self.settings.pools() {
            own
        } else {
            locked = all.tallies();
            &*locked
        };
        let weighing = Weighing { half_life: None, open: self.open() };
        let batch = |bucket: &Bucket| Batch {
            visitors: effective_exposures(std::slice::from_ref(bucket), self.now, weighing),
            spent: active.spent(&bucket.tally),
        };
        let plan = Budget { amount: budget.amount, visitors: budget.visitors as f64 };
        plan.price(tallies.learning.as_slice().iter().map(batch))
    }

    fn scores(&self, buckets: &[Bucket]) -> Scores {
        let prior = self.settings.policy().prior();
        Scores::of(buckets, self.settings.slots_by_key(), self.settings.primary(), self.now, self.open(), prior)
    }

    fn open(&self) -> Open<'_> {
        match &self.open {
            Kind::Counts => Open::Counts,
            Kind::Waits(window) => Open::Waits(*window),
            Kind::Share(curves) => Open::Share(curves),
        }
    }
}

fn total(tallies: &Tallies, slot: Slot, goal: Slot, kind: GoalKind) -> Arm {
    let tally = &tallies.learning_total;
    let (exposures, conversions) = (tally.exposures(slot) as f64, tally.conversions(slot, goal) as f64);
    match kind {
        GoalKind::Conversion => Arm::converting(exposures, conversions),
        GoalKind::Revenue | GoalKind::Count => {
            let moments = tally.moments(slot, goal);
            Arm { exposures, conversions, sum: moments.sum as f64, squares: moments.squares as f64 }
        }
    }
}
