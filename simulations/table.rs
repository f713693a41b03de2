//! Results as tables for people: aligned on a terminal, in Markdown for documents.

use crate::simulations::headlines::HeadlinesResult;
use crate::simulations::result::ScenarioResult;
use crate::simulations::sample_ratio::SampleRatio;

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

/// Of a scenario with a stated world.
pub(crate) fn scenario(result: &ScenarioResult) -> Table {
    let title = format!(
        "{}: {} visitors, {} runs, seed {}. Conversions per run: best variation of each segment {}, best one for all {}",
        result.scenario,
        grouped(result.visitors as f64),
        result.runs,
        result.seed,
        grouped(result.oracle),
        grouped(result.best_single),
    );
    let segmented = result.strategies.iter().any(|row| row.gain_captured_mean.is_some());
    let mut header = vec!["strategy".to_owned(), "conversions ± se".to_owned()];
    if segmented {
        header.push("gain captured ± se [95 %]".to_owned());
    }
    header.push("regret ± se".to_owned());
    header.push("regret 50 / 90 / 99 %".to_owned());
    header.push(format!("against {} [95 %]", result.reference));
    let mut rows = vec![header];
    for row in &result.strategies {
        let mut cells = vec![row.name.clone(), with_se(row.reward_mean, row.reward_se, grouped)];
        if segmented {
            cells.push(match row.gain_captured_mean {
                Some(mean) => with_interval(mean, row.gain_captured_se, row.gain_captured_interval, percent),
                None => "".to_owned(),
            });
        }
        cells.push(with_se(row.regret_mean, row.regret_se, short));
        let quantiles = row.regret_quantiles;
        let quantiles = [quantiles.half, quantiles.nine_tenths, quantiles.nearly_all].map(short);
        cells.push(quantiles.join(" / "));
        cells.push(match &row.paired {
            Some(paired) => {
                let interval =
                    paired.difference_interval.map(|[low, high]| format!(" [{}, {}]", signed(low), signed(high)));
                format!("{}{}", signed(paired.difference_mean), interval.unwrap_or_default())
            }
            None => "-".to_owned(),
        });
        rows.push(cells);
    }
    let mut remarks = vec![sample_ratio(result.sample_ratio)];
    if segmented {
        remarks.push(
            "gain captured: 0 % is the best one variation for all, 100 % is the best of each segment; regret: conversions \
             lost against the latter"
                .to_owned(),
        );
    }
    Table { title, rows, remarks }
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
