//! A report as tables for people.

mod remarks;

use serde_json::Value;

use crate::cli::exit::Failure;

/// The whole report; a segment each, all together first where there are several. Goals in the definition's order, the primary
/// one first, since "best" is about it.
///
/// # Errors
/// If the answers are not a report and its experiment.
pub(crate) fn table(report: &Value, experiment: &Value) -> Result<String, Failure> {
    let segments = report["segments"].as_array().ok_or_else(|| Failure::new("the answer is not a report"))?;
    let goals = goals(experiment);
    let rewards = &report["rewards"];
    let mut out = format!(
        "{}  {}  definition {}  {}\n{} exposures, {} of the control group; rewards: {} recorded{}, {} repeated, {} late, {} refused{}\n\n",
        text(&report["experiment"]),
        text(&report["status"]),
        report["definition"],
        text(&report["generated_at"]),
        count(&report["totals"]["exposures"]),
        count(&report["control"]["exposures"]),
        count(&rewards["recorded"]),
        match rewards["capped"].as_u64() {
            None | Some(0) => String::new(),
            Some(capped) => format!(" ({} learned as the cap)", grouped(capped)),
        },
        count(&rewards["repeated"]),
        count(&rewards["late"]),
        count(&rewards["refused"]),
        corrections(rewards),
    );
    let mut rows = Vec::new();
    if segments.len() != 1 {
        section("all segments", &without_verdict(&report["totals"]), &Value::Null, &goals, &mut rows);
    }
    for segment in segments {
        section(&text(&segment["segment"]), segment, &segment["allocation"], &goals, &mut rows);
    }
    out.push_str(&aligned(&rows));
    out.push_str(&remarks::of(report));
    out.push_str(&against_control(&report["control"], &goals));
    if segments.len() > 1 {
        out.push_str("\nall segments: each variation met other visitors there; compare variations within a segment");
    }
    let about = if report["objective"] == "margin" { "by its margin" } else { "for the primary goal" };
    let share = match report["allocation_of"].as_str() {
        Some("unknown_visitor") => "its part of new decisions for a visitor of whom nothing is known",
        _ => "its part of new decisions",
    };
    out.push_str(&format!("\nbest: the model's probability that a variation is the best {about}; share: {share}"));
    Ok(out)
}

/// How many rewards were amended and retracted, where some were.
fn corrections(rewards: &Value) -> String {
    let counted = ["amended", "retracted"].map(|what| (what, rewards[what].as_u64().unwrap_or_default()));
    let said = counted.into_iter().filter(|(_, count)| *count > 0);
    said.map(|(what, count)| format!(", {} {what}", grouped(count))).collect()
}

/// A policy shows each variation most where it does well, so that sums over segments compare different visitors (Simpson's
/// paradox): they say how much was counted, never which variation is the best.
fn without_verdict(totals: &Value) -> Value {
    let mut totals = totals.clone();
    for variation in totals["variations"].as_array_mut().into_iter().flatten() {
        variation["best_probability"] = Value::Null;
    }
    totals
}

/// Keys of the goals, the primary one first.
fn goals(experiment: &Value) -> Vec<String> {
    let goals = items(&experiment["settings"]["goals"]);
    let (primary, others): (Vec<&Value>, Vec<&Value>) = goals.iter().partition(|goal| goal["role"] == "primary");
    primary.into_iter().chain(others).map(|goal| text(&goal["key"])).collect()
}

fn section(name: &str, cell: &Value, allocation: &Value, goals: &[String], rows: &mut Vec<[String; 8]>) {
    if !rows.is_empty() {
        rows.push(Default::default());
    }
    let titles = [name, "goal", "exposures", "conversions", "mean", "95 % interval", "best", "share"];
    rows.push(titles.map(str::to_owned));
    for variation in items(&cell["variations"]) {
        let key = text(&variation["variation"]);
        for (index, goal) in goals.iter().enumerate() {
            let counted = &variation["goals"][goal];
            // What is said of the variation as a whole stands once.
            let once = |text: String| if index == 0 { text } else { String::new() };
            let removed = if variation["removed"] == true { " (removed)" } else { "" };
            rows.push([
                once(format!("  {key}{removed}")),
                match counted["currency"].as_str() {
                    Some(currency) => format!("{goal}, minor units of {currency}"),
                    None => goal.clone(),
                },
                once(count(&variation["exposures"])),
                count(&counted["conversions"]),
                amount(&counted["mean"], counted),
                amounts(&counted["interval"], counted),
                once(percent(&variation["best_probability"])),
                once(percent(&allocation[&key])),
            ]);
            rows.extend(details(variation, counted, index == 0));
        }
    }
}

/// Below a goal: what a marketer asks next. Why revenue is what it is, what other segments add, what costs leave.
fn details(variation: &Value, counted: &Value, primary: bool) -> Vec<[String; 8]> {
    let line = |name: &str, mean: String, interval: String| {
        let mut row: [String; 8] = Default::default();
        (row[1], row[4], row[5]) = (name.to_owned(), mean, interval);
        row
    };
    let estimate = |name: &str, found: &Value, unit: &Value| {
        found.is_object().then(|| line(name, amount(&found["mean"], unit), amounts(&found["interval"], unit)))
    };
    let rate = Value::Null;
    let margin = if primary { &variation["margin"] } else { &rate };
    let money = serde_json::json!({"sum": 0, "currency": counted["currency"]});
    let lines = [
        estimate("who buy", &counted["conversion_rate"], &rate),
        estimate("an order", &counted["order_value"], counted),
        estimate("with others", &counted["shrunken"], counted),
        estimate("margin", margin, &money),
    ];
    lines.into_iter().flatten().collect()
}

/// A mean in the goal's unit: a share, minor units of a currency, or a count. Goals whose rewards have values have a `sum`.
fn amount(mean: &Value, goal: &Value) -> String {
    if goal.get("sum").is_none() {
        return percent(mean);
    }
    let Some(mean) = mean.as_f64() else { return dash() };
    if goal["currency"].is_string() { format!("{mean:.1}") } else { format!("{mean:.3}") }
}

fn amounts(interval: &Value, goal: &Value) -> String {
    match items(interval) {
        [low, high] => {
            let low = amount(low, goal);
            format!("{} to {}", low.split(' ').next().unwrap_or_default(), amount(high, goal))
        }
        _ => dash(),
    }
}

fn against_control(control: &Value, goals: &[String]) -> String {
    if control["exposures"].as_u64().unwrap_or_default() == 0 {
        return "\nno control group (control = 0.05 in the definition gives 5 % of the visitors the default for good)\n"
            .to_owned();
    }
    let titles =
        ["control against the rest", "conversions", "control", "rest", "difference", "95 % interval", "relative"];
    let mut rows = vec![titles.map(str::to_owned)];
    for goal in goals {
        let lift = &control["goals"][goal];
        rows.push([
            format!("  {goal}"),
            count(&lift["conversions"]),
            percent(&lift["control_rate"]),
            percent(&lift["treated_rate"]),
            points(&lift["difference"]),
            interval(&lift["difference_interval"], points),
            lift["relative_lift"].as_f64().map_or_else(dash, |relative| format!("{:+.1} %", 100.0 * relative)),
        ]);
    }
    format!("\n{}", aligned(&rows))
}

/// The first column to the left, the others to the right, as numbers are read.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = format!("{:1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A whole number with its thousands apart.
fn count(value: &Value) -> String {
    value.as_u64().map_or_else(dash, grouped)
}

/// `12345` as `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(dash, |share| format!("{:.2} %", 100.0 * share))
}

fn points(value: &Value) -> String {
    value.as_f64().map_or_else(dash, |share| format!("{:+.2} points", 100.0 * share))
}

fn interval(value: &Value, show: fn(&Value) -> String) -> String {
    match items(value) {
        [low, high] => {
            let unit = |text: String| text.split(' ').next().map(str::to_owned).unwrap_or_default();
            format!("{} to {}", unit(show(low)), show(high))
        }
        _ => dash(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    //! Columns stand under each other, and what is absent is a dash.

    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_reads_well() {
        let goals = json!({"purchase": {"conversions": 1234, "mean": 0.1, "interval": [0.09, 0.11]}});
        let variations = json!([
            {"variation": "plain", "removed": false, "exposures": 12_340, "goals": goals, "best_probability": 0.75},
            {"variation": "old", "removed": true, "exposures": 5, "goals": goals, "best_probability": null}]);
        let lift = json!({"conversions": 5, "control_rate": 0.1, "treated_rate": 0.12, "difference": 0.02,
            "difference_interval": [-0.01, 0.05], "relative_lift": 0.2});
        let control = json!({"exposures": 50, "goals": {"purchase": lift}});
        let cell = json!({"segment": "all", "exposures": 12_345, "variations": variations,
            "allocation": {"plain": 0.9}, "control": control});
        let report = json!({"experiment": "hero", "status": "running", "definition": 2, "totals": cell,
            "generated_at": "2026-10-01T00:00:00Z", "segments": [cell], "control": control,
            "rewards": {"recorded": 1239, "repeated": 0, "late": 0, "refused": 0, "amended": 1002}});
        let experiment = json!({"settings": {"goals": [{"key": "purchase", "role": "primary"}]}});
        let shown = table(&report, &experiment).expect("a report");
        for part in [
            "12,345 exposures, 50 of",
            "0 refused, 1,002 amended\n",
            "9.00 to 11.00 %",
            "75.00 %",
            "90.00 %",
            "old (removed)",
            "+2.00 points",
            "-1.00 to +5.00 points",
            "+20.0 %",
        ] {
            assert!(shown.contains(part), "{part} is missing in:\n{shown}");
        }
        assert!(table(&json!({}), &experiment).is_err());
    }

    #[test]
    fn sums_over_segments_name_no_best() {
        let variation = json!({"variation": "plain", "exposures": 3, "goals": {}, "best_probability": 0.99});
        let cell = json!({"segment": "device=mobile", "variations": [variation]});
        let report = json!({"totals": cell, "segments": [cell, cell]});
        let experiment = json!({"settings": {"goals": [{"key": "purchase", "role": "primary"}]}});
        let shown = table(&report, &experiment).expect("a report");
        assert_eq!(shown.matches("99.00 %").count(), 2, "{shown}");
        assert!(shown.contains("compare variations within a segment"), "{shown}");
    }

    #[test]
    fn the_primary_goal_comes_first() {
        let goal = |key: &str, role: &str| json!({"key": key, "role": role});
        let experiment = json!({"settings": {"goals": [goal("cart", "secondary"), goal("purchase", "primary")]}});
        assert_eq!(goals(&experiment), ["purchase", "cart"]);
    }

    #[test]
    fn values_have_their_unit_and_what_is_behind_them() {
        let found = |mean: f64| json!({"mean": mean, "interval": [0.5 * mean, 2.0 * mean]});
        let order = json!({"conversions": 30, "sum": 60_000, "currency": "EUR", "mean": 400.0, "interval": [300.0, 500.0],
            "conversion_rate": found(0.2), "order_value": found(2_000.0), "shrunken": found(380.0)});
        let pages = json!({"conversions": 50, "sum": 150, "mean": 1.5, "interval": [1.25, 1.75]});
        let variation = json!({"variation": "plain", "exposures": 150, "goals": {"order": order, "pages": pages},
            "best_probability": null, "margin": found(350.0)});
        let cell = json!({"segment": "all", "exposures": 150, "variations": [variation], "open_exposures": 20,
            "effective_exposures": 99.5, "half_life": "7d"});
        let report = json!({"totals": cell, "segments": [cell], "objective": "margin", "allocation_of": "unknown_visitor",
            "rewards": {"recorded": 80, "capped": 3}, "borrowing": {"words": "Segments agree closely."},
            "delays": {"words": "Rewards take about as long."},
            "spending": {"spent": 1200.0, "budget": {"amount": 2000.0, "price": 0.25, "exhausted": false}},
            "stopping": {"sentence": "Not finished: it has to run 7 more days."}});
        let goal = |key: &str, role: &str| json!({"key": key, "role": role});
        let experiment = json!({"settings": {"goals": [goal("order", "primary"), goal("pages", "secondary")]}});
        let shown = table(&report, &experiment).expect("a report");
        for part in [
            "80 recorded (3 learned as the cap)",
            "order, minor units of EUR",
            "300.0 to 500.0",
            "20.00 %  10.00 to 40.00 %",
            "1000.0 to 4000.0",
            "190.0 to 760.0",
            "175.0 to 700.0",
            "1.250 to 1.750",
            "20 exposures can still convert",
            "99.5 exposures count",
            "7d",
            "Segments agree closely.",
            "Rewards take about as long.",
            "1,200 of 2,000",
            "counts 1.25 times",
            "Not finished: it has to run 7 more days.",
            "best by its margin",
            "of whom nothing is known",
        ] {
            assert!(shown.contains(part), "{part} is missing in:\n{shown}");
        }
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
