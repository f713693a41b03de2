//! The state is the fold of the journal: replayed, restored or never stopped, bit for bit the same.

use crate::domain::{Context, Span, VariationKey};
use crate::engine::Engine;
use crate::engine::checkpoint::{Changes, RowName, StateRecord};
use crate::engine::definition::*;
use crate::engine::event::{Event, Exposed};
use crate::engine::ledger::{Judgement, Position, judge};
use crate::engine::refresh::RefreshJob;
use crate::engine::secret::Secret;
use crate::engine::tests::driver::{Driver, START, definition};
use crate::policy::{Parameter, Parameters, REGISTRY};
use std::sync::Arc;

fn by_device(kind: &str, parameters: Parameters) -> Definition {
    let mut definition = definition(kind, parameters);
    definition.segments = Segments::By(vec![crate::domain::AttributeName::new("device").expect("a name")]);
    definition
}

fn delayed(pooling: &str, delay: Delay) -> Definition {
    let mut definition = by_device("thompson", Parameters::new().with("pooling", Parameter::Text(pooling.into())));
    definition.goals[0].delay = delay;
    definition
}

fn device(index: u64) -> Context<'static> {
    Context::from([("device", ["mobile", "desktop", "tablet"][usize::try_from(index % 3).expect("small")].into())])
}

/// Everything an engine holds, as plain data.
pub(crate) fn state(engine: &Engine) -> Vec<StateRecord> {
    for experiment in engine.experiments() {
        experiment.mark_changed();
        experiment.active().segments().iter().for_each(|segment| segment.mark_changed());
        experiment.active().all().iter().for_each(|all| all.mark_changed());
        experiment.active().model.iter().for_each(|model| model.mark_changed());
    }
    engine.changes().records
}

fn rate(variation: usize) -> f64 {
    [0.1, 0.2, 0.3][variation]
}

#[test]
fn a_replay_arrives_at_the_same_state_for_every_policy() {
    let keys: Vec<VariationKey> = ["bold", "offer", "plain"].map(|key| VariationKey::new(key).expect("a key")).to_vec();
    for registration in REGISTRY {
        let mut driver = Driver::with(by_device(registration.kind, (registration.example)(&keys)));
        for index in 0..500 {
            driver.play(&device(index), index, rate);
        }
        let again = Engine::new(Secret::new([7; 32]), 2);
        for (index, event) in driver.journal.iter().enumerate() {
            let position = Position { block: 1, index: u32::try_from(index).expect("short") };
            let mut jobs = Vec::new();
            again.apply(event, &judge(event, position, &driver.known), &mut jobs);
            jobs.iter().for_each(|job| again.abandon(job));
        }
        assert_eq!(state(&driver.engine), state(&again), "{}", registration.kind);
    }
}

#[test]
fn saved_restored_and_continued_is_as_if_never_stopped() {
    for (pooling, delay) in [
        ("none", Delay::None),
        ("partial", Delay::None),
        ("complete", Delay::None),
        ("none", Delay::Survival),
        ("partial", Delay::Survival),
    ] {
        let mut steady = Driver::with(delayed(pooling, delay));
        for index in 0..300 {
            steady.play(&device(index), index, rate);
        }
        let mut stopped =
            Driver { engine: Engine::new(Secret::new([7; 32]), 3), journal: Vec::new(), known: steady.known.clone() };
        stopped.engine.restore(state(&steady.engine)).expect("fits together");
        assert_eq!(state(&steady.engine), state(&stopped.engine), "{pooling}");
        for index in 300..600 {
            let (a, b) = (steady.play(&device(index), index, rate), stopped.play(&device(index), index, rate));
            assert_eq!(a.record, b.record, "{pooling}, visitor {index}");
        }
        assert_eq!(state(&steady.engine), state(&stopped.engine), "{pooling}");
    }
}

#[test]
fn exposures_that_wait_for_their_rewards_are_computed_from_as_they_grow_and_not_one_by_one() {
    let [known, open] = [Delay::None, Delay::Survival].map(|delay| {
        let mut driver = Driver::with(delayed("partial", delay));
        (0..2_000).for_each(|index| drop(driver.play(&device(index), index, |_| 0.0)));
        driver.journal.iter().filter(|event| matches!(event, Event::PoolFitted(_))).count()
    });
    // 20 while a tenth of them is one event, then one for each tenth more.
    assert!((50..90).contains(&known), "{known} fits");
    assert_eq!(open, known);
}

/// A fit of all segments names the variations of its definition. One that was computed before a variation was removed kept a
/// server from starting again.
#[test]
fn what_was_computed_for_other_variations_is_restored() {
    for pooling in ["none", "partial", "complete"] {
        let parameters = Parameters::new().with("pooling", Parameter::Text(pooling.into()));
        let mut driver = Driver::with(by_device("thompson", parameters.clone()));
        for index in 0..300 {
            driver.play(&device(index), index, rate);
        }
        let mut fewer = by_device("thompson", parameters);
        fewer.variations.pop();
        // As a checkpoint that is saved before anything is computed for the new definition.
        let saved = driver.engine.save(fewer, Status::Running, START + Span::HOUR).expect("usable").expect("new");
        driver.engine.apply(&Event::ExperimentSaved(Arc::new(saved)), &Judgement::PLAIN, &mut Vec::new());
        let restored = Engine::new(Secret::new([7; 32]), 3);
        restored.restore(state(&driver.engine)).expect("fits together");
        assert_eq!(state(&driver.engine), state(&restored), "{pooling}");
        assert!(driver.decide(&device(1), &[], 1_000).variation < 2, "{pooling}");
    }
}

/// Of exposures that come together those of one variation are counted first: an allocation that was computed then would take it for one
/// that was shown and never paid, beside others that were not shown at all.
#[test]
fn what_becomes_due_by_several_exposures_is_computed_from_all_of_them() {
    for pooling in ["none", "partial", "complete"] {
        let parameters = Parameters::new().with("pooling", Parameter::Text(pooling.into()));
        let [single, together] = [(); 2].map(|()| {
            let mut driver = Driver::with(by_device("thompson", parameters.clone()));
            (0..60).for_each(|index| drop(driver.play(&device(index), index, rate)));
            driver
        });
        let decided = (1_000..1_040).map(|index| single.decide(&device(0), &[], index));
        let mut records: Vec<_> = decided.map(|decision| decision.record.expect("it runs").into_owned()).collect();
        let mut jobs = Vec::new();
        for record in &records {
            jobs.drain(..).for_each(|job| single.engine.abandon(&job));
            let exposed = Event::Exposed(Exposed { record: record.clone(), excluded: Box::default() });
            single.engine.apply(&exposed, &Judgement::PLAIN, &mut jobs);
        }
        let wanted: Vec<Event> = jobs.iter().map(RefreshJob::compute).collect();
        let last = records.pop().expect("there are forty");
        records.sort_by_key(|record| record.variation);
        let mut jobs = Vec::new();
        let mut applying = together.engine.applying(&mut jobs);
        records.iter().for_each(|record| applying.count_exposures(record, 1));
        applying.expose(&last);
        let found: Vec<Event> = jobs.iter().map(RefreshJob::compute).collect();
        assert!(!found.is_empty(), "{pooling}");
        assert_eq!(found, wanted, "{pooling}");
        assert_eq!(state(&single.engine), state(&together.engine), "{pooling}");
    }
}

#[test]
fn taking_a_checkpoint_changes_no_answer() {
    let mut driver = Driver::with(by_device("thompson", Parameters::new()));
    for index in 0..100 {
        driver.play(&device(index), index, rate);
    }
    let before = driver.decide(&device(1), &[], 1_000).record;
    assert!(!driver.engine.changes().records.is_empty());
    assert_eq!(driver.engine.changes(), Changes::default(), "nothing changed since");
    assert_eq!(before, driver.decide(&device(1), &[], 1_000).record);
}

#[test]
fn a_new_epoch_starts_afresh_and_older_receipts_count_in_their_own() {
    let mut driver = Driver::with(definition("thompson", Parameters::new()));
    let old = driver.decide(&Context::new(), &[], 0);
    let exposure = driver.decide(&Context::new(), &[], 0).event();
    driver.apply(exposure.expect("an exposure"));
    driver.save(by_device("thompson", Parameters::new()), START + Span::HOUR);
    let experiment = driver.engine.experiment("hero").expect("there");
    assert_eq!((experiment.active().settings.epoch, experiment.active().settings.version), (1, 2));
    assert!(experiment.active().segments().is_empty());
    let old = old.record.expect("recorded").into_owned();
    let reward = crate::engine::event::Rewarded {
        record: old.clone(),
        deferred: false,
        goal: crate::domain::Slot(0),
        value: 1,
        reward_id: crate::domain::RewardId::new("purchase").expect("an id"),
        arrived_at: START + Span::HOUR.times(2),
        occurred_at: None,
        window: Span::DAY,
        cap: None,
        aggregation: crate::domain::Aggregation::First,
    };
    driver.apply(crate::engine::event::Event::Rewarded(reward));
    let active = experiment.active();
    let first = active.epoch(0).expect("still receives").segments.get("all").expect("counted");
    assert_eq!(first.tallies().learning_total.conversions(old.variation, crate::domain::Slot(0)), 1);
    assert!(active.segments().is_empty());
}

#[test]
fn a_goal_that_comes_back_with_another_window_begins_an_epoch() {
    let goal =
        |key: &str, role, window| Goal::conversion(crate::domain::GoalKey::new(key).expect("a key"), role, window);
    let with_extra = |window: Option<Span>| {
        let mut definition = definition("thompson", Parameters::new());
        definition.goals.extend(window.map(|window| goal("signup", Role::Secondary, window)));
        definition
    };
    let mut driver = Driver::with(with_extra(Some(Span::DAY.times(7))));
    driver.save(with_extra(None), START);
    let epoch = |driver: &Driver| driver.engine.experiment("hero").expect("there").active().settings.epoch;
    assert_eq!(epoch(&driver), 0);
    driver.save(with_extra(Some(Span::DAY.times(30))), START);
    assert_eq!(epoch(&driver), 1);
}

#[test]
fn a_save_that_was_overtaken_by_a_deletion_brings_nothing_back() {
    let mut driver = Driver::with(definition("uniform", Parameters::new()));
    let saved = driver.engine.save(definition("thompson", Parameters::new()), Status::Running, START).expect("usable");
    let experiment = crate::domain::ExperimentKey::new("hero").expect("a key");
    driver.apply(crate::engine::event::Event::ExperimentDeleted { experiment, at: START });
    driver.apply(crate::engine::event::Event::ExperimentSaved(Arc::new(saved.expect("changed"))));
    assert!(driver.engine.experiment("hero").is_err());
    let changes = driver.engine.changes();
    assert_eq!(changes.records, [StateRecord::Deleted(crate::domain::ExperimentKey::new("hero").expect("a key"))]);
    assert!(
        changes.gone.iter().all(|name| matches!(name, RowName::Segment(name) if name.epoch == 0))
            && !changes.gone.is_empty(),
        "its rows go"
    );
}

#[test]
fn rows_of_what_is_deleted_are_removed_even_after_a_restart() {
    let mut driver = Driver::with(by_device("thompson", Parameters::new()));
    for index in 0..9 {
        driver.play(&device(index), index, rate);
    }
    let records = state(&driver.engine);
    let without: Vec<StateRecord> =
        records.iter().filter(|record| matches!(record, StateRecord::Segment(_))).cloned().collect();
    let restored = Engine::new(Secret::new([7; 32]), 4);
    restored.restore(without).expect("nothing to put back");
    assert_eq!(restored.changes().gone.len(), 3);
}

#[test]
fn a_new_variation_gets_its_slot_and_an_old_one_keeps_its_own() {
    let mut driver = Driver::with(definition("thompson", Parameters::new()));
    for index in 0..200 {
        driver.play(&Context::new(), index, rate);
    }
    let mut changed = definition("thompson", Parameters::new());
    changed.variations.remove(1);
    let fresh = Variation::new(VariationKey::new("aaa").expect("a key"), "1");
    changed.variations.push(fresh);
    driver.save(changed.clone(), START + Span::HOUR);
    let mut seen = [0; 3];
    for index in 1_000..1_600 {
        seen[driver.play(&Context::new(), index, rate).variation] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    // The removed one keeps its history, and its key stays taken.
    let active = driver.engine.experiment("hero").expect("there").active_full();
    assert_eq!(active.variation_keys().len(), 4);
    let mut reused = changed;
    reused.variations.push(Variation::new(VariationKey::new("bold").expect("a key"), "2"));
    let refused = driver.engine.save(reused, Status::Running, START).expect_err("a tombstone").to_string();
    assert!(refused.contains("variations[3].key") && refused.contains("removed"), "{refused}");
}

#[test]
fn segments_beyond_the_bound_are_counted_together() {
    let mut driver = Driver::with(by_device("epsilon-greedy", Parameters::new()));
    for index in 0..crate::engine::experiment::MAX_SEGMENTS as u64 + 50 {
        let name = format!("device-{index}");
        let context = Context::from([("device", name.as_str().into())]);
        driver.play(&context, index, |_| 0.0);
    }
    let active = driver.engine.experiment("hero").expect("there").active_full();
    let segments = active.segments();
    assert_eq!(segments.len(), crate::engine::experiment::MAX_SEGMENTS + 1);
    let other = segments.iter().find(|segment| segment.key().is_some_and(|key| key.as_str() == "other")).expect("made");
    assert_eq!(other.tallies().learning_total.all_exposures(), 50);
    let late = driver.decide(&Context::from([("device", "unseen".into())]), &[], 99_999).record.expect("recorded");
    assert_eq!((late.segment.as_str(), late.allocation), ("other", other.allocation().id()), "and decided as they are");
}
