//! What an allocation and its parts cost: one Beta draw, the quadrature, the categorical draw of a decision.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mabel::domain::Seed;
use mabel::policy::allocation::{draw, project};
use mabel::policy::best_arm::{Resolution, best_probabilities};
use mabel::posterior::{Beta, BetaSampler};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

fn beta_draws(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("beta_draw");
    for (alpha, beta) in [(1.0, 1.0), (0.5, 20.0), (3.0, 50.0), (51.0, 1_001.0), (5_001.0, 100_001.0)] {
        let distribution = Beta::new(alpha, beta).expect("positive");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        group.bench_function(BenchmarkId::new("new", format!("{alpha}, {beta}")), |bencher| {
            bencher.iter(|| BetaSampler::new(black_box(&distribution)).sample(&mut rng));
        });
        let sampler = BetaSampler::new(&distribution);
        group.bench_function(BenchmarkId::new("kept", format!("{alpha}, {beta}")), |bencher| {
            bencher.iter(|| black_box(&sampler).sample(&mut rng));
        });
    }
    group.finish();
}

fn quadrature(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("best_probabilities");
    for arms_count in [2_u32, 4, 10, 20] {
        // A thousand exposures each at rates from 4 to 6 %.
        let arms: Vec<Beta> = (0..arms_count)
            .map(|i| 40.0 + 20.0 * f64::from(i) / f64::from(arms_count))
            .map(|conversions| Beta::new(1.0 + conversions, 1_001.0 - conversions).expect("positive"))
            .collect();
        for resolution in [Resolution::Propensity, Resolution::Report] {
            group.bench_with_input(BenchmarkId::new(format!("{resolution:?}"), arms_count), &arms, |bencher, arms| {
                bencher.iter(|| best_probabilities(black_box(arms), resolution));
            });
        }
    }
    group.finish();
}

fn decision(criterion: &mut Criterion) {
    let shares = [0.01, 0.02, 0.05, 0.4, 0.1, 0.02, 0.05, 0.3, 0.03, 0.02];
    let propensities = project(&shares, &[true; 10], &[0.01; 10]).expect("all are eligible");
    let mut index = 0;
    criterion.bench_function("draw_of_10", |bencher| {
        bencher.iter(|| {
            index += 1;
            draw(black_box(&propensities), Seed(5).child(index).uniform())
        });
    });
    criterion.bench_function("project_10", |bencher| {
        bencher.iter(|| project(black_box(&shares), black_box(&[true; 10]), &[0.01; 10]));
    });
}

criterion_group!(benches, beta_draws, quadrature, decision);
criterion_main!(benches);
