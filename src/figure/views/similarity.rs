//! How alike the heads of one layer are: a matrix ordered by group under its tree.

use super::group_legend;
use crate::chart::axis::Axis;
use crate::chart::color::Rgb;
use crate::chart::number::Unit;
use crate::chart::palette::{GroupStyle, Marker};
use crate::chart::raster::{Grid, Raster, Scale};
use crate::chart::theme::Theme;
use crate::chart::tree::Tree;
use crate::chart::{Likeness, Similarity};
use crate::figure::export::{Figure, Sheet};
use crate::figure::page::{CELL, LegendSwatch, MARGIN, Page, SMALL};
use crate::figure::scene::{Anchor, Item, Rect, Scene, Stroke, Text, VerticalAlign};

/// Height of the tree.
const TREE: f64 = 76.0;
/// Width of the strip that shows groups.
const STRIP: f64 = 7.0;

impl Similarity {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let heads = self.groups.len();
        // Small layers show their numbers.
        let cell = if heads <= 12 { 34.0 } else { (560.0 / heads as f64).floor().clamp(4.0, 28.0) };
        let left = 34.0 + STRIP + 4.0;
        let room = sheet.width.map_or(f64::INFINITY, |width| width.floor() - 2.0 * MARGIN - left - 14.0);
        let cell = cell.min(room / heads as f64);
        let side = cell * heads as f64;
        let mut page = Page::new((2.0 * MARGIN + left + side + 14.0).max(420.0), &self.caption, sheet);
        let scale = self.scale();
        let missing = self.matrix.has_missing().then_some((theme.missing, "no direction"));
        page.color_bar(&scale, self.likeness.label(), Unit::Plain, missing);
        let mut entries = group_legend(theme, self.groups.iter().max().map_or(0, |g| g + 1));
        if self.kept.is_some() {
            entries.push((LegendSwatch::Mark(Marker::Circle, theme.ink), "kept".to_owned()));
        }
        page.legend(&entries);
        let tree = self.tree.as_ref();
        let order = self.order();
        page.y += 10.0;
        let top = page.y + if tree.is_some() { TREE } else { 0.0 } + STRIP + 4.0;
        let square = Rect::new(MARGIN + left, top, side, side);
        let measure = match self.likeness {
            Likeness::Cosine => "1 − cosine",
            Likeness::Distance => "distance",
            Likeness::Cka => "1 − CKA",
        };
        if let Some(tree) = tree {
            let area = Rect::new(square.x, page.y, side, TREE - 4.0);
            draw_tree(&mut page.scene, tree, measure, &self.groups, area, theme);
        }
        let sorted = self.matrix.reordered(&order, &order);
        let raster = Raster::from_grid(&sorted, &scale, theme.missing);
        page.scene.push(Item::Image { rect: square, raster });
        if heads <= 12 {
            let least = if sheet.width.is_some() { CELL } else { SMALL };
            write_values(&mut page.scene, &sorted, &scale, square, (cell, least), theme);
        }
        self.strips(&mut page.scene, &order, square, cell, theme);
        self.names(&mut page.scene, &order, square, cell, theme);
        page.y = square.bottom() + 16.0;
        let view = self.clone();
        page.finish(move || view.table())
    }

    /// Group colors beside and above the matrix, and a frame around each group.
    fn strips(&self, scene: &mut Scene, order: &[usize], square: Rect, cell: f64, theme: &Theme) {
        let mut start = 0;
        while let Some(first) = order.get(start) {
            let group = self.groups[*first];
            let length = order[start..].iter().take_while(|h| self.groups[**h] == group).count();
            let (offset, extent) = (start as f64 * cell, length as f64 * cell);
            let color = GroupStyle::of(theme, group).color;
            let gap = if cell >= 8.0 { 1.0 } else { 0.0 };
            scene.fill(
                vec![
                    Rect::new(square.x - 3.0 - STRIP, square.y + offset, STRIP, extent - gap),
                    Rect::new(square.x + offset, square.y - 3.0 - STRIP, extent - gap, STRIP),
                ],
                color,
            );
            let frame = Rect::new(square.x + offset, square.y + offset, extent, extent);
            // Two lines, so that the frame shows on every color of the map.
            scene.outline(frame, Stroke::solid(Rgb::WHITE, 3.0));
            scene.outline(frame, Stroke::solid(Rgb::BLACK, 1.25));
            start += length;
        }
    }

    fn names(&self, scene: &mut Scene, order: &[usize], square: Rect, cell: f64, theme: &Theme) {
        let mut clear = f64::NEG_INFINITY;
        for (place, head) in order.iter().enumerate() {
            let middle = (place as f64 + 0.5) * cell;
            let kept = self.kept.as_ref().is_some_and(|k| k.contains(head));
            if kept {
                scene.marks(
                    vec![[square.right() + 7.0, square.y + middle]],
                    Marker::Circle,
                    (cell / 3.0).clamp(1.5, 3.0),
                    theme.ink,
                );
            }
            if middle - clear < SMALL + 1.0 {
                continue;
            }
            clear = middle;
            let at = [square.x - STRIP - 8.0, square.y + middle];
            let name = Text::new(head.to_string(), at, SMALL, theme.ink).anchored(Anchor::End, VerticalAlign::Middle);
            scene.text(if kept { name.bold() } else { name });
        }
        let at = [square.x - STRIP - 8.0, square.y - 8.0];
        scene.text(Text::new("head", at, SMALL, theme.muted).anchored(Anchor::End, VerticalAlign::Base));
    }
}

/// Writes the numbers into cells of this size, where they fit: as large as others, or of the `least` size.
fn write_values(
    scene: &mut Scene,
    sorted: &Grid,
    scale: &Scale,
    square: Rect,
    (cell, least): (f64, f64),
    theme: &Theme,
) {
    let short = |v: f64| if v.is_nan() { String::new() } else { Unit::Plain.labels(&[v], 0.01).concat() };
    let whole = |v: f64| Unit::Count.format(v.round());
    let fits = scale.high <= 10.0;
    for row in 0..sorted.rows() {
        for col in 0..sorted.cols() {
            let value = sorted.get(row, col);
            let at = [square.x + (col as f64 + 0.5) * cell, square.y + (row as f64 + 0.5) * cell];
            let text = if fits || value.is_nan() { short(value) } else { whole(value) };
            let color = scale.color(value, theme.missing).ink();
            let sizes = [SMALL, least].map(|size| Text::new(text.clone(), at, size, color));
            if let Some(text) = sizes.into_iter().find(|text| text.width() <= cell - 3.0) {
                scene.text(text.anchored(Anchor::Middle, VerticalAlign::Middle));
            }
        }
    }
}

/// Draws the tree hanging over `area`, branches inside a group in its color.
fn draw_tree(scene: &mut Scene, tree: &Tree, measure: &str, groups: &[usize], area: Rect, theme: &Theme) {
    let n = tree.order.len();
    let top = tree.joins.last().map_or(0.0, |j| j.height);
    if n < 2 || top <= 0.0 {
        return;
    }
    let at = [area.right(), area.y - 5.0];
    scene.text(
        Text::new(format!("tree: mean {measure}"), at, SMALL, theme.muted).anchored(Anchor::End, VerticalAlign::Base),
    );
    let axis = Axis::linear("", Unit::Plain, (tree.foot(), top), 2);
    let labels = axis.tick_labels();
    for (tick, label) in axis.ticks.iter().zip(labels).filter(|(t, _)| axis.position(**t) <= 1.0) {
        let y = area.bottom() - area.h * axis.position(*tick);
        scene.line(vec![[area.x, y], [area.right(), y]], Stroke::solid(theme.grid, 1.0));
        if *tick > axis.low {
            let at = [area.x - 5.0, y];
            scene.text(Text::new(label, at, SMALL, theme.muted).anchored(Anchor::End, VerticalAlign::Middle));
        }
    }
    let step = area.w / n as f64;
    let mut places = vec![0.0; n];
    for (place, leaf) in tree.order.iter().enumerate() {
        places[*leaf] = area.x + (place as f64 + 0.5) * step;
    }
    let mut heights = vec![area.bottom(); n];
    let mut owners: Vec<Option<usize>> = groups.iter().copied().map(Some).collect();
    for join in &tree.joins {
        let (a, b) = (join.left, join.right);
        let y = area.bottom() - area.h * axis.position(join.height);
        let owner = if owners[a] == owners[b] { owners[a] } else { None };
        let color = owner.map_or(theme.axis, |g| GroupStyle::of(theme, g).color);
        let corners = vec![[places[a], heights[a]], [places[a], y], [places[b], y], [places[b], heights[b]]];
        scene.line(corners, Stroke::solid(color, if step >= 8.0 { 1.75 } else { 1.0 }));
        places.push((places[a] + places[b]) / 2.0);
        heights.push(y);
        owners.push(owner);
    }
}
