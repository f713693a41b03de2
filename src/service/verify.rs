//! Whether what a store holds is what its journal says: the journal is replayed from its beginning, or from the sealed
//! checkpoint where older blocks were dropped, and compared with the state that a server would start from, bit for bit.

mod rows;

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::domain::{AllocationId, ExperimentKey, SegmentKey};
use crate::engine::Engine;
use crate::engine::event::{Event, Shares};
use crate::engine::refresh::RefreshJob;
use crate::engine::secret::Secret;
use crate::service::error::StartError;
use crate::service::judging::Fresh;
use crate::service::recovery::recover;
use crate::service::replay::{Step, apply_block, restore};
use crate::service::verify::rows::RowCheck;
use crate::store::{CheckpointKind, Store, record};

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// The last block before the first that was replayed: 0, or that of the sealed checkpoint.
    pub from: u64,
    /// The last block of the journal.
    pub head: u64,
    /// Events replayed.
    pub events: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Rows of the state that were compared.
    pub rows: usize,
    /// Rows beside the journal that its events should have left.
    pub entries: u64,
    /// Allocations and fits that were computed again and came out the same.
    pub recomputed: u64,
    /// Those computed from a moment that no event stands for, after a start or when too many were waiting, or from one that more than
    /// 256 events of their segment came after before they were recorded, as in batches.
    pub not_recomputed: u64,
    /// The digest of all tallies, by the journal.
    pub tallies: [u8; 32],
    /// What is not as it should be; the first [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differences_count: u64,
}

/// Most differences that are kept in words.
pub const DIFFERENCES_MAX: usize = 20;

/// One thing that is not as the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, readable.
    pub what: String,
    /// What the journal makes of it.
    pub journal: String,
    /// What is there.
    pub found: String,
}

/// Jobs of one segment, or fits of one experiment, that may be asked for: the newest of them.
pub(crate) const JOBS_KEPT: usize = 256;

pub(crate) type JobKey = (ExperimentKey, u32, Option<Option<SegmentKey>>);

/// Replays and compares. Reads the whole journal once, and holds the state twice. `progress` is told of each block.
///
/// # Errors
/// If the store cannot be read, or is damaged beyond a comparison.
pub fn verify(store: &dyn Store, progress: &mut dyn FnMut(u64)) -> Result<Verified, StartError> {
    // No number of the state depends on the secret, so that a verification needs none.
    let secret = || Secret::new([0; 32]);
    let (replayed, found) = (Engine::new(secret(), 0), Engine::new(secret(), 0));
    let mut verified = Verified { head: store.head().number, ..Verified::default() };
    if store.base().number > 0 {
        verified.from = restore(&replayed, store, CheckpointKind::Sealed)?.0;
    }
    // One to judge by, and one that is judged.
    let (mut known, mut rows) = (Fresh::of(store)?, RowCheck::of(store)?);
    let mut jobs: HashMap<JobKey, VecDeque<RefreshJob>> = HashMap::new();
    for block in store.blocks(verified.from + 1) {
        let block = block?;
        progress(block.number());
        verified.bytes += block.payload().len() as u64;
        verified.events += apply_block(&replayed, &mut known, &block, |step| {
            rows.step(&mut verified, &step)?;
            verified.check_computed(&step, &mut jobs);
            Ok(())
        })?;
    }
    rows.finish(&mut verified)?;
    recover(&found, store)?;
    verified.tallies = replayed.tallies_digest();
    verified.compare(&replayed, &found);
    Ok(verified)
}

impl Verified {
    /// Whether everything is as the journal says.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences_count == 0
    }

    fn differs(&mut self, what: impl Into<String>, journal: impl Into<String>, found: impl Into<String>) {
        self.differences_count += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { what: what.into(), journal: journal.into(), found: found.into() });
        }
    }

    /// Computes what an event says was computed, from the same moment of the replay, and keeps what became due.
    fn check_computed(&mut self, step: &Step<'_>, jobs: &mut HashMap<JobKey, VecDeque<RefreshJob>>) {
        if let Some((key, evidence, shares)) = computed(step.event) {
            let kept = jobs.remove(&key).unwrap_or_default();
            let again = kept.iter().filter(|job| job.evidence() == evidence).map(|job| job.compute());
            let mut again = again.filter_map(|event| computed(&event).map(|(_, _, shares)| shares.clone()));
            match again.find(|again| again.id == shares.id) {
                Some(again) if same_bits(&again, shares) => self.recomputed += 1,
                Some(again) => {
                    let what = format!("allocation {} of {}", named(again.id), key.0);
                    self.differs(what, format!("{:?}", again.shares), format!("{:?}", shares.shares));
                }
                None => self.not_recomputed += 1,
            }
        }
        for job in step.jobs {
            let kept = jobs.entry(job.key()).or_default();
            kept.push_back(job.clone());
            if kept.len() > JOBS_KEPT {
                kept.pop_front();
            }
        }
    }

    fn compare(&mut self, replayed: &Engine, found: &Engine) {
        let [replayed, found] = [replayed, found].map(|engine| {
            let rows = engine.state().into_iter().map(|record| (record::encode_state(&record), record));
            rows.map(|(row, record)| (row.key, (row.value, record))).collect::<BTreeMap<_, _>>()
        });
        let keys: std::collections::BTreeSet<_> = replayed.keys().chain(found.keys()).collect();
        self.rows = keys.len();
        for key in keys {
            let (journal, there) = (replayed.get(key), found.get(key));
            if journal.map(|(value, _)| value) != there.map(|(value, _)| value) {
                let said =
                    |side: Option<&(_, _)>| side.map_or_else(|| "nothing".into(), |(_, record)| format!("{record:?}"));
                let (journal, there) = differing(&said(journal), &said(there));
                self.differs(format!("row {}", String::from_utf8_lossy(key)), journal, there);
            }
        }
    }
}

/// What an event says was computed: for what, from how many events, and what came out.
pub(crate) fn computed(event: &Event) -> Option<(JobKey, u64, &Shares)> {
    match event {
        Event::AllocationComputed(computed) => {
            let key = (computed.experiment.clone(), computed.epoch, Some(computed.segment.clone()));
            Some((key, computed.evidence, &computed.shares))
        }
        Event::PoolFitted(fitted) => {
            Some(((fitted.experiment.clone(), fitted.epoch, None), fitted.evidence, &fitted.unseen))
        }
        Event::ExperimentSaved(_)
        | Event::StatusChanged { .. }
        | Event::ExperimentDeleted { .. }
        | Event::Exposed(_)
        | Event::Assigned(_)
        | Event::Aliased(_)
        | Event::VisitorErased(_)
        | Event::ProfileSaved(_)
        | Event::Activated(_)
        | Event::Rewarded(_)
        | Event::Amended(_)
        | Event::Retracted(_) => None,
    }
}

pub(crate) fn same_bits(one: &Shares, other: &Shares) -> bool {
    let bits = |shares: &Shares| shares.shares.iter().map(|share| share.to_bits()).collect::<Vec<_>>();
    one.variations == other.variations && bits(one) == bits(other)
}

/// Both texts from where they part, with some of what stands before.
fn differing(one: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 200;
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| {
        let shown: String = text.chars().skip(same.saturating_sub(BEFORE)).take(SHOWN).collect();
        if same > BEFORE { format!("… {shown}") } else { shown }
    };
    (part(one), part(other))
}

fn named(id: AllocationId) -> String {
    format!("{:016x}", id.0)
}

#[cfg(test)]
mod tests;
