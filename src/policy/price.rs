//! The price of a budget: by how much spending has to count beyond what it costs, so that a budget lasts for its visitors.

use crate::policy::Worth;

/// How fast a price follows: its step over one standard batch that spends twice what the plan allows.
const STEP: f64 = 0.05;

/// A standard batch is this share of the budget's visitors: some hundred corrections over the whole run.
const BATCHES: f64 = 120.0;

/// Relative overspending beyond this counts as this: one batch of few visitors and a rare expensive reward moves a price little.
const EXCESS_MAX: f64 = 4.0;

/// What costed variations may spend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// In minor units, above 0.
    pub amount: f64,
    /// Visitors it has to last for, above 0.
    pub visitors: f64,
}

/// What was spent in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch {
    /// Everyone who was decided for, those that the floor sent included; where rewards come late, weighed by the share of rewards
    /// that has come, as spending on them is known only so far.
    pub visitors: f64,
    /// In minor units, not negative.
    pub spent: f64,
}

/// What spending costs beyond itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// λ: each unit spent counts as 1 + λ units. Not negative.
    pub excess: f64,
    /// What is left of the budget, in minor units; below 0 once it is overspent.
    pub left: f64,
}

impl Budget {
    /// The price after these batches, in order of time (STATISTICS §10, the dual step of bandits with knapsacks: Agrawal and
    /// Devanur, "Bandits with concave rewards and convex knapsacks", Proceedings of EC 2014).
    ///
    /// λ ← max(0, λ + 0.05·b·(spent rate − planned rate)/planned rate), where b is the batch's size in standard batches, so that
    /// the same visitors move the price alike however time is cut, and the planned rate is what is left for each visitor to
    /// come. A batch larger than a standard batch is taken in equal parts. More visitors than planned are planned for one standard
    /// batch ahead: what is left may be spent.
    #[must_use]
    pub fn price(self, batches: impl IntoIterator<Item = Batch>) -> Price {
        let standard = self.visitors / BATCHES;
        let (mut excess, mut spent, mut visitors) = (0.0_f64, 0.0, 0.0);
        for batch in batches.into_iter().filter(|batch| batch.visitors > 0.0) {
            let parts = (batch.visitors / standard).clamp(1.0, BATCHES).ceil();
            let part = Batch { visitors: batch.visitors / parts, spent: batch.spent / parts };
            let size = (part.visitors / standard).min(1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 120")]
            for _ in 0..parts as usize {
                let planned = (self.amount - spent).max(0.0) / (self.visitors - visitors).max(standard);
                let relative = (part.spent / part.visitors - planned) / planned.max(f64::MIN_POSITIVE);
                excess = (STEP * size).mul_add(relative.min(EXCESS_MAX), excess).max(0.0);
                spent += part.spent;
                visitors += part.visitors;
            }
        }
        Price { excess, left: self.amount - spent }
    }
}

impl Price {
    /// Where there is no budget: a cost is a cost.
    pub const NONE: Self = Self { excess: 0.0, left: f64::INFINITY };

    /// Whether a reward could cost more than is left: no costed variation may be shown any more.
    #[must_use]
    pub const fn is_exhausted(self, cost_max: f64) -> bool {
        self.left < cost_max
    }

    /// What a variation's score is made of: `worth` is one unit of reward in minor units (1 for revenue), `cost` what
    /// each exposure costs, `cost_per_conversion` what each conversion costs.
    #[must_use]
    pub fn worth(self, worth: f64, cost: f64, cost_per_conversion: f64) -> Worth {
        let factor = 1.0 + self.excess;
        Worth { per_reward: (-cost_per_conversion).mul_add(factor, worth), per_exposure: -cost * factor }
    }
}

#[cfg(test)]
mod tests;
