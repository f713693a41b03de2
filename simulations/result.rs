//! What runs say about strategies, and the file `result.json` that says it to programs.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::simulations::runner::Run;
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::Scenario;
use crate::simulations::statistics::{Mean, quantile};
use crate::simulations::world::World;

/// A scenario's result. Rewards and regret are expected values of the variations chosen, summed over the visitors of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScenarioResult {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) seed: u64,
    pub(crate) runs: u32,
    pub(crate) visitors: u64,
    /// Conversions per run if each segment is shown its best variation: mean over runs.
    pub(crate) oracle: f64,
    /// Conversions per run if all visitors are shown the best one variation: mean over runs.
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
    /// (policy − best single)/(oracle − best single): null where segments want the same variation.
    pub(crate) gain_captured_mean: Option<f64>,
    pub(crate) gain_captured_se: Option<f64>,
    /// Of 95 %.
    pub(crate) gain_captured_interval: Option<[f64; 2]>,
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
}

impl Paired {
    /// Of two lists of rewards in the order of runs.
    fn of(rewards: &[f64], reference: &[f64]) -> Self {
        let differences: Vec<f64> = rewards.iter().zip(reference).map(|(a, b)| a - b).collect();
        let mean = Mean::of(&differences);
        Self { difference_mean: mean.mean, difference_se: mean.se, difference_interval: mean.interval() }
    }
}

impl Quantiles {
    fn of(values: &[f64]) -> Self {
        let [half, nine_tenths, nearly_all] = [0.5, 0.9, 0.99].map(|level| quantile(values, level));
        Self { half, nine_tenths, nearly_all }
    }
}

impl ScenarioResult {
    /// Of the runs of a scenario's world.
    pub(crate) fn of(scenario: &Scenario, world: &World, runs: &[Run]) -> Self {
        let segmented = world.rewards_segments(scenario.visitors);
        let rewards = |s: usize| -> Vec<f64> { runs.iter().map(|run| run.outcomes[s].reward).collect() };
        let reference = rewards(scenario.reference);
        let strategies = scenario.strategies.iter().enumerate().map(|(index, strategy)| {
            let rewards = rewards(index);
            let regrets: Vec<f64> = runs.iter().map(|run| run.outcomes[index].total_regret()).collect();
            let gain = |run: &Run| {
                let best_single = run.ceiling.best_single;
                (run.outcomes[index].reward - best_single) / (run.ceiling.oracle - best_single)
            };
            let gains = segmented.then(|| Mean::of(&runs.iter().map(gain).collect::<Vec<f64>>()));
            let (reward, regret) = (Mean::of(&rewards), Mean::of(&regrets));
            StrategyResult {
                name: strategy.name.clone(),
                policy: strategy.policy().to_owned(),
                reward_mean: reward.mean,
                reward_se: reward.se,
                regret_mean: regret.mean,
                regret_se: regret.se,
                regret_quantiles: Quantiles::of(&regrets),
                gain_captured_mean: gains.map(|gains| gains.mean),
                gain_captured_se: gains.and_then(|gains| gains.se),
                gain_captured_interval: gains.and_then(Mean::interval),
                paired: (index != scenario.reference).then(|| Paired::of(&rewards, &reference)),
            }
        });
        let mean = |value: fn(&Run) -> f64| Mean::of(&runs.iter().map(value).collect::<Vec<f64>>()).mean;
        let outcomes = runs.iter().flat_map(|run| &run.outcomes);
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed: scenario.seed,
            runs: scenario.runs,
            visitors: scenario.visitors,
            oracle: mean(|run| run.ceiling.oracle),
            best_single: mean(|run| run.ceiling.best_single),
            strategies: strategies.collect(),
            reference: scenario.strategies[scenario.reference].name.clone(),
            sample_ratio: outcomes.map(|outcome| outcome.sample_ratio).fold(SampleRatio::default(), SampleRatio::worst),
        }
    }
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
