//! What a decision's rewards come to, case by case.

use crate::domain::*;
use crate::engine::contribution::*;
use crate::engine::ledger::*;
use Aggregation::{First, Last, Sum};

const GOAL: Slot = Slot(0);

/// One fact; times are seconds after the decision.
#[derive(Clone, Copy)]
enum Step {
    /// A reward: its id, value and time.
    In(&'static str, i64, u64),
    /// One that came too late.
    Late(&'static str, i64),
    Amend(&'static str, i64),
    Retract(&'static str),
    Activate(u64),
    ActivateLate,
}
use Step::*;

fn id(text: &str) -> RewardId {
    RewardId::new(text).expect("an id")
}

fn fact(step: Step, aggregation: Aggregation, cap: Option<i64>) -> Fact {
    let reward = |text, value, standing, seconds| {
        let (reward_id, delay) = (id(text), Span::SECOND.times(seconds));
        Fact::Rewarded(RewardFact { goal: GOAL, reward_id, value, standing, delay, aggregation, cap })
    };
    let corrected = |text, value| Fact::Corrected { goal: GOAL, reward_id: id(text), value };
    match step {
        In(text, value, seconds) => reward(text, value, Standing::Learned, seconds),
        Late(text, value) => reward(text, value, Standing::AfterWindow, 99),
        Amend(text, value) => corrected(text, Some(value)),
        Retract(text) => corrected(text, None),
        Activate(seconds) => Fact::Activated { in_time: true, delay: Span::SECOND.times(seconds) },
        ActivateLate => Fact::Activated { in_time: false, delay: Span::DAY },
    }
}

/// The value and the seconds it took.
fn come_to(steps: &[Step], aggregation: Aggregation, cap: Option<i64>, deferred: bool) -> Option<(i64, bool, u64)> {
    let facts: Vec<Fact> = steps.iter().map(|step| fact(*step, aggregation, cap)).collect();
    let facts: Vec<&Fact> = facts.iter().collect();
    assert_eq!(contribution(&facts, Slot(1), deferred), None, "of another goal");
    let known = contribution(&facts, GOAL, deferred);
    known.map(|known| (known.value, known.capped, known.delay.as_millis() / 1_000))
}

/// Facts, and the values and times that they come to for first, sum and last.
type Case<'a> = (&'a [Step], [Option<(i64, u64)>; 3]);

#[test]
fn rewards_come_to_what_their_goal_says() {
    let cases: &[Case<'_>] = &[
        (&[], [None, None, None]),
        (&[In("a", 5, 1)], [Some((5, 1)), Some((5, 1)), Some((5, 1))]),
        (&[In("a", 0, 1)], [None, None, None]),
        (&[In("a", 5, 1), In("b", 7, 2)], [Some((5, 1)), Some((12, 1)), Some((7, 1))]),
        (&[In("a", 0, 1), In("b", 7, 2)], [Some((7, 2)), Some((7, 2)), Some((7, 2))]),
        (&[In("a", 5, 1), In("b", 0, 2)], [Some((5, 1)), Some((5, 1)), None]),
        (&[In("a", 5, 1), In("b", -5, 2)], [Some((5, 1)), None, Some((-5, 1))]),
        (&[In("a", 5, 1), Late("b", 7)], [Some((5, 1)), Some((5, 1)), Some((5, 1))]),
        (&[Late("a", 5), In("b", 7, 2)], [Some((7, 2)), Some((7, 2)), Some((7, 2))]),
        // An amended reward keeps its place and its time.
        (&[In("a", 5, 1), In("b", 7, 2), Amend("a", 3)], [Some((3, 1)), Some((10, 1)), Some((7, 1))]),
        (&[In("a", 5, 1), In("b", 7, 2), Amend("a", 0)], [Some((7, 2)), Some((7, 2)), Some((7, 2))]),
        (&[In("a", 0, 1), In("b", 7, 2), Amend("a", 3)], [Some((3, 1)), Some((10, 1)), Some((7, 1))]),
        (&[In("a", 5, 1), Amend("a", 6), Amend("a", -1)], [Some((-1, 1)), Some((-1, 1)), Some((-1, 1))]),
        // A retracted one leaves nothing, and can be amended again.
        (&[In("a", 5, 1), Retract("a")], [None, None, None]),
        (&[In("a", 5, 1), In("b", 7, 2), Retract("a")], [Some((7, 2)), Some((7, 2)), Some((7, 2))]),
        (&[In("a", 5, 1), In("b", 7, 2), Retract("b")], [Some((5, 1)), Some((5, 1)), Some((5, 1))]),
        (&[In("a", 5, 1), In("b", 7, 2), Amend("b", 0)], [Some((5, 1)), Some((5, 1)), None]),
        (&[In("a", 5, 1), Retract("a"), Amend("a", 2)], [Some((2, 1)), Some((2, 1)), Some((2, 1))]),
        // What came late stays late.
        (&[Late("a", 5), Amend("a", 6)], [None, None, None]),
        (&[Late("a", 5), Retract("a"), In("b", 1, 3)], [Some((1, 3)), Some((1, 3)), Some((1, 3))]),
    ];
    for (index, (steps, expected)) in cases.iter().enumerate() {
        for (aggregation, expected) in [First, Sum, Last].into_iter().zip(expected) {
            let found = come_to(steps, aggregation, None, false);
            assert_eq!(found, expected.map(|(value, at)| (value, false, at)), "case {index}, {aggregation:?}");
        }
    }
}

#[test]
fn the_cap_is_that_of_what_rewards_come_to() {
    for (steps, aggregation, expected) in [
        (&[In("a", 12, 1), In("b", 3, 2)][..], First, Some((10, true, 1))),
        (&[In("a", 12, 1), In("b", 3, 2)], Last, Some((3, false, 1))),
        (&[In("a", 8, 1), In("b", 3, 2)], Sum, Some((10, true, 1))),
        (&[In("a", 12, 1), In("b", -4, 2)], Sum, Some((8, false, 1))),
        (&[In("a", -12, 1)], Sum, Some((-10, true, 1))),
        (&[In("a", 12, 1), Amend("a", 10)], First, Some((10, false, 1))),
    ] {
        assert_eq!(come_to(steps, aggregation, Some(10), false), expected);
    }
    let huge = [In("a", VALUE_MAX, 1), In("b", VALUE_MAX, 2)];
    assert_eq!(come_to(&huge, Sum, None, false), Some((VALUE_MAX, true, 1)), "no sum outgrows a reward");
}

#[test]
fn a_deferred_decision_comes_to_nothing_before_its_activation() {
    for (steps, expected) in [
        (&[In("a", 5, 1)][..], None),
        (&[In("a", 5, 1), Amend("a", 6)], None),
        (&[In("a", 5, 1), Activate(3)], Some((5, false, 3))),
        (&[Activate(3), In("a", 5, 4)], Some((5, false, 4))),
        (&[In("a", 5, 1), Amend("a", 6), Activate(3)], Some((6, false, 3))),
        (&[In("a", 5, 1), Activate(3), Retract("a")], None),
        (&[In("a", 5, 1), ActivateLate], None),
    ] {
        assert_eq!(come_to(steps, First, None, true), expected);
    }
}

#[test]
fn a_reward_stands_as_the_facts_make_it() {
    let check = |steps: &[Step], reward: &str, aggregation, deferred| {
        let facts: Vec<Fact> = steps.iter().map(|step| fact(*step, aggregation, None)).collect();
        let facts: Vec<&Fact> = facts.iter().collect();
        let known = facts.iter().find_map(|fact| match fact {
            Fact::Rewarded(known) if known.reward_id == id(reward) => Some(known),
            Fact::Rewarded(_) | Fact::Corrected { .. } | Fact::Activated { .. } | Fact::Erased => None,
        });
        standing(&facts, known.expect("one of them"), deferred)
    };
    use Standing::*;
    let two = [In("a", 5, 1), In("b", 7, 2)];
    assert_eq!([First, Sum, Last].map(|how| check(&two, "b", how, false)), [AlreadyConverted, Learned, Learned]);
    let taken_back = [two[0], two[1], Retract("a")];
    assert_eq!(["a", "b"].map(|reward| check(&taken_back, reward, First, false)), [Learned, Learned]);
    let amended = [In("a", 0, 1), two[1], Amend("a", 3)];
    assert_eq!(["a", "b"].map(|reward| check(&amended, reward, First, false)), [Learned, AlreadyConverted]);
    assert_eq!(check(&[Late("a", 1), Amend("a", 2)], "a", First, true), AfterWindow);
    assert_eq!(check(&two, "a", First, true), AwaitsActivation);
    assert_eq!(check(&[two[0], Activate(2)], "a", First, true), Learned);
}
