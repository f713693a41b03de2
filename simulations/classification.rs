//! Classification data as worlds: a row is a visitor, its attributes are the context, its class is the variation that
//! converts. One pass over the rows, in an order of its own for every run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mabel::domain::{ExperimentKey, VariationKey};

use crate::simulations::world::VariationInWorld;
use crate::simulations::world::blueprint::{Blueprint, Family};
use crate::simulations::world::features::{Column, Table, Values};

/// A data set of the UCI Machine Learning Repository, whose form is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataSet {
    Mushroom,
    Adult,
    Shuttle,
}

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error("{file}: cannot be read: {reason}")]
    Unreadable { file: String, reason: std::io::Error },
    #[error("{file}: row {row}: {reason}")]
    BadRow { file: String, row: usize, reason: String },
    #[error("{0} is not among what --data gives: give the file, or the directory it is in")]
    Missing(&'static str),
    #[error("{given} visitors: the data has {rows} rows, and no run plays a row twice")]
    TooFewRows { rows: usize, given: u64 },
}

const MUSHROOM: [&str; 22] = [
    "cap_shape",
    "cap_surface",
    "cap_color",
    "bruises",
    "odor",
    "gill_attachment",
    "gill_spacing",
    "gill_size",
    "gill_color",
    "stalk_shape",
    "stalk_root",
    "stalk_surface_above_ring",
    "stalk_surface_below_ring",
    "stalk_color_above_ring",
    "stalk_color_below_ring",
    "veil_type",
    "veil_color",
    "ring_number",
    "ring_type",
    "spore_print_color",
    "population",
    "habitat",
];
const ADULT: [&str; 14] = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
];
const ADULT_NUMBERS: [&str; 6] = ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"];
const SHUTTLE: [&str; 9] = ["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];

impl DataSet {
    pub(crate) const ALL: [Self; 3] = [Self::Mushroom, Self::Adult, Self::Shuttle];

    /// As a scenario names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mushroom => "mushroom",
            Self::Adult => "adult",
            Self::Shuttle => "shuttle",
        }
    }

    /// Its files, in the order in which their rows are counted.
    const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Mushroom => &["agaricus-lepiota.data.gz"],
            Self::Adult => &["adult.data.gz", "adult.test.gz"],
            Self::Shuttle => &["shuttle.csv.gz"],
        }
    }

    /// Class as the files write it, and the key of its variation.
    const fn classes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Mushroom => &[("e", "edible"), ("p", "poisonous")],
            Self::Adult => &[("<=50K", "up-to-50k"), (">50K", "over-50k")],
            Self::Shuttle => &[
                ("Rad.Flow", "rad-flow"),
                ("Fpv.Close", "fpv-close"),
                ("Fpv.Open", "fpv-open"),
                ("High", "high"),
                ("Bypass", "bypass"),
                ("Bpv.Close", "bpv-close"),
                ("Bpv.Open", "bpv-open"),
            ],
        }
    }

    const fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Mushroom => &MUSHROOM,
            Self::Adult => &ADULT,
            Self::Shuttle => &SHUTTLE,
        }
    }

    fn is_number(self, attribute: &str) -> bool {
        match self {
            Self::Mushroom => false,
            Self::Adult => ADULT_NUMBERS.contains(&attribute),
            Self::Shuttle => true,
        }
    }

    /// Column of the class; attributes stand in the others, in order.
    const fn class_at(self) -> usize {
        match self {
            Self::Mushroom => 0,
            Self::Adult => ADULT.len(),
            Self::Shuttle => SHUTTLE.len(),
        }
    }

    /// The world without its rows.
    pub(crate) fn blueprint(self, key: ExperimentKey) -> Blueprint {
        let variation =
            |(_, key): &(&str, &str)| VariationInWorld::new(VariationKey::new(key).expect("letters, signs and digits"));
        let variations = self.classes().iter().map(variation).collect();
        let family = Family::Rows(Arc::new(Table::default()));
        Blueprint { family, ..Blueprint::stated(key, variations, Vec::new(), Vec::new()) }
    }

    /// Reads all rows, for runs of so many visitors. `given` are files and directories.
    pub(crate) fn read(self, given: &[PathBuf], visitors: u64) -> Result<Table, DataError> {
        let mut rows = Vec::new();
        for name in self.files() {
            let path = find(given, name).ok_or(DataError::Missing(name))?;
            let file = path.display().to_string();
            let mut text = String::new();
            let opened = std::fs::File::open(&path).map(flate2::read::MultiGzDecoder::new);
            opened
                .and_then(|mut reader| reader.read_to_string(&mut text))
                .map_err(|reason| DataError::Unreadable { file: file.clone(), reason })?;
            self.parse(&file, &text, &mut rows)?;
        }
        if visitors > rows.len() as u64 || u32::try_from(rows.len()).is_err() {
            return Err(DataError::TooFewRows { rows: rows.len(), given: visitors });
        }
        Ok(self.table(&rows))
    }

    /// Splits and checks a file's lines: the class, and the attributes as they are written.
    fn parse(self, file: &str, text: &str, rows: &mut Vec<(usize, Vec<String>)>) -> Result<(), DataError> {
        for (index, line) in text.lines().enumerate() {
            let bad = |reason: String| DataError::BadRow { file: file.to_owned(), row: index + 1, reason };
            let heading = index == 0 && (line.starts_with('|') || line.starts_with("V1,"));
            if heading || line.trim().is_empty() {
                continue;
            }
            // Files of one data set end their sentences differently.
            let mut fields: Vec<&str> = line.trim_end_matches('.').split(',').map(str::trim).collect();
            if fields.len() != self.attributes().len() + 1 {
                return Err(bad(format!("{} fields, not {}", fields.len(), self.attributes().len() + 1)));
            }
            let class = fields.remove(self.class_at());
            let known = self.classes().iter().position(|(written, _)| *written == class);
            let class = known.ok_or_else(|| bad(format!("the class {class:?} is not known")))?;
            for (attribute, field) in self.attributes().iter().zip(&fields) {
                let finite = || field.parse::<f64>().is_ok_and(f64::is_finite);
                if self.is_number(attribute) && *field != MISSING && !finite() {
                    return Err(bad(format!("{attribute} is {field:?}, not a number")));
                }
            }
            rows.push((class, fields.into_iter().map(str::to_owned).collect()));
        }
        Ok(())
    }

    fn table(self, rows: &[(usize, Vec<String>)]) -> Table {
        let column = |(place, name): (usize, &&str)| {
            let texts = || rows.iter().map(|(_, fields)| Some(fields[place].as_str()).filter(|text| *text != MISSING));
            let values = if self.is_number(name) {
                Values::Numbers(texts().map(|text| text.and_then(|text| text.parse().ok())).collect())
            } else {
                let mut levels: Vec<String> = texts().flatten().map(str::to_owned).collect();
                levels.sort_unstable();
                levels.dedup();
                let level = |text: &str| levels.binary_search_by(|level| level.as_str().cmp(text)).ok();
                let places = texts().map(|text| text.and_then(level).and_then(|place| u32::try_from(place).ok()));
                Values::Texts { places: places.collect(), levels }
            };
            Column { name: (*name).to_owned(), values }
        };
        Table {
            columns: self.attributes().iter().enumerate().map(column).collect(),
            classes: rows.iter().map(|(class, _)| *class).collect(),
        }
    }
}

/// How the files write that a value is missing.
const MISSING: &str = "?";

/// The file of this name, among files and in directories that are given.
pub(crate) fn find(given: &[PathBuf], name: &str) -> Option<PathBuf> {
    given.iter().find_map(|path| {
        if path.is_dir() { Some(path.join(name)).filter(|file| file.is_file()) } else { named(path, name) }
    })
}

fn named(path: &Path, name: &str) -> Option<PathBuf> {
    (path.file_name()? == name).then(|| path.to_path_buf())
}

#[cfg(test)]
mod tests;
