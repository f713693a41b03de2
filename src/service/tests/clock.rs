//! When the clock is wrong: it steps back, runs a year or two ahead, and is set right again. Nothing panics, no age is negative,
//! what is counted stays counted, and what it costs is what docs/DURABILITY.md says.

use std::sync::Arc;

use crate::domain::{Context, Span, Timestamp, VariationKey};
use crate::engine::decide::Reason;
use crate::engine::definition::*;
use crate::engine::error::RewardError;
use crate::engine::ledger::Outcome;
use crate::engine::receipt::ReceiptError;
use crate::engine::reward::{Action, Reward};
use crate::service::bench::{START, Site, run};
use crate::service::decide::{Answer, Query, Why};
use crate::service::error::FeedbackError;
use crate::service::retention::Retention;
use crate::service::reward::Subject;
use crate::service::tests::until;
use crate::service::verify::verify;
use crate::store::Store;
use crate::store::memory::MemoryStore;

const YEAR: Span = Span::DAY.times(365);
/// A journal that nothing is dropped from.
const ALL: Retention = Retention { span: Span::DAY.times(100_000), bytes: u64::MAX };

/// How wrong a clock is for a while.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Behind(Span),
    Ahead(Span),
}

impl Wrong {
    fn time(self, right: Timestamp) -> Timestamp {
        match self {
            Self::Behind(span) => right.minus(span),
            Self::Ahead(span) => right + span,
        }
    }
}

const WRONGS: [Wrong; 9] = [
    Wrong::Behind(Span::from_millis(1)),
    Wrong::Behind(Span::SECOND.times(30)),
    Wrong::Behind(Span::HOUR.times(2)),
    Wrong::Behind(Span::DAY.times(40)),
    Wrong::Behind(Span::DAY.times(100_000)),
    Wrong::Ahead(Span::HOUR.times(2)),
    Wrong::Ahead(Span::DAY.times(40)),
    Wrong::Ahead(YEAR),
    Wrong::Ahead(YEAR.times(3)),
];

/// Decides once, with what a request may bring.
fn decide(site: &Site, key: &str, receipt: Option<&str>, decision_id: Option<&str>) -> Arc<Answer<'static>> {
    let context = Context::new();
    let query = Query { receipt, decision_id, ..Query::new(key, Some("v"), &context) };
    run(site.service.decide(&query)).expect("there is an experiment")
}

fn reward(site: &Site, receipt: &str, occurred_at: Option<Timestamp>) -> Result<Outcome, FeedbackError> {
    let reward =
        Reward { action: Action::Reward, goal: None, value: None, currency: None, reward_id: None, occurred_at };
    run(site.service.reward(Subject::Receipt(receipt), &reward)).map(|rewarding| rewarding.outcome)
}

/// The experiment of a key with a change.
fn change(site: &Site, key: &str, change: impl FnOnce(&mut Definition)) {
    let experiment = site.service.engine().experiment(key).expect("there");
    let mut definition = Definition::clone(&experiment.active_full().settings.definition);
    change(&mut definition);
    run(site.service.save(definition, Status::Running)).expect("saved");
}

/// Experiments of every kind of memory: none, segments that borrow, a half-life, rewards that are waited for.
fn site(store: &Arc<MemoryStore>, retention: Retention) -> Site {
    let site = Site::keeping(store.clone(), START, retention);
    site.save("hero", "none");
    site.save("banner", "partial");
    site.save("fading", "none");
    change(&site, "fading", |definition| {
        definition.policy.half_life = HalfLife::Fixed(Span::DAY.times(7));
        definition.goals[0].delay = Delay::Survival;
    });
    site.save("waiting", "none");
    change(&site, "waiting", |definition| {
        definition.policy.half_life = HalfLife::Auto;
        definition.goals[0].delay = Delay::Wait;
    });
    site
}

const KEYS: [&str; 4] = ["hero", "banner", "fading", "waiting"];

/// Stops it, verifies what is there, and starts it again at its time.
fn verified(site: Site, store: &Arc<MemoryStore>, retention: Retention, name: &str) -> Site {
    site.checkpointed(&**store);
    let now = site.rest(store);
    let verified = verify(&**store, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(verified.passed(), "{name}: {:#?}", verified.differences);
    Site::keeping(store.clone(), now, retention)
}

/// Exposures and conversions that are counted.
fn counted(site: &Site, key: &str) -> (u64, u64) {
    let report = site.service.report(key).expect("there");
    let goals = report.totals.variations.iter().flat_map(|variation| &variation.goals);
    (report.totals.exposures, goals.map(|(_, goal)| goal.conversions).sum())
}

#[test]
fn a_wrong_clock_loses_no_count_and_verifies_at_every_moment() {
    for wrong in WRONGS {
        let name = format!("{wrong:?}");
        let store = Arc::new(MemoryStore::new());
        let mut site = site(&store, ALL);
        site.pass(Span::DAY.times(60));
        for (phase, is_wrong) in [false, true, false, true, false].into_iter().enumerate() {
            let right = START + Span::DAY.times(60) + Span::HOUR.times(phase as u64);
            site.set(if is_wrong { wrong.time(right) } else { right });
            let before = KEYS.map(|key| counted(&site, key));
            for key in KEYS {
                site.visit(key, 10);
            }
            for (key, (exposures, conversions)) in KEYS.into_iter().zip(before) {
                let after = counted(&site, key);
                assert_eq!(after.0, exposures + 10, "{name}, {key} in phase {phase}");
                assert!(after.1 >= conversions, "{name}, {key} in phase {phase}");
                let shares = site.service.engine().experiment(key).expect("there").active_full();
                let segments = shares.segments();
                let sums = segments.iter().map(|segment| shares.propensities(segment).iter().sum::<f64>());
                assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-9), "{name}, {key} in phase {phase}");
            }
            let before = KEYS.map(|key| counted(&site, key));
            site = verified(site, &store, ALL, &format!("{name}, phase {phase}"));
            assert_eq!(before, KEYS.map(|key| counted(&site, key)), "{name}, phase {phase}: after a restart");
        }
    }
}

#[test]
fn receipts_are_judged_by_the_clock_as_it_is_and_never_twice() {
    let store = Arc::new(MemoryStore::new());
    let mut site = site(&store, ALL);
    let now = site.now();
    let early = decide(&site, "hero", None, None).receipt.clone().expect("recorded");
    site.set(now + YEAR);
    let expired = FeedbackError::Reward(RewardError::Receipt(ReceiptError::Expired));
    assert_eq!(reward(&site, &early, None), Err(expired.clone()), "refused, and nothing recorded");
    let future = decide(&site, "hero", None, None).receipt.clone().expect("recorded");
    site.set(now);
    // A receipt of the future counts as one of this moment; what happened before its decision is refused by name.
    let before_it_was_made = reward(&site, &future, Some(now)).expect_err("before its decision").to_string();
    assert!(before_it_was_made.contains("occurred_at"), "{before_it_was_made}");
    assert_eq!(reward(&site, &future, None), Ok(Outcome::Recorded));
    assert_eq!(reward(&site, &future, None), Ok(Outcome::Repeated));
    assert_eq!(decide(&site, "hero", Some(&future), None).why, Why::Decided(Reason::Sticky));
    assert_eq!(reward(&site, &early, None), Ok(Outcome::Recorded), "set right, it is valid again");
    // Behind its decision, within the window; after the window by the right clock.
    let receipt = decide(&site, "hero", None, None).receipt.clone().expect("recorded");
    site.set(now.minus(Span::DAY.times(3)));
    assert_eq!(reward(&site, &receipt, None), Ok(Outcome::Recorded));
    let receipt = decide(&site, "hero", None, None).receipt.clone().expect("recorded");
    site.set(now);
    assert_eq!(reward(&site, &receipt, None), Ok(Outcome::Late), "its decision said three days ago");
    site = verified(site, &store, ALL, "receipts");
    assert_eq!(reward(&site, &future, None), Ok(Outcome::Repeated));
    assert_eq!(counted(&site, "hero"), (4, 3));
}

#[test]
fn events_of_one_instant_are_apart() {
    let store = Arc::new(MemoryStore::new());
    let site = site(&store, ALL);
    let answers: Vec<_> = (0..200).map(|_| decide(&site, "hero", None, None)).collect();
    let ids: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.decision_id.clone()).collect();
    assert_eq!(ids.len(), answers.len());
    for answer in &answers {
        let receipt = answer.receipt.as_deref().expect("recorded");
        assert_eq!(reward(&site, receipt, Some(site.now())), Ok(Outcome::Recorded), "it happened at once");
    }
    assert_eq!(counted(&site, "hero"), (200, 200));
    verified(site, &store, ALL, "one instant");
}

#[test]
fn an_answer_is_repeated_for_a_minute_whichever_way_the_clock_goes() {
    let store = Arc::new(MemoryStore::new());
    let site = site(&store, ALL);
    let id = |at: Timestamp| {
        site.set(at);
        decide(&site, "hero", None, Some("order-7")).receipt.clone().expect("recorded")
    };
    let now = site.now();
    let first = id(now + YEAR);
    assert_eq!(id(now + YEAR), first);
    assert_eq!(id((now + YEAR).minus(Span::SECOND.times(30))), first, "a small step back");
    let second = id(now);
    assert_ne!(second, first, "an answer of next year is none of the last minute");
    assert_eq!(id(now + Span::SECOND.times(59)), second);
    assert_ne!(id(now + Span::SECOND.times(61)), second);
}

/// What was learned before must not be a year old because a clock said so for an hour.
#[test]
fn an_hour_in_the_next_year_makes_nobody_forget() {
    let store = Arc::new(MemoryStore::new());
    let mut site = site(&store, ALL);
    // Enough to be sure of whichever way the draws went: these hang on when allocations come to be computed.
    site.visit("fading", 2_500);
    site.pass(Span::HOUR);
    let report = |site: &Site| {
        let report = site.service.report("fading").expect("there");
        report.totals.variations.iter().map(|variation| variation.best_probability.expect("told")).collect::<Vec<_>>()
    };
    let best = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
    site.visit("fading", 1);
    let before = report(&site);
    assert!(best(&before) > 0.9, "something was learned: {before:?}");
    let right = site.now();
    site.set(right + YEAR);
    site.visit("fading", 20);
    let meanwhile = report(&site);
    assert!(best(&meanwhile) < best(&before), "a year later it is mostly forgotten: {meanwhile:?}");
    site.set(right + Span::HOUR);
    site.visit("fading", 1);
    let after = report(&site);
    assert!((best(&after) - best(&before)).abs() < 0.1, "{before:?}, then {after:?}");
    verified(site, &store, ALL, "fading");
}

#[test]
fn an_experiment_ends_by_itself_though_the_clock_was_set_back() {
    let store = Arc::new(MemoryStore::new());
    let mut site = site(&store, ALL);
    let right = site.now();
    site.set(right + YEAR);
    // The watcher looks at its first tick by this clock; then the clock is right again.
    std::thread::sleep(std::time::Duration::from_millis(600));
    site.set(right);
    change(&site, "hero", |definition| {
        definition.on_finish = OnFinish::End;
        definition.stopping.span_min = Span::ZERO;
        definition.stopping.exposures_max = Some(20);
    });
    site.visit("hero", 20);
    let status = |site: &Site| site.service.engine().experiment("hero").expect("there").status();
    assert_eq!(status(&site), Status::Running);
    site.pass(Span::SECOND.times(61));
    until("the end", || {
        site.pass(Span::SECOND);
        status(&site) == Status::Ended
    });
    verified(site, &store, ALL, "ended");
}

#[test]
fn a_year_ahead_drops_single_events_and_nothing_that_they_counted() {
    let store = Arc::new(MemoryStore::new());
    let retention = Retention::default();
    let mut site = site(&store, retention);
    for _ in 0..3 {
        site.visit("hero", 40);
        site.pass(Span::HOUR.times(5));
    }
    let right = site.now();
    let before = counted(&site, "hero");
    site.checkpointed(&*store);
    site.set(right + YEAR);
    until("the journal's old blocks gone", || store.base().number > 0);
    let receipts = site.rewarded.clone();
    site.set(right);
    assert_eq!(counted(&site, "hero"), before);
    site.visit("hero", 5);
    assert_eq!(counted(&site, "hero").0, before.0 + 5);
    site = verified(site, &store, retention, "dropped");
    assert_eq!(counted(&site, "hero").0, before.0 + 5);
    for receipt in receipts {
        assert_eq!(reward(&site, &receipt, None), Ok(Outcome::Repeated), "the ledger still knows");
    }
}

/// The ledger forgets what is 455 days old; a replay of a journal that is longer asks for it.
#[test]
fn a_journal_of_three_years_is_replayed_as_it_was_judged() {
    let store = Arc::new(MemoryStore::new());
    let mut site = site(&store, ALL);
    for _ in 0..3 {
        site.visit("hero", 20);
        let receipt = site.rewarded.last().expect("rewarded").clone();
        assert_eq!(reward(&site, &receipt, None), Ok(Outcome::Repeated));
        site.pass(YEAR);
        site = verified(site, &store, ALL, "years");
    }
    crate::service::rebuild::rebuild(
        &*{
            site.rest(&store);
            store.clone()
        },
        &mut |_| {},
    )
    .expect("rebuilt");
    let again = Site::keeping(store.clone(), START + YEAR.times(3), ALL);
    assert_eq!(again.service.report("hero").expect("there").rewards.repeated, 3);
}

#[test]
fn a_schedule_is_kept_by_the_clock_as_it_is() {
    let store = Arc::new(MemoryStore::new());
    let site = site(&store, ALL);
    let now = site.now();
    change(&site, "hero", |definition| {
        definition.schedule = Schedule { starts: Some(now), ends: Some(now + Span::DAY) };
    });
    for (at, why) in [
        (now, Reason::Policy),
        (now.minus(Span::from_millis(1)), Reason::NotRunning),
        (now + YEAR, Reason::NotRunning),
        (now + Span::HOUR, Reason::Policy),
    ] {
        site.set(at);
        let answer = decide(&site, "hero", None, None);
        assert_eq!(answer.why, Why::Decided(why), "{at:?}");
        let default = VariationKey::new("plain").expect("a key");
        assert!(why == Reason::Policy || answer.active.settings.definition.variations[answer.variation].key == default);
    }
}
