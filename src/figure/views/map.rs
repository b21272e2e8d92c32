//! The groups of one layer: where the heads lie, how well they belong, how many groups there should be.

use super::group_legend;
use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::font::{self, Weight};
use crate::figure::number::Unit;
use crate::figure::page::{Caption, LABEL, Page, SMALL, Sample, ring_around};
use crate::figure::palette::GroupStyle as Style;
use crate::figure::plot::{Chart, Limit, Plot, Series};
use crate::figure::scene::{Anchor, Fill, Item, Level, Point, Rect, Scene, Stroke, Text};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// Quality of the best grouping for one number of groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QualityPoint {
    /// Number of groups.
    pub groups: usize,
    /// Mean silhouette coefficient.
    pub silhouette: Option<f64>,
    /// Dunn index.
    pub dunn: Option<f64>,
}

/// The groups of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMap {
    /// Words around it.
    pub caption: Caption,
    /// `encoder.0` and so on, for the table.
    pub site: String,
    /// Where each head lies in the plane that keeps distances best (classical MDS); any unit.
    pub points: Vec<Point>,
    /// Group of each head.
    pub groups: Vec<usize>,
    /// Silhouette coefficient of each head, -1 to 1; empty where there is one group.
    pub silhouette: Vec<f64>,
    /// Quality against the number of groups; may be empty.
    pub quality: Vec<QualityPoint>,
    /// Heads that stay; `None` before anything is decided.
    pub kept: Option<Vec<usize>>,
}

/// Height of the curves of quality.
const QUALITY: f64 = 170.0;

impl GroupMap {
    fn group_count(&self) -> usize {
        self.groups.iter().max().map_or(0, |g| g + 1)
    }

    /// Mean silhouette of the heads that have one.
    pub(super) fn mean_silhouette(&self) -> Option<f64> {
        let finite: Vec<f64> = self.silhouette.iter().copied().filter(|v| v.is_finite()).collect();
        (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
    }

    fn keeps(&self, head: usize) -> bool {
        self.kept.as_ref().is_some_and(|k| k.contains(&head))
    }

    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(820.0, &self.caption, theme);
        let mut entries = group_legend(theme, self.group_count());
        if self.kept.is_some() {
            entries.push((Sample::Ringed(theme.muted, theme.ink), "kept".to_owned()));
        }
        page.legend(&entries);
        let with_curve = self.quality.iter().any(|q| q.silhouette.is_some() || q.dunn.is_some());
        let heads = self.groups.len() as f64;
        let bars = (heads * 16.0).clamp(60.0, if heads > 48.0 { 620.0 } else { 420.0 });
        let side = (page.inner() * 0.53).round();
        // The curves go where the column is shorter.
        let is_left = bars > 240.0;
        let curves = if with_curve { QUALITY + 40.0 } else { 0.0 };
        let columns =
            [side + 20.0 + if is_left { curves } else { 0.0 }, bars + 44.0 + if is_left { 0.0 } else { curves }];
        let whole = page.take(columns[0].max(columns[1]));
        let map = Rect::new(whole.x, whole.y + 20.0, side, side);
        title(&mut page.scene, "Map of the heads", [whole.x, whole.y], theme);
        self.draw_map(&mut page.scene, map, theme);
        let x = map.right() + 34.0;
        let right = Rect::new(x, whole.y + 18.0, whole.right() - x, bars + 26.0);
        title(&mut page.scene, "Silhouette of each head", [x, whole.y], theme);
        self.draw_bars(&mut page.scene, right, theme);
        if with_curve {
            let [x, y, w] =
                if is_left { [map.x, map.bottom() + 26.0, map.w] } else { [right.x, right.bottom() + 26.0, right.w] };
            title(&mut page.scene, "Quality against the number of groups", [x, y], theme);
            self.draw_quality(&mut page.scene, Rect::new(x, y + 16.0, w, QUALITY - 16.0), theme);
        }
        page.y += 6.0;
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn draw_map(&self, scene: &mut Scene, area: Rect, theme: &Theme) {
        let radius = if self.points.len() > 48 { 4.0 } else { 5.5 };
        let places = self.draw_points(scene, area, radius, theme);
        let reach = |head: usize| if self.keeps(head) { radius * 1.25 + 3.0 } else { radius };
        name_points(scene, &places, reach, area, theme);
    }

    /// The points without names, each tied to the middle of its group. Returns where they lie.
    pub(super) fn draw_points(&self, scene: &mut Scene, area: Rect, radius: f64, theme: &Theme) -> Vec<Point> {
        scene.fill(vec![area], theme.surface);
        let places = self.places(area.shrunk(4.0 * radius));
        // Ties first, so that no line crosses a point.
        let members = |g: usize| {
            let groups = &self.groups;
            places.iter().zip(groups).filter(move |(_, group)| **group == g).map(|(p, _)| *p)
        };
        for group in 0..self.group_count() {
            let n = members(group).count() as f64;
            let [x, y] = members(group).fold([0.0; 2], |[x, y], p| [x + p[0] / n, y + p[1] / n]);
            let ties = members(group).map(|p| vec![[x, y], p]).collect();
            scene.lines(ties, Stroke::solid(Style::of(theme, group).color.mix(theme.surface, 0.45), 1.0));
        }
        for (head, at) in places.iter().enumerate() {
            let style = Style::of(theme, self.groups[head]);
            let stroke = Some(Stroke::solid(theme.surface, 1.0));
            let fill = Some(Fill::from(style.color));
            scene.push(Item::Marks { centers: vec![*at], marker: style.marker, radius, fill, stroke });
            if self.keeps(head) {
                ring_around(scene, vec![*at], radius * 1.25 + 2.0, theme.ink);
            }
        }
        places
    }

    /// Points moved into `area` without changing the ratio of distances.
    fn places(&self, area: Rect) -> Vec<Point> {
        let range = |axis: usize| extent(self.points.iter().map(|p| p[axis])).unwrap_or((0.0, 0.0));
        let ((left, right), (low, high)) = (range(0), range(1));
        let span = (right - left).max(high - low);
        let scale = if span > 0.0 { area.w.min(area.h) / span } else { 0.0 };
        let [cx, cy] = area.center();
        let place = |p: &Point| {
            let [x, y] =
                [p[0] - (left + right) / 2.0, p[1] - (low + high) / 2.0].map(|v| if v.is_finite() { v } else { 0.0 });
            [cx + x * scale, cy - y * scale]
        };
        self.points.iter().map(place).collect()
    }

    /// Bars sorted by group and value: the shape of each group's block is the classical silhouette plot.
    fn draw_bars(&self, scene: &mut Scene, outer: Rect, theme: &Theme) {
        if self.silhouette.is_empty() {
            let at = [outer.x, outer.y + 24.0];
            scene.text(Text::new("One group: there is no other to compare with.", at, SMALL, theme.muted));
            return;
        }
        let low = self.silhouette.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::min);
        let x = Axis::exact("", Unit::Plain, (if low < -0.02 { -1.0 } else { 0.0 }, 1.0), 4);
        let area = Rect::new(outer.x + 26.0, outer.y + 6.0, outer.w - 32.0, outer.h - 26.0);
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        let value = |h: usize| self.silhouette.get(h).copied().unwrap_or(f64::NAN);
        order
            .sort_by(|a, b| self.groups[*a].cmp(&self.groups[*b]).then(value(*b).total_cmp(&value(*a))).then(a.cmp(b)));
        let plot = Plot { area, x, y: Axis::exact("", Unit::Plain, (0.0, 1.0), 1) };
        for (tick, label) in plot.x.ticks.iter().zip(plot.x.tick_labels()) {
            let at = plot.across(*tick);
            scene.line(vec![[at, area.y], [at, area.bottom()]], Stroke::solid(theme.grid, 1.0));
            let text = Text::new(label, [at, area.bottom() + 6.0], SMALL, theme.muted);
            scene.text(text.anchored(Anchor::Middle, Level::Top));
        }
        let (step, zero) = (area.h / order.len().max(1) as f64, plot.across(0.0));
        let mut named = f64::NEG_INFINITY;
        for (place, head) in order.iter().enumerate() {
            let y = area.y + place as f64 * step;
            let end = plot.across(value(*head).clamp(-1.0, 1.0));
            let bar = Rect::new(zero.min(end), y + step * 0.1, (end - zero).abs(), step * 0.8);
            if end.is_finite() {
                scene.fill(vec![bar], Style::of(theme, self.groups[*head]).color);
            }
            if y - named >= SMALL + 0.5 || named == f64::NEG_INFINITY {
                named = y;
                let at = [area.x - 6.0, y + step / 2.0];
                scene.text(Text::new(head.to_string(), at, SMALL, theme.ink).anchored(Anchor::End, Level::Middle));
            }
        }
        scene.line(vec![[zero, area.y], [zero, area.bottom()]], Stroke::solid(theme.axis, 1.0));
        if let Some(mean) = self.mean_silhouette() {
            let x = plot.across(mean);
            scene.line(vec![[x, area.y], [x, area.bottom()]], Stroke::dashed(theme.ink, 1.0));
            let text = format!("mean {}", Unit::Plain.labels(&[mean], 0.01).concat());
            let width = font::width(&text, SMALL, Weight::Regular);
            let at = [(x + width / 2.0).min(area.right()) - width / 2.0, area.y - 3.0];
            scene.text(Text::new(text, at, SMALL, theme.ink).anchored(Anchor::Middle, Level::Base));
        }
    }

    fn draw_quality(&self, scene: &mut Scene, outer: Rect, theme: &Theme) {
        let points = |value: fn(&QualityPoint) -> Option<f64>| -> Vec<Point> {
            self.quality.iter().filter_map(|q| Some([q.groups as f64, value(q)?])).collect()
        };
        let curves = [
            ("Mean silhouette", points(|q| q.silhouette), Style::of(theme, 0)),
            ("Dunn index", points(|q| q.dunn), Style::of(theme, 3)),
        ];
        let curves: Vec<_> = curves.into_iter().filter(|(_, points, _)| !points.is_empty()).collect();
        let width = outer.w / curves.len().max(1) as f64;
        for (i, (name, points, style)) in curves.into_iter().enumerate() {
            let (first, last) = extent(points.iter().map(|p| p[0])).unwrap_or((1.0, 2.0));
            let x = Axis::integers("groups", first as usize, last as usize, 6);
            let (low, high) = extent(points.iter().map(|p| p[1])).unwrap_or((0.0, 1.0));
            let mut chart = Chart::new(x, Axis::linear(name, Unit::Plain, (low.min(0.0), high), 4));
            chart.limits.push(Limit {
                name: String::new(),
                value: self.group_count() as f64,
                is_vertical: true,
                stroke: Stroke::dashed(theme.accent, 1.0),
            });
            let marker = (points.len() <= 24).then_some(style.marker);
            let stroke = Stroke::solid(style.color, 1.75);
            chart.series.push(Series { name: String::new(), points, stroke, marker });
            chart.draw(scene, Rect::new(outer.x + i as f64 * width, outer.y, width - 8.0, outer.h), theme);
        }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(["site", "head", "group", "x", "y", "silhouette", "kept"]);
        for (head, group) in self.groups.iter().enumerate() {
            let [x, y] = self.points.get(head).copied().unwrap_or([f64::NAN; 2]);
            table.push([
                self.site.as_str().into(),
                head.into(),
                (*group).into(),
                x.into(),
                y.into(),
                self.silhouette.get(head).copied().into(),
                self.kept.as_ref().map(|k| k.contains(&head)).into(),
            ]);
        }
        table
    }
}

fn title(scene: &mut Scene, text: &str, at: Point, theme: &Theme) {
    scene.text(Text::new(text, at, LABEL + 1.0, theme.ink).bold().anchored(Anchor::Start, Level::Top));
}

/// Writes each point's number beside it where there is room, trying four sides; the rest stays unnamed. `reach` is the
/// radius of what is drawn at a point.
fn name_points(scene: &mut Scene, places: &[Point], reach: impl Fn(usize) -> f64, area: Rect, theme: &Theme) {
    let height = SMALL * 0.8;
    let around = |(head, [x, y]): (usize, &Point)| {
        let r = reach(head);
        Rect::new(x - r, y - r, 2.0 * r, 2.0 * r)
    };
    let mut taken: Vec<Rect> = places.iter().enumerate().map(around).collect();
    let inner = area.shrunk(1.0);
    for (head, [x, y]) in places.iter().enumerate() {
        let name = head.to_string();
        let (w, gap) = (font::width(&name, SMALL, Weight::Regular), reach(head) + 2.5);
        let sides = [
            Rect::new(x + gap, y - height / 2.0, w, height),
            Rect::new(x - gap - w, y - height / 2.0, w, height),
            Rect::new(x - w / 2.0, y - gap - height, w, height),
            Rect::new(x - w / 2.0, y + gap, w, height),
        ];
        let free = |rect: &&Rect| inner.contains(rect) && !taken.iter().any(|t| t.overlaps(rect));
        if let Some(rect) = sides.iter().find(free).copied() {
            taken.push(rect.shrunk(-1.0));
            let text = Text::new(name, rect.center(), SMALL, theme.ink);
            scene.text(text.anchored(Anchor::Middle, Level::Middle));
        }
    }
}
