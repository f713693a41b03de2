//! Amended and retracted, a history leaves what it would have left if its last word had been said at once: bit for bit.

use std::collections::BTreeMap;

use crate::domain::*;
use crate::engine::Engine;
use crate::engine::checkpoint::{RewardCounts, StateRecord};
use crate::engine::definition::*;
use crate::engine::due::Due;
use crate::engine::event::*;
use crate::engine::ledger::{Outcome, Position, judge};
use crate::engine::refresh::RefreshJob;
use crate::engine::secret::Secret;
use crate::engine::tests::driver::{Driver, START, definition, share};
use crate::engine::tests::folding::state;
use crate::policy::{Parameter, Parameters};
use proptest::prelude::*;

const KINDS: [GoalKind; 3] = [GoalKind::Conversion, GoalKind::Revenue, GoalKind::Count];
const CAPS: [Option<i64>; 3] = [None, Some(50), Some(7)];
const AGGREGATIONS: [Aggregation; 3] = [Aggregation::First, Aggregation::Sum, Aggregation::Last];
/// The last decision: it and its reward come after everything else, in every history.
const CLOSING: usize = 99;

/// What an experiment is like.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    primary: usize,
    aggregations: [usize; 3],
    survival: bool,
    half_life: bool,
    pooling: &'static str,
}

/// What happens next, and so many minutes later. What is said of a decision that has not been made yet makes it first.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    minutes: u64,
    decision: usize,
    deed: Deed,
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Reward { goal: usize, id: usize, value: i64, hours_ago: u64 },
    Amend { goal: usize, id: usize, value: i64 },
    Retract { goal: usize, id: usize },
    Activate,
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let pooling = prop_oneof![Just("none"), Just("partial"), Just("complete")];
    (0..3_usize, [0..3_usize, 0..3, 0..3], any::<(bool, bool)>(), pooling).prop_map(
        |(primary, mut aggregations, (survival, half_life), pooling)| {
            // A conversion is never summed.
            aggregations[0] = aggregations[0] / 2 * 2;
            Setup { primary, aggregations, survival, half_life, pooling }
        },
    )
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![Just(0_i64), Just(1), -80_i64..120];
    let about = (0..3_usize, 0..3_usize, value);
    let deed = prop_oneof![
        4 => (about.clone(), 0_u64..30).prop_map(|((goal, id, value), hours_ago)| {
            Deed::Reward { goal, id, value, hours_ago }
        }),
        3 => about.clone().prop_map(|(goal, id, value)| Deed::Amend { goal, id, value }),
        2 => about.prop_map(|(goal, id, _)| Deed::Retract { goal, id }),
        1 => Just(Deed::Activate),
    ];
    let step = (0_u64..150, 0..6_usize, deed).prop_map(|(minutes, decision, deed)| Step { minutes, decision, deed });
    proptest::collection::vec(step, 1..50)
}

fn experiment(setup: &Setup) -> Definition {
    let pooling = Parameter::Text(setup.pooling.into());
    let mut definition = definition("thompson", Parameters::new().with("pooling", pooling));
    let goals = ["bought", "spent", "clicks"].into_iter().enumerate().map(|(index, key)| Goal {
        kind: KINDS[index],
        currency: Currency::new("EUR").filter(|_| index == 1),
        cap: CAPS[index],
        aggregation: AGGREGATIONS[setup.aggregations[index]],
        delay: if setup.survival { Delay::Survival } else { Delay::None },
        ..Goal::conversion(
            GoalKey::new(key).expect("a key"),
            if index == setup.primary { Role::Primary } else { Role::Secondary },
            Span::DAY,
        )
    });
    definition.goals = goals.collect();
    definition.control = share(0.1);
    if setup.half_life {
        definition.policy.half_life = HalfLife::Fixed(Span::DAY);
    }
    definition
}

/// Odd decisions are deferred, the fifth is of the control group.
fn record(index: usize, at: Timestamp) -> DecisionRecord {
    DecisionRecord {
        experiment: ExperimentKey::new("hero").expect("a key"),
        epoch: 0,
        definition: 1,
        segment: SegmentKey::new(["a", "b"][index / 2 % 2]),
        variation: Slot(u16::try_from(index % 3).expect("small")),
        allocation: AllocationId(0),
        propensity: 0.5,
        control: index == 4,
        decision: DecisionId::new(at, index as u128),
        features: Features::new(),
    }
}

const fn is_deferred(index: usize) -> bool {
    index % 2 == 1 && index != CLOSING
}

/// A value that a goal's kind allows.
fn allowed(goal: usize, value: i64) -> i64 {
    match KINDS[goal] {
        GoalKind::Conversion => value.rem_euclid(2),
        GoalKind::Revenue => value,
        GoalKind::Count => value.abs() / 8,
    }
}

/// What a script of steps puts into the journal.
pub(crate) fn events(setup: &Setup, steps: &[Step]) -> Vec<Event> {
    let mut now = START + Span::HOUR;
    let mut records: BTreeMap<usize, DecisionRecord> = BTreeMap::new();
    let mut events = Vec::new();
    let value = if setup.primary == 0 { 1 } else { 3 };
    let deed = Deed::Reward { goal: setup.primary, id: 0, value, hours_ago: 0 };
    let closing = Step { minutes: 600, decision: CLOSING, deed };
    for Step { minutes, decision, deed } in steps.iter().chain([&closing]) {
        now = now + Span::from_millis(60_000 * minutes);
        let deferred = is_deferred(*decision);
        let record = records.entry(*decision).or_insert_with(|| {
            let record = record(*decision, now);
            if !deferred {
                events.push(Event::Exposed(Exposed { record: record.clone(), excluded: Box::default() }));
            }
            now = now + Span::SECOND;
            record
        });
        let record = record.clone();
        let about = |goal: usize, id: usize| {
            let reward_id = RewardId::new(["x", "y", "z"][id]).expect("an id");
            (Slot(u16::try_from(goal).expect("small")), reward_id)
        };
        let arrived_at = now;
        // Nobody is told of the activation of a decision that was an exposure at once.
        if matches!(deed, Deed::Activate) && !deferred {
            continue;
        }
        events.push(match *deed {
            Deed::Activate => Event::Activated(Activated { record, at: now, window: Span::DAY }),
            Deed::Reward { goal, id, value, hours_ago } => {
                let (slot, reward_id) = about(goal, id);
                let occurred = now.minus(Span::HOUR.times(hours_ago)).max(record.decided_at());
                Event::Rewarded(Rewarded {
                    record,
                    deferred,
                    goal: slot,
                    value: allowed(goal, value),
                    reward_id,
                    arrived_at,
                    occurred_at: Some(occurred).filter(|_| hours_ago > 0),
                    window: Span::DAY,
                    cap: CAPS[goal],
                    aggregation: AGGREGATIONS[setup.aggregations[goal]],
                })
            }
            Deed::Amend { goal, id, value } => {
                let (slot, reward_id) = about(goal, id);
                let value = allowed(goal, value);
                Event::Amended(Amended { record, deferred, goal: slot, value, reward_id, arrived_at })
            }
            Deed::Retract { goal, id } => {
                let (goal, reward_id) = about(goal, id);
                Event::Retracted(Retracted { record, deferred, goal, reward_id, arrived_at })
            }
        });
    }
    events
}

/// How a history without amendments says that a reward was retracted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Retraction {
    /// It was never sent.
    NeverSent,
    /// It was sent with the value 0: that leaves the same where the last reward does not count whatever it is.
    SentAsNothing,
}

/// The same without amendments and retractions: each reward has its last value from the beginning.
pub(crate) fn said_at_once(events: &[Event], retraction: Retraction) -> Vec<Event> {
    let key = |record: &DecisionRecord, goal: Slot, id: &RewardId| {
        (record.decision.to_bytes(), goal.index(), id.as_str().to_owned())
    };
    let mut last = BTreeMap::new();
    for event in events {
        match event {
            Event::Rewarded(reward) => {
                last.entry(key(&reward.record, reward.goal, &reward.reward_id)).or_insert(Some(reward.value));
            }
            Event::Amended(amended) => {
                last.entry(key(&amended.record, amended.goal, &amended.reward_id))
                    .and_modify(|value| *value = Some(amended.value));
            }
            Event::Retracted(retracted) => {
                last.entry(key(&retracted.record, retracted.goal, &retracted.reward_id))
                    .and_modify(|value| *value = None);
            }
            Event::ExperimentSaved(_)
            | Event::StatusChanged { .. }
            | Event::ExperimentDeleted { .. }
            | Event::Exposed(_)
            | Event::Assigned(_)
            | Event::Aliased(_)
            | Event::VisitorErased(_)
            | Event::ProfileSaved(_)
            | Event::Activated(_)
            | Event::AllocationComputed(_)
            | Event::PoolFitted(_) => {}
        }
    }
    let at_once = events.iter().filter_map(|event| match event {
        Event::Rewarded(reward) => {
            let value = match (last[&key(&reward.record, reward.goal, &reward.reward_id)], retraction) {
                (Some(value), _) => value,
                (None, Retraction::SentAsNothing) if reward.aggregation != Aggregation::Last => 0,
                (None, Retraction::NeverSent | Retraction::SentAsNothing) => return None,
            };
            Some(Event::Rewarded(Rewarded { value, ..reward.clone() }))
        }
        Event::Amended(_) | Event::Retracted(_) => None,
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Exposed(_)
        | Event::Assigned(_)
        | Event::Aliased(_)
        | Event::VisitorErased(_)
        | Event::ProfileSaved(_)
        | Event::Activated(_)
        | Event::AllocationComputed(_)
        | Event::PoolFitted(_) => Some(event.clone()),
    });
    at_once.collect()
}

pub(crate) fn played(setup: &Setup, events: Vec<Event>) -> Driver {
    let mut driver = Driver::with(experiment(setup));
    for event in events {
        driver.apply(event);
    }
    driver
}

/// Computes every allocation anew, as if each were due now.
pub(crate) fn recompute(driver: &mut Driver) {
    let active = driver.engine.experiment("hero").expect("there").active_full();
    if active.settings.borrows() {
        let (evidence, newest) = {
            let progress = active.current().pool.progress();
            (progress.events, progress.newest)
        };
        driver.apply(RefreshJob::fit(&active, evidence, newest).compute());
    }
    for segment in active.segments().iter().chain(active.all()) {
        let job = {
            let mut tallies = segment.tallies();
            (tallies.due, tallies.refreshing) = (Due::NOW, false);
            RefreshJob::if_due(segment, &mut tallies, &active, active.fit_in_force())
        };
        driver.apply(job.expect("due").compute());
    }
}

/// The state without what must tell an amended history from another: how many rewards came, in time or late, how often, and
/// were corrected.
fn beside_corrections(engine: &Engine) -> Vec<StateRecord> {
    let mut records = state(engine);
    for record in &mut records {
        match record {
            StateRecord::Experiment(experiment) => {
                let RewardCounts { capped, newest, .. } = experiment.rewards;
                experiment.rewards = RewardCounts { capped, newest, ..RewardCounts::default() };
            }
            StateRecord::Segment(segment) => {
                segment.amendments = 0;
                segment.allocation.iter_mut().for_each(|allocation| allocation.amendments = 0);
            }
            StateRecord::Model(_) | StateRecord::Deleted(_) => {}
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_amended_history_leaves_what_its_last_values_sent_at_once_leave(setup in setup(), steps in steps()) {
        let events = events(&setup, &steps);
        let mut amended = played(&setup, events.clone());
        recompute(&mut amended);
        for retraction in [Retraction::NeverSent, Retraction::SentAsNothing] {
            let mut at_once = played(&setup, said_at_once(&events, retraction));
            recompute(&mut at_once);
            prop_assert_eq!(beside_corrections(&amended.engine), beside_corrections(&at_once.engine), "{:?}", retraction);
        }
    }

    #[test]
    fn an_amended_history_replays_to_the_same_state_from_anywhere(setup in setup(), steps in steps(), cut in 0.0..1.0_f64) {
        let driver = played(&setup, events(&setup, &steps));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the journal")]
        let cut = (driver.journal.len() as f64 * cut) as usize;
        let replay = |engine: &Engine, from: usize, to: usize| {
            for (index, event) in driver.journal[from..to].iter().enumerate() {
                let position = Position { block: 1, index: u32::try_from(from + index).expect("short") };
                let mut jobs = Vec::new();
                // The whole ledger, as a recovery finds it: it knows what came later.
                engine.apply(event, &judge(event, position, &driver.known), &mut jobs);
                jobs.iter().for_each(|job| engine.abandon(job));
            }
        };
        let (first, second) = (Engine::new(Secret::new([7; 32]), 2), Engine::new(Secret::new([7; 32]), 3));
        replay(&first, 0, cut);
        second.restore(state(&first)).expect("fits together");
        replay(&second, cut, driver.journal.len());
        prop_assert_eq!(state(&driver.engine), state(&second), "from a checkpoint at {}", cut);
        replay(&first, cut, driver.journal.len());
        prop_assert_eq!(state(&driver.engine), state(&first), "from the start");
    }
}

/// A reward of the primary goal for a decision made at the start.
fn sale(index: usize, value: i64) -> Rewarded {
    let record = record(index, START);
    let arrived_at = START + Span::HOUR;
    Rewarded {
        record,
        deferred: false,
        goal: Slot(0),
        value,
        reward_id: RewardId::new("x").expect("an id"),
        arrived_at,
        occurred_at: None,
        window: Span::DAY,
        cap: None,
        aggregation: Aggregation::First,
    }
}

#[test]
fn an_amendment_makes_the_allocation_due_whatever_the_growth() {
    let mut driver =
        Driver::with(definition("thompson", Parameters::new().with("pooling", Parameter::Text("none".into()))));
    for index in 0..3_000 {
        driver.play(&Context::new(), index, |variation| [0.1, 0.2, 0.3][variation]);
    }
    let mut reward = sale(0, 1);
    reward.record.segment = SegmentKey::new("all");
    let Rewarded { record, deferred, goal, reward_id, arrived_at, .. } = reward.clone();
    driver.apply(Event::Exposed(Exposed { record: record.clone(), excluded: Box::default() }));
    driver.apply(Event::Rewarded(reward));
    let computed = |driver: &Driver| matches!(driver.journal.last(), Some(Event::AllocationComputed(_)));
    assert!(!computed(&driver), "two events of thousands are no growth");
    let retracted = Event::Retracted(Retracted {
        record: record.clone(),
        deferred,
        goal,
        reward_id: reward_id.clone(),
        arrived_at,
    });
    assert_eq!(driver.apply(retracted.clone()).outcome, Outcome::Recorded);
    assert!(computed(&driver));
    assert_eq!(driver.apply(retracted).outcome, Outcome::Repeated);
    assert!(!computed(&driver), "nothing changed");
    let amended = Event::Amended(Amended { record, deferred, goal, value: 1, reward_id, arrived_at });
    assert_eq!(driver.apply(amended).outcome, Outcome::Recorded);
    assert!(computed(&driver));
    let counts = driver.engine.experiment("hero").expect("there").reward_counts();
    assert_eq!((counts.amended, counts.retracted, counts.repeated), (1, 1, 1));
}
