//! Pictures of a scenario's runs, as SVG for documents and PNG for everything else: what strategies lose over time, and
//! what a policy shows to whom.

use std::path::Path;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, WHITE, register_font};

use crate::simulations::result::{ScenarioResult, write_whole};
use crate::simulations::runner::Run;
use crate::simulations::scenario::Scenario;
use crate::simulations::world::blueprint::Blueprint;

mod allocation;
mod grid;
mod regret;

/// Width and height of a picture in SVG's units; a PNG has [`PNG_SCALE`] times as many pixels each way.
const SIZE: (i32, i32) = (960, 480);
/// Bitmaps are drawn without smoothing: at twice the size, steps are too small to be seen.
const PNG_SCALE: i32 = 2;
const TITLE_HEIGHT: i32 = 56;
const LEGEND_ROW: i32 = 22;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(226, 226, 226);

/// Okabe & Ito's colours, which people with any colour vision tell apart, without the yellow that is too pale for a line;
/// then four more for what has many variations.
const COLOURS: [RGBColor; 11] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
    RGBColor(148, 103, 49),
    RGBColor(150, 190, 60),
    RGBColor(110, 60, 140),
    RGBColor(200, 190, 170),
];

/// Letters for bitmaps, the same on every machine; the licence is beside the file.
const FONT: &[u8] = include_bytes!("font/Roboto-Regular.subset.ttf");

/// Draws all pictures of a scenario's runs into a directory that exists.
pub(crate) fn write(directory: &Path, scenario: &Scenario, world: &Blueprint, runs: &[Run]) -> Result<(), String> {
    register()?;
    write_both(directory, "regret", &regret::Picture::of(scenario, world, runs))?;
    match allocation::Picture::of(scenario, world, runs) {
        Some(picture) => write_both(directory, "allocation", &picture),
        None => Ok(()),
    }
}

/// Draws the picture of a grid into a directory that exists.
pub(crate) fn write_grid(directory: &Path, results: &[ScenarioResult]) -> Result<(), String> {
    register()?;
    write_both(directory, "grid", &grid::Picture::of(results))
}

fn register() -> Result<(), String> {
    register_font("sans-serif", FontStyle::Normal, FONT).map_err(|_| "the built-in font is damaged".to_owned())
}

/// Something that can be drawn on any backend.
trait Picture {
    /// Room right of the charts for the names of what is drawn: never over the data.
    const LEGEND_WIDTH: i32;

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Result<(), String>;
}

/// Where a picture is drawn. All lengths are SVG's units; the canvas knows how many pixels one is.
struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    scale: i32,
    legend_width: i32,
}

impl<B: DrawingBackend> Canvas<'_, B> {
    fn pixels(&self, units: i32) -> i32 {
        self.scale * units
    }

    fn font(&self, units: i32, colour: RGBColor) -> TextStyle<'static> {
        ("sans-serif", self.pixels(units)).into_font().color(&colour)
    }

    fn text(&self, text: &str, at: (i32, i32), units: i32, colour: RGBColor) -> Result<(), String> {
        let at = (self.pixels(at.0), self.pixels(at.1));
        self.area.draw(&Text::new(text.to_owned(), at, self.font(units, colour))).map_err(failed)
    }

    /// What the picture shows, and how it came about.
    fn title(&self, title: &str, under: &str) -> Result<(), String> {
        self.area.fill(&WHITE).map_err(failed)?;
        self.text(title, (16, 10), 18, INK)?;
        self.text(under, (16, 34), 13, FAINT)
    }

    /// Names beside their colours, top down.
    fn legend(&self, heading: &str, entries: &[(String, RGBColor)]) -> Result<(), String> {
        let left = SIZE.0 - self.legend_width + 8;
        self.text(heading, (left, TITLE_HEIGHT + 6), 13, FAINT)?;
        for ((name, colour), row) in entries.iter().zip(1..) {
            let top = TITLE_HEIGHT + 6 + row * LEGEND_ROW;
            let corners = [(left, top - 2), (left + 14, top + 10)].map(|(x, y)| (self.pixels(x), self.pixels(y)));
            self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(failed)?;
            // Six units a letter on average: a long key is cut rather than run out of the picture.
            let room = usize::try_from((self.legend_width - 34) / 6).unwrap_or(0);
            let shown = if name.chars().count() > room {
                name.chars().take(room).chain(['…']).collect()
            } else {
                name.clone()
            };
            self.text(&shown, (left + 22, top), 13, INK)?;
        }
        Ok(())
    }

    /// The part of the picture left of the legend and under the title, cut into columns.
    fn charts(&self, columns: usize) -> Vec<DrawingArea<B, Shift>> {
        let (_, under) = self.area.split_vertically(self.pixels(TITLE_HEIGHT));
        let (charts, _) = under.split_horizontally(self.pixels(SIZE.0 - self.legend_width));
        charts.split_evenly((1, columns))
    }
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("a picture could not be drawn: {error}")
}

fn write_both<P: Picture>(directory: &Path, name: &str, picture: &P) -> Result<(), String> {
    let size = |scale: i32| ((SIZE.0 * scale).unsigned_abs(), (SIZE.1 * scale).unsigned_abs());
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size(1)).into_drawing_area();
        picture.draw(&Canvas { area: &area, scale: 1, legend_width: P::LEGEND_WIDTH })?;
        area.present().map_err(failed)?;
    }
    write_whole(&directory.join(format!("{name}.svg")), text.as_bytes()).map_err(failed)?;
    // The library writes PNG to paths only, by their ending.
    let (part, path) = (directory.join(format!("{name}.part.png")), directory.join(format!("{name}.png")));
    {
        let area = BitMapBackend::new(&part, size(PNG_SCALE)).into_drawing_area();
        picture.draw(&Canvas { area: &area, scale: PNG_SCALE, legend_width: P::LEGEND_WIDTH })?;
        area.present().map_err(failed)?;
    }
    std::fs::rename(&part, &path).map_err(failed)
}

/// A count on an axis: 50k, 1.5M.
fn axis_count(count: f64) -> String {
    let (scaled, unit) = match count.abs() {
        c if c >= 1e6 => (count / 1e6, "M"),
        c if c >= 1e4 => (count / 1e3, "k"),
        _ => (count, ""),
    };
    format!("{}{unit}", (scaled * 100.0).round() / 100.0)
}
