//! Functions of vectors of any float.

use pulp::Simd;

use super::Real;

/// `e^x` for any float.
#[inline(always)]
pub(in crate::tensor) fn exp<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
    T::exp(simd, x)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(in crate::tensor) fn sigmoid<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
    let one = T::splat(simd, 1.0);
    let e = T::exp(simd, T::minus(simd, T::splat(simd, 0.0), x));
    T::over(simd, one, T::plus(simd, one, e))
}

/// The hyperbolic tangent for any float.
#[inline(always)]
pub(in crate::tensor) fn tanh<T: Real, S: Simd>(simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
    T::tanh(simd, x)
}
