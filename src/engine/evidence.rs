//! What an allocation is computed from: tallies as the primary goal, costs and prices make them evidence for a policy.

use crate::domain::GoalKind;
use crate::domain::Seed;
use crate::engine::definition::{Definition, Objective, Role};
use crate::engine::settings::Settings;
use crate::policy::{Arm, Evidence, Worth};
use crate::posterior::tally::Tally;

/// A copy of everything an allocation is computed from, but for the policy and the seed.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// In order of keys.
    pub(crate) arms: Vec<Arm>,
    pub(crate) kind: GoalKind,
    /// In order of keys; empty where the mean reward itself is maximised.
    pub(crate) worths: Vec<Worth>,
}

impl Inputs {
    /// Of what has been counted; costs count `1 + price` times.
    pub(crate) fn of(settings: &Settings, tally: &Tally, price: f64) -> Self {
        let goal = settings.primary();
        let kind = settings.primary_kind();
        let arms = settings.slots_by_key().iter().map(|slot| {
            let (exposures, conversions) = (tally.exposures(*slot) as f64, tally.conversions(*slot, goal) as f64);
            let moments = tally.moments(*slot, goal);
            match kind {
                GoalKind::Conversion => Arm::converting(exposures, conversions),
                GoalKind::Revenue | GoalKind::Count => {
                    Arm { exposures, conversions, sum: moments.sum as f64, squares: moments.squares as f64 }
                }
            }
        });
        Self::valued(settings, arms.collect(), price)
    }

    /// Nothing has been counted.
    pub(crate) fn none(settings: &Settings) -> Self {
        Self::valued(settings, vec![Arm::default(); settings.slots_by_key().len()], 0.0)
    }

    /// Sets the costs against what the arms earned. A cost with every conversion is taken off the rewards themselves where
    /// these are amounts, and off what a conversion is worth where they are not.
    fn valued(settings: &Settings, mut arms: Vec<Arm>, price: f64) -> Self {
        let definition = &settings.definition;
        let kind = settings.primary_kind();
        if definition.policy.objective == Objective::Goal {
            return Self { arms, kind, worths: Vec::new() };
        }
        let worth = worth(definition);
        let worths = arms.iter_mut().enumerate().map(|(position, arm)| {
            let variation = &definition.variations[settings.variation_at(position)];
            let (cost, with_conversion) =
                (variation.cost * (1.0 + price), variation.cost_per_conversion * (1.0 + price));
            let per_reward = match kind {
                GoalKind::Conversion => worth - with_conversion,
                GoalKind::Revenue | GoalKind::Count => {
                    arm.squares += with_conversion * with_conversion.mul_add(arm.conversions, -2.0 * arm.sum);
                    arm.sum -= with_conversion * arm.conversions;
                    1.0
                }
            };
            Worth { per_reward, per_exposure: -cost }
        });
        let worths = worths.collect();
        Self { arms, kind, worths }
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
    }

    /// For the policy.
    pub(crate) fn evidence(&self, seed: Seed) -> Evidence<'_> {
        Evidence { kind: self.kind, worths: &self.worths, ..Evidence::of(&self.arms, seed) }
    }
}

/// What one conversion of the primary goal is worth; 1 where nothing is said.
fn worth(definition: &Definition) -> f64 {
    let primary = definition.goals.iter().find(|goal| goal.role == Role::Primary);
    primary.and_then(|goal| goal.worth).unwrap_or(1.0)
}
