//! One kind of picture for every layer at once, small.

use crate::chart::color::Rgb;
use crate::chart::number::Unit;
use crate::chart::palette::ColorMap;
use crate::chart::raster::{Grid, Raster, Scale};
use crate::chart::table::Table;
use crate::chart::theme::Theme;
use crate::chart::{Caption, GroupMap, Likeness, Similarity, VoteBars};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LegendSwatch, MARGIN, Page, SMALL};
use crate::figure::plot::{Axes, bar_rects, legend, limit_ends, stroke};
use crate::figure::scene::{Anchor, Item, Rect, Scene, Stroke, Text, VerticalAlign};

/// A picture of one layer that can also be drawn small.
pub(super) trait Tile {
    fn site(&self) -> &str;

    /// Its most telling number, written where there is room; may be empty.
    fn remark(&self) -> String;

    /// Draws into `area` without any words.
    fn draw_small(&self, scene: &mut Scene, area: Rect, theme: &Theme);

    /// The numbers, the layer in the first column.
    fn numbers(&self) -> Table;

    /// Height of a tile of this width.
    fn height(width: f64) -> f64;

    /// What colors mean, for all tiles together.
    fn legend(tiles: &[Self], page: &mut Page<'_>)
    where
        Self: Sized;
}

/// Least width of a tile.
const SMALLEST: f64 = 60.0;

/// Draws a tile for every layer, in reading order.
fn tiles<T: Tile + Clone + Send + Sync + 'static>(caption: &Caption, tiles: &[T], sheet: Sheet<'_>) -> Figure {
    let theme = sheet.theme;
    let (columns, width) = match tiles.len() {
        0..=4 => (tiles.len().max(1), 220.0),
        5..=12 => (4, 200.0),
        13..=36 => (6, 150.0),
        n => (((n as f64 * 1.2).sqrt().ceil() as usize).min(12), 92.0),
    };
    let mut page = Page::new((2.0 * MARGIN + columns as f64 * (width + 14.0) - 14.0).max(460.0), caption, sheet);
    // Where there is less room, tiles are smaller, and then fewer stand beside each other.
    let columns = columns.min(((page.inner() + 14.0) / (SMALLEST + 14.0)) as usize).max(1);
    let width = width.min((page.inner() + 14.0) / columns as f64 - 14.0);
    T::legend(tiles, &mut page);
    let height = T::height(width);
    for line in tiles.chunks(columns) {
        let row = page.take(height + 28.0);
        for (i, tile) in line.iter().enumerate() {
            let x = row.x + i as f64 * (width + 14.0);
            let name = font::shortened(tile.site(), width, SMALL, Weight::Regular);
            let name = Text::new(name, [x, row.y + 2.0], SMALL, theme.ink).anchored(Anchor::Start, VerticalAlign::Top);
            let remark = Text::new(tile.remark(), [x + width, row.y + 2.0], SMALL, theme.muted);
            if name.width() + remark.width() + 6.0 <= width {
                page.scene.text(remark.anchored(Anchor::End, VerticalAlign::Top));
            }
            page.scene.text(name);
            tile.draw_small(&mut page.scene, Rect::new(x, row.y + 15.0, width, height), theme);
        }
    }
    let layers = tiles.to_vec();
    page.finish(move || {
        let mut all = layers.iter().map(Tile::numbers);
        let mut table = all.next().unwrap_or_default();
        all.for_each(|next| table.append(next));
        table
    })
}

impl Similarity {
    /// Every layer at once, small.
    pub fn tiles<'a>(caption: &Caption, layers: &[Self], sheet: impl Into<Sheet<'a>>) -> Figure {
        tiles(caption, layers, sheet.into())
    }
}

impl GroupMap {
    /// Every layer at once, small, each under its mean silhouette.
    pub fn tiles<'a>(caption: &Caption, layers: &[Self], sheet: impl Into<Sheet<'a>>) -> Figure {
        tiles(caption, layers, sheet.into())
    }
}

impl VoteBars {
    /// Every layer at once, small, each with an axis of its own.
    pub fn tiles<'a>(caption: &Caption, layers: &[Self], sheet: impl Into<Sheet<'a>>) -> Figure {
        tiles(caption, layers, sheet.into())
    }
}

impl Tile for Similarity {
    fn site(&self) -> &str {
        &self.site
    }

    fn remark(&self) -> String {
        String::new()
    }

    fn draw_small(&self, scene: &mut Scene, area: Rect, theme: &Theme) {
        let order = self.order();
        let sorted = self.matrix.reordered(&order, &order);
        let scale = self.scale();
        scene.push(Item::Image { rect: area, raster: Raster::from_grid(&sorted, &scale, theme.missing) });
        let cell = area.w / order.len() as f64;
        let mut start = 0;
        while let Some(first) = order.get(start) {
            let length = order[start..].iter().take_while(|h| self.groups[**h] == self.groups[*first]).count();
            let (at, side) = (start as f64 * cell, length as f64 * cell);
            let frame = Rect::new(area.x + at, area.y + at, side, side);
            scene.outline(frame, Stroke::solid(Rgb::WHITE, 2.0));
            scene.outline(frame, Stroke::solid(Rgb::BLACK, 1.0));
            start += length;
        }
    }

    fn numbers(&self) -> Table {
        self.table()
    }

    fn height(width: f64) -> f64 {
        width
    }

    fn legend(tiles: &[Self], page: &mut Page<'_>) {
        let missing = tiles.iter().any(|t| t.matrix.has_missing()).then_some((page.theme.missing, "no direction"));
        match tiles.first().map(|t| t.likeness) {
            // Distances have no common range: every layer has its own.
            Some(Likeness::Distance) => {
                let scale = Scale::new(ColorMap::Viridis, 0.0, 1.0);
                page.color_bar(&scale, "Distance, share of the layer's largest", Unit::Share, missing);
            }
            Some(likeness) => {
                let scale = likeness.scale(&Grid::from_rows::<[f64; 0]>(&[]));
                page.color_bar(&scale, likeness.label(), Unit::Plain, missing);
            }
            None => {}
        }
        page.legend(&[(LegendSwatch::Frame(page.theme.ink), "group".to_owned())]);
    }
}

impl Tile for GroupMap {
    fn site(&self) -> &str {
        &self.site
    }

    fn remark(&self) -> String {
        self.mean_silhouette.map_or_else(String::new, |mean| Unit::Plain.labels(&[mean], 0.01).concat())
    }

    fn draw_small(&self, scene: &mut Scene, area: Rect, theme: &Theme) {
        let radius = if area.w < 120.0 || self.points.len() > 48 { 2.0 } else { 3.2 };
        self.draw_points(&self.map_plot(), scene, area, radius, theme);
    }

    fn numbers(&self) -> Table {
        self.table()
    }

    fn height(width: f64) -> f64 {
        width
    }

    fn legend(tiles: &[Self], page: &mut Page<'_>) {
        page.legend(&super::map::samples(tiles, page.theme));
    }
}

impl Tile for VoteBars {
    fn site(&self) -> &str {
        &self.site
    }

    fn remark(&self) -> String {
        let high = self.shares.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        format!("top {}", Unit::Share.format(high))
    }

    fn draw_small(&self, scene: &mut Scene, area: Rect, theme: &Theme) {
        let plot = self.shares_plot();
        let axes = Axes { area: Rect { h: area.h - 1.0, ..area }, x: plot.x.clone(), y: plot.y.clone() };
        for bars in &plot.bars {
            scene.fill(bar_rects(bars, &axes), bars.ink.color(theme));
        }
        scene.line(vec![[area.x, area.bottom()], [area.right(), area.bottom()]], Stroke::solid(theme.axis, 1.0));
        for limit in &plot.limits {
            scene.line(limit_ends(limit, &axes), stroke(limit.ink, limit.line, theme));
        }
    }

    fn numbers(&self) -> Table {
        self.table()
    }

    fn height(width: f64) -> f64 {
        (width * 0.55).round()
    }

    fn legend(tiles: &[Self], page: &mut Page<'_>) {
        let Some(first) = tiles.first() else { return };
        let mut entries = legend(&first.shares_plot(), page.theme);
        for limit in first.shares_plot().limits {
            let name = limit.name.split(' ').next().unwrap_or_default().to_owned();
            entries.push((LegendSwatch::Line(stroke(limit.ink, limit.line, page.theme), None), name));
        }
        page.legend(&entries);
    }
}
