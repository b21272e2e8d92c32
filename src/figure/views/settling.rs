//! When the vote stood: for the whole model and for every layer.

use crate::figure::axis::{Axis, extent};
use crate::figure::export::Figure;
use crate::figure::font::{self, Weight};
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page, SMALL};
use crate::figure::palette::{GroupStyle, Marker};
use crate::figure::plot::{Chart, Limit, Series};
use crate::figure::scene::{Anchor, Level, Point, Rect, Scene, Stroke, Text};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// How the vote of a model settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Settling {
    /// Words around it.
    pub caption: Caption,
    /// `[batches, share of layers whose kept heads equal the final ones]`, ascending.
    pub settled: Vec<Point>,
    /// Each layer, and after which of these batches it kept its final heads.
    pub layers: Vec<(String, Vec<bool>)>,
}

/// The first sample from which on the share is 1.
pub(super) fn settled_after(settled: &[Point]) -> Option<f64> {
    let unsettled = settled.iter().rposition(|p| p[1] < 1.0);
    settled.get(unsettled.map_or(0, |i| i + 1)).map(|p| p[0])
}

/// The share of layers against batches.
pub(super) fn chart(settled: &[Point], x_label: &str, theme: &Theme) -> Chart {
    let (first, last) = extent(settled.iter().map(|p| p[0])).unwrap_or((0.0, 1.0));
    let x = Axis::exact(x_label, Unit::Count, (first.min(1.0), last), 6);
    let label = "Layers whose kept heads equal the final ones";
    let mut chart = Chart::new(x, Axis::exact(label, Unit::Share, (0.0, 1.0), 4));
    chart.limits.extend(settled_after(settled).map(|value| Limit {
        name: format!("settled after {}", Unit::Count.format(value)),
        value,
        is_vertical: true,
        stroke: Stroke::dashed(theme.accent, 1.25),
    }));
    chart.series.push(Series {
        name: String::new(),
        points: settled.to_vec(),
        stroke: Stroke::solid(GroupStyle::of(theme, 0).color, 1.75),
        marker: (settled.len() <= 40).then_some(Marker::Circle),
    });
    chart
}

impl Settling {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(720.0, &self.caption, theme);
        let names = self.layers.iter().map(|(n, _)| font::width(n, SMALL, Weight::Regular)).fold(0.0, f64::max);
        let shift = (names - 26.0).max(0.0);
        let outer = page.take(190.0);
        let outer = Rect::new(outer.x + shift, outer.y, outer.w - shift, outer.h);
        let plot = chart(&self.settled, "batches", theme).draw(&mut page.scene, outer, theme);
        page.y += 14.0;
        page.heading("Each layer: when it kept its final heads");
        let step = (620.0 / self.layers.len().max(1) as f64).clamp(SMALL + 2.5, 18.0);
        for (name, settled) in &self.layers {
            let y = page.y + step / 2.0;
            let at = [plot.area.x - 8.0, y];
            page.scene.text(Text::new(&**name, at, SMALL, theme.ink).anchored(Anchor::End, Level::Middle));
            self.draw_layer(&mut page.scene, settled, |x| plot.across(x), y, theme);
            page.y += step;
        }
        page.y += 4.0;
        let view = self.clone();
        page.finish(move || view.table())
    }

    /// Thin while the kept heads differ from the final ones, thick while they equal them, a mark where they stay so.
    fn draw_layer(&self, scene: &mut Scene, settled: &[bool], across: impl Fn(f64) -> f64, y: f64, theme: &Theme) {
        let places: Vec<f64> = self.settled.iter().map(|p| across(p[0])).collect();
        let runs = |wanted: bool| {
            let ends = settled.iter().zip(places.windows(2)).filter(move |(s, _)| **s == wanted);
            ends.map(|(_, w)| vec![[w[0], y], [w[1], y]]).collect::<Vec<_>>()
        };
        let color = GroupStyle::of(theme, 0).color;
        scene.lines(runs(false), Stroke::solid(theme.axis, 1.0));
        scene.lines(runs(true), Stroke::solid(color, 3.0));
        let last = settled.iter().rposition(|s| !s).map_or(0, |i| i + 1);
        if let Some(x) = places.get(last) {
            scene.marks(vec![[*x, y]], Marker::Circle, 3.2, color);
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["site", "batches", "settled"]);
        for [batches, share] in &self.settled {
            table.push(["all".into(), (*batches).into(), (*share).into()]);
        }
        for (name, settled) in &self.layers {
            for (point, is_settled) in self.settled.iter().zip(settled) {
                table.push([name.as_str().into(), point[0].into(), (*is_settled).into()]);
            }
        }
        table
    }
}
