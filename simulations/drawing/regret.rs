//! Rewards lost over time, a line per strategy.

use plotters::chart::ChartBuilder;
use plotters::prelude::DrawingBackend;
use plotters::series::LineSeries;
use plotters::style::{Color, RGBColor};

use crate::simulations::drawing::{COLOURS, Canvas, FAINT, GRID, INK, axis_count, failed};
use crate::simulations::player::Course;
use crate::simulations::runner::Run;
use crate::simulations::scenario::Scenario;
use crate::simulations::table::grouped;
use crate::simulations::world::blueprint::Blueprint;

/// Mean curves over runs.
pub(super) struct Picture {
    title: String,
    under: String,
    unit: &'static str,
    visitors: Vec<f64>,
    /// Highest end first, as the lines lie one above the other.
    lines: Vec<Line>,
    /// Top of the chart.
    top: f64,
}

struct Line {
    name: String,
    colour: RGBColor,
    values: Vec<f64>,
}

impl Line {
    fn end(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }
}

impl Picture {
    pub(super) fn of(scenario: &Scenario, world: &Blueprint, runs: &[Run]) -> Self {
        let course = Course { visitors: scenario.visitors, interval: scenario.interval };
        let mut lines: Vec<Line> = Vec::new();
        for (index, strategy) in scenario.strategies.iter().enumerate() {
            // The oracle is the axis.
            if strategy.policy() != "oracle" {
                let values = mean(runs, |run| &run.outcomes[index].regret);
                lines.push(Line { name: strategy.name.clone(), colour: COLOURS[lines.len() % COLOURS.len()], values });
            }
        }
        if runs.iter().any(|run| run.ceiling.rewards_segments()) {
            let values = mean(runs, |run| &run.ceiling.best_single_regret);
            lines.push(Line { name: "best one variation for all".to_owned(), colour: INK, values });
        }
        lines.sort_by(|a, b| b.end().total_cmp(&a.end()));
        // One strategy that learns nothing must not press all others onto the axis: its line leaves the picture.
        let (highest, second) = (lines.first().map_or(0.0, Line::end), lines.get(1).map_or(0.0, Line::end));
        let top = if highest > 1.6 * second && second > 0.0 { second } else { highest };
        Self {
            title: format!("{}: {} lost against what is best for each", scenario.name, world.unit()),
            under: format!("mean of {} runs of {} visitors", scenario.runs, grouped(scenario.visitors as f64)),
            unit: world.unit(),
            visitors: course.points().iter().map(|point| *point as f64).collect(),
            lines,
            // Where nothing is lost at all there is still an axis.
            top: if top > 0.0 { top * 1.05 } else { 1.0 },
        }
    }
}

impl super::Picture for Picture {
    const LEGEND_WIDTH: i32 = 262;

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Result<(), String> {
        canvas.title(&self.title, &self.under)?;
        let entries: Vec<(String, RGBColor)> =
            self.lines.iter().map(|line| (format!("{}  {}", line.name, grouped(line.end())), line.colour)).collect();
        canvas.legend("lost in all", &entries)?;
        let last = self.visitors.last().copied().unwrap_or(1.0);
        let mut chart = ChartBuilder::on(&canvas.charts(1)[0])
            .margin(canvas.pixels(8))
            .x_label_area_size(canvas.pixels(38))
            .y_label_area_size(canvas.pixels(62))
            .build_cartesian_2d(0.0..last, 0.0..self.top)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(GRID.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .x_desc("visitors")
            .y_desc(format!("{} lost so far", self.unit))
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| axis_count(*x))
            .y_label_formatter(&|y| axis_count(*y))
            .label_style(canvas.font(13, INK))
            .axis_desc_style(canvas.font(13, INK))
            .draw()
            .map_err(failed)?;
        for line in &self.lines {
            let style = line.colour.stroke_width(canvas.pixels(2).unsigned_abs());
            let points = clipped(&self.visitors, &line.values, self.top);
            chart.draw_series(LineSeries::new(points, style)).map_err(failed)?;
        }
        Ok(())
    }
}

/// Points up to where a rising line crosses the top of the chart.
fn clipped(visitors: &[f64], values: &[f64], top: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    for (x, y) in visitors.iter().zip(values) {
        if *y > top {
            let (before_x, before_y) = points[points.len() - 1];
            points.push((before_x + (x - before_x) * (top - before_y) / (y - before_y), top));
            break;
        }
        points.push((*x, *y));
    }
    points
}

fn mean(runs: &[Run], curve: impl Fn(&Run) -> &Vec<f64>) -> Vec<f64> {
    let mut sum = vec![0.0; curve(&runs[0]).len()];
    for run in runs {
        sum.iter_mut().zip(curve(run)).for_each(|(sum, value)| *sum += value);
    }
    sum.iter().map(|sum| sum / runs.len() as f64).collect()
}
