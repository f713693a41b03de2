//! `mabel simulate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::exit::Failure;
use crate::simulations::headlines;
use crate::simulations::player::Course;
use crate::simulations::result::{ScenarioResult, to_json, write_whole};
use crate::simulations::runner::{self, Run};
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::scenario::{Overrides, Scenario, Source};
use crate::simulations::table::{self, Table};
use crate::simulations::world::World;

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
    /// The file of a scenario that plays recorded data.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Threads; all cores if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// What a scenario came to, for the terminal and for files.
struct Played {
    table: Table,
    json: String,
    sample_ratio: SampleRatio,
    /// Where the world is stated, what there is to draw.
    runs: Vec<Run>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let overrides = Overrides { seed: arguments.seed, runs: arguments.runs, visitors: arguments.visitors };
    // All are read before the first is played: a mistake in the last should not cost the minutes of the first.
    let scenarios = arguments.scenarios.iter().map(|path| Scenario::read(path, overrides).map_err(Failure::new));
    let scenarios: Vec<Scenario> = scenarios.collect::<Result<_, _>>()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.map_or(0, usize::from)).build();
    let pool = pool.map_err(|error| Failure::new(format!("no threads: {error}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).map_err(Failure::new)?;
    for scenario in &scenarios {
        let played = pool.install(|| play(scenario, arguments.data.as_deref(), &stop))?;
        print(&played.table);
        if let Some(out) = &arguments.out {
            write(&out.join(&scenario.name), scenario, &played)?;
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        if !played.sample_ratio.passes() {
            return Err(Failure::new(format!(
                "{}: variations were not shown as often as their recorded propensities say (|z| = {:.2}, bound {:.2}); \
                 repeat with: mabel simulate {}.toml --seed {} --runs {} --visitors {}",
                scenario.name,
                played.sample_ratio.z_max,
                played.sample_ratio.bound(),
                scenario.name,
                scenario.seed,
                scenario.runs,
                scenario.visitors
            )));
        }
    }
    Ok(())
}

fn play(scenario: &Scenario, data: Option<&Path>, stop: &AtomicBool) -> Result<Played, Failure> {
    match &scenario.source {
        Source::World(world) => play_world(scenario, world, stop),
        Source::HeadlineTests => {
            let data = data.ok_or_else(|| {
                Failure::new(format!("{}: plays recorded headline tests: give their file with --data", scenario.name))
            })?;
            let tests = headlines::read(data).map_err(Failure::new)?;
            let progress = runner::progress(&scenario.name, tests.worlds.len() as u64);
            let result = headlines::run_all(scenario, &tests, stop, &progress).ok_or(Failure::Interrupted)?;
            progress.finish_and_clear();
            Ok(Played {
                table: table::headlines(&result),
                json: to_json(&result),
                sample_ratio: result.sample_ratio,
                runs: Vec::new(),
            })
        }
    }
}

fn play_world(scenario: &Scenario, world: &World, stop: &AtomicBool) -> Result<Played, Failure> {
    let course = Course { visitors: scenario.visitors, interval: scenario.interval };
    let seeds = runner::seeds(scenario.seed, scenario.runs);
    let progress = runner::progress(&scenario.name, seeds.len() as u64 * scenario.strategies.len() as u64);
    let runs = runner::run_all(world, &scenario.strategies, course, &seeds, scenario.pictured(), stop, &progress);
    progress.finish_and_clear();
    let runs = runs.ok_or(Failure::Interrupted)?;
    let result = ScenarioResult::of(scenario, world, &runs);
    Ok(Played { table: table::scenario(&result), json: to_json(&result), sample_ratio: result.sample_ratio, runs })
}

/// Each file is written whole or not at all.
fn write(directory: &Path, scenario: &Scenario, played: &Played) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (name, text) in [("result.json", &played.json), ("table.md", &played.table.markdown())] {
        let path = directory.join(name);
        write_whole(&path, text.as_bytes()).map_err(|error| failed(&path, error))?;
    }
    draw(directory, scenario, &played.runs)
}

#[cfg(feature = "plots")]
fn draw(directory: &Path, scenario: &Scenario, runs: &[Run]) -> Result<(), Failure> {
    match &scenario.source {
        Source::World(world) => {
            crate::simulations::drawing::write(directory, scenario, world, runs).map_err(Failure::new)
        }
        Source::HeadlineTests => Ok(()),
    }
}

/// Without the library that draws there are no pictures.
#[cfg(not(feature = "plots"))]
fn draw(_: &Path, _: &Scenario, _: &[Run]) -> Result<(), Failure> {
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the terminal is this layer's business")]
fn print(table: &Table) {
    println!("{}", table.aligned());
}
