//! Matrices to pixels. Row 0 is on top.

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::{Deserialize, Serialize};

use super::color::Rgb;
use super::palette::ColorMap;
use crate::error::{Error, Result};

/// A matrix of values, row by row; NaN stands for "no value".
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    rows: usize,
    cols: usize,
    values: Vec<f64>,
}

/// How cells are joined where there are more of them than pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The largest value: rare peaks stay visible.
    Max,
    /// The mean of the values: amounts stay true.
    Mean,
}

impl Grid {
    /// A matrix from its values, row by row.
    ///
    /// # Errors
    /// Where `values` does not hold `rows * cols` numbers.
    pub fn new(rows: usize, cols: usize, values: Vec<f64>) -> Result<Self> {
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(Error::new(format!("{} values do not fill a matrix of {rows} x {cols}", values.len())));
        }
        Ok(Self { rows, cols, values })
    }

    /// A matrix from rows; short rows are filled up with NaN.
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Self {
        let cols = rows.iter().map(|r| r.as_ref().len()).max().unwrap_or(0);
        Self::from_fn(rows.len(), cols, |r, c| {
            rows.get(r).and_then(|row| row.as_ref().get(c)).copied().unwrap_or(f64::NAN)
        })
    }

    /// A matrix whose cell `(row, col)` is `value(row, col)`.
    pub fn from_fn(rows: usize, cols: usize, mut value: impl FnMut(usize, usize) -> f64) -> Self {
        let mut values = Vec::with_capacity(rows * cols);
        for row in 0..rows {
            values.extend((0..cols).map(|col| value(row, col)));
        }
        Self { rows, cols, values }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The value of a cell; NaN outside the matrix.
    pub fn get(&self, row: usize, col: usize) -> f64 {
        if col >= self.cols {
            return f64::NAN;
        }
        self.values.get(row * self.cols + col).copied().unwrap_or(f64::NAN)
    }

    /// Every value, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Smallest and largest finite value; `None` where there is none.
    pub fn range(&self) -> Option<(f64, f64)> {
        let finite = self.values.iter().copied().filter(|v| v.is_finite());
        finite.fold(None, |range, v| match range {
            None => Some((v, v)),
            Some((low, high)) => Some((v.min(low), v.max(high))),
        })
    }

    /// True where a cell has no value.
    pub fn has_missing(&self) -> bool {
        self.values.iter().any(|v| v.is_nan())
    }

    /// The matrix whose row `i` is row `rows[i]` of this one, and so with columns; indices outside give NaN.
    #[must_use]
    pub fn reordered(&self, rows: &[usize], cols: &[usize]) -> Self {
        Self::from_fn(rows.len(), cols.len(), |r, c| self.get(rows[r], cols[c]))
    }

    /// At most `limit` cells (not 0) a side: equal blocks are joined, NaN in a block counts only where the block has
    /// nothing else.
    #[must_use]
    pub fn pooled(&self, limit: usize, pool: Pool) -> Self {
        let (down, right) = (self.rows.div_ceil(limit), self.cols.div_ceil(limit));
        if down <= 1 && right <= 1 {
            return self.clone();
        }
        Self::from_fn(self.rows.div_ceil(down), self.cols.div_ceil(right), |r, c| {
            let (mut sum, mut count, mut high) = (0.0, 0u32, f64::NEG_INFINITY);
            for row in r * down..((r + 1) * down).min(self.rows) {
                for col in c * right..((c + 1) * right).min(self.cols) {
                    let value = self.get(row, col);
                    if !value.is_nan() {
                        sum += value;
                        count += 1;
                        high = high.max(value);
                    }
                }
            }
            match (count, pool) {
                (0, _) => f64::NAN,
                (_, Pool::Max) => high,
                (_, Pool::Mean) => sum / f64::from(count),
            }
        })
    }
}

/// Heads (or any rows) sorted by group, within a group by index. Heads beyond `groups` do not exist.
pub fn order_by_group(groups: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&i| (groups[i], i));
    order
}

/// How colors are spread over an interval of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tone {
    /// In proportion to the value.
    #[default]
    Linear,
    /// By the square root: small values are told apart.
    Root,
    /// By the logarithm over four powers of ten below the largest value; what is smaller has the first color.
    Log,
}

/// Powers of ten that logarithmic colors tell apart.
const DECADES: f64 = 4.0;

impl Tone {
    /// Where a share of the interval lies among the colors; both from 0 to 1, NaN stays NaN.
    pub fn of(self, share: f64) -> f64 {
        match self {
            Self::Linear => share,
            Self::Root if share < 0.0 => share,
            Self::Root => share.sqrt(),
            Self::Log if share.is_nan() => share,
            Self::Log => 1.0 + share.max(10f64.powf(-DECADES)).log10() / DECADES,
        }
    }
}

/// Which interval of values a color map spans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub map: ColorMap,
    /// The value of the first color.
    pub low: f64,
    /// The value of the last color.
    pub high: f64,
    /// How the colors between are spread.
    pub tone: Tone,
}

impl Scale {
    /// The scale from `low` to `high`.
    pub fn new(map: ColorMap, low: f64, high: f64) -> Self {
        Self { map, low, high, tone: Tone::Linear }
    }

    /// The same with colors spread otherwise.
    #[must_use]
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// The scale that just holds the finite values of a matrix; about 0 where the map diverges. A matrix of equal
    /// values gets an interval of length 1 around them, one without values 0..=1.
    pub fn fit(map: ColorMap, grid: &Grid) -> Self {
        let (low, high) = grid.range().unwrap_or((0.0, 1.0));
        let (low, high) = if map.is_diverging() {
            let reach = low.abs().max(high.abs());
            (-reach, reach)
        } else {
            (low, high)
        };
        if low < high { Self::new(map, low, high) } else { Self::new(map, low - 0.5, high + 0.5) }
    }

    /// Where `value` lies between the ends, 0 to 1 inside; NaN stays NaN.
    pub fn position(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        if span == 0.0 && !value.is_nan() {
            return 0.5;
        }
        // An infinite value would give infinity over infinity nowhere but on an infinite scale; the map clips.
        (value - self.low) / span
    }

    /// The color at a share of the interval, as a legend draws it.
    pub fn color_at(&self, share: f64) -> Option<Rgb> {
        self.map.color(self.tone.of(share))
    }

    /// The color of a value, `missing` for NaN.
    pub fn color(&self, value: f64, missing: Rgb) -> Rgb {
        self.color_at(self.position(value)).unwrap_or(missing)
    }
}

/// Pixels, row by row from the top left: `[r, g, b, 255]` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    pub width: usize,
    pub height: usize,
    /// `width * height * 4` bytes.
    pub rgba: Vec<u8>,
}

impl Raster {
    /// One pixel for every cell of `grid`.
    pub fn from_grid(grid: &Grid, scale: &Scale, missing: Rgb) -> Self {
        Self::from_fn(grid.rows(), grid.cols(), |r, c| scale.color(grid.get(r, c), missing))
    }

    /// One pixel for every cell, colored by `color(row, col)`.
    pub fn from_fn(rows: usize, cols: usize, mut color: impl FnMut(usize, usize) -> Rgb) -> Self {
        let mut rgba = Vec::with_capacity(rows * cols * 4);
        for row in 0..rows {
            for col in 0..cols {
                rgba.extend_from_slice(&color(row, col).rgba());
            }
        }
        Self { width: cols, height: rows, rgba }
    }

    /// The color of a pixel; `None` outside.
    pub fn pixel(&self, x: usize, y: usize) -> Option<Rgb> {
        if x >= self.width {
            return None;
        }
        let at = (y * self.width + x) * 4;
        self.rgba.get(at..at + 3).map(|p| Rgb::new(p[0], p[1], p[2]))
    }

    /// Every pixel repeated `factor` (not 0) times across and down, for viewers that would blur the small original.
    #[must_use]
    pub fn enlarged(&self, factor: usize) -> Self {
        let mut rgba = Vec::with_capacity(self.rgba.len() * factor * factor);
        for y in 0..self.height {
            let row = &self.rgba[y * self.width * 4..][..self.width * 4];
            let wide: Vec<u8> = row.chunks_exact(4).flat_map(|p| p.repeat(factor)).collect();
            for _ in 0..factor {
                rgba.extend_from_slice(&wide);
            }
        }
        Self { width: self.width * factor, height: self.height * factor, rgba }
    }

    /// The pixels as a PNG file.
    ///
    /// # Errors
    /// Where there are no pixels, or more than PNG can hold.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let side = |n: usize| u32::try_from(n).map_err(|_| Error::new("the picture is too large for a PNG file"));
        if self.width == 0 || self.height == 0 {
            return Err(Error::new("the picture has no pixels"));
        }
        let mut out = Cursor::new(Vec::new());
        PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive)
            .write_image(&self.rgba, side(self.width)?, side(self.height)?, ExtendedColorType::Rgba8)
            .map_err(|e| Error::new(format!("the PNG could not be encoded: {e}")))?;
        Ok(out.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::super::theme::Theme;
    use super::*;

    fn counted(rows: usize, cols: usize) -> Grid {
        Grid::from_fn(rows, cols, |r, c| (r * cols + c) as f64)
    }

    #[test]
    fn row_zero_is_on_top_and_column_zero_on_the_left() {
        let grid = Grid::from_rows(&[vec![0.0, 1.0, 0.5], vec![1.0, 1.0, f64::NAN]]);
        let table = ColorMap::Viridis.table();
        let missing = Theme::LIGHT.missing;
        let raster = Raster::from_grid(&grid, &Scale::new(ColorMap::Viridis, 0.0, 1.0), missing);
        assert_eq!((raster.width, raster.height, raster.rgba.len()), (3, 2, 24));
        assert_eq!(&raster.rgba[..4], &table[0].rgba());
        assert_eq!(raster.pixel(1, 0), Some(table[255]));
        assert_eq!(raster.pixel(0, 1), Some(table[255]));
        assert_eq!(raster.pixel(2, 1), Some(missing));
        assert_eq!((raster.pixel(3, 0), raster.pixel(0, 2)), (None, None));
    }

    #[test]
    fn png_keeps_every_pixel() {
        let raster = Raster::from_grid(&counted(5, 7), &Scale::new(ColorMap::BlueRed, 0.0, 34.0), Rgb::BLACK);
        let read = image::load_from_memory(&raster.to_png().unwrap()).unwrap().to_rgba8();
        assert_eq!((read.width(), read.height()), (7, 5));
        assert_eq!(read.into_raw(), raster.rgba);
        assert!(Raster::from_fn(0, 3, |_, _| Rgb::BLACK).to_png().is_err());
    }

    #[test]
    fn enlarging_repeats_pixels() {
        let raster = Raster::from_fn(2, 2, |r, c| Rgb::new(r as u8, c as u8, 9));
        let big = raster.enlarged(3);
        assert_eq!((big.width, big.height, big.rgba.len()), (6, 6, 144));
        for y in 0..6 {
            for x in 0..6 {
                assert_eq!(big.pixel(x, y), raster.pixel(x / 3, y / 3));
            }
        }
    }

    #[test]
    fn pooling_joins_blocks_and_the_ragged_rest() {
        // 0  1  2  3  4
        // 5  6  7  8  9
        // 10 11 12 13 14
        let grid = counted(3, 5);
        let max = grid.pooled(3, Pool::Max);
        assert_eq!((max.rows(), max.cols()), (3, 3));
        assert_eq!(max.values(), &[1.0, 3.0, 4.0, 6.0, 8.0, 9.0, 11.0, 13.0, 14.0]);
        let mean = grid.pooled(2, Pool::Mean);
        // Blocks of 2 rows by 3 columns: (0+1+2+5+6+7)/6, (3+4+8+9)/4; (10+11+12)/3, (13+14)/2.
        assert_eq!(mean.values(), &[3.5, 6.0, 11.0, 13.5]);
        assert_eq!(grid.pooled(5, Pool::Mean), grid);
    }

    #[test]
    fn pooling_ignores_missing_beside_values() {
        let grid = Grid::new(2, 4, vec![f64::NAN, 2.0, f64::NAN, f64::NAN, 4.0, f64::NAN, f64::NAN, f64::NAN]).unwrap();
        let mean = grid.pooled(2, Pool::Mean);
        assert_eq!((mean.rows(), mean.cols()), (2, 2));
        assert_eq!(mean.get(0, 0), 2.0);
        assert_eq!(mean.get(1, 0), 4.0);
        assert!(mean.get(0, 1).is_nan() && mean.get(1, 1).is_nan());
    }

    #[test]
    fn reordering_moves_rows_and_columns() {
        let groups = [1, 0, 1, 0];
        let order = order_by_group(&groups);
        assert_eq!(order, [1, 3, 0, 2]);
        let sorted = counted(4, 4).reordered(&order, &order);
        assert_eq!(&sorted.values()[..4], &[5.0, 7.0, 4.0, 6.0]);
        assert_eq!(sorted.get(2, 3), 2.0);
    }

    #[test]
    fn scales_fit_their_values() {
        let grid = Grid::from_rows(&[[-0.25, f64::NAN, 0.5, f64::INFINITY]]);
        assert_eq!(grid.range(), Some((-0.25, 0.5)));
        let scale = Scale::fit(ColorMap::BlueRed, &grid);
        assert_eq!((scale.low, scale.high, scale.position(0.0)), (-0.5, 0.5, 0.5));
        assert_eq!(scale.color(f64::INFINITY, Rgb::BLACK), ColorMap::BlueRed.table()[255]);
        let flat = Scale::fit(ColorMap::Viridis, &Grid::from_rows(&[[3.0, 3.0]]));
        assert_eq!((flat.low, flat.high), (2.5, 3.5));
        let empty = Scale::fit(ColorMap::Viridis, &Grid::from_rows(&[[f64::NAN]]));
        assert_eq!((empty.low, empty.high), (0.0, 1.0));
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Grid::new(2, 3, vec![0.0; 5]).is_err());
        assert!(Grid::new(usize::MAX, 2, Vec::new()).is_err());
        let ragged = Grid::from_rows(&[vec![1.0], vec![2.0, 3.0]]);
        assert!(ragged.has_missing() && ragged.get(0, 1).is_nan());
    }
}
