//! A driver without a store: what the committer does, one event at a time.

use std::sync::Arc;

use crate::domain::{
    Aggregation, AttributeName, Context, ExperimentKey, GoalKey, Probability, RewardId, Seed, Slot, Span, Timestamp,
    VariationKey,
};
use crate::engine::Engine;
use crate::engine::decide::{Decision, Explain, Request, RequestId};
use crate::engine::definition::*;
use crate::engine::event::{Event, Rewarded};
use crate::engine::known::{Known, Remembered};
use crate::engine::ledger::{Judgement, Position, judge};
use crate::engine::secret::Secret;
use crate::policy::Parameters;

/// An engine, everything that was applied to it, and what that left beside it.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) journal: Vec<Event>,
    pub(crate) known: Known,
}

pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

impl Driver {
    pub(crate) fn new() -> Self {
        Self { engine: Engine::new(Secret::new([7; 32]), 1), journal: Vec::new(), known: Known::default() }
    }

    pub(crate) fn with(definition: Definition) -> Self {
        let mut driver = Self::new();
        driver.save(definition, START);
        driver
    }

    pub(crate) fn save(&mut self, definition: Definition, at: Timestamp) {
        let saved = self.engine.save(definition, Status::Running, at).expect("usable").expect("new");
        self.apply(Event::ExperimentSaved(Arc::new(saved)));
    }

    /// Applies an event, and every allocation that becomes due by it.
    pub(crate) fn apply(&mut self, event: Event) -> Judgement {
        let position = Position { block: 1, index: u32::try_from(self.journal.len()).expect("short") };
        let judgement = judge(&event, position, &self.known);
        let mut left = Vec::new();
        event.leaves(position, &judgement, &mut left);
        for remembered in left {
            match remembered {
                Remembered::Fact(fact) => self.known.facts.push(fact),
                Remembered::Assignment(entry) => self.known.assignments.push(entry),
                Remembered::Alias(_) | Remembered::Erased { .. } => {}
            }
        }
        let mut jobs = Vec::new();
        self.engine.apply(&event, &judgement, &mut jobs);
        self.journal.push(event);
        for job in jobs {
            self.apply(job.compute());
        }
        judgement
    }

    pub(crate) fn decide(&self, context: &Context<'_>, exclude: &[VariationKey], index: u64) -> Decision<'static> {
        self.decide_explained(context, exclude, index, Explain::No)
    }

    /// The same with the numbers behind the draw.
    pub(crate) fn explain(&self, context: &Context<'_>, exclude: &[VariationKey], index: u64) -> Decision<'static> {
        self.decide_explained(context, exclude, index, Explain::Yes)
    }

    fn decide_explained(
        &self,
        context: &Context<'_>,
        exclude: &[VariationKey],
        index: u64,
        explain: Explain,
    ) -> Decision<'static> {
        let tail = u128::from(Seed(99).child(index).0) << 16 | u128::from(index & 0xffff);
        let visitor = format!("visitor-{index}");
        let now = START + Span::from_millis(index);
        let id = RequestId::Minted(tail);
        let request = Request {
            visitor: &visitor,
            token: None,
            assignment: None,
            visitor_given: true,
            context,
            exclude,
            defer: false,
            receipt: None,
            id,
            now,
        };
        self.engine.decide("hero", &request, explain).expect("there is an experiment")
    }

    /// Decides, applies the exposure, and a conversion with this probability.
    pub(crate) fn play(&mut self, context: &Context<'_>, index: u64, rate: impl Fn(usize) -> f64) -> Decision<'static> {
        let decision = self.decide(context, &[], index);
        if let Some(event) = self.decide(context, &[], index).event() {
            self.apply(event);
        }
        if let Some(record) = decision.record.as_deref().cloned()
            && Seed(5).child(index).uniform() < rate(decision.variation)
        {
            let arrived_at = record.decided_at() + Span::SECOND;
            self.apply(Event::Rewarded(Rewarded {
                record,
                deferred: false,
                goal: Slot(0),
                value: 1,
                reward_id: RewardId::new("purchase").expect("an id"),
                arrived_at,
                occurred_at: None,
                window: Span::DAY,
                cap: None,
                aggregation: Aggregation::First,
            }));
        }
        decision
    }
}

/// Three variations, one segment, one goal, no floor, no control.
pub(crate) fn definition(kind: &str, parameters: Parameters) -> Definition {
    let key = |text: &str| VariationKey::new(text).expect("a key");
    // Not in order of keys: what is drawn must not depend on the order of a definition.
    let variations = ["plain", "bold", "offer"].map(|text| Variation::new(key(text), "{}"));
    let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
    let policy = PolicyChoice::new(kind, full(kind, parameters));
    let devices = ["mobile", "desktop", "tablet"].map(str::to_owned).to_vec();
    let device = Attribute { name: AttributeName::new("device").expect("a name"), encoding: Encoding::Levels(devices) };
    let key = ExperimentKey::new("hero").expect("a key");
    // Only a contextual policy sees the attribute.
    Definition { attributes: vec![device], ..Definition::new(key, variations.to_vec(), vec![goal], policy) }
}

fn full(kind: &str, parameters: Parameters) -> Parameters {
    crate::policy::with_defaults(kind, &parameters, 3).expect("usable parameters")
}

pub(crate) fn share(number: f64) -> Probability {
    Probability::new(number).expect("a probability")
}
