//! What learning and deciding from features cost. "round" is one decision and its exposure, every other one with a reward.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mabel::domain::{Features, Seed, VariationKey};
use mabel::policy::allocation::draw;
use mabel::policy::contextual::Shape;
use mabel::policy::{Built, ContextualModel, Parameters, build_any};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

const ARMS: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

fn model(kind: &str, dimensions: usize) -> Box<dyn ContextualModel> {
    let key = VariationKey::new("any").expect("a key");
    match build_any(kind, &Parameters::new(), &[key]).expect("defaults are allowed") {
        Built::Contextual(policy) => policy.model(&Shape { dimensions, patterns: None }).expect("allowed"),
        Built::Segments(_) => panic!("{kind} does not look at features"),
    }
}

/// Visitors with an intercept and standard normal numbers.
fn dense(dimensions: usize) -> Vec<Features> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    (0..1_000).map(|_| visitor((0..dimensions).collect(), |_| rng.sample::<f64, _>(StandardNormal))).collect()
}

/// Visitors with an intercept and ten attributes of equally many states.
fn categorical(dimensions: usize) -> Vec<Features> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let states = (dimensions - 1) / 10;
    let columns = |rng: &mut Xoshiro256PlusPlus| {
        std::iter::once(0).chain((0..10).map(|index| 1 + index * states + rng.random_range(0..states))).collect()
    };
    (0..1_000).map(|_| visitor(columns(&mut rng), |_| 1.0)).collect()
}

fn visitor(columns: Vec<usize>, mut value: impl FnMut(usize) -> f64) -> Features {
    let mut features = Features::new();
    #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
    columns.into_iter().for_each(|column| features.push(column, if column == 0 { 1.0 } else { value(column) as f32 }));
    features
}

fn learn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contextual_update");
    for kind in ["linear-thompson", "logistic-thompson"] {
        for (sort, dimensions, visitors) in [
            ("dense", 20, dense(20)),
            ("dense", 50, dense(50)),
            ("dense", 200, dense(200)),
            ("ten of", 200, categorical(200)),
        ] {
            let (mut model, mut round) = (model(kind, dimensions), 0);
            group.bench_function(BenchmarkId::new(kind, format!("{sort} {dimensions}")), |bencher| {
                bencher.iter(|| {
                    round += 1;
                    model.expose(0, black_box(&visitors[round % visitors.len()]));
                });
            });
        }
    }
    group.finish();
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contextual_draw");
    for (sort, dimensions, visitors) in [
        ("dense", 20, dense(20)),
        ("dense", 50, dense(50)),
        ("dense", 200, dense(200)),
        ("ten of", 200, categorical(200)),
    ] {
        let mut model = model("linear-thompson", dimensions);
        visitors.iter().for_each(|features| model.expose(0, features));
        let (mut rng, mut round) = (Xoshiro256PlusPlus::seed_from_u64(3), 0);
        group.bench_function(BenchmarkId::new("one arm", format!("{sort} {dimensions}")), |bencher| {
            bencher.iter(|| {
                round += 1;
                model.choose(&[0], black_box(&visitors[round % visitors.len()]), &mut rng)
            });
        });
    }
    group.finish();
}

fn rounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contextual_round");
    let visitors = dense(20);
    for kind in ["linear-thompson", "linear-ucb", "logistic-thompson"] {
        for propensity in [false, true] {
            let (mut model, mut rng) = (model(kind, 20), Xoshiro256PlusPlus::seed_from_u64(4));
            let mut round = 0_u64;
            let name = if propensity { "with propensity" } else { "one draw" };
            group.bench_function(BenchmarkId::new(kind, name), |bencher| {
                bencher.iter(|| {
                    round += 1;
                    let features = &visitors[usize::try_from(round).expect("small") % visitors.len()];
                    let arm = if propensity {
                        let shares = model.shares(&ARMS, features, Seed(round));
                        draw(&shares, Seed(round).child(1).uniform())
                    } else {
                        model.choose(&ARMS, features, &mut rng)
                    };
                    model.expose(arm, features);
                    if round.is_multiple_of(2) {
                        model.reward(arm, features, 1.0);
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, learn, decide, rounds);
criterion_main!(benches);
