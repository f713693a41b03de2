//! Rewards with values, costs and budgets: what is refused, what is learned, what is spent.

use crate::domain::{Context, Currency, GoalKind, Slot, Timestamp, VALUE_MAX};
use crate::engine::definition::*;
use crate::engine::event::Event;
use crate::engine::reward::{Action, Reward};
use crate::engine::tests::driver::{Driver, definition};
use crate::policy::Parameters;
use crate::posterior::tally::Moments;

fn selling(kind: GoalKind) -> Definition {
    let mut definition = definition("uniform", Parameters::new());
    definition.goals[0].kind = kind;
    definition.goals[0].currency = Currency::new("EUR").filter(|_| kind == GoalKind::Revenue);
    definition.goals[0].cap = Some(10_000);
    definition
}

struct Sale {
    driver: Driver,
    receipt: String,
    now: Timestamp,
}

impl Sale {
    fn of(kind: GoalKind) -> Self {
        let mut driver = Driver::with(selling(kind));
        let decision = driver.decide(&Context::new(), &[], 0);
        let record = decision.record.clone().expect("recorded");
        let receipt = driver.engine.seals(1).seal(&record, false, driver.engine.token("v"));
        driver.apply(decision.event().expect("an exposure"));
        Self { driver, receipt, now: record.decided_at() }
    }

    fn reward(&self, value: Option<f64>, currency: Option<&str>) -> Result<Event, String> {
        let reward = Reward { action: Action::Reward, goal: None, value, currency, reward_id: None, occurred_at: None };
        let receipt = self.driver.engine.open_receipt(&self.receipt).expect("our own");
        self.driver.engine.reward(receipt, &reward, self.now).map(|(event, _)| event).map_err(|error| error.to_string())
    }

    fn refused(&self, value: Option<f64>, currency: Option<&str>) -> String {
        self.reward(value, currency).expect_err("refused")
    }
}

#[test]
fn amounts_are_whole_bounded_and_in_the_goals_currency() {
    let sale = Sale::of(GoalKind::Revenue);
    let too_much = (VALUE_MAX + 1) as f64;
    for value in [f64::NAN, f64::INFINITY, -f64::INFINITY, 12.5, too_much, -too_much] {
        let message = sale.refused(Some(value), None);
        assert!(message.starts_with("value:") && message.contains("whole number of minor units"), "{message}");
    }
    assert!(sale.refused(None, None).starts_with("value: nothing"));
    assert!(sale.refused(Some(5.0), Some("USD")).contains("EUR"));
    for value in [-VALUE_MAX as f64, -3.0, 0.0, VALUE_MAX as f64] {
        assert!(sale.reward(Some(value), Some("EUR")).is_ok(), "{value}");
    }
    let count = Sale::of(GoalKind::Count);
    for value in [-1.0, 0.5, too_much] {
        assert!(count.refused(Some(value), None).starts_with("value:"), "{value}");
    }
    assert!(count.refused(Some(1.0), Some("EUR")).contains("no currency"));
    assert!(count.reward(None, None).is_ok());
}

#[test]
fn a_value_beyond_the_cap_is_kept_whole_learned_capped_and_counted() {
    for (value, learned) in [(25_000.0, 10_000), (-25_000.0, -10_000), (9_999.0, 9_999)] {
        let mut sale = Sale::of(GoalKind::Revenue);
        let event = sale.reward(Some(value), None).expect("allowed");
        assert!(matches!(&event, Event::Rewarded(rewarded) if (rewarded.value as f64 - value).abs() < 0.5));
        sale.driver.apply(event);
        let experiment = sale.driver.engine.experiment("hero").expect("there");
        let tallies = experiment.active().segments()[0].tallies().learning_total.clone();
        let sums = [0, 1, 2].map(|slot| tallies.moments(Slot(slot), Slot(0)));
        let expected = Moments { sum: learned, squares: learned * learned };
        assert!(sums.contains(&expected) && tallies.events() == 2, "{sums:?}");
        assert_eq!(experiment.reward_counts().capped, u64::from(value.abs() > 10_000.0));
    }
}

/// `bold` costs 9 with every exposure, `offer` 20 with every conversion; a conversion is worth 100.
fn costed(budget: Option<Budget>) -> Definition {
    let mut definition = definition("thompson", Parameters::new());
    definition.variations[1].cost = 9.0;
    definition.variations[2].cost_per_conversion = 20.0;
    definition.goals[0].currency = Currency::new("EUR");
    definition.goals[0].worth = Some(100.0);
    definition.policy.objective = Objective::Margin;
    definition.budget = budget;
    definition
}

#[test]
fn margins_decide_where_there_are_costs() {
    // Margins of 10, 0.12 × 100 − 9 = 3 and 0.09 × 80 = 7.2: conversions alone would choose the second.
    let mut driver = Driver::with(costed(None));
    for index in 0..6_000 {
        driver.play(&Context::new(), index, |variation| [0.1, 0.12, 0.09][variation]);
    }
    let active = driver.engine.experiment("hero").expect("there").active_full();
    let propensities = active.propensities(&active.segments()[0]);
    // In order of keys: bold, offer, plain.
    assert!(propensities[2] > 0.6 && propensities[0] < 0.05, "{propensities:?}");
}

#[test]
fn a_spent_budget_leaves_what_costs_out_and_says_so() {
    let mut driver = Driver::with(costed(Some(Budget { amount: 400.0, visitors: 1_000, hard: false })));
    let mut last = None;
    for index in 0..3_000 {
        last = Some(driver.play(&Context::new(), index, |_| 0.3));
    }
    let experiment = driver.engine.experiment("hero").expect("there");
    let active = experiment.active_full();
    let spent = active.spent(&active.all().expect("a budget is watched").tallies().learning_total);
    // Conversions of what was shown before may still come: one decision at a time here, so none is outstanding.
    assert!(experiment.exhausted() && spent <= 400.0 && spent > 375.0, "{spent}");
    let last = last.expect("3,000 were played");
    assert_eq!((last.variation, last.propensity().to_bits()), (0, 1.0_f64.to_bits()));
    let Some(Event::Exposed(exposed)) = last.event() else { panic!("an exposure") };
    assert_eq!(*exposed.excluded, [Slot(1), Slot(2)]);
}

#[test]
fn a_hard_budget_keeps_what_costs_out_of_the_floor() {
    let mut definition = costed(Some(Budget { amount: 400.0, visitors: 1_000, hard: true }));
    definition.policy.floor = 0.1;
    let driver = Driver::with(definition);
    let active = driver.engine.experiment("hero").expect("there").active_full();
    assert_eq!(active.settings.floors(), [0.0, 0.0, 0.1]);
}
