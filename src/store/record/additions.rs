//! What version 2 adds: a record of version 2 is one of version 1 and its additions behind it. Where nothing was added, version 1
//! is written, so that what an earlier version could say is said as it said it.

use std::sync::Arc;

use bincode::{BorrowDecode, Encode};

use crate::domain::{AllocationId, Currency, GoalKind, Span};
use crate::engine::checkpoint::StateRecord;
use crate::engine::definition::{Budget, Definition, Delay, HalfLife, Objective, OnFinish, Stopping};
use crate::engine::event::Event;
use crate::engine::experiment::Measure;
use crate::posterior::bucket::Buckets;
use crate::posterior::tally::{Moments, Tally};
use crate::store::record::Checked;
use crate::store::record::pool::{StoredKind, StoredPool};

/// Of an event.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct EventAdditions {
    cap: Option<i64>,
    definition: Option<DefinitionAdditions>,
    fit: Option<[u8; 8]>,
}

/// Of a checkpoint row.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct StateAdditions {
    definition: Option<DefinitionAdditions>,
    capped: u64,
    /// By epoch, by goal in the epoch's order.
    measures: Vec<Vec<StoredMeasure>>,
    learning: StoredMoments,
    control: StoredMoments,
    pool: Option<StoredPool>,
    fit: Option<[u8; 8]>,
}

#[derive(Encode, BorrowDecode, Clone, Copy, PartialEq)]
struct StoredMeasure {
    kind: StoredKind,
    currency: Option<[u8; 3]>,
}

/// By bucket, by variation and goal: Σ value, Σ value².
type StoredMoments = Vec<Vec<(i128, i128)>>;

#[derive(Encode, BorrowDecode, PartialEq)]
struct DefinitionAdditions {
    goals: Vec<GoalAdditions>,
    /// By variation: per exposure, per conversion.
    costs: Vec<(f64, f64)>,
    half_life: StoredHalfLife,
    margin: bool,
    expected_visitors: Option<u64>,
    /// Amount, visitors, hard.
    budget: Option<(f64, u64, bool)>,
    stopping: StoredStopping,
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct GoalAdditions {
    measure: StoredMeasure,
    cap: Option<i64>,
    worth: Option<f64>,
    delay: StoredDelay,
    typical_delay: Option<u64>,
}

#[derive(Encode, BorrowDecode, PartialEq)]
enum StoredDelay {
    None,
    Wait,
    Survival,
}

#[derive(Encode, BorrowDecode, PartialEq)]
enum StoredHalfLife {
    Off,
    Fixed(u64),
    Auto,
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct StoredStopping {
    value_remaining: f64,
    probability: f64,
    equivalence: f64,
    span_min: u64,
    conversions_min: u64,
    exposures_max: Option<u64>,
    end: bool,
}

impl From<&Event> for EventAdditions {
    fn from(event: &Event) -> Self {
        match event {
            Event::Rewarded(rewarded) => Self { cap: rewarded.cap, ..Self::default() },
            Event::AllocationComputed(computed) => Self { fit: computed.fit.map(id_bytes), ..Self::default() },
            Event::ExperimentSaved(saved) => {
                Self { definition: DefinitionAdditions::of(&saved.definition), ..Self::default() }
            }
            Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Activated(_)
            | Event::PoolFitted(_) => Self::default(),
        }
    }
}

impl EventAdditions {
    /// The event as it was.
    pub(super) fn add_to(self, event: Event) -> Checked<Event> {
        let Self { cap, definition, fit } = self;
        Ok(match event {
            Event::Rewarded(mut rewarded) => {
                if let Some(cap) = cap.filter(|cap| *cap < 1) {
                    return Err(format!("a cap of {cap}"));
                }
                rewarded.cap = cap;
                Event::Rewarded(rewarded)
            }
            Event::AllocationComputed(mut computed) => {
                Arc::make_mut(&mut computed).fit = fit.map(id_of);
                Event::AllocationComputed(computed)
            }
            Event::ExperimentSaved(mut saved) => {
                if let Some(additions) = definition {
                    additions.add_to(&mut Arc::make_mut(&mut saved).definition)?;
                }
                Event::ExperimentSaved(saved)
            }
            Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Activated(_)
            | Event::PoolFitted(_) => event,
        })
    }
}

impl From<&StateRecord> for StateAdditions {
    fn from(record: &StateRecord) -> Self {
        match record {
            StateRecord::Experiment(experiment) => {
                let plain = Measure { window: Span::default(), kind: GoalKind::Conversion, currency: None };
                let known = experiment.epochs.iter().flat_map(|epoch| &epoch.goals);
                let all_plain = known.clone().all(|(_, measure)| Measure { window: plain.window, ..*measure } == plain);
                let measures = experiment
                    .epochs
                    .iter()
                    .map(|epoch| epoch.goals.iter().map(|(_, measure)| StoredMeasure::from(*measure)).collect());
                Self {
                    definition: DefinitionAdditions::of(&experiment.definition),
                    capped: experiment.rewards.capped,
                    pool: experiment.pool.as_deref().map(StoredPool::from),
                    measures: if all_plain { Vec::new() } else { measures.collect() },
                    ..Self::default()
                }
            }
            StateRecord::Segment(segment) => Self {
                learning: stored_moments(&segment.learning),
                control: stored_moments(&segment.control),
                fit: segment.allocation.as_ref().and_then(|allocation| allocation.fit).map(id_bytes),
                ..Self::default()
            },
            StateRecord::Deleted(_) => Self::default(),
        }
    }
}

impl StateAdditions {
    /// The part of the state as it was.
    pub(super) fn add_to(self, record: StateRecord) -> Checked<StateRecord> {
        let Self { definition, capped, measures, learning, control, pool, fit } = self;
        Ok(match record {
            StateRecord::Experiment(mut experiment) => {
                if let Some(additions) = definition {
                    additions.add_to(Arc::make_mut(&mut experiment.definition))?;
                }
                experiment.rewards.capped = capped;
                experiment.pool = pool.map(|pool| pool.try_into().map(Arc::new)).transpose()?;
                for (epoch, measures) in experiment.epochs.iter_mut().zip(measures) {
                    for ((_, measure), stored) in epoch.goals.iter_mut().zip(measures) {
                        (measure.kind, measure.currency) = stored.restore()?;
                    }
                }
                StateRecord::Experiment(experiment)
            }
            StateRecord::Segment(mut segment) => {
                segment.learning = with_moments(segment.learning, learning)?;
                segment.control = with_moments(segment.control, control)?;
                if let Some(allocation) = &mut segment.allocation {
                    allocation.fit = fit.map(id_of);
                }
                StateRecord::Segment(segment)
            }
            StateRecord::Deleted(_) => record,
        })
    }
}

impl DefinitionAdditions {
    /// Nothing if version 1 says it all.
    fn of(definition: &Definition) -> Option<Self> {
        let Stopping { value_remaining, probability, equivalence, span_min, conversions_min, exposures_max, on_finish } =
            definition.stopping;
        let additions = Self {
            goals: definition
                .goals
                .iter()
                .map(|goal| GoalAdditions {
                    measure: Measure::of(goal).into(),
                    cap: goal.cap,
                    worth: goal.worth,
                    delay: match goal.delay {
                        Delay::None => StoredDelay::None,
                        Delay::Wait => StoredDelay::Wait,
                        Delay::Survival => StoredDelay::Survival,
                    },
                    typical_delay: goal.typical_delay.map(Span::as_millis),
                })
                .collect(),
            costs: definition.variations.iter().map(|v| (v.cost, v.cost_per_conversion)).collect(),
            half_life: match definition.policy.half_life {
                HalfLife::Off => StoredHalfLife::Off,
                HalfLife::Fixed(span) => StoredHalfLife::Fixed(span.as_millis()),
                HalfLife::Auto => StoredHalfLife::Auto,
            },
            margin: definition.policy.objective == Objective::Margin,
            expected_visitors: definition.policy.expected_visitors,
            budget: definition.budget.map(|budget| (budget.amount, budget.visitors, budget.hard)),
            stopping: StoredStopping {
                value_remaining,
                probability,
                equivalence,
                span_min: span_min.as_millis(),
                conversions_min,
                exposures_max,
                end: on_finish == OnFinish::End,
            },
        };
        (additions != Self::plain(definition)).then_some(additions)
    }

    /// What a definition of version 1 means.
    fn plain(definition: &Definition) -> Self {
        let goals = definition.goals.iter().map(|_| GoalAdditions {
            measure: StoredMeasure { kind: StoredKind::Conversion, currency: None },
            cap: None,
            worth: None,
            delay: StoredDelay::None,
            typical_delay: None,
        });
        let stopping = Stopping::default();
        Self {
            goals: goals.collect(),
            costs: vec![(0.0, 0.0); definition.variations.len()],
            half_life: StoredHalfLife::Off,
            margin: false,
            expected_visitors: None,
            budget: None,
            stopping: StoredStopping {
                value_remaining: stopping.value_remaining,
                probability: stopping.probability,
                equivalence: stopping.equivalence,
                span_min: stopping.span_min.as_millis(),
                conversions_min: stopping.conversions_min,
                exposures_max: None,
                end: false,
            },
        }
    }

    fn add_to(self, definition: &mut Definition) -> Checked<()> {
        if self.goals.len() != definition.goals.len() || self.costs.len() != definition.variations.len() {
            return Err("additions for other goals or variations than the definition has".into());
        }
        let numbers =
            self.costs.iter().flat_map(|(a, b)| [*a, *b]).chain(self.goals.iter().filter_map(|goal| goal.worth));
        if let Some(number) = numbers.chain(self.budget.map(|budget| budget.0)).find(|number| !number.is_finite()) {
            return Err(format!("the amount {number} is not finite"));
        }
        for (goal, stored) in definition.goals.iter_mut().zip(self.goals) {
            (goal.kind, goal.currency) = stored.measure.restore()?;
            (goal.cap, goal.worth) = (stored.cap, stored.worth);
            goal.delay = match stored.delay {
                StoredDelay::None => Delay::None,
                StoredDelay::Wait => Delay::Wait,
                StoredDelay::Survival => Delay::Survival,
            };
            goal.typical_delay = stored.typical_delay.map(Span::from_millis);
        }
        for (variation, (cost, per_conversion)) in definition.variations.iter_mut().zip(self.costs) {
            (variation.cost, variation.cost_per_conversion) = (cost, per_conversion);
        }
        let policy = &mut definition.policy;
        policy.half_life = match self.half_life {
            StoredHalfLife::Off => HalfLife::Off,
            StoredHalfLife::Fixed(span) => HalfLife::Fixed(Span::from_millis(span)),
            StoredHalfLife::Auto => HalfLife::Auto,
        };
        policy.objective = if self.margin { Objective::Margin } else { Objective::Goal };
        policy.expected_visitors = self.expected_visitors;
        definition.budget = self.budget.map(|(amount, visitors, hard)| Budget { amount, visitors, hard });
        let stored = self.stopping;
        definition.stopping = Stopping {
            value_remaining: stored.value_remaining,
            probability: stored.probability,
            equivalence: stored.equivalence,
            span_min: Span::from_millis(stored.span_min),
            conversions_min: stored.conversions_min,
            exposures_max: stored.exposures_max,
            on_finish: if stored.end { OnFinish::End } else { OnFinish::Keep },
        };
        Ok(())
    }
}

impl From<Measure> for StoredMeasure {
    fn from(measure: Measure) -> Self {
        let letters = |currency: Currency| currency.as_str().as_bytes().try_into().expect("three letters");
        Self { kind: measure.kind.into(), currency: measure.currency.map(letters) }
    }
}

impl StoredMeasure {
    fn restore(self) -> Checked<(GoalKind, Option<Currency>)> {
        let currency = self.currency.map(|letters| {
            std::str::from_utf8(&letters).ok().and_then(Currency::new).ok_or("a currency that is none".to_owned())
        });
        Ok((self.kind.into(), currency.transpose()?))
    }
}

const fn id_bytes(id: AllocationId) -> [u8; 8] {
    id.0.to_be_bytes()
}

const fn id_of(bytes: [u8; 8]) -> AllocationId {
    AllocationId(u64::from_be_bytes(bytes))
}

/// Nothing where no bucket has a value.
fn stored_moments(buckets: &Buckets) -> StoredMoments {
    let all = buckets.as_slice().iter().map(|bucket| bucket.tally.all_moments());
    if all.clone().all(<[Moments]>::is_empty) {
        return Vec::new();
    }
    all.map(|moments| moments.iter().map(|m| (m.sum, m.squares)).collect()).collect()
}

fn with_moments(buckets: Buckets, stored: StoredMoments) -> Checked<Buckets> {
    if stored.is_empty() {
        return Ok(buckets);
    }
    if stored.len() != buckets.as_slice().len() {
        return Err("sums of values for other time buckets".into());
    }
    let coalesced_to = buckets.coalesced_to();
    let restored = buckets.as_slice().iter().zip(stored).map(|(bucket, moments)| {
        let moments = moments.into_iter().map(|(sum, squares)| Moments { sum, squares }).collect();
        let mut bucket = bucket.clone();
        bucket.tally = Tally::from_parts(bucket.tally.shape().1, bucket.tally.counts().to_vec(), moments)
            .ok_or("sums of values for other variations or goals")?;
        Ok(bucket)
    });
    let restored = restored.collect::<Checked<Vec<_>>>()?;
    Buckets::from_parts(restored, coalesced_to).ok_or_else(|| "time buckets that do not fit".into())
}
