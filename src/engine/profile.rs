//! Whether a profile says of its attributes what running experiments expect of them.

use std::collections::HashMap;

use crate::domain::context::Value;
use crate::domain::{Context, ExperimentKey};
use crate::engine::Engine;
use crate::engine::definition::Status;
use crate::targeting::features::Encoding;

/// What a schema says that an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeType {
    /// A text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// The types that running experiments' schemas give to attributes.
#[derive(Debug, Default)]
pub struct AttributeTypes(HashMap<String, Vec<(AttributeType, ExperimentKey)>>);

/// An attribute that is of another type than an experiment says.
#[derive(Debug, Clone, PartialEq)]
pub struct Clash {
    /// Which.
    pub attribute: String,
    /// What it is.
    pub given: Value<'static>,
    /// What it should be.
    pub expected: AttributeType,
    /// Who says so: the first in order of keys.
    pub experiment: ExperimentKey,
}

impl Engine {
    /// What running experiments say now.
    #[must_use]
    pub fn attribute_types(&self) -> AttributeTypes {
        let mut types = AttributeTypes::default();
        for experiment in self.experiments().iter().filter(|experiment| experiment.status() == Status::Running) {
            for attribute in &experiment.active().settings.definition.attributes {
                let expected = match attribute.encoding {
                    Encoding::Levels(_) => AttributeType::Text,
                    Encoding::Boolean => AttributeType::Boolean,
                    Encoding::Standardised { .. } | Encoding::Bins(_) => AttributeType::Number,
                };
                let said = types.0.entry(attribute.name.to_string()).or_default();
                said.push((expected, experiment.key().clone()));
            }
        }
        types
    }
}

impl AttributeTypes {
    /// The first attribute of a profile that is of another type.
    #[must_use]
    pub fn clash(&self, profile: &Context<'_>) -> Option<Clash> {
        profile.iter().find_map(|(name, value)| {
            let given = match value {
                Value::Text(_) => AttributeType::Text,
                Value::Int(_) | Value::Float(_) => AttributeType::Number,
                Value::Bool(_) => AttributeType::Boolean,
            };
            let (expected, experiment) = self.0.get(name)?.iter().find(|(expected, _)| *expected != given)?;
            Some(Clash {
                attribute: name.to_owned(),
                given: value.kept(),
                expected: *expected,
                experiment: experiment.clone(),
            })
        })
    }
}
