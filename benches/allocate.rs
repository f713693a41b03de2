//! What an allocation and its parts cost: one Beta draw, the quadrature, the categorical draw of a decision, and partial
//! pooling: its fit, a segment's beliefs, one joint draw, and the shares of a segment.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mabel::domain::{GoalKind, Seed, VariationKey};
use mabel::policy::allocation::{draw, project};
use mabel::policy::best_arm::{Normal, Resolution, best_of_normals, best_probabilities};
use mabel::policy::{Evidence, Parameters, build};
use mabel::posterior::pooling::{expected_visitors, fit};
use mabel::posterior::{Arm, Beta, BetaSampler};
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
        let normals: Vec<Normal> =
            arms.iter().map(|arm| Normal { mean: arm.mean(), deviation: arm.variance().sqrt() }).collect();
        group.bench_with_input(BenchmarkId::new("normal", arms_count), &normals, |bencher, normals| {
            bencher.iter(|| best_of_normals(black_box(normals), Resolution::Propensity));
        });
    }
    group.finish();
}

/// Segments of four variations at rates from 3 to 6 %, some with few visitors and some with many.
fn segments(count: u32) -> Vec<Vec<Arm>> {
    let arm = |segment: u32, arm: u32| {
        let exposures = f64::from(200 + 37 * (segment % 50));
        let rate = 0.03 + 0.0005 * f64::from(segment % 40) + 0.012 * f64::from((segment + arm) % 4);
        Arm::converting(exposures, (exposures * rate).round())
    };
    (0..count).map(|segment| (0..4).map(|index| arm(segment, index)).collect()).collect()
}

fn partial_pooling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("partial_pooling");
    let keys: Vec<_> = (0..4).map(|index| VariationKey::new(&format!("v{index}")).expect("a key")).collect();
    let policy = build("thompson", &Parameters::new(), &keys).expect("defaults");
    for kind in [GoalKind::Conversion, GoalKind::Revenue] {
        for count in [3, 300] {
            let segments = segments(count);
            group.bench_function(BenchmarkId::new(format!("fit_{kind:?}"), count), |bencher| {
                bencher.iter(|| fit(kind, black_box(&segments)));
            });
        }
        let segments = segments(300);
        let (arms, fit) = (&segments[7], fit(kind, &segments));
        group.bench_function(format!("believe_{kind:?}"), |bencher| {
            bencher.iter(|| fit.believe(black_box(arms), expected_visitors(arms), 2.0));
        });
        let pooled = fit.believe(arms, expected_visitors(arms), 2.0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut rewards = [0.0; 4];
        group.bench_function(format!("draw_{kind:?}"), |bencher| {
            bencher.iter(|| {
                pooled.draw(&mut rng, black_box(&mut rewards));
                rewards[0]
            });
        });
        let evidence = Evidence { kind, fit: Some(&fit), ..Evidence::of(arms, Seed(1)) };
        group.bench_function(format!("shares_{kind:?}"), |bencher| {
            bencher.iter(|| policy.allocate(black_box(&evidence)));
        });
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

criterion_group!(benches, beta_draws, quadrature, decision, partial_pooling);
criterion_main!(benches);
