//! Measures of a training run over its steps, one plot below the other.

use crate::chart::plot::Plot;
use crate::chart::{GroupStyle, TrainingCurves};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{Page, SMALL};
use crate::figure::plot::draw;
use crate::figure::scene::{Anchor, Rect, Text, VerticalAlign};

/// Height of one plot.
const PLOT: f64 = 168.0;

impl TrainingCurves {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let mut page = Page::new(760.0, &self.caption, sheet);
        let plots = self.plots();
        // Room on the right for the names of lines.
        let names = plots.iter().flat_map(|p| &p.series).map(|s| font::width(&s.name, SMALL, Weight::Regular));
        let names = names.fold(0.0, f64::max).min(170.0).min(page.inner() * 0.3) + 24.0;
        // Plots below each other line up although their ticks differ in width.
        let widest = plots.iter().map(y_width).fold(0.0, f64::max);
        for (i, plot) in plots.iter().enumerate() {
            let outer = page.take(if i + 1 == plots.len() { PLOT + 16.0 } else { PLOT });
            let shift = widest - y_width(plot);
            let inner = Rect::new(outer.x + shift, outer.y, outer.w - names - shift, outer.h);
            let drawn = draw(plot, &mut page.scene, inner, theme);
            let end = |points: &[[f64; 2]]| {
                points.iter().rev().find(|p| p[1].is_finite()).map_or(f64::NAN, |p| drawn.down(p[1]))
            };
            let ends: Vec<(f64, f64)> =
                plot.series.iter().enumerate().map(|(k, s)| (end(&s.points), k as f64)).collect();
            let places = spread(&ends, drawn.area.y + 4.0, drawn.area.bottom() - 4.0, SMALL + 4.0);
            for (k, y) in places.into_iter().filter(|(k, _)| !plot.series[*k].name.is_empty()) {
                let name = font::shortened(&plot.series[k].name, names - 20.0, SMALL, Weight::Regular);
                let style = GroupStyle::of(theme, k);
                let x = drawn.area.right() + 10.0;
                page.scene.marks(vec![[x, y]], style.marker, 3.4, style.color);
                page.scene.text(
                    Text::new(name, [x + 8.0, y], SMALL, theme.ink).anchored(Anchor::Start, VerticalAlign::Middle),
                );
            }
        }
        let view = self.clone();
        page.finish(move || view.table())
    }
}

/// Width of the widest label on the vertical axis of `plot`.
fn y_width(plot: &Plot) -> f64 {
    plot.y.tick_labels().iter().map(|t| font::width(t, SMALL, Weight::Regular)).fold(0.0, f64::max).ceil()
}

/// Where the names of lines go: near `(y, index)`, but `gap` apart and between `top` and `bottom`. Lines without an end
/// come last.
fn spread(ends: &[(f64, f64)], top: f64, bottom: f64, gap: f64) -> Vec<(usize, f64)> {
    let mut order: Vec<(usize, f64)> =
        ends.iter().map(|(y, k)| (*k as usize, if y.is_finite() { y.clamp(top, bottom) } else { bottom })).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut floor = top;
    for entry in &mut order {
        entry.1 = entry.1.max(floor);
        floor = entry.1 + gap;
    }
    // What was pushed out below moves the ones above it up.
    let mut ceiling = bottom;
    for entry in order.iter_mut().rev() {
        entry.1 = entry.1.min(ceiling);
        ceiling = entry.1 - gap;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lines_keep_apart() {
        let places = spread(&[(50.0, 0.0), (51.0, 1.0), (f64::NAN, 2.0), (99.0, 3.0)], 0.0, 100.0, 12.0);
        assert_eq!(places.iter().map(|p| p.0).collect::<Vec<_>>(), [0, 1, 3, 2]);
        assert!(places.windows(2).all(|w| w[1].1 - w[0].1 >= 12.0 - 1e-9));
        assert!(places.iter().all(|p| (0.0..=100.0).contains(&p.1)));
    }
}
