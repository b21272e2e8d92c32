//! What a plan saves: every measure of cost before and after.

use crate::chart::{CostBars, CostRow, Ink};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LABEL, LegendSwatch, Page};
use crate::figure::scene::{Anchor, Rect, Stroke, Text, VerticalAlign};

/// Height of one measure.
const ROW: f64 = 34.0;
/// How much taller it is with its bars below its words.
const BELOW: f64 = 16.0;
/// Least length of a bar beside its words.
const LEAST: f64 = 100.0;

impl CostBars {
    /// Draws it. Bars are shares of the value before, since the measures have different units.
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let mut page = Page::new(820.0, &self.caption, sheet);
        let colors = [Ink::Before.color(theme), Ink::Nth(0).color(theme)];
        let entries =
            colors.map(|c| LegendSwatch::Cell(c.into())).into_iter().zip(["before", "after"].map(str::to_owned));
        let mut entries: Vec<_> = entries.collect();
        if self.rows.iter().any(|r| r.least.is_some()) {
            let stroke = Stroke::solid(theme.ink, 2.0);
            entries.push((LegendSwatch::Line(stroke, None), "with one head left per layer".to_owned()));
        }
        page.legend(&entries);
        let longest = |text: &dyn Fn(&CostRow) -> String| {
            self.rows.iter().map(|r| font::width(&text(r), LABEL, Weight::Regular)).fold(0.0, f64::max).ceil()
        };
        let names = longest(&|r| r.name.clone()).min(260.0);
        let values = longest(&CostRow::values);
        let changes = longest(&CostRow::change).max(40.0) + 4.0;
        // Where bars have no room beside their words, they lie below them.
        let is_below = page.inner() - names - values - changes - 40.0 < LEAST;
        let tall = if is_below { ROW + BELOW } else { ROW };
        let outer = page.take(tall * self.rows.len() as f64);
        let names = if is_below { page.inner() - values - changes - 24.0 } else { names };
        let numbers = outer.right() - changes - 12.0;
        let (left, right) =
            if is_below { (outer.x, outer.right()) } else { (outer.x + names + 12.0, numbers - values - 16.0) };
        let most = self.rows.iter().map(CostRow::ratio).filter(|r| r.is_finite()).fold(1.0, f64::max);
        for (i, row) in self.rows.iter().enumerate() {
            let y = outer.y + i as f64 * tall;
            let words = y + ROW / 2.0 - 2.0 - if is_below { 7.0 } else { 0.0 };
            let middle = words + if is_below { BELOW + 7.0 } else { 0.0 };
            let name = font::shortened(&row.name, names, LABEL, Weight::Regular);
            let scene = &mut page.scene;
            let (x, anchor) = if is_below { (outer.x, Anchor::Start) } else { (left - 12.0, Anchor::End) };
            scene.text(Text::new(name, [x, words], LABEL, theme.ink).anchored(anchor, VerticalAlign::Middle));
            let full = (right - left).max(1.0) / most;
            scene.fill(vec![Rect::new(left, middle - 10.0, full, 8.0)], colors[0]);
            let after = Rect::new(left, middle, (full * row.ratio()).max(1.0), 11.0);
            if row.ratio().is_finite() {
                scene.fill(vec![after], colors[1]);
            }
            let least = row.least.filter(|l| row.before > 0.0 && l.is_finite()).map(|l| left + full * l / row.before);
            if let Some(x) = least {
                scene.line(vec![[x, middle - 13.0], [x, middle + 14.0]], Stroke::solid(theme.ink, 2.0));
            }
            let at = [numbers, words];
            scene.text(Text::new(row.values(), at, LABEL, theme.ink).anchored(Anchor::End, VerticalAlign::Middle));
            let better = if row.more_is_better { row.after > row.before } else { row.after < row.before };
            let color = match (row.after == row.before || !row.ratio().is_finite(), better) {
                (true, _) => theme.muted,
                (_, true) => theme.good,
                (_, false) => theme.danger,
            };
            let text = Text::new(row.change(), [outer.right(), words], LABEL, color).bold();
            scene.text(text.anchored(Anchor::End, VerticalAlign::Middle));
        }
        if !is_below {
            page.scene.line(vec![[left, outer.y], [left, outer.bottom() - 4.0]], Stroke::solid(theme.axis, 1.0));
        }
        let view = self.clone();
        page.finish(move || view.table())
    }
}
