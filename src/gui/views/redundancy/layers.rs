//! Every layer at once, small: one texture that holds a pooled matrix for each. Larger tiles are pooled less, so that
//! looking closer shows finer cells; a click shows the layer itself.

use eframe::egui::{
    Align2, Color32, ColorImage, FontId, Pos2, Rect, Role, ScrollArea, Sense, Slider, Stroke, StrokeKind,
    TextureFilter, TextureHandle, TextureOptions, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use crate::chart::{Picture, Pool, Raster, Rgb, Similarity, Unit};
use crate::error::Error;
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::views::shown::Made;
use crate::gui::widgets::{Background, cell_at, note, slide};
use crate::network::Site;

/// What the tiles are made of: the picture, pixels of a tile, color of what is missing.
type TilesKey = (Made, usize, Rgb);

/// Pixels of all tiles, `columns` of them in a row.
struct Atlas {
    columns: usize,
    /// Pixels of a tile's side; a tile of fewer heads fills a part.
    side: usize,
    /// Pixels used of each tile.
    used: Vec<usize>,
    raster: Raster,
}

impl Atlas {
    /// Where a tile stands in the texture, as shares of its size.
    fn uv(&self, i: usize) -> Rect {
        let whole = vec2(self.raster.width as f32, self.raster.height as f32);
        let corner = vec2((i % self.columns * self.side) as f32, (i / self.columns * self.side) as f32);
        let used = self.used.get(i).copied().unwrap_or(0) as f32;
        Rect::from_min_size((corner / whole).to_pos2(), Vec2::splat(used) / whole)
    }
}

/// What the view of all layers remembers.
pub(super) struct LayerTiles {
    /// The tiles as a texture, with the place of each. Millions of pixels take longer than a frame, also to be copied.
    drawn: Background<TilesKey, (TextureHandle, Vec<Rect>)>,
    /// How many times larger tiles are than where all of them fit.
    size: f32,
    before: Stand,
}

/// How the tiles stood in the last frame.
#[derive(Default)]
struct Stand {
    columns: usize,
    side: f32,
    /// How far down they were scrolled.
    offset: f32,
}

impl Default for LayerTiles {
    fn default() -> Self {
        Self { drawn: Background::default(), size: 1.0, before: Stand::default() }
    }
}

/// Height of a layer's name over its tile, and room between tiles.
const NAME: f32 = 18.0;
const GAP: f32 = 12.0;
/// Smallest and largest side of a tile while all of them are to fit.
const SIDES: (f32, f32) = (64.0, 220.0);
/// Cells keep their edges where they are larger than a pixel of the screen, and join where they are smaller.
const SMALLER_SMOOTH: TextureOptions =
    TextureOptions { minification: TextureFilter::Linear, ..TextureOptions::NEAREST };
/// How much larger a person may make them.
const LARGEST: f32 = 12.0;

impl LayerTiles {
    /// Draws the tiles; true where one was clicked, which shows that layer.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, made: &Made, layers: &[Similarity]) -> bool {
        self.resize(ui, cx.theme);
        let room = ui.available_size() - vec2(14.0, 0.0);
        let (columns, side) = enlarged(room, arrange(room, layers.len()), self.size);
        let heads = layers.iter().map(|l| l.groups.len()).max().unwrap_or(1);
        // In steps, so that a window being resized does not draw anew for every point.
        let pixels = ((side * ui.ctx().pixels_per_point()).ceil().max(1.0) as usize).next_power_of_two().min(heads);
        let key = (made.clone(), pixels, cx.theme.figure.missing);
        let (made, ctx) = (made.clone(), ui.ctx().clone());
        let missing = cx.theme.figure.missing;
        let drawn = self.drawn.get(ui.ctx(), key, move || {
            let most = ctx.input(|i| i.max_texture_side);
            let Picture::Similarities(_, layers) = &*made else { return Err(Error::new("there are no layers")) };
            let atlas = atlas(layers, pixels, most, missing);
            let places = (0..layers.len()).map(|i| atlas.uv(i)).collect();
            let size = [atlas.raster.width, atlas.raster.height];
            let image = ColorImage::from_rgba_unmultiplied(size, &atlas.raster.rgba);
            Ok((ctx.load_texture("layers", image, SMALLER_SMOOTH), places))
        });
        let Some(Ok((texture, places))) = drawn else {
            note(ui, cx.theme, "Drawing every layer …");
            return false;
        };
        let mut opened = false;
        let mut area = ScrollArea::both().auto_shrink(false);
        if let Some(down) = self.before.follow(ui, (columns, side), layers.len()) {
            area = area.vertical_scroll_offset(down);
        }
        let shown = area.show(ui, |ui| {
            let rows = layers.len().div_ceil(columns);
            let size = vec2(columns as f32 * (side + GAP) - GAP, rows as f32 * (side + NAME + GAP));
            let (outer, response) = ui.allocate_exact_size(size, Sense::click());
            let painter = ui.painter_at(outer);
            let place = |i: usize| tile(outer.min, side, columns, i);
            for (i, layer) in layers.iter().enumerate() {
                let rect = place(i);
                if !ui.is_rect_visible(rect.expand2(vec2(0.0, NAME))) {
                    continue;
                }
                let is_shown = cx.state.site().is_some_and(|site| site.to_string() == layer.site);
                let ink = if is_shown { cx.theme.accent } else { cx.theme.muted };
                let at = rect.left_top() - vec2(0.0, 4.0);
                painter.text(at, Align2::LEFT_BOTTOM, &layer.site, FontId::proportional(11.0), ink);
                let uv = places.get(i).copied().unwrap_or(Rect::ZERO);
                painter.image(texture.id(), rect, uv, Color32::WHITE);
                if is_shown {
                    painter.rect_stroke(rect.expand(2.0), 2.0, Stroke::new(1.5, cx.theme.accent), StrokeKind::Outside);
                }
            }
            let label = layers.first().map_or("", |l| l.likeness.label());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("{} in every layer", label)));
            let under = response.hover_pos().and_then(|at| {
                let i = (0..layers.len()).find(|i| place(*i).expand2(vec2(0.0, NAME)).contains(at))?;
                Some((layers.get(i)?, place(i), at))
            });
            let Some((layer, rect, at)) = under else { return };
            if let Some(site) = layer.site.parse::<Site>().ok().filter(|_| response.clicked()) {
                cx.send(Action::ShowSite(site));
                opened = true;
            }
            let order = layer.order();
            let pair = cell_at(rect, order.len(), order.len(), at).and_then(|(r, c)| {
                let (i, j) = (*order.get(r)?, *order.get(c)?);
                Some(format!(", heads {i} and {j}: {}", Unit::Plain.format(layer.matrix.get(i, j))))
            });
            response.on_hover_text_at_pointer(format!("{}{}", layer.site, pair.unwrap_or_default()));
        });
        self.before.offset = shown.state.clamped_offset().y;
        opened
    }

    /// Ways to look closer.
    fn resize(&mut self, ui: &mut Ui, theme: &WindowTheme) {
        if ui.rect_contains_pointer(ui.available_rect_before_wrap()) {
            self.size = (self.size * ui.input(|i| i.zoom_delta())).clamp(1.0, LARGEST);
        }
        ui.horizontal(|ui| {
            let slider = Slider::new(&mut self.size, 1.0..=LARGEST).logarithmic(true).show_value(false);
            let label = ui.label("Size of the tiles");
            slide(ui, theme, slider).labelled_by(label.id).on_hover_text(
                "Larger tiles show finer cells. Ctrl and the wheel do the same; a click on a tile shows its layer alone",
            );
        });
    }
}

impl Stand {
    /// How far to scroll so that the layer under the pointer stays there while tiles grow or shrink.
    fn follow(&mut self, ui: &Ui, (columns, side): (usize, f32), count: usize) -> Option<f32> {
        let before = std::mem::replace(self, Self { columns, side, offset: self.offset });
        if (before.columns, before.side) == (columns, side) || before.side <= 0.0 {
            return None;
        }
        let at = ui.ctx().pointer_latest_pos()? - ui.cursor().min;
        let (down, right) = ((at.y + before.offset) / (before.side + NAME + GAP), at.x / (before.side + GAP));
        if at.y < 0.0 || right < 0.0 {
            return None;
        }
        let column = (right as usize).min(before.columns - 1);
        let under = (down as usize * before.columns + column).min(count.saturating_sub(1));
        let now = tile(Pos2::ZERO, side, columns, under).top() - NAME + down.fract() * (side + NAME + GAP);
        Some((now - at.y).max(0.0))
    }
}

/// How many tiles stand in a row, and their side: as large as all of them fit, within limits.
fn arrange(room: Vec2, count: usize) -> (usize, f32) {
    let side = |columns: usize| {
        let rows = count.div_ceil(columns) as f32;
        ((room.x + GAP) / columns as f32 - GAP).min(room.y / rows - NAME - GAP)
    };
    let widest = (((room.x + GAP) / (SIDES.0 + GAP)) as usize).clamp(1, count);
    let columns = (1..=widest).max_by(|a, b| side(*a).total_cmp(&side(*b))).unwrap_or(1);
    let found = side(columns);
    if found >= SIDES.0 {
        return (columns, found.min(SIDES.1).floor());
    }
    // They do not fit at once: fill the width and scroll.
    (widest, (((room.x + GAP) / widest as f32 - GAP).clamp(24.0, SIDES.1)).floor())
}

/// The same, `size` times as large.
fn enlarged(room: Vec2, (columns, side): (usize, f32), size: f32) -> (usize, f32) {
    let larger = (side * size).floor();
    let fitting = ((room.x + GAP) / (larger + GAP)) as usize;
    if larger <= side { (columns, side) } else { (fitting.clamp(1, columns), larger) }
}

fn tile(corner: Pos2, side: f32, columns: usize, i: usize) -> Rect {
    let (row, column) = (i / columns, i % columns);
    let at = corner.to_vec2() + vec2(column as f32 * (side + GAP), row as f32 * (side + NAME + GAP) + NAME);
    Rect::from_min_size(pos2(at.x, at.y), vec2(side, side))
}

/// Draws every layer into one picture whose sides a texture can have.
fn atlas(layers: &[Similarity], wanted: usize, most: usize, missing: Rgb) -> Atlas {
    let count = layers.len();
    let columns = (count as f64).sqrt().ceil() as usize;
    let side = wanted.min(most / columns).max(1);
    let (width, height) = (columns * side, count.div_ceil(columns) * side);
    let mut raster = Raster { width, height, rgba: vec![0; width * height * 4] };
    let mut used = Vec::with_capacity(count);
    for (i, layer) in layers.iter().enumerate() {
        let (order, scale) = (layer.order(), layer.scale());
        let pooled = layer.matrix.reordered(&order, &order).pooled(side, Pool::Mean);
        let small = Raster::from_grid(&pooled, &scale, missing);
        let (left, top) = (i % columns * side, i / columns * side);
        for row in 0..small.height {
            let from = row * small.width * 4;
            let to = ((top + row) * width + left) * 4;
            if let (Some(source), Some(target)) =
                (small.rgba.get(from..from + small.width * 4), raster.rgba.get_mut(to..to + small.width * 4))
            {
                target.copy_from_slice(source);
            }
        }
        used.push(small.width);
    }
    Atlas { columns, side, used, raster }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_tiles_stand_in_fewer_columns() {
        let room = vec2(760.0, 420.0);
        let (columns, side) = arrange(room, 128);
        assert_eq!(enlarged(room, (columns, side), 1.0), (columns, side));
        for size in [1.5, 3.0, LARGEST] {
            let (fewer, larger) = enlarged(room, (columns, side), size);
            assert!(fewer < columns && larger >= (side * size).floor(), "{fewer} of {larger}");
            assert!(fewer == 1 || tile(Pos2::ZERO, larger, fewer, fewer - 1).right() <= room.x);
        }
    }

    #[test]
    fn tiles_fit_their_room() {
        for (room, count) in
            [(vec2(760.0, 420.0), 12), (vec2(1300.0, 800.0), 48), (vec2(760.0, 420.0), 128), (vec2(90.0, 90.0), 3)]
        {
            let (columns, side) = arrange(room, count);
            let last = tile(pos2(0.0, 0.0), side, columns, columns - 1);
            assert!(last.right() <= room.x + 0.5, "{count} tiles of {side} in {room:?}");
            let bottom = tile(pos2(0.0, 0.0), side, columns, count - 1).bottom();
            // Where they cannot be large enough, they fill the width and are scrolled.
            let fills = columns as f32 * (SIDES.0 + GAP) + SIDES.0 > room.x - GAP;
            assert!(bottom <= room.y || fills, "{count} tiles of {side} end at {bottom}");
        }
    }
}
