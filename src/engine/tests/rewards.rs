//! Rewards by receipt: what is refused, by name, and what is taken.

use crate::domain::{Context, Span, Timestamp};
use crate::engine::Engine;
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
    (driver.engine.seal(record, false, decision.settings(), "v"), record.decided_at())
}

fn reward(receipt: &str) -> Reward<'_> {
    Reward {
        action: Action::Reward,
        receipt,
        goal: None,
        value: None,
        currency: None,
        reward_id: None,
        occurred_at: None,
    }
}

fn refused(engine: &Engine, reward: &Reward<'_>, now: Timestamp) -> String {
    engine.reward(reward, now).expect_err("refused").to_string()
}

#[test]
fn a_receipt_is_good_until_ninety_days_after_its_window() {
    let driver = Driver::with(definition("uniform", Parameters::new()));
    let (receipt, decided) = sealed(&driver);
    let last = decided + Span::DAY + LATE_SPAN;
    assert!(driver.engine.reward(&reward(&receipt), last).is_ok());
    let after = driver.engine.reward(&reward(&receipt), last + Span::from_millis(1));
    assert_eq!(after.expect_err("expired"), RewardError::Receipt(ReceiptError::Expired));
}

#[test]
fn every_refusal_names_what_is_wrong() {
    let mut driver = Driver::with(definition("uniform", Parameters::new()));
    let (receipt, decided) = sealed(&driver);
    let now = decided + Span::HOUR;
    let engine = &driver.engine;
    let goal = refused(engine, &Reward { goal: Some("puchase"), ..reward(&receipt) }, now);
    assert!(goal.contains("puchase") && goal.contains("purchase"), "{goal}");
    for value in [2.0, -1.0, 0.5, f64::NAN, f64::INFINITY] {
        let value = refused(engine, &Reward { value: Some(value), ..reward(&receipt) }, now);
        assert!(value.contains("value") && value.contains("0 or 1"), "{value}");
    }
    for at in [decided.minus(Span::SECOND), now + Span::SECOND] {
        let at = refused(engine, &Reward { occurred_at: Some(at), ..reward(&receipt) }, now);
        assert!(at.contains("occurred_at"), "{at}");
    }
    let elsewhere = Engine::new(Secret::new([8; 32]), 1);
    let foreign = elsewhere.reward(&reward(&receipt), now).expect_err("foreign");
    assert_eq!(foreign, RewardError::Receipt(ReceiptError::Foreign));
    let twin = Engine::new(Secret::new([7; 32]), 1);
    assert!(refused(&twin, &reward(&receipt), now).contains("no such experiment"));
    let experiment = crate::domain::ExperimentKey::new("hero").expect("a key");
    driver.apply(Event::ExperimentDeleted { experiment, at: START });
    assert!(refused(&driver.engine, &reward(&receipt), now).contains("deleted"));
    assert!(
        driver
            .engine
            .save(definition("uniform", Parameters::new()), crate::engine::definition::Status::Draft, now)
            .is_err()
    );
}
