//! Whether an experiment has said what it can, asked of all segments together.

use crate::domain::{Span, VariationKey};
use crate::engine::experiment::Active;
use crate::engine::reading::SegmentReading;
use crate::report::lift::Counts;
use crate::report::stopping::{Progress, Verdict, stopping};

/// The rule's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// In numbers.
    pub verdict: Verdict,
    /// In words.
    pub sentence: String,
    /// The variation with the highest mean score.
    pub best: VariationKey,
}

/// `scores` are joint draws of all variations' scores, rows in the definition's order.
pub(super) fn verdict(active: &Active, parts: &[&SegmentReading], scores: &[f64]) -> Stopped {
    let settings = &active.settings;
    let definition = &settings.definition;
    let counts = |index: usize| Counts {
        exposures: parts.iter().map(|part| part.learning.exposures(settings.slot(index))).sum(),
        conversions: parts.iter().map(|part| part.learning.conversions(settings.slot(index), settings.primary())).sum(),
    };
    let counts: Vec<Counts> = (0..definition.variations.len()).map(counts).collect();
    let rule = &definition.stopping;
    let progress = Progress { age: age(active, parts), counts: &counts, scores, default: 0 };
    let verdict = stopping(&progress, rule);
    let names: Vec<&str> = definition.variations.iter().map(|variation| variation.key.as_str()).collect();
    let best = definition.variations[verdict.best].key.clone();
    Stopped { verdict, sentence: verdict.sentence(&names, rule), best }
}

/// From the first decision, or the scheduled start if that is later, to the newest event. Never more than it was, but for a bucket.
fn age(active: &Active, parts: &[&SegmentReading]) -> Span {
    let Some(first) = parts.iter().filter_map(|part| part.since).min() else { return Span::ZERO };
    let starts = active.settings.definition.schedule.starts;
    active.newest().since(starts.map_or(first, |starts| starts.max(first)))
}
