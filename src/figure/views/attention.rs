//! Where heads look: attention weights over the tokens of one input.

use std::sync::Arc;

use crate::chart::number::Unit;
use crate::chart::raster::{Pool, Raster};
use crate::chart::theme::Theme;
use crate::chart::{AttentionMaps, AttentionPanel, Caption, PatchImage, Rgb};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LABEL, MARGIN, Page, SMALL};
use crate::figure::scene::{Anchor, Item, Rect, Scene, Stroke, Text, VerticalAlign};

/// Larger matrices are pooled to what a page shows.
const MOST_CELLS: usize = 640;
/// Longest token beside a matrix.
const TOKEN: f64 = 96.0;
/// Least width of one of several panels.
const SMALLEST: f64 = 60.0;

impl AttentionMaps {
    /// Draws it: one head large with its tokens, several as small pictures.
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let mut caption = self.caption.clone();
        if let Some((image, query)) = &self.image {
            return self.over_image(image, *query, caption, sheet);
        }
        if self.panels.len() > 1 {
            caption
                .notes
                .insert(0, "Rows are queries, columns are keys, the first token is at the top left.".to_owned());
        }
        // Room between the margins, where there is an end to it.
        let inner = sheet.width.map_or(f64::INFINITY, |width| width.floor() - 2.0 * MARGIN);
        let (columns, side) = grid(self.panels.len(), inner);
        let longest = self.panels.iter().map(|p| p.weights.rows().max(p.weights.cols())).max().unwrap_or(0);
        let most = most_cells(side);
        if longest > most {
            caption.notes.push(format!(
                "{longest} positions are shown as {}: each cell holds the largest weight of its block.",
                longest.div_ceil(longest.div_ceil(most))
            ));
        }
        let mut page;
        if let [panel] = self.panels.as_slice() {
            let (rows, cols) = (panel.weights.rows(), panel.weights.cols());
            let [left, top] = [&panel.queries, &panel.keys].map(|tokens| token_room(tokens));
            let most = (MOST_CELLS as f64).min(inner - left - 10.0);
            let cell = (most / rows.max(cols) as f64).min(26.0);
            let cell = if cell >= 1.0 && inner.is_infinite() { cell.floor() } else { cell };
            let side = Rect::new(0.0, 0.0, cols as f64 * cell, rows as f64 * cell);
            page = Page::new((2.0 * MARGIN + left + side.w + 10.0).max(400.0), &caption, sheet);
            self.color_bar(&mut page, panel.weights.has_missing());
            let area = Rect::new(MARGIN + left, page.y + top + 14.0, side.w, side.h);
            self.draw_matrix(&mut page.scene, panel, area, theme);
            tokens(panel, &mut page.scene, area, [true, true], theme);
            page.y = area.bottom() + 4.0;
        } else {
            // The words of one panel are those of all: they stand beside the first of a line and above the first line.
            let cells = self.panels.iter().map(|p| p.weights.rows().max(p.weights.cols())).max().unwrap_or(1);
            let has_words = self.has_shared_words() && side / cells.max(1) as f64 >= SMALL + 2.0;
            let first = self.panels.first().filter(|_| has_words);
            let room = |of: Option<&Arc<Vec<String>>>| of.map_or(0.0, |tokens| token_room(tokens));
            let [left, top] = [room(first.map(|p| &p.queries)), room(first.map(|p| &p.keys))];
            let side = side.min((inner - left + 12.0) / columns as f64 - 12.0);
            page = Page::new(2.0 * MARGIN + left + columns as f64 * (side + 12.0) - 12.0, &caption, sheet);
            let missing = self.panels.iter().any(|p| p.weights.has_missing());
            self.color_bar(&mut page, missing);
            for (number, line) in self.panels.chunks(columns).enumerate() {
                let above = if number == 0 { top } else { 0.0 };
                let row = page.take(side + 24.0 + above);
                for (i, panel) in line.iter().enumerate() {
                    let x = row.x + left + i as f64 * (side + 12.0);
                    let name = self.heading(panel, side);
                    page.scene.text(
                        Text::new(name, [x, row.y + 2.0], SMALL, theme.ink).anchored(Anchor::Start, VerticalAlign::Top),
                    );
                    let area = Rect::new(x, row.y + 14.0 + above, side, side);
                    self.draw_matrix(&mut page.scene, panel, area, theme);
                    tokens(panel, &mut page.scene, area, [has_words && i == 0, has_words && number == 0], theme);
                }
            }
        }
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn color_bar(&self, page: &mut Page<'_>, missing: bool) {
        let missing = missing.then_some((page.theme.surface, "not visible"));
        match self.legend_scale() {
            (share, Some(of)) => {
                page.color_bar(&share, &format!("Attention weight, share {of}"), Unit::Share, missing);
            }
            (scale, None) => page.color_bar(&scale, "Attention weight", Unit::Plain, missing),
        }
    }

    /// What stands over a panel of some width. Where a name has no room, all do without the layer, which the caption names.
    fn heading(&self, panel: &AttentionPanel, wide: f64) -> String {
        let is_cut = |panel: &AttentionPanel| font::width(&panel.title(), SMALL, Weight::Regular) > wide;
        let is_short = self.is_of_one_layer() && self.panels.iter().any(is_cut);
        let title = if is_short { panel.short_title() } else { panel.title() };
        font::shortened(&title, wide, SMALL, Weight::Regular)
    }

    fn draw_matrix(&self, scene: &mut Scene, panel: &AttentionPanel, area: Rect, theme: &Theme) {
        let weights = self.shown(panel).pooled(most_cells(area.w.max(area.h)), Pool::Max);
        if weights.rows() > 0 && weights.cols() > 0 {
            let raster = Raster::from_grid(&weights, &self.scale(panel), theme.surface);
            scene.push(Item::Image { rect: area, raster });
        }
        scene.outline(area, Stroke::solid(theme.axis, 1.0));
    }

    /// What one query looks at, over the image.
    fn over_image(&self, image: &PatchImage, query: usize, mut caption: Caption, sheet: Sheet<'_>) -> Figure {
        let theme = sheet.theme;
        let name = self.panels.first().and_then(|p| p.queries.get(query));
        let name = name.cloned().unwrap_or_else(|| query.to_string());
        caption.notes.insert(0, format!("Weights that the query {name} gives to the patches of the image."));
        let inner = sheet.width.map_or(f64::INFINITY, |width| width.floor() - 2.0 * MARGIN);
        let (columns, side) = grid(self.panels.len(), inner);
        let side = side.min(420.0);
        let mut page = Page::new((2.0 * MARGIN + columns as f64 * (side + 12.0) - 12.0).max(400.0), &caption, sheet);
        self.color_bar(&mut page, false);
        let tall = side * image.rows as f64 / image.columns as f64;
        for line in self.panels.chunks(columns) {
            let row = page.take(tall + 24.0);
            for (i, panel) in line.iter().enumerate() {
                let x = row.x + i as f64 * (side + 12.0);
                let name = self.heading(panel, side);
                page.scene.text(
                    Text::new(name, [x, row.y + 2.0], SMALL, theme.ink).anchored(Anchor::Start, VerticalAlign::Top),
                );
                let rect = Rect::new(x, row.y + 14.0, side, tall);
                page.scene.push(Item::Image {
                    rect,
                    raster: image.under(|token| panel.weight(query, token), &self.scale(panel)),
                });
                if let Some((r, c)) = image.patch(query) {
                    let (w, h) = (side / image.columns as f64, tall / image.rows as f64);
                    let patch = Rect::new(rect.x + c as f64 * w, rect.y + r as f64 * h, w, h);
                    page.scene.outline(patch, Stroke::solid(Rgb::BLACK, 3.0));
                    page.scene.outline(patch, Stroke::solid(Rgb::WHITE, 1.5));
                }
            }
        }
        let view = self.clone();
        page.finish(move || view.table())
    }
}

/// Tokens beside and above the matrix where they are wanted, as many as have room.
fn tokens(panel: &AttentionPanel, scene: &mut Scene, area: Rect, wanted: [bool; 2], theme: &Theme) {
    let (rows, columns) = (panel.weights.rows(), panel.weights.cols());
    let (tall, wide) = (area.h / rows.max(1) as f64, area.w / columns.max(1) as f64);
    let every = |cell: f64| ((SMALL + 1.5) / cell).ceil().max(1.0) as usize;
    let word = |token: &String| font::shortened(&font::token(token, usize::MAX), TOKEN, SMALL, Weight::Regular);
    for row in (0..rows).step_by(every(tall)).filter(|_| wanted[0]) {
        let at = [area.x - 6.0, area.y + (row as f64 + 0.5) * tall];
        if let (_, Some(token)) = panel.query(row) {
            scene.text(Text::new(word(token), at, SMALL, theme.ink).anchored(Anchor::End, VerticalAlign::Middle));
        }
    }
    for column in (0..columns).step_by(every(wide)).filter(|_| wanted[1]) {
        let at = [area.x + (column as f64 + 0.5) * wide, area.y - 6.0];
        if let (_, Some(token)) = panel.key(column) {
            let text = Text::new(word(token), at, SMALL, theme.ink).anchored(Anchor::Start, VerticalAlign::Middle);
            scene.text(text.turned(-90.0));
        }
    }
    if wanted != [true, true] {
        return;
    }
    let corner = [area.x - 6.0, area.y - 6.0];
    let label = |text, at| Text::new(text, at, LABEL - 1.0, theme.muted).anchored(Anchor::End, VerticalAlign::Base);
    scene.text(label("query ↓  key →", corner));
}

/// Columns of panels within `inner`, and how wide each is: where there is less room they are smaller, then fewer.
fn grid(panels: usize, inner: f64) -> (usize, f64) {
    let (columns, side): (usize, f64) = match panels {
        0 | 1 => (1, MOST_CELLS as f64),
        2..=4 => (2, 300.0),
        5..=9 => (3, 236.0),
        10..=16 => (4, 176.0),
        17..=36 => (6, 124.0),
        n => ((n as f64).sqrt().ceil().min(12.0) as usize, 78.0),
    };
    let columns = columns.min(((inner + 12.0) / (SMALLEST + 12.0)) as usize).max(1);
    (columns, side.min((inner + 12.0) / columns as f64 - 12.0))
}

/// Two cells for each unit are all that a dense screen can tell apart.
fn most_cells(side: f64) -> usize {
    ((side * 2.0) as usize).clamp(1, MOST_CELLS)
}

/// Room for the longest token, and at least for the words in the corner.
fn token_room(tokens: &[String]) -> f64 {
    let widths = tokens.iter().map(|t| font::width(&font::token(t, usize::MAX), SMALL, Weight::Regular));
    widths.fold(0.0, f64::max).clamp(78.0, TOKEN) + 8.0
}
