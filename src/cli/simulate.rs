//! `mabel simulate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::exit::Failure;
use crate::simulations::classification;
#[cfg(feature = "plots")]
use crate::simulations::drawing;
use crate::simulations::headlines;
use crate::simulations::player::Course;
use crate::simulations::result::{ScenarioResult, to_json, write_whole};
use crate::simulations::runner::{self, Run};
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::{Overrides, Scenario, ScenarioFile, Source};
use crate::simulations::stopping::{self, Stopping, StoppingResult};
use crate::simulations::table::{self, Table};
use crate::simulations::world::blueprint::{Blueprint, Family};

/// Plays scenarios through the engine and compares strategies. The same seed gives the same bytes, on any number of
/// threads.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Scenarios, as in simulations/scenarios.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    scenarios: Vec<PathBuf>,
    /// Seed of all chance, instead of the scenario's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Runs, instead of the scenario's.
    #[arg(long, value_name = "N")]
    runs: Option<u32>,
    /// Visitors of a run, instead of the scenario's.
    #[arg(long, value_name = "N")]
    visitors: Option<u64>,
    /// Writes DIR/<scenario>/result.json, the table in Markdown, and pictures.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Files of scenarios that play recorded data, or directories they are in; can be given several times.
    #[arg(long, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// Threads; all cores if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// What a scenario came to, for the terminal and for files.
struct Played {
    table: Table,
    json: String,
    sample_ratio: SampleRatio,
    /// Of worlds, what a grid shows of it.
    result: Option<ScenarioResult>,
    /// The same, where stopping rules were asked.
    stopping: Option<StoppingResult>,
    /// Of worlds, what there is to draw.
    #[cfg_attr(not(feature = "plots"), expect(dead_code, reason = "nothing draws it"))]
    drawn: Option<(Blueprint, Vec<Run>)>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let overrides = Overrides { seed: arguments.seed, runs: arguments.runs, visitors: arguments.visitors };
    // All are read before the first is played: a mistake in the last should not cost the minutes of the first.
    let files = arguments.scenarios.iter().map(|path| ScenarioFile::read(path, overrides).map_err(Failure::new));
    let files: Vec<ScenarioFile> = files.collect::<Result<_, _>>()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.map_or(0, usize::from)).build();
    let pool = pool.map_err(|error| Failure::new(format!("no threads: {error}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).map_err(Failure::new)?;
    for file in &files {
        let (mut results, mut stopping) = (Vec::new(), Vec::new());
        for scenario in &file.scenarios {
            let played = pool.install(|| play(scenario, &arguments.data, &stop))?;
            if !file.grid {
                print(&played.table);
            }
            if let Some(out) = &arguments.out {
                write(&out.join(&scenario.name), scenario, &played)?;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Interrupted);
            }
            check(scenario, played.sample_ratio)?;
            results.extend(played.result);
            stopping.extend(played.stopping);
        }
        if file.grid {
            let table = if stopping.is_empty() {
                table::grid(&file.name, &file.about, &results)
            } else {
                table::stopping(&file.name, &file.about, &stopping)
            };
            print(&table);
            if let Some(out) = &arguments.out {
                write_grid(&out.join(&file.name), &table, &results)?;
            }
        }
    }
    Ok(())
}

/// A simulation whose variations were not shown as its propensities say has shown nothing.
fn check(scenario: &Scenario, sample_ratio: SampleRatio) -> Result<(), Failure> {
    if sample_ratio.passes() {
        return Ok(());
    }
    let file = scenario.name.split('/').next().unwrap_or_default();
    Err(Failure::new(format!(
        "{}: variations were not shown as often as their recorded propensities say (|z| = {:.2}, bound {:.2}); \
         repeat with: mabel simulate {file}.toml --seed {} --runs {} --visitors {}",
        scenario.name,
        sample_ratio.z_max,
        sample_ratio.bound(),
        scenario.seed,
        scenario.runs,
        scenario.visitors
    )))
}

fn play(scenario: &Scenario, data: &[PathBuf], stop: &AtomicBool) -> Result<Played, Failure> {
    match &scenario.source {
        Source::World(blueprint) => match &scenario.stopping {
            Some(asked) => play_until_finished(scenario, blueprint, asked, stop),
            None => play_world(scenario, blueprint, stop),
        },
        Source::Classification(set, world) => {
            let table = set.read(data, scenario.visitors);
            let table = table.map_err(|error| Failure::new(format!("{}: {error}", scenario.name)))?;
            let blueprint = Blueprint { family: Family::Rows(Arc::new(table)), ..Blueprint::clone(world) };
            play_world(scenario, &blueprint, stop)
        }
        Source::HeadlineTests => {
            let found = classification::find(data, headlines::FILE)
                .or_else(|| data.iter().find(|path| !path.is_dir()).cloned());
            let data = found.ok_or_else(|| {
                Failure::new(format!("{}: plays recorded headline tests: give their file with --data", scenario.name))
            })?;
            let tests = headlines::read(&data).map_err(Failure::new)?;
            let progress = runner::progress(&scenario.name, tests.worlds.len() as u64);
            let result = headlines::run_all(scenario, &tests, stop, &progress).ok_or(Failure::Interrupted)?;
            progress.finish_and_clear();
            Ok(Played {
                table: table::headlines(&result),
                json: to_json(&result),
                sample_ratio: result.sample_ratio,
                result: None,
                stopping: None,
                drawn: None,
            })
        }
    }
}

fn play_world(scenario: &Scenario, blueprint: &Blueprint, stop: &AtomicBool) -> Result<Played, Failure> {
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, scenario.runs);
    let progress = runner::progress(&scenario.name, seeds.len() as u64 * scenario.strategies.len() as u64);
    let runs = runner::run_all(blueprint, &scenario.strategies, course, &seeds, scenario.pictured(), stop, &progress);
    progress.finish_and_clear();
    let runs = runs.ok_or(Failure::Interrupted)?;
    let result = ScenarioResult::of(scenario, blueprint, &runs);
    Ok(Played {
        table: table::scenario(&result),
        json: to_json(&result),
        sample_ratio: result.sample_ratio,
        result: Some(result),
        stopping: None,
        drawn: Some((blueprint.clone(), runs)),
    })
}

fn play_until_finished(
    scenario: &Scenario,
    blueprint: &Blueprint,
    asked: &Stopping,
    stop: &AtomicBool,
) -> Result<Played, Failure> {
    let plays = u64::from(scenario.runs) * scenario.strategies.len() as u64;
    let progress = runner::progress(&scenario.name, plays);
    let result = stopping::run_all(scenario, blueprint, asked, stop, &progress).ok_or(Failure::Interrupted)?;
    progress.finish_and_clear();
    Ok(Played {
        table: table::stopping(&result.scenario, &result.about, std::slice::from_ref(&result)),
        json: to_json(&result),
        sample_ratio: result.sample_ratio,
        result: None,
        stopping: Some(result),
        drawn: None,
    })
}

/// Each file is written whole or not at all.
fn write(directory: &Path, scenario: &Scenario, played: &Played) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (name, text) in [("result.json", &played.json), ("table.md", &played.table.markdown())] {
        let path = directory.join(name);
        write_whole(&path, text.as_bytes()).map_err(|error| failed(&path, error))?;
    }
    draw(directory, scenario, played)
}

/// The table of a grid stands beside the directories of its cells.
fn write_grid(directory: &Path, table: &Table, results: &[ScenarioResult]) -> Result<(), Failure> {
    let path = directory.join("table.md");
    write_whole(&path, table.markdown().as_bytes())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    // Of stopping rules there is nothing to draw.
    if results.is_empty() { Ok(()) } else { draw_grid(directory, results) }
}

#[cfg(feature = "plots")]
fn draw(directory: &Path, scenario: &Scenario, played: &Played) -> Result<(), Failure> {
    match &played.drawn {
        Some((blueprint, runs)) => drawing::write(directory, scenario, blueprint, runs).map_err(Failure::new),
        None => Ok(()),
    }
}

#[cfg(feature = "plots")]
fn draw_grid(directory: &Path, results: &[ScenarioResult]) -> Result<(), Failure> {
    drawing::write_grid(directory, results).map_err(Failure::new)
}

/// Without the library that draws there are no pictures.
#[cfg(not(feature = "plots"))]
fn draw(_: &Path, _: &Scenario, _: &Played) -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(feature = "plots"))]
fn draw_grid(_: &Path, _: &[ScenarioResult]) -> Result<(), Failure> {
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the terminal is this layer's business")]
fn print(table: &Table) {
    println!("{}", table.aligned());
}
