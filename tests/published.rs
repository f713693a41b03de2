//! Published figures, reproduced by the policies themselves.
//!
//! Each round's arm is drawn from the shares that the policy allocates, as in the service: shares are computed anew with
//! every event while there are few, then whenever the rounds have grown by 1 %, which costs no regret. Regret is expected,
//! Σ (best rate − rate of the arm shown). Fewer runs than in the sources keep this under a minute; the tolerance is four
//! standard errors of the difference, from the source's error and from ours.

use mabel::domain::{Seed, VariationKey};
use mabel::policy::allocation::draw;
use mabel::policy::{Arm, Evidence, Parameter, Parameters, Policy, build};

/// How much the rounds grow between two allocations.
const GROWTH: f64 = 0.01;

/// The regret of each round of one run.
fn run(policy: &dyn Policy, rates: &[f64], rounds: u64, seed: Seed) -> Vec<f64> {
    let best = rates.iter().copied().fold(0.0, f64::max);
    let mut arms = vec![Arm::default(); rates.len()];
    let mut shares = Vec::new();
    let mut computed_at = 0;
    (0..rounds)
        .map(|round| {
            let noise = seed.child(round);
            if shares.is_empty() || (round - computed_at) as f64 >= GROWTH * computed_at as f64 {
                shares = policy.allocate(&Evidence::of(&arms, noise));
                computed_at = round;
            }
            let chosen = draw(&shares, noise.child(0).uniform());
            let converted = noise.child(1).uniform() < rates[chosen];
            let Arm { exposures, conversions, .. } = arms[chosen];
            arms[chosen] = Arm::converting(exposures + 1.0, conversions + f64::from(u8::from(converted)));
            best - rates[chosen]
        })
        .collect()
}

/// Mean and its standard error of one number from each of many runs.
struct Estimate {
    mean: f64,
    error: f64,
}

impl Estimate {
    fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let numbers: Vec<f64> = numbers.into_iter().collect();
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt() }
    }

    fn check(&self, what: &str, published: f64, published_error: f64) {
        let tolerance = 4.0 * self.error.hypot(published_error);
        assert!(
            (self.mean - published).abs() <= tolerance,
            "{what}: {} ± {} instead of {published} ± {published_error}",
            self.mean,
            self.error
        );
    }
}

fn policy(kind: &str, parameters: &Parameters, arms_count: usize) -> Box<dyn Policy> {
    let keys: Vec<_> =
        (0..arms_count).map(|place| VariationKey::new(&format!("arm-{place:02}")).expect("a key")).collect();
    build(kind, parameters, &keys).expect("allowed parameters")
}

/// Thompson sampling on the arms' own counts, as published.
fn alone() -> Parameters {
    Parameters::new().with("pooling", Parameter::Text("none".to_owned()))
}

fn runs(policy: &dyn Policy, rates: &[f64], rounds: u64, runs_count: u64) -> Vec<Vec<f64>> {
    (0..runs_count).map(|index| run(policy, rates, rounds, Seed(2_018).child(index))).collect()
}

/// Russo, Van Roy, Kazerouni, Osband, Wen, "A tutorial on Thompson sampling", 2018, figure 3: three arms of rates 0.7, 0.8
/// and 0.9 over 1,000 rounds. Figures and errors are those of 10,000 runs of the published setting.
#[test]
fn thompson_sampling_and_greedy_in_russo_et_al_figure_3() {
    const RUNS: u64 = 4_000;
    let rates = [0.7, 0.8, 0.9];
    let thompson = runs(&*policy("thompson", &alone(), 3), &rates, 1_000, RUNS);
    let greedy = Parameters::new().with("epsilon", Parameter::Number(0.0));
    let greedy = runs(&*policy("epsilon-greedy", &greedy, 3), &rates, 1_000, RUNS);

    let total = |runs: &[Vec<f64>]| Estimate::of(runs.iter().map(|run| run.iter().sum()));
    total(&thompson).check("total regret of Thompson sampling", 11.22, 0.10);
    total(&greedy).check("total regret of greedy", 74.4, 0.8);

    // One round's regret lies in [0, 0.2], so its error over the 10,000 published runs follows from ours.
    let published = [
        ("Thompson sampling", &thompson, [0.0777, 0.0281, 0.0055, 0.0025]),
        ("greedy", &greedy, [0.0758, 0.0743, 0.0743, 0.0743]),
    ];
    for (name, runs, figures) in published {
        for (round, figure) in [10, 100, 500, 1_000].into_iter().zip(figures) {
            let estimate = Estimate::of(runs.iter().map(|run| run[round - 1]));
            estimate.check(
                &format!("regret of {name} in round {round}"),
                figure,
                estimate.error * (RUNS as f64 / 10_000.0).sqrt(),
            );
        }
    }
}

/// Two-armed and ten-armed Bernoulli instances of Kaufmann, Korda, Munos, "Thompson sampling: an asymptotically optimal
/// finite-time analysis", 2012, and Cappé et al., "Kullback–Leibler upper confidence bounds", 2013, under the uniform prior.
/// `bound` is C ln T with the constant of Lai and Robbins, below which regret at these horizons stays.
fn check_instance(rates: &[f64], rounds: u64, runs_count: u64, published: (f64, f64), bound: f64) {
    let thompson = policy("thompson", &alone(), rates.len());
    let regrets = runs(&*thompson, rates, rounds, runs_count);
    let total = Estimate::of(regrets.iter().map(|run| run.iter().sum()));
    total.check(&format!("{rates:?}"), published.0, published.1);
    assert!(total.mean < bound, "{rates:?}: {} above {bound}", total.mean);
}

#[test]
fn low_rates_close_together() {
    check_instance(&[0.2, 0.25], 10_000, 400, (23.5, 0.7), 65.8);
}

#[test]
fn high_rates() {
    check_instance(&[0.8, 0.9], 10_000, 400, (9.71, 0.24), 20.7);
}

#[test]
fn ten_arms_of_low_rates() {
    let rates = [0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01];
    check_instance(&rates, 20_000, 200, (91.8, 0.9), 172.8);
}
