//! Attributes to features: the numbers that a contextual policy learns from, as a definition's schema lays them out.
//!
//! Every state of a categorical attribute has a column of its own, "missing" and "none of these" included, and none is the
//! reference: under a prior alike for all columns, the order of levels then changes nothing. One attribute is one entry at
//! most, so that receipts stay short however many levels there are.

use crate::domain::context::Value;
use crate::domain::{AttributeName, Context, Features};

/// How the values of one attribute become features.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoding {
    /// `type = "text"`: a column for each level, one for any other value, one for none. A number or a truth value is
    /// compared as it is written, as in segment keys.
    Levels(Vec<String>),
    /// `type = "boolean"`: a column for true, false, and anything else.
    Boolean,
    /// `type = "number"`: a column for (x − mean)/sd within ±8, and one that is 1 where there is no number.
    Standardised {
        /// What becomes 0.
        mean: f64,
        /// What becomes 1 above that.
        sd: f64,
    },
    /// `type = "number"` with `bins`: a column for x below the first threshold, for each interval from one threshold to
    /// below the next, for x from the last on, and for no number.
    Bins(Vec<f64>),
}

/// One attribute of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name in a context.
    pub name: AttributeName,
    /// What becomes of its values.
    pub encoding: Encoding,
}

/// Why a schema cannot be used: the field, what was given, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {given} is not allowed: {allowed}")]
pub struct SchemaError {
    /// Where it stands below the schema, such as `attributes[2].levels`.
    pub field: String,
    /// What was given, cut to 80 characters.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl SchemaError {
    fn new(field: impl Into<String>, given: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        Self { field: field.into(), given: given.to_string().chars().take(80).collect(), allowed: allowed.into() }
    }
}

/// A checked list of attributes, and pairs of them, with their columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Each with its first column.
    attributes: Vec<(Attribute, usize)>,
    /// Places of two categorical attributes, and the first column of their pairs of states.
    interactions: Vec<(usize, usize, usize)>,
    dimensions: usize,
}

/// What an attribute says of one context.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// The column, counted from the attribute's first.
    Category(usize),
    /// A number for the first column.
    Number(f32),
}

/// Longest level, in bytes.
const LEVEL_MAX_BYTES: usize = 256;

impl Schema {
    /// Most levels of a text, and most intervals of a number.
    pub const MAX_LEVELS: usize = 64;
    /// Most features of one decision that are not 0: each takes 6 bytes of its receipt.
    pub const MAX_ENTRIES: usize = 96;

    /// Checks attributes, and pairs of categorical ones (texts, booleans, numbers in bins) of which every combination
    /// of states gets a column.
    ///
    /// # Errors
    /// [`SchemaError`] for no attributes, a name twice, levels or bins out of bounds, numbers that are not finite, a
    /// standard deviation that is not above 0, a pair of something else than two categorical attributes, or more
    /// than [`Features::MAX_DIMENSIONS`] columns or [`Schema::MAX_ENTRIES`] entries.
    pub fn new(
        attributes: Vec<Attribute>,
        interactions: &[(AttributeName, AttributeName)],
    ) -> Result<Self, SchemaError> {
        if attributes.is_empty() {
            return Err(SchemaError::new("attributes", "nothing", "at least one attribute"));
        }
        let mut schema = Self { attributes: Vec::new(), interactions: Vec::new(), dimensions: 1 };
        for (index, attribute) in attributes.into_iter().enumerate() {
            let at = format!("attributes[{index}]");
            attribute.encoding.check(&at)?;
            if schema.place(&attribute.name).is_some() {
                return Err(SchemaError::new(format!("{at}.name"), attribute.name, "each attribute once"));
            }
            let first = schema.dimensions;
            schema.dimensions += attribute.encoding.columns_count();
            schema.attributes.push((attribute, first));
        }
        for (index, (one, other)) in interactions.iter().enumerate() {
            let at = format!("interactions[{index}]");
            let (one, other) = (schema.categorical(one, &at)?, schema.categorical(other, &at)?);
            let known =
                schema.interactions.iter().any(|(a, b, _)| (*a, *b) == (one, other) || (*b, *a) == (one, other));
            if one == other || known {
                let given = &schema.attributes[other].0.name;
                return Err(SchemaError::new(at, given, "two different attributes, each pair once"));
            }
            let first = schema.dimensions;
            schema.dimensions += schema.columns_count(one) * schema.columns_count(other);
            schema.interactions.push((one, other, first));
        }
        schema.check_size()?;
        Ok(schema)
    }

    fn check_size(&self) -> Result<(), SchemaError> {
        if self.dimensions > Features::MAX_DIMENSIONS {
            let allowed = format!(
                "at most {}, the intercept included: a policy keeps the square of that many numbers for every \
                 variation; take fewer levels, bins or interactions",
                Features::MAX_DIMENSIONS
            );
            return Err(SchemaError::new("attributes", format!("{} columns", self.dimensions), allowed));
        }
        if self.entries_max() > Self::MAX_ENTRIES {
            let allowed = format!(
                "at most {}, so that they fit into a receipt; take fewer attributes or interactions",
                Self::MAX_ENTRIES
            );
            let given = format!("{} features at once", self.entries_max());
            return Err(SchemaError::new("attributes", given, allowed));
        }
        Ok(())
    }

    fn place(&self, name: &AttributeName) -> Option<usize> {
        self.attributes.iter().position(|(known, _)| known.name == *name)
    }

    fn categorical(&self, name: &AttributeName, at: &str) -> Result<usize, SchemaError> {
        self.place(name).filter(|place| self.attributes[*place].0.encoding.is_categorical()).ok_or_else(|| {
            SchemaError::new(at, name, "names of attributes that are texts, booleans, or numbers in bins")
        })
    }

    fn columns_count(&self, place: usize) -> usize {
        self.attributes[place].0.encoding.columns_count()
    }

    /// How many columns there are, the intercept included: 2 to [`Features::MAX_DIMENSIONS`].
    #[must_use]
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The most features of one decision that are not 0: 2 to [`Schema::MAX_ENTRIES`], each 6 bytes of its receipt.
    #[must_use]
    pub const fn entries_max(&self) -> usize {
        1 + self.attributes.len() + self.interactions.len()
    }

    /// How many different features there can be, if every attribute is categorical; at most `u64::MAX`.
    #[must_use]
    pub fn patterns(&self) -> Option<u64> {
        self.attributes.iter().try_fold(1_u64, |patterns, (attribute, _)| {
            let states = u64::try_from(attribute.encoding.columns_count()).ok()?;
            attribute.encoding.is_categorical().then(|| patterns.saturating_mul(states))
        })
    }

    /// Names of the attributes, in order: any other has no effect.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(attribute, _)| attribute.name.as_str())
    }

    /// Replaces `features` by those of a context: the intercept, then at most one for each attribute and interaction.
    /// Numbers are rounded to f32 here, so that a receipt gives back exactly what was decided on.
    pub fn encode(&self, context: &Context<'_>, features: &mut Features) {
        features.clear();
        features.push(0, 1.0);
        for (attribute, first) in &self.attributes {
            match attribute.encoding.state(context.get(attribute.name.as_str())) {
                State::Category(column) => features.push(first + column, 1.0),
                State::Number(number) => features.push(*first, number),
            }
        }
        for (one, other, first) in &self.interactions {
            if let (Some(row), Some(column)) = (self.category(*one, context), self.category(*other, context)) {
                features.push(first + row * self.columns_count(*other) + column, 1.0);
            }
        }
    }

    /// The column of a categorical attribute.
    fn category(&self, place: usize, context: &Context<'_>) -> Option<usize> {
        let attribute = &self.attributes[place].0;
        match attribute.encoding.state(context.get(attribute.name.as_str())) {
            State::Category(column) => Some(column),
            State::Number(_) => None,
        }
    }
}

impl Encoding {
    const fn is_categorical(&self) -> bool {
        match self {
            Self::Levels(_) | Self::Boolean | Self::Bins(_) => true,
            Self::Standardised { .. } => false,
        }
    }

    const fn columns_count(&self) -> usize {
        match self {
            Self::Levels(levels) => levels.len() + 2,
            Self::Boolean => 3,
            Self::Standardised { .. } => 2,
            Self::Bins(thresholds) => thresholds.len() + 2,
        }
    }

    fn check(&self, at: &str) -> Result<(), SchemaError> {
        match self {
            Self::Levels(levels) => check_levels(levels, &format!("{at}.levels")),
            Self::Boolean => Ok(()),
            Self::Standardised { mean, .. } if !mean.is_finite() => {
                Err(SchemaError::new(format!("{at}.mean"), mean, "a finite number"))
            }
            Self::Standardised { sd, .. } if !(sd.is_normal() && *sd > 0.0) => {
                Err(SchemaError::new(format!("{at}.sd"), sd, "a finite number above 0"))
            }
            Self::Standardised { .. } => Ok(()),
            Self::Bins(thresholds) => {
                let count = thresholds.len();
                let usable = thresholds.iter().all(|threshold| threshold.is_finite());
                if (1..Schema::MAX_LEVELS).contains(&count) && usable && thresholds.is_sorted_by(|a, b| a < b) {
                    return Ok(());
                }
                let allowed = format!("1 to {} finite thresholds in ascending order", Schema::MAX_LEVELS - 1);
                Err(SchemaError::new(format!("{at}.bins"), format!("{thresholds:?}"), allowed))
            }
        }
    }

    /// What it makes of a value, or of none.
    fn state(&self, value: Option<&Value<'_>>) -> State {
        match self {
            Self::Levels(levels) => State::Category(match value {
                None => levels.len() + 1,
                Some(Value::Text(text)) => level(levels, text),
                Some(Value::Bool(value)) => level(levels, if *value { "true" } else { "false" }),
                Some(Value::Int(value)) => level(levels, &value.to_string()),
                Some(Value::Float(value)) => level(levels, &value.to_string()),
            }),
            Self::Boolean => State::Category(match value {
                Some(Value::Bool(true)) => 0,
                Some(Value::Bool(false)) => 1,
                Some(Value::Int(_) | Value::Float(_) | Value::Text(_)) | None => 2,
            }),
            Self::Standardised { mean, sd } => number(value).map_or(State::Category(1), |number| {
                // Halves first: the difference of two finite numbers can be infinite, and within the bound it is exact.
                let distance = (number / 2.0 - mean / 2.0) / (sd / 2.0);
                #[expect(clippy::cast_possible_truncation, reason = "rounding to f32")]
                State::Number((distance as f32).clamp(-Features::MAX_VALUE, Features::MAX_VALUE))
            }),
            Self::Bins(thresholds) => {
                State::Category(number(value).map_or(thresholds.len() + 1, |number| {
                    thresholds.partition_point(|threshold| *threshold <= number)
                }))
            }
        }
    }
}

fn level(levels: &[String], given: &str) -> usize {
    levels.iter().position(|level| level == given).unwrap_or(levels.len())
}

/// A finite number; anything else is none.
fn number(value: Option<&Value<'_>>) -> Option<f64> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "features are f32: the last bits of 2^53 and more do not matter"
        )]
        Some(Value::Int(number)) => Some(*number as f64),
        Some(Value::Float(number)) if number.is_finite() => Some(*number),
        Some(Value::Float(_) | Value::Bool(_) | Value::Text(_)) | None => None,
    }
}

fn check_levels(levels: &[String], at: &str) -> Result<(), SchemaError> {
    if !(1..=Schema::MAX_LEVELS).contains(&levels.len()) {
        let allowed = format!("1 to {} texts; values that are not listed are \"other\" together", Schema::MAX_LEVELS);
        return Err(SchemaError::new(at, format!("{} texts", levels.len()), allowed));
    }
    if let Some(long) = levels.iter().find(|level| level.len() > LEVEL_MAX_BYTES) {
        return Err(SchemaError::new(at, long, format!("texts of at most {LEVEL_MAX_BYTES} bytes")));
    }
    match levels.iter().enumerate().find(|(index, level)| levels[..*index].contains(level)) {
        Some((_, twice)) => Err(SchemaError::new(at, format!("{twice:?} twice"), "each level once")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
