//! Everything a visitor would be shown, ahead of being shown: deferred decisions that count nothing until each is activated.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::domain::context::Value;
use crate::domain::{Context, ExperimentKey};
use crate::engine::definition::{Status, Unit};
use crate::engine::experiment::Experiment;
use crate::service::Service;
use crate::service::decide::{Answer, Query};

/// Most experiments of one answer, whatever their unit.
pub const MAX_EXPERIMENTS: usize = 500;

/// What a visitor would be shown.
#[derive(Debug)]
pub struct Prefetched {
    /// Where visitors stay with what they are shown, in order of the experiments' keys.
    pub answers: Vec<Arc<Answer<'static>>>,
    /// Where each request draws anew, so that nothing can be said ahead of it.
    pub singly: Vec<ExperimentKey>,
    /// How many experiments found no place.
    pub left_out: usize,
    /// Stands for everything in here that can be seen. What is learned meanwhile does not change it; a save, an assignment or an
    /// attribute that has an effect does.
    pub version: u64,
}

impl Service {
    /// Decides for a visitor in every experiment that has been started and has visitors stay. Whoever is assigned already is
    /// assigned nothing: asking again records nothing.
    pub async fn prefetch(&self, visitor: &str, context: &Context<'_>) -> Prefetched {
        // A draft is nobody's business yet.
        let experiments = self.experiments().into_iter().filter(|experiment| experiment.status() != Status::Draft);
        let stays = |experiment: &Arc<Experiment>| experiment.active().settings.definition.unit == Unit::Visitor;
        let (mut staying, mut singly): (Vec<_>, Vec<_>) = experiments.partition(stays);
        let count = staying.len() + singly.len();
        staying.truncate(MAX_EXPERIMENTS);
        singly.truncate(MAX_EXPERIMENTS - staying.len());
        let left_out = count - staying.len() - singly.len();
        // All are drawn before the first is waited for, so that new assignments share a commit.
        let decided: Vec<_> = staying
            .iter()
            .map(|experiment| (experiment, self.decide_now(&query(experiment, visitor, context))))
            .collect();
        let mut answers = Vec::with_capacity(decided.len());
        for (experiment, decided) in decided {
            // What was deleted meanwhile is no longer there to be shown.
            let Ok(decided) = decided else { continue };
            answers.extend(self.settle(&query(experiment, visitor, context), decided).await);
        }
        let singly: Vec<ExperimentKey> = singly.iter().map(|experiment| experiment.key().clone()).collect();
        let version = version(visitor, context, &answers, &singly, left_out);
        Prefetched { answers, singly, left_out, version }
    }
}

fn query<'a>(experiment: &'a Experiment, visitor: &'a str, context: &'a Context<'a>) -> Query<'a> {
    Query { defer: true, ..Query::new(experiment.key().as_str(), Some(visitor), context) }
}

/// Nobody but the one who is told can do anything with it, so that its hash needs no key.
fn version(
    visitor: &str,
    context: &Context<'_>,
    answers: &[Arc<Answer<'static>>],
    singly: &[ExperimentKey],
    left_out: usize,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (visitor, singly, left_out).hash(&mut hasher);
    for answer in answers {
        let settings = &answer.active.settings;
        (settings.definition.key.as_str(), settings.version, answer.variation).hash(&mut hasher);
        // What the visitor stays with is drawn once and repeated afterwards, which is another reason and the same decision.
        match &answer.receipt {
            Some(_) => answer.decision_id.hash(&mut hasher),
            None => answer.why.hash(&mut hasher),
        }
    }
    let used = |name: &str| answers.iter().any(|answer| answer.active.settings.uses(name));
    for (name, value) in context.iter().filter(|(name, _)| used(name)) {
        name.hash(&mut hasher);
        match value {
            Value::Bool(value) => (0, value).hash(&mut hasher),
            Value::Int(value) => (1, value).hash(&mut hasher),
            Value::Float(value) => (2, value.to_bits()).hash(&mut hasher),
            Value::Text(text) => (3, text).hash(&mut hasher),
        }
    }
    hasher.finish()
}
