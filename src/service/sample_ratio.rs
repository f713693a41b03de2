//! Whether variations are shown as often as their propensities say: what draws, logs and counts must agree, and a gap means that one of
//! them is wrong.
//!
//! A decision for a variation a of propensity q is counted 1/q times; where all is right, these weights add up to the number of decisions
//! that a could be shown in. The difference over the root of its estimated variance, Σ (1 − q)/q² over the decisions for a, is asymptotically
//! normal (the sample-ratio check of STATISTICS §7, with the Horvitz–Thompson estimate in the place of the sum of all propensities,
//! of which the journal keeps only the drawn one).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{ExperimentKey, Slot};
use crate::engine::event::{DecisionRecord, Event};
use crate::engine::ledger::{Judgement, Outcome};

/// Beyond this many standard errors something is wrong.
pub const ALARM: f64 = 4.0;

/// Decisions for a variation below which nothing is said of it.
const ENOUGH: u64 = 100;

/// Whoever may write definitions may choose keys that meet in a hash, and slows down nobody else: there are few experiments.
type Known = HashMap<ExperimentKey, Shown, foldhash::fast::RandomState>;

/// By experiment, since the start or since its definition changed.
#[derive(Debug, Default)]
pub struct SampleRatios(Mutex<Known>);

/// What was shown under one definition.
#[derive(Debug)]
struct Shown {
    definition: u32,
    decisions: u64,
    /// By slot.
    variations: Vec<Variation>,
}

#[derive(Debug, Default, Clone)]
struct Variation {
    decisions: u64,
    /// Decisions that it could not be shown in.
    excluded: u64,
    weight: f64,
    variance: f64,
}

impl SampleRatios {
    /// Looks at what was recorded. For the committer alone.
    pub(crate) fn looking(&self) -> Looking<'_> {
        Looking(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Of each experiment the largest distance of a variation, in standard errors, in order of keys; none while too few decisions were
    /// made to say anything.
    #[must_use]
    pub fn distances(&self) -> Vec<(ExperimentKey, f64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut distances: Vec<_> = known
            .iter()
            .filter_map(|(key, shown)| {
                let distances = shown.variations.iter().filter_map(|variation| variation.distance(shown.decisions));
                Some((key.clone(), distances.reduce(f64::max)?))
            })
            .collect();
        distances.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        distances
    }
}

/// See [`SampleRatios::looking`].
pub(crate) struct Looking<'s>(MutexGuard<'s, Known>);

impl Looking<'_> {
    pub(crate) fn saw(&mut self, event: &Event, judgement: &Judgement) {
        match event {
            Event::Exposed(exposed) => count(&mut self.0, &exposed.record, 1, &exposed.excluded),
            Event::Assigned(assigned) if judgement.outcome == Outcome::Recorded => {
                count(&mut self.0, &assigned.record, 1, &assigned.excluded);
            }
            Event::ExperimentDeleted { experiment, at: _ } => {
                self.0.remove(experiment);
            }
            Event::Assigned(_)
            | Event::Aliased(_)
            | Event::VisitorErased(_)
            | Event::ProfileSaved(_)
            | Event::ExperimentSaved(_)
            | Event::StatusChanged { .. }
            | Event::Activated(_)
            | Event::Rewarded(_)
            | Event::Amended(_)
            | Event::Retracted(_)
            | Event::AllocationComputed(_)
            | Event::PoolFitted(_) => {}
        }
    }

    /// So many exposures of one propensity, nothing excluded.
    pub(crate) fn saw_exposures(&mut self, record: &DecisionRecord, times: u32) {
        count(&mut self.0, record, times, &[]);
    }
}

fn count(known: &mut Known, record: &DecisionRecord, times: u32, excluded: &[Slot]) {
    if record.control {
        return;
    }
    match known.get_mut(&record.experiment) {
        Some(shown) => shown.count(record, times, excluded),
        None => {
            let mut shown = Shown::under(record.definition);
            shown.count(record, times, excluded);
            known.insert(record.experiment.clone(), shown);
        }
    }
}

impl Shown {
    const fn under(definition: u32) -> Self {
        Self { definition, decisions: 0, variations: Vec::new() }
    }

    fn count(&mut self, record: &DecisionRecord, times: u32, excluded: &[Slot]) {
        if self.definition != record.definition {
            *self = Self::under(record.definition);
        }
        let count = u64::from(times);
        let weight = 1.0 / record.propensity;
        self.decisions += count;
        let variation = self.variation(record.variation);
        variation.decisions += count;
        variation.weight += f64::from(times) * weight;
        variation.variance += f64::from(times) * (1.0 - record.propensity) * weight * weight;
        for slot in excluded {
            self.variation(*slot).excluded += count;
        }
    }

    fn variation(&mut self, slot: Slot) -> &mut Variation {
        if self.variations.len() <= slot.index() {
            self.variations.resize(slot.index() + 1, Variation::default());
        }
        &mut self.variations[slot.index()]
    }
}

impl Variation {
    fn distance(&self, decisions: u64) -> Option<f64> {
        let expected = (decisions - self.excluded) as f64;
        (self.decisions >= ENOUGH && self.variance > 0.0).then(|| (self.weight - expected).abs() / self.variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AllocationId, DecisionId, Features, Seed, SegmentKey};

    const SHARES: [f64; 3] = [0.9, 0.07, 0.03];

    /// Three variations in 20,000 decisions, in every third the second is excluded; `logged` says what propensity is recorded.
    fn distance(logged: impl Fn(usize, f64) -> f64) -> f64 {
        let mut known = Known::default();
        for index in 0..20_000_u32 {
            let excluded: &[Slot] = if index % 3 == 0 { &[Slot(1)] } else { &[] };
            let left: f64 = if excluded.is_empty() { 1.0 } else { 1.0 - SHARES[1] };
            let uniform = Seed(41).child(u64::from(index)).uniform() * left;
            let variation = match uniform {
                uniform if uniform < SHARES[0] => 0,
                uniform if excluded.is_empty() && uniform < SHARES[0] + SHARES[1] => 1,
                _ => 2,
            };
            let record = DecisionRecord {
                experiment: ExperimentKey::new("hero").expect("a key"),
                epoch: 0,
                definition: 1,
                segment: SegmentKey::new(SegmentKey::ALL),
                variation: Slot(u16::try_from(variation).expect("small")),
                allocation: AllocationId(0),
                propensity: logged(variation, SHARES[variation] / left),
                control: false,
                decision: DecisionId(u128::from(index)),
                features: Features::new(),
            };
            count(&mut known, &record, 1, excluded);
        }
        SampleRatios(Mutex::new(known)).distances()[0].1
    }

    #[test]
    fn true_propensities_pass_and_others_do_not() {
        let right = distance(|_, propensity| propensity);
        assert!(right < ALARM, "{right}");
        let wrong = distance(|variation, propensity| if variation == 2 { propensity * 1.3 } else { propensity });
        assert!(wrong > ALARM, "{wrong}");
    }
}
