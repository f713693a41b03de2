//! The shape of a report: what is answered and what the OpenAPI document describes are one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use crate::http::definition::{ObjectiveWord, StatusWord};
use crate::http::openapi::schema::{Interval, one_of, shapes};

/// Two ends of a 95 % interval, the lower first.
pub(super) type Ends = [f64; 2];

/// What was learned in the current epoch. Means over several segments are standardised.
#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
pub(super) struct Shown {
    #[schema(example = "hero")]
    pub(super) experiment: String,
    /// Version of the definition in force.
    pub(super) definition: u32,
    pub(super) epoch: u32,
    #[schema(value_type = StatusWord)]
    pub(super) status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub(super) generated_at: String,
    /// What best probabilities and expected losses are about.
    #[schema(value_type = ObjectiveWord)]
    pub(super) objective: &'static str,
    /// Whose allocation stands under a segment: its own, or that of a visitor of whom nothing is known, where the policy learns from
    /// features.
    #[schema(value_type = AllocationOf)]
    pub(super) allocation_of: &'static str,
    /// All segments together.
    pub(super) totals: Cell,
    pub(super) segments: Vec<Segment>,
    pub(super) control: Control,
    /// How much segments borrow from each other; `null` where they do not.
    #[schema(required)]
    pub(super) borrowing: Option<Borrowing>,
    /// How long rewards take; `null` until two variations have enough of them.
    #[schema(required)]
    pub(super) delays: Option<Delays>,
    /// `null` where no variation costs anything.
    #[schema(required)]
    pub(super) spending: Option<Spending>,
    /// `null` where the policy learns from features.
    #[schema(required)]
    pub(super) stopping: Option<Stopping>,
    pub(super) rewards: Rewards,
    /// `null` before the first.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) newest_reward_at: Option<String>,
    #[schema(required)]
    pub(super) newest_reward_age_seconds: Option<u64>,
    /// Conditions that could not be decided since the server started.
    pub(super) conditions_failed: u64,
}

/// What was counted of some visitors, and what follows.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportCell)]
pub(super) struct Cell {
    /// Of everyone but the control group.
    pub(super) exposures: u64,
    /// How many the policy's beliefs rest on, where a half-life or a delay is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) effective_exposures: Option<f64>,
    /// Those whose window for the primary goal is still open.
    pub(super) open_exposures: u64,
    /// The one at work, fixed or picked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "14d")]
    pub(super) half_life: Option<String>,
    /// In the definition's order, removed ones last.
    pub(super) variations: Vec<Variation>,
    pub(super) control: Control,
}

/// A segment: as a cell, with its key and allocation.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportSegment)]
pub(super) struct Segment {
    #[schema(example = "device=mobile|country=FR")]
    pub(super) segment: String,
    /// The probability of each variation when nothing is excluded.
    pub(super) allocation: BTreeMap<String, f64>,
    /// The share of what is believed that comes from its own counts, where segments borrow.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    pub(super) own_weight: Option<f64>,
    pub(super) exposures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) effective_exposures: Option<f64>,
    pub(super) open_exposures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "14d")]
    pub(super) half_life: Option<String>,
    pub(super) variations: Vec<Variation>,
    pub(super) control: Control,
}

/// One variation.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportVariation)]
pub(super) struct Variation {
    pub(super) variation: String,
    /// Whether it is in the definition no more.
    pub(super) removed: bool,
    pub(super) exposures: u64,
    /// By goal.
    pub(super) goals: BTreeMap<String, Goal>,
    /// The model probability that it is the best. `null` for removed variations, and where the policy learns from features.
    #[schema(required, minimum = 0, maximum = 1)]
    pub(super) best_probability: Option<f64>,
    /// What showing it to everyone would lose per exposure, in the unit of what is maximised.
    #[schema(required)]
    pub(super) expected_loss: Option<f64>,
    /// What a visitor brings less what the variation costs, in minor units, where that is maximised.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Estimate)]
    pub(super) margin: Option<Estimate>,
}

/// A mean and its 95 % interval.
#[derive(Serialize, ToSchema)]
pub(super) struct Estimate {
    pub(super) mean: f64,
    #[schema(value_type = Interval)]
    pub(super) interval: Ends,
}

/// One goal of one variation.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportGoal)]
pub(super) struct Goal {
    /// Exposures with a reward.
    pub(super) conversions: u64,
    /// Per visitor: a rate, minor units or a count.
    pub(super) mean: f64,
    /// `null` for revenue before the first reward.
    #[schema(required, value_type = Option<Interval>)]
    pub(super) interval: Option<Ends>,
    /// The primary goal's, with what is borrowed from other segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Estimate)]
    pub(super) shrunken: Option<Estimate>,
    /// Of all values, in minor units or as a count; absent for conversions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = f64)]
    pub(super) sum: Option<Number>,
    /// Of revenue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "EUR")]
    pub(super) currency: Option<String>,
    /// Of revenue: the share of visitors with an order; `null` before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Estimate>)]
    pub(super) conversion_rate: Option<Option<Estimate>>,
    /// Of revenue: the mean value of an order, in minor units; `null` before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Estimate>)]
    pub(super) order_value: Option<Option<Estimate>>,
}

/// The control group beside everyone else.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportControl)]
pub(super) struct Control {
    pub(super) exposures: u64,
    /// By goal.
    pub(super) goals: BTreeMap<String, Against>,
}

/// One goal: what the policy gains over always showing the default, in conversions. Whatever cannot be said yet is `null`.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportLift)]
pub(super) struct Against {
    /// Of the control group.
    pub(super) conversions: u64,
    #[schema(required)]
    pub(super) control_rate: Option<f64>,
    #[schema(required)]
    pub(super) treated_rate: Option<f64>,
    #[schema(required)]
    pub(super) difference: Option<f64>,
    /// For one look at a time chosen beforehand.
    #[schema(required, value_type = Option<Interval>)]
    pub(super) difference_interval: Option<Ends>,
    #[schema(required)]
    pub(super) relative_lift: Option<f64>,
    /// The same of the mean per visitor, where rewards have values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = MeanLift)]
    pub(super) value: Option<MeanLift>,
}

/// What the policy gains per visitor.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportMeanLift)]
pub(super) struct MeanLift {
    pub(super) control_mean: f64,
    pub(super) treated_mean: f64,
    pub(super) difference: f64,
    #[schema(value_type = Interval)]
    pub(super) difference_interval: Ends,
    #[schema(required)]
    pub(super) relative_lift: Option<f64>,
}

/// How much segments borrow from each other.
#[derive(Serialize, ToSchema)]
pub(super) struct Borrowing {
    /// How far variations' effects differ from segment to segment.
    pub(super) tau: f64,
    /// The same as a share of the mean.
    pub(super) difference: f64,
    /// With how many exposures of a variation a segment relies on its own as much as on the others'; `null` where it never does.
    #[schema(required)]
    pub(super) even_at: Option<f64>,
    pub(super) words: String,
}

/// How long rewards of the primary goal take.
#[derive(Serialize, ToSchema)]
pub(super) struct Delays {
    pub(super) depend_on_variation: bool,
    /// Of a log-rank test.
    #[schema(minimum = 0, maximum = 1)]
    pub(super) p_value: f64,
    /// Within what time half of the rewards come, by variation.
    pub(super) half_within_seconds: BTreeMap<String, u64>,
    pub(super) words: String,
}

/// What costed variations have spent, in minor units.
#[derive(Serialize, ToSchema)]
pub(super) struct Spending {
    pub(super) spent: f64,
    #[schema(required)]
    pub(super) currency: Option<String>,
    #[schema(required)]
    pub(super) budget: Option<Budget>,
}

/// A budget and what is left of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportBudget)]
pub(super) struct Budget {
    pub(super) amount: f64,
    pub(super) visitors: u64,
    pub(super) spent: f64,
    /// Each unit spent counts as 1 + `price`.
    pub(super) price: f64,
    pub(super) exhausted: bool,
}

/// Whether the experiment has said what it can. It holds as far as the model does, and is no test of significance.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportStopping)]
pub(super) struct Stopping {
    pub(super) finished: bool,
    #[schema(value_type = StoppingReason)]
    pub(super) reason: &'static str,
    pub(super) sentence: String,
    /// JSON has no infinity: `null` where the best may be worth nothing.
    #[schema(required, value_type = Option<f64>)]
    pub(super) value_remaining: f64,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) equivalence_probability: f64,
    /// The variation with the highest mean score.
    pub(super) best: String,
}

shapes! {
    /// Whose allocation stands under a segment.
    AllocationOf "AllocationOf" = one_of(["segment", "unknown_visitor"]);
    /// Why an experiment is finished, or what it waits for.
    StoppingReason "StoppingReason" = one_of([
        "value_remaining",
        "no_practical_difference",
        "limit",
        "too_young",
        "too_few_conversions",
        "uncertain",
    ]);
}

/// What became of rewards.
#[derive(Serialize, ToSchema)]
#[schema(as = ReportRewards)]
pub(super) struct Rewards {
    pub(super) recorded: u64,
    pub(super) repeated: u64,
    pub(super) late: u64,
    /// Decisions whose rewards come to more than the cap.
    pub(super) capped: u64,
    pub(super) amended: u64,
    pub(super) retracted: u64,
    /// Of this experiment, since the server started.
    pub(super) refused: u64,
    /// Of the whole server, since it started, where the experiment could not be told.
    pub(super) refused_unattributed: u64,
}
