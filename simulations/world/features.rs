//! Worlds whose visitors each have features of their own.

use std::sync::Arc;

use mabel::domain::{Context, Seed, Value};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, StandardNormal};

/// Rates 1/(1 + e^(−θ·x)) of features x that are standard normal, drawn anew for every visitor.
#[derive(Debug, Clone)]
pub(crate) struct Logistic {
    /// One for each feature.
    names: Vec<String>,
    /// θ, by variation, then feature.
    weights: Vec<f64>,
}

/// x01, x02 and so on.
pub(crate) fn feature_names(dimensions: usize) -> Vec<String> {
    (1..=dimensions).map(|place| format!("x{place:02}")).collect()
}

impl Logistic {
    /// `weights` by variation, then feature.
    pub(crate) fn new(dimensions: usize, weights: Vec<f64>) -> Self {
        Self { names: feature_names(dimensions), weights }
    }

    /// Draws a visitor's features and tells the rate of each variation.
    pub(crate) fn rates(&self, visitor: Seed, features: &mut Vec<f64>, rates: &mut Vec<f64>) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(visitor.0);
        features.clear();
        features.extend((0..self.names.len()).map(|_| -> f64 { StandardNormal.sample(&mut rng) }));
        rates.clear();
        rates.extend(self.weights.chunks(self.names.len()).map(|weights| {
            let score: f64 = weights.iter().zip(&*features).map(|(weight, feature)| weight * feature).sum();
            1.0 / (1.0 + (-score).exp())
        }));
    }

    pub(crate) fn context(&self, features: &[f64]) -> Context<'_> {
        let mut context = Context::new();
        for (name, feature) in self.names.iter().zip(features) {
            let inserted = context.insert(name.as_str().into(), Value::Float(*feature));
            assert!(inserted, "the number of features was checked when the scenario was read");
        }
        context
    }
}

/// A table of attributes and classes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// By row: the variation that is right.
    pub(crate) classes: Vec<usize>,
}

/// One attribute of all rows.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Values,
}

/// Its values, by row; `None` where the value is missing.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Numbers(Vec<Option<f64>>),
    /// Places in `levels`.
    Texts {
        levels: Vec<String>,
        places: Vec<Option<u32>>,
    },
}

/// Rows of a table in an order of their own for every run.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    table: Arc<Table>,
    order: Vec<u32>,
}

impl Rows {
    /// All rows, shuffled.
    pub(crate) fn shuffled(table: Arc<Table>, rng: &mut Xoshiro256PlusPlus) -> Self {
        let count = u32::try_from(table.classes.len()).expect("a table's rows were counted when it was read");
        let mut order: Vec<u32> = (0..count).collect();
        rand::seq::SliceRandom::shuffle(&mut order[..], rng);
        Self { table, order }
    }

    /// 1 for the class of the `index`-th row, 0 for all others.
    pub(crate) fn rates(&self, index: u64, variations: usize, rates: &mut Vec<f64>) {
        rates.clear();
        rates.resize(variations, 0.0);
        rates[self.table.classes[self.row(index)]] = 1.0;
    }

    pub(crate) fn context(&self, index: u64) -> Context<'_> {
        let row = self.row(index);
        let mut context = Context::new();
        for column in &self.table.columns {
            let value = match &column.values {
                Values::Numbers(numbers) => numbers[row].map(Value::Float),
                Values::Texts { levels, places } => {
                    places[row].map(|place| Value::Text(levels[place as usize].as_str().into()))
                }
            };
            if let Some(value) = value {
                let inserted = context.insert(column.name.as_str().into(), value);
                assert!(inserted, "a data set has few attributes");
            }
        }
        context
    }

    fn row(&self, index: u64) -> usize {
        let place = usize::try_from(index).expect("a visitor for every row at most");
        self.order[place] as usize
    }
}
