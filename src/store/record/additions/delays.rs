//! How long rewards took: of all variations since version 2, of each since version 3.

use bincode::{BorrowDecode, Encode};

use crate::domain::{Slot, Span, Timestamp};
use crate::engine::checkpoint::{EpochState, ExperimentState};
use crate::posterior::delay::{Counts, Delays, OpenCount};
use crate::store::record::Checked;

/// The newest event, and the delays of the primary goal's rewards.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(super) struct StoredTiming {
    newest: u64,
    delays: Option<StoredDelays>,
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct StoredDelays {
    window: u64,
    latest: u64,
    closed: Vec<u64>,
    /// Row, bin, count.
    open: Vec<(u64, u8, u64)>,
}

/// What version 3 adds to an experiment's checkpoint row: delays by variation. Where an earlier version counted, variations have less than all
/// together.
#[derive(Encode, BorrowDecode, Default, PartialEq)]
pub(in crate::store::record) struct DelaysByVariation {
    /// By epoch, those of variations that had a reward.
    epochs: Vec<Vec<StoredCounts>>,
}

#[derive(Encode, BorrowDecode, PartialEq)]
struct StoredCounts {
    variation: u16,
    closed: Vec<u64>,
    /// Row, bin, count.
    open: Vec<(u64, u8, u64)>,
}

impl From<&EpochState> for StoredTiming {
    fn from(epoch: &EpochState) -> Self {
        Self {
            newest: epoch.newest.as_millis(),
            delays: epoch.delays.as_ref().map(|delays| StoredDelays {
                window: delays.window().as_millis(),
                latest: delays.latest().as_millis(),
                closed: delays.all().closed().to_vec(),
                open: stored_open(delays.all()),
            }),
        }
    }
}

impl StoredTiming {
    /// The epoch as it was.
    pub(super) fn add_to(self, epoch: &mut EpochState) -> Checked<()> {
        epoch.newest = Timestamp::from_millis(self.newest);
        epoch.delays = self.delays.map(StoredDelays::restore).transpose()?;
        Ok(())
    }
}

impl StoredDelays {
    fn restore(self) -> Checked<Delays> {
        let (window, latest) = (Span::from_millis(self.window), Timestamp::from_millis(self.latest));
        let delays = counts(&self.closed, self.open).and_then(|all| Delays::from_parts(window, latest, all, []));
        delays.ok_or_else(|| "delays that do not fit together".into())
    }
}

impl From<&ExperimentState> for DelaysByVariation {
    /// Nothing where no variation has a delay.
    fn from(experiment: &ExperimentState) -> Self {
        let of = |(variation, counts): (Slot, &Counts)| StoredCounts {
            variation: variation.0,
            closed: counts.closed().to_vec(),
            open: stored_open(counts),
        };
        let epoch = |epoch: &EpochState| epoch.delays.iter().flat_map(|d| d.by_variation().map(of)).collect();
        let epochs: Vec<Vec<StoredCounts>> = experiment.epochs.iter().map(epoch).collect();
        Self { epochs: if epochs.iter().all(Vec::is_empty) { Vec::new() } else { epochs } }
    }
}

impl DelaysByVariation {
    /// The experiment as it was.
    pub(in crate::store::record) fn add_to(self, experiment: &mut ExperimentState) -> Checked<()> {
        for (epoch, stored) in experiment.epochs.iter_mut().zip(self.epochs) {
            let restore = |of: StoredCounts| counts(&of.closed, of.open).map(|own| (Slot(of.variation), own));
            if let (Some(delays), false) = (&epoch.delays, stored.is_empty()) {
                let own: Option<Vec<(Slot, Counts)>> = stored.into_iter().map(restore).collect();
                let all = delays.all().clone();
                let whole = own.and_then(|own| Delays::from_parts(delays.window(), delays.latest(), all, own));
                epoch.delays = Some(whole.ok_or("delays of variations that do not fit those of all")?);
            }
        }
        Ok(())
    }
}

fn stored_open(counts: &Counts) -> Vec<(u64, u8, u64)> {
    counts.open().map(|OpenCount { row, bin, count }| (row, bin, count)).collect()
}

fn counts(closed: &[u64], open: Vec<(u64, u8, u64)>) -> Option<Counts> {
    Counts::from_parts(closed, open.into_iter().map(|(row, bin, count)| OpenCount { row, bin, count }))
}
