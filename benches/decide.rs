//! What a decision costs: the whole of it on one thread, and its parts. 10 variations, 1,000 segments, Thompson sampling
//! with evidence in every segment.
//!
//! `cargo bench --bench decide` prints them; the whole is decide, seal and apply.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use mabel::domain::{AttributeName, Context, ExperimentKey, GoalKey, Seed, Span, Timestamp, Value, VariationKey};
use mabel::engine::Engine;
use mabel::engine::decide::{Decision, Explain, Request, RequestId};
use mabel::engine::definition::{Definition, Goal, PolicyChoice, Role, Segments, Status, Variation};
use mabel::engine::event::Event;
use mabel::engine::ledger::Judgement;
use mabel::engine::refresh::RefreshJob;
use mabel::engine::secret::Secret;
use mabel::policy::{Parameters, with_defaults};
use mabel::targeting::Condition;

const SEGMENTS: u64 = 1_000;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn definition() -> Definition {
    let variation = |index| {
        let key = VariationKey::new(&format!("variation-{index}")).expect("a key");
        Variation::new(key, r#"{"headline":"Welcome"}"#)
    };
    let goal = Goal::conversion(GoalKey::new("purchase").expect("a key"), Role::Primary, Span::DAY);
    let parameters = with_defaults("thompson", &Parameters::new(), 10).expect("defaults");
    let policy = PolicyChoice { floor: 0.01, ..PolicyChoice::new("thompson", parameters) };
    let key = ExperimentKey::new("hero").expect("a key");
    Definition {
        segments: Segments::By(vec![AttributeName::new("place").expect("a name")]),
        ..Definition::new(key, (0..10).map(variation).collect(), vec![goal], policy)
    }
}

struct World {
    engine: Engine,
    contexts: Vec<Context<'static>>,
    jobs: Vec<RefreshJob>,
    index: u64,
}

impl World {
    fn new() -> Self {
        let contexts =
            (0..SEGMENTS).map(|place| Context::from([("place", Value::Int(i64::try_from(place).expect("small")))]));
        let engine = Engine::new(Secret::new([1; 32]), 1);
        let saved = engine.save(definition(), Status::Running, START).expect("usable").expect("new");
        let mut world = Self { engine, contexts: contexts.collect(), jobs: Vec::new(), index: 0 };
        world.engine.apply(&Event::ExperimentSaved(Arc::new(saved)), &Judgement::PLAIN, &mut world.jobs);
        // Enough evidence that allocations are refreshed by 1 %, as in a segment's life, and not at every event.
        for _ in 0..200 * SEGMENTS {
            let decision = world.decide();
            world.apply(decision.event().expect("recorded"));
            world.refresh();
        }
        world
    }

    fn decide(&mut self) -> Decision<'static> {
        self.index += 1;
        let tail = u128::from(Seed(7).child(self.index).0) << 16;
        let place = usize::try_from(self.index % SEGMENTS).expect("small");
        let request = Request {
            visitor: "v-8f2c",
            token: None,
            assignment: None,
            visitor_given: true,
            context: &self.contexts[place],
            exclude: &[],
            defer: false,
            receipt: None,
            id: RequestId::Minted(tail),
            now: START + Span::from_millis(self.index / 100),
        };
        self.engine.decide("hero", &request, Explain::No).expect("there is an experiment")
    }

    fn apply(&mut self, event: Event) {
        self.engine.apply(&event, &Judgement::PLAIN, &mut self.jobs);
    }

    fn refresh(&mut self) {
        while let Some(job) = self.jobs.pop() {
            let computed = job.compute();
            self.apply(computed);
        }
    }
}

fn whole(criterion: &mut Criterion) {
    let mut world = World::new();
    let mut group = criterion.benchmark_group("decide");
    group.bench_function("whole: decide, seal, apply", |bencher| {
        bencher.iter(|| {
            let decision = world.decide();
            let record = decision.record.as_ref().expect("recorded");
            black_box(world.engine.seals(1).seal(record, false, world.engine.token("v-8f2c")));
            world.apply(decision.event().expect("recorded"));
            // Refreshes are another thread's work, here never done: each segment has asked for one.
            world.jobs.clear();
        });
    });
    group.bench_function("part: decide", |bencher| bencher.iter(|| black_box(world.decide())));
    let decision = world.decide();
    let record = decision.record.clone().expect("recorded");
    group.bench_function("part: seal the receipt", |bencher| {
        bencher.iter(|| black_box(world.engine.seals(1).seal(&record, false, world.engine.token("v-8f2c"))));
    });
    let receipt = world.engine.seals(1).seal(&record, false, world.engine.token("v-8f2c"));
    group.bench_function("part: open a receipt", |bencher| {
        bencher.iter(|| black_box(world.engine.open_receipt(&receipt)));
    });
    let event = world.decide().event().expect("recorded");
    group.bench_function("part: apply an exposure", |bencher| {
        bencher.iter(|| {
            world.engine.apply(&event, &Judgement::PLAIN, &mut world.jobs);
            world.jobs.clear();
        });
    });
    let audience = Condition::compile(r#"country in ["FR", "DE"] && !(visits <= 1)"#).expect("compiles");
    let context = Context::from([("country", "FR".into()), ("visits", Value::Int(3))]);
    group.bench_function("beside it: an audience of two terms in CEL", |bencher| {
        bencher.iter(|| black_box(audience.evaluate(&context)));
    });
    group.finish();
}

criterion_group!(benches, whole);
criterion_main!(benches);
