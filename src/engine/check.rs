//! What a definition must be, on its own: every refusal names the field, what was given and what is allowed. Conditions and
//! the policy's parameters are checked where they are compiled.

use std::collections::HashSet;

use crate::domain::{Aggregation, Currency, GoalKind, Span, VALUE_MAX};
use crate::engine::definition::{Definition, Goal, HalfLife, Objective, Role, StoppingRule};
use crate::engine::error::FieldError;
use crate::engine::settings::Slots;
use crate::policy::allocation::check_floor;

/// Most variations of an experiment, and most there ever were.
pub const MAX_VARIATIONS: usize = 256;
/// Most goals of an experiment.
pub const MAX_GOALS: usize = 32;
/// Largest priority within a group, either way.
const MAX_PRIORITY: u32 = 1_000_000;
/// Longest payload, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 65_536;
/// Most bytes of one segment's tallies: half of what a checkpoint's row can hold, for the control group has as many.
const MAX_SEGMENT_BYTES: u64 = 16 << 20;
/// Day-long buckets of a segment, at most.
const DAY_BUCKETS: u64 = 402;
const LONGEST_WINDOW: Span = Span::DAY.times(365);

/// Checks what a definition says of itself, but for conditions and the policy, which compiling checks.
pub(crate) fn check(definition: &Definition) -> Result<(), FieldError> {
    check_variations(definition)?;
    check_goals(definition)?;
    let bucket = definition.bucket;
    let (minute, day) = (Span::from_millis(60_000), Span::DAY);
    if bucket < minute || bucket > day || !day.as_millis().is_multiple_of(bucket.as_millis()) {
        return Err(FieldError::new("bucket", bucket, "a length from 1m to 1d that divides a day"));
    }
    let schedule = &definition.schedule;
    if let (Some(starts), Some(ends)) = (schedule.starts, schedule.ends)
        && starts >= ends
    {
        return Err(FieldError::new(
            "schedule.ends",
            format!("{} ms", ends.as_millis()),
            "a time after schedule.starts",
        ));
    }
    check_floor(definition.policy.floor, definition.variations.len())?;
    check_costs(definition)?;
    check_budget(definition)?;
    check_stopping(&definition.stopping)?;
    if let Some(group) = &definition.group
        && group.priority.unsigned_abs() > MAX_PRIORITY
    {
        let allowed = format!("a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}");
        return Err(FieldError::new("group.priority", group.priority, allowed));
    }
    if let HalfLife::Fixed(half_life) = definition.policy.half_life
        && !(Span::HOUR..=LONGEST_WINDOW).contains(&half_life)
    {
        return Err(FieldError::new("policy.half_life", half_life, "\"off\", \"auto\", or a length from 1h to 365d"));
    }
    if definition.policy.expected_visitors == Some(0) {
        return Err(FieldError::new("policy.expected_visitors", 0, "a whole number from 1"));
    }
    Ok(())
}

fn check_variations(definition: &Definition) -> Result<(), FieldError> {
    let variations = &definition.variations;
    if variations.is_empty() || variations.len() > MAX_VARIATIONS {
        return Err(FieldError::new(
            "variations",
            format!("{} of them", variations.len()),
            format!("1 to {MAX_VARIATIONS}"),
        ));
    }
    let mut seen = HashSet::new();
    for (index, variation) in variations.iter().enumerate() {
        if !seen.insert(&variation.key) {
            return Err(FieldError::new(format!("variations[{index}].key"), &variation.key, "each key once"));
        }
        if variation.payload.len() > MAX_PAYLOAD_BYTES {
            let given = format!("{} bytes", variation.payload.len());
            return Err(FieldError::new(
                format!("variations[{index}].payload"),
                given,
                format!("at most {MAX_PAYLOAD_BYTES} bytes"),
            ));
        }
    }
    Ok(())
}

fn check_goals(definition: &Definition) -> Result<(), FieldError> {
    let goals = &definition.goals;
    if goals.is_empty() || goals.len() > MAX_GOALS {
        return Err(FieldError::new("goals", format!("{} of them", goals.len()), format!("1 to {MAX_GOALS}")));
    }
    let mut seen = HashSet::new();
    for (index, goal) in goals.iter().enumerate() {
        if !seen.insert(&goal.key) {
            return Err(FieldError::new(format!("goals[{index}].key"), &goal.key, "each key once"));
        }
        if goal.window < Span::SECOND || goal.window > LONGEST_WINDOW {
            return Err(FieldError::new(format!("goals[{index}].window"), goal.window, "a length from 1s to 365d"));
        }
        check_values(index, goal)?;
    }
    let primaries = goals.iter().filter(|goal| goal.role == Role::Primary).count();
    if primaries != 1 {
        return Err(FieldError::new("goals", format!("{primaries} of role primary"), "exactly one of role primary"));
    }
    Ok(())
}

/// Currency, cap, worth and delay of one goal.
fn check_values(index: usize, goal: &Goal) -> Result<(), FieldError> {
    let field = |name: &str| format!("goals[{index}].{name}");
    let conversion = goal.kind == GoalKind::Conversion;
    if goal.kind == GoalKind::Revenue && goal.currency.is_none() {
        return Err(FieldError::new(field("currency"), "nothing", Currency::ALLOWED));
    }
    if let Some(currency) = goal.currency
        && (goal.kind == GoalKind::Count || conversion && goal.worth.is_none())
    {
        let allowed = "nothing: only revenue, and conversions with a worth, have a currency";
        return Err(FieldError::new(field("currency"), currency, allowed));
    }
    if let Some(cap) = goal.cap
        && (conversion || !(1..=VALUE_MAX).contains(&cap))
    {
        let allowed = format!("a whole number from 1 to {VALUE_MAX}, for goals of kind revenue or count");
        return Err(FieldError::new(field("cap"), cap, allowed));
    }
    if conversion && goal.aggregation == Aggregation::Sum {
        let allowed = "\"first\" or \"last\" for a goal of kind conversion: a decision converts once";
        return Err(FieldError::new(field("rewards"), "\"sum\"", allowed));
    }
    if let Some(worth) = goal.worth
        && (!conversion || goal.currency.is_none() || !(worth > 0.0 && worth <= VALUE_MAX as f64))
    {
        let allowed = format!("a number above 0 up to {VALUE_MAX}, for goals of kind conversion with a currency");
        return Err(FieldError::new(field("worth"), worth, allowed));
    }
    match goal.typical_delay {
        Some(typical) if typical < Span::SECOND || typical >= goal.window => Err(FieldError::new(
            field("typical_delay"),
            typical,
            format!("from 1s to below the window, {}", goal.window),
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_costs(definition: &Definition) -> Result<(), FieldError> {
    for (index, variation) in definition.variations.iter().enumerate() {
        for (name, cost) in [("cost", variation.cost), ("cost_per_conversion", variation.cost_per_conversion)] {
            if !(0.0..=VALUE_MAX as f64).contains(&cost) {
                let allowed = format!("a number from 0 to {VALUE_MAX}, in minor units");
                return Err(FieldError::new(format!("variations[{index}].{name}"), cost, allowed));
            }
        }
    }
    let (index, primary) = primary(definition);
    match (definition.policy.objective, primary.kind) {
        (Objective::Margin, GoalKind::Count) => {
            Err(FieldError::new("policy.objective", "\"margin\"", "\"goal\": a count is worth no money"))
        }
        (Objective::Margin, GoalKind::Conversion) if primary.worth.is_none() => {
            let allowed = "what a conversion is worth in minor units, so that costs can be set against it";
            Err(FieldError::new(format!("goals[{index}].worth"), "nothing", allowed))
        }
        (Objective::Margin | Objective::Goal, _) => Ok(()),
    }
}

fn check_budget(definition: &Definition) -> Result<(), FieldError> {
    let Some(budget) = definition.budget else { return Ok(()) };
    if !(budget.amount > 0.0 && budget.amount <= VALUE_MAX as f64 * 1e6) {
        return Err(FieldError::new("budget.amount", budget.amount, "a number above 0, in minor units, up to 10^18"));
    }
    if budget.visitors == 0 {
        return Err(FieldError::new("budget.visitors", 0, "a whole number from 1"));
    }
    if definition.policy.objective != Objective::Margin || !definition.costs() {
        let allowed = "nothing: only an experiment with a cost, and with the objective \"margin\", has a budget";
        return Err(FieldError::new("budget", "a budget", allowed));
    }
    if definition.variations[0].costs() {
        let allowed = "0 for the default where there is a budget: it is shown once that is spent";
        return Err(FieldError::new("variations[0].cost", definition.variations[0].cost, allowed));
    }
    Ok(())
}

fn check_stopping(stopping: &StoppingRule) -> Result<(), FieldError> {
    let share = |name: &str, number: f64, least: f64, most: f64| match number > least && number < most {
        true => Ok(()),
        false => {
            Err(FieldError::new(format!("stopping.{name}"), number, format!("a number between {least} and {most}")))
        }
    };
    share("value_remaining", stopping.value_remaining, 0.0, 1.0)?;
    share("probability", stopping.probability, 0.5, 1.0)?;
    share("equivalence", stopping.equivalence, 0.0, 1.0)?;
    if stopping.span_min > LONGEST_WINDOW {
        return Err(FieldError::new("stopping.span_min", stopping.span_min, "at most 365d"));
    }
    Ok(())
}

/// The primary goal and its place. Looked at only after [`check_goals`].
fn primary(definition: &Definition) -> (usize, &Goal) {
    let mut goals = definition.goals.iter().enumerate();
    goals.find(|(_, goal)| goal.role == Role::Primary).expect("goals were checked: one is primary")
}

/// Whether a segment's tallies stay small enough to be saved: every bucket counts every variation and goal there ever was.
pub(crate) fn check_size(definition: &Definition, slots: &Slots) -> Result<(), FieldError> {
    let longest = definition.goals.iter().map(|goal| goal.window).max().unwrap_or_default();
    let fine = (longest.as_millis() + Span::DAY.as_millis()) / definition.bucket.as_millis().max(1);
    let counts = (slots.variations.len() * (1 + slots.goals.len())) as u64;
    let bytes = (fine + DAY_BUCKETS) * (32 + 8 * counts);
    if bytes <= MAX_SEGMENT_BYTES {
        return Ok(());
    }
    Err(FieldError::new(
        "bucket",
        format!("{}, with windows up to {longest} and {counts} counts a bucket,", definition.bucket),
        format!(
            "longer buckets, shorter windows, or fewer variations and goals: a segment could take {bytes} bytes, at most {MAX_SEGMENT_BYTES} are kept"
        ),
    ))
}
