//! Non-linearities.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use pulp::Simd;

use super::device::has_kernels;
use super::kernel::{Curve2, Real, ScalarFunction, apply, cast, map, map2, numbers, reading, sigmoid, tensor, widened};
use super::nonlinearity::Nonlinearity;
use super::portable;

/// `f(x)` of every number.
pub fn activate(x: &Tensor, f: Nonlinearity) -> Result<Tensor> {
    if has_kernels(x.device()) {
        cast(&widened(x)?.contiguous()?.apply_op1(f)?, x.dtype())
    } else {
        portable::activate(x, f)
    }
}

/// `x` goes to `x * gate(x)`, with the gate and its derivative.
trait Gated: Copy + Send + Sync {
    fn gate<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S>;
    fn slope<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S>;
}

#[derive(Clone, Copy)]
struct GateValue<G>(G);

impl<T: Real, G: Gated> ScalarFunction<T> for GateValue<G> {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        T::times(simd, x, G::gate::<T, S>(simd, x))
    }
}

/// The gradient of the result, second, becomes that of the argument: `g * (gate + x * gate')`.
#[derive(Clone, Copy)]
struct GatedGradient<G>(G);

impl<T: Real, G: Gated> Curve2<T> for GatedGradient<G> {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, grad: T::Lanes<S>) -> T::Lanes<S> {
        let slope = T::fused(simd, x, G::slope::<T, S>(simd, x), G::gate::<T, S>(simd, x));
        T::times(simd, grad, slope)
    }
}

/// The normal distribution function `Phi(x)`.
#[derive(Clone, Copy)]
struct Normal;

impl Gated for Normal {
    #[inline(always)]
    fn gate<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        let half = T::splat(simd, 0.5);
        T::fused(simd, T::erf(simd, T::times(simd, x, T::splat(simd, FRAC_1_SQRT_2))), half, half)
    }

    #[inline(always)]
    fn slope<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        let exponent = T::times(simd, T::times(simd, x, x), T::splat(simd, -0.5));
        T::times(simd, T::exp(simd, exponent), T::splat(simd, (2.0 * PI).sqrt().recip()))
    }
}

/// `(1 + tanh u) / 2 = sigmoid(2 u)` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
#[derive(Clone, Copy)]
struct NormalByTanh;

impl NormalByTanh {
    const SCALE: f64 = 1.595_769_121_605_730_7;
    const CUBE: f64 = 0.044_715;
}

impl Gated for NormalByTanh {
    #[inline(always)]
    fn gate<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        let square = T::times(simd, x, x);
        let cube = T::splat(simd, Self::SCALE * Self::CUBE);
        let inner = T::fused(simd, square, cube, T::splat(simd, Self::SCALE));
        sigmoid::<T, S>(simd, T::times(simd, x, inner))
    }

    #[inline(always)]
    fn slope<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        let gate = Self::gate::<T, S>(simd, x);
        let cube = T::splat(simd, 3.0 * Self::SCALE * Self::CUBE);
        let inner = T::fused(simd, T::times(simd, x, x), cube, T::splat(simd, Self::SCALE));
        let bell = T::times(simd, gate, T::minus(simd, T::splat(simd, 1.0), gate));
        T::times(simd, bell, inner)
    }
}

/// `sigmoid(SCALE x / 1000)`.
#[derive(Clone, Copy)]
struct Sigmoid<const SCALE: u32>;

impl<const SCALE: u32> Sigmoid<SCALE> {
    #[inline(always)]
    fn scale<T: Real, S: Simd>(simd: S) -> T::Lanes<S> {
        T::splat(simd, f64::from(SCALE) / 1000.0)
    }
}

impl<const SCALE: u32> Gated for Sigmoid<SCALE> {
    #[inline(always)]
    fn gate<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        sigmoid::<T, S>(simd, T::times(simd, x, Self::scale::<T, S>(simd)))
    }

    #[inline(always)]
    fn slope<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        let gate = Self::gate::<T, S>(simd, x);
        let bell = T::times(simd, gate, T::minus(simd, T::splat(simd, 1.0), gate));
        T::times(simd, bell, Self::scale::<T, S>(simd))
    }
}

/// `max(x, 0)`; its slope at 0 is 0.
#[derive(Clone, Copy)]
struct Ramp;

impl<T: Real> ScalarFunction<T> for Ramp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
        T::most(simd, T::splat(simd, 0.0), x)
    }
}

impl<T: Real> Curve2<T> for Ramp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, grad: T::Lanes<S>) -> T::Lanes<S> {
        let zero = T::splat(simd, 0.0);
        T::where_less(simd, zero, x, grad, zero)
    }
}

impl Nonlinearity {
    /// `x = f(x)` for every number, on the caller's thread.
    pub(super) fn apply<T: Real>(self, x: &mut [T]) {
        match self {
            Self::Gelu => apply(x, GateValue(Normal)),
            Self::GeluTanh => apply(x, GateValue(NormalByTanh)),
            Self::QuickGelu => apply(x, GateValue(Sigmoid::<1702>)),
            Self::Relu => apply(x, Ramp),
            Self::Silu => apply(x, GateValue(Sigmoid::<1000>)),
        }
    }

    fn pull<T: Real>(self, x: &[T], grad: &[T]) -> Vec<T> {
        match self {
            Self::Gelu => map2(x, grad, GatedGradient(Normal)),
            Self::GeluTanh => map2(x, grad, GatedGradient(NormalByTanh)),
            Self::QuickGelu => map2(x, grad, GatedGradient(Sigmoid::<1702>)),
            Self::Relu => map2(x, grad, Ramp),
            Self::Silu => map2(x, grad, GatedGradient(Sigmoid::<1000>)),
        }
    }

    fn forward<T: Real>(self, storage: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        Ok(T::to_cpu_storage_owned(map(numbers(storage, layout)?, |x: &mut [T]| self.apply(x))))
    }

    fn backward<T: Real>(self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let pulled = reading(x, |x| reading(grad, |grad| Ok(self.pull::<T>(x, grad))))?;
        tensor(pulled, x.shape())
    }
}

impl CustomOp1 for Nonlinearity {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = match storage {
            CpuStorage::F32(_) => self.forward::<f32>(storage, layout)?,
            CpuStorage::F64(_) => self.forward::<f64>(storage, layout)?,
            _ => bail!("an activation needs floats"),
        };
        Ok((values, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(match x.dtype() {
            DType::F32 => self.backward::<f32>(x, grad)?,
            _ => self.backward::<f64>(x, grad)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradients, random};
    use super::*;

    const ALL: [Nonlinearity; 5] =
        [Nonlinearity::Gelu, Nonlinearity::GeluTanh, Nonlinearity::QuickGelu, Nonlinearity::Relu, Nonlinearity::Silu];

    #[test]
    fn values_are_those_of_the_plain_operations() {
        // Longer than a block, and no multiple of any vector.
        let x = (random(&[3, 7001], 1) * 3.0).unwrap();
        for f in ALL {
            let expected = portable::activate(&x, f).unwrap();
            assert_close(&activate(&x, f).unwrap(), &expected, 1e-14);
            for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::BF16, 1e-2), (DType::F16, 2e-3)] {
                let found = activate(&x.to_dtype(dtype).unwrap(), f).unwrap();
                assert_eq!(found.dtype(), dtype);
                assert_close(&found, &expected, tolerance);
            }
            // Views are read as they are seen.
            let turned = activate(&x.t().unwrap(), f).unwrap();
            assert_close(&turned, &expected.t().unwrap(), 1e-14);
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        for f in ALL {
            assert_gradients(&[random(&[2, 19], 2)], |x| activate(&x[0], f));
        }
    }
}
