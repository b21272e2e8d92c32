//! Normalization over the last axis.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::device::has_kernels;
use super::kernel::{Real, cast, numbers, reading, tensor, widened};
use super::portable;

/// Layer norm (Ba et al. 2016): `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    if has_kernels(x.device()) {
        on_processor(x, weight, bias, NormOp { eps, centered: true })
    } else {
        portable::layer_norm(x, weight, bias, eps)
    }
}

/// Root-mean-square norm (Zhang and Sennrich 2019): `x / sqrt(mean(x^2) + eps) * weight` over the last axis.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if has_kernels(x.device()) {
        on_processor(x, weight, None, NormOp { eps, centered: false })
    } else {
        portable::rms_norm(x, weight, eps)
    }
}

fn on_processor(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, norm: NormOp) -> Result<Tensor> {
    let wide = widened(x)?.contiguous()?;
    let weight = widened(weight)?.contiguous()?;
    let normal = match bias {
        Some(bias) => wide.apply_op3(&weight, &widened(bias)?.contiguous()?, norm)?,
        None => wide.apply_op2(&weight, norm)?,
    };
    cast(&normal, x.dtype())
}

/// Numbers per task, rounded to whole rows.
const BLOCK: usize = 1 << 14;

#[derive(Clone, Copy, Debug)]
struct NormOp {
    eps: f64,
    /// Whether the mean is taken away.
    centered: bool,
}

impl NormOp {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Result<Vec<T>> {
        let width = weight.len();
        if bias.is_some_and(|b| b.len() != width) || width == 0 || !x.len().is_multiple_of(width) {
            bail!("a norm of {width} numbers does not fit its argument");
        }
        let mut out = vec![T::zero(); x.len()];
        let block = block(width);
        let arch = Arch::new();
        out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| {
            arch.dispatch(NormRows { norm: *self, x, weight, bias, out });
        });
        Ok(out)
    }

    /// Gradients of the argument, the weight and the bias.
    fn backward<T: Real>(&self, x: &[T], weight: &[T], grad: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
        let width = weight.len();
        let mut out = vec![T::zero(); x.len()];
        let block = block(width);
        let arch = Arch::new();
        let blocks = out.par_chunks_mut(block).zip(x.par_chunks(block)).zip(grad.par_chunks(block));
        let sums: Vec<_> = blocks
            .map(|((out, x), grad)| {
                let mut sums = (vec![T::zero(); width], vec![T::zero(); width]);
                arch.dispatch(NormGradient { norm: *self, x, weight, grad, out, sums: (&mut sums.0, &mut sums.1) });
                sums
            })
            .collect();
        // Block after block, so that the order of the sums does not depend on threads.
        let mut total = (vec![T::zero(); width], vec![T::zero(); width]);
        for (weight, bias) in sums {
            total.0.iter_mut().zip(weight).for_each(|(t, w)| *t += w);
            total.1.iter_mut().zip(bias).for_each(|(t, b)| *t += b);
        }
        (out, total.0, total.1)
    }

    fn pull<T: Real>(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        let (dx, dw, db) =
            reading(x, |x| reading(weight, |weight| reading(grad, |grad| Ok(self.backward::<T>(x, weight, grad)))))?;
        Ok([tensor(dx, x.shape())?, tensor(dw, weight.shape())?, tensor(db, weight.shape())?])
    }

    fn pull_any(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        match x.dtype() {
            DType::F32 => self.pull::<f32>(x, weight, grad),
            _ => self.pull::<f64>(x, weight, grad),
        }
    }
}

/// Numbers per task: whole rows of `width` numbers, not 0.
fn block(width: usize) -> usize {
    (BLOCK / width).max(1) * width
}

/// `sum_i f(x_i)` of a row, four registers at a time.
#[inline(always)]
fn sum<T: Real, S: Simd>(simd: S, x: &[T], f: impl Fn(T::Lanes<S>) -> T::Lanes<S>, rest: impl Fn(T) -> T) -> T {
    let (lanes, tail) = T::lanes::<S>(x);
    let mut sums = [T::splat(simd, 0.0); 4];
    let mut fours = lanes.chunks_exact(4);
    for four in &mut fours {
        for i in 0..4 {
            sums[i] = T::plus(simd, sums[i], f(four[i]));
        }
    }
    for x in fours.remainder() {
        sums[0] = T::plus(simd, sums[0], f(*x));
    }
    let pairs = (T::plus(simd, sums[0], sums[1]), T::plus(simd, sums[2], sums[3]));
    let mut total = T::sum_of(simd, T::plus(simd, pairs.0, pairs.1));
    for x in tail {
        total += rest(*x);
    }
    total
}

impl NormOp {
    /// What a row loses and is then multiplied by.
    #[inline(always)]
    fn shift_and_scale<T: Real, S: Simd>(self, simd: S, row: &[T]) -> (T, T) {
        let width = row.len() as f64;
        let shift = if self.centered { T::from_f64(sum(simd, row, |x| x, |x| x).to_f64() / width) } else { T::zero() };
        let shifts = T::splat(simd, shift.to_f64());
        let squares = sum(
            simd,
            row,
            |x| {
                let x = T::minus(simd, x, shifts);
                T::times(simd, x, x)
            },
            |x| (x - shift) * (x - shift),
        );
        (shift, T::from_f64((squares.to_f64() / width + self.eps).sqrt().recip()))
    }
}

struct NormRows<'a, T> {
    norm: NormOp,
    x: &'a [T],
    weight: &'a [T],
    bias: Option<&'a [T]>,
    out: &'a mut [T],
}

impl<T: Real> WithSimd for NormRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let (weight, weight_rest) = T::lanes::<S>(self.weight);
        let (bias, bias_rest) = T::lanes::<S>(self.bias.unwrap_or(&[]));
        for (out, x) in self.out.chunks_exact_mut(width).zip(self.x.chunks_exact(width)) {
            let (shift, scale) = self.norm.shift_and_scale(simd, x);
            let shifts = T::splat(simd, shift.to_f64());
            let scales = T::splat(simd, scale.to_f64());
            let (x, x_rest) = T::lanes::<S>(x);
            let (out, out_rest) = T::lanes_mut::<S>(out);
            let normal = |x: T::Lanes<S>| T::times(simd, T::minus(simd, x, shifts), scales);
            if self.bias.is_some() {
                for (((out, x), w), b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                    *out = T::fused(simd, normal(*x), *w, *b);
                }
            } else {
                for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                    *out = T::times(simd, normal(*x), *w);
                }
            }
            for (i, (out, x)) in out_rest.iter_mut().zip(x_rest).enumerate() {
                let bias = bias_rest.get(i).copied().unwrap_or_else(T::zero);
                *out = (*x - shift) * scale * weight_rest[i] + bias;
            }
        }
    }
}

/// With `n = (x - mean) * scale` and `g = grad * weight`: the argument's gradient is
/// `scale * (g - mean(g) - n * mean(g n))` (no `mean(g)` where nothing was centered), the weight's `sum grad * n`, the
/// bias' `sum grad`.
struct NormGradient<'a, T> {
    norm: NormOp,
    x: &'a [T],
    weight: &'a [T],
    grad: &'a [T],
    out: &'a mut [T],
    sums: (&'a mut [T], &'a mut [T]),
}

impl<T: Real> WithSimd for NormGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let (weight, weight_rest) = T::lanes::<S>(self.weight);
        let (sum_w, sum_w_rest) = T::lanes_mut::<S>(self.sums.0);
        let (sum_b, sum_b_rest) = T::lanes_mut::<S>(self.sums.1);
        let rows = self.out.chunks_exact_mut(width).zip(self.x.chunks_exact(width)).zip(self.grad.chunks_exact(width));
        for ((out, x), grad) in rows {
            let (shift, scale) = self.norm.shift_and_scale(simd, x);
            let (shifts, scales) = (T::splat(simd, shift.to_f64()), T::splat(simd, scale.to_f64()));
            let (x, x_rest) = T::lanes::<S>(x);
            let (grad, grad_rest) = T::lanes::<S>(grad);
            let (out, out_rest) = T::lanes_mut::<S>(out);
            let (mut along, mut plain) = (T::splat(simd, 0.0), T::splat(simd, 0.0));
            for i in 0..x.len() {
                let normal = T::times(simd, T::minus(simd, x[i], shifts), scales);
                let g = T::times(simd, grad[i], weight[i]);
                along = T::fused(simd, g, normal, along);
                plain = T::plus(simd, plain, g);
                sum_w[i] = T::fused(simd, grad[i], normal, sum_w[i]);
                sum_b[i] = T::plus(simd, sum_b[i], grad[i]);
            }
            let (mut along, mut plain) = (T::sum_of(simd, along), T::sum_of(simd, plain));
            for i in 0..x_rest.len() {
                let normal = (x_rest[i] - shift) * scale;
                along += grad_rest[i] * weight_rest[i] * normal;
                plain += grad_rest[i] * weight_rest[i];
                sum_w_rest[i] += grad_rest[i] * normal;
                sum_b_rest[i] += grad_rest[i];
            }
            let along = T::from_f64(along.to_f64() / width as f64);
            let plain = T::from_f64(if self.norm.centered { plain.to_f64() / width as f64 } else { 0.0 });
            let (alongs, plains) = (T::splat(simd, along.to_f64()), T::splat(simd, plain.to_f64()));
            for i in 0..x.len() {
                let normal = T::times(simd, T::minus(simd, x[i], shifts), scales);
                let g = T::fused(simd, grad[i], weight[i], T::minus(simd, T::splat(simd, 0.0), plains));
                out[i] = T::times(simd, scales, T::minus(simd, g, T::times(simd, normal, alongs)));
            }
            for i in 0..x_rest.len() {
                let normal = (x_rest[i] - shift) * scale;
                out_rest[i] = scale * (grad_rest[i] * weight_rest[i] - plain - normal * along);
            }
        }
    }
}

impl CustomOp2 for NormOp {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout, weight: &CpuStorage, wt: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.forward(numbers(x, at)?, numbers(weight, wt)?, None)?),
            CpuStorage::F64(_) => CpuStorage::F64(self.forward(numbers(x, at)?, numbers(weight, wt)?, None)?),
            _ => bail!("a norm needs floats"),
        };
        Ok((out, at.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.pull_any(x, w, grad)?;
        Ok((Some(dx), Some(dw)))
    }
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "norm with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        at: &Layout,
        weight: &CpuStorage,
        wt: &Layout,
        bias: &CpuStorage,
        bt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        fn run<T: Real>(norm: &NormOp, parts: [(&CpuStorage, &Layout); 3]) -> Result<CpuStorage> {
            let [x, weight, bias] = parts.map(|(storage, layout)| numbers::<T>(storage, layout));
            Ok(T::to_cpu_storage_owned(norm.forward(x?, weight?, Some(bias?))?))
        }
        let parts = [(x, at), (weight, wt), (bias, bt)];
        let out = match x {
            CpuStorage::F32(_) => run::<f32>(self, parts)?,
            CpuStorage::F64(_) => run::<f64>(self, parts)?,
            _ => bail!("a norm needs floats"),
        };
        Ok((out, at.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.pull_any(x, w, grad)?;
        Ok((Some(dx), Some(dw), Some(db)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    #[test]
    fn values_are_those_of_the_plain_operations() {
        // Widths below, at and between multiples of a vector; more rows than a block holds.
        for (rows, width) in [(3, 1), (5, 7), (90, 384), (4, 1023)] {
            let x = (random(&[2, rows, width], 1) + 0.5).unwrap();
            let (weight, bias) = (random(&[width], 2), random(&[width], 3));
            for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 3e-6), (DType::BF16, 2e-2), (DType::F16, 3e-3)]
            {
                // A row of one number is its own mean: its norm is a rounding error over the root of `eps`.
                let eps = if width == 1 { 1.0 } else { 1e-5 };
                let to = |x: &Tensor| x.to_dtype(dtype).unwrap();
                let found = layer_norm(&to(&x), &to(&weight), Some(&to(&bias)), eps).unwrap();
                assert_eq!(found.dtype(), dtype);
                assert_close(&found, &portable::layer_norm(&x, &weight, Some(&bias), eps).unwrap(), tolerance);
                let found = layer_norm(&to(&x), &to(&weight), None, eps).unwrap();
                assert_close(&found, &portable::layer_norm(&x, &weight, None, eps).unwrap(), tolerance);
                let found = rms_norm(&to(&x), &to(&weight), eps).unwrap();
                assert_close(&found, &portable::rms_norm(&x, &weight, eps).unwrap(), tolerance);
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        for width in [5, 19] {
            let at = [random(&[2, 3, width], 4), random(&[width], 5), random(&[width], 6)];
            assert_gradients(&at, |a| layer_norm(&a[0], &a[1], Some(&a[2]), 1e-3));
            assert_gradients(&at[..2], |a| layer_norm(&a[0], &a[1], None, 1e-3));
            assert_gradients(&at[..2], |a| rms_norm(&a[0], &a[1], 1e-3));
        }
    }

    #[test]
    fn sums_over_rows_do_not_depend_on_threads() {
        let at: [Tensor; 3] =
            [random(&[300, 96], 7), random(&[96], 8), random(&[300, 96], 9)].map(|x| x.to_dtype(DType::F32).unwrap());
        let norm = NormOp { eps: 1e-5, centered: true };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let [dx, dw, db] = pool.install(|| norm.pull_any(&at[0], &at[1], &at[2]).unwrap());
            [dx, dw, db].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = random(&[2, 4], 1);
        assert!(layer_norm(&x, &random(&[3], 1), None, 1e-5).is_err());
        assert!(layer_norm(&x, &random(&[4], 1), Some(&random(&[3], 1)), 1e-5).is_err());
    }
}
