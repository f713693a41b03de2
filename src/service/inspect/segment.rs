//! One segment as a server would start with it.

use std::sync::Arc;

use crate::domain::{SegmentKey, Span, Timestamp};
use crate::engine::Engine;
use crate::engine::checkpoint::AllocationState;
use crate::engine::definition::Status;
use crate::engine::experiment::Active;
use crate::engine::secret::Secret;
use crate::posterior::tally::Tally;
use crate::service::inspect::{InspectError, experiment_error, offered};
use crate::service::recovery::recover;
use crate::store::Store;

/// What is known of one segment.
#[derive(Debug)]
pub struct SegmentInspection {
    /// The experiment as it is in force.
    pub active: Arc<Active>,
    /// Whether it decides.
    pub status: Status,
    /// The epoch that was looked at.
    pub epoch: u32,
    /// When it was closed; `None` for the current one.
    pub closed_at: Option<Timestamp>,
    /// The segment.
    pub segment: SegmentKey,
    /// Segments of the epoch.
    pub segments: usize,
    /// What trains.
    pub learning: Tally,
    /// The control group's.
    pub control: Tally,
    /// Time buckets that what trains is kept in.
    pub buckets: usize,
    /// From when to when they reach.
    pub reach: Option<(Timestamp, Timestamp)>,
    /// Exposures and conversions that train.
    pub events: u64,
    /// Amendments and retractions among what trains.
    pub amendments: u64,
    /// How many exposures beliefs rest on, where some are forgotten or not yet known.
    pub effective_exposures: Option<f64>,
    /// The half-life at work.
    pub half_life: Option<Span>,
    /// The allocation that its visitors are decided by; `None` where each visitor's features decide.
    pub allocation: Option<AllocationState>,
    /// Whether that is one for all segments together.
    pub shared: bool,
    /// The number of events at which the next one is due.
    pub due_at: u64,
    /// The number of conversions among them at which it is due all the same, where rewards may still come.
    pub due_at_conversions: Option<u64>,
    /// What visitors are drawn from where nothing is excluded, in order of variations' keys; under a policy that learns from
    /// features, visitors of whom nothing is known.
    pub propensities: Vec<f64>,
    /// The last block of the journal.
    pub head: u64,
}

/// Looks at a segment of an epoch, the current one if none is given. Reads the checkpoint and what came after it.
///
/// # Errors
/// [`InspectError`].
pub fn inspect_segment(
    store: &dyn Store,
    experiment: &str,
    segment: &str,
    epoch: Option<u32>,
) -> Result<SegmentInspection, InspectError> {
    // No number of a segment depends on the secret.
    let engine = Engine::new(Secret::new([0; 32]), 0);
    recover(&engine, store)?;
    let found = engine.experiment(experiment).map_err(|error| experiment_error(&engine, experiment, error))?;
    let active = found.active_full();
    let number = epoch.unwrap_or(active.settings.epoch);
    let epoch = active.epoch(number).ok_or_else(|| {
        let known: Vec<String> = active.epochs.iter().map(|epoch| epoch.number.to_string()).collect();
        InspectError::UnknownEpoch { experiment: experiment.to_owned(), given: number, known: known.join(", ") }
    })?;
    let all = epoch.segments.sorted();
    let Some(cell) = epoch.segments.get(segment) else {
        let keys: Vec<String> = all.iter().filter_map(|segment| segment.key()).map(ToString::to_string).collect();
        return Err(InspectError::UnknownSegment {
            experiment: experiment.to_owned(),
            epoch: number,
            given: segment.to_owned(),
            offered: offered("segments", segment, &keys),
        });
    };
    let reading = active.reading().of(&cell, active.newest());
    let tallies = cell.tallies().clone();
    let deciding = active.deciding().filter(|_| epoch.closed_at.is_none());
    let in_force = match deciding {
        Some(all) => all.allocation().state(),
        None if active.settings.policy().learns() => cell.allocation().state(),
        None => active.initial.state(),
    };
    let due = deciding.map_or(tallies.due, |all| all.tallies().due);
    let buckets = tallies.learning.as_slice();
    Ok(SegmentInspection {
        status: found.status(),
        epoch: number,
        closed_at: epoch.closed_at,
        segment: SegmentKey::new(segment),
        segments: all.len(),
        buckets: buckets.len(),
        reach: buckets.first().zip(buckets.last()).map(|(first, last)| (first.start, last.end)),
        events: tallies.events,
        amendments: tallies.amendments,
        effective_exposures: reading.effective_exposures,
        half_life: reading.half_life,
        allocation: (!active.settings.is_contextual()).then_some(in_force),
        shared: deciding.is_some(),
        due_at: due.at_events(),
        due_at_conversions: due.at_conversions(),
        propensities: active.propensities(&cell),
        head: store.head().number,
        learning: tallies.learning_total.clone(),
        control: tallies.control_total.clone(),
        active,
    })
}
