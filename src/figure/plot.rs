//! Plots of numbers against numbers: axes, lines, bands, bars, limits.

use super::axis::Axis;
use super::color::Rgb;
use super::font::{self, Weight};
use super::page::{LABEL, SMALL, Sample};
use super::palette::Marker;
use super::scene::{Anchor, Fill, Item, Level, Point, Rect, Scene, Stroke, Text};
use super::theme::Theme;

/// A plot's axes and the rectangle between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Where data are drawn.
    pub area: Rect,
    /// Rightwards.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
}

impl Plot {
    /// Fits the plot into `outer`: the rest is for ticks and labels. The label of `y` stands above, upright.
    pub fn fit(outer: Rect, x: Axis, y: Axis) -> Self {
        let ticks = y.tick_labels();
        let widest = ticks.iter().map(|t| font::width(t, SMALL, Weight::Regular)).fold(0.0, f64::max);
        let (left, top) = ((widest + 8.0).ceil(), if y.label.is_empty() { 6.0 } else { 18.0 });
        let bottom = if x.label.is_empty() { 16.0 } else { 32.0 };
        // Room for half of the last tick's label.
        let right = x.tick_labels().last().map_or(4.0, |t| (font::width(t, SMALL, Weight::Regular) / 2.0).max(4.0));
        let area = Rect::new(
            outer.x + left,
            outer.y + top,
            (outer.w - left - right).max(1.0),
            (outer.h - top - bottom).max(1.0),
        );
        Self { area, x, y }
    }

    /// Where the values lie in the picture.
    pub fn at(&self, x: f64, y: f64) -> Point {
        [self.across(x), self.down(y)]
    }

    /// The horizontal place of a value.
    pub fn across(&self, x: f64) -> f64 {
        self.area.x + self.area.w * self.x.position(x)
    }

    /// The vertical place of a value.
    pub fn down(&self, y: f64) -> f64 {
        self.area.bottom() - self.area.h * self.y.position(y)
    }

    /// Draws grid, ticks and labels.
    pub fn frame(&self, scene: &mut Scene, theme: &Theme) {
        let area = self.area;
        let grid = self.y.ticks.iter().map(|t| self.down(*t)).map(|y| vec![[area.x, y], [area.right(), y]]).collect();
        scene.lines(grid, Stroke::solid(theme.grid, 1.0));
        for (tick, text) in self.y.ticks.iter().zip(self.y.tick_labels()) {
            let at = [area.x - 6.0, self.down(*tick)];
            scene.text(Text::new(text, at, SMALL, theme.muted).anchored(Anchor::End, Level::Middle));
        }
        scene.line(vec![[area.x, area.bottom()], [area.right(), area.bottom()]], Stroke::solid(theme.axis, 1.0));
        let mut clear = f64::NEG_INFINITY;
        for (tick, text) in self.x.ticks.iter().zip(self.x.tick_labels()) {
            let x = self.across(*tick);
            scene.line(vec![[x, area.bottom()], [x, area.bottom() + 3.0]], Stroke::solid(theme.axis, 1.0));
            let half = font::width(&text, SMALL, Weight::Regular) / 2.0;
            // A label that would touch the one before it is left out; its tick stays.
            if x - half < clear + 4.0 {
                continue;
            }
            clear = x + half;
            let text = Text::new(text, [x, area.bottom() + 6.0], SMALL, theme.muted);
            scene.text(text.anchored(Anchor::Middle, Level::Top));
        }
        if !self.y.label.is_empty() {
            let label = Text::new(self.y.label.clone(), [area.x - 6.0, area.y - 14.0], LABEL, theme.muted);
            scene.text(label.anchored(Anchor::Start, Level::Top));
        }
        if !self.x.label.is_empty() {
            let at = [area.x + area.w / 2.0, area.bottom() + 20.0];
            let label = Text::new(self.x.label.clone(), at, LABEL, theme.muted);
            scene.text(label.anchored(Anchor::Middle, Level::Top));
        }
    }

    /// Draws items cut at the edges of the plot.
    pub fn clipped(&self, scene: &mut Scene, items: Vec<Item>) {
        if !items.is_empty() {
            scene.push(Item::Group { clip: Some(self.area.shrunk(-5.0)), tip: None, items });
        }
    }

    /// A line through points, interrupted where a value is missing.
    pub fn polyline(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let mut lines = vec![Vec::new()];
        for [x, y] in points {
            let at = self.at(*x, *y);
            if at.iter().all(|v| v.is_finite()) {
                if let Some(line) = lines.last_mut() {
                    line.push(at);
                }
            } else if lines.last().is_some_and(|line| !line.is_empty()) {
                lines.push(Vec::new());
            }
        }
        lines
    }
}

/// A measured line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// `[x, y]`, ascending in x; NaN interrupts the line.
    pub points: Vec<Point>,
    /// Colour, width, dash.
    pub stroke: Stroke,
    /// Marks on the points, where they are measurements rather than a curve.
    pub marker: Option<Marker>,
}

/// An interval around a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name in the legend.
    pub name: String,
    /// `[x, low, high]`, ascending in x.
    pub points: Vec<[f64; 3]>,
    /// Colour.
    pub color: Rgb,
}

/// A value that matters, drawn across the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What it is.
    pub name: String,
    /// Where.
    pub value: f64,
    /// True for a vertical line at an x, false for a horizontal one at a y.
    pub is_vertical: bool,
    /// Look.
    pub stroke: Stroke,
}

/// Lines, bands and limits on common axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Rightwards.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Drawn first.
    pub bands: Vec<Band>,
    /// Drawn last.
    pub series: Vec<Series>,
    /// Drawn between.
    pub limits: Vec<Limit>,
}

impl Chart {
    /// Empty axes.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, bands: Vec::new(), series: Vec::new(), limits: Vec::new() }
    }

    /// What the legend says. Limits are named beside their lines.
    pub(super) fn legend(&self) -> Vec<(Sample, String)> {
        let lines = self.series.iter().map(|s| (Sample::Line(s.stroke, s.marker), s.name.clone()));
        let bands = self.bands.iter().map(|b| (Sample::Cell(band_fill(b.color)), b.name.clone()));
        lines.chain(bands).filter(|(_, name)| !name.is_empty()).collect()
    }

    /// Draws the chart into `outer`.
    pub fn draw(&self, scene: &mut Scene, outer: Rect, theme: &Theme) -> Plot {
        let plot = Plot::fit(outer, self.x.clone(), self.y.clone());
        plot.frame(scene, theme);
        let mut items = Vec::new();
        for band in &self.bands {
            let low = band.points.iter().map(|[x, low, _]| plot.at(*x, *low));
            let high = band.points.iter().rev().map(|[x, _, high]| plot.at(*x, *high));
            let corners: Vec<Point> = low.chain(high).filter(|p| p.iter().all(|v| v.is_finite())).collect();
            if corners.len() > 2 {
                items.push(Item::Area { corners, fill: band_fill(band.color) });
            }
        }
        for limit in &self.limits {
            let ends = if limit.is_vertical {
                let x = plot.across(limit.value);
                vec![[x, plot.area.y], [x, plot.area.bottom()]]
            } else {
                let y = plot.down(limit.value);
                vec![[plot.area.x, y], [plot.area.right(), y]]
            };
            if ends.iter().flatten().all(|v| v.is_finite()) {
                items.push(Item::Lines { lines: vec![ends], stroke: limit.stroke });
            }
        }
        for series in &self.series {
            let lines = plot.polyline(&series.points);
            if let Some(marker) = series.marker {
                let fill = Some(Fill::from(series.stroke.color));
                let stroke = Some(Stroke::solid(theme.background, 1.0));
                let centers = lines.iter().flatten().copied().collect();
                items.push(Item::Lines { lines, stroke: series.stroke });
                items.push(Item::Marks { centers, marker, radius: 3.4, fill, stroke });
            } else {
                items.push(Item::Lines { lines, stroke: series.stroke });
            }
        }
        plot.clipped(scene, items);
        self.name_limits(scene, &plot, theme);
        plot
    }

    /// Writes the names beside vertical limits and above horizontal ones, where they cover least of the lines.
    fn name_limits(&self, scene: &mut Scene, plot: &Plot, theme: &Theme) {
        let drawn: Vec<Point> =
            self.series.iter().flat_map(|s| plot.polyline(&s.points)).flat_map(|l| dense(&l)).collect();
        let mut taken: Vec<Rect> = Vec::new();
        for limit in self.limits.iter().filter(|l| !l.name.is_empty()) {
            let text = |at, anchor, level| {
                Text::new(limit.name.clone(), at, SMALL, limit.stroke.color).anchored(anchor, level)
            };
            let area = plot.area;
            let candidates: Vec<Text> = if limit.is_vertical {
                let x = plot.across(limit.value);
                let rows = |i: usize| [area.y + 4.0 + 13.0 * i as f64, area.bottom() - 12.0 - 13.0 * i as f64];
                (0..4)
                    .flat_map(rows)
                    .flat_map(|y| {
                        [text([x + 4.0, y], Anchor::Start, Level::Top), text([x - 4.0, y], Anchor::End, Level::Top)]
                    })
                    .collect()
            } else {
                let y = plot.down(limit.value);
                let ends = [(area.right(), Anchor::End), (area.x + 4.0, Anchor::Start)];
                let sides = [(y - 4.0, Level::Base), (y + 4.0, Level::Top)];
                sides.iter().flat_map(|(y, l)| ends.iter().map(move |(x, a)| text([*x, *y], *a, *l))).collect()
            };
            let cost = |candidate: &&Text| {
                let frame = candidate.frame().shrunk(-2.0);
                let outside = !area.shrunk(-3.0).contains(&frame);
                let covers = taken.iter().any(|t| t.overlaps(&frame));
                let crossed = drawn.iter().filter(|[x, y]| frame.overlaps(&Rect::new(*x, *y, 0.1, 0.1))).count();
                (covers, outside, crossed)
            };
            let best = candidates.iter().filter(|t| t.at.iter().all(|v| v.is_finite())).min_by_key(cost);
            if let Some(best) = best.filter(|t| !cost(t).0) {
                taken.push(best.frame().shrunk(-2.0));
                scene.text_on(best.clone(), theme.background);
            }
        }
    }
}

/// Points along a line, close enough to tell whether it passes under a word.
fn dense(line: &[Point]) -> Vec<Point> {
    let between = |pair: &[Point]| {
        let [[ax, ay], [bx, by]] = [pair[0], pair[1]];
        let steps = (((bx - ax).hypot(by - ay) / 4.0).ceil() as usize).clamp(1, 400);
        (0..steps).map(move |i| i as f64 / steps as f64).map(move |t| [ax + (bx - ax) * t, ay + (by - ay) * t])
    };
    line.windows(2).flat_map(between).chain(line.last().copied()).collect()
}

fn band_fill(color: Rgb) -> Fill {
    Fill { color, opacity: 0.22 }
}

#[cfg(test)]
mod tests {
    use super::super::number::Unit;
    use super::*;

    fn plot() -> Plot {
        let (x, y) = (Axis::exact("x", Unit::Plain, (0.0, 10.0), 5), Axis::exact("y", Unit::Plain, (0.0, 1.0), 5));
        Plot::fit(Rect::new(0.0, 0.0, 200.0, 100.0), x, y)
    }

    #[test]
    fn large_values_lie_high_and_to_the_right() {
        let plot = plot();
        let area = plot.area;
        assert_eq!(plot.at(0.0, 0.0), [area.x, area.bottom()]);
        assert_eq!(plot.at(10.0, 1.0), [area.right(), area.y]);
        assert!(area.x > 10.0 && area.right() <= 200.0 && area.bottom() < 80.0);
    }

    #[test]
    fn missing_values_interrupt_a_line() {
        let lines = plot().polyline(&[[0.0, 0.1], [1.0, 0.2], [2.0, f64::NAN], [3.0, f64::NAN], [4.0, 0.3]]);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}
