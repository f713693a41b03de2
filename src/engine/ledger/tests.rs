//! Who came first, live and at replay.

use crate::domain::*;
use crate::engine::contribution::Contribution;
use crate::engine::event::*;
use crate::engine::known::Known;
use crate::engine::ledger::*;

fn record() -> DecisionRecord {
    DecisionRecord {
        experiment: ExperimentKey::new("hero").expect("a key"),
        epoch: 0,
        definition: 1,
        segment: SegmentKey::new("all"),
        variation: Slot(1),
        allocation: AllocationId(7),
        propensity: 0.5,
        control: false,
        decision: DecisionId::new(Timestamp::from_millis(1_000), 42),
        features: crate::domain::Features::new(),
    }
}

fn reward(id: &str, value: i64, arrived: u64, deferred: bool) -> Event {
    Event::Rewarded(Rewarded {
        record: record(),
        deferred,
        goal: Slot(0),
        value,
        reward_id: RewardId::new(id).expect("an id"),
        arrived_at: Timestamp::from_millis(arrived),
        occurred_at: None,
        window: Span::from_millis(500),
        cap: None,
        aggregation: Aggregation::First,
    })
}

fn amend(id: &str, value: i64) -> Event {
    let reward_id = RewardId::new(id).expect("an id");
    let arrived_at = Timestamp::from_millis(9_000);
    Event::Amended(Amended { record: record(), deferred: false, goal: Slot(0), value, reward_id, arrived_at })
}

fn retract(id: &str) -> Event {
    let reward_id = RewardId::new(id).expect("an id");
    let arrived_at = Timestamp::from_millis(9_000);
    Event::Retracted(Retracted { record: record(), deferred: false, goal: Slot(0), reward_id, arrived_at })
}

fn activation(at: u64) -> Event {
    Event::Activated(Activated { record: record(), at: Timestamp::from_millis(at), window: Span::from_millis(500) })
}

/// Judges a history live, then again as a replay does: with the whole ledger known beforehand.
fn check(history: &[Event]) -> Vec<Judgement> {
    let at = |index: usize| Position { block: 1, index: u32::try_from(index).expect("short") };
    let mut known = Known::default();
    let mut live = Vec::new();
    for (index, event) in history.iter().enumerate() {
        let judgement = judge(event, at(index), &known);
        known.facts.extend(judgement.entry.clone());
        live.push(judgement);
    }
    let replayed: Vec<_> = history.iter().enumerate().map(|(index, event)| judge(event, at(index), &known)).collect();
    assert_eq!(live, replayed, "a replay judges as the first time");
    live
}

fn fates(history: &[Event]) -> Vec<(Outcome, Standing)> {
    check(history).iter().map(|j| (j.outcome, j.standing)).collect()
}

use Outcome::{Late, Recorded, Refused, Repeated, Unknown};
use Standing::{AfterWindow, AlreadyConverted, AwaitsActivation, Learned};

#[test]
fn the_first_reward_wins_and_a_repeat_changes_nothing() {
    assert_eq!(
        fates(&[reward("a", 1, 1_100, false), reward("a", 0, 1_200, false)]),
        [(Recorded, Learned), (Repeated, Learned)]
    );
}

#[test]
fn a_second_conversion_under_another_id_is_kept_and_not_counted_twice() {
    assert_eq!(
        fates(&[reward("a", 1, 1_100, false), reward("b", 1, 1_200, false)]),
        [(Recorded, Learned), (Recorded, AlreadyConverted)]
    );
    assert_eq!(fates(&[reward("a", 0, 1_100, false), reward("b", 1, 1_200, false)])[1], (Recorded, Learned));
}

#[test]
fn a_reward_after_its_window_is_late_and_its_repeat_says_so() {
    assert_eq!(fates(&[reward("a", 1, 1_500, false), reward("b", 1, 1_501, false)])[1], (Late, AfterWindow));
    assert_eq!(
        fates(&[reward("a", 1, 1_501, false), reward("a", 1, 1_502, false)]),
        [(Late, AfterWindow), (Repeated, AfterWindow)]
    );
}

#[test]
fn what_happened_in_time_but_arrived_after_is_in_time() {
    let Event::Rewarded(mut rewarded) = reward("a", 1, 9_000, false) else { unreachable!("a reward") };
    rewarded.occurred_at = Some(Timestamp::from_millis(1_400));
    assert_eq!(fates(&[Event::Rewarded(rewarded)]), [(Recorded, Learned)]);
}

#[test]
fn a_reward_never_activates_but_waits_for_the_activation() {
    let judged =
        check(&[reward("a", 1, 1_100, true), reward("b", 1, 1_150, true), activation(1_200), activation(1_300)]);
    assert_eq!(judged[0].standing, AwaitsActivation);
    assert_eq!(judged[1].standing, AlreadyConverted);
    let released = Contribution { value: 1, capped: false, delay: Span::from_millis(200) };
    assert_eq!(judged[2].changes, [Change { goal: Slot(0), before: None, after: Some(released) }]);
    assert_eq!((judged[3].outcome, judged[3].changes.len()), (Repeated, 0));
    assert_eq!(fates(&[activation(1_100), reward("a", 1, 1_200, true)])[1], (Recorded, Learned));
}

#[test]
fn a_late_activation_releases_nothing() {
    let judged = check(&[reward("a", 1, 1_100, true), activation(1_501), reward("b", 1, 1_400, true)]);
    assert_eq!((judged[1].outcome, judged[1].changes.len()), (Late, 0));
    assert_ne!(judged[2].standing, Learned);
}

#[test]
fn one_receipt_cannot_fill_the_ledger() {
    let history: Vec<Event> = (0..MAX_FACTS + 10).map(|index| reward(&format!("r{index}"), 0, 1_100, false)).collect();
    let judged = check(&history);
    assert!(judged[..MAX_FACTS].iter().all(|judgement| judgement.outcome == Recorded));
    assert!(judged[MAX_FACTS..].iter().all(|judgement| judgement.outcome == Refused && judgement.entry.is_none()));
    let repeated = [history, vec![reward("r0", 0, 1_200, false)]].concat();
    assert_eq!(check(&repeated).last().map(|judgement| judgement.outcome), Some(Repeated), "what is known stays known");
}

#[test]
fn amendments_and_retractions_are_judged_by_the_reward() {
    for (history, outcomes) in [
        (vec![amend("a", 1)], vec![Unknown]),
        (vec![retract("a"), reward("a", 1, 1_100, false), retract("b")], vec![Unknown, Recorded, Unknown]),
        (
            vec![reward("a", 1, 1_100, false), amend("a", 1), amend("a", 0), amend("a", 0)],
            vec![Recorded, Repeated, Recorded, Repeated],
        ),
        (
            vec![reward("a", 1, 1_100, false), retract("a"), retract("a"), reward("a", 1, 1_200, false)],
            vec![Recorded, Recorded, Repeated, Repeated],
        ),
        (vec![reward("a", 1, 1_100, false), retract("a"), amend("a", 1)], vec![Recorded, Recorded, Recorded]),
        // Long after the window: in time, because the reward was.
        (vec![reward("a", 1, 1_500, false), amend("a", 0)], vec![Recorded, Recorded]),
        (
            vec![reward("a", 1, 1_501, false), amend("a", 0), retract("a"), retract("a")],
            vec![Late, Late, Late, Repeated],
        ),
    ] {
        assert_eq!(check(&history).iter().map(|judged| judged.outcome).collect::<Vec<_>>(), outcomes, "{history:?}");
    }
    let late = check(&[reward("a", 1, 1_501, false), amend("a", 5)]);
    assert_eq!((late[1].standing, late[1].changes.len()), (AfterWindow, 0));
}

#[test]
fn a_retraction_lets_the_next_reward_count() {
    let judged = check(&[reward("a", 1, 1_100, false), reward("b", 1, 1_300, false), retract("a"), retract("b")]);
    let one = |millis| Some(Contribution { value: 1, capped: false, delay: Span::from_millis(millis) });
    let goal = Slot(0);
    assert_eq!(judged[2].changes, [Change { goal, before: one(100), after: one(300) }]);
    assert_eq!(judged[3].changes, [Change { goal, before: one(300), after: None }]);
    assert_eq!((judged[1].standing, judged[3].standing), (AlreadyConverted, Learned));
}

#[test]
fn amendments_are_bounded_like_rewards() {
    let mut history = vec![reward("a", 0, 1_100, false)];
    history.extend((0..MAX_FACTS).map(|index| amend("a", i64::try_from(index).expect("small") + 1)));
    let judged = check(&history);
    assert!(judged[..MAX_FACTS].iter().all(|judgement| judgement.outcome == Recorded));
    let last = &judged[MAX_FACTS];
    assert!(last.outcome == Refused && last.entry.is_none() && last.changes.is_empty());
}
