//! Paints plots: axes with ticks, bands, bars, limits, lines, marks, words beside them.

use super::font::{self, Weight};
use super::page::{LABEL, LegendSwatch, SMALL};
use super::scene::{Anchor, Fill, Item, Point, Rect, Scene, Stroke, Text, VerticalAlign};
use crate::chart::axis::Axis;
use crate::chart::plot::{BAND_OPACITY, BAR_WIDTH, Bars, Entry, LabelSide, Limit, Line, Mark, Plot, Series};
use crate::chart::theme::Theme;
use crate::chart::{Ink, Marker, plot};

/// A stroke of this ink and line.
pub(super) fn stroke(ink: Ink, line: Line, theme: &Theme) -> Stroke {
    let color = ink.color(theme);
    Stroke { color, width: line.width, dash: line.is_dashed.then_some([5.0, 4.0]) }
}

/// The legend of a plot as it is drawn.
pub(super) fn legend(plot: &Plot, theme: &Theme) -> Vec<(LegendSwatch, String)> {
    let sample = |entry: Entry| {
        let sample = match entry.sample {
            plot::LegendSymbol::Fill(ink) => LegendSwatch::Cell(ink.color(theme).into()),
            plot::LegendSymbol::Band(ink) => {
                LegendSwatch::Cell(Fill { color: ink.color(theme), opacity: BAND_OPACITY })
            }
            plot::LegendSymbol::Series(ink, Some(line), mark) => {
                let marker = mark.and_then(|mark| match mark {
                    Mark::Dot(marker) | Mark::Hollow(marker) => Some(marker),
                    Mark::Ring => None,
                });
                LegendSwatch::Line(stroke(ink, line, theme), marker)
            }
            plot::LegendSymbol::Series(ink, None, Some(Mark::Dot(marker))) => {
                LegendSwatch::Mark(marker, ink.color(theme))
            }
            plot::LegendSymbol::Series(ink, None, Some(Mark::Hollow(marker))) => {
                LegendSwatch::Hollow(marker, ink.color(theme))
            }
            plot::LegendSymbol::Series(ink, None, _) => LegendSwatch::Hollow(Marker::Circle, ink.color(theme)),
        };
        (sample, entry.name)
    };
    plot.legend().into_iter().map(sample).collect()
}

/// A plot's axes and the rectangle between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axes {
    /// Where data are drawn.
    pub area: Rect,
    pub x: Axis,
    pub y: Axis,
}

impl Axes {
    /// Fits a plot into `outer`: the rest is for ticks and labels. The label of `y` stands above, upright.
    pub(super) fn fit(outer: Rect, x: Axis, y: Axis) -> Self {
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
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        [self.across(x), self.down(y)]
    }

    /// The horizontal place of a value.
    pub(super) fn across(&self, x: f64) -> f64 {
        self.area.x + self.area.w * self.x.position(x)
    }

    /// The vertical place of a value.
    pub(super) fn down(&self, y: f64) -> f64 {
        self.area.bottom() - self.area.h * self.y.position(y)
    }

    /// Draws grid, ticks and labels.
    pub(super) fn frame(&self, scene: &mut Scene, theme: &Theme) {
        let area = self.area;
        let grid = if self.y.names.is_empty() {
            let levels = self.y.ticks.iter().map(|t| self.down(*t));
            levels.map(|y| vec![[area.x, y], [area.right(), y]]).collect()
        } else {
            // Bars that lie are measured by the other axis.
            let places = self.x.ticks.iter().map(|t| self.across(*t));
            places.map(|x| vec![[x, area.y], [x, area.bottom()]]).collect()
        };
        scene.lines(grid, Stroke::solid(theme.grid, 1.0));
        let mut clear = f64::INFINITY;
        for (tick, text) in self.y.ticks.iter().zip(self.y.tick_labels()) {
            let at = [area.x - 6.0, self.down(*tick)];
            // A label that would touch the one below it is left out.
            if clear - at[1] < SMALL + 0.5 {
                continue;
            }
            clear = at[1];
            scene.text(Text::new(text, at, SMALL, theme.muted).anchored(Anchor::End, VerticalAlign::Middle));
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
            scene.text(text.anchored(Anchor::Middle, VerticalAlign::Top));
        }
        if !self.y.label.is_empty() {
            let at = [area.x - 6.0, area.y - 14.0];
            let label = font::shortened(&self.y.label, scene.width - EDGE - at[0], LABEL, Weight::Regular);
            let label = Text::new(label, at, LABEL, theme.muted);
            scene.text(label.anchored(Anchor::Start, VerticalAlign::Top));
        }
        if !self.x.label.is_empty() {
            let at = [area.x + area.w / 2.0, area.bottom() + 20.0];
            let room = 2.0 * (at[0] - EDGE).min(scene.width - EDGE - at[0]);
            let label = font::shortened(&self.x.label, room, LABEL, Weight::Regular);
            let label = Text::new(label, at, LABEL, theme.muted);
            scene.text(label.anchored(Anchor::Middle, VerticalAlign::Top));
        }
    }

    /// Draws items cut at the edges of the plot.
    pub(super) fn clipped(&self, scene: &mut Scene, items: Vec<Item>) {
        if !items.is_empty() {
            scene.push(Item::Group { clip: Some(self.area.shrunk(-5.0)), tip: None, items });
        }
    }

    /// A line through points, interrupted where a value is missing.
    pub(super) fn polyline(&self, points: &[Point]) -> Vec<Vec<Point>> {
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

/// Words end so far from the edge of the page, at least.
const EDGE: f64 = 3.0;
const MARK: f64 = 3.4;
const RING: f64 = 5.8;

/// Draws a plot into `outer`.
pub(super) fn draw(plot: &Plot, scene: &mut Scene, outer: Rect, theme: &Theme) -> Axes {
    draw_within(plot, scene, Axes::fit(outer, plot.x.clone(), plot.y.clone()), theme)
}

/// Draws a plot whose place is settled.
pub(super) fn draw_within(plot: &Plot, scene: &mut Scene, axes: Axes, theme: &Theme) -> Axes {
    axes.frame(scene, theme);
    let mut items = Vec::new();
    for band in &plot.bands {
        let low = band.points.iter().map(|[x, low, _]| axes.at(*x, *low));
        let high = band.points.iter().rev().map(|[x, _, high]| axes.at(*x, *high));
        let corners: Vec<Point> = low.chain(high).filter(|p| p.iter().all(|v| v.is_finite())).collect();
        if corners.len() > 2 {
            items.push(Item::Area { corners, fill: Fill { color: band.ink.color(theme), opacity: BAND_OPACITY } });
        }
    }
    for bars in &plot.bars {
        let rects = bar_rects(bars, &axes);
        if !rects.is_empty() {
            let fill = Some(Fill::from(bars.ink.color(theme)));
            items.push(Item::Rects { rects, fill, stroke: None, radius: 0.0 });
        }
    }
    for limit in &plot.limits {
        let ends = limit_ends(limit, &axes);
        if ends.iter().flatten().all(|v| v.is_finite()) {
            items.push(Item::Lines { lines: vec![ends], stroke: stroke(limit.ink, limit.line, theme) });
        }
    }
    for series in &plot.series {
        items.extend(series_items(series, &axes, theme));
    }
    axes.clipped(scene, items);
    name_limits(plot, scene, &axes, theme);
    name_bars(plot, scene, &axes, theme);
    axes
}

/// Where bars stand or lie; each can be seen, however small its value.
pub(super) fn bar_rects(bars: &Bars, axes: &Axes) -> Vec<Rect> {
    let rect = |[place, value]: &[f64; 2]| {
        if bars.is_horizontal {
            let step = (axes.down(0.0) - axes.down(1.0)).abs();
            let (zero, end) = (axes.across(0.0), axes.across(*value));
            let (middle, width) = (axes.down(*place) + bars.shift(step * 0.8), bars.lane_width(step * 0.8));
            Rect::new(zero.min(end), middle - width / 2.0, (end - zero).abs(), width)
        } else {
            let together = ((axes.across(1.0) - axes.across(0.0)) * BAR_WIDTH).min(40.0 * bars.lane.1 as f64);
            let (middle, width) = (axes.across(*place) + bars.shift(together), bars.lane_width(together));
            let base = axes.down(0.0);
            let top = axes.down(*value).min(base - 1.0);
            Rect::new(middle - width / 2.0, top, width, base - top)
        }
    };
    bars.bars.iter().map(rect).collect()
}

/// A limit beyond its axis lies at the end of it.
pub(super) fn limit_ends(limit: &Limit, axes: &Axes) -> Vec<Point> {
    if limit.is_vertical {
        let x = axes.across(limit.value.clamp(axes.x.low, axes.x.high));
        vec![[x, axes.area.y], [x, axes.area.bottom()]]
    } else {
        let y = axes.down(limit.value.clamp(axes.y.low, axes.y.high));
        vec![[axes.area.x, y], [axes.area.right(), y]]
    }
}

fn series_items(series: &Series, axes: &Axes, theme: &Theme) -> Vec<Item> {
    let lines = axes.polyline(&series.drawn(axes.x.low, axes.x.high));
    let color = series.ink.color(theme);
    let mut items = Vec::new();
    let marks = series.mark.map(|mark| {
        let centers = lines.iter().flatten().copied().collect();
        let (marker, radius, fill, stroke) = match mark {
            Mark::Dot(marker) => (marker, MARK, Some(Fill::from(color)), Stroke::solid(theme.background, 1.0)),
            Mark::Hollow(marker) => (marker, MARK, Some(Fill::from(theme.background)), Stroke::solid(color, 1.5)),
            Mark::Ring => (Marker::Circle, RING, None, Stroke::solid(color, 1.5)),
        };
        Item::Marks { centers, marker, radius, fill, stroke: Some(stroke) }
    });
    if let Some(line) = series.line {
        items.push(Item::Lines { lines, stroke: stroke(series.ink, line, theme) });
    }
    items.extend(marks);
    items
}

/// Writes words above bars and at their ends, where they have room.
fn name_bars(plot: &Plot, scene: &mut Scene, axes: &Axes, theme: &Theme) {
    let column = (axes.across(1.0) - axes.across(0.0)).abs();
    let row = (axes.down(0.0) - axes.down(1.0)).abs();
    for label in plot.labels.iter().filter(|_| !plot.bars.is_empty()) {
        let [x, y] = axes.at(label.at[0], label.at[1]);
        let text = |at, anchor, level| Text::new(label.text.clone(), at, SMALL, theme.muted).anchored(anchor, level);
        let text = match label.side {
            LabelSide::Above => text([x, y - 4.0], Anchor::Middle, VerticalAlign::Base),
            LabelSide::Right | LabelSide::Free => text([x + 5.0, y], Anchor::Start, VerticalAlign::Middle),
        };
        let fits = match label.side {
            LabelSide::Above => text.width() + 4.0 <= column && text.frame().y >= axes.area.y,
            LabelSide::Right | LabelSide::Free => row >= SMALL,
        };
        let frame = text.frame().shrunk(-1.0);
        let is_free = !scene.texts().iter().any(|t| t.turn == 0.0 && t.frame().overlaps(&frame));
        if !fits || !is_free || text.frame().right() > scene.width - EDGE {
            continue;
        }
        // A limit would strike the words through.
        let is_crossed = plot.limits.iter().any(|limit| {
            let [[x, y], _] = limit_ends(limit, axes)[..] else { return false };
            let [across, down] = [frame.x..=frame.right(), frame.y..=frame.bottom()];
            if limit.is_vertical { across.contains(&x) } else { down.contains(&y) }
        });
        if is_crossed {
            scene.text_on(text, theme.background);
        } else {
            scene.text(text);
        }
    }
}

/// Writes the names beside vertical limits and above horizontal ones, where they cover least of the lines.
fn name_limits(plot: &Plot, scene: &mut Scene, axes: &Axes, theme: &Theme) {
    let drawn = |s: &Series| axes.polyline(&s.drawn(axes.x.low, axes.x.high));
    let drawn: Vec<Point> = plot.series.iter().flat_map(drawn).flat_map(|l| dense(&l)).collect();
    let bars: Vec<Rect> = plot.bars.iter().flat_map(|b| bar_rects(b, axes)).collect();
    let mut taken: Vec<Rect> = Vec::new();
    for limit in plot.limits.iter().filter(|l| !l.name.is_empty()) {
        let color = limit.ink.color(theme);
        let text = |at, anchor, level| Text::new(limit.name.clone(), at, SMALL, color).anchored(anchor, level);
        let area = axes.area;
        let [[x, y], _] = limit_ends(limit, axes)[..] else { continue };
        let candidates: Vec<Text> = if limit.is_vertical {
            let rows = |i: usize| [area.y + 4.0 + 13.0 * i as f64, area.bottom() - 12.0 - 13.0 * i as f64];
            (0..4)
                .flat_map(rows)
                .flat_map(|y| {
                    [
                        text([x + 4.0, y], Anchor::Start, VerticalAlign::Top),
                        text([x - 4.0, y], Anchor::End, VerticalAlign::Top),
                    ]
                })
                .collect()
        } else {
            let ends = [(area.right(), Anchor::End), (area.x + 4.0, Anchor::Start)];
            let sides = [(y - 4.0, VerticalAlign::Base), (y + 4.0, VerticalAlign::Top)];
            sides.iter().flat_map(|(y, l)| ends.iter().map(move |(x, a)| text([*x, *y], *a, *l))).collect()
        };
        let cost = |candidate: &&Text| {
            let frame = candidate.frame().shrunk(-2.0);
            let outside = !area.shrunk(-3.0).contains(&frame);
            let covers = taken.iter().any(|t| t.overlaps(&frame));
            let crossed = drawn.iter().filter(|[x, y]| frame.overlaps(&Rect::new(*x, *y, 0.1, 0.1))).count();
            (covers, outside, crossed + bars.iter().filter(|b| b.overlaps(&frame)).count())
        };
        let best = candidates.iter().filter(|t| t.at.iter().all(|v| v.is_finite())).min_by_key(cost);
        let is_on_page = |t: &&Text| t.frame().x >= EDGE && t.frame().right() <= scene.width - EDGE;
        if let Some(best) = best.filter(|t| !cost(t).0).filter(is_on_page) {
            taken.push(best.frame().shrunk(-2.0));
            scene.text_on(best.clone(), theme.background);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Unit;
    use crate::chart::plot::Label;

    fn axes() -> Axes {
        let (x, y) = (Axis::exact("x", Unit::Plain, (0.0, 10.0), 5), Axis::exact("y", Unit::Plain, (0.0, 1.0), 5));
        Axes::fit(Rect::new(0.0, 0.0, 200.0, 100.0), x, y)
    }

    #[test]
    fn large_values_lie_high_and_to_the_right() {
        let plot = axes();
        let area = plot.area;
        assert_eq!(plot.at(0.0, 0.0), [area.x, area.bottom()]);
        assert_eq!(plot.at(10.0, 1.0), [area.right(), area.y]);
        assert!(area.x > 10.0 && area.right() <= 200.0 && area.bottom() < 80.0);
    }

    #[test]
    fn words_beside_bars_are_not_struck_through() {
        let (x, y) =
            (Axis::exact("", Unit::Plain, (0.0, 1.0), 4), Axis::named("", ["0", "1"].map(str::to_owned).into()));
        let mut plot = Plot::new("Silhouettes", x, y);
        let bars = vec![[0.0, 0.8]];
        plot.bars.push(Bars { name: String::new(), bars, ink: Ink::Nth(0), is_horizontal: true, lane: (0, 1) });
        let words = "alone in its group: 0";
        plot.labels.push(Label { at: [0.0, 1.0], text: words.to_owned(), side: LabelSide::Right });
        for (value, is_on_paper) in [(0.2, true), (0.95, false)] {
            let line = Line::dashed(1.0);
            plot.limits = vec![Limit { name: String::new(), value, is_vertical: true, ink: Ink::Muted, line }];
            let mut scene = Scene::new(300.0, 100.0, Theme::LIGHT.background, "");
            draw(&plot, &mut scene, Rect::new(0.0, 0.0, 300.0, 100.0), &Theme::LIGHT);
            let place =
                scene.items.iter().position(|item| matches!(item, Item::Text(text) if text.text == words)).unwrap();
            assert_eq!(matches!(scene.items[place - 1], Item::Rects { fill: Some(_), .. }), is_on_paper, "{value}");
        }
    }

    #[test]
    fn missing_values_interrupt_a_line() {
        let lines = axes().polyline(&[[0.0, 0.1], [1.0, 0.2], [2.0, f64::NAN], [3.0, f64::NAN], [4.0, 0.3]]);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}
