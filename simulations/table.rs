//! Results as tables for people: aligned on a terminal, in Markdown for documents.

use crate::simulations::headlines::HeadlinesResult;
use crate::simulations::result::{ScenarioResult, StrategyResult};
use crate::simulations::sample_ratio::SampleRatio;
use crate::simulations::stopping::StoppingResult;

/// A heading, rows under it, and remarks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    title: String,
    /// The first is that of the columns.
    rows: Vec<Vec<String>>,
    remarks: Vec<String>,
}

impl Table {
    /// For a terminal: columns aligned, the first to the left.
    pub(crate) fn aligned(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = format!("{}\n", self.title);
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") }
            });
            text.push_str(cells.collect::<String>().trim_end());
            text.push('\n');
        }
        for remark in &self.remarks {
            text.push_str(&format!("  {remark}\n"));
        }
        text
    }

    /// For a document.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
            }
        }
        for remark in &self.remarks {
            text.push_str(&format!("\n{remark}\n"));
        }
        text
    }
}

/// One column: what it shows of a strategy.
type Show = Box<dyn Fn(&StrategyResult) -> String>;

/// Of a scenario with a world.
pub(crate) fn scenario(result: &ScenarioResult) -> Table {
    let title = format!(
        "{}: {} visitors, {} runs, seed {}. {} per run: what is best for each {}, best one for all {}",
        result.scenario,
        grouped(result.visitors as f64),
        result.runs,
        result.seed,
        capital(result.unit),
        grouped(result.oracle),
        grouped(result.best_single),
    );
    let segmented = result.strategies.iter().any(|row| row.gain_captured_mean.is_some());
    let spends = result.strategies.iter().any(|row| row.spend_per_visitor_mean.is_some());
    let answers = result.unit == "right answers";
    let mut columns: Vec<(String, Show)> = vec![
        ("strategy".to_owned(), Box::new(|row| row.name.clone())),
        (format!("{} ± se", result.unit), Box::new(|row| with_se(row.reward_mean, row.reward_se, grouped))),
    ];
    if result.unit != "conversions" {
        let show: Show = Box::new(|row| fine(Some(row.reward_per_visitor_mean), row.reward_per_visitor_se));
        columns.push(("per visitor ± se".to_owned(), show));
    }
    if answers {
        let show: Show = Box::new(|row| fine(Some(row.last_quarter_mean), row.last_quarter_se));
        columns.push(("last quarter ± se".to_owned(), show));
    }
    if spends {
        let show: Show = Box::new(|row| fine(row.spend_per_visitor_mean, row.spend_per_visitor_se));
        columns.push(("spent per visitor ± se".to_owned(), show));
    }
    if segmented && !answers {
        let all: Show = Box::new(|row| match row.gain_captured_mean {
            Some(mean) => with_interval(mean, row.gain_captured_se, row.gain_captured_interval, percent),
            None => String::new(),
        });
        let last: Show = Box::new(|row| match (row.gain_captured_last_tenth_mean, row.gain_captured_last_tenth_se) {
            (Some(mean), Some(se)) => format!("{} ± {:.1}", percent(mean), 100.0 * se),
            (Some(mean), None) => percent(mean),
            (None, _) => String::new(),
        });
        columns.push(("gain captured ± se [95 %]".to_owned(), all));
        columns.push(("in the last tenth ± se".to_owned(), last));
    }
    columns.push(("regret ± se".to_owned(), Box::new(|row| with_se(row.regret_mean, row.regret_se, short))));
    let percents: Show = Box::new(|row| points(row.regret_percent_mean, row.regret_percent_se));
    columns.push(("regret, % ± se".to_owned(), percents));
    let quantiles: Show = Box::new(|row| {
        let quantiles = row.regret_quantiles;
        [quantiles.half, quantiles.nine_tenths, quantiles.nearly_all].map(short).join(" / ")
    });
    columns.push(("regret 50 / 90 / 99 %".to_owned(), quantiles));
    columns.push((format!("against {} [95 %]", result.reference), Box::new(paired)));
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|(heading, _)| heading.clone()).collect()];
    rows.extend(result.strategies.iter().map(|row| columns.iter().map(|(_, show)| show(row)).collect()));
    let mut remarks = vec![sample_ratio(result.sample_ratio)];
    if segmented && !answers {
        remarks.push(format!(
            "gain captured: 0 % is the best one variation for all, 100 % is what is best for each; regret: {} lost \
             against the latter",
            result.unit
        ));
    }
    Table { title, rows, remarks }
}

fn paired(row: &StrategyResult) -> String {
    let Some(paired) = &row.paired else { return "-".to_owned() };
    let interval = paired.difference_interval.map(|[low, high]| format!(" [{}, {}]", signed(low), signed(high)));
    format!("{}{}", signed(paired.difference_mean), interval.unwrap_or_default())
}

/// Of a file with cells: regret in per cent of the oracle's reward, a row for each cell, a column for each strategy.
pub(crate) fn grid(name: &str, about: &str, results: &[ScenarioResult]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for row in results.iter().flat_map(|result| &result.strategies) {
        // The oracle loses nothing by definition.
        if row.policy != "oracle" && !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let mut header = vec!["cell".to_owned(), "visitors × runs".to_owned()];
    header.extend(names.iter().map(|name| (*name).to_owned()));
    let mut rows = vec![header];
    for result in results {
        let cell = result.scenario.strip_prefix(name).map_or(&*result.scenario, |cell| cell.trim_start_matches('/'));
        let mut row = vec![cell.to_owned(), format!("{} × {}", grouped(result.visitors as f64), result.runs)];
        row.extend(names.iter().map(|name| {
            let known = result.strategies.iter().find(|row| row.name == **name);
            known.map_or(String::new(), grid_cell)
        }));
        rows.push(row);
    }
    let worst = results.iter().map(|result| result.sample_ratio).fold(SampleRatio::default(), SampleRatio::worst);
    let references: Vec<&str> = results.iter().map(|result| result.reference.as_str()).collect();
    let reference = if references.windows(2).all(|pair| pair[0] == pair[1]) { references[0] } else { "its reference" };
    let remarks = vec![
        format!(
            "regret in % of what is best for each ± se (in brackets: points more than {reference} in the same runs ± se)"
        ),
        sample_ratio(worst),
    ];
    Table { title: format!("{name}: {about}"), rows, remarks }
}

fn grid_cell(row: &StrategyResult) -> String {
    let regret = points(row.regret_percent_mean, row.regret_percent_se);
    let Some(paired) = &row.paired else { return regret };
    let se = paired.regret_percent_se.map_or(String::new(), |se| format!(" ± {se:.2}"));
    format!("{regret} ({:+.2}{se})", paired.regret_percent_mean)
}

/// Of scenarios that ask stopping rules: a row for each cell, strategy and rule.
pub(crate) fn stopping(name: &str, about: &str, results: &[StoppingResult]) -> Table {
    let header = [
        "cell",
        "runs",
        "strategy",
        "rule",
        "median visitors",
        "loses more than it says ± se",
        "true loss ± se",
        "no practical difference",
        "not finished",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for result in results {
        let cell = result.scenario.rsplit('/').next().unwrap_or_default();
        rows.extend(result.rows.iter().map(|row| {
            let share = |mean: f64, se: Option<f64>| points(100.0 * mean, se.map(|se| 100.0 * se)) + " %";
            vec![
                cell.to_owned(),
                result.runs.to_string(),
                row.strategy.clone(),
                row.rule.clone(),
                grouped(row.visitors_median),
                share(row.exceeded, row.exceeded_se),
                share(row.loss_mean, row.loss_se),
                percent(row.alike),
                percent(row.unfinished),
            ]
        }));
    }
    let worst = results.iter().map(|result| result.sample_ratio).fold(SampleRatio::default(), SampleRatio::worst);
    let looks = results.first().map_or_else(String::new, |result| {
        let (every, visitors) = (grouped(result.every as f64), grouped(result.visitors as f64));
        format!("asked every {every} visitors; not finished: by {visitors}. ")
    });
    let remarks = vec![
        format!(
            "{looks}Shares are of runs; the true loss is what the best variation has more than the one that is kept, in % of \
             the latter: the best so far, or the default where there is no practical difference"
        ),
        sample_ratio(worst),
    ];
    Table { title: format!("{name}: {about}"), rows, remarks }
}

/// Of recorded headline tests.
pub(crate) fn headlines(result: &HeadlinesResult) -> Table {
    let title = format!(
        "{}: {} headline tests, {} viewers each, {} plays of each, seed {}. Best headline of each test {} clicks per 1,000, \
         all alike {}",
        result.scenario,
        grouped(result.tests as f64),
        grouped(result.visitors as f64),
        result.runs,
        result.seed,
        per_thousand(result.best_rate),
        per_thousand(result.uniform_rate),
    );
    let header = ["strategy", "clicks per 1,000", "gap closed per test ± se [95 %]", "gap closed overall ± se [95 %]"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for row in &result.strategies {
        rows.push(vec![
            row.name.clone(),
            per_thousand(row.click_rate),
            with_interval(
                row.gap_closed_per_test_mean,
                row.gap_closed_per_test_se,
                row.gap_closed_per_test_interval,
                percent,
            ),
            with_interval(row.gap_closed_mean, row.gap_closed_se, row.gap_closed_interval, percent),
        ]);
    }
    let read = &result.read;
    let remarks = vec![
        format!(
            "{} rows read, {} refused; {} tests with fewer than two usable headlines left out",
            grouped(read.rows as f64),
            grouped(read.rows_refused as f64),
            grouped(read.tests_left_out as f64)
        ),
        "gap: from all headlines alike to the best of the test; per test, the mean over the tests that have one"
            .to_owned(),
        sample_ratio(result.sample_ratio),
    ];
    Table { title, rows, remarks }
}

fn sample_ratio(check: SampleRatio) -> String {
    format!(
        "sample-ratio check: largest |z| {:.2} of {} cells, bound {:.2}: {}",
        check.z_max,
        grouped(check.cells as f64),
        check.bound(),
        if check.passes() {
            "propensities are what was drawn from"
        } else {
            "PROPENSITIES ARE NOT WHAT WAS DRAWN FROM"
        }
    )
}

fn with_se(mean: f64, se: Option<f64>, show: fn(f64) -> String) -> String {
    match se {
        Some(se) => format!("{} ± {}", show(mean), short(se)),
        None => show(mean),
    }
}

fn with_interval(mean: f64, se: Option<f64>, interval: Option<[f64; 2]>, show: fn(f64) -> String) -> String {
    match (se, interval) {
        (Some(se), Some([low, high])) => format!("{} ± {:.1} [{}, {}]", show(mean), 100.0 * se, show(low), show(high)),
        (None | Some(_), _) => show(mean),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Per cent or points, two decimals.
fn points(mean: f64, se: Option<f64>) -> String {
    match se {
        Some(se) => format!("{mean:.2} ± {se:.2}"),
        None => format!("{mean:.2}"),
    }
}

/// A number per visitor, four decimals; nothing if there is none.
fn fine(mean: Option<f64>, se: Option<f64>) -> String {
    match (mean, se) {
        (None, _) => String::new(),
        (Some(mean), Some(se)) => format!("{mean:.4} ± {se:.4}"),
        (Some(mean), None) => format!("{mean:.4}"),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn per_thousand(rate: f64) -> String {
    format!("{:.2}", 1_000.0 * rate)
}

/// Whole above 1,000, else one decimal.
fn short(number: f64) -> String {
    if number.abs() >= 1_000.0 { grouped(number) } else { format!("{number:.1}") }
}

fn signed(number: f64) -> String {
    // What shows as nothing has no sign.
    if number.abs() < 0.05 {
        "0.0".to_owned()
    } else if number > 0.0 {
        format!("+{}", short(number))
    } else {
        short(number)
    }
}

/// Rounded to a whole number, with commas: 200,000.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    //! Alignment and numbers.

    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0.4, -0.4, 999.0, 1_000.0, 1_234_567.8, -12_345.0].map(grouped);
        assert_eq!(shown, ["0", "0", "999", "1,000", "1,234,568", "-12,345"]);
    }

    #[test]
    fn columns_are_aligned_and_markdown_has_a_rule() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let table =
            Table { title: "t".into(), rows: vec![row("x", "n"), row("long", "10")], remarks: vec!["r".into()] };
        assert_eq!(table.aligned(), "t\n  x      n\n  long  10\n  r\n");
        assert_eq!(table.markdown(), "t\n\n| x | n |\n| --- | --- |\n| long | 10 |\n\nr\n");
    }
}
