//! Recorded headline tests as worlds: the click rates that a randomised test observed are taken as the truth, and viewers
//! are played against it (data format: the Upworthy Research Archive, Matias et al. 2021).
//!
//! Observed rates spread more than true ones, by the noise of some thousand impressions each: the gap between the best
//! headline and all alike is overstated, for every strategy alike.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use indicatif::ProgressBar;
use mabel::domain::{ExperimentKey, Seed, VariationKey};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::simulations::player::{self, Course};
use crate::simulations::runner;
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::Scenario;
use crate::simulations::statistics::{Mean, ratio};
use crate::simulations::world::VariationInWorld;
use crate::simulations::world::blueprint::Blueprint;
use crate::simulations::world::segmented::SegmentInWorld;

/// The archive's name for its file.
pub(crate) const FILE: &str = "headline_tests.csv.gz";

/// A row of the file; further columns are not read.
#[derive(Debug, Deserialize)]
struct Row {
    clickability_test_id: String,
    impressions: u64,
    clicks: u64,
}

/// Tests read from a file.
#[derive(Debug)]
pub(crate) struct Tests {
    /// One per test, in order of first appearance; rates in the order of rows.
    pub(crate) worlds: Vec<Blueprint>,
    pub(crate) read: ReadCounts,
}

/// What was read and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ReadCounts {
    pub(crate) rows: u64,
    /// No number where one belongs, no impressions, or more clicks than impressions.
    pub(crate) rows_refused: u64,
    /// Fewer than two usable rows.
    pub(crate) tests_left_out: u64,
}

/// Why a file of tests cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error("{file}: cannot be read: {reason}")]
    Unreadable { file: String, reason: std::io::Error },
    #[error("{file}: is not CSV with the columns clickability_test_id, impressions and clicks: {reason}")]
    NotTests { file: String, reason: csv::Error },
    #[error("{file}: holds no test with two usable headlines ({} rows, {} refused)", .counts.rows, .counts.rows_refused)]
    NoTests { file: String, counts: ReadCounts },
}

/// What the strategies got from all tests.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HeadlinesResult {
    pub(crate) scenario: String,
    pub(crate) about: String,
    pub(crate) seed: u64,
    /// Plays of each test.
    pub(crate) runs: u32,
    /// Viewers of a play.
    pub(crate) visitors: u64,
    pub(crate) tests: usize,
    pub(crate) read: ReadCounts,
    /// Clicks per viewer if each test shows its best headline.
    pub(crate) best_rate: f64,
    /// Clicks per viewer if all headlines are shown alike.
    pub(crate) uniform_rate: f64,
    pub(crate) strategies: Vec<HeadlinesRow>,
    pub(crate) sample_ratio: SampleRatio,
}

/// One strategy's row. Standard errors and intervals (95 %) are over tests.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HeadlinesRow {
    pub(crate) name: String,
    pub(crate) policy: String,
    /// Expected clicks per viewer of the headlines chosen.
    pub(crate) click_rate: f64,
    /// Mean over tests of (strategy − all alike)/(best − all alike), of tests where not all headlines are equal.
    pub(crate) gap_closed_per_test_mean: f64,
    pub(crate) gap_closed_per_test_se: Option<f64>,
    pub(crate) gap_closed_per_test_interval: Option<[f64; 2]>,
    /// The same with numerators and denominators summed over tests.
    pub(crate) gap_closed_mean: f64,
    pub(crate) gap_closed_se: Option<f64>,
    pub(crate) gap_closed_interval: Option<[f64; 2]>,
}

/// Reads tests from a CSV file, gzipped if its name ends in `.gz`.
pub(crate) fn read(path: &Path) -> Result<Tests, DataError> {
    let file = path.display().to_string();
    let opened = std::fs::File::open(path).map_err(|reason| DataError::Unreadable { file: file.clone(), reason })?;
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> =
        if gzipped { Box::new(flate2::read::MultiGzDecoder::new(opened)) } else { Box::new(opened) };
    let tests = parse(reader).map_err(|reason| DataError::NotTests { file: file.clone(), reason })?;
    if tests.worlds.is_empty() {
        return Err(DataError::NoTests { file, counts: tests.read });
    }
    Ok(tests)
}

fn parse(reader: impl Read) -> Result<Tests, csv::Error> {
    let mut reader = csv::Reader::from_reader(reader);
    let mut counts = ReadCounts::default();
    // By test, in order of first appearance.
    let mut rates: Vec<(String, Vec<f64>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let headers = reader.headers()?.clone();
    let required = ["clickability_test_id", "impressions", "clicks"];
    if let Some(missing) = required.iter().find(|name| headers.iter().all(|header| header != **name)) {
        let reason = format!("the column {missing} is missing");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason).into());
    }
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            // A broken stream would fail for ever; a row of the wrong length is a bad row.
            Err(error) if error.is_io_error() => return Err(error),
            Err(_) => {
                counts.rows += 1;
                counts.rows_refused += 1;
                continue;
            }
        };
        counts.rows += 1;
        match record.deserialize::<Row>(Some(&headers)) {
            Ok(row) if row.impressions > 0 && row.clicks <= row.impressions => {
                let place = *places.entry(row.clickability_test_id.clone()).or_insert_with(|| {
                    rates.push((row.clickability_test_id.clone(), Vec::new()));
                    rates.len() - 1
                });
                rates[place].1.push(row.clicks as f64 / row.impressions as f64);
            }
            Ok(_) | Err(_) => counts.rows_refused += 1,
        }
    }
    let mut worlds = Vec::with_capacity(rates.len());
    for (id, rates) in rates {
        match ExperimentKey::new(&id) {
            Ok(key) if rates.len() >= 2 => worlds.push(world(key, rates)),
            Ok(_) | Err(_) => counts.tests_left_out += 1,
        }
    }
    Ok(Tests { worlds, read: counts })
}

fn world(key: ExperimentKey, rates: Vec<f64>) -> Blueprint {
    let variation = |index: usize| {
        let key = format!("headline-{}", index + 1);
        VariationInWorld::new(VariationKey::new(&key).expect("letters, a sign and digits"))
    };
    let variations = (0..rates.len()).map(variation).collect();
    let all = SegmentInWorld { key: "all".to_owned(), share: 1.0, context: Vec::new() };
    Blueprint::stated(key, variations, vec![all], rates)
}

/// One test: what all alike, the best headline, and each strategy give per viewer.
struct Played {
    uniform: f64,
    best: f64,
    rates: Vec<f64>,
    sample_ratio: SampleRatio,
}

/// Plays every test; `None` if it was told to stop.
pub(crate) fn run_all(
    scenario: &Scenario,
    tests: &Tests,
    stop: &AtomicBool,
    progress: &ProgressBar,
) -> Option<HeadlinesResult> {
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, scenario.runs);
    let numbered: Vec<(usize, &Blueprint)> = tests.worlds.iter().enumerate().collect();
    let played: Vec<Played> = numbered
        .par_iter()
        .map(|(index, world)| {
            let played = play(scenario, world, course, &seeds, *index as u64, stop);
            progress.inc(1);
            played
        })
        .collect::<Option<_>>()?;
    Some(summarise(scenario, tests, &played))
}

fn play(
    scenario: &Scenario,
    blueprint: &Blueprint,
    course: Course,
    seeds: &[Seed],
    test: u64,
    stop: &AtomicBool,
) -> Option<Played> {
    let rates = blueprint.stated_rates();
    let world = blueprint.draw(Seed(0), course.visitors);
    let viewers = course.visitors as f64 * seeds.len() as f64;
    let mut played = Played {
        uniform: rates.iter().sum::<f64>() / rates.len() as f64,
        best: rates.iter().copied().fold(0.0, f64::max),
        rates: Vec::with_capacity(scenario.strategies.len()),
        sample_ratio: SampleRatio::default(),
    };
    for strategy in &scenario.strategies {
        let mut reward = 0.0;
        for seed in seeds {
            let outcome = player::play(&world, strategy, course, seed.child(test), stop)?;
            reward += outcome.reward;
            played.sample_ratio = played.sample_ratio.worst(outcome.sample_ratio);
        }
        played.rates.push(reward / viewers);
    }
    Some(played)
}

fn summarise(scenario: &Scenario, tests: &Tests, played: &[Played]) -> HeadlinesResult {
    let mean = |value: fn(&Played) -> f64| played.iter().map(value).sum::<f64>() / played.len() as f64;
    // Rates are fractions of whole numbers: equal ones differ by rounding at most.
    let gapped: Vec<&Played> = played.iter().filter(|test| test.best - test.uniform > 1e-12).collect();
    let gaps: Vec<f64> = gapped.iter().map(|test| test.best - test.uniform).collect();
    let rows = scenario.strategies.iter().enumerate().map(|(index, strategy)| {
        let gained: Vec<f64> = gapped.iter().map(|test| test.rates[index] - test.uniform).collect();
        let shares: Vec<f64> = gained.iter().zip(&gaps).map(|(gained, gap)| gained / gap).collect();
        let (per_test, overall) = (Mean::of(&shares), ratio(&gained, &gaps));
        HeadlinesRow {
            name: strategy.name.clone(),
            policy: strategy.policy().to_owned(),
            click_rate: played.iter().map(|test| test.rates[index]).sum::<f64>() / played.len() as f64,
            gap_closed_per_test_mean: per_test.mean,
            gap_closed_per_test_se: per_test.se,
            gap_closed_per_test_interval: per_test.interval(),
            gap_closed_mean: overall.mean,
            gap_closed_se: overall.se,
            gap_closed_interval: overall.interval(),
        }
    });
    HeadlinesResult {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seed: scenario.seed,
        runs: scenario.runs,
        visitors: scenario.visitors,
        tests: played.len(),
        read: tests.read,
        best_rate: mean(|test| test.best),
        uniform_rate: mean(|test| test.uniform),
        strategies: rows.collect(),
        sample_ratio: played.iter().map(|test| test.sample_ratio).fold(SampleRatio::default(), SampleRatio::worst),
    }
}

#[cfg(test)]
mod tests;
