//! Scenarios as TOML files: what is simulated, checked once, with refusals that name file, field, value and what is
//! allowed.

use std::collections::BTreeMap;
use std::path::Path;

use mabel::domain::{AttributeName, Context, ExperimentKey, Span, Value, VariationKey};
use serde::Deserialize;

use crate::simulations::player;
use crate::simulations::strategies::Strategy;
use crate::simulations::world::{SegmentInWorld, VariationInWorld, World};

mod strategy;

/// Everything a simulation is a function of.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The file's name without `.toml`.
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
}

/// Where the truth comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The scenario states it.
    World(World),
    /// Each test of a file of headline tests is a world of its own.
    HeadlineTests,
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
}

/// Most visitors of a run: its times must stay within milliseconds of 48 bits.
const VISITORS_MAX: u64 = 1_000_000_000;
const RUNS_MAX: u32 = 100_000;
const HEADLINE_TESTS: &str = "headline-tests";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    about: String,
    seed: u64,
    runs: u32,
    visitors: u64,
    #[serde(default = "default_interval")]
    interval: String,
    #[serde(default)]
    floor: f64,
    #[serde(default)]
    control: f64,
    data: Option<String>,
    reference: Option<String>,
    #[serde(default)]
    variations: Vec<VariationInFile>,
    #[serde(default)]
    segments: Vec<SegmentInFile>,
    strategies: Option<Vec<toml::Table>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariationInFile {
    key: String,
    #[serde(default)]
    available_from: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentInFile {
    key: String,
    #[serde(default = "default_share")]
    share: f64,
    #[serde(default)]
    context: BTreeMap<String, Attribute>,
    conversion: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Attribute {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

fn default_interval() -> String {
    "100ms".to_owned()
}

const fn default_share() -> f64 {
    1.0
}

impl Scenario {
    /// The strategy whose allocation over time is drawn: the first that learns by segment, else the reference.
    pub(crate) fn pictured(&self) -> usize {
        self.strategies.iter().position(Strategy::learns_by_segment).unwrap_or(self.reference)
    }

    /// Reads and checks a file.
    pub(crate) fn read(path: &Path, overrides: Overrides) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|reason| ScenarioError::Unreadable { file: file.clone(), reason })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&file, &name, &text, overrides)
    }

    /// Checks a text. `name` names the scenario, `file` stands in refusals.
    pub(crate) fn parse(file: &str, name: &str, text: &str, overrides: Overrides) -> Result<Self, ScenarioError> {
        let parsed: File = toml::from_str(text)
            .map_err(|error| ScenarioError::NotToml { file: file.to_owned(), reason: error.to_string() })?;
        check(name, parsed, overrides).map_err(|refusal| ScenarioError::Refused { file: file.to_owned(), refusal })
    }
}

fn check(name: &str, file: File, overrides: Overrides) -> Result<Scenario, Refusal> {
    let key =
        ExperimentKey::new(name).map_err(|error| Refusal::new("file name", format!("{name:?}"), error.allowed))?;
    let runs = overrides.runs.unwrap_or(file.runs);
    if !(1..=RUNS_MAX).contains(&runs) {
        return Err(Refusal::new("runs", runs, format!("a whole number from 1 to {RUNS_MAX}")));
    }
    let visitors = overrides.visitors.unwrap_or(file.visitors);
    if !(1..=VISITORS_MAX).contains(&visitors) {
        return Err(Refusal::new("visitors", visitors, format!("a whole number from 1 to {VISITORS_MAX}")));
    }
    let interval = Span::parse(&file.interval).filter(|span| (1..=3_600_000).contains(&span.as_millis()));
    let interval =
        interval.ok_or_else(|| Refusal::new("interval", format!("{:?}", file.interval), "a length from 1ms to 1h"))?;
    let source = match &file.data {
        Some(data) if data == HEADLINE_TESTS => {
            if !file.segments.is_empty() || !file.variations.is_empty() {
                return Err(Refusal::new("data", format!("{data:?}"), "data or segments and variations, not both"));
            }
            Source::HeadlineTests
        }
        Some(data) => return Err(Refusal::new("data", format!("{data:?}"), format!("{HEADLINE_TESTS:?}"))),
        None => Source::World(World {
            key,
            variations: check_variations(&file.variations)?,
            segments: check_segments(&file.segments, &file.variations)?,
        }),
    };
    let segmented = matches!(&source, Source::World(world) if world.segments.len() > 1);
    let strategies = match file.strategies {
        Some(tables) => strategy::read_all(tables, file.floor, file.control)?,
        None => strategy::defaults(segmented, file.floor, file.control),
    };
    let reference = match &file.reference {
        Some(name) => strategies.iter().position(|strategy| strategy.name == *name).ok_or_else(|| {
            let names: Vec<&str> = strategies.iter().map(|strategy| strategy.name.as_str()).collect();
            Refusal::new("reference", format!("{name:?}"), format!("one of the strategies: {}", names.join(", ")))
        })?,
        None => strategies.iter().position(Strategy::is_thompson).unwrap_or(0),
    };
    if let Source::World(world) = &source {
        player::check(world, &strategies)?;
    }
    let about = file.about;
    Ok(Scenario {
        name: name.to_owned(),
        about,
        seed: overrides.seed.unwrap_or(file.seed),
        runs,
        visitors,
        interval,
        source,
        strategies,
        reference,
    })
}

fn check_variations(given: &[VariationInFile]) -> Result<Vec<VariationInWorld>, Refusal> {
    let mut variations: Vec<VariationInWorld> = Vec::with_capacity(given.len());
    for (index, variation) in given.iter().enumerate() {
        let field = format!("variations[{index}].key");
        let key = VariationKey::new(&variation.key)
            .map_err(|error| Refusal::new(&field, format!("{:?}", variation.key), error.allowed))?;
        if variations.iter().any(|known| known.key == key) {
            return Err(Refusal::new(field, key, "each key once"));
        }
        if !(0.0..1.0).contains(&variation.available_from) {
            let field = format!("variations[{index}].available_from");
            return Err(Refusal::new(field, variation.available_from, "a share of the visitors, from 0 to below 1"));
        }
        variations.push(VariationInWorld { key, available_from: variation.available_from });
    }
    if !variations.iter().any(|variation| variation.available_from <= 0.0) {
        let given = format!("{} available from the start", 0);
        return Err(Refusal::new("variations", given, "at least one with available_from = 0, the default"));
    }
    Ok(variations)
}

fn check_segments(given: &[SegmentInFile], variations: &[VariationInFile]) -> Result<Vec<SegmentInWorld>, Refusal> {
    if given.is_empty() {
        return Err(Refusal::new("segments", "none", "at least one"));
    }
    let total: f64 = given.iter().map(|segment| segment.share).sum();
    let mut segments: Vec<SegmentInWorld> = Vec::with_capacity(given.len());
    for (index, segment) in given.iter().enumerate() {
        let at = |field: &str| format!("segments[{index}].{field}");
        if segments.iter().any(|known| known.key == segment.key) {
            return Err(Refusal::new(at("key"), format!("{:?}", segment.key), "each key once"));
        }
        if !(segment.share.is_finite() && segment.share > 0.0) {
            return Err(Refusal::new(
                at("share"),
                segment.share,
                "a number above 0; shares count relative to their sum",
            ));
        }
        let context = check_context(segment, &at("context"))?;
        if segments.iter().any(|known| known.context == context) {
            return Err(Refusal::new(
                at("context"),
                "that of another segment",
                "a context of its own for each segment",
            ));
        }
        let rates = check_rates(segment, variations, &at("conversion"))?;
        segments.push(SegmentInWorld { key: segment.key.clone(), share: segment.share / total, context, rates });
    }
    Ok(segments)
}

fn check_context(segment: &SegmentInFile, field: &str) -> Result<Vec<(String, Value<'static>)>, Refusal> {
    if segment.context.len() > Context::MAX_ATTRIBUTES {
        let allowed = format!("at most {} attributes", Context::MAX_ATTRIBUTES);
        return Err(Refusal::new(field, format!("{} attributes", segment.context.len()), allowed));
    }
    let attribute = |(name, value): (&String, &Attribute)| {
        AttributeName::new(name).map_err(|error| Refusal::new(field, format!("{name:?}"), error.allowed))?;
        let value = match value {
            Attribute::Bool(value) => Value::Bool(*value),
            Attribute::Int(value) => Value::Int(*value),
            Attribute::Float(value) if value.is_finite() => Value::Float(*value),
            Attribute::Float(value) => return Err(Refusal::new(format!("{field}.{name}"), value, "a finite number")),
            Attribute::Text(value) => Value::Text(value.clone().into()),
        };
        Ok((name.clone(), value))
    };
    segment.context.iter().map(attribute).collect()
}

fn check_rates(segment: &SegmentInFile, variations: &[VariationInFile], field: &str) -> Result<Vec<f64>, Refusal> {
    if let Some(unknown) = segment.conversion.keys().find(|key| variations.iter().all(|v| v.key != **key)) {
        let keys: Vec<&str> = variations.iter().map(|variation| variation.key.as_str()).collect();
        return Err(Refusal::new(field, unknown, format!("keys of variations: {}", keys.join(", "))));
    }
    let rate = |variation: &VariationInFile| {
        let field = format!("{field}.{}", variation.key);
        match segment.conversion.get(&variation.key) {
            Some(rate) if (0.0..=1.0).contains(rate) => Ok(*rate),
            Some(rate) => Err(Refusal::new(field, rate, "a probability from 0 to 1")),
            None => Err(Refusal::new(field, "nothing", "a probability from 0 to 1 for every variation")),
        }
    };
    variations.iter().map(rate).collect()
}

#[cfg(test)]
mod tests;
