//! The groups of one layer: where the heads lie, how well they belong, how many groups there should be.

use crate::chart::axis::extent;
use crate::chart::plot::{Mark, Plot};
use crate::chart::{GroupMap, Theme};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LABEL, LegendSwatch, Page, SMALL};
use crate::figure::plot::{Axes, draw, draw_within, legend, stroke};
use crate::figure::scene::{Anchor, Fill, Item, Point, Rect, Scene, Stroke, Text, VerticalAlign};

/// Height of the curves of quality.
const QUALITY: f64 = 170.0;
/// Width from which there are two columns.
const SIDE_BY_SIDE: f64 = 560.0;

/// Height of the silhouettes of so many heads.
fn bars_height(heads: usize) -> f64 {
    (heads as f64 * 16.0).clamp(60.0, if heads > 48 { 620.0 } else { 420.0 })
}

impl GroupMap {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let mut page = Page::new(820.0, &self.caption, sheet);
        page.legend(&samples(std::slice::from_ref(self), theme));
        let curves = self.number_plots();
        if page.inner() < SIDE_BY_SIDE {
            self.stacked(&mut page, &curves);
            page.y += 6.0;
            let view = self.clone();
            return page.finish(move || view.table());
        }
        let bars = bars_height(self.groups.len());
        let side = (page.inner() * 0.53).round();
        // The curves go where the column is shorter.
        let is_left = bars > 240.0;
        let below = if curves.is_empty() { 0.0 } else { QUALITY + 40.0 };
        let columns =
            [side + 20.0 + if is_left { below } else { 0.0 }, bars + 44.0 + if is_left { 0.0 } else { below }];
        let whole = page.take(columns[0].max(columns[1]));
        let map = Rect::new(whole.x, whole.y + 20.0, side, side);
        title(&mut page.scene, "Map of the heads", [whole.x, whole.y], theme);
        self.draw_map(&mut page.scene, map, theme);
        let x = map.right() + 34.0;
        let right = Rect::new(x, whole.y + 18.0, whole.right() - x, bars + 26.0);
        title(&mut page.scene, "Silhouette of each head", [x, whole.y], theme);
        self.draw_silhouettes(&mut page.scene, right, theme);
        if !curves.is_empty() {
            let [x, y, w] =
                if is_left { [map.x, map.bottom() + 26.0, map.w] } else { [right.x, right.bottom() + 26.0, right.w] };
            title(&mut page.scene, "Quality against the number of groups", [x, y], theme);
            let width = w / curves.len() as f64;
            for (i, plot) in curves.iter().enumerate() {
                let outer = Rect::new(x + i as f64 * width, y + 16.0, width - 8.0, QUALITY - 16.0);
                draw(plot, &mut page.scene, outer, theme);
            }
        }
        page.y += 6.0;
        let view = self.clone();
        page.finish(move || view.table())
    }

    /// One part below the other, on a page that has no room for two columns.
    fn stacked(&self, page: &mut Page<'_>, curves: &[Plot]) {
        let theme = page.theme;
        page.heading("Map of the heads");
        let whole = page.take(page.inner());
        self.draw_map(&mut page.scene, whole, theme);
        page.y += 14.0;
        page.heading("Silhouette of each head");
        let whole = page.take(bars_height(self.groups.len()) + 26.0);
        self.draw_silhouettes(&mut page.scene, whole, theme);
        if !curves.is_empty() {
            page.y += 10.0;
            page.heading("Quality against the number of groups");
        }
        for plot in curves {
            let outer = page.take(QUALITY - 16.0);
            draw(plot, &mut page.scene, outer, theme);
            page.y += 6.0;
        }
    }

    fn draw_map(&self, scene: &mut Scene, area: Rect, theme: &Theme) {
        let radius = if self.points.len() > 48 { 4.0 } else { 5.5 };
        let plot = self.map_plot();
        let places = self.draw_points(&plot, scene, area, radius, theme);
        if !plot.labels.is_empty() {
            name_points(scene, &places, radius, area, theme);
        }
    }

    /// The points without names, each tied to the middle of its group. Returns where they lie.
    pub(super) fn draw_points(
        &self,
        plot: &Plot,
        scene: &mut Scene,
        area: Rect,
        radius: f64,
        theme: &Theme,
    ) -> Vec<Point> {
        scene.fill(vec![area], theme.surface);
        let place = self.place(area.shrunk(4.0 * radius));
        for series in &plot.series {
            let color = series.ink.color(theme);
            if let Some(line) = series.line {
                let ties = series.points.split(|p| p[0].is_nan()).filter(|tie| tie.len() > 1);
                scene
                    .lines(ties.map(|tie| tie.iter().map(&place).collect()).collect(), stroke(series.ink, line, theme));
            }
            let centers: Vec<Point> = series.points.iter().map(&place).collect();
            let (marker, fill, edge) = match series.mark {
                Some(Mark::Dot(marker)) => (marker, color, Stroke::solid(theme.surface, 1.0)),
                Some(Mark::Hollow(marker)) => (marker, theme.surface, Stroke::solid(color, 1.5)),
                _ => continue,
            };
            // One by one, so that a point that covers another one has an edge.
            for center in centers {
                let fill = Some(Fill::from(fill));
                scene.push(Item::Marks { centers: vec![center], marker, radius, fill, stroke: Some(edge) });
            }
        }
        self.points.iter().map(place).collect()
    }

    /// Moves points into `area` without changing the ratio of distances.
    fn place(&self, area: Rect) -> impl Fn(&Point) -> Point {
        let range = |axis: usize| extent(self.points.iter().map(|p| p[axis])).unwrap_or((0.0, 0.0));
        let ((left, right), (low, high)) = (range(0), range(1));
        let span = (right - left).max(high - low);
        let scale = if span > 0.0 { area.w.min(area.h) / span } else { 0.0 };
        let [cx, cy] = area.center();
        move |p: &Point| {
            let [x, y] =
                [p[0] - (left + right) / 2.0, p[1] - (low + high) / 2.0].map(|v| if v.is_finite() { v } else { 0.0 });
            [cx + x * scale, cy - y * scale]
        }
    }

    fn draw_silhouettes(&self, scene: &mut Scene, outer: Rect, theme: &Theme) {
        let Some(plot) = self.silhouette_plot() else {
            let at = [outer.x, outer.y + 24.0];
            scene.text(Text::new("One group: there is no other to compare with.", at, SMALL, theme.muted));
            return;
        };
        let area = Rect::new(outer.x + 26.0, outer.y + 6.0, outer.w - 32.0, outer.h - 26.0);
        draw_within(&plot, scene, Axes { area, x: plot.x.clone(), y: plot.y.clone() }, theme);
    }
}

/// What marks of some maps mean.
pub(super) fn samples(maps: &[GroupMap], theme: &Theme) -> Vec<(LegendSwatch, String)> {
    let Some(largest) = maps.iter().max_by_key(|m| m.group_count()) else { return Vec::new() };
    let plain = GroupMap { kept: None, ..largest.clone() };
    let mut entries = super::shortened_legend(legend(&plain.map_plot(), theme));
    if let Some((LegendSwatch::Mark(marker, _), _)) = entries.first().cloned()
        && maps.iter().any(|m| m.kept.is_some())
    {
        entries.push((LegendSwatch::Hollow(marker, theme.muted), "pruned".to_owned()));
    }
    entries
}

fn title(scene: &mut Scene, text: &str, at: Point, theme: &Theme) {
    scene.text(Text::new(text, at, LABEL + 1.0, theme.ink).bold().anchored(Anchor::Start, VerticalAlign::Top));
}

/// Writes each point's number beside it where there is room, trying four sides; the rest stays unnamed. `reach` is the
/// radius of what is drawn at a point.
fn name_points(scene: &mut Scene, places: &[Point], reach: f64, area: Rect, theme: &Theme) {
    let height = SMALL * 0.8;
    let around = |[x, y]: &Point| Rect::new(x - reach, y - reach, 2.0 * reach, 2.0 * reach);
    let mut taken: Vec<Rect> = places.iter().map(around).collect();
    let inner = area.shrunk(1.0);
    for (head, [x, y]) in places.iter().enumerate() {
        let name = head.to_string();
        let (w, gap) = (font::width(&name, SMALL, Weight::Regular), reach + 2.5);
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
            scene.text(text.anchored(Anchor::Middle, VerticalAlign::Middle));
        }
    }
}
