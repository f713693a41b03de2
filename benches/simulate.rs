//! Rounds of a simulation on one core: decide, record, reward, learn, through the whole engine.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mabel::domain::{Seed, Span};

#[path = "../simulations/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the benchmark only plays: no tables, no pictures, and no tests where cargo asks for them"
)]
mod simulations;

use simulations::player::{self, Course};
use simulations::scenario::{Overrides, ScenarioFile, Source};

const ROUNDS: u64 = 100_000;

fn simulate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulate");
    group.throughput(Throughput::Elements(ROUNDS)).sample_size(10).measurement_time(Duration::from_secs(5));
    for name in ["spread", "three-segments"] {
        let path = format!("{}/simulations/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let file = ScenarioFile::read(path.as_ref(), Overrides::default()).expect("a scenario of the project");
        let scenario = &file.scenarios[0];
        let Source::World(blueprint) = &scenario.source else { panic!("{name} states a world") };
        let world = blueprint.draw(Seed(0), ROUNDS);
        let course = Course { visitors: ROUNDS, interval: Span::from_millis(100) };
        for strategy in
            scenario.strategies.iter().filter(|strategy| ["uniform", "thompson"].contains(&strategy.policy()))
        {
            let mut seed = 0;
            group.bench_function(format!("{name}/{}", strategy.name), |bencher| {
                bencher.iter(|| {
                    seed += 1;
                    player::play(&world, strategy, course, Seed(seed), &AtomicBool::new(false))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, simulate);
criterion_main!(benches);
