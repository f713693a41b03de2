//! What an allocation is computed from: tallies as the primary goal, costs and prices make them evidence for a policy.

use std::sync::Arc;

use crate::domain::{AllocationId, GoalKind, Seed};
use crate::engine::definition::Objective;
use crate::engine::experiment::Active;
use crate::engine::pool::Fitted;
use crate::engine::segment::Tallies;
use crate::engine::settings::Settings;
use crate::engine::weights::Weights;
use crate::policy::price::Price;
use crate::policy::{Arm, Evidence, Worth};
use crate::posterior::pooling::expected_visitors;

/// A copy of everything an allocation is computed from, but for the policy and the seed.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// In order of keys.
    pub(crate) arms: Vec<Arm>,
    pub(crate) kind: GoalKind,
    /// In order of keys; empty where the mean reward itself is maximised.
    pub(crate) worths: Vec<Worth>,
    /// What all segments say together.
    fitted: Option<Arc<Fitted>>,
    expected_visitors: f64,
    /// How many events count, where some are forgotten.
    pub(crate) effective: Option<u64>,
}

impl Inputs {
    /// Of what a segment has counted, weighed, and of a fit of all segments where it borrows from them.
    pub(crate) fn of(active: &Active, tallies: &Tallies, weights: &Weights<'_>, fitted: Option<Arc<Fitted>>) -> Self {
        Self::priced(active, tallies, weights, fitted, weights.price(active, tallies))
    }

    /// The same at a price that is known already.
    pub(crate) fn priced(
        active: &Active,
        tallies: &Tallies,
        weights: &Weights<'_>,
        fitted: Option<Arc<Fitted>>,
        price: Price,
    ) -> Self {
        let settings = &active.settings;
        let (arms, effective) = weights.arms(tallies);
        let mut inputs = Self::valued(settings, arms, price);
        inputs.effective = effective;
        if let (Some(total), true) = (settings.definition.policy.expected_visitors, fitted.is_some()) {
            // A segment's part of what is expected is its part of what came.
            let so_far: f64 = inputs.arms.iter().map(|arm| arm.exposures).sum();
            let all = active.current().pool.progress().exposures.max(1) as f64;
            inputs.expected_visitors = (total as f64 * so_far / all).max(so_far);
        }
        inputs.fitted = fitted;
        inputs
    }

    /// Nothing has been counted.
    pub(crate) fn none(settings: &Settings) -> Self {
        Self::valued(settings, vec![Arm::default(); settings.slots_by_key().len()], Price::NONE)
    }

    /// Sets the costs against what the arms earned. A cost with every conversion is taken off the rewards themselves where
    /// these are amounts, and off what a conversion is worth where they are not.
    fn valued(settings: &Settings, mut arms: Vec<Arm>, price: Price) -> Self {
        let definition = &settings.definition;
        let kind = settings.primary_kind();
        if definition.policy.objective == Objective::Goal {
            return Self::alone(arms, kind, Vec::new());
        }
        let worth = settings.primary_goal().worth.unwrap_or(1.0);
        let worths = arms.iter_mut().enumerate().map(|(position, arm)| {
            let variation = &definition.variations[settings.variation_at(position)];
            let valued = price.worth(worth, variation.cost, variation.cost_per_conversion);
            if kind == GoalKind::Conversion {
                return valued;
            }
            let taken = worth - valued.per_reward;
            arm.squares += taken * (taken * arm.conversions - 2.0 * arm.sum);
            arm.sum -= taken * arm.conversions;
            Worth { per_reward: 1.0, ..valued }
        });
        let worths = worths.collect();
        Self::alone(arms, kind, worths)
    }

    fn alone(arms: Vec<Arm>, kind: GoalKind, worths: Vec<Worth>) -> Self {
        let expected_visitors = expected_visitors(&arms);
        Self { arms, kind, worths, fitted: None, expected_visitors, effective: None }
    }

    /// Feeds everything to a hash, from which the allocation's id and the seed of its draws come.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        for arm in &self.arms {
            for number in [arm.exposures, arm.conversions, arm.sum, arm.squares] {
                hasher.update(&number.to_bits().to_le_bytes());
            }
        }
        for worth in &self.worths {
            hasher.update(&worth.per_reward.to_bits().to_le_bytes());
            hasher.update(&worth.per_exposure.to_bits().to_le_bytes());
        }
        if let Some(fitted) = &self.fitted {
            hasher.update(&fitted.id().0.to_le_bytes());
            hasher.update(&self.expected_visitors.to_bits().to_le_bytes());
        }
    }

    /// The fit of all segments it was made with.
    pub(crate) fn fit(&self) -> Option<AllocationId> {
        self.fitted.as_ref().map(|fitted| fitted.id())
    }

    /// For the policy.
    pub(crate) fn evidence(&self, seed: Seed) -> Evidence<'_> {
        Evidence {
            arms: &self.arms,
            kind: self.kind,
            worths: &self.worths,
            fit: self.fitted.as_ref().map(|fitted| &fitted.computed.fit),
            expected_visitors: self.expected_visitors,
            seed,
        }
    }
}
