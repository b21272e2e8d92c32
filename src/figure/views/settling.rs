//! When the vote stood: for the whole model and for every layer.

use crate::chart::{GroupStyle, Marker, Settling, Theme};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{Page, SMALL};
use crate::figure::plot::draw;
use crate::figure::scene::{Anchor, Rect, Scene, Stroke, Text, VerticalAlign};

impl Settling {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let mut page = Page::new(720.0, &self.caption, sheet);
        let names = self.layers.iter().map(|(n, _)| font::width(n, SMALL, Weight::Regular)).fold(0.0, f64::max);
        let shift = (names - 26.0).max(0.0);
        let outer = page.take(190.0);
        let outer = Rect::new(outer.x + shift, outer.y, outer.w - shift, outer.h);
        let plot = draw(&self.plot(), &mut page.scene, outer, theme);
        page.y += 14.0;
        page.heading("Each layer: when it kept its final heads");
        let step = (620.0 / self.layers.len() as f64).clamp(SMALL + 2.5, 18.0);
        for (name, settled) in &self.layers {
            let y = page.y + step / 2.0;
            let at = [plot.area.x - 8.0, y];
            page.scene.text(Text::new(&**name, at, SMALL, theme.ink).anchored(Anchor::End, VerticalAlign::Middle));
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
}
