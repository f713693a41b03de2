//! Fixed shapes: what the bytes of a version are compared with.

use std::sync::Arc;

use crate::domain::*;
use crate::engine::checkpoint::*;
use crate::engine::definition::*;
use crate::engine::epoch::Measure;
use crate::engine::event::*;
use crate::engine::ledger::*;
use crate::policy::{Parameter, Parameters};
use crate::posterior::bucket::{BucketLengths, Buckets};

pub(super) fn decision(tail: u128) -> DecisionId {
    DecisionId::new(Timestamp::from_millis(1_800_000_000_000), tail)
}

pub(super) fn experiment_key(text: &str) -> ExperimentKey {
    ExperimentKey::new(text).expect("allowed")
}

pub(super) fn record_example() -> DecisionRecord {
    DecisionRecord {
        experiment: experiment_key("hero"),
        epoch: 1,
        definition: 3,
        segment: SegmentKey::new("device=mobile|country=FR"),
        variation: Slot(1),
        allocation: AllocationId(0x0123_4567_89ab_cdef),
        propensity: 0.25,
        control: false,
        decision: decision(7),
        features: Features::new(),
    }
}

pub(super) fn shares_example() -> Shares {
    Shares { id: AllocationId(5), variations: vec![Slot(0), Slot(1)].into(), shares: vec![0.75, 0.25].into() }
}

pub(super) fn definition_example() -> Definition {
    let variation = |key: &str| Variation::new(VariationKey::new(key).expect("allowed"), r#"{"title":"été"}"#);
    let goal = |key: &str, role| Goal::conversion(GoalKey::new(key).expect("allowed"), role, Span::DAY);
    let rule = Rule { name: RuleName::new("new").expect("allowed"), when: "visits == 1".into() };
    let parameters = Parameters::from_iter([
        ("flag".into(), Parameter::Flag(true)),
        ("list".into(), Parameter::Numbers(vec![1.0, 2.5])),
        ("number".into(), Parameter::Number(-0.5)),
        ("shares".into(), Parameter::Shares([("bold".to_owned(), 0.5)].into())),
        ("text".into(), Parameter::Text("none".into())),
    ]);
    let policy = PolicyChoice { floor: 0.01, ..PolicyChoice::new("thompson", parameters) };
    let goals = vec![goal("purchase", Role::Primary), goal("click", Role::Secondary), goal("bounce", Role::Guardrail)];
    Definition {
        control: Probability::new(0.1).expect("a probability"),
        audience: Some("country == 'FR'".into()),
        schedule: Schedule { starts: Some(Timestamp::from_millis(1_700_000_000_000)), ends: None },
        segments: Segments::Rules(vec![rule]),
        durability: Durability::Sync,
        ..Definition::new(experiment_key("hero"), vec![variation("plain"), variation("bold")], goals, policy)
    }
}

/// One event of each kind.
pub(super) fn examples() -> Vec<Event> {
    let at = Timestamp::from_millis(1_800_000_060_000);
    vec![
        Event::Exposed(Exposed { record: record_example(), excluded: vec![Slot(2)].into() }),
        Event::Activated(Activated { record: record_example(), at, window: Span::HOUR }),
        Event::Rewarded(Rewarded {
            record: DecisionRecord { control: true, propensity: 1.0, ..record_example() },
            deferred: true,
            goal: Slot(2),
            value: -3,
            reward_id: RewardId::new("order-991").expect("allowed"),
            arrived_at: at,
            occurred_at: Some(at),
            window: Span::DAY,
            cap: None,
            aggregation: Aggregation::First,
        }),
        Event::AllocationComputed(Arc::new(AllocationComputed {
            experiment: experiment_key("hero"),
            epoch: 1,
            definition: 3,
            segment: Some(SegmentKey::new("other")),
            at,
            evidence: 1_000,
            effective: None,
            fit: None,
            amendments: 0,
            shares: shares_example(),
        })),
        Event::ExperimentSaved(Arc::new(ExperimentSaved {
            definition: definition_example(),
            version: 3,
            epoch: 1,
            status: Status::Running,
            at,
            initial: shares_example(),
        })),
        Event::StatusChanged { experiment: experiment_key("hero"), status: Status::Ended, at },
        Event::ExperimentDeleted { experiment: experiment_key("hero"), at },
    ]
}

pub(super) fn entry_examples() -> Vec<LedgerEntry> {
    let position = Position { block: 300, index: 4 };
    let rewarded = Fact::Rewarded(reward_example(1, "order-991", Standing::AwaitsActivation));
    [Fact::Activated { in_time: true, delay: Span::ZERO }, rewarded]
        .map(|fact| LedgerEntry { decision: decision(7), fact, position })
        .to_vec()
}

/// Of version 1, which does not say how long it took.
pub(super) fn reward_example(goal: u16, id: &str, standing: Standing) -> RewardFact {
    RewardFact {
        goal: Slot(goal),
        reward_id: RewardId::new(id).expect("allowed"),
        value: 1,
        standing,
        delay: Span::ZERO,
        aggregation: Aggregation::First,
        cap: None,
    }
}

fn converting() -> Measure {
    Measure { window: Span::DAY, kind: GoalKind::Conversion, currency: None, aggregation: Aggregation::First }
}

pub(super) fn experiment_example() -> ExperimentState {
    ExperimentState {
        definition: Arc::new(definition_example()),
        version: 3,
        status: Status::Paused,
        variations: vec![VariationKey::new("plain").expect("allowed"), VariationKey::new("bold").expect("allowed")],
        goals: vec![GoalKey::new("purchase").expect("allowed")],
        epochs: vec![EpochState {
            number: 1,
            lengths: BucketLengths { fine: Span::HOUR, settled: Span::DAY },
            closed_at: None,
            goals: vec![(Slot(0), converting())],
            newest: Timestamp::ZERO,
            delays: None,
        }],
        initial: shares_example(),
        rewards: RewardCounts {
            recorded: 5,
            repeated: 2,
            late: 1,
            capped: 0,
            amended: 0,
            retracted: 0,
            newest: Some(Timestamp::from_millis(1_800_000_000_000)),
        },
        model_since: 0,
        pool: None,
    }
}

pub(super) fn segment_example(epoch: u32) -> SegmentState {
    SegmentState {
        experiment: experiment_key("hero"),
        epoch,
        segment: Some(SegmentKey::new("new")),
        learning: buckets_of(&[(0, Some(0), 3), (30, None, 300), (30, Some(1), 2)]),
        control: Buckets::default(),
        amendments: 0,
        allocation: Some(AllocationState {
            definition: 3,
            evidence: 300,
            effective: None,
            fit: None,
            amendments: 0,
            shares: shares_example(),
        }),
    }
}

pub(super) fn state_examples() -> Vec<StateRecord> {
    vec![
        StateRecord::Experiment(experiment_example()),
        StateRecord::Segment(segment_example(1)),
        StateRecord::Deleted(experiment_key("hero")),
    ]
}

pub(super) const LENGTHS: BucketLengths = BucketLengths { fine: Span::HOUR, settled: Span::DAY };

/// Buckets of counts: the hour of the decision, the goal (none for exposures), how many.
pub(super) fn buckets_of(counts: &[(u64, Option<u16>, u64)]) -> Buckets {
    let mut buckets = Buckets::default();
    for (hour, goal, count) in counts {
        let tally = buckets.at_mut(Timestamp::ZERO + Span::HOUR.times(*hour), LENGTHS);
        match goal {
            None => tally.add_exposures(Slot(1), *count),
            Some(goal) => tally.add_conversions(Slot(0), Slot(*goal), *count),
        }
    }
    buckets
}
