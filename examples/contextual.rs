//! Contextual policies without engine and clock: how much they learn from features of simulated and of real visitors.
//!
//! ```sh
//! cargo run --release --example contextual -- logistic linear-thompson logistic-thompson:prior_sd=0.3
//! cargo run --release --example contextual -- mushroom|adult|shuttle DIRECTORY logistic-thompson linear-ucb:alpha=0.5
//! ```
//! `logistic`: every visitor has 20 standard normal attributes, each of 10 variations converts with probability
//! 1/(1 + e^(−θ·x)), θ drawn anew for every seed. Classification: attributes of a row, a variation for each class, a
//! reward for the right one, once through the rows in random order. Ten seeds each.

#![expect(clippy::print_stdout, reason = "a program for a terminal: its figures are what it is for")]

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use mabel::domain::{AttributeName, Context, Features, Seed, Value, VariationKey};
use mabel::policy::contextual::Shape;
use mabel::policy::{Built, ContextualModel, Parameter, Parameters, build_any};
use mabel::targeting::{Attribute, Encoding, Schema};
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::prelude::*;

const SEEDS: u64 = 10;
/// After so many rounds a learner that takes notes is settled; it decides itself whether to.
const SETTLE_ROUNDS: usize = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["logistic", ref policies @ ..] => policies.iter().for_each(|policy| logistic(policy)),
        [data @ ("mushroom" | "adult" | "shuttle"), directory, ref policies @ ..] => {
            let rows = Rows::read(data, Path::new(directory));
            policies.iter().for_each(|policy| classification(&rows, policy));
        }
        _ => println!("logistic POLICY… or mushroom|adult|shuttle DIRECTORY POLICY…"),
    }
}

/// `kind:name=value,name=value`
fn model(policy: &str, shape: &Shape) -> Box<dyn ContextualModel> {
    let (kind, given) = policy.split_once(':').unwrap_or((policy, ""));
    let parameters = given.split(',').filter(|entry| !entry.is_empty()).fold(Parameters::new(), |all, entry| {
        let (name, value) = entry.split_once('=').expect("name=value");
        let text = || Parameter::Text(value.to_owned());
        all.with(name, value.parse().map_or_else(|_| text(), Parameter::Number))
    });
    match build_any(kind, &parameters, &[VariationKey::new("any").expect("a key")]).expect(policy) {
        Built::Contextual(policy) => policy.model(shape).expect("the shape is allowed"),
        Built::Segments(_) => panic!("{kind} does not look at features"),
    }
}

/// Mean and its standard error.
fn summary(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

fn logistic(policy: &str) {
    const ROUNDS: usize = 50_000;
    const DIMENSIONS: usize = 20;
    const ARMS: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let runs: Vec<(f64, f64)> = (0..SEEDS)
        .into_par_iter()
        .map(|seed| {
            let mut world = Xoshiro256PlusPlus::seed_from_u64(Seed(seed).child(1).0);
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(Seed(seed).child(2).0);
            let mut normal = |sd: f64| sd * world.sample::<f64, _>(StandardNormal);
            let weights: Vec<Vec<f64>> = ARMS.iter().map(|_| (0..DIMENSIONS).map(|_| normal(0.3)).collect()).collect();
            let mut model = model(policy, &Shape { dimensions: DIMENSIONS + 1, patterns: None });
            let (mut features, mut oracle, mut regret) = (Features::new(), 0.0, 0.0);
            for round in 0..ROUNDS {
                features.clear();
                features.push(0, 1.0);
                #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
                (1..=DIMENSIONS).for_each(|index| features.push(index, normal(1.0) as f32));
                let rates: Vec<f64> = weights
                    .iter()
                    .map(|weights| features.iter().skip(1).map(|(index, x)| weights[index - 1] * x).sum::<f64>())
                    .map(|odds| (1.0 + (-odds).exp()).recip())
                    .collect();
                let arm = model.choose(&ARMS, &features, &mut rng);
                model.expose(arm, &features);
                if rng.random::<f64>() < rates[arm] {
                    model.reward(arm, &features, 1.0);
                }
                if round % SETTLE_ROUNDS == 0 {
                    model.settle();
                }
                let best = rates.iter().copied().fold(0.0, f64::max);
                oracle += best;
                regret += best - rates[arm];
            }
            (oracle / ROUNDS as f64, regret)
        })
        .collect();
    let (oracle, _) = summary(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
    let (regret, error) = summary(&runs.iter().map(|run| run.1).collect::<Vec<_>>());
    println!("logistic {policy}: regret {regret:.1} ± {error:.1}, the oracle's reward {oracle:.4} a round");
}

/// A table to classify, as features and classes.
struct Rows {
    name: String,
    schema: Schema,
    classes_count: usize,
    rows: Vec<(Features, usize)>,
}

/// Columns of the files, in their order; `class` is what is to be found out.
const MUSHROOM: &str = "class cap_shape cap_surface cap_color bruises odor gill_attachment gill_spacing gill_size gill_color \
    stalk_shape stalk_root stalk_surface_above_ring stalk_surface_below_ring stalk_color_above_ring \
    stalk_color_below_ring veil_type veil_color ring_number ring_type spore_print_color population habitat";
const ADULT: &str = "age workclass fnlwgt education education_num marital_status occupation relationship race sex \
    capital_gain capital_loss hours_per_week native_country class";
const SHUTTLE: &str = "v1 v2 v3 v4 v5 v6 v7 v8 v9 class";

impl Rows {
    fn read(name: &str, directory: &Path) -> Self {
        let (files, columns): (&[&str], _) = match name {
            "mushroom" => (&["agaricus-lepiota.data.gz"], MUSHROOM),
            "adult" => (&["adult.data.gz", "adult.test.gz"], ADULT),
            _ => (&["shuttle.csv.gz"], SHUTTLE),
        };
        let columns: Vec<&str> = columns.split_whitespace().collect();
        let schema = read_schema(name);
        let (mut classes, mut rows) = (Vec::<String>::new(), Vec::new());
        for file in files {
            let mut text = String::new();
            let file = std::fs::File::open(directory.join(file)).expect("the data");
            GzDecoder::new(file).read_to_string(&mut text).expect("text");
            for line in text.lines().map(|line| line.trim().trim_end_matches('.')) {
                let cells: Vec<&str> = line.split(',').map(str::trim).collect();
                if cells.len() != columns.len() || line.starts_with("V1,") {
                    continue;
                }
                let row = columns.iter().zip(cells);
                let class = row.clone().find(|(name, _)| **name == "class").expect("a class").1;
                let place = classes.iter().position(|known| known == class).unwrap_or_else(|| {
                    classes.push(class.to_owned());
                    classes.len() - 1
                });
                let mut context = Context::new();
                for (name, cell) in row.filter(|(name, cell)| **name != "class" && *cell != "?") {
                    let value = cell.parse().map_or_else(|_| (*cell).into(), Value::Float);
                    assert!(context.insert((*name).into(), value), "at most 64 attributes");
                }
                let mut features = Features::new();
                schema.encode(&context, &mut features);
                rows.push((features, place));
            }
        }
        Self { name: name.to_owned(), schema, classes_count: classes.len(), rows }
    }
}

fn read_schema(name: &str) -> Schema {
    let path = format!("{}/simulations/scenarios/schemas/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let table: toml::Table = std::fs::read_to_string(path).expect("a schema").parse().expect("TOML");
    let numbers = |values: &toml::Value| -> Vec<f64> {
        let values = values.as_array().expect("a list").iter();
        values
            .map(|value| value.as_float().or_else(|| value.as_integer().map(|n| n as f64)).expect("a number"))
            .collect()
    };
    let attributes = table["attributes"].as_array().expect("a list").iter().map(|attribute| {
        let encoding = match (attribute["type"].as_str(), attribute.get("bins")) {
            (Some("text"), _) => {
                let levels = attribute["levels"].as_array().expect("a list").iter();
                Encoding::Levels(levels.map(|level| level.as_str().expect("a text").to_owned()).collect())
            }
            (Some("boolean"), _) => Encoding::Boolean,
            (_, Some(thresholds)) => Encoding::Bins(numbers(thresholds)),
            (_, None) => {
                let one = |name: &str| attribute[name].as_float().expect("a number");
                Encoding::Standardised { mean: one("mean"), sd: one("sd") }
            }
        };
        Attribute { name: AttributeName::new(attribute["name"].as_str().expect("a name")).expect("a name"), encoding }
    });
    Schema::new(attributes.collect(), &[]).expect("an allowed schema")
}

fn classification(rows: &Rows, policy: &str) {
    let shape = Shape { dimensions: rows.schema.dimensions(), patterns: rows.schema.patterns() };
    let arms: Vec<usize> = (0..rows.classes_count).collect();
    let runs: Vec<(f64, f64)> = (0..SEEDS)
        .into_par_iter()
        .map(|seed| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(Seed(seed).child(3).0);
            let mut order: Vec<usize> = (0..rows.rows.len()).collect();
            order.shuffle(&mut rng);
            let mut model = model(policy, &shape);
            let right: Vec<f64> = order
                .iter()
                .enumerate()
                .map(|(round, index)| {
                    let (features, class) = &rows.rows[*index];
                    let arm = model.choose(&arms, features, &mut rng);
                    let earned = if arm == *class { 1.0 } else { 0.0 };
                    model.expose(arm, features);
                    model.reward(arm, features, earned);
                    if round % SETTLE_ROUNDS == 0 {
                        model.settle();
                    }
                    earned
                })
                .collect();
            let last = &right[right.len() * 3 / 4..];
            (right.iter().sum::<f64>() / right.len() as f64, last.iter().sum::<f64>() / last.len() as f64)
        })
        .collect();
    let (all, _) = summary(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
    let (last, error) = summary(&runs.iter().map(|run| run.1).collect::<Vec<_>>());
    println!(
        "{} ({} rows, {} features) {policy}: mean reward {all:.4}, in the last quarter {last:.4} ± {error:.4}",
        rows.name,
        rows.rows.len(),
        rows.schema.dimensions()
    );
}
