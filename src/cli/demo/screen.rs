//! What the demo shows: a picture redrawn in place on a terminal, else a line a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::demo::world::{self, GOAL, SEGMENTS, Shown, VARIATIONS, expected};
use crate::cli::experiment::grouped;

/// What a report says, in the world's terms.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) shown: Shown,
    pub(crate) conversions: Shown,
    pub(crate) shares: [[f64; 3]; 3],
}

impl Snapshot {
    pub(crate) fn of(report: &Value) -> Self {
        let mut snapshot = Self::default();
        for (segment, name) in SEGMENTS.iter().enumerate() {
            let key = format!("device={name}");
            let Some(cell) = report["segments"].as_array().into_iter().flatten().find(|cell| cell["segment"] == *key)
            else {
                continue;
            };
            for (variation, key) in VARIATIONS.iter().enumerate() {
                let counted = cell["variations"].as_array().into_iter().flatten().find(|v| v["variation"] == *key);
                let counted = counted.unwrap_or(&Value::Null);
                snapshot.shown[segment][variation] = counted["exposures"].as_u64().unwrap_or_default();
                snapshot.conversions[segment][variation] =
                    counted["goals"][GOAL]["conversions"].as_u64().unwrap_or_default();
                snapshot.shares[segment][variation] = cell["allocation"][*key].as_f64().unwrap_or_default();
            }
        }
        snapshot
    }

    pub(crate) fn exposures(&self) -> u64 {
        self.shown.iter().flatten().sum()
    }

    fn orders(&self) -> u64 {
        self.conversions.iter().flatten().sum()
    }
}

/// Time between two pictures.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// Cells of a full bar.
const BAR: usize = 20;
/// Columns of the picture of the past.
const HISTORY: usize = 60;

/// Draws.
pub(crate) struct Screen {
    live: bool,
    colours: bool,
    title: String,
    goal: u64,
    started: Instant,
    found: u64,
    last_line: Option<Instant>,
    drawn_lines: usize,
    /// Share of each segment's truly best variation, as it was each time something was drawn.
    history: Vec<[f64; 3]>,
}

impl Screen {
    /// Draws `goal` visitors beyond the `found` ones.
    #[expect(clippy::disallowed_methods, reason = "a speed shown to a person; no event's time comes from it")]
    pub(crate) fn new(title: String, goal: u64, found: u64) -> Self {
        let live = std::io::stdout().is_terminal();
        let colours = live && std::env::var_os("NO_COLOR").is_none();
        let started = Instant::now();
        Self { live, colours, title, goal, started, found, last_line: None, drawn_lines: 0, history: Vec::new() }
    }

    /// Shows where things stand; `last` always shows.
    ///
    /// # Errors
    /// If stdout is gone.
    #[expect(clippy::disallowed_methods, reason = "a speed shown to a person; no event's time comes from it")]
    pub(crate) fn show(&mut self, now: &Snapshot, last: bool) -> std::io::Result<()> {
        if now.exposures() > 0 {
            self.history.push(std::array::from_fn(|segment| now.shares[segment][world::best(segment)]));
        }
        let mut out = std::io::stdout().lock();
        if self.live {
            let picture = self.picture(now);
            // Up to where the last picture began, then each line over the old one.
            if self.drawn_lines > 0 {
                write!(out, "\x1b[{}A", self.drawn_lines)?;
            }
            // A line that wrapped in a narrow terminal would be counted wrongly: it is cut instead.
            write!(out, "\x1b[?7l")?;
            for line in &picture {
                writeln!(out, "\r{line}\x1b[K")?;
            }
            write!(out, "\x1b[?7h")?;
            self.drawn_lines = picture.len();
        } else if last || self.last_line.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.last_line = Some(Instant::now());
            writeln!(out, "{}", self.line(now))?;
            if last {
                for line in self.earnings(now) {
                    writeln!(out, "{line}")?;
                }
            }
        }
        out.flush()
    }

    /// At most 80 columns and, with the cursor's, 24 lines: what the plainest terminal has.
    fn picture(&self, now: &Snapshot) -> Vec<String> {
        let mut lines = vec![self.bold(&self.title), self.progress(now), String::new()];
        lines.push(self.dim(&format!(
            "{:8}{:14}{:BAR$} {:>6} {:>8} {:>7} {:>5}",
            "device", "variation", "share of decisions", "now", "shown", "orders", "truly"
        )));
        for (segment, name) in SEGMENTS.iter().enumerate() {
            for (variation, key) in VARIATIONS.iter().enumerate() {
                let best = variation == world::best(segment);
                let share = now.shares[segment][variation];
                let row = format!(
                    "{:8}{key:14}{} {:>4.0} % {:>8} {:>7} {:>3.0} %{}",
                    if variation == 0 { name } else { "" },
                    bar(share, BAR),
                    100.0 * share,
                    grouped(now.shown[segment][variation]),
                    grouped(now.conversions[segment][variation]),
                    100.0 * world::rate(segment, variation),
                    if best { " best" } else { "" },
                );
                lines.push(if best { self.green(&row) } else { row });
            }
        }
        lines.push(self.dim("how the share of each device's truly best variation moved"));
        for (segment, name) in SEGMENTS.iter().enumerate() {
            let past: Vec<f64> = self.history.iter().map(|shares| shares[segment]).collect();
            lines.push(format!("{name:8}{}", spark(&past, HISTORY)));
        }
        lines.push(String::new());
        lines.extend(self.earnings(now));
        lines
    }

    fn progress(&self, now: &Snapshot) -> String {
        format!(
            "{} visitors, {} to come, {} orders ({:.2} %), {} a second",
            grouped(now.exposures()),
            grouped((self.found + self.goal).saturating_sub(now.exposures())),
            grouped(now.orders()),
            100.0 * ratio(now.orders(), now.exposures()),
            grouped(self.speed(now)),
        )
    }

    fn line(&self, now: &Snapshot) -> String {
        let shares = SEGMENTS.iter().enumerate().map(|(segment, name)| {
            let best = world::best(segment);
            format!("{name} {} {:.0} %", VARIATIONS[best], 100.0 * now.shares[segment][best])
        });
        format!("{}; share of the truly best: {}", self.progress(now), shares.collect::<Vec<_>>().join(", "))
    }

    fn earnings(&self, now: &Snapshot) -> Vec<String> {
        let earned = expected(&now.shown);
        let single = VARIATIONS[world::best_single()];
        let over =
            |name: &str, other: f64| format!("  {name:46}{other:>10.1}{:>12}", format!("{:+.1}", earned.shown - other));
        vec![
            self.dim(&format!(
                "{:48}{:>10}{:>12}",
                "orders to expect, by the true rates above", "orders", "Mabel earns"
            )),
            self.bold(&format!("  {:46}{:>10.1}", "Mabel, with what it showed so far", earned.shown)),
            over("every variation evenly (an A/B test)", earned.uniform),
            over(&format!("the single best variation ({single})"), earned.best_single),
            over("the best of each device (nobody knew it)", earned.perfect),
        ]
    }

    fn speed(&self, now: &Snapshot) -> u64 {
        let millis = self.started.elapsed().as_millis().max(1);
        u64::try_from(u128::from(now.exposures().saturating_sub(self.found)) * 1_000 / millis).unwrap_or(u64::MAX)
    }

    fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    fn green(&self, text: &str) -> String {
        self.styled("32", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of visitors are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share in [0, 1] of a few hundred cells"
)]
fn cells(share: f64, most: usize) -> usize {
    (share.clamp(0.0, 1.0) * most as f64).round() as usize
}

/// A share as a bar, to an eighth of a cell.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = cells(share, width * 8);
    let drawn = format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8]);
    format!("{drawn:width$}")
}

/// Shares over time, thinned to a width that is filled from the start to the present.
fn spark(past: &[f64], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = past.len().min(width);
    (0..columns).map(|column| LEVELS[cells(past[(column + 1) * past.len() / columns - 1], 7)]).collect()
}

#[cfg(test)]
mod tests {
    //! Bars are as wide as they should be; a report becomes the world's tables.

    use serde_json::json;

    use super::*;

    #[test]
    fn bars_fill_their_width() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.53, 4), "██▏ ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(spark(&[0.0, 0.5, 1.0], 60), "▁▅█");
        assert_eq!(spark(&[0.0; 500], 60).chars().count(), 60);
        assert_eq!(spark(&[], 60), "");
    }

    #[test]
    fn a_report_becomes_tables() {
        let counted = json!({"variation": "reviews", "exposures": 7, "goals": {"order": {"conversions": 2}}});
        let cell = json!({"segment": "device=desktop", "allocation": {"reviews": 0.5}, "variations": [counted]});
        let snapshot = Snapshot::of(&json!({"segments": [cell]}));
        assert_eq!((snapshot.exposures(), snapshot.orders()), (7, 2));
        assert_eq!((snapshot.shown[1][1], snapshot.conversions[1][1]), (7, 2));
        assert!((snapshot.shares[1][1] - 0.5).abs() < 1e-12);
    }
}
