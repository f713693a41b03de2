//! Looking into a store at rest: one segment as it stands, or one decision with all that is known of it.

mod decision;
mod segment;

use std::collections::BTreeSet;

use crate::engine::Engine;
use crate::engine::error::NoExperiment;
use crate::engine::receipt::ReceiptError;
use crate::service::error::StartError;

pub use decision::{AllocationFound, DecisionInspection, Happening, Origin, RedrawFailure, inspect_decision};
pub use segment::{SegmentInspection, inspect_segment};

/// Names that are offered where one is unknown.
const OFFERED_MAX: usize = 5;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The store, or what it holds.
    #[error(transparent)]
    Store(#[from] StartError),
    /// The receipt.
    #[error("{0}")]
    Receipt(#[from] ReceiptError),
    /// The receipt was made with this store's secret, for an experiment the store never had.
    #[error(
        "the receipt is sound, but this store knows no experiment {0:?}: it is of another store with the same secret"
    )]
    OtherStore(String),
    /// The decision's id is not that of the text that was said to be it.
    #[error("decision_id {given:?} is not this decision's: its id, {id}, is not made from that text")]
    OtherDecision {
        /// What was given.
        given: String,
        /// The decision's id.
        id: String,
    },
    /// No such experiment.
    #[error("there is no experiment {given:?}; {offered}")]
    UnknownExperiment {
        /// What was given.
        given: String,
        /// What there is.
        offered: String,
    },
    /// The experiment was deleted, and its segments with it.
    #[error("the experiment {0:?} was deleted, and its segments with it")]
    Deleted(String),
    /// No such epoch.
    #[error("{experiment} has no epoch {given} that still takes rewards; there are {known}")]
    UnknownEpoch {
        /// Of which experiment.
        experiment: String,
        /// What was given.
        given: u32,
        /// What there is.
        known: String,
    },
    /// No such segment.
    #[error("epoch {epoch} of {experiment} has no segment {given:?}; {offered}")]
    UnknownSegment {
        /// Of which experiment.
        experiment: String,
        /// Of which epoch.
        epoch: u32,
        /// What was given.
        given: String,
        /// What there is.
        offered: String,
    },
}

fn experiment_error(engine: &Engine, given: &str, error: NoExperiment) -> InspectError {
    match error {
        NoExperiment::Deleted => InspectError::Deleted(given.to_owned()),
        NoExperiment::Unknown => {
            let keys: Vec<String> = engine.experiments().iter().map(|known| known.key().to_string()).collect();
            InspectError::UnknownExperiment { given: given.to_owned(), offered: offered("experiments", given, &keys) }
        }
    }
}

/// All names if they are few, else how many there are and those most like the one that was given.
fn offered(what: &str, given: &str, names: &[String]) -> String {
    let listed = |names: &[&String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return format!("there are no {what}");
    }
    if names.len() <= OFFERED_MAX {
        return format!("there are {}", listed(&names.iter().collect::<Vec<_>>()));
    }
    let pairs = pairs(given);
    let mut ranked: Vec<(usize, &String)> = names.iter().map(|name| (distance(&pairs, name), name)).collect();
    ranked.sort();
    let nearest: Vec<&String> = ranked.into_iter().take(OFFERED_MAX).map(|(_, name)| name).collect();
    format!("of its {} {what} these are most like it: {}", names.len(), listed(&nearest))
}

/// Pairs of neighbouring characters, ends included: cheap enough to compare with ten thousand long names.
fn pairs(text: &str) -> BTreeSet<(char, char)> {
    let characters: Vec<char> = std::iter::once('^').chain(text.chars()).chain(std::iter::once('$')).collect();
    characters.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn distance(pairs_of_given: &BTreeSet<(char, char)>, name: &str) -> usize {
    pairs_of_given.symmetric_difference(&pairs(name)).count()
}

#[cfg(test)]
mod tests;
