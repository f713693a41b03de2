//! One learner for every variation, none knowing of the others.

use std::any::Any;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;

use crate::domain::Features;
use crate::domain::Seed;
use crate::policy::contextual::{Beliefs, ContextualModel, Rule};
use crate::posterior::Gaussian;
use crate::posterior::Learner;
use crate::posterior::learner::{InvalidState, State};

/// Learners by arm, and the rule by which they decide.
#[derive(Debug, Clone)]
pub struct Disjoint<L> {
    rule: Rule,
    /// What every arm begins as.
    prior: L,
    arms: Vec<Option<L>>,
}

impl<L: Learner> Disjoint<L> {
    /// No arm is known yet.
    #[must_use]
    pub const fn new(rule: Rule, prior: L) -> Self {
        Self { rule, prior, arms: Vec::new() }
    }

    fn belief(&self, arm: usize) -> &Gaussian {
        self.arms.get(arm).and_then(Option::as_ref).unwrap_or(&self.prior).belief()
    }

    fn learner(&mut self, arm: usize) -> &mut L {
        if arm >= self.arms.len() {
            self.arms.resize(arm + 1, None);
        }
        self.arms[arm].get_or_insert_with(|| self.prior.clone())
    }
}

impl<L: Learner + 'static> ContextualModel for Disjoint<L> {
    fn expose(&mut self, arm: usize, features: &Features) {
        self.learner(arm).expose(features);
    }

    fn reward(&mut self, arm: usize, features: &Features, value: f64) {
        self.learner(arm).reward(features, value);
    }

    fn settle(&mut self) {
        self.arms.iter_mut().flatten().for_each(Learner::settle);
    }

    fn shares(&self, arms: &[usize], features: &Features, seed: Seed) -> Vec<f64> {
        self.rule.shares(|arm| self.belief(arm), arms, features, seed)
    }

    fn choose(&self, arms: &[usize], features: &Features, rng: &mut Xoshiro256PlusPlus) -> usize {
        self.rule.choose(|arm| self.belief(arm), arms, features, rng)
    }

    fn snapshot(&self) -> Beliefs {
        Beliefs {
            rule: self.rule,
            unknown: Arc::clone(self.prior.belief()),
            arms: self.arms.iter().map(|arm| arm.as_ref().map(|learner| Arc::clone(learner.belief()))).collect(),
        }
    }

    fn order_matters(&self) -> bool {
        L::ORDER_MATTERS
    }

    fn known(&self) -> Vec<usize> {
        (0..self.arms.len()).filter(|arm| self.arms[*arm].is_some()).collect()
    }

    fn save(&self, arm: usize) -> Option<State> {
        self.arms.get(arm)?.as_ref().map(Learner::save)
    }

    fn restore(&mut self, arm: usize, state: &State) -> Result<(), InvalidState> {
        let mut learner = self.prior.clone();
        learner.restore(state)?;
        *self.learner(arm) = learner;
        Ok(())
    }

    fn merge(&mut self, other: &dyn ContextualModel) -> bool {
        let Some(other) = (other as &dyn Any).downcast_ref::<Self>().filter(|_| !L::ORDER_MATTERS) else {
            return false;
        };
        let known = other.arms.iter().enumerate().filter_map(|(arm, learner)| Some((arm, learner.as_ref()?)));
        known.fold(true, |merged, (arm, learner)| self.learner(arm).merge(learner) && merged)
    }
}
