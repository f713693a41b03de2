//! The fields of a scenario, and worlds that are stated.

use std::collections::BTreeMap;
use std::path::Path;

use mabel::domain::{AttributeName, Context, ExperimentKey, VALUE_MAX, Value, VariationKey};
use serde::Deserialize;

use crate::simulations::scenario::family::{self, DelayInFile, DriftInFile, FamilyInFile, GoalInFile, OrdersInFile};
use crate::simulations::scenario::stopping::StoppingInFile;
use crate::simulations::scenario::{Refusal, schema};
use crate::simulations::world::VariationInWorld;
use crate::simulations::world::blueprint::{Blueprint, Family};
use crate::simulations::world::segmented::SegmentInWorld;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) about: String,
    pub(super) seed: u64,
    pub(super) runs: u32,
    pub(super) visitors: Option<u64>,
    pub(super) visitors_per_segment: Option<u64>,
    #[serde(default = "default_interval")]
    pub(super) interval: String,
    #[serde(default)]
    pub(super) floor: f64,
    #[serde(default)]
    pub(super) control: f64,
    pub(super) data: Option<String>,
    /// A file of attributes, from the scenario's directory.
    pub(super) schema: Option<String>,
    pub(super) reference: Option<String>,
    #[serde(default)]
    pub(super) variations: Vec<VariationInFile>,
    #[serde(default)]
    pub(super) segments: Vec<SegmentInFile>,
    pub(super) family: Option<FamilyInFile>,
    pub(super) drift: Option<DriftInFile>,
    pub(super) goal: Option<GoalInFile>,
    pub(super) orders: Option<OrdersInFile>,
    pub(super) delay: Option<DelayInFile>,
    pub(super) stopping: Option<StoppingInFile>,
    pub(super) strategies: Option<Vec<toml::Table>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariationInFile {
    key: String,
    #[serde(default)]
    available_from: f64,
    #[serde(default)]
    cost: f64,
    #[serde(default)]
    cost_per_conversion: f64,
    mean_delay: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentInFile {
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

/// The world of a scenario without data.
pub(super) fn blueprint(file: &File, key: ExperimentKey, directory: &Path) -> Result<Blueprint, Refusal> {
    let (variations, family) = match &file.family {
        None => {
            let variations = check_variations(&file.variations)?;
            let (segments, rates) = check_segments(&file.segments, &file.variations)?;
            (variations, Family::Stated(segments, rates))
        }
        Some(_) if !file.segments.is_empty() => {
            return Err(Refusal::new("family", "a family with segments", "a family or segments, not both"));
        }
        Some(given) => {
            let variations = if file.variations.is_empty() {
                family::variations(given)?
            } else {
                family::no_variations(given)?;
                check_variations(&file.variations)?
            };
            let family = family::read(given, variations.len())?;
            (variations, family)
        }
    };
    let goal = family::goal(file.goal.as_ref())?;
    Ok(Blueprint {
        key,
        variations,
        goal,
        delay: file.delay.as_ref().map(family::delay).transpose()?,
        orders: family::orders(file.orders.as_ref(), &goal)?,
        drift: file.drift.as_ref().map(|drift| family::drift(drift, &family)).transpose()?,
        seen: schema::read(file.schema.as_deref(), directory, Some(&family))?,
        family,
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
        for (name, cost) in [("cost", variation.cost), ("cost_per_conversion", variation.cost_per_conversion)] {
            if !(0.0..=VALUE_MAX as f64).contains(&cost) {
                let allowed = format!("minor units, from 0 to {VALUE_MAX}");
                return Err(Refusal::new(format!("variations[{index}].{name}"), cost, allowed));
            }
        }
        let mean_delay = variation.mean_delay.as_ref();
        let mean_delay = mean_delay.map(|text| family::span(&format!("variations[{index}].mean_delay"), text));
        variations.push(VariationInWorld {
            key,
            available_from: variation.available_from,
            cost: variation.cost,
            cost_per_conversion: variation.cost_per_conversion,
            mean_delay: mean_delay.transpose()?,
        });
    }
    if !variations.iter().any(|variation| variation.available_from <= 0.0) {
        let given = format!("{} available from the start", 0);
        return Err(Refusal::new("variations", given, "at least one with available_from = 0, the default"));
    }
    Ok(variations)
}

/// Segments, and rates by segment, then variation.
fn check_segments(
    given: &[SegmentInFile],
    variations: &[VariationInFile],
) -> Result<(Vec<SegmentInWorld>, Vec<f64>), Refusal> {
    if given.is_empty() {
        return Err(Refusal::new("segments", "none", "at least one"));
    }
    let total: f64 = given.iter().map(|segment| segment.share).sum();
    let mut segments: Vec<SegmentInWorld> = Vec::with_capacity(given.len());
    let mut rates = Vec::new();
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
        rates.extend(check_rates(segment, variations, &at("conversion"))?);
        segments.push(SegmentInWorld { key: segment.key.clone(), share: segment.share / total, context });
    }
    Ok((segments, rates))
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
