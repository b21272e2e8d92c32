//! The vote of one layer: how often each head was chosen, how clearly, and when the result stood.

use super::settling;
use crate::figure::axis::Axis;
use crate::figure::color::Rgb;
use crate::figure::export::Figure;
use crate::figure::number::Unit;
use crate::figure::page::{Caption, Page, SMALL, Sample};
use crate::figure::plot::Plot;
use crate::figure::scene::{Anchor, Level, Point, Rect, Scene, Stroke, Text};
use crate::figure::table::Table;
use crate::figure::theme::Theme;

/// The vote of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct VoteBars {
    /// Words around it.
    pub caption: Caption,
    /// `encoder.0` and so on, for the table.
    pub site: String,
    /// Votes of each head as a share of all that it could win, 0 to 1.
    pub shares: Vec<f64>,
    /// Mean margin of each head's wins, 0 (tied) to 1 (no rival), NaN without wins; may be empty.
    pub margins: Vec<f64>,
    /// Heads that stay.
    pub kept: Vec<usize>,
    /// Shares at or above stay, where a threshold decides.
    pub threshold: Option<f64>,
    /// The share that every head would have if chance voted.
    pub chance: Option<f64>,
    /// `[batches, share of layers whose kept heads equal the final ones]`; may be empty.
    pub settled: Vec<Point>,
}

/// Width beside the plot for the names of limits.
const LIMIT_NAMES: f64 = 92.0;

impl VoteBars {
    /// Draws it.
    pub fn figure(&self, theme: &Theme) -> Figure {
        let heads = self.shares.len();
        let width = (heads as f64 * 26.0 + 190.0).clamp(540.0, 960.0);
        let mut page = Page::new(width, &self.caption, theme);
        page.legend(&Self::samples(theme));
        let high = self.shares.iter().chain(&self.threshold).chain(&self.chance).copied().fold(0.02, f64::max);
        let y = Axis::linear("Share of votes", Unit::Share, (0.0, high.min(1.0)), 5);
        let outer = page.take(240.0);
        let plot = self.bars(&mut page.scene, outer, (&self.shares, y), theme);
        self.draw_limits(&mut page.scene, &plot, theme);
        if self.margins.iter().any(|m| m.is_finite()) {
            page.y += 10.0;
            let outer = page.take(150.0);
            let y = Axis::exact("Mean winning margin: 0 tied, 100 % without a rival", Unit::Share, (0.0, 1.0), 2);
            self.bars(&mut page.scene, outer, (&self.margins, y), theme);
        }
        if self.settled.len() > 1 {
            page.y += 12.0;
            page.heading("How many batches until the vote settled");
            let outer = page.take(170.0);
            let outer = Rect { w: outer.w - LIMIT_NAMES, ..outer };
            settling::chart(&self.settled, "batches", theme).draw(&mut page.scene, outer, theme);
        }
        let view = self.clone();
        page.finish(move || view.table())
    }

    /// Colours of heads that stay and of those that go.
    fn colors(theme: &Theme) -> [Rgb; 2] {
        [theme.kept, theme.pruned]
    }

    pub(super) fn samples(theme: &Theme) -> Vec<(Sample, String)> {
        let names = ["kept", "pruned"].map(str::to_owned);
        Self::colors(theme).into_iter().map(|c| Sample::Cell(c.into())).zip(names).collect()
    }

    pub(super) fn draw_bars(&self, scene: &mut Scene, plot: &Plot, values: &[f64], theme: &Theme) {
        let base = plot.down(0.0);
        let width = ((plot.across(1.0) - plot.across(0.0)) * 0.72).min(40.0);
        for (wanted, color) in [true, false].into_iter().zip(Self::colors(theme)) {
            let bars = values.iter().enumerate().filter(|(h, v)| self.keeps(*h) == wanted && v.is_finite());
            let rects = bars.map(|(head, value)| {
                let top = plot.down(*value).min(base - 1.0);
                Rect::new(plot.across(head as f64) - width / 2.0, top, width, base - top)
            });
            scene.fill(rects.collect(), color);
        }
    }

    fn keeps(&self, head: usize) -> bool {
        self.kept.contains(&head)
    }

    /// A plot with a bar for each head.
    fn bars(&self, scene: &mut Scene, outer: Rect, (values, y): (&[f64], Axis), theme: &Theme) -> Plot {
        let x = Axis::integers("head", 0, self.shares.len().max(1) - 1, 32);
        let mut plot = Plot::fit(Rect { w: outer.w - LIMIT_NAMES, ..outer }, x, y);
        // Plots below each other line up although their ticks differ in width.
        let shift = outer.x + 44.0 - plot.area.x;
        plot.area = Rect { x: plot.area.x + shift, w: plot.area.w - shift, ..plot.area };
        plot.frame(scene, theme);
        self.draw_bars(scene, &plot, values, theme);
        plot
    }

    /// Lines across the votes, named in the margin beside them.
    fn draw_limits(&self, scene: &mut Scene, plot: &Plot, theme: &Theme) {
        let mut limits = Vec::new();
        limits.extend(self.threshold.map(|v| (v, "threshold", Stroke::solid(theme.accent, 1.75))));
        limits.extend(self.chance.map(|v| (v, "chance", Stroke::dashed(theme.muted, 1.25))));
        limits.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut free = f64::NEG_INFINITY;
        for (value, name, stroke) in limits {
            let y = plot.down(value);
            if !y.is_finite() {
                continue;
            }
            scene.line(vec![[plot.area.x, y], [plot.area.right() + 4.0, y]], stroke);
            let middle = y.max(free);
            free = middle + SMALL + 4.0;
            let text = Text::new(
                format!("{name} {}", Unit::Share.format(value)),
                [plot.area.right() + 8.0, middle],
                SMALL,
                stroke.color,
            );
            scene.text(text.anchored(Anchor::Start, Level::Middle));
        }
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(["site", "head", "vote_share", "mean_margin", "kept"]);
        for (head, share) in self.shares.iter().enumerate() {
            let margin = self.margins.get(head).copied();
            table.push([
                self.site.as_str().into(),
                head.into(),
                (*share).into(),
                margin.into(),
                self.keeps(head).into(),
            ]);
        }
        table
    }
}
