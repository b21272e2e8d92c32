//! What a plan saves: every measure of cost before and after.

use crate::figure::export::Figure;
use crate::figure::font::{self, Weight};
use crate::figure::number::Unit;
use crate::figure::page::{Caption, LABEL, Page, Sample};
use crate::figure::palette::GroupStyle;
use crate::figure::scene::{Anchor, Level, Rect, Stroke, Text};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// One measure.
#[derive(Clone, Debug, PartialEq)]
pub struct CostRow {
    /// What is measured: `Parameters without embeddings`.
    pub name: String,
    /// How it is written.
    pub unit: Unit,
    /// Before.
    pub before: f64,
    /// After; NaN where it was not measured.
    pub after: f64,
    /// The least that pruning heads could ever reach, where that is known.
    pub least: Option<f64>,
    /// True for speed and the like.
    pub more_is_better: bool,
}

/// What a plan saves.
#[derive(Clone, Debug, PartialEq)]
pub struct CostBars {
    /// Words around it.
    pub caption: Caption,
    /// The measures from top to bottom.
    pub rows: Vec<CostRow>,
}

/// Height of one measure.
const ROW: f64 = 34.0;

impl CostBars {
    /// Draws it. Bars are shares of the value before, since the measures have different units.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let mut page = Page::new(820.0, &self.caption, theme);
        let colors = [theme.axis.mix(theme.background, 0.55), GroupStyle::of(theme, 0).color];
        let entries = colors.map(|c| Sample::Cell(c.into())).into_iter().zip(["before", "after"].map(str::to_owned));
        let mut entries: Vec<_> = entries.collect();
        if self.rows.iter().any(|r| r.least.is_some()) {
            let stroke = Stroke::solid(theme.ink, 2.0);
            entries.push((Sample::Line(stroke, None), "with one head left per layer".to_owned()));
        }
        page.legend(&entries);
        let longest = |text: &dyn Fn(&CostRow) -> String| {
            self.rows.iter().map(|r| font::width(&text(r), LABEL, Weight::Regular)).fold(0.0, f64::max).ceil()
        };
        let names = longest(&|r| r.name.clone()).min(260.0);
        let values = longest(&CostRow::values);
        let changes = longest(&CostRow::change).max(40.0) + 4.0;
        let outer = page.take(ROW * self.rows.len() as f64);
        let left = outer.x + names + 12.0;
        let right = outer.right() - values - changes - 28.0;
        let most = self.rows.iter().map(CostRow::ratio).filter(|r| r.is_finite()).fold(1.0, f64::max);
        for (i, row) in self.rows.iter().enumerate() {
            let y = outer.y + i as f64 * ROW;
            let middle = y + ROW / 2.0 - 2.0;
            let name = font::shortened(&row.name, names, LABEL, Weight::Regular);
            let scene = &mut page.scene;
            scene.text(Text::new(name, [left - 12.0, middle], LABEL, theme.ink).anchored(Anchor::End, Level::Middle));
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
            let at = [right + 16.0 + values, middle];
            scene.text(Text::new(row.values(), at, LABEL, theme.ink).anchored(Anchor::End, Level::Middle));
            let better = if row.more_is_better { row.after > row.before } else { row.after < row.before };
            let color = match (row.after == row.before || !row.ratio().is_finite(), better) {
                (true, _) => theme.muted,
                (_, true) => theme.good,
                (_, false) => theme.danger,
            };
            let text = Text::new(row.change(), [outer.right(), middle], LABEL, color).bold();
            scene.text(text.anchored(Anchor::End, Level::Middle));
        }
        page.scene.line(vec![[left, outer.y], [left, outer.bottom() - 4.0]], Stroke::solid(theme.axis, 1.0));
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["measure", "unit", "before", "after", "after_share", "least"]);
        for row in &self.rows {
            let unit = match row.unit {
                Unit::Plain => "",
                Unit::Share => "share",
                Unit::Count => "count",
                Unit::Bytes => "bytes",
            };
            table.push([
                row.name.as_str().into(),
                unit.into(),
                row.before.into(),
                row.after.into(),
                row.ratio().into(),
                row.least.into(),
            ]);
        }
        table
    }
}

impl CostRow {
    /// A measure of which less is better.
    pub fn new(name: impl Into<String>, unit: Unit, before: f64, after: f64) -> Self {
        Self { name: name.into(), unit, before, after, least: None, more_is_better: false }
    }

    /// The same, of which more is better.
    #[must_use]
    pub fn more_is_better(mut self) -> Self {
        self.more_is_better = true;
        self
    }

    /// After as a share of before; NaN where there is none.
    fn ratio(&self) -> f64 {
        if self.before > 0.0 { self.after / self.before } else { f64::NAN }
    }

    fn values(&self) -> String {
        format!("{} → {}", self.unit.format(self.before), self.unit.format(self.after))
    }

    fn change(&self) -> String {
        Unit::change(self.before, self.after).unwrap_or_else(|| "–".to_owned())
    }
}
