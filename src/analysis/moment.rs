//! The second moment of head outputs: what residual Gram matrices and CKA need ([method](crate::method), section 3).
//!
//! With `o` the outputs of all heads at a token, `D = H d` numbers, `M = sum over tokens of o o^T`. It is symmetric, so
//! only bands of head rows against the heads from there on are formed.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::{Gram, SecondMoment, Symmetric};
use crate::error::{Error, Result};
use crate::network::TokenMask;
use crate::tensor::{has_kernels, to_f64};

/// Tokens per product on the processor.
const TOKENS: usize = 2048;
/// Bands that the heads are cut into.
const BANDS: usize = 4;

/// How a `D x D` matrix is cut: band `b` holds the rows of `rows(b)` and the columns of all heads from its first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockLayout {
    heads: usize,
    dim: usize,
}

impl BlockLayout {
    fn bands(self) -> impl Iterator<Item = Range<usize>> {
        let step = self.heads.div_ceil(BANDS);
        (0..self.heads).step_by(step).map(move |first| first..(first + step).min(self.heads))
    }
}

/// Bands of a symmetric matrix of head blocks.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    cut: BlockLayout,
    /// `[rows d, (H - first) d]` each.
    bands: Vec<Tensor>,
}

impl Blocks {
    /// `X^T X` of `x [tokens, H d]`.
    fn of_tokens(x: &Tensor, cut: BlockLayout) -> Result<Self> {
        let bands = cut.bands().map(|rows| {
            let first = rows.start * cut.dim;
            let left = x.narrow(1, first, rows.len() * cut.dim)?;
            let right = x.narrow(1, first, cut.heads * cut.dim - first)?;
            Ok(left.t()?.matmul(&right)?)
        });
        Ok(Self { cut, bands: bands.collect::<Result<_>>()? })
    }

    /// `W_i W_j^T` of all heads, from `W_O` by head `[H, d, D_model]`; in f32.
    pub(super) fn of_weight(weight: &Tensor) -> Result<Self> {
        let (heads, dim, width) = weight.dims3()?;
        let flat = weight.detach().to_dtype(DType::F32)?.reshape((heads * dim, width))?;
        Self::of_tokens(&flat.t()?.contiguous()?, BlockLayout { heads, dim })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        for (own, new) in self.bands.iter_mut().zip(&other.bands) {
            *own = (&*own + new)?;
        }
        Ok(())
    }

    /// The whole matrix, in f64.
    pub(super) fn symmetric(&self) -> Result<Symmetric> {
        let BlockLayout { heads, dim } = self.cut;
        let mut packed = Vec::with_capacity(Symmetric::numbers(heads * dim));
        for (rows, band) in self.cut.bands().zip(&self.bands) {
            let band: Vec<Vec<f64>> = to_f64(band)?.to_vec2()?;
            debug_assert_eq!(band.len(), rows.len() * dim);
            for (diagonal, row) in band.iter().enumerate() {
                packed.extend_from_slice(&row[diagonal..]);
            }
        }
        Symmetric::from_packed(heads * dim, packed)
    }

    /// `G_ij = sum over a, b of x_ij[a, b] y_ij[a, b]` of two such matrices.
    fn contract(&self, other: &Self) -> Result<Gram> {
        let BlockLayout { heads, dim } = self.cut;
        if self.cut != other.cut {
            return Err(Error::new("the heads' outputs do not fit the output projection"));
        }
        let mut gram = vec![0.0; heads * heads];
        for (rows, (x, y)) in self.cut.bands().zip(self.bands.iter().zip(&other.bands)) {
            let product = (x * y.to_dtype(x.dtype())?)?;
            let sums = product.reshape((rows.len(), dim, heads - rows.start, dim))?.sum((1, 3))?;
            let sums: Vec<Vec<f64>> = to_f64(&sums)?.to_vec2()?;
            for (i, row) in rows.clone().zip(sums) {
                gram[i * heads + rows.start..(i + 1) * heads].copy_from_slice(&row);
            }
        }
        Gram::from_rows(heads, gram)
    }
}

/// Sums over tokens: their number, `o` and `o o^T`.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    tokens: usize,
    /// The sum of outputs, `[H d]`.
    sum: Tensor,
    blocks: Blocks,
}

impl Moment {
    /// Of one batch: `output [N, H, T, d]`. On the processor in f64, elsewhere in f32.
    pub(super) fn of(output: &Tensor, real: &TokenMask) -> Result<Self> {
        let (n, heads, t, dim) = output.dims4()?;
        let cut = BlockLayout { heads, dim };
        let mut flat = output.detach().transpose(1, 2)?.contiguous()?.reshape((n * t, heads * dim))?;
        if !real.is_full() {
            let rows: Vec<u32> = (0u32..).zip(real.real()).filter_map(|(row, real)| real.then_some(row)).collect();
            flat = flat.index_select(&Tensor::new(rows, flat.device())?, 0)?;
        }
        let tokens = flat.dim(0)?;
        if !has_kernels(flat.device()) {
            let flat = flat.to_dtype(DType::F32)?;
            return Ok(Self { tokens, sum: flat.sum(0)?, blocks: Blocks::of_tokens(&flat, cut)? });
        }
        let mut total: Option<Self> = None;
        for first in (0..tokens).step_by(TOKENS) {
            let piece = flat.narrow(0, first, TOKENS.min(tokens - first))?.to_dtype(DType::F64)?;
            let piece = Self { tokens: piece.dim(0)?, sum: piece.sum(0)?, blocks: Blocks::of_tokens(&piece, cut)? };
            match &mut total {
                Some(total) => total.add(&piece)?,
                None => total = Some(piece),
            }
        }
        total.ok_or_else(|| Error::new("a batch holds no real token"))
    }

    /// The Gram matrix of residual maps: `<M_ij, W_i W_j^T>`.
    pub(super) fn residual(&self, weight: &Blocks) -> Result<Gram> {
        self.blocks.contract(weight)
    }

    /// On the processor in f64, for totals.
    pub(super) fn into_total(self) -> Result<Self> {
        let bands = self.blocks.bands.iter().map(to_f64).collect::<candle_core::Result<_>>()?;
        Ok(Self { tokens: self.tokens, sum: to_f64(&self.sum)?, blocks: Blocks { bands, ..self.blocks } })
    }

    /// Adds the sums of further tokens.
    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        self.tokens += other.tokens;
        self.sum = (&self.sum + &other.sum)?;
        self.blocks.add(&other.blocks)
    }

    /// The sums by themselves.
    pub(super) fn second_moment(&self) -> Result<SecondMoment> {
        Ok(SecondMoment {
            tokens: self.tokens as u64,
            sum: to_f64(&self.sum)?.to_vec1()?,
            square: self.blocks.symmetric()?,
        })
    }

    /// Linear CKA between the outputs of every two heads (Kornblith et al. 2019): with centered blocks
    /// `|M_ij|^2 / (|M_ii| |M_jj|)` in Frobenius norms; 0 for a head whose output does not vary.
    pub(super) fn cka(&self) -> Result<Vec<Vec<f64>>> {
        let BlockLayout { heads, dim } = self.blocks.cut;
        let tokens = self.tokens as f64;
        let mut bands = Vec::new();
        for (rows, band) in self.blocks.cut.bands().zip(&self.blocks.bands) {
            let (first, width) = (rows.start * dim, heads * dim - rows.start * dim);
            let left = self.sum.narrow(0, first, rows.len() * dim)?.unsqueeze(1)?;
            let right = self.sum.narrow(0, first, width)?.unsqueeze(0)?;
            bands.push((band - (left.matmul(&right)? / tokens)?)?);
        }
        let centered = Blocks { cut: self.blocks.cut, bands };
        let squares = centered.contract(&centered)?;
        // What is left of a constant after centering is rounding.
        let raw = self.blocks.contract(&self.blocks)?;
        let alive = |i: usize| squares.get(i, i) > 1e-24 * raw.get(i, i);
        let entry = |i: usize, j: usize| {
            if !alive(i) || !alive(j) {
                return 0.0;
            }
            (squares.get(i, j) / (squares.get(i, i) * squares.get(j, j)).sqrt()).clamp(0.0, 1.0)
        };
        Ok((0..heads).map(|i| (0..heads).map(|j| entry(i, j)).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::testing;
    use super::*;

    /// Random outputs `[N, H, T, d]` with a mean that is not zero, and their real rows `[token][H d]`.
    fn outputs(n: usize, heads: usize, t: usize, dim: usize) -> (Tensor, TokenMask, testing::Vectors) {
        let mut rng = testing::rng(11);
        let values: Vec<f64> = (0..n * heads * t * dim).map(|k| testing::normal(&mut rng) + (k % 5) as f64).collect();
        let real: Vec<bool> = (0..n * t).map(|k| k % 4 != 3).collect();
        let mut tokens = Vec::new();
        for a in 0..n {
            for b in 0..t {
                if real[a * t + b] {
                    let row = (0..heads)
                        .flat_map(|h| (0..dim).map(move |k| ((a * heads + h) * t + b) * dim + k))
                        .map(|k| values[k])
                        .collect();
                    tokens.push(row);
                }
            }
        }
        let tensor = Tensor::from_vec(values, (n, heads, t, dim), &Device::Cpu).unwrap();
        (tensor, TokenMask::new(n, t, real).unwrap(), tokens)
    }

    #[test]
    fn residual_gram_is_that_of_the_maps_themselves() {
        for heads in [1, 2, 5, 8] {
            let (n, t, dim, width) = (2, 9, 3, 7);
            let (output, real, tokens) = outputs(n, heads, t, dim);
            let mut rng = testing::rng(12);
            let weight: Vec<f32> = (0..heads * dim * width).map(|_| testing::normal(&mut rng) as f32).collect();
            // Head h at a token adds o_h W_h, [width].
            let maps: testing::Vectors = (0..heads)
                .map(|h| {
                    tokens
                        .iter()
                        .flat_map(|o| (0..width).map(move |w| (o, w)))
                        .map(|(o, w)| {
                            (0..dim).map(|k| o[h * dim + k] * f64::from(weight[(h * dim + k) * width + w])).sum::<f64>()
                        })
                        .collect()
                })
                .collect();
            let expected = testing::gram(&maps);
            let weight = Tensor::from_vec(weight, (heads, dim, width), &Device::Cpu).unwrap();
            let found = Moment::of(&output, &real).unwrap().residual(&Blocks::of_weight(&weight).unwrap()).unwrap();
            for i in 0..heads {
                for j in 0..heads {
                    let scale = (expected.norm2(i) * expected.norm2(j)).sqrt();
                    assert!((found.get(i, j) - expected.get(i, j)).abs() < 1e-6 * scale);
                }
            }
        }
    }

    #[test]
    fn cka_is_kornblith_s_on_centered_features() {
        let (heads, dim) = (5, 3);
        let (output, real, mut tokens) = outputs(3, heads, 8, dim);
        // In two parts that add.
        let part = |first: usize, n: usize| {
            let rows = (first..first + n).flat_map(|a| real.row(a).to_vec()).collect();
            Moment::of(&output.narrow(0, first, n).unwrap(), &TokenMask::new(n, 8, rows).unwrap()).unwrap()
        };
        let mut moment = part(0, 2).into_total().unwrap();
        moment.add(&part(2, 1)).unwrap();
        let found = moment.cka().unwrap();
        let all: Vec<usize> = (0..tokens.len()).collect();
        let mean = testing::mean(&tokens, &all);
        for token in &mut tokens {
            for (x, m) in token.iter_mut().zip(&mean) {
                *x -= m;
            }
        }
        // |X_i^T X_j|_F^2 from the features of the tokens.
        let hsic = |i: usize, j: usize| -> f64 {
            let entry = |a: usize, b: usize| tokens.iter().map(|o| o[i * dim + a] * o[j * dim + b]).sum::<f64>();
            (0..dim * dim).map(|k| entry(k / dim, k % dim).powi(2)).sum()
        };
        for i in 0..heads {
            for j in 0..heads {
                let expected = hsic(i, j) / (hsic(i, i) * hsic(j, j)).sqrt();
                assert!((found[i][j] - expected).abs() < 1e-10, "{} {expected}", found[i][j]);
            }
        }
    }
}
