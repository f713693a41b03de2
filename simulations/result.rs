//! What runs say about strategies, and the file `result.json` that says it to programs.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::simulations::runner::Run;
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::Scenario;
use crate::simulations::statistics::{Mean, quantile, ratio};
use crate::simulations::world::blueprint::Blueprint;

/// A scenario's result. Rewards and regret are expected values of the variations chosen, summed over the visitors of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScenarioResult {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) seed: u64,
    pub(crate) runs: u32,
    pub(crate) visitors: u64,
    /// What rewards are: conversions, revenue or margin in minor units, right answers.
    pub(crate) unit: &'static str,
    /// Reward per run if everyone is shown what is best for them at that moment: mean over runs.
    pub(crate) oracle: f64,
    /// Reward per run if all visitors are shown the best one variation: mean over runs.
    pub(crate) best_single: f64,
    pub(crate) strategies: Vec<StrategyResult>,
    /// The strategy that paired differences are against.
    pub(crate) reference: String,
    pub(crate) sample_ratio: SampleRatio,
}

/// One strategy's row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StrategyResult {
    pub(crate) name: String,
    pub(crate) policy: String,
    pub(crate) reward_mean: f64,
    /// Standard errors and intervals are null where there is one run.
    pub(crate) reward_se: Option<f64>,
    /// Against [`ScenarioResult::oracle`].
    pub(crate) regret_mean: f64,
    pub(crate) regret_se: Option<f64>,
    pub(crate) regret_quantiles: Quantiles,
    /// 100 × regret/oracle: mean over runs.
    pub(crate) regret_percent_mean: f64,
    pub(crate) regret_percent_se: Option<f64>,
    pub(crate) reward_per_visitor_mean: f64,
    pub(crate) reward_per_visitor_se: Option<f64>,
    /// Reward per visitor in the last quarter of a run.
    pub(crate) last_quarter_mean: f64,
    pub(crate) last_quarter_se: Option<f64>,
    /// Costs per visitor; null where nothing costs anything.
    pub(crate) spend_per_visitor_mean: Option<f64>,
    pub(crate) spend_per_visitor_se: Option<f64>,
    /// (policy − best single)/(oracle − best single): null where segments want the same variation.
    pub(crate) gain_captured_mean: Option<f64>,
    pub(crate) gain_captured_se: Option<f64>,
    /// Of 95 %.
    pub(crate) gain_captured_interval: Option<[f64; 2]>,
    /// The same of the last tenth of a run alone.
    pub(crate) gain_captured_last_tenth_mean: Option<f64>,
    pub(crate) gain_captured_last_tenth_se: Option<f64>,
    /// Reward less that of the reference in the same run; null for the reference itself.
    pub(crate) paired: Option<Paired>,
}

/// Regret that so many of the runs stay under.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Quantiles {
    #[serde(rename = "0.5")]
    pub(crate) half: f64,
    #[serde(rename = "0.9")]
    pub(crate) nine_tenths: f64,
    #[serde(rename = "0.99")]
    pub(crate) nearly_all: f64,
}

/// A difference over pairs of runs with the same visitors.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Paired {
    pub(crate) difference_mean: f64,
    pub(crate) difference_se: Option<f64>,
    /// Of 95 %.
    pub(crate) difference_interval: Option<[f64; 2]>,
    /// Regret in per cent of the oracle's reward, less that of the reference: points.
    pub(crate) regret_percent_mean: f64,
    pub(crate) regret_percent_se: Option<f64>,
}

impl Paired {
    /// Of two lists of rewards, and two of regrets in per cent, in the order of runs.
    fn of([rewards, percents]: [&[f64]; 2], [reference, reference_percents]: [&[f64]; 2]) -> Self {
        let less = |a: &[f64], b: &[f64]| Mean::of(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>());
        let (reward, percent) = (less(rewards, reference), less(percents, reference_percents));
        Self {
            difference_mean: reward.mean,
            difference_se: reward.se,
            difference_interval: reward.interval(),
            regret_percent_mean: percent.mean,
            regret_percent_se: percent.se,
        }
    }
}

impl Quantiles {
    fn of(values: &[f64]) -> Self {
        let [half, nine_tenths, nearly_all] = [0.5, 0.9, 0.99].map(|level| quantile(values, level));
        Self { half, nine_tenths, nearly_all }
    }
}

/// One number per run.
fn each(runs: &[Run], value: impl Fn(&Run) -> f64) -> Vec<f64> {
    runs.iter().map(value).collect()
}

/// How much a curve over a run grew after this share of it.
fn grown(curve: &[f64], since: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a list")]
    let before = (since * curve.len() as f64).round() as usize;
    let last = *curve.last().expect("a curve ends with the run");
    last - before.checked_sub(1).map_or(0.0, |place| curve[place])
}

/// What a strategy has of the gap between the best one variation and the oracle, after this share of a run; `None` where
/// segments want the same. Where runs draw a truth of their own some gaps are next to nothing: then it is the ratio of sums.
fn gain_captured(blueprint: &Blueprint, runs: &[Run], strategy: usize, since: f64) -> Option<Mean> {
    if !runs.iter().any(|run| run.ceiling.rewards_segments()) {
        return None;
    }
    let gaps = each(runs, |run| grown(&run.ceiling.best_single_regret, since));
    let lost = each(runs, |run| grown(&run.outcomes[strategy].regret, since));
    let captured: Vec<f64> = gaps.iter().zip(&lost).map(|(gap, lost)| gap - lost).collect();
    if gaps.iter().sum::<f64>() <= 0.0 {
        return None;
    }
    Some(if blueprint.is_stated() && gaps.iter().all(|gap| *gap > 0.0) {
        Mean::of(&captured.iter().zip(&gaps).map(|(captured, gap)| captured / gap).collect::<Vec<f64>>())
    } else {
        ratio(&captured, &gaps)
    })
}

impl ScenarioResult {
    /// Of the runs of a scenario's world.
    pub(crate) fn of(scenario: &Scenario, blueprint: &Blueprint, runs: &[Run]) -> Self {
        let rewards = |s: usize| each(runs, |run| run.outcomes[s].reward);
        let percents = |s: usize| each(runs, |run| 100.0 * run.outcomes[s].total_regret() / run.ceiling.oracle);
        let reference = (rewards(scenario.reference), percents(scenario.reference));
        let row = |index: usize| {
            let (rewards, percents) = (rewards(index), percents(index));
            let paired = || Paired::of([&rewards, &percents], [&reference.0, &reference.1]);
            let paired = (index != scenario.reference).then(paired);
            StrategyResult { paired, ..row(scenario, blueprint, runs, index) }
        };
        let outcomes = runs.iter().flat_map(|run| &run.outcomes);
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed: scenario.seed,
            runs: scenario.runs,
            visitors: scenario.visitors,
            unit: blueprint.unit(),
            oracle: Mean::of(&each(runs, |run| run.ceiling.oracle)).mean,
            best_single: Mean::of(&each(runs, |run| run.ceiling.best_single)).mean,
            strategies: (0..scenario.strategies.len()).map(row).collect(),
            reference: scenario.strategies[scenario.reference].name.clone(),
            sample_ratio: outcomes.map(|outcome| outcome.sample_ratio).fold(SampleRatio::default(), SampleRatio::worst),
        }
    }
}

/// Of one strategy, compared with none.
fn row(scenario: &Scenario, blueprint: &Blueprint, runs: &[Run], index: usize) -> StrategyResult {
    let strategy = &scenario.strategies[index];
    let visitors = scenario.visitors as f64;
    let regrets = each(runs, |run| run.outcomes[index].total_regret());
    let reward = Mean::of(&each(runs, |run| run.outcomes[index].reward));
    let regret = Mean::of(&regrets);
    let percent = Mean::of(&each(runs, |run| 100.0 * run.outcomes[index].total_regret() / run.ceiling.oracle));
    let per_visitor = Mean::of(&each(runs, |run| run.outcomes[index].reward / visitors));
    let last_quarter = Mean::of(&each(runs, |run| {
        let reward = grown(&run.ceiling.oracle_curve, 0.75) - grown(&run.outcomes[index].regret, 0.75);
        reward / visitors_after(scenario.visitors, run.ceiling.oracle_curve.len(), 0.75)
    }));
    let spend = Mean::of(&each(runs, |run| run.outcomes[index].spend / visitors));
    let spend = blueprint.costs().then_some(spend);
    let gains = gain_captured(blueprint, runs, index, 0.0);
    let last_tenth = gain_captured(blueprint, runs, index, 0.9);
    StrategyResult {
        name: strategy.name.clone(),
        policy: strategy.policy().to_owned(),
        reward_mean: reward.mean,
        reward_se: reward.se,
        regret_mean: regret.mean,
        regret_se: regret.se,
        regret_quantiles: Quantiles::of(&regrets),
        regret_percent_mean: percent.mean,
        regret_percent_se: percent.se,
        reward_per_visitor_mean: per_visitor.mean,
        reward_per_visitor_se: per_visitor.se,
        last_quarter_mean: last_quarter.mean,
        last_quarter_se: last_quarter.se,
        spend_per_visitor_mean: spend.map(|spend| spend.mean),
        spend_per_visitor_se: spend.and_then(|spend| spend.se),
        gain_captured_mean: gains.map(|gains| gains.mean),
        gain_captured_se: gains.and_then(|gains| gains.se),
        gain_captured_interval: gains.and_then(Mean::interval),
        gain_captured_last_tenth_mean: last_tenth.map(|gains| gains.mean),
        gain_captured_last_tenth_se: last_tenth.and_then(|gains| gains.se),
        paired: None,
    }
}

/// Visitors between the point of a curve that [`grown`] begins at and the end of the run.
fn visitors_after(visitors: u64, points: usize, since: f64) -> f64 {
    let before = (since * points as f64).round();
    visitors as f64 - (before * visitors as f64 / points as f64).floor()
}

/// A result as `result.json` holds it.
pub(crate) fn to_json<R: Serialize>(result: &R) -> String {
    let mut text = serde_json::to_string_pretty(result).expect("numbers and texts are JSON");
    text.push('\n');
    text
}

/// Writes a file whole or not at all: beside it first, then under its name.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
