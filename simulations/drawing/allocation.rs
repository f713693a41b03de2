//! What a policy shows over time, a chart of stacked shares per segment.

use plotters::chart::ChartBuilder;
use plotters::element::Polygon;
use plotters::prelude::DrawingBackend;
use plotters::style::{Color, RGBColor};

use crate::simulations::drawing::{COLOURS, Canvas, FAINT, INK, axis_count, failed};
use crate::simulations::player::{Course, PICTURED_SEGMENTS};
use crate::simulations::runner::Run;
use crate::simulations::scenario::Scenario;
use crate::simulations::strategies::Plan;
use crate::simulations::table::grouped;
use crate::simulations::world::blueprint::Blueprint;

/// Every so many points of a curve are drawn: areas need fewer than lines.
const STEP: usize = 2;

/// Mean shares over runs.
pub(super) struct Picture {
    title: String,
    under: String,
    visitors: Vec<f64>,
    variations: Vec<String>,
    charts: Vec<Chart>,
}

struct Chart {
    title: String,
    /// By point, then by variation.
    shares: Vec<Vec<f64>>,
}

impl Picture {
    /// Of the strategy the scenario wants pictured; nothing if that is no policy.
    pub(super) fn of(scenario: &Scenario, world: &Blueprint, runs: &[Run]) -> Option<Self> {
        let index = scenario.pictured();
        let strategy = &scenario.strategies[index];
        // A mean over runs that each have a truth of their own would say nothing.
        if !matches!(strategy.plan, Plan::Policy { .. }) || !world.is_stated() {
            return None;
        }
        let points = Course { visitors: scenario.visitors, interval: scenario.interval }.points();
        let kept: Vec<usize> = (0..points.len()).rev().step_by(STEP).collect::<Vec<_>>().into_iter().rev().collect();
        let share = |point: usize, segment: usize, variation: usize| {
            let one = |run: &Run| run.outcomes[index].allocations[point][segment][variation];
            runs.iter().map(one).sum::<f64>() / runs.len() as f64
        };
        let segments = world.stated_segments();
        let chart = |segment: usize| Chart {
            title: segments[segment].key.clone(),
            shares: kept
                .iter()
                .map(|point| (0..world.variations.len()).map(|v| share(*point, segment, v)).collect())
                .collect(),
        };
        Some(Self {
            title: format!("{}: what {} shows", scenario.name, strategy.name),
            under: format!("mean of {} runs of {} visitors", scenario.runs, grouped(scenario.visitors as f64)),
            visitors: kept.iter().map(|point| points[*point] as f64).collect(),
            variations: world.variations.iter().map(|variation| variation.key.to_string()).collect(),
            charts: (0..segments.len().min(PICTURED_SEGMENTS)).map(chart).collect(),
        })
    }
}

impl super::Picture for Picture {
    const LEGEND_WIDTH: i32 = 150;

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Result<(), String> {
        canvas.title(&self.title, &self.under)?;
        let colour = |variation: usize| COLOURS[variation % COLOURS.len()];
        // As the areas lie: the first variation at the bottom.
        let entries: Vec<(String, RGBColor)> =
            self.variations.iter().enumerate().map(|(v, name)| (name.clone(), colour(v))).rev().collect();
        canvas.legend("variation", &entries)?;
        let last = self.visitors.last().copied().unwrap_or(1.0);
        for (index, (chart, area)) in self.charts.iter().zip(canvas.charts(self.charts.len())).enumerate() {
            let mut builder = ChartBuilder::on(&area);
            builder
                .margin(canvas.pixels(8))
                .margin_right(canvas.pixels(14))
                .caption(format!("segment {}", chart.title), canvas.font(14, INK))
                .x_label_area_size(canvas.pixels(38))
                .y_label_area_size(canvas.pixels(if index == 0 { 58 } else { 34 }));
            let mut context = builder.build_cartesian_2d(0.0..last, 0.0..100.0).map_err(failed)?;
            context
                .configure_mesh()
                .disable_mesh()
                .axis_style(FAINT)
                .x_desc("visitors")
                .y_desc(if index == 0 { "share of the segment's visitors, %" } else { "" })
                .x_labels(if self.charts.len() > 2 { 3 } else { 5 })
                .y_labels(5)
                .x_label_formatter(&|x| axis_count(*x))
                .y_label_formatter(&|y| axis_count(*y))
                .label_style(canvas.font(13, INK))
                .axis_desc_style(canvas.font(13, INK))
                .draw()
                .map_err(failed)?;
            let mut below = vec![0.0; chart.shares.len()];
            for variation in 0..self.variations.len() {
                let above: Vec<f64> =
                    below.iter().zip(&chart.shares).map(|(below, shares)| below + 100.0 * shares[variation]).collect();
                let along = |edge: &[f64]| -> Vec<(f64, f64)> {
                    // From the left edge on: the first point is recorded after the first visitors.
                    std::iter::once((0.0, edge[0]))
                        .chain(self.visitors.iter().copied().zip(edge.iter().copied()))
                        .collect()
                };
                let mut outline = along(&above);
                outline.extend(along(&below).into_iter().rev());
                context
                    .draw_series(std::iter::once(Polygon::new(outline, colour(variation).filled())))
                    .map_err(failed)?;
                below = above;
            }
        }
        Ok(())
    }
}
