//! Scenarios as TOML files: what is simulated, checked once, with refusals that name file, field, value and what is
//! allowed.

use std::path::Path;

use mabel::domain::{ExperimentKey, Seed, Span};

use crate::simulations::classification::DataSet;
use crate::simulations::player;
use crate::simulations::scenario::file::File;
use crate::simulations::stopping::Stopping;
use crate::simulations::strategies::Strategy;
use crate::simulations::world::blueprint::Blueprint;

mod family;
mod file;
mod grid;
mod schema;
mod stopping;
mod strategy;
mod trouble;

/// What one file says: a scenario, or a grid of scenarios that differ in parameters.
#[derive(Debug, Clone)]
pub(crate) struct ScenarioFile {
    /// The file's name without `.toml`.
    pub(crate) name: String,
    pub(crate) about: String,
    /// Whether it has cells.
    pub(crate) grid: bool,
    /// One, or one for each cell.
    pub(crate) scenarios: Vec<Scenario>,
}

/// Everything a simulation is a function of.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The file's name without `.toml`, and behind a `/` that of the cell, if it is one.
    pub(crate) name: String,
    /// One line for people.
    pub(crate) about: String,
    pub(crate) seed: u64,
    pub(crate) runs: u32,
    /// Visitors of a run.
    pub(crate) visitors: u64,
    /// Simulated time between two visitors.
    pub(crate) interval: Span,
    pub(crate) source: Source,
    pub(crate) strategies: Vec<Strategy>,
    /// The strategy that all others are compared with.
    pub(crate) reference: usize,
    /// Rules that look on, where the question is when a strategy has learned enough and not what it loses.
    pub(crate) stopping: Option<Stopping>,
}

/// Where the truth comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The scenario states it, or what each run draws it from.
    World(Box<Blueprint>),
    /// Each test of a file of headline tests is a world of its own.
    HeadlineTests,
    /// Rows of a data set: context = attributes, variation = class. The world has everything but the rows.
    Classification(DataSet, Box<Blueprint>),
}

/// What the command line changes about a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Overrides {
    pub(crate) seed: Option<u64>,
    pub(crate) runs: Option<u32>,
    pub(crate) visitors: Option<u64>,
}

/// Why a scenario is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error("{file}: cannot be read: {reason}")]
    Unreadable { file: String, reason: std::io::Error },
    #[error("{file}: {reason}")]
    NotToml { file: String, reason: String },
    #[error("{file}: {refusal}")]
    Refused { file: String, refusal: Refusal },
}

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {given} is not allowed: {allowed}")]
pub(crate) struct Refusal {
    pub(crate) field: String,
    pub(crate) given: String,
    pub(crate) allowed: String,
}

impl Refusal {
    pub(crate) fn new(field: impl Into<String>, given: impl ToString, allowed: impl Into<String>) -> Self {
        Self { field: field.into(), given: given.to_string(), allowed: allowed.into() }
    }

    /// The same, in a part of a file.
    fn within(self, part: &str) -> Self {
        Self { field: format!("{part}{}", self.field), ..self }
    }
}

/// Most visitors of a run: its times must stay within milliseconds of 48 bits.
const VISITORS_MAX: u64 = 1_000_000_000;
const RUNS_MAX: u32 = 100_000;
/// Most numbers that the rates of one run may take.
const RATES_MAX: u64 = 20_000_000;
const HEADLINE_TESTS: &str = "headline-tests";

impl Scenario {
    /// The strategy whose allocation over time is drawn: the first that learns by segment, else the reference.
    pub(crate) fn pictured(&self) -> usize {
        self.strategies.iter().position(Strategy::learns_by_segment).unwrap_or(self.reference)
    }

    /// Where the world is a stated or drawn one, what it is drawn from.
    #[cfg(test)]
    pub(crate) fn world(&self) -> &Blueprint {
        match &self.source {
            Source::World(blueprint) | Source::Classification(_, blueprint) => blueprint,
            Source::HeadlineTests => panic!("{} plays recorded tests", self.name),
        }
    }
}

impl ScenarioFile {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path, overrides: Overrides) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|reason| ScenarioError::Unreadable { file: file.clone(), reason })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&file, &name, &text, overrides)
    }

    /// Checks a text. `name` names the scenario; `file` stands in refusals, and other files are looked for beside it.
    pub(crate) fn parse(file: &str, name: &str, text: &str, overrides: Overrides) -> Result<Self, ScenarioError> {
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        let not_toml = |reason: String| ScenarioError::NotToml { file: file.to_owned(), reason };
        let refused = |refusal| ScenarioError::Refused { file: file.to_owned(), refusal };
        let table: toml::Table = toml::from_str(text).map_err(|error| not_toml(error.to_string()))?;
        if !table.contains_key("cells") {
            // From the text once more: then an error shows the line.
            let parsed: File = toml::from_str(text).map_err(|error| not_toml(error.to_string()))?;
            let scenario = check((name, name), directory, parsed, overrides).map_err(refused)?;
            let (name, about) = (scenario.name.clone(), scenario.about.clone());
            return Ok(Self { name, about, grid: false, scenarios: vec![scenario] });
        }
        let about = table.get("about").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let mut scenarios = Vec::new();
        for (cell, table) in grid::cells(table).map_err(refused)? {
            let part = format!("cell {cell:?}: ");
            let parsed: File = table.try_into().map_err(|error: toml::de::Error| not_toml(format!("{part}{error}")))?;
            let scenario = check((&format!("{name}/{cell}"), &cell), directory, parsed, overrides);
            scenarios.push(scenario.map_err(|refusal| refused(refusal.within(&part)))?);
        }
        Ok(Self { name: name.to_owned(), about, grid: true, scenarios })
    }
}

/// `key` is the experiment's; `directory` has the files that the scenario names.
fn check((name, key): (&str, &str), directory: &Path, file: File, overrides: Overrides) -> Result<Scenario, Refusal> {
    let key = ExperimentKey::new(key).map_err(|error| Refusal::new("file name", format!("{key:?}"), error.allowed))?;
    let runs = overrides.runs.unwrap_or(file.runs);
    if !(1..=RUNS_MAX).contains(&runs) {
        return Err(Refusal::new("runs", runs, format!("a whole number from 1 to {RUNS_MAX}")));
    }
    let interval = Span::parse(&file.interval).filter(|span| (1..=3_600_000).contains(&span.as_millis()));
    let interval =
        interval.ok_or_else(|| Refusal::new("interval", format!("{:?}", file.interval), "a length from 1ms to 1h"))?;
    let source = source(&file, key, directory)?;
    let segments_count = match &source {
        Source::World(blueprint) => blueprint.draw(Seed(0), 1).segments_count(),
        Source::HeadlineTests | Source::Classification(..) => 1,
    };
    let visitors = visitors(&file, overrides, segments_count as u64)?;
    let strategies = match file.strategies {
        Some(tables) => strategy::read_all(tables, file.floor, file.control)?,
        None => strategy::defaults(segments_count > 1, file.floor, file.control),
    };
    let reference = match &file.reference {
        Some(name) => strategies.iter().position(|strategy| strategy.name == *name).ok_or_else(|| {
            let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name.as_str()).collect();
            Refusal::new("reference", format!("{name:?}"), format!("one of the strategies: {}", names.join(", ")))
        })?,
        None => strategies.iter().position(Strategy::is_thompson).unwrap_or(0),
    };
    match &source {
        Source::World(blueprint) | Source::Classification(_, blueprint) => {
            if blueprint.rates_count(visitors) > RATES_MAX {
                let given = format!("{} rates", blueprint.rates_count(visitors));
                let allowed = format!("steps × segments × variations up to {RATES_MAX}: drift in longer steps");
                return Err(Refusal::new("drift", given, allowed));
            }
            player::check(&blueprint.draw(Seed(0), 1_000), &strategies)?;
        }
        Source::HeadlineTests => {}
    }
    let read = |given| stopping::read(given, &source, segments_count, &strategies);
    let stopping = file.stopping.as_ref().map(read).transpose()?;
    Ok(Scenario {
        name: name.to_owned(),
        about: file.about,
        seed: overrides.seed.unwrap_or(file.seed),
        runs,
        visitors,
        interval,
        source,
        strategies,
        reference,
        stopping,
    })
}

/// Where the truth comes from: data, or a world.
fn source(file: &File, key: ExperimentKey, directory: &Path) -> Result<Source, Refusal> {
    let Some(data) = &file.data else {
        return Ok(Source::World(Box::new(file::blueprint(file, key, directory)?)));
    };
    let known = DataSet::ALL.iter().find(|known| known.name() == data);
    if known.is_none() && data != HEADLINE_TESTS {
        let names: Vec<String> = DataSet::ALL.iter().map(|known| format!("{:?}", known.name())).collect();
        return Err(Refusal::new("data", format!("{data:?}"), format!("{HEADLINE_TESTS:?}, {}", names.join(", "))));
    }
    let worldly = [
        ("variations", !file.variations.is_empty()),
        ("segments", !file.segments.is_empty()),
        ("family", file.family.is_some()),
        ("drift", file.drift.is_some()),
        ("orders", file.orders.is_some()),
        ("goal", file.goal.is_some()),
        ("delay", file.delay.is_some()),
    ];
    if let Some((field, _)) = worldly.iter().find(|(_, given)| *given) {
        return Err(Refusal::new("data", format!("{data:?} with {field}"), "data or a world of its own, not both"));
    }
    Ok(match known {
        Some(set) => {
            let seen = schema::read(file.schema.as_deref(), directory, None)?;
            Source::Classification(*set, Box::new(Blueprint { seen, ..set.blueprint(key) }))
        }
        None => Source::HeadlineTests,
    })
}

fn visitors(file: &File, overrides: Overrides, segments: u64) -> Result<u64, Refusal> {
    let allowed = format!("a whole number from 1 to {VISITORS_MAX}");
    let (field, visitors) = match (overrides.visitors, file.visitors, file.visitors_per_segment) {
        (Some(visitors), _, _) | (None, Some(visitors), None) => ("visitors", visitors),
        (None, None, Some(each)) => ("visitors_per_segment", each.saturating_mul(segments)),
        (None, Some(visitors), Some(_)) => {
            return Err(Refusal::new("visitors", visitors, "visitors or visitors_per_segment, not both"));
        }
        (None, None, None) => return Err(Refusal::new("visitors", "nothing", allowed)),
    };
    if (1..=VISITORS_MAX).contains(&visitors) { Ok(visitors) } else { Err(Refusal::new(field, visitors, allowed)) }
}

#[cfg(test)]
mod tests;
