//! The three layers that a configuration comes in: texts by field, each with where it is from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Field, Flags, fields};

/// A field, its value as text, and where that is from.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// A value and where it is from.
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: String,
}

pub(super) type Layer = BTreeMap<&'static str, Given>;

/// The file, over it the environment, over that the flags.
pub(super) fn layers(flags: &Flags, environment: &dyn Fn(&str) -> Option<String>) -> Result<Layer, ConfigError> {
    let file = flags.config.clone().or_else(|| environment("MABEL_CONFIG").map(PathBuf::from));
    let mut values = match file {
        Some(path) => file_layer(&path)?,
        None => Layer::new(),
    };
    values.extend(environment_layer(environment));
    values.extend(flags.layer());
    Ok(values)
}

fn environment_layer(environment: &dyn Fn(&str) -> Option<String>) -> Layer {
    let layer = fields().filter_map(|field| {
        let text = environment(&field.variable())?;
        Some((field.name, Given { text, origin: format!("given by {}", field.variable()) }))
    });
    layer.collect()
}

fn file_layer(path: &Path) -> Result<Layer, ConfigError> {
    let file = path.display().to_string();
    let broken = |detail: &dyn fmt::Display| ConfigError::File { file: file.clone(), detail: detail.to_string() };
    let text = std::fs::read_to_string(path).map_err(|error| broken(&error))?;
    let table: toml::Table = text.parse().map_err(|error| broken(&error))?;
    let mut layer = Layer::new();
    for (name, value) in table {
        let Some(field) = fields().find(|field| field.name == name) else {
            let allowed = fields().map(|field| field.name).collect::<Vec<_>>().join(", ");
            return Err(ConfigError::Unknown { field: name, file, allowed });
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        layer.insert(field.name, Given { text, origin: format!("in {file}") });
    }
    Ok(layer)
}

pub(super) fn given(values: &Layer, field: &Field) -> Given {
    match values.get(field.name) {
        Some(Given { text, origin }) => Given { text: text.trim().to_owned(), origin: origin.clone() },
        None => Given { text: field.default.to_owned(), origin: "the default".to_owned() },
    }
}

pub(super) fn from_flag(values: &Layer, field: &Field) -> bool {
    given(values, field).origin == format!("given by {}", field.flag())
}

pub(super) fn parsed<T>(values: &Layer, field: &Field, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
    let Given { text, origin } = given(values, field);
    parse(&text).ok_or(ConfigError::Value { field: field.name, given: text, origin, allowed: field.allowed.to_owned() })
}
