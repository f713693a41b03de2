//! Regret of every strategy in every cell of a grid: a row for each cell, a dot for each strategy.

use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement};
use plotters::prelude::DrawingBackend;
use plotters::style::{Color, RGBColor};

use crate::simulations::drawing::{COLOURS, Canvas, FAINT, GRID, INK, failed};
use crate::simulations::result::ScenarioResult;

/// What grids show: regret in per cent, with two standard errors either way.
pub(super) struct Picture {
    title: String,
    cells: Vec<String>,
    strategies: Vec<String>,
    /// Cell, strategy, mean, standard error.
    dots: Vec<(usize, usize, f64, f64)>,
}

impl Picture {
    pub(super) fn of(results: &[ScenarioResult]) -> Self {
        let mut strategies: Vec<String> = Vec::new();
        let mut dots = Vec::new();
        for (cell, result) in results.iter().enumerate() {
            // The oracle is the axis.
            for row in result.strategies.iter().filter(|row| row.policy != "oracle") {
                let known = strategies.iter().position(|name| *name == row.name).unwrap_or_else(|| {
                    strategies.push(row.name.clone());
                    strategies.len() - 1
                });
                dots.push((cell, known, row.regret_percent_mean, row.regret_percent_se.unwrap_or(0.0)));
            }
        }
        let name = |result: &ScenarioResult| result.scenario.split('/').next_back().unwrap_or_default().to_owned();
        let file = results.first().and_then(|result| result.scenario.split('/').next()).unwrap_or_default();
        Self {
            title: format!("{file}: regret in % of what is best for each"),
            cells: results.iter().map(name).collect(),
            strategies,
            dots,
        }
    }
}

impl super::Picture for Picture {
    const LEGEND_WIDTH: i32 = 212;

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Result<(), String> {
        canvas.title(&self.title, "mean over runs, two standard errors either way")?;
        let colour = |strategy: usize| -> RGBColor { COLOURS[strategy % COLOURS.len()] };
        let entries: Vec<(String, RGBColor)> =
            self.strategies.iter().enumerate().map(|(s, name)| (name.clone(), colour(s))).collect();
        canvas.legend("strategy", &entries)?;
        let right = self.dots.iter().map(|(_, _, mean, se)| mean + 2.0 * se).fold(1.0, f64::max) * 1.03;
        let left = self.dots.iter().map(|(_, _, mean, se)| mean - 2.0 * se).fold(0.0, f64::min) * 1.03;
        let rows = self.cells.len();
        let mut chart = ChartBuilder::on(&canvas.charts(1)[0])
            .margin(canvas.pixels(8))
            .x_label_area_size(canvas.pixels(38))
            .y_label_area_size(canvas.pixels(150))
            .build_cartesian_2d(left..right, 0.0..rows as f64)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(GRID.mix(0.0))
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .x_desc("regret, %")
            .y_labels(0)
            .label_style(canvas.font(13, INK))
            .axis_desc_style(canvas.font(13, INK))
            .draw()
            .map_err(failed)?;
        // The first cell at the top.
        let height = |cell: usize, strategy: usize| {
            let within = (strategy as f64 + 1.0) / (self.strategies.len() as f64 + 1.0);
            (rows - cell) as f64 - within
        };
        let width = canvas.pixels(1).unsigned_abs();
        for cell in 0..rows {
            let line = vec![(left, (rows - cell) as f64), (right, (rows - cell) as f64)];
            chart.draw_series(std::iter::once(PathElement::new(line, GRID.stroke_width(width)))).map_err(failed)?;
            let (_, y) = chart.backend_coord(&(left, (rows - cell) as f64 - 0.5));
            canvas.text(&self.cells[cell], (16, y / canvas.scale - 6), 12, INK)?;
        }
        for (cell, strategy, mean, se) in &self.dots {
            let (y, paint) = (height(*cell, *strategy), colour(*strategy));
            let span = vec![(mean - 2.0 * se, y), (mean + 2.0 * se, y)];
            chart.draw_series(std::iter::once(PathElement::new(span, paint.stroke_width(width)))).map_err(failed)?;
            chart
                .draw_series(std::iter::once(Circle::new((*mean, y), canvas.pixels(3), paint.filled())))
                .map_err(failed)?;
        }
        Ok(())
    }
}
