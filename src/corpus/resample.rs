//! Resizing 8-bit images exactly as Pillow does, whose results image processors were tuned on.
//!
//! Pillow widens the filter when it shrinks an image, rounds the weights to 22 bits and the pixels to 8 bits after
//! each of the two passes, across first (releases up to 12; 13 goes down first where that is less work). The `image` crate keeps floats between
//! passes, which differs by one level here and there; `fast_image_resize` rounds weights to 16 bits, which differs in a
//! fifth of all values.

use crate::error::{Error, Result};

/// Fraction bits of the weights (Pillow's `PRECISION_BITS`).
const BITS: u32 = 22;

/// The filters by Pillow's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Nearest,
    Lanczos,
    Bilinear,
    Bicubic,
    Box,
    Hamming,
}

impl Filter {
    /// The filter that `resample` in a processor's configuration names.
    pub(super) fn of_code(code: u64) -> Result<Self> {
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming]
            .into_iter()
            .zip(0..)
            .find_map(|(filter, number)| (number == code).then_some(filter))
            .ok_or_else(|| Error::new(format!("'resample' is {code}, which is no filter")))
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        let away = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - away).max(0.0),
            Self::Hamming if away >= 1.0 => 0.0,
            Self::Hamming => sinc(x) * (0.54 + 0.46 * (std::f64::consts::PI * x).cos()),
            // Keys' cubic with a = -0.5.
            Self::Bicubic if away < 1.0 => (1.5 * away - 2.5) * away * away + 1.0,
            Self::Bicubic if away < 2.0 => ((-0.5 * away + 2.5) * away - 4.0) * away + 2.0,
            Self::Bicubic => 0.0,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// An RGB image, row by row, three bytes a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RgbImage {
    pub width: usize,
    pub height: usize,
    pub bytes: Vec<u8>,
}

impl RgbImage {
    /// An image in which every pixel is black.
    pub(super) fn black(width: usize, height: usize) -> Self {
        Self { width, height, bytes: vec![0; width * height * 3] }
    }

    /// The pixel in column `x` of row `y`; black outside.
    pub(super) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        let inside = x < self.width && y < self.height;
        self.bytes.get(at..at + 3).filter(|_| inside).and_then(|p| p.try_into().ok()).unwrap_or([0; 3])
    }

    /// This image in another size.
    pub(super) fn resize(&self, width: usize, height: usize, filter: Filter) -> Self {
        if (width, height) == (self.width, self.height) || self.bytes.is_empty() {
            return self.clone();
        }
        if filter == Filter::Nearest {
            return self.nearest(width, height);
        }
        let mut image = self.clone();
        if width != self.width {
            let taps = taps(self.width, width, filter);
            image = Self::black(width, self.height);
            for (y, row) in image.bytes.chunks_mut(width * 3).enumerate() {
                let from = self.bytes.get(y * self.width * 3..(y + 1) * self.width * 3).unwrap_or(&[]);
                for (pixel, (first, weights)) in row.chunks_mut(3).zip(&taps) {
                    let window = from.get(first * 3..).unwrap_or(&[]).chunks(3);
                    blend(pixel, window, weights);
                }
            }
        }
        if height != image.height {
            let taps = taps(image.height, height, filter);
            let across = image.width * 3;
            let mut tall = Self::black(image.width, height);
            for (row, (first, weights)) in tall.bytes.chunks_mut(across).zip(&taps) {
                let rows = image.bytes.get(first * across..).unwrap_or(&[]);
                for (x, pixel) in row.chunks_mut(3).enumerate() {
                    let window = rows.chunks(across).map(|row| row.get(x * 3..x * 3 + 3).unwrap_or(&[]));
                    blend(pixel, window, weights);
                }
            }
            image = tall;
        }
        image
    }

    fn nearest(&self, width: usize, height: usize) -> Self {
        let place = |i: usize, to: usize, from: usize| {
            (((i as f64 + 0.5) * (from as f64 / to as f64)) as usize).min(from.saturating_sub(1))
        };
        let mut image = Self::black(width, height);
        for (index, pixel) in image.bytes.chunks_mut(3).enumerate() {
            let (x, y) = (place(index % width, width, self.width), place(index / width, height, self.height));
            pixel.copy_from_slice(&self.pixel(x, y));
        }
        image
    }

    /// The middle `width x height` of this image, on black where it is smaller, as transformers' `center_crop` cuts.
    pub(super) fn center(&self, width: usize, height: usize) -> Self {
        // Where the crop begins in the image, or the image in the crop.
        let offset = |have: usize, want: usize| match have.checked_sub(want) {
            Some(spare) => (spare / 2, 0),
            None => (0, (want - have).div_ceil(2)),
        };
        let ((x0, left), (y0, top)) = (offset(self.width, width), offset(self.height, height));
        let mut image = Self::black(width, height);
        for (index, pixel) in image.bytes.chunks_mut(3).enumerate() {
            let (x, y) = (index % width, index / width);
            if x >= left && y >= top {
                pixel.copy_from_slice(&self.pixel(x - left + x0, y - top + y0));
            }
        }
        image
    }
}

/// For every output pixel the first input pixel and the weights from there on.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<(usize, Vec<i64>)> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let support = filter.support() * wide;
    (0..to)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weight = |x: usize| filter.weight((x as f64 - center + 0.5) / wide);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let total: f64 = weights.iter().sum();
            let total = if total == 0.0 { 1.0 } else { total };
            // `as` cuts towards zero, so adding a half with the sign rounds.
            let fixed = |w: &f64| {
                let w = w / total * f64::from(1u32 << BITS);
                (w + 0.5f64.copysign(w)) as i64
            };
            (first, weights.iter().map(fixed).collect())
        })
        .collect()
}

fn blend<'a>(pixel: &mut [u8], window: impl Iterator<Item = &'a [u8]>, weights: &[i64]) {
    let mut sums = [1i64 << (BITS - 1); 3];
    for (input, weight) in window.zip(weights) {
        for (sum, value) in sums.iter_mut().zip(input) {
            *sum += i64::from(*value) * weight;
        }
    }
    for (out, sum) in pixel.iter_mut().zip(sums) {
        *out = u8::try_from((sum >> BITS).clamp(0, 255)).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(values: &[u8]) -> RgbImage {
        RgbImage { width: values.len(), height: 1, bytes: values.iter().flat_map(|v| [*v; 3]).collect() }
    }

    fn first_channel(image: &RgbImage) -> Vec<u8> {
        image.bytes.chunks(3).map(|p| p[0]).collect()
    }

    #[test]
    fn halving_four_pixels_by_hand() {
        // Scale 2: the triangle has half-width 2 around 1 and 3; pixel centers at 0.5, 1.5, 2.5, 3.5 weigh
        // 1 - d / 2: around 1: .75, .75, .25 of 1.75; mirrored around 3.
        let expected = |a: f64, b: f64, c: f64| ((0.75 * a + 0.75 * b + 0.25 * c) / 1.75).round() as u8;
        let halved = grey(&[10, 50, 90, 200]).resize(2, 1, Filter::Bilinear);
        assert_eq!(first_channel(&halved), [expected(10.0, 50.0, 90.0), expected(200.0, 90.0, 50.0)]);
    }

    #[test]
    fn doubling_two_pixels_by_hand() {
        // Scale 1/2: output centers at 0.25, 0.75, 1.25, 1.75; between the input centers 0.5 and 1.5 it is linear.
        let doubled = grey(&[0, 100]).resize(4, 1, Filter::Bilinear);
        assert_eq!(first_channel(&doubled), [0, 25, 75, 100]);
        let nearest = grey(&[0, 100]).resize(4, 1, Filter::Nearest);
        assert_eq!(first_channel(&nearest), [0, 0, 100, 100]);
    }

    #[test]
    fn the_middle_is_cut_or_set_on_black() {
        let image = grey(&[1, 2, 3, 4, 5]);
        assert_eq!(first_channel(&image.center(2, 1)), [2, 3]);
        assert_eq!(first_channel(&image.center(8, 1)), [0, 0, 1, 2, 3, 4, 5, 0]);
        assert_eq!(first_channel(&image.center(1, 3)), [0, 3, 0]);
    }

    #[test]
    fn one_color_stays() {
        for code in 0..6 {
            let image = grey(&[77; 9]).resize(4, 3, Filter::of_code(code).unwrap());
            assert!(image.bytes.iter().all(|v| *v == 77), "{code}");
        }
        assert!(Filter::of_code(6).is_err());
    }
}
