//! Visitors that stay with a variation: first comes first, whatever happens later; joined, erased, and verified at the end.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::domain::*;
use crate::engine::Engine;
use crate::engine::decide::Reason;
use crate::engine::definition::*;
use crate::engine::error::{FieldError, RewardError};
use crate::engine::event::Event;
use crate::engine::ledger::Outcome;
use crate::engine::receipt::ReceiptError;
use crate::engine::reward::{Action, Reward};
use crate::engine::secret::Secret;
use crate::policy::Parameters;
use crate::service::bench::{START, run};
use crate::service::clock::{Clock, ManualClock};
use crate::service::decide::{Answer, Query, Why};
use crate::service::error::{FeedbackError, VisitorError};
use crate::service::rebuild::rebuild;
use crate::service::recovery::recover;
use crate::service::reward::Subject;
use crate::service::verify::verify;
use crate::service::visitor::*;
use crate::service::{Options, Service};
use crate::store::memory::MemoryStore;
use crate::store::{Block, Store, record};
use proptest::prelude::*;

mod erasing;
mod groups;
mod profiles;

const SECRET: [u8; 32] = [5; 32];

static MOBILE: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = Context::new();
    assert!(context.insert("device".into(), Value::Text("mobile".into())), "there is room for one");
    context
});

/// A service, its clock and its store.
struct World {
    service: Service,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
}

fn start(store: &Arc<MemoryStore>, at: Timestamp) -> (Service, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at));
    let options = Options {
        commit_interval: Duration::from_millis(1),
        checkpoint_interval: Duration::from_millis(5),
        // So small that most answers come from the store.
        cached_visitors: 4,
        ..Options::default()
    };
    let service = Service::start(store.clone(), Secret::new(SECRET), 6, Arc::clone(&clock) as _, options);
    (service.expect("starts"), clock)
}

/// Three variations, segments by device, half of them decided for by visitor.
fn definition(key: &str, unit: Unit) -> Definition {
    let variations = ["plain", "bold", "loud"].map(|key| Variation::new(VariationKey::new(key).expect("a key"), "1"));
    let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
    let parameters = crate::policy::with_defaults("thompson", &Parameters::new(), 3).expect("allowed");
    let segments = Segments::By(vec![AttributeName::new("device").expect("a name")]);
    let policy = PolicyChoice::new("thompson", parameters);
    Definition {
        unit,
        segments,
        ..Definition::new(ExperimentKey::new(key).expect("a key"), variations.to_vec(), vec![goal], policy)
    }
}

impl World {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let (service, clock) = start(&store, START);
        let world = Self { service, clock, store };
        world.save(definition("hero", Unit::Visitor));
        world
    }

    fn save(&self, definition: Definition) {
        run(self.service.save(definition, Status::Running)).expect("saved");
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Another life on the same store.
    fn restart(&mut self) {
        self.service.stop();
        self.store.reopen();
        let at = self.now();
        (self.service, self.clock) = start(&self.store, at);
    }

    fn decide_with<'a>(
        &self,
        experiment: &'a str,
        visitor: &'a str,
        change: impl FnOnce(&mut Query<'a>),
    ) -> Arc<Answer<'static>> {
        let mut query = Query::new(experiment, Some(visitor), &MOBILE);
        change(&mut query);
        run(self.service.decide(&query)).expect("there is an experiment")
    }

    fn decide(&self, visitor: &str) -> Arc<Answer<'static>> {
        self.decide_with("hero", visitor, |_| {})
    }

    fn reward(&self, subject: Subject<'_>, id: &str) -> Result<Outcome, FeedbackError> {
        let reward_id = RewardId::new(id).expect("an id");
        let reward_id = Some(&reward_id);
        let (action, goal, value, currency, occurred_at) = (Action::Reward, None, None, None, None);
        let reward = Reward { action, goal, value, currency, reward_id, occurred_at };
        run(self.service.reward(subject, &reward)).map(|rewarding| rewarding.outcome)
    }

    fn reward_visitor(&self, visitor: &str) -> Result<Outcome, FeedbackError> {
        self.reward(Subject::Visitor { experiment: "hero", visitor }, "r")
    }

    /// Exposures and conversions.
    fn counted(&self, experiment: &str) -> (u64, u64) {
        let totals = self.service.report(experiment).expect("there").totals;
        let goals = totals.variations.iter().flat_map(|variation| &variation.goals);
        (totals.exposures, goals.map(|(_, goal)| goal.conversions).sum())
    }

    /// Stops it and verifies what it leaves.
    fn end(self) -> Arc<MemoryStore> {
        self.service.stop();
        self.store.reopen();
        let verified = verify(&*self.store, &mut |_| {}).expect("readable");
        assert!(verified.passed(), "{:#?}", verified.differences);
        self.store
    }
}

fn field(error: FeedbackError) -> String {
    if let FeedbackError::Reward(RewardError::Field(FieldError { field, .. })) = error {
        return field;
    }
    panic!("{error}")
}

#[test]
fn the_first_draw_is_kept_across_requests_restarts_and_segments() {
    let mut world = World::new();
    let first = world.decide("v");
    assert_eq!((first.why, world.counted("hero")), (Why::Decided(Reason::Policy), (1, 0)));
    for life in 0..3 {
        let again = world.decide("v");
        let kept = |answer: &Answer<'_>| (answer.variation, answer.propensity.to_bits(), answer.decision_id.clone());
        assert_eq!((again.why, kept(&again)), (Why::Decided(Reason::Sticky), kept(&first)), "life {life}");
        assert_eq!(again.segment, first.segment, "that of the first draw");
        world.restart();
    }
    for visitor in 0..40 {
        let name = format!("v{visitor}");
        assert_eq!(world.decide(&name).variation, world.decide(&name).variation);
    }
    assert_eq!(world.counted("hero"), (41, 0), "each visitor is one trial");
    world.end();
}

#[test]
fn whoever_is_in_stays_in() {
    let world = World::new();
    let first = world.decide("v");
    let shut = Definition {
        traffic: Probability::ZERO,
        audience: Some("false".into()),
        control: Probability::new(1.0).expect("a probability"),
        ..definition("hero", Unit::Visitor)
    };
    world.save(Definition { audience: None, ..shut.clone() });
    assert_eq!((world.decide("v").why, world.decide("v").variation), (Why::Decided(Reason::Sticky), first.variation));
    assert_eq!(world.decide("new").why, Why::Decided(Reason::NotInTraffic));
    world.save(shut.clone());
    assert_eq!((world.decide("v").why, world.decide("v").variation), (Why::Decided(Reason::Sticky), first.variation));
    assert_eq!(world.decide("new").why, Why::Decided(Reason::NotInAudience));
    world.save(Definition { traffic: Probability::ONE, audience: None, ..shut });
    let held_out = world.decide("new");
    assert_eq!((held_out.why, held_out.variation), (Why::Decided(Reason::Control), 0));
    world.save(definition("hero", Unit::Visitor));
    let still = world.decide("new");
    assert_eq!((still.why, still.control), (Why::Decided(Reason::Sticky), true), "as long as the experiment lives");
    run(world.service.set_status("hero", Status::Paused)).expect("paused");
    assert_eq!(world.decide("v").why, Why::Decided(Reason::NotRunning));
    world.end();
}

#[test]
fn of_many_first_requests_at_once_one_counts() {
    let world = World::new();
    for visitor in 0..20 {
        let name = format!("v{visitor}");
        let seen: HashSet<_> = std::thread::scope(|scope| {
            let ask = || {
                let answer = world.decide(&name);
                (answer.variation, answer.decision_id.clone())
            };
            let askers: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            askers.into_iter().map(|asker| asker.join().expect("answered")).collect()
        });
        assert_eq!(seen.len(), 1, "everybody is told of the first: {seen:?}");
    }
    assert_eq!(world.counted("hero").0, 20);
    world.end();
}

#[test]
fn a_removed_variation_is_replaced_once() {
    let mut world = World::new();
    let mut taken = world.decide("v0");
    let mut visitor = String::from("v0");
    for index in 1.. {
        if taken.variation == 2 {
            break;
        }
        visitor = format!("v{index}");
        taken = world.decide(&visitor);
    }
    let mut without = definition("hero", Unit::Visitor);
    without.variations.pop();
    world.save(without);
    let (exposures, _) = world.counted("hero");
    let next = world.decide(&visitor);
    assert_eq!((next.why, next.variation < 2), (Why::Decided(Reason::Policy), true));
    assert_eq!(world.counted("hero").0, exposures + 1, "another trial, of another variation");
    for _ in 0..2 {
        let again = world.decide(&visitor);
        assert_eq!((again.why, &again.decision_id), (Why::Decided(Reason::Sticky), &next.decision_id));
        world.restart();
    }
    world.end();
}

#[test]
fn what_is_excluded_is_not_shown_and_not_replaced() {
    let world = World::new();
    let first = world.decide("v");
    let keys: Vec<VariationKey> = definition("hero", Unit::Visitor).variations.into_iter().map(|v| v.key).collect();
    let exclude = [keys[first.variation].clone()];
    let answer = world.decide_with("hero", "v", |query| query.exclude = &exclude);
    assert_eq!((answer.why, answer.receipt.clone()), (Why::Decided(Reason::AllExcluded), None));
    assert_ne!(answer.variation, first.variation);
    assert_eq!(world.decide("v").variation, first.variation);
    world.end();
}

#[test]
fn a_deferred_assignment_counts_once_it_is_seen() {
    let mut world = World::new();
    let prefetched = world.decide_with("hero", "v", |query| query.defer = true);
    assert_eq!((prefetched.why, world.counted("hero")), (Why::Decided(Reason::Policy), (0, 0)));
    world.restart();
    let again = world.decide_with("hero", "v", |query| query.defer = true);
    assert_eq!((again.why, again.variation), (Why::Decided(Reason::Sticky), prefetched.variation));
    assert_eq!(world.reward_visitor("v").expect("taken"), Outcome::Recorded);
    assert_eq!(world.counted("hero"), (0, 0), "a reward never activates");
    let seen = world.decide("v");
    assert_eq!((seen.why, seen.variation), (Why::Decided(Reason::Sticky), prefetched.variation));
    let receipt = seen.receipt.clone().expect("recorded");
    assert_eq!(run(world.service.activate(Subject::Receipt(&receipt))).expect("known"), Outcome::Repeated);
    world.decide("v");
    assert_eq!(world.counted("hero"), (1, 1));
    world.restart();
    world.decide("v");
    let other = world.decide_with("hero", "w", |query| query.defer = true);
    let by_visitor = Subject::Visitor { experiment: "hero", visitor: "w" };
    assert_eq!(run(world.service.activate(by_visitor)).expect("known"), Outcome::Recorded);
    assert_eq!((world.decide("w").variation, world.counted("hero")), (other.variation, (2, 1)));
    world.end();
}

#[test]
fn rewards_by_visitor_are_those_of_its_decision() {
    let world = World::new();
    let receipt = world.decide("v").receipt.clone().expect("recorded");
    assert_eq!(world.reward_visitor("v").expect("taken"), Outcome::Recorded);
    assert_eq!(world.reward_visitor("v").expect("taken"), Outcome::Repeated);
    assert_eq!(world.reward(Subject::Receipt(&receipt), "r").expect("taken"), Outcome::Repeated, "the same decision");
    let nobody = world.reward_visitor("nobody").expect_err("not decided for");
    assert_eq!(nobody, FeedbackError::Reward(RewardError::Unassigned));
    world.save(definition("banner", Unit::Decision));
    let by_decision = Subject::Visitor { experiment: "banner", visitor: "v" };
    assert_eq!(field(world.reward(by_decision, "r").expect_err("draws anew")), "visitor");
    world.clock.set(START + Span::DAY + Span::SECOND);
    assert_eq!(world.reward(Subject::Visitor { experiment: "hero", visitor: "v" }, "s").expect("taken"), Outcome::Late);
    assert_eq!(world.counted("hero"), (1, 1));
    world.end();
}

#[test]
fn an_alias_brings_along_what_is_not_there_and_changes_nothing_that_is() {
    let mut world = World::new();
    world.save(definition("banner", Unit::Visitor));
    world.save(definition("footer", Unit::Visitor));
    let anonymous = world.decide("anonymous");
    let both = [world.decide_with("banner", "anonymous", |_| {}), world.decide_with("banner", "user", |_| {})];
    let done = run(world.service.alias("anonymous", "user")).expect("joined");
    let adopted: Vec<&str> = done.adopted.iter().map(ExperimentKey::as_str).collect();
    assert_eq!((adopted, done.flipped), (vec!["hero"], usize::from(both[0].variation != both[1].variation)));
    for _ in 0..2 {
        for name in ["anonymous", "user"] {
            let hero = world.decide(name);
            assert_eq!((&hero.decision_id, hero.why), (&anonymous.decision_id, Why::Decided(Reason::Sticky)), "{name}");
            assert_eq!(world.decide_with("banner", name, |_| {}).decision_id, both[1].decision_id, "its own wins");
        }
        world.restart();
    }
    let footer = world.decide_with("footer", "anonymous", |_| {});
    assert_eq!(world.decide_with("footer", "user", |_| {}).decision_id, footer.decision_id, "one visitor from now on");
    assert_eq!(["hero", "banner", "footer"].map(|key| world.counted(key).0), [1, 2, 1]);
    assert!(run(world.service.alias("anonymous", "user")).expect("known").repeated);
    for (one, other) in [("user", "anonymous"), ("user", "user"), ("user", "third")] {
        let refused = run(world.service.alias(one, other)).expect_err("refused");
        assert!(matches!(refused, VisitorError::Itself | VisitorError::Known), "{one} {other}: {refused}");
    }
    let known = world.service.visitor("anonymous").expect("readable");
    assert_eq!((known.is_alias, known.aliases, known.assignments.len()), (true, 1, 3));
    // A shared device: who logs in next is somebody else.
    let own = world.decide("second");
    run(world.service.alias("anonymous", "second")).expect("joined");
    assert_eq!(world.decide("anonymous").decision_id, own.decision_id);
    assert_eq!(world.decide("user").decision_id, anonymous.decision_id);
    world.end();
}

#[test]
fn without_consent_nothing_is_stored_of_a_visitor() {
    let world = World::new();
    world.save(definition("banner", Unit::Decision));
    let answer = world.decide_with("hero", "v", |query| query.consent = false);
    assert_eq!((answer.why, answer.variation, &answer.receipt), (Why::Decided(Reason::NoConsent), 0, &None));
    let answer = world.decide_with("banner", "v", |query| query.consent = false);
    assert_eq!((answer.why, answer.minted.as_ref()), (Why::Decided(Reason::Policy), None));
    let nobody = world.decide_with("banner", "v", |query| (query.consent, query.visitor) = (false, None));
    assert_eq!(nobody.minted, None, "no id is minted either");
    // A receipt is not followed: it would tell two visits of one visitor.
    let receipt = answer.receipt.clone().expect("counted without a name");
    let again = world.decide_with("banner", "v", |query| {
        (query.consent, query.receipt) = (false, Some(receipt.as_str()));
    });
    assert_eq!(again.why, Why::Decided(Reason::Policy));
    assert_eq!(world.service.visitor("v").expect("readable"), KnownVisitor::default());
    world.end();
}

#[test]
fn what_was_known_at_a_decision_is_kept_beside_it_and_goes_with_its_visitor() {
    let mut world = World::new();
    world.save(definition("banner", Unit::Decision));
    for name in ["anonymous", "user", "somebody else"] {
        for experiment in ["hero", "banner", "banner"] {
            // The second time in `hero` is no new decision.
            world.decide_with(experiment, name, |_| {});
            world.decide_with("hero", name, |_| {});
        }
        world.decide_with("banner", name, |query| query.explain = true);
        world.decide_with("banner", name, |query| query.defer = true);
        world.decide_with("banner", name, |query| query.consent = false);
    }
    run(world.service.alias("anonymous", "user")).expect("joined");
    world.restart();
    let contexts = |world: &World, name: &str| world.service.visitor(name).expect("readable").contexts;
    assert_eq!(["user", "somebody else"].map(|name| contexts(&world, name).count), [6, 3]);
    for known in contexts(&world, "user").newest {
        assert!(["anonymous", "user"].contains(&known.visitor.as_str()));
        assert_eq!(known.context.as_ref(), Some(&*MOBILE));
    }
    assert_eq!(run(world.service.erase("user")).expect("erased").contexts, 6);
    assert_eq!(["user", "anonymous", "somebody else"].map(|name| contexts(&world, name).count), [0, 0, 3]);
    let mut archive = Vec::new();
    world.service.backup(&mut archive).expect("written");
    world.end();
    let restored = Arc::new(MemoryStore::new());
    crate::service::backup::restore(&mut &archive[..], &*restored).expect("whole");
    restored.reopen();
    let (service, _) = start(&restored, START);
    assert_eq!(service.visitor("somebody else").expect("readable").contexts.count, 3, "backed up with the rest");
}
