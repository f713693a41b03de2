//! Rewards by receipt: what is refused, by name, and what is taken.

use crate::domain::{Aggregation, Context, GoalKey, GoalKind, RewardId, Span, Timestamp};
use crate::engine::Engine;
use crate::engine::definition::{Definition, Goal, Role, Status};
use crate::engine::error::RewardError;
use crate::engine::event::Event;
use crate::engine::receipt::ReceiptError;
use crate::engine::reward::{Action, Reward};
use crate::engine::secret::Secret;
use crate::engine::settings::LATE_SPAN;
use crate::engine::tests::driver::{Driver, START, definition};
use crate::policy::Parameters;

fn sealed(driver: &Driver) -> (String, Timestamp) {
    let decision = driver.decide(&Context::new(), &[], 0);
    let record = decision.record.as_ref().expect("recorded");
    (driver.engine.seals(1).seal(record, false, driver.engine.token("v")), record.decided_at())
}

const REWARD: Reward<'_> =
    Reward { action: Action::Reward, goal: None, value: None, currency: None, reward_id: None, occurred_at: None };

fn take(engine: &Engine, receipt: &str, reward: &Reward<'_>, now: Timestamp) -> Result<(Event, RewardId), RewardError> {
    engine.reward(engine.open_receipt(receipt)?, reward, now)
}

fn refused(engine: &Engine, receipt: &str, reward: &Reward<'_>, now: Timestamp) -> String {
    take(engine, receipt, reward, now).expect_err("refused").to_string()
}

#[test]
fn a_receipt_is_good_until_ninety_days_after_its_window() {
    let driver = Driver::with(definition("uniform", Parameters::new()));
    let (receipt, decided) = sealed(&driver);
    let last = decided + Span::DAY + LATE_SPAN;
    assert!(take(&driver.engine, &receipt, &REWARD, last).is_ok());
    let after = take(&driver.engine, &receipt, &REWARD, last + Span::from_millis(1));
    assert_eq!(after.expect_err("expired"), RewardError::Receipt(ReceiptError::Expired));
}

#[test]
fn every_refusal_names_what_is_wrong() {
    let mut driver = Driver::with(definition("uniform", Parameters::new()));
    let (receipt, decided) = sealed(&driver);
    let now = decided + Span::HOUR;
    let engine = &driver.engine;
    let goal = refused(engine, &receipt, &Reward { goal: Some("puchase"), ..REWARD }, now);
    assert!(goal.contains("puchase") && goal.contains("purchase"), "{goal}");
    for value in [2.0, -1.0, 0.5, f64::NAN, f64::INFINITY] {
        let value = refused(engine, &receipt, &Reward { value: Some(value), ..REWARD }, now);
        assert!(value.contains("value") && value.contains("0 or 1"), "{value}");
    }
    for at in [decided.minus(Span::SECOND), now + Span::SECOND] {
        let at = refused(engine, &receipt, &Reward { occurred_at: Some(at), ..REWARD }, now);
        assert!(at.contains("occurred_at"), "{at}");
    }
    let elsewhere = Engine::new(Secret::new([8; 32]), 1);
    let foreign = elsewhere.open_receipt(&receipt).expect_err("foreign");
    assert_eq!(foreign, ReceiptError::Foreign);
    let twin = Engine::new(Secret::new([7; 32]), 1);
    assert!(refused(&twin, &receipt, &REWARD, now).contains("no such experiment"));
    let experiment = crate::domain::ExperimentKey::new("hero").expect("a key");
    driver.apply(Event::ExperimentDeleted { experiment, at: START });
    assert!(refused(&driver.engine, &receipt, &REWARD, now).contains("deleted"));
    assert!(
        driver
            .engine
            .save(definition("uniform", Parameters::new()), crate::engine::definition::Status::Draft, now)
            .is_err()
    );
}

#[test]
fn an_amendment_names_its_value_and_nothing_of_its_time() {
    let driver = Driver::with(definition("uniform", Parameters::new()));
    let (receipt, decided) = sealed(&driver);
    let now = decided + Span::HOUR;
    let amend = Reward { action: Action::Amend, ..REWARD };
    let retract = Reward { action: Action::Retract, ..REWARD };
    for (reward, field) in [
        (amend, "value: nothing"),
        (Reward { value: Some(2.0), ..amend }, "value: 2"),
        (Reward { value: Some(1.0), occurred_at: Some(now), ..amend }, "occurred_at"),
        (Reward { occurred_at: Some(now), ..retract }, "occurred_at"),
        (Reward { value: Some(0.0), ..retract }, "value: 0"),
    ] {
        let message = refused(&driver.engine, &receipt, &reward, now);
        assert!(message.starts_with(field), "{message}");
    }
    let (event, id) = take(&driver.engine, &receipt, &Reward { value: Some(0.0), ..amend }, now).expect("allowed");
    assert!(matches!(event, Event::Amended(amended) if amended.value == 0 && amended.reward_id == id));
    assert!(matches!(take(&driver.engine, &receipt, &retract, now), Ok((Event::Retracted(_), _))));
}

#[test]
fn what_was_learned_of_features_is_not_taken_back() {
    let mut features = definition("linear-thompson", Parameters::new());
    let refused_rewards = |definition: &Definition| {
        let driver = Driver::new();
        let saved = driver.engine.save(definition.clone(), Status::Running, START);
        saved.expect_err("refused").to_string()
    };
    features.goals[0].kind = GoalKind::Count;
    features.goals[0].aggregation = Aggregation::Sum;
    let message = refused_rewards(&features);
    assert!(message.starts_with("goals[0].rewards") && message.contains("first"), "{message}");
    features.goals[0].aggregation = Aggregation::First;
    let key = GoalKey::new("clicks").expect("a key");
    let kind = GoalKind::Count;
    let clicks = Goal { kind, aggregation: Aggregation::Sum, ..Goal::conversion(key, Role::Secondary, Span::DAY) };
    features.goals.push(clicks);
    let driver = Driver::with(features);
    let (receipt, decided) = sealed(&driver);
    let now = decided + Span::HOUR;
    for action in [Action::Amend, Action::Retract] {
        let given = Reward { action, value: Some(1.0).filter(|_| action == Action::Amend), ..REWARD };
        let message = refused(&driver.engine, &receipt, &given, now);
        assert!(message.starts_with("action") && message.contains("features"), "{message}");
        assert!(
            take(&driver.engine, &receipt, &Reward { goal: Some("clicks"), ..given }, now).is_ok(),
            "no model learns from it"
        );
    }
}

#[test]
fn a_conversion_is_not_summed_and_another_aggregation_begins_an_epoch() {
    let counted = |kind, aggregation| {
        let mut definition = definition("thompson", Parameters::new());
        definition.goals[0].kind = kind;
        definition.goals[0].aggregation = aggregation;
        definition
    };
    let mut driver = Driver::with(counted(GoalKind::Count, Aggregation::First));
    let sum = counted(GoalKind::Conversion, Aggregation::Sum);
    let message = driver.engine.save(sum, Status::Running, START).expect_err("refused").to_string();
    assert!(message.starts_with("goals[0].rewards") && message.contains("first"), "{message}");
    driver.save(counted(GoalKind::Count, Aggregation::Sum), START);
    assert_eq!(driver.engine.experiment("hero").expect("there").active().settings.epoch, 1);
}
