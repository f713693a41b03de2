//! Segments between two changes of what a segment is.

use std::sync::Arc;

use crate::domain::{Aggregation, Currency, GoalKind, SegmentKey, Slot, Span, Timestamp};
use crate::engine::checkpoint::EpochState;
use crate::engine::definition::Goal;
use crate::engine::experiment::{Active, MAX_SEGMENTS};
use crate::engine::pool::Pool;
use crate::engine::segment::{Segment, Tallies};
use crate::engine::settings::{LATE_SPAN, Settings};
use crate::engine::table::Table;
use crate::engine::weights::Timing;
use crate::posterior::bucket::BucketLengths;

/// What a goal measures: tallies of another measure mean something else, so that a change begins an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// How long after the decision a reward counts.
    pub window: Span,
    /// What the rewards are.
    pub kind: GoalKind,
    /// Of their values.
    pub currency: Option<Currency>,
    /// What several of one decision come to.
    pub aggregation: Aggregation,
}

impl Measure {
    /// Of a goal as it is defined.
    pub(crate) const fn of(goal: &Goal) -> Self {
        Self { window: goal.window, kind: goal.kind, currency: goal.currency, aggregation: goal.aggregation }
    }
}

/// Segments between two changes of what a segment is.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u32,
    pub(crate) lengths: BucketLengths,
    pub(crate) goals: Vec<(Slot, Measure)>,
    pub(crate) closed_at: Option<Timestamp>,
    /// Shared by every version of the same epoch.
    pub(crate) segments: Arc<Table<SegmentKey, Segment>>,
    /// What they say together; shared as well.
    pub(crate) pool: Arc<Pool>,
    /// What time it is and how long rewards take; shared as well.
    pub(crate) timing: Arc<Timing>,
}

impl Epoch {
    pub(crate) fn new(number: u32, settings: &Settings) -> Self {
        let segments = Arc::new(Table::new());
        Self {
            number,
            lengths: settings.lengths(),
            goals: Vec::new(),
            closed_at: None,
            segments,
            pool: Arc::default(),
            timing: Arc::default(),
        }
        .with_goals(settings)
    }

    /// The same epoch, knowing a definition's goals. What a goal measures never changes within an epoch.
    pub(crate) fn with_goals(&self, settings: &Settings) -> Self {
        let mut goals = self.goals.clone();
        for (index, goal) in settings.definition.goals.iter().enumerate() {
            let slot = settings.goal_slot(index);
            if !goals.iter().any(|(known, _)| *known == slot) {
                goals.push((slot, Measure::of(goal)));
            }
        }
        Self {
            goals,
            segments: Arc::clone(&self.segments),
            pool: Arc::clone(&self.pool),
            timing: Arc::clone(&self.timing),
            ..*self
        }
    }

    pub(crate) fn closed(&self, at: Timestamp) -> Self {
        Self {
            closed_at: Some(self.closed_at.unwrap_or(at)),
            goals: self.goals.clone(),
            segments: Arc::clone(&self.segments),
            pool: Arc::clone(&self.pool),
            timing: Arc::clone(&self.timing),
            ..*self
        }
    }

    /// Whether receipts of this epoch can still be valid.
    pub(crate) fn receives(&self, now: Timestamp) -> bool {
        self.closed_at.is_none_or(|closed| now <= closed + self.longest_window() + LATE_SPAN)
    }

    /// What a goal measures here; `None` if it was never in this epoch.
    pub(crate) fn measure(&self, goal: Slot) -> Option<Measure> {
        self.goals.iter().find(|(slot, _)| *slot == goal).map(|(_, measure)| *measure)
    }

    pub(crate) fn longest_window(&self) -> Span {
        self.goals.iter().map(|(_, measure)| measure.window).max().unwrap_or_default()
    }

    pub(crate) fn shortest_window(&self) -> Span {
        self.goals.iter().map(|(_, measure)| measure.window).min().unwrap_or_default()
    }

    pub(crate) fn state(&self) -> EpochState {
        EpochState {
            number: self.number,
            lengths: self.lengths,
            closed_at: self.closed_at,
            goals: self.goals.clone(),
            newest: self.timing.newest(),
            delays: self.timing.delays().clone(),
        }
    }

    /// Acts on the segment of a key; on a new one if there is room, else on `other`. For the writer alone.
    pub(crate) fn with_segment(&self, key: &SegmentKey, active: &Active, mut act: impl FnMut(&Segment)) {
        if self.segments.with(key.as_str(), |_, segment| act(segment)).is_some() {
            return;
        }
        let key = if self.segments.len() < MAX_SEGMENTS { key.clone() } else { SegmentKey::new(SegmentKey::OTHER) };
        if self.segments.with(key.as_str(), |_, segment| act(segment)).is_some() {
            return;
        }
        let segment = Segment::new(Some(key.clone()), Tallies::default(), active.unseen());
        act(&segment);
        self.segments.insert(key, segment);
    }
}
