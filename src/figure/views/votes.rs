//! The vote of one layer: how often each head was chosen, how clearly, and when the result stood.

use crate::chart::VoteBars;
use crate::chart::plot::Plot;
use crate::figure::export::{Figure, Sheet};
use crate::figure::page::Page;
use crate::figure::plot::{Axes, draw, draw_within, legend};

impl VoteBars {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let heads = self.shares.len();
        let width = (heads as f64 * 26.0 + 100.0).clamp(540.0, 960.0);
        let mut page = Page::new(width, &self.caption, sheet);
        let shares = self.shares_plot();
        page.legend(&legend(&shares, theme));
        bars(&mut page, &shares, 240.0);
        if let Some(margins) = self.margins_plot() {
            page.y += 10.0;
            bars(&mut page, &margins, 150.0);
        }
        if let Some(settled) = self.settled_plot() {
            page.y += 12.0;
            page.heading("How many batches until the vote settled");
            let outer = page.take(170.0);
            draw(&settled, &mut page.scene, outer, theme);
        }
        let view = self.clone();
        page.finish(move || view.table())
    }
}

/// Plots below each other line up although their ticks differ in width.
fn bars(page: &mut Page<'_>, plot: &Plot, height: f64) {
    let outer = page.take(height);
    let mut axes = Axes::fit(outer, plot.x.clone(), plot.y.clone());
    let shift = outer.x + 44.0 - axes.area.x;
    axes.area.x += shift;
    axes.area.w -= shift;
    draw_within(plot, &mut page.scene, axes, page.theme);
}
