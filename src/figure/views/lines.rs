//! Pictures that are plots, one below the other under a common legend.

use crate::chart::plot::Plot;
use crate::chart::{Caption, GroupScores, QualityCurves, RepairBars, Table, TradeOff};
use crate::figure::export::{Figure, Sheet};
use crate::figure::page::{LegendSwatch, Page};
use crate::figure::plot::{draw, legend};

/// Draws plots below each other, each `height` tall; names that several of them have stand once in the legend.
fn stacked(
    caption: &Caption,
    plots: &[Plot],
    height: f64,
    sheet: Sheet<'_>,
    table: impl Fn() -> Table + Send + Sync + 'static,
) -> Figure {
    let theme = sheet.theme;
    let mut page = Page::new(720.0, caption, sheet);
    let mut entries: Vec<(LegendSwatch, String)> = Vec::new();
    for entry in plots.iter().flat_map(|plot| legend(plot, theme)) {
        if entries.iter().all(|(_, name)| *name != entry.1) {
            entries.push(entry);
        }
    }
    page.legend(&entries);
    for (i, plot) in plots.iter().enumerate() {
        page.y += if i > 0 { 10.0 } else { 0.0 };
        let outer = page.take(height);
        draw(plot, &mut page.scene, outer, theme);
    }
    page.finish(table)
}

impl GroupScores {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let view = self.clone();
        stacked(&self.caption, &self.plots(), 170.0, sheet.into(), move || view.table())
    }
}

impl QualityCurves {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let view = self.clone();
        stacked(&self.caption, &[self.plot()], 340.0, sheet.into(), move || view.table())
    }
}

impl RepairBars {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let view = self.clone();
        stacked(&self.caption, &[self.plot()], 280.0, sheet.into(), move || view.table())
    }
}

impl TradeOff {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let view = self.clone();
        stacked(&self.caption, &[self.plot()], 360.0, sheet.into(), move || view.table())
    }
}
