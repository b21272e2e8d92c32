//! Weights over the patches of an image.

use super::color::Rgb;
use super::raster::{Raster, Scale};

/// An image as a model reads it: patches in reading order, after tokens of the model's own.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchImage {
    pub pixels: Raster,
    pub rows: usize,
    pub columns: usize,
    /// Tokens before the first patch: the class token, the distillation token.
    pub leading: usize,
}

/// How strongly weights cover the image.
const COVER: f64 = 0.62;

impl PatchImage {
    /// The token of a patch.
    pub fn token(&self, row: usize, column: usize) -> usize {
        self.leading + row * self.columns + column
    }

    /// The patch of a token; `None` for tokens of the model's own and beyond the image.
    pub fn patch(&self, token: usize) -> Option<(usize, usize)> {
        let index = token.checked_sub(self.leading)?;
        let patch = (index / self.columns, index % self.columns);
        (patch.0 < self.rows).then_some(patch)
    }

    /// The image in gray under the weight of each patch's token; NaN leaves it gray.
    pub fn under(&self, weight: impl Fn(usize) -> f64, scale: &Scale) -> Raster {
        let (width, height) = (self.pixels.width, self.pixels.height);
        Raster::from_fn(height, width, |y, x| {
            let pixel = self.pixels.pixel(x, y).unwrap_or(Rgb::BLACK);
            let light = (0.299 * f64::from(pixel.r) + 0.587 * f64::from(pixel.g) + 0.114 * f64::from(pixel.b)) as u8;
            let gray = Rgb::new(light, light, light);
            let weight = weight(self.token(y * self.rows / height, x * self.columns / width));
            if weight.is_nan() { gray } else { gray.mix(scale.color(weight, gray), COVER) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::ColorMap;
    use super::*;

    #[test]
    fn patches_lie_in_reading_order_after_the_leading_tokens() {
        let pixels = Raster::from_fn(4, 6, |_, _| Rgb::new(255, 255, 255));
        let image = PatchImage { pixels, rows: 2, columns: 3, leading: 1 };
        assert_eq!((image.token(0, 0), image.token(1, 2)), (1, 6));
        assert_eq!(
            (image.patch(0), image.patch(1), image.patch(6), image.patch(7)),
            (None, Some((0, 0)), Some((1, 2)), None)
        );
        // Only the patch at row 1, column 2 has weight.
        let scale = Scale::new(ColorMap::Viridis, 0.0, 1.0);
        let under = image.under(|token| if token == 6 { 1.0 } else { 0.0 }, &scale);
        let white = Rgb::new(255, 255, 255);
        let [low, high] = [0, 255].map(|i| white.mix(ColorMap::Viridis.table()[i], COVER));
        for y in 0..4 {
            for x in 0..6 {
                let expected = if y >= 2 && x >= 4 { high } else { low };
                assert_eq!(under.pixel(x, y), Some(expected), "{x}, {y}");
            }
        }
    }
}
