//! The panels of heads in rows and columns that fill the view.

use eframe::egui::{ScrollArea, Ui, Vec2, vec2};

use super::Attention;
use super::matrix::label_room;
use super::panel::{LabelRoom, PanelTexture, PanelView, TITLE, are_short};
use crate::chart::AttentionMaps;
use crate::gui::context::Cx;
use crate::gui::views::shown::Made;

/// Least width of a panel.
const SMALLEST: f32 = 150.0;
const GAP: f32 = 14.0;
/// How much wider or taller than its tokens ask for a matrix may be drawn, to fill the view.
const STRETCH: f32 = 1.8;

/// How panels fill a room.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PanelGrid {
    columns: usize,
    /// Width and height of the matrix or the image of a panel.
    each: Vec2,
}

/// The arrangement in which panels cover most of `room`, `shape` being their width by height and `stretch` how far they may
/// depart from it. Words that all share take room once, others in every panel.
fn arranged(room: Vec2, count: usize, shape: f32, stretch: f32, words: Vec2, are_shared: bool) -> PanelGrid {
    let (own, once) = if are_shared { (Vec2::ZERO, words) } else { (words, Vec2::ZERO) };
    let left = room - once;
    let most = (((left.x + GAP) / (SMALLEST + GAP)) as usize).clamp(1, count);
    let with = |columns: usize| {
        let rows = count.div_ceil(columns) as f32;
        let size = vec2((left.x + GAP) / columns as f32 - GAP, (left.y + GAP) / rows - GAP - TITLE) - own;
        let size = size.max(vec2(40.0, 40.0));
        let width = size.x.min(size.y * shape * stretch);
        let height = size.y.min(size.x / shape * stretch);
        PanelGrid { columns, each: vec2(width, height) }
    };
    let area = |layout: &PanelGrid| {
        // Full rows look better than a little more size, and so do cells that are as wide as tall.
        let bonus = if count.is_multiple_of(layout.columns) { 1.05 } else { 1.0 };
        let aspect = layout.each.x / layout.each.y / shape;
        layout.each.x * layout.each.y * bonus / aspect.max(1.0 / aspect).sqrt()
    };
    let best = (1..=most).map(with).max_by(|a, b| area(a).total_cmp(&area(b)));
    let layout = best.unwrap_or_else(|| with(1));
    // Panels that would be too small to read are scrolled.
    PanelGrid { each: layout.each.max(vec2(SMALLEST, SMALLEST / shape.clamp(0.5, 2.0))), ..layout }
}

impl Attention {
    pub(super) fn panels_ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: &Made, maps: &AttentionMaps) {
        let panels = &maps.panels;
        let image = maps.image.as_ref().map(|(image, _)| image);
        let shape = match image {
            Some(image) => image.columns as f32 / image.rows.max(1) as f32,
            None => panels.first().map_or(1.0, |p| p.weights.cols().max(1) as f32 / p.weights.rows().max(1) as f32),
        };
        let room = ui.available_size() - vec2(12.0, 6.0);
        let are_shared = image.is_some() || maps.has_shared_words();
        let words = match image {
            Some(_) => LabelRoom::default(),
            None => label_room(ui.painter(), panels, room, cx.theme),
        };
        let stretch = if image.is_some() { 1.0 } else { STRETCH };
        let layout = arranged(room, panels.len().max(1), shape, stretch, vec2(words.left, words.above), are_shared);
        self.textures.resize_with(panels.len(), PanelTexture::default);
        let lit = self.hovered.or(self.held);
        let is_short = are_short(ui, cx, maps, layout.each.x);
        let (mut chosen, mut hovered) = (None, None);
        ScrollArea::both().id_salt("attention panels").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(GAP, GAP);
            let rows = panels.chunks(layout.columns).zip(self.textures.chunks_mut(layout.columns));
            for (number, (row, textures)) in rows.enumerate() {
                ui.horizontal_top(|ui| {
                    for (place, (panel, texture)) in row.iter().zip(textures).enumerate() {
                        let has_words = image.is_none();
                        let beside = has_words && (!are_shared || place == 0);
                        let above = has_words && (!are_shared || number == 0);
                        let words = LabelRoom {
                            left: if beside { words.left } else { 0.0 },
                            above: if above { words.above } else { 0.0 },
                        };
                        let key = (made.clone(), cx.theme.figure.name);
                        let drawn = PanelView { cx, maps, panel, key, size: layout.each, words, is_short, lit };
                        match &maps.image {
                            Some((image, query)) => chosen = drawn.over(ui, image, *query, texture).or(chosen),
                            None => hovered = drawn.matrix(ui, texture).or(hovered),
                        }
                    }
                });
            }
        });
        self.query = chosen.unwrap_or(self.query);
        if hovered.is_some() {
            self.light(ui, hovered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fill_the_view() {
        let words = vec2(70.0, 70.0);
        for (room, count) in [(vec2(1400.0, 880.0), 4), (vec2(1400.0, 880.0), 1), (vec2(1400.0, 880.0), 8)] {
            let layout = arranged(room, count, 1.0, STRETCH, words, true);
            let rows = count.div_ceil(layout.columns) as f32;
            let across = layout.columns as f32 * (layout.each.x + GAP) - GAP + words.x;
            let down = rows * (layout.each.y + TITLE + GAP) - GAP + words.y;
            assert!(across <= room.x + 0.5 && down <= room.y + 0.5, "{room:?} {count}: {layout:?}");
            let share = layout.each.x * layout.each.y * count as f32 / (room.x * room.y);
            assert!(share > 0.6, "{room:?} {count}: {share} of the view, {layout:?}");
        }
        // Where there is no room for panels that can be read, they are scrolled.
        let layout = arranged(vec2(700.0, 400.0), 8, 1.0, STRETCH, words, true);
        assert!(layout.each.x >= SMALLEST && layout.each.y >= SMALLEST, "{layout:?}");
        // An image keeps its shape.
        let layout = arranged(vec2(1400.0, 880.0), 4, 1.5, 1.0, Vec2::ZERO, true);
        assert!((layout.each.x / layout.each.y - 1.5).abs() < 1e-3, "{layout:?}");
    }
}
