//! Sums of two streams.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use pulp::Simd;

use super::device::has_kernels;
use super::kernel::{Curve2, Real, map2, numbers};

/// `x + y` of one shape.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let wide = matches!(x.dtype(), DType::F32 | DType::F64);
    // Candle's sum hands blocks to threads of its own, which other kernels' threads then wait for.
    if has_kernels(x.device()) && wide { x.contiguous()?.apply_op2(&y.contiguous()?, Sum) } else { x + y }
}

#[derive(Clone, Copy)]
struct Sum;

impl<T: Real> Curve2<T> for Sum {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, y: T::Lanes<S>) -> T::Lanes<S> {
        T::plus(simd, x, y)
    }
}

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, y: &CpuStorage, yl: &Layout) -> Result<(CpuStorage, Shape)> {
        if xl.shape() != yl.shape() {
            bail!("{:?} and {:?} do not add", xl.dims(), yl.dims());
        }
        let sum = match x {
            CpuStorage::F32(_) => CpuStorage::F32(map2(numbers(x, xl)?, numbers(y, yl)?, Self)),
            _ => CpuStorage::F64(map2(numbers(x, xl)?, numbers(y, yl)?, Self)),
        };
        Ok((sum, xl.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), Some(grad.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    #[test]
    fn values_are_those_of_the_plain_operation() {
        let (x, y) = (random(&[2, 5, 70], 1), random(&[2, 70, 5], 2).transpose(1, 2).unwrap());
        let expected = (&x + &y).unwrap();
        for (dtype, tolerance) in [(DType::F64, 0.0), (DType::F32, 1e-6), (DType::BF16, 2e-2)] {
            let to = |x: &Tensor| x.to_dtype(dtype).unwrap();
            assert_close(&add(&to(&x), &to(&y)).unwrap(), &expected, tolerance);
        }
        assert!(add(&x, &random(&[2, 5, 1], 1)).is_err());
    }

    #[test]
    fn gradients_are_finite_differences() {
        assert_gradients(&[random(&[2, 3], 1), random(&[2, 3], 2)], |a| add(&a[0], &a[1]));
        // Both from one.
        assert_gradients(&[random(&[2, 3], 1)], |a| add(&a[0], &a[0]));
    }
}
