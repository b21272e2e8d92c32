//! Two overviews beside each other.

use crate::chart::palette::GroupStyle;
use crate::chart::theme::Theme;
use crate::chart::{Overview, Paint, Rgb, SideBySide, Unit};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LABEL, LegendSwatch, MARGIN, Page, SMALL};
use crate::figure::scene::{Anchor, Rect, Text, VerticalAlign};

/// Room between the two.
const BETWEEN: f64 = 24.0;
/// Room for what is told of both, and the least for each of them.
const TOLD: f64 = 90.0;
const LEAST: f64 = 40.0;

impl SideBySide {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let heads = self.sides.iter().flat_map(|side| &side.rows).map(|row| row.heads).max().unwrap_or(1).max(1);
        let names =
            self.rows.iter().map(|r| font::width(&r.site.to_string(), LABEL, Weight::Regular)).fold(30.0, f64::max);
        let layers = self.rows.len().max(1);
        let cell = (380.0 / heads as f64).min(720.0 / layers as f64).floor().clamp(3.0, 24.0);
        let step = cell + if cell >= 12.0 { 2.0 } else { 1.0 };
        let left = (MARGIN + names + 8.0).ceil();
        // What is left to each of the two.
        let room = sheet.width.map_or(f64::INFINITY, |width| (width.floor() - left - BETWEEN - TOLD - MARGIN) / 2.0);
        let room = room.max(LEAST);
        let (cell, step) = if heads as f64 * step > room {
            let step = room / heads as f64;
            (step * 0.85, step)
        } else {
            (cell, step)
        };
        let wide = (heads as f64 * step).max(120.0_f64.min(room));
        let mut page = Page::new(left + 2.0 * wide + BETWEEN + TOLD + MARGIN, &self.caption, sheet);
        self.legend(&mut page);
        let top = page.y;
        let lefts = [left, left + wide + BETWEEN];
        for (x, name) in lefts.iter().zip(&self.names) {
            let name = font::shortened(name, wide, LABEL, Weight::Regular);
            page.scene.text(Text::new(name, [*x, top], LABEL, theme.ink).anchored(Anchor::Start, VerticalAlign::Top));
        }
        let told = lefts[1] + wide + 10.0;
        let title = self.rows.iter().find_map(|row| row.groups).map_or("cosine", |_| "adjusted Rand");
        page.scene.text(Text::new(title, [told, top], SMALL, theme.muted).anchored(Anchor::Start, VerticalAlign::Top));
        let mut y = top + 18.0;
        let mut named = f64::NEG_INFINITY;
        for row in &self.rows {
            let middle = y + cell / 2.0;
            if middle - named >= SMALL + 2.0 {
                named = middle;
                let at = [left - 8.0, middle];
                let text = Text::new(row.site.to_string(), at, LABEL.min(step.max(SMALL)), theme.ink);
                page.scene.text(text.anchored(Anchor::End, VerticalAlign::Middle));
                if let Some(number) = row.groups.or(row.cosine) {
                    let text = Text::new(Unit::Plain.format(number), [told, middle], SMALL, theme.muted);
                    page.scene.text(text.anchored(Anchor::Start, VerticalAlign::Middle));
                }
            }
            for (side, x) in self.sides.iter().zip(lefts) {
                let Some(of_site) = side.rows.iter().find(|r| r.site == row.site) else { continue };
                for head in 0..of_site.heads {
                    let rect = Rect::new(x + head as f64 * step, y, cell, cell);
                    let color = color_of(side, theme, of_site.groups.get(head).copied(), of_site.value(head));
                    if of_site.keeps(head) {
                        page.scene.fill(vec![rect], color);
                    } else {
                        page.scene.fill(vec![rect], theme.grid);
                        page.scene.fill(vec![rect.shrunk((cell * 0.29).round())], color);
                    }
                }
            }
            y += step;
        }
        page.y = y;
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn legend(&self, page: &mut Page<'_>) {
        let theme = page.theme;
        let [first, _] = &self.sides;
        let mut entries = match &first.paint {
            Paint::Groups => {
                let groups = self.sides.iter().flat_map(|side| &side.rows).flat_map(|row| &row.groups);
                super::group_legend(theme, groups.max().map_or(0, |last| last + 1))
            }
            Paint::Values { label, unit, scale, .. } => {
                page.color_bar(scale, label, *unit, Some((theme.missing, "only in one")));
                Vec::new()
            }
            Paint::Kept | Paint::Kinds => Vec::new(),
        };
        entries.push((LegendSwatch::Cell(theme.axis.into()), "kept".to_owned()));
        entries.push((LegendSwatch::SmallCell(theme.axis), "not there, or pruned".to_owned()));
        page.legend(&entries);
    }
}

fn color_of(side: &Overview, theme: &Theme, group: Option<usize>, value: f64) -> Rgb {
    match (&side.paint, group) {
        (Paint::Groups, Some(group)) => GroupStyle::of(theme, group).color,
        (Paint::Values { scale, .. }, _) => scale.color(value, theme.missing),
        _ => theme.missing,
    }
}
