//! What a report says in sentences: whether it is finished, how much segments borrow, what is spent, what is still open.

use serde_json::Value;

use crate::cli::experiment::report::grouped;

/// One line each, of what there is to say; a blank line before them.
pub(super) fn of(report: &Value) -> String {
    let totals = &report["totals"];
    let sentences = [
        report["stopping"]["sentence"].as_str().map(str::to_owned),
        report["borrowing"]["words"].as_str().map(str::to_owned),
        report["delays"]["words"].as_str().map(str::to_owned),
        spending(&report["spending"]),
        open(&totals["open_exposures"]),
        effective(totals),
    ];
    let lines: Vec<String> = sentences.into_iter().flatten().collect();
    if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) }
}

fn spending(spending: &Value) -> Option<String> {
    let spent = whole(spending["spent"].as_f64()?);
    let unit = format!("minor units of {}", spending["currency"].as_str().unwrap_or("money"));
    let budget = &spending["budget"];
    let Some(amount) = budget["amount"].as_f64() else { return Some(format!("{spent} {unit} spent.")) };
    let amount = whole(amount);
    if budget["exhausted"] == true {
        return Some(format!("{spent} of {amount} {unit} spent: the budget has no room for another cost."));
    }
    let price = 1.0 + budget["price"].as_f64().unwrap_or_default();
    Some(format!("{spent} of {amount} {unit} spent; so that it lasts, each unit counts {price:.2} times."))
}

fn open(exposures: &Value) -> Option<String> {
    let open = exposures.as_u64().filter(|open| *open > 0)?;
    Some(format!("{} exposures can still convert for the primary goal: means are low until then.", grouped(open)))
}

fn effective(totals: &Value) -> Option<String> {
    let effective = totals["effective_exposures"].as_f64()?;
    let because = match totals["half_life"].as_str() {
        Some(half_life) => format!("what is {half_life} old counts half, and what may still convert for a part"),
        None => "what may still convert counts for a part".to_owned(),
    };
    Some(format!("The policy decides by as much as {effective:.1} exposures count: {because}."))
}

/// Minor units without a fraction, thousands apart.
fn whole(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an amount up to 10^18, not negative")]
    let units = number.max(0.0).round() as u64;
    grouped(units)
}
