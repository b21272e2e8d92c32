//! A matrix as a texture that is made once and drawn as long as its numbers and colors stay the same.

use eframe::egui::{Color32, ColorImage, Painter, Pos2, Rect, TextureHandle, TextureOptions, Ui, pos2};

use crate::chart::{Grid, Pool, Raster, Rgb, Scale};

/// A texture with the key of what it shows.
pub(crate) struct MatrixTexture<K> {
    held: Option<(K, TextureHandle)>,
}

impl<K> Default for MatrixTexture<K> {
    fn default() -> Self {
        Self { held: None }
    }
}

impl<K: PartialEq> MatrixTexture<K> {
    /// The texture of `grid` in the colors of `scale`. `key` must change with the numbers and with `missing`, the color of
    /// cells without a value. Matrices larger than a texture can be are pooled to their largest values.
    pub(crate) fn get(
        &mut self,
        ui: &Ui,
        key: K,
        missing: Rgb,
        make: impl FnOnce() -> (Grid, Scale),
    ) -> &TextureHandle {
        self.get_raster(ui, key, || {
            let (grid, scale) = make();
            let side = ui.ctx().input(|i| i.max_texture_side).min(4096);
            Raster::from_grid(&grid.pooled(side, Pool::Max), &scale, missing)
        })
    }

    /// The texture of the picture that `make` draws; `key` must change with it.
    pub(crate) fn get_raster(&mut self, ui: &Ui, key: K, make: impl FnOnce() -> Raster) -> &TextureHandle {
        let held = match self.held.take().filter(|(held, _)| *held == key) {
            Some(held) => held,
            None => {
                let raster = make();
                // A texture has at least one pixel.
                let image = if raster.rgba.is_empty() {
                    ColorImage::filled([1, 1], Color32::TRANSPARENT)
                } else {
                    ColorImage::from_rgba_unmultiplied([raster.width, raster.height], &raster.rgba)
                };
                (key, ui.ctx().load_texture("matrix", image, TextureOptions::NEAREST))
            }
        };
        &self.held.insert(held).1
    }
}

/// Paints a texture over `rect`.
pub(crate) fn paint_texture(painter: &Painter, texture: &TextureHandle, rect: Rect) {
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    painter.image(texture.id(), rect, whole, Color32::WHITE);
}

/// Row and column of the cell under `at` in a matrix drawn over `rect`.
pub(crate) fn cell_at(rect: Rect, rows: usize, columns: usize, at: Pos2) -> Option<(usize, usize)> {
    if !rect.contains(at) || rows == 0 || columns == 0 {
        return None;
    }
    let place = |share: f32, n: usize| ((share * n as f32) as usize).min(n - 1);
    Some((place((at.y - rect.top()) / rect.height(), rows), place((at.x - rect.left()) / rect.width(), columns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_zero_is_on_top() {
        let rect = Rect::from_min_max(pos2(10.0, 20.0), pos2(110.0, 70.0));
        assert_eq!(cell_at(rect, 5, 10, pos2(10.5, 20.5)), Some((0, 0)));
        assert_eq!(cell_at(rect, 5, 10, pos2(10.5, 69.5)), Some((4, 0)));
        assert_eq!(cell_at(rect, 5, 10, pos2(109.9, 20.5)), Some((0, 9)));
        assert_eq!(cell_at(rect, 5, 10, pos2(110.0, 70.0)), Some((4, 9)));
        assert_eq!(cell_at(rect, 5, 10, pos2(9.0, 30.0)), None);
    }
}
