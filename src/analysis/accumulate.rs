//! Inner products of all heads' maps on one batch.
//!
//! On the processor, rows are converted to f64 block by block and multiplied by a kernel of our own, so the map is
//! never copied as a whole. Rows are dealt into a number of parts that depends on their number alone, and parts
//! are summed in order: the result does not depend on the number of threads. On another device one f32 product
//! per sequence runs there, and their sum is f64.

use candle_core::{CpuStorage, D, DType, Device, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Gram;
use crate::error::{Error, Result};
use crate::network::TokenMask;
use crate::tensor::has_kernels;

/// Numbers per block buffer: 32 KiB of f64, a first-level cache.
const BLOCK: usize = 4096;
/// Most parts that rows are dealt into.
const PARTS: usize = 32;
/// Lanes of the widest vectors; rows of a block are padded to a multiple.
const LANES: usize = 8;

/// How much of each row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole product at once.
    Whole,
    /// Its first `t + 1` numbers: the weights of causal attention at position `t`; those behind are zero.
    Causal,
}

/// `G[i][j] = sum over real (n, t) and k of x[n, i, t, k] x[n, j, t, k]` for a map `x [N, H, T, K]`.
pub(super) fn gram_of(map: &Tensor, real: &TokenMask, reach: Reach) -> Result<Gram> {
    let (n, heads, t, _) = map.dims4()?;
    if (real.sequences(), real.length()) != (n, t) {
        return Err(Error::new(format!("a map of {n} x {t} positions does not fit its mask")));
    }
    let map = if map.stride()[3] == 1 { map.clone() } else { map.contiguous()? };
    let here = has_kernels(map.device());
    Gram::from_rows(heads, if here { on_processor(&map, real, reach)? } else { on_device(&map, real)? })
}

/// The same for a key/value map, where `repeat` query heads in a row read one of its heads.
pub(super) fn expand(shared: &Gram, repeat: usize) -> Gram {
    if repeat <= 1 {
        return shared.clone();
    }
    let heads: Vec<usize> = (0..shared.heads() * repeat).map(|h| h / repeat).collect();
    shared.select(&heads)
}

/// One f32 product per sequence, so that sums in f32 stay short; their sum is taken in f64 where the map is, and
/// `H x H` numbers travel. Apple's devices have no f64: there those of every sequence travel.
fn on_device(map: &Tensor, real: &TokenMask) -> Result<Vec<f64>> {
    let (sequences, heads, length, width) = map.dims4()?;
    let mut map = map.detach().to_dtype(DType::F32)?;
    if !real.is_full() {
        // Chosen, not multiplied: padding may hold anything, infinities too.
        let chosen = real.to_tensor(DType::U8, map.device())?.unsqueeze(1)?.unsqueeze(3)?.broadcast_as(map.shape())?;
        map = chosen.where_cond(&map, &map.zeros_like()?)?;
    }
    let flat = map.contiguous()?.reshape((sequences, heads, length * width))?;
    let parts = flat.matmul(&flat.transpose(1, 2)?)?;
    let parts = if parts.device().is_metal() { parts.to_device(&Device::Cpu)? } else { parts };
    Ok(parts.to_dtype(DType::F64)?.sum(0)?.flatten_all()?.to_vec1()?)
}

fn on_processor(map: &Tensor, real: &TokenMask, reach: Reach) -> Result<Vec<f64>> {
    let (storage, layout) = map.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(Error::new("a map is not where its device says"));
    };
    let rows = MapRows {
        offset: layout.start_offset(),
        strides: [layout.stride()[0], layout.stride()[1], layout.stride()[2]],
        heads: map.dim(1)?,
        width: map.dim(D::Minus1)?,
        length: real.length(),
        reach,
        real: (0..real.real().len()).filter(|i| real.real()[*i]).collect(),
    };
    match storage {
        CpuStorage::F32(data) => Ok(rows.sum(data)),
        CpuStorage::F64(data) => Ok(rows.sum(data)),
        CpuStorage::BF16(data) => Ok(rows.sum(data)),
        CpuStorage::F16(data) => Ok(rows.sum(data)),
        _ => Err(Error::new(format!("a map of {:?} is no map", map.dtype()))),
    }
}

/// Numbers that become f64.
pub(super) trait MapSource: Copy + Sync {
    fn widen(from: &[Self], to: &mut [f64]);
}

impl MapSource for f64 {
    fn widen(from: &[Self], to: &mut [f64]) {
        to.copy_from_slice(from);
    }
}

impl MapSource for f32 {
    fn widen(from: &[Self], to: &mut [f64]) {
        for (t, f) in to.iter_mut().zip(from) {
            *t = f64::from(*f);
        }
    }
}

/// Widens by way of f32 in pieces, for which there are vector instructions.
fn widen_half<T>(from: &[T], to: &mut [f64])
where
    [T]: HalfFloatSliceExt,
{
    let mut piece = [0f32; 64];
    for (from, to) in from.chunks(64).zip(to.chunks_mut(64)) {
        let piece = &mut piece[..from.len()];
        from.convert_to_f32_slice(piece);
        f32::widen(piece, to);
    }
}

impl MapSource for bf16 {
    fn widen(from: &[Self], to: &mut [f64]) {
        widen_half(from, to);
    }
}

impl MapSource for f16 {
    fn widen(from: &[Self], to: &mut [f64]) {
        widen_half(from, to);
    }
}

/// Where the rows of a map `[N, H, T, K]` lie that take part.
struct MapRows {
    offset: usize,
    /// Of sequence, head, position.
    strides: [usize; 3],
    heads: usize,
    width: usize,
    length: usize,
    reach: Reach,
    /// `n * T + t` of every real position.
    real: Vec<usize>,
}

impl MapRows {
    fn sum<T: MapSource>(&self, data: &[T]) -> Vec<f64> {
        let size = self.heads * self.heads;
        let part = self.real.len().div_ceil(PARTS).max(1);
        let parts: Vec<Vec<f64>> = self.real.par_chunks(part).map(|rows| self.sum_part(data, rows)).collect();
        let mut total = vec![0.0; size];
        for part in parts {
            for (t, p) in total.iter_mut().zip(part) {
                *t += p;
            }
        }
        total
    }

    fn sum_part<T: MapSource>(&self, data: &[T], rows: &[usize]) -> Vec<f64> {
        let arch = Arch::new();
        let columns = (BLOCK / self.heads / LANES).clamp(8, 64) * LANES;
        let mut block = vec![0.0; self.heads * columns];
        let mut gram = vec![0.0; self.heads * self.heads];
        let mut filled = 0;
        for row in rows {
            let (n, t) = (row / self.length, row % self.length);
            let start = self.offset + n * self.strides[0] + t * self.strides[2];
            let width = if self.reach == Reach::Causal { (t + 1).min(self.width) } else { self.width };
            let mut done = 0;
            while done < width {
                let take = (width - done).min(columns - filled);
                for h in 0..self.heads {
                    let from = start + h * self.strides[1] + done;
                    let to = h * columns + filled;
                    T::widen(&data[from..from + take], &mut block[to..to + take]);
                }
                done += take;
                filled += take;
                if filled == columns {
                    arch.dispatch(Products { block: &block, heads: self.heads, columns, gram: &mut gram });
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            for h in 0..self.heads {
                block[h * columns + filled..(h + 1) * columns].fill(0.0);
            }
            arch.dispatch(Products { block: &block, heads: self.heads, columns, gram: &mut gram });
        }
        gram
    }
}

/// Adds `X X^T` of a block `X [heads, columns]` to the upper triangle of `gram`.
struct Products<'a> {
    block: &'a [f64],
    heads: usize,
    columns: usize,
    gram: &'a mut [f64],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut i = 0;
        while i < self.heads {
            let rows = if i + 4 <= self.heads { 4 } else { 1 };
            let mut j = i;
            while j < self.heads {
                let columns = if j + 2 <= self.heads { 2 } else { 1 };
                match (rows, columns) {
                    (4, 2) => self.tile::<S, 4, 2>(simd, i, j),
                    (4, _) => self.tile::<S, 4, 1>(simd, i, j),
                    (_, 2) => self.tile::<S, 1, 2>(simd, i, j),
                    _ => self.tile::<S, 1, 1>(simd, i, j),
                }
                j += columns;
            }
            i += rows;
        }
    }
}

impl Products<'_> {
    /// Heads `i..i + A` times heads `j..j + B`, in registers. Entries below the diagonal come out too and are not read.
    #[inline(always)]
    fn tile<S: Simd, const A: usize, const B: usize>(&mut self, simd: S, i: usize, j: usize) {
        let row = |h: usize| S::as_simd_f64s(&self.block[h * self.columns..(h + 1) * self.columns]).0;
        let left: [&[S::f64s]; A] = std::array::from_fn(|a| row(i + a));
        let right: [&[S::f64s]; B] = std::array::from_fn(|b| row(j + b));
        let steps = left[0].len();
        let left = left.map(|l| &l[..steps]);
        let right = right.map(|r| &r[..steps]);
        let mut sums = [[simd.splat_f64s(0.0); B]; A];
        for k in 0..steps {
            for a in 0..A {
                for b in 0..B {
                    sums[a][b] = simd.mul_add_e_f64s(left[a][k], right[b][k], sums[a][b]);
                }
            }
        }
        for a in 0..A {
            for b in 0..B {
                self.gram[(i + a) * self.heads + j + b] += simd.reduce_sum_f64s(sums[a][b]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use rand::Rng;

    /// The definition, element by element.
    fn plain(map: &Tensor, real: &TokenMask) -> Vec<f64> {
        let (n, heads, t, width) = map.dims4().unwrap();
        let all = map.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let at = |a: usize, h: usize, b: usize, k: usize| all[((a * heads + h) * t + b) * width + k];
        let mut gram = vec![0.0; heads * heads];
        for a in 0..n {
            for b in 0..t {
                if real.row(a)[b] {
                    for i in 0..heads {
                        for j in 0..heads {
                            for k in 0..width {
                                gram[i * heads + j] += at(a, i, b, k) * at(a, j, b, k);
                            }
                        }
                    }
                }
            }
        }
        gram
    }

    fn random(shape: (usize, usize, usize, usize), seed: u64) -> Tensor {
        let mut rng = testing::rng(seed);
        let values: Vec<f32> =
            (0..shape.0 * shape.1 * shape.2 * shape.3).map(|_| testing::normal(&mut rng) as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn mask(n: usize, t: usize, seed: u64) -> TokenMask {
        let mut rng = testing::rng(seed);
        TokenMask::new(n, t, (0..n * t).map(|_| rng.gen_bool(0.7)).collect()).unwrap()
    }

    fn close(found: &Gram, expected: &[f64], tolerance: f64) {
        let heads = found.heads();
        let scale = expected.iter().copied().fold(0.0, f64::max);
        for i in 0..heads {
            for j in 0..heads {
                let (f, e) = (found.get(i, j), expected[i * heads + j]);
                assert!((f - e).abs() <= tolerance * scale, "{i} {j}: {f} {e}");
            }
        }
    }

    #[test]
    fn every_shape_and_type_equals_the_definition() {
        for (shape, seed) in [((2, 12, 9, 8), 1), ((1, 5, 3, 7), 2), ((3, 1, 4, 3), 3), ((1, 33, 65, 5), 4)] {
            for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
                let map = random(shape, seed).to_dtype(dtype).unwrap();
                let real = mask(shape.0, shape.2, seed);
                close(&gram_of(&map, &real, Reach::Whole).unwrap(), &plain(&map, &real), 1e-13);
            }
        }
        // Wider than a block, and one row split over blocks.
        let map = random((1, 3, 2, 3000), 5);
        let real = TokenMask::full(1, 2);
        close(&gram_of(&map, &real, Reach::Whole).unwrap(), &plain(&map, &real), 1e-13);
    }

    #[test]
    fn views_are_read_where_they_lie() {
        let joined = random((2, 7, 4, 6), 6).transpose(1, 2).unwrap();
        let real = mask(2, 7, 6);
        close(&gram_of(&joined, &real, Reach::Whole).unwrap(), &plain(&joined, &real), 1e-13);
        let turned = random((2, 4, 6, 7), 7).transpose(2, 3).unwrap();
        close(&gram_of(&turned, &real, Reach::Whole).unwrap(), &plain(&turned, &real), 1e-13);
        let part = random((2, 8, 7, 6), 8).narrow(1, 2, 4).unwrap();
        close(&gram_of(&part, &real, Reach::Whole).unwrap(), &plain(&part, &real), 1e-13);
    }

    #[test]
    fn padding_takes_no_part_whatever_it_holds() {
        let map = random((2, 4, 5, 6), 9);
        let real = mask(2, 5, 9);
        let expected = gram_of(&map, &real, Reach::Whole).unwrap();
        let padded = real.to_tensor(DType::U8, &Device::Cpu).unwrap().unsqueeze(1).unwrap().unsqueeze(3).unwrap();
        let nan = (map.zeros_like().unwrap() * f64::NAN).unwrap();
        let broken = padded.broadcast_as(map.shape()).unwrap().where_cond(&map, &nan).unwrap();
        assert_eq!(gram_of(&broken, &real, Reach::Whole).unwrap(), expected);
        // The path of other devices, run on this one.
        let other = on_device(&broken, &real).unwrap();
        close(&expected, &other, 1e-6);
        assert!(gram_of(&broken, &TokenMask::full(2, 5), Reach::Whole).is_err());
    }

    #[test]
    fn causal_rows_end_at_their_position() {
        let (n, t) = (2, 40);
        let full = random((n, 3, t, t), 10);
        let lower = Tensor::tril2(t, DType::F32, &Device::Cpu).unwrap();
        let map = full.broadcast_mul(&lower).unwrap();
        let real = mask(n, t, 10);
        close(&gram_of(&full, &real, Reach::Causal).unwrap(), &plain(&map, &real), 1e-13);
    }

    #[test]
    fn query_heads_take_the_rows_of_their_key_value_head() {
        let shared = Gram::from_rows(2, vec![1.0, 2.0, 2.0, 5.0]).unwrap();
        let all = expand(&shared, 2);
        assert_eq!(all.row(1), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(all.row(2), [2.0, 2.0, 5.0, 5.0]);
    }
}
