//! What a strategy draws from, and whether it shows what it says.

use mabel::domain::AllocationId;
use mabel::engine::Engine;
use mabel::engine::decide::{Basis, Decision, Explain, Request};
use mabel::engine::event::DecisionRecord;
use mabel::engine::settings::Settings;

use crate::simulations::sample_ratio::{Counts, SampleRatio};
use crate::simulations::world::Phase;

/// The propensities that a segment is drawn from, until its allocation changes.
#[derive(Debug)]
pub(super) struct Watch {
    allocation: Option<(AllocationId, u32)>,
    /// By variation of the world.
    pub(super) propensities: Vec<f64>,
    /// Drawn from them so far.
    decisions: u64,
    counts: Counts,
    drawn: Vec<u64>,
}

impl Watch {
    pub(super) fn new(variations: usize) -> Self {
        Self {
            allocation: None,
            propensities: vec![0.0; variations],
            decisions: 0,
            counts: Counts::new(variations),
            drawn: vec![0; variations],
        }
    }

    /// A decision that was drawn: from the same propensities as the one before it, if it names the same allocation; else
    /// the engine is asked what it draws from, which changes nothing.
    pub(super) fn saw(
        &mut self,
        engine: &Engine,
        request: &Request<'_>,
        record: &DecisionRecord,
        phase: &Phase,
        variation: usize,
    ) {
        let allocation = Some((record.allocation, record.definition));
        if self.allocation != allocation {
            self.flush();
            self.allocation = allocation;
            let experiment = engine.experiment(record.experiment.as_str()).expect("it has just decided");
            let active = experiment.active();
            let explained = engine.decide_in(&experiment, &active, request, None, Explain::Yes);
            self.read(&active.settings, basis(&explained), phase);
        }
        self.count(record, variation);
    }

    /// A decision that was drawn from propensities of its own, which it explains.
    pub(super) fn saw_explained(
        &mut self,
        settings: &Settings,
        decision: &Decision<'_>,
        record: &DecisionRecord,
        phase: &Phase,
        variation: usize,
    ) {
        self.flush();
        self.read(settings, basis(decision), phase);
        self.count(record, variation);
    }

    fn count(&mut self, record: &DecisionRecord, variation: usize) {
        let expected = self.propensities[variation];
        assert!(expected.to_bits() == record.propensity.to_bits(), "drawn from {expected}, recorded {record:?}");
        self.decisions += 1;
        self.drawn[variation] += 1;
    }

    fn read(&mut self, settings: &Settings, basis: &Basis, phase: &Phase) {
        self.propensities.fill(0.0);
        for (index, propensity) in settings.variations_by_key().iter().zip(&basis.propensities) {
            self.propensities[phase.available[*index]] = *propensity;
        }
    }

    /// Counts what was drawn from the propensities so far.
    fn flush(&mut self) {
        for (variation, propensity) in self.propensities.iter().enumerate() {
            self.counts.add(variation, *propensity, self.decisions);
        }
        self.decisions = 0;
    }

    /// Whether variations came up as often as their propensities say.
    pub(super) fn check(mut self) -> SampleRatio {
        self.flush();
        self.counts.check(&self.drawn)
    }
}

fn basis<'a>(decision: &'a Decision<'_>) -> &'a Basis {
    decision.basis.as_ref().expect("an explanation was asked for")
}
