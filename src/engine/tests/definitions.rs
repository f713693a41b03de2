//! What a definition may say: every refusal names its field; schedules, audiences and traffic are obeyed.

use std::sync::Arc;

use crate::domain::*;
use crate::engine::decide::Reason;
use crate::engine::definition::*;
use crate::engine::event::Event;
use crate::engine::tests::driver::{Driver, START, definition, share};
use crate::policy::{Parameter, Parameters};

fn refused(change: impl FnOnce(&mut Definition)) -> String {
    let mut definition = definition("uniform", Parameters::new());
    change(&mut definition);
    Driver::new().engine.save(definition, Status::Draft, START).expect_err("refused").to_string()
}

fn counting(definition: &mut Definition) -> &mut Goal {
    definition.goals[0].kind = GoalKind::Count;
    &mut definition.goals[0]
}

fn worthy(definition: &mut Definition) -> &mut Goal {
    definition.goals[0].currency = Currency::new("EUR");
    &mut definition.goals[0]
}

#[test]
fn every_refusal_names_its_field() {
    let goal = |key: &str, role| Goal::conversion(GoalKey::new(key).expect("a key"), role, Span::DAY);
    let rule = |name: &str, when: &str| Rule { name: RuleName::new(name).expect("a key"), when: when.into() };
    let many = |count: usize| {
        let variation = |index| Variation::new(VariationKey::new(&format!("v{index}")).expect("a key"), "1");
        (0..count).map(variation).collect::<Vec<_>>()
    };
    for (field, message) in [
        ("variations", refused(|d| d.variations.clear())),
        ("variations", refused(|d| d.variations = many(257))),
        ("variations[3].key", refused(|d| d.variations.push(d.variations[0].clone()))),
        ("variations[0].payload", refused(|d| d.variations[0].payload = Arc::from("1".repeat(65_537)))),
        ("goals", refused(|d| d.goals.clear())),
        ("goals", refused(|d| d.goals[0].role = Role::Guardrail)),
        ("goals", refused(|d| d.goals.push(goal("b", Role::Primary)))),
        ("goals[1].key", refused(|d| d.goals.push(goal("purchase", Role::Secondary)))),
        ("goals[0].window", refused(|d| d.goals[0].window = Span::ZERO)),
        ("goals[0].window", refused(|d| d.goals[0].window = Span::DAY.times(366))),
        ("bucket", refused(|d| d.bucket = Span::from_millis(7 * 60_000))),
        ("bucket", refused(|d| d.bucket = Span::ZERO)),
        (
            "bucket",
            refused(|d| {
                d.bucket = Span::from_millis(60_000);
                d.goals[0].window = Span::DAY.times(365);
            }),
        ),
        ("schedule.ends", refused(|d| d.schedule = Schedule { starts: Some(START), ends: Some(START) })),
        ("policy.floor", refused(|d| d.policy.floor = 0.17)),
        ("policy.floor", refused(|d| d.policy.floor = f64::NAN)),
        ("policy.floor", refused(|d| d.policy.floor = -0.1)),
        ("policy.kind", refused(|d| d.policy.kind = "thomson".into())),
        ("policy.greed", refused(|d| d.policy.parameters = Parameters::new().with("greed", Parameter::Number(1.0)))),
        ("audience", refused(|d| d.audience = Some("country ==".into()))),
        ("segments.by", refused(|d| d.segments = Segments::By(Vec::new()))),
        ("segments.rules", refused(|d| d.segments = Segments::Rules(vec![rule("all", "true")]))),
        ("goals[0].currency", refused(|d| d.goals[0].kind = GoalKind::Revenue)),
        ("goals[0].currency", refused(|d| d.goals[0].currency = Currency::new("EUR"))),
        ("goals[0].cap", refused(|d| d.goals[0].cap = Some(5))),
        ("goals[0].cap", refused(|d| counting(d).cap = Some(0))),
        ("goals[0].cap", refused(|d| counting(d).cap = Some(VALUE_MAX + 1))),
        ("goals[0].worth", refused(|d| d.goals[0].worth = Some(5.0))),
        ("goals[0].worth", refused(|d| worthy(d).worth = Some(f64::NAN))),
        ("goals[0].worth", refused(|d| worthy(d).worth = Some(0.0))),
        ("goals[0].worth", refused(|d| d.policy.objective = Objective::Margin)),
        ("goals[0].typical_delay", refused(|d| d.goals[0].typical_delay = Some(Span::DAY))),
        ("variations[1].cost", refused(|d| d.variations[1].cost = -1.0)),
        ("variations[1].cost", refused(|d| d.variations[1].cost = f64::INFINITY)),
        ("variations[2].cost_per_conversion", refused(|d| d.variations[2].cost_per_conversion = f64::NAN)),
        ("policy.half_life", refused(|d| d.policy.half_life = HalfLife::Fixed(Span::SECOND))),
        (
            "policy.objective",
            refused(|d| {
                counting(d);
                d.policy.objective = Objective::Margin;
            }),
        ),
        ("policy.expected_visitors", refused(|d| d.policy.expected_visitors = Some(0))),
        ("budget", refused(|d| d.budget = Some(Budget { amount: 5.0, visitors: 10, hard: false }))),
        ("budget.amount", refused(|d| d.budget = Some(Budget { amount: 0.0, visitors: 10, hard: false }))),
        ("budget.visitors", refused(|d| d.budget = Some(Budget { amount: 5.0, visitors: 0, hard: false }))),
        ("stopping.value_remaining", refused(|d| d.stopping.value_remaining = 0.0)),
        ("stopping.probability", refused(|d| d.stopping.probability = 1.0)),
        ("stopping.equivalence", refused(|d| d.stopping.equivalence = f64::NAN)),
        ("stopping.span_min", refused(|d| d.stopping.span_min = Span::DAY.times(366))),
        ("segments.rules[0].when", refused(|d| d.segments = Segments::Rules(vec![rule("a", "1 +")]))),
    ] {
        assert!(message.starts_with(&format!("{field}:")), "{field}: {message}");
    }
}

#[test]
fn saving_what_is_in_force_changes_nothing() {
    let driver = Driver::with(definition("uniform", Parameters::new()));
    let again = driver.engine.save(definition("uniform", Parameters::new()), Status::Draft, START).expect("usable");
    assert_eq!(again, None);
}

#[test]
fn whoever_does_not_take_part_gets_the_default_and_is_not_recorded() {
    let reason = |change: &dyn Fn(&mut Definition), context: &Context<'_>| {
        let mut definition = definition("uniform", Parameters::new());
        change(&mut definition);
        let decision = Driver::with(definition).decide(context, &[], 0);
        assert!(decision.reason == Reason::Policy || decision.record.is_none() && decision.variation == 0);
        decision.reason
    };
    let nobody = Context::new();
    let french = Context::from([("country", "FR".into())]);
    let audience = |d: &mut Definition| d.audience = Some(r#"country == "FR""#.into());
    assert_eq!(reason(&audience, &french), Reason::Policy);
    assert_eq!(reason(&audience, &nobody), Reason::NotInAudience);
    let later = START + Span::DAY;
    assert_eq!(reason(&|d| d.schedule.starts = Some(later), &nobody), Reason::NotRunning);
    assert_eq!(reason(&|d| d.schedule.ends = Some(START), &nobody), Reason::NotRunning);
    assert_eq!(reason(&|d| d.schedule = Schedule { starts: Some(START), ends: Some(later) }, &nobody), Reason::Policy);
    assert_eq!(reason(&|d| d.traffic = share(0.0), &nobody), Reason::NotInTraffic);
}

#[test]
fn a_missing_attribute_counts_as_no_match_and_is_counted() {
    let mut definition = definition("uniform", Parameters::new());
    definition.audience = Some(r#"country == "FR""#.into());
    let driver = Driver::with(definition);
    driver.decide(&Context::new(), &[], 0);
    assert_eq!(driver.engine.experiment("hero").expect("there").failed_conditions(), 1);
}

#[test]
fn a_status_decides_until_the_next() {
    let mut driver = Driver::with(definition("uniform", Parameters::new()));
    let experiment = ExperimentKey::new("hero").expect("a key");
    for (status, expected) in [
        (Status::Paused, Reason::NotRunning),
        (Status::Running, Reason::Policy),
        (Status::Ended, Reason::NotRunning),
        (Status::Draft, Reason::NotRunning),
    ] {
        driver.apply(Event::StatusChanged { experiment: experiment.clone(), status, at: START });
        assert_eq!(driver.decide(&Context::new(), &[], 1).reason, expected, "{status:?}");
    }
}

#[test]
fn half_the_traffic_is_half_the_visitors() {
    let mut definition = definition("uniform", Parameters::new());
    definition.traffic = share(0.5);
    let driver = Driver::with(definition);
    let inside = (0..10_000).filter(|i| driver.decide(&Context::new(), &[], *i).reason == Reason::Policy).count();
    // 4 standard deviations of a binomial.
    assert!((4_800..=5_200).contains(&inside), "{inside}");
}
