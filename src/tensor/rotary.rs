//! Rotary position embedding.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::device::has_kernels;
use super::kernel::{Heads, Real, cast, reading, widened};
use super::portable;

/// Rotates pairs `(x_i, x_{i + n})` of the leading `2 n` dimensions (Su et al. 2021, in the half-split layout).
///
/// `x [N, H, T, d]`, `cos` and `sin` `[T, n]`, which get no gradient; dimensions beyond `2 n` pass unchanged.
pub fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (positions, half) = cos.dims2()?;
    let (_, _, length, width) = x.dims4()?;
    if sin.dims2()? != (positions, half) || positions != length || 2 * half > width {
        bail!("angles of {positions} positions and {half} pairs do not turn {length} positions of {width} numbers");
    }
    if !has_kernels(x.device()) {
        return portable::rotary(x, cos, sin);
    }
    let turn = Turn { cos: widened(cos)?, sin: widened(sin)?, back: false };
    cast(&widened(x)?.apply_op1(turn)?, x.dtype())
}

#[derive(Clone, Debug)]
struct Turn {
    cos: Tensor,
    sin: Tensor,
    /// By the negative angle, as gradients do.
    back: bool,
}

impl Turn {
    fn forward<T: Real>(&self, storage: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let heads = Heads::<T>::new(storage, layout)?;
        let (_, _, length, width) = heads.shape();
        let mut out = vec![T::zero(); layout.shape().elem_count()];
        let half = self.cos.dim(1)?;
        let arch = Arch::new();
        reading(&self.cos, |cos| {
            reading(&self.sin, |sin| {
                let parts = out.par_chunks_mut(length * width).enumerate();
                parts.for_each(|(part, out)| {
                    for (t, out) in out.chunks_exact_mut(width).enumerate() {
                        let x = heads.row(part, t);
                        let angles = t * half..(t + 1) * half;
                        let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
                        arch.dispatch(RotaryRow { x, cos, sin, back: self.back, out });
                    }
                });
                Ok(())
            })
        })?;
        Ok(T::to_cpu_storage_owned(out))
    }
}

struct RotaryRow<'a, T> {
    x: &'a [T],
    cos: &'a [T],
    sin: &'a [T],
    back: bool,
    out: &'a mut [T],
}

impl<T: Real> WithSimd for RotaryRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let half = self.cos.len();
        let (x, x_rest) = self.x.split_at(2 * half);
        let (out, out_rest) = self.out.split_at_mut(2 * half);
        out_rest.copy_from_slice(x_rest);
        let (first, second) = x.split_at(half);
        let (out_first, out_second) = out.split_at_mut(half);
        let sign = T::splat(simd, if self.back { -1.0 } else { 1.0 });
        let turned = |a: T::Lanes<S>, b: T::Lanes<S>, cos: T::Lanes<S>, sin: T::Lanes<S>| {
            let sin = T::times(simd, sin, sign);
            let first = T::minus(simd, T::times(simd, a, cos), T::times(simd, b, sin));
            (first, T::fused(simd, b, cos, T::times(simd, a, sin)))
        };
        let (a, a_rest) = T::lanes::<S>(first);
        let (b, b_rest) = T::lanes::<S>(second);
        let (cos, cos_rest) = T::lanes::<S>(self.cos);
        let (sin, sin_rest) = T::lanes::<S>(self.sin);
        let (to_a, to_a_rest) = T::lanes_mut::<S>(out_first);
        let (to_b, to_b_rest) = T::lanes_mut::<S>(out_second);
        for i in 0..a.len() {
            (to_a[i], to_b[i]) = turned(a[i], b[i], cos[i], sin[i]);
        }
        if !a_rest.is_empty() {
            let load = |x| T::load_part(simd, x);
            let (a, b) = turned(load(a_rest), load(b_rest), load(cos_rest), load(sin_rest));
            T::store_part(simd, to_a_rest, a);
            T::store_part(simd, to_b_rest, b);
        }
    }
}

impl CustomOp1 for Turn {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = match storage {
            CpuStorage::F32(_) => self.forward::<f32>(storage, layout)?,
            CpuStorage::F64(_) => self.forward::<f64>(storage, layout)?,
            _ => bail!("rotary positions need floats"),
        };
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let turn = Self { back: !self.back, ..self.clone() };
        Ok(Some(grad.apply_op1_no_bwd(&turn)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    #[test]
    fn values_are_those_of_the_plain_operations() {
        for (pairs, width) in [(3, 6), (8, 16), (19, 43), (2, 16)] {
            // A view of heads inside tokens, as the network hands over.
            let x = random(&[2, 5, 3, width], 1).transpose(1, 2).unwrap();
            let (cos, sin) = (random(&[5, pairs], 2), random(&[5, pairs], 3));
            let expected = portable::rotary(&x, &cos, &sin).unwrap();
            for (dtype, tolerance) in [(DType::F64, 1e-15), (DType::F32, 1e-6), (DType::BF16, 2e-2)] {
                let to = |x: &Tensor| x.to_dtype(dtype).unwrap();
                assert_close(&rotary(&to(&x), &to(&cos), &to(&sin)).unwrap(), &expected, tolerance);
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (cos, sin) = (random(&[3, 5], 5), random(&[3, 5], 6));
        assert_gradients(&[random(&[2, 3, 2, 13], 4)], |x| rotary(&x[0].transpose(1, 2)?, &cos, &sin));
    }

    #[test]
    fn angles_that_do_not_fit_are_refused() {
        let x = random(&[1, 1, 3, 4], 1);
        assert!(rotary(&x, &random(&[2, 2], 1), &random(&[2, 2], 1)).is_err());
        assert!(rotary(&x, &random(&[3, 3], 1), &random(&[3, 3], 1)).is_err());
    }
}
