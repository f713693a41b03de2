//! What a report reads of an experiment: tallies copied, and what the policy's beliefs would be made from now.

use std::sync::Arc;

use crate::domain::{Seed, Span, Timestamp};
use crate::engine::definition::{Delay, HalfLife};
use crate::engine::evidence::Inputs;
use crate::engine::experiment::Active;
use crate::engine::pool::Fitted;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::weights::Weights;
use crate::policy::Evidence;
use crate::policy::price::Price;
use crate::posterior::delay::Comparison;
use crate::posterior::tally::Tally;

/// How an experiment's tallies are read at one moment.
pub struct Reading<'a> {
    active: &'a Active,
    weights: Weights<'a>,
    fitted: Option<Arc<Fitted>>,
    price: Price,
}

/// One segment, read.
#[derive(Debug)]
pub struct SegmentReading {
    /// What trains.
    pub learning: Tally,
    /// The control group's.
    pub control: Tally,
    /// How many exposures the policy's beliefs rest on, where some are forgotten or not yet known.
    pub effective_exposures: Option<f64>,
    /// Exposures whose window for the primary goal is still open, to the bucket.
    pub open_exposures: u64,
    /// By how much of a time what was seen loses half of its weight; `None` where nothing is forgotten.
    pub half_life: Option<Span>,
    /// When its first decision was made at the latest; `None` before it.
    pub since: Option<Timestamp>,
    inputs: Inputs,
}

impl Active {
    /// Reads the current epoch as it is now.
    #[must_use]
    pub fn reading(&self) -> Reading<'_> {
        let mut weights = Weights::of(self);
        if let Some(all) = self.deciding() {
            weights.look_at(all.tallies().learning.as_slice());
            weights = weights.picked();
        }
        // The price is that of all segments, whose lock is taken once only.
        let price = match self.deciding() {
            Some(all) => weights.price(self, &all.tallies()),
            None => weights.price(self, &Tallies::default()),
        };
        Reading { active: self, weights, fitted: self.fitted(), price }
    }

    /// How long rewards of the primary goal took by variation, where the policy learns it and enough of them have come.
    #[must_use]
    pub fn delays(&self) -> Option<Comparison> {
        self.current().timing.delays().as_ref()?.compare()
    }

    /// Time of the newest decision or reward that was counted in the current epoch.
    #[must_use]
    pub fn newest(&self) -> Timestamp {
        self.current().timing.newest()
    }
}

impl Reading<'_> {
    /// What spending costs beyond itself.
    #[must_use]
    pub const fn price(&self) -> Price {
        self.price
    }

    /// What all segments say together, where they borrow from each other.
    #[must_use]
    pub const fn fitted(&self) -> Option<&Arc<Fitted>> {
        self.fitted.as_ref()
    }

    /// One segment; a decision's window is open if it is so at `now`.
    #[must_use]
    pub fn of(&self, segment: &Segment, now: Timestamp) -> SegmentReading {
        let settings = &self.active.settings;
        let goal = settings.primary_goal();
        let tallies = segment.tallies();
        let buckets = tallies.learning.as_slice();
        let open = buckets.iter().filter(|bucket| now.since(bucket.end) < goal.window);
        let weighed = settings.contextual().is_none()
            && (settings.definition.policy.half_life != HalfLife::Off || goal.delay != Delay::None);
        SegmentReading {
            effective_exposures: weighed.then(|| self.weights.effective_exposures(&tallies)),
            open_exposures: open.map(|bucket| bucket.tally.all_exposures()).sum(),
            half_life: if weighed { self.weights.half_life(buckets) } else { None },
            // Settled buckets are a day long: the first decision came in the last part of it, for all that is still known.
            since: buckets.first().map(|bucket| bucket.end.minus(settings.definition.bucket).max(bucket.start)),
            inputs: Inputs::priced(self.active, &tallies, &self.weights, self.fitted.clone(), self.price),
            learning: tallies.learning_total.clone(),
            control: tallies.control_total.clone(),
        }
    }

    /// A segment that nobody has visited.
    #[must_use]
    pub fn nobody(&self) -> SegmentReading {
        let segment = Segment::new(None, Tallies::default(), self.active.unseen());
        self.of(&segment, Timestamp::ZERO)
    }
}

impl SegmentReading {
    /// What the policy would be asked with, variations in order of keys; but as if the segment went on for ever, so that nothing
    /// is sharpened because little can still be learned.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence { expected_visitors: ENDLESS, ..self.inputs.evidence(Seed(0)) }
    }

    /// The same about the primary goal itself, whatever it costs.
    #[must_use]
    pub fn uncosted(&self) -> Evidence<'_> {
        Evidence { worths: &[], ..self.evidence() }
    }
}

/// Visitors of a segment that goes on for ever.
const ENDLESS: f64 = 1e15;
