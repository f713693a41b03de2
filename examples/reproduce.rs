//! Published figures of Thompson sampling, reproduced, and printed beside what was published: `scripts/reproduce` keeps the
//! answer in docs/REPRODUCTION.md.
//!
//!     cargo run --release --example reproduce [-- --quick]
//!
//! Readings that the sources leave open, and how they are read here:
//! * regret is expected, Σ (best rate − rate of the arm shown), and the best is that of the moment, where items are replaced;
//! * a replaced item's posterior begins again with the prior, at the same place, and what was shown of the old item and has
//!   not been fed back yet is dropped with it; two other readings are shown beside it and not judged;
//! * feedback every δ steps is given to all δ steps at once, and the items shown meanwhile are drawn from what was known.
//!
//! Exit code 1 if a figure is outside what is accepted.

use std::fmt;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use mabel::domain::{Seed, VariationKey};
use mabel::policy::allocation::draw;
use mabel::policy::{Arm, Evidence, Parameter, Parameters, Policy, build};
use mabel::posterior::{Beta, BetaSampler};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Every run's seed is a child of this one.
const SEED: Seed = Seed(2_011);

/// Mean over runs and its standard error.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    mean: f64,
    error: f64,
}

impl Estimate {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let numbers: Vec<f64> = numbers.collect();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { mean, error: (variance / count).sqrt() }
    }
}

/// One line of the answer.
struct Row {
    what: String,
    published: String,
    ours: Estimate,
    /// Accepted values; nothing where the figure is shown and not judged.
    accepted: Option<(f64, f64)>,
    /// What stands in place of a verdict where there is none.
    remark: &'static str,
}

impl Row {
    fn passes(&self) -> bool {
        self.accepted.is_none_or(|(low, high)| (low..=high).contains(&self.ours.mean))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.ours.mean.abs() {
            mean if mean >= 1_000.0 => 0,
            mean if mean >= 1.0 => 2,
            _ => 4,
        };
        let accepted =
            self.accepted.map_or_else(|| "-".to_owned(), |(low, high)| format!("{low:.digits$} to {high:.digits$}"));
        let verdict = match self.accepted {
            None => self.remark,
            Some(_) if self.passes() => "reproduced",
            Some(_) => "**outside**",
        };
        let Estimate { mean, error } = self.ours;
        let (what, published) = (&self.what, &self.published);
        write!(f, "| {what} | {published} | {mean:.digits$} | {error:.digits$} | {accepted} | {verdict} |")
    }
}

/// How much is played.
#[derive(Debug, Clone, Copy)]
struct Effort {
    quick: bool,
}

impl Effort {
    const fn runs(self, whole: u64, quick: u64) -> u64 {
        if self.quick { quick } else { whole }
    }

    /// In the quick mode a range is widened by what fewer runs may err.
    fn widened(self, (low, high): (f64, f64), error: f64) -> (f64, f64) {
        let margin = if self.quick { 4.0 * error } else { 0.0 };
        (low - margin, high + margin)
    }
}

/// Plays runs on every core; the order of the answers is that of the runs.
fn play<T: Send>(what: &str, runs: u64, run: impl Fn(Seed) -> T + Sync) -> Vec<T> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} runs, {eta} left").expect("a constant");
    let progress = ProgressBar::new(runs).with_style(style).with_message(what.to_owned());
    let played = (0..runs).into_par_iter().map(|index| {
        let outcome = run(SEED.child(index));
        progress.inc(1);
        outcome
    });
    let outcomes = played.collect();
    progress.finish_and_clear();
    outcomes
}

/// Beta(1,1) posteriors whose items are chosen by one draw of each: Thompson sampling as its authors write it.
struct Bandit {
    /// What is drawn from.
    samplers: Vec<BetaSampler>,
    /// Shown and converted, by item, of which nothing has been drawn yet.
    pending: Vec<(u32, u32)>,
    posteriors: Vec<Beta>,
    /// Items of which it is not known yet that they were replaced.
    unnoticed: Vec<usize>,
    rng: Xoshiro256PlusPlus,
}

/// What becomes of an item that is replaced between two updates, which the source does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    /// What was shown of it is dropped, and the new one begins with the prior at once.
    Dropped,
    /// The new one begins with the prior, and is told at the update what was shown of the old one.
    Inherited,
    /// The update is the first to say so: until then the new one is shown for what is known of the old one.
    Unnoticed,
}

impl Bandit {
    fn new(items: usize, seed: Seed) -> Self {
        Self {
            samplers: vec![BetaSampler::new(&Beta::UNIFORM); items],
            pending: vec![(0, 0); items],
            posteriors: vec![Beta::UNIFORM; items],
            unnoticed: Vec::new(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed.0),
        }
    }

    fn choose(&mut self) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (item, sampler) in self.samplers.iter().enumerate() {
            let rate = sampler.sample(&mut self.rng);
            if rate > best.1 {
                best = (item, rate);
            }
        }
        best.0
    }

    fn show(&mut self, item: usize, rate: f64) {
        let converted: bool = self.rng.random::<f64>() < rate;
        self.pending[item].0 += 1;
        self.pending[item].1 += u32::from(converted);
    }

    fn feed_back(&mut self) {
        while let Some(item) = self.unnoticed.pop() {
            self.begin_again(item);
        }
        for (item, pending) in self.pending.iter_mut().enumerate().filter(|(_, pending)| pending.0 > 0) {
            let (shown, converted) = (f64::from(pending.0), f64::from(pending.1));
            self.posteriors[item] = Beta::from_counts(self.posteriors[item], shown, converted, 1.0);
            self.samplers[item] = BetaSampler::new(&self.posteriors[item]);
            *pending = (0, 0);
        }
    }

    fn replace(&mut self, item: usize, replacement: Replacement) {
        if replacement != Replacement::Inherited {
            self.pending[item] = (0, 0);
        }
        match replacement {
            Replacement::Dropped | Replacement::Inherited => self.begin_again(item),
            Replacement::Unnoticed => self.unnoticed.push(item),
        }
    }

    fn begin_again(&mut self, item: usize) {
        self.posteriors[item] = Beta::UNIFORM;
        self.samplers[item] = BetaSampler::new(&Beta::UNIFORM);
    }
}

/// Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, table 1: total regret of ten items of which one
/// is replaced now and then.
fn replaced_items(delay: u64, replacement: Replacement, steps: u64, seed: Seed) -> f64 {
    const ITEMS: usize = 10;
    const REPLACED: f64 = 1e-3;
    let truth = BetaSampler::new(&Beta::new(4.0, 4.0).expect("positive"));
    let mut world = Xoshiro256PlusPlus::seed_from_u64(seed.child(0).0);
    let mut bandit = Bandit::new(ITEMS, seed.child(1));
    let mut rates: Vec<f64> = (0..ITEMS).map(|_| truth.sample(&mut world)).collect();
    let highest = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let (mut best, mut regret) = (highest(&rates), 0.0);
    for step in 1..=steps {
        let item = bandit.choose();
        bandit.show(item, rates[item]);
        regret += best - rates[item];
        if step % delay == 0 {
            bandit.feed_back();
        }
        if world.random::<f64>() < REPLACED {
            let item = world.random_range(0..ITEMS);
            rates[item] = truth.sample(&mut world);
            best = highest(&rates);
            bandit.replace(item, replacement);
        }
    }
    regret
}

/// Steps between two updates, and the regret that is printed for them.
const TABLE_1: [(u64, f64); 7] =
    [(1, 9_105.0), (3, 9_199.0), (10, 9_049.0), (32, 9_451.0), (100, 11_550.0), (316, 21_594.0), (1_000, 59_256.0)];

fn chapelle_li_table_1(effort: Effort) -> Vec<Row> {
    let steps = effort.runs(1_000_000, 250_000);
    let runs = effort.runs(100, 8);
    let row = |(delay, published): (u64, f64)| {
        let what = format!("δ = {delay}");
        let regrets = play(&what, runs, |seed| replaced_items(delay, Replacement::Dropped, steps, seed));
        // Items come and go: regret grows in proportion to the steps, so that a shorter run says the same but for its start.
        let scale = 1_000_000.0 / steps as f64;
        let ours = Estimate::of(regrets.into_iter().map(|regret| regret * scale));
        let range = effort.widened((0.94 * published, 1.06 * published), ours.error);
        let accepted = (delay <= 100).then_some(range);
        Row { what, published: format!("{published:.0}"), ours, accepted, remark: "discrepancy, see below" }
    };
    TABLE_1.into_iter().map(row).collect()
}

/// The same under the other readings, where updates are far enough apart for it to matter.
fn chapelle_li_table_1_read_otherwise(effort: Effort) -> Vec<Row> {
    let steps = effort.runs(1_000_000, 250_000);
    let scale = 1_000_000.0 / steps as f64;
    let mut rows = Vec::new();
    for (delay, published) in TABLE_1.into_iter().filter(|(delay, _)| *delay >= 100) {
        for (replacement, name) in
            [(Replacement::Inherited, "replies inherited"), (Replacement::Unnoticed, "replacement unnoticed")]
        {
            let what = format!("δ = {delay}, {name}");
            let regrets = play(&what, effort.runs(10, 4), |seed| replaced_items(delay, replacement, steps, seed));
            let ours = Estimate::of(regrets.into_iter().map(|regret| regret * scale));
            rows.push(Row { what, published: format!("{published:.0}"), ours, accepted: None, remark: "shown" });
        }
    }
    rows
}

/// Regret after each of some numbers of steps: fixed rates, Beta(1,1), feedback every 100 steps.
fn batched(rates: &[f64], at: &[u64], seed: Seed) -> Vec<f64> {
    const BATCH: u64 = 100;
    let mut bandit = Bandit::new(rates.len(), seed);
    let best = rates.iter().copied().fold(0.0, f64::max);
    let (mut regret, mut regrets) = (0.0, Vec::with_capacity(at.len()));
    for step in 1..=at[at.len() - 1] {
        let item = bandit.choose();
        bandit.show(item, rates[item]);
        regret += best - rates[item];
        if step % BATCH == 0 {
            bandit.feed_back();
        }
        if at[regrets.len()] == step {
            regrets.push(regret);
        }
    }
    regrets
}

/// The constant of Lai & Robbins, "Asymptotically efficient adaptive allocation rules", 1985: Σ (p* − p)/KL(p, p*) over the
/// arms that are not the best. Rates within (0, 1).
fn lai_robbins(rates: &[f64]) -> f64 {
    let best = rates.iter().copied().fold(0.0, f64::max);
    let cost = |rate: f64| {
        let divergence = rate * (rate / best).ln() + (1.0 - rate) * ((1.0 - rate) / (1.0 - best)).ln();
        (best - rate) / divergence
    };
    rates.iter().filter(|rate| **rate < best).map(|rate| cost(*rate)).sum()
}

fn one_better(arms: usize, gap: f64) -> Vec<f64> {
    std::iter::once(0.5).chain(std::iter::repeat_n(0.5 - gap, arms - 1)).collect()
}

/// Their figure 1, of which the source prints curves and no numbers: the slope in ln T is near the constant of Lai & Robbins.
fn chapelle_li_figure_1(effort: Effort) -> Vec<Row> {
    let at = if effort.quick { [1_000, 10_000, 100_000] } else { [10_000, 100_000, 1_000_000] };
    let mut rows = Vec::new();
    for (arms, gap, runs) in [(10, 0.1, 64), (10, 0.02, 24), (100, 0.1, 6), (100, 0.02, 6)] {
        let rates = one_better(arms, gap);
        let constant = lai_robbins(&rates);
        let what = format!("K = {arms}, ε = {gap}");
        let runs = effort.runs(runs, if arms == 10 { 24 } else { 3 });
        let regrets = play(&what, runs, |seed| batched(&rates, &at, seed));
        let judged = arms == 10 && gap > 0.05;
        for (point, time) in at.iter().enumerate() {
            let ours = Estimate::of(regrets.iter().map(|run| run[point]));
            let range = (judged && *time == 1_000_000).then_some((300.0, 390.0));
            rows.push(Row {
                what: format!("{what}: regret at {time}"),
                published: "curve".to_owned(),
                ours,
                accepted: range,
                remark: "shown",
            });
        }
        for (from, to) in [(0, 1), (1, 2)] {
            let per_log = (at[to] as f64 / at[from] as f64).ln();
            let ours = Estimate::of(regrets.iter().map(|run| (run[to] - run[from]) / per_log));
            let range = effort.widened((0.6 * constant, 1.15 * constant), ours.error);
            rows.push(Row {
                what: format!("{what}: slope per ln T, {} to {}", at[from], at[to]),
                published: format!("near {constant:.1}"),
                ours,
                accepted: (judged && to == 2).then_some(range),
                remark: "shown",
            });
        }
    }
    rows
}

/// The regret of each round of one run of one of the library's policies, drawn from the shares it allocates, which are
/// computed anew whenever the rounds have grown by 1 %.
fn allocated(policy: &dyn Policy, rates: &[f64], rounds: u64, seed: Seed) -> Vec<f64> {
    const GROWTH: f64 = 0.01;
    let best = rates.iter().copied().fold(0.0, f64::max);
    let mut arms = vec![Arm::default(); rates.len()];
    let (mut shares, mut computed_at) = (Vec::new(), 0);
    let round = |round: u64| {
        let noise = seed.child(round);
        if shares.is_empty() || (round - computed_at) as f64 >= GROWTH * computed_at as f64 {
            shares = policy.allocate(&Evidence::of(&arms, noise));
            computed_at = round;
        }
        let chosen = draw(&shares, noise.child(0).uniform());
        let converted = f64::from(u8::from(noise.child(1).uniform() < rates[chosen]));
        arms[chosen] = Arm::converting(arms[chosen].exposures + 1.0, arms[chosen].conversions + converted);
        best - rates[chosen]
    };
    (0..rounds).map(round).collect()
}

fn policy(kind: &str, parameters: &Parameters, arms: usize) -> Box<dyn Policy> {
    let key = |place: usize| VariationKey::new(&format!("arm-{place:02}")).expect("a key");
    build(kind, parameters, &(0..arms).map(key).collect::<Vec<_>>()).expect("allowed parameters")
}

/// Thompson sampling as in the papers: a uniform prior, and no expectation of how far variations differ.
fn alone() -> Parameters {
    Parameters::new().with("pooling", Parameter::Text("none".into()))
}

/// Within four standard errors of the difference.
fn agreeing(what: String, published: f64, published_error: f64, ours: Estimate) -> Row {
    let margin = 4.0 * ours.error.hypot(published_error);
    let range = (published - margin, published + margin);
    let shown = format!("{published} ± {published_error:.2}");
    let published = if published < 1.0 { published.to_string() } else { shown };
    Row { what, published, ours, accepted: Some(range), remark: "" }
}

/// Russo, Van Roy, Kazerouni, Osband & Wen, "A tutorial on Thompson sampling", 2018, figure 3.
fn russo_figure_3(effort: Effort) -> Vec<Row> {
    let rates = [0.7, 0.8, 0.9];
    let runs = effort.runs(10_000, 1_000);
    let greedy = Parameters::new().with("epsilon", Parameter::Number(0.0));
    let published = [
        ("Thompson sampling", policy("thompson", &alone(), 3), (11.22, 0.10), [0.0777, 0.0281, 0.0055, 0.0025]),
        ("greedy", policy("epsilon-greedy", &greedy, 3), (74.4, 0.8), [0.0758, 0.0743, 0.0743, 0.0743]),
    ];
    let mut rows = Vec::new();
    for (name, policy, (total, total_error), figures) in published {
        let kept = |seed| {
            let run = allocated(&*policy, &rates, 1_000, seed);
            (run.iter().sum::<f64>(), [10, 100, 500, 1_000].map(|round| run[round - 1]))
        };
        let regrets = play(name, runs, kept);
        let ours = Estimate::of(regrets.iter().map(|run| run.0));
        rows.push(agreeing(format!("{name}: total regret"), total, total_error, ours));
        for (point, (round, figure)) in [10, 100, 500, 1_000].into_iter().zip(figures).enumerate() {
            let ours = Estimate::of(regrets.iter().map(|run| run.1[point]));
            // One round's regret lies in [0, 0.2], so its error over the 10,000 published runs follows from ours.
            let published_error = ours.error * (runs as f64 / 10_000.0).sqrt();
            rows.push(agreeing(format!("{name}: regret in round {round}"), figure, published_error, ours));
        }
    }
    rows
}

/// Kaufmann, Korda & Munos, "Thompson sampling: an asymptotically optimal finite-time analysis", 2012, and Cappé et al.,
/// "Kullback–Leibler upper confidence bounds", 2013: their instances. The figures are of an independent implementation: the
/// papers print curves.
fn kaufmann_instances(effort: Effort) -> Vec<Row> {
    let ten: &[f64] = &[0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01];
    let instances: [(&str, &[f64], u64, f64, f64); 3] = [
        ("0.2, 0.25", &[0.2, 0.25], 10_000, 23.5, 0.7),
        ("0.8, 0.9", &[0.8, 0.9], 10_000, 9.71, 0.24),
        ("0.1, 0.05 ×3, 0.02 ×3, 0.01 ×3", ten, 20_000, 91.8, 0.9),
    ];
    let mut rows = Vec::new();
    for (name, rates, rounds, published, error) in instances {
        let thompson = policy("thompson", &alone(), rates.len());
        let total = |seed| allocated(&*thompson, rates, rounds, seed).iter().sum::<f64>();
        let ours = Estimate::of(play(name, effort.runs(4_000, 200), total).into_iter());
        rows.push(agreeing(format!("{name}: regret at {rounds}"), published, error, ours));
        let bound = lai_robbins(rates) * (rounds as f64).ln();
        rows.push(Row {
            what: format!("{name}: below C ln T"),
            published: format!("{bound:.1}"),
            ours,
            accepted: Some((0.0, bound)),
            remark: "",
        });
    }
    rows
}

/// What is reproduced: a heading, and the rows under it.
type Part = (&'static str, fn(Effort) -> Vec<Row>);

const PARTS: [Part; 5] = [
    ("Chapelle & Li 2011, table 1: total regret of Thompson sampling after 1,000,000 steps", chapelle_li_table_1),
    ("The same, items replaced between two updates read otherwise", chapelle_li_table_1_read_otherwise),
    ("Chapelle & Li 2011, figure 1: best arm 0.5, the others 0.5 − ε", chapelle_li_figure_1),
    ("Russo et al. 2018, figure 3: rates 0.7, 0.8, 0.9 over 1,000 rounds", russo_figure_3),
    ("Bernoulli instances of Kaufmann et al. 2012 and Cappé et al. 2013", kaufmann_instances),
];

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
fn main() -> ExitCode {
    let quick = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--quick") => true,
        Some(other) => {
            eprintln!("{other:?} is not understood: allowed is --quick");
            return ExitCode::from(2);
        }
    };
    let mut passed = true;
    for (heading, rows) in PARTS {
        println!("\n### {heading}\n");
        println!("| figure | published | ours | standard error | accepted | verdict |");
        println!("| --- | ---: | ---: | ---: | ---: | --- |");
        for row in rows(Effort { quick }) {
            passed &= row.passes();
            println!("{row}");
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constants to the digits that mpmath gives.
    #[test]
    fn constants_of_lai_and_robbins() {
        let ten = [0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01];
        let cases: [(Vec<f64>, f64); 8] = [
            (vec![0.2, 0.25], 7.140_708_149_580_522),
            (vec![0.8, 0.9], 2.252_099_698_524_529),
            (vec![0.9, 0.8, 0.7], 3.553_644_222_897_533),
            (ten.to_vec(), 17.445_174_131_189_45),
            (one_better(10, 0.1), 44.697_146_548_279_09),
            (one_better(10, 0.02), 224.939_977_583_283_3),
            (one_better(100, 0.1), 491.668_612_031_07),
            (one_better(100, 0.02), 2_474.339_753_416_116),
        ];
        for (rates, want) in cases {
            let got = lai_robbins(&rates);
            assert!((got / want - 1.0).abs() < 1e-10, "{rates:?}: {got} instead of {want}");
        }
    }
}
