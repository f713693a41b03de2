//! Every shape at random, for properties.

use std::sync::Arc;

use crate::domain::*;
use crate::engine::checkpoint::*;
use crate::engine::definition::*;
use crate::engine::event::*;
use crate::engine::ledger::*;
use crate::posterior::Arm;
use crate::posterior::delay::Delays;
use crate::posterior::learner::State;
use crate::posterior::pooling::fit;
use crate::store::record::tests::examples::*;
use proptest::prelude::*;

const AGGREGATIONS: [Aggregation; 3] = [Aggregation::First, Aggregation::Sum, Aggregation::Last];

fn key() -> impl Strategy<Value = ExperimentKey> {
    "[A-Za-z0-9._-]{1,64}".prop_map(|text| experiment_key(&text))
}

fn segment() -> impl Strategy<Value = SegmentKey> {
    "\\PC{0,100}".prop_map(|text| SegmentKey::new(&text))
}

fn reward_id() -> impl Strategy<Value = RewardId> {
    "[a-zà-ü0-9 :/-]{1,60}".prop_map(|text| RewardId::new(&text).expect("allowed"))
}

pub(super) fn record() -> impl Strategy<Value = DecisionRecord> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u16>(), any::<u64>(), any::<u128>());
    (key(), segment(), numbers, 1e-12..=1.0_f64, any::<bool>()).prop_map(
        |(experiment, segment, (epoch, definition, variation, allocation, decision), propensity, control)| {
            DecisionRecord {
                experiment,
                epoch,
                definition,
                segment,
                variation: Slot(variation),
                allocation: AllocationId(allocation),
                propensity,
                control,
                decision: DecisionId(decision),
                features: features(decision),
            }
        },
    )
}

/// None for every other decision.
fn features(decision: u128) -> Features {
    let mut features = Features::new();
    if decision.is_multiple_of(2) {
        features.push(0, 1.0);
        features.push(199, -0.37);
    }
    features
}

fn shares() -> impl Strategy<Value = Shares> {
    (any::<u64>(), proptest::collection::vec((any::<u16>(), 0.0..=1.0_f64), 0..20)).prop_map(|(id, parts)| {
        let (variations, shares): (Vec<Slot>, Vec<f64>) = parts.into_iter().map(|(v, s)| (Slot(v), s)).unzip();
        Shares { id: AllocationId(id), variations: variations.into(), shares: shares.into() }
    })
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Draft), Just(Status::Running), Just(Status::Paused), Just(Status::Ended)]
}

fn definition() -> impl Strategy<Value = Definition> {
    let segments = prop_oneof![
        Just(Segments::All),
        proptest::collection::vec("[a-z_][a-z0-9_]{0,9}", 0..4).prop_map(|names| {
            Segments::By(names.iter().map(|name| AttributeName::new(name).expect("allowed")).collect())
        }),
        Just(definition_example().segments),
    ];
    let newer = proptest::option::of(newer_definition());
    (key(), segments, proptest::option::of("\\PC{0,40}"), 0.0..=1.0_f64, 1_u64.., any::<bool>(), newer).prop_map(
        |(key, segments, audience, share, bucket, sync, newer)| Definition {
            key,
            segments,
            audience,
            traffic: Probability::new(share).expect("a probability"),
            bucket: Span::from_millis(bucket),
            durability: if sync { Durability::Sync } else { Durability::Group },
            ..newer.unwrap_or_else(definition_example)
        },
    )
}

/// What version 1 could not say.
fn newer_definition() -> impl Strategy<Value = Definition> {
    let amounts = (0.0..1e12_f64, 0.0..1e12_f64, 1_i64..VALUE_MAX, 1_u64..);
    (amounts, 0_u8..3, any::<bool>()).prop_map(|((cost, worth, cap, visitors), pick, margin)| {
        let mut definition = definition_example();
        definition.variations[1].cost = cost;
        definition.variations[0].cost_per_conversion = worth;
        let pick_of = |index: u8| (pick + index) % 3;
        for (index, goal) in (0_u8..).zip(&mut definition.goals) {
            goal.kind = [GoalKind::Conversion, GoalKind::Revenue, GoalKind::Count][usize::from(pick_of(index))];
            goal.delay = [Delay::None, Delay::Wait, Delay::Survival][usize::from(pick_of(index + 1))];
            goal.currency = Currency::new(["EUR", "USD", "eur"][usize::from(index)]);
            (goal.cap, goal.worth) = (margin.then_some(cap), Some(worth));
            goal.aggregation = AGGREGATIONS[usize::from(pick_of(index))];
            goal.typical_delay = margin.then_some(Span::HOUR);
        }
        let policy = &mut definition.policy;
        policy.half_life = [HalfLife::Off, HalfLife::Fixed(Span::DAY), HalfLife::Auto][usize::from(pick)];
        policy.objective = if margin { Objective::Margin } else { Objective::Goal };
        policy.expected_visitors = margin.then_some(visitors);
        definition.budget = margin.then_some(Budget { amount: cost, visitors, hard: pick == 1 });
        definition.on_finish = if margin { OnFinish::End } else { OnFinish::Keep };
        let name = |text: &str| AttributeName::new(text).expect("allowed");
        let attribute = |text: &str, encoding| Attribute { name: name(text), encoding };
        definition.attributes = vec![
            attribute("device", Encoding::Levels(vec!["mobile".into(), "été".into()])),
            attribute("age", Encoding::Standardised { mean: cost, sd: worth }),
            attribute("visits", Encoding::Bins(vec![1.0, cost])),
            attribute("new", Encoding::Boolean),
        ];
        let key = GroupKey::new("homepage").expect("allowed");
        definition.group = margin.then_some(Group { key, priority: i32::from(pick) - 1 });
        definition.interactions = vec![(name("device"), name("new"))];
        definition.stopping = StoppingRule { equivalence: 0.5, ..StoppingRule::default() };
        definition
    })
}

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn rewarded() -> impl Strategy<Value = Event> {
    let occurred = proptest::option::of(moment());
    let capped = (any::<(bool, u16, i64, u64)>(), proptest::option::of(1_i64..));
    (record(), capped, reward_id(), moment(), occurred).prop_map(
        |(record, ((deferred, goal, value, window), cap), reward_id, arrived_at, occurred_at)| {
            Event::Rewarded(Rewarded {
                record,
                deferred,
                goal: Slot(goal),
                value,
                reward_id,
                arrived_at,
                occurred_at,
                window: Span::from_millis(window),
                cap,
                aggregation: AGGREGATIONS[usize::from(goal % 3)],
            })
        },
    )
}

/// An amendment, or a retraction where there is no value.
fn corrected() -> impl Strategy<Value = Event> {
    (record(), any::<(bool, u16, Option<i64>)>(), reward_id(), moment()).prop_map(
        |(record, (deferred, goal, value), reward_id, arrived_at)| {
            let goal = Slot(goal);
            match value {
                Some(value) => Event::Amended(Amended { record, deferred, goal, value, reward_id, arrived_at }),
                None => Event::Retracted(Retracted { record, deferred, goal, reward_id, arrived_at }),
            }
        },
    )
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let excluded = proptest::collection::vec(any::<u16>().prop_map(Slot), 0..5);
    let computed = (key(), any::<(u32, u32, u64)>(), proptest::option::of(segment()), moment(), shares());
    let saved = (definition(), any::<(u32, u32)>(), status(), moment(), shares());
    prop_oneof![
        (record(), excluded)
            .prop_map(|(record, excluded)| Event::Exposed(Exposed { record, excluded: excluded.into() })),
        (record(), moment(), any::<u64>()).prop_map(|(record, at, window)| {
            Event::Activated(Activated { record, at, window: Span::from_millis(window) })
        }),
        rewarded(),
        corrected(),
        computed.prop_map(|(experiment, (epoch, definition, evidence), segment, at, shares)| {
            let fit = (evidence % 2 == 0).then_some(AllocationId(evidence));
            let computed = AllocationComputed {
                experiment,
                epoch,
                definition,
                segment,
                at,
                evidence,
                effective: fit.map(|id| id.0),
                fit,
                amendments: evidence / 5,
                shares,
            };
            Event::AllocationComputed(Arc::new(computed))
        }),
        saved.prop_map(|(definition, (version, epoch), status, at, initial)| {
            Event::ExperimentSaved(Arc::new(ExperimentSaved { definition, version, epoch, status, at, initial }))
        }),
        (key(), status(), moment()).prop_map(|(experiment, status, at)| Event::StatusChanged {
            experiment,
            status,
            at
        }),
        (key(), moment()).prop_map(|(experiment, at)| Event::ExperimentDeleted { experiment, at }),
        pool().prop_map(|fitted| Event::PoolFitted(Arc::new(fitted))),
        crate::store::record::tests::visitors::event(),
    ]
}

/// A fit to two segments of up to four arms.
fn pool() -> impl Strategy<Value = PoolFitted> {
    let arms = proptest::collection::vec((0.0..1e4_f64, 0.0..1.0_f64), 2..9);
    let kind = prop_oneof![Just(GoalKind::Conversion), Just(GoalKind::Revenue), Just(GoalKind::Count)];
    (key(), any::<(u32, u32, u64)>(), moment(), kind, arms, shares()).prop_map(
        |(experiment, (epoch, definition, evidence), at, kind, arms, unseen)| {
            let arms: Vec<Arm> =
                arms.iter().map(|(exposures, rate)| Arm::converting(*exposures, exposures * rate)).collect();
            let half = arms.len() / 2;
            let fit = fit(kind, &[arms[..half].to_vec(), arms[half..2 * half].to_vec()]);
            {
                let (effective, half_life) = ((evidence % 2 == 0).then_some(evidence), Some(Span::DAY));
                PoolFitted { experiment, epoch, definition, at, evidence, effective, half_life, fit, unseen }
            }
        },
    )
}

pub(super) fn entry() -> impl Strategy<Value = LedgerEntry> {
    let standing = prop_oneof![
        Just(Standing::Learned),
        Just(Standing::AfterWindow),
        Just(Standing::AwaitsActivation),
        Just(Standing::AlreadyConverted)
    ];
    let fact = prop_oneof![
        any::<(bool, u64)>().prop_map(|(in_time, delay)| Fact::Activated { in_time, delay: Span::from_millis(delay) }),
        (any::<(u16, i64, u64)>(), reward_id(), standing, proptest::option::of(1_i64..)).prop_map(
            |((goal, value, delay), reward_id, standing, cap)| {
                let (aggregation, delay) = (AGGREGATIONS[usize::from(goal % 3)], Span::from_millis(delay));
                Fact::Rewarded(RewardFact { goal: Slot(goal), reward_id, value, standing, delay, aggregation, cap })
            }
        ),
        (any::<u16>(), reward_id(), any::<Option<i64>>()).prop_map(|(goal, reward_id, value)| Fact::Corrected {
            goal: Slot(goal),
            reward_id,
            value
        }),
        Just(Fact::Erased),
    ];
    (any::<u128>(), fact, any::<(u64, u32)>()).prop_map(|(decision, fact, (block, index))| LedgerEntry {
        decision: DecisionId(decision),
        fact,
        position: Position { block, index },
    })
}

/// An epoch that knows when it is and how long rewards took.
fn timed_epochs(number: u64) -> Vec<EpochState> {
    let newest = Timestamp::from_millis(number);
    let mut delays = Delays::new(Span::DAY);
    delays.add(Slot(0), newest, Span::HOUR);
    delays.add(Slot(1), newest + Span::DAY.times(3), Span::from_millis(number % 86_400_000));
    let mut epoch = experiment_example().epochs.remove(0);
    epoch.goals[0].1.aggregation = AGGREGATIONS[usize::try_from(number % 3).expect("small")];
    vec![EpochState { newest, delays: Some(delays).filter(|_| number < 1 << 50), ..epoch }]
}

/// An experiment that knows how long rewards took.
pub(super) fn timed_example() -> StateRecord {
    StateRecord::Experiment(ExperimentState { epochs: timed_epochs(1_800_000_000_000), ..experiment_example() })
}

fn model() -> impl Strategy<Value = ModelState> {
    let learner = (proptest::collection::vec(any::<u64>(), 0..9), proptest::collection::vec(-1e9..1e9_f64, 0..9))
        .prop_map(|(counts, numbers)| State { counts, numbers });
    (key(), any::<(u32, u32, u64, u64, u16)>(), learner).prop_map(
        |(experiment, (epoch, since, events, due_at, variation), learner)| {
            let variation = Slot(variation);
            ModelState { experiment, epoch, since, events, due_at, variation, learner }
        },
    )
}

pub(super) fn state() -> impl Strategy<Value = StateRecord> {
    let counts = proptest::collection::vec((0_u64..2_000, proptest::option::of(0_u16..3), 0_u64..1_000), 0..12);
    let values = proptest::collection::vec((0_u64..2_000, 0_u16..3, -VALUE_MAX..VALUE_MAX), 0..3);
    let buckets = (counts, values).prop_map(|(counts, values)| {
        let mut buckets = buckets_of(&counts);
        for (hour, goal, value) in values {
            buckets.at_mut(Timestamp::ZERO + Span::HOUR.times(hour), LENGTHS).add_value(Slot(2), Slot(goal), value);
        }
        buckets
    });
    let allocation =
        proptest::option::of((any::<(u32, u64)>(), shares()).prop_map(|((definition, evidence), shares)| {
            AllocationState {
                definition,
                evidence,
                effective: (evidence % 3 == 0).then_some(evidence),
                fit: (evidence % 2 == 0).then_some(AllocationId(evidence)),
                amendments: evidence / 5,
                shares,
            }
        }));
    let pool = proptest::option::of(pool().prop_map(Arc::new));
    let experiment = (definition(), status(), shares(), any::<(u32, u64, u64, u64)>(), pool);
    prop_oneof![
        experiment.prop_map(|(definition, status, initial, (version, recorded, repeated, late), pool)| {
            StateRecord::Experiment(ExperimentState {
                definition: Arc::new(definition),
                version,
                status,
                initial,
                rewards: RewardCounts {
                    recorded,
                    repeated,
                    late,
                    capped: recorded / 2,
                    amended: late / 3,
                    retracted: late / 4,
                    newest: None,
                },
                pool,
                model_since: version / 2,
                epochs: timed_epochs(recorded),
                ..experiment_example()
            })
        }),
        (key(), any::<u32>(), proptest::option::of(segment()), buckets.clone(), buckets, allocation).prop_map(
            |(experiment, epoch, segment, learning, control, allocation)| {
                let amendments = u64::from(epoch / 2);
                StateRecord::Segment(SegmentState {
                    experiment,
                    epoch,
                    segment,
                    learning,
                    control,
                    amendments,
                    allocation,
                })
            }
        ),
        key().prop_map(StateRecord::Deleted),
        model().prop_map(StateRecord::Model),
    ]
}
