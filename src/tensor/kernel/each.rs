//! One number after the other, in vectors and on all threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Real;

/// Numbers per task.
const BLOCK: usize = 1 << 14;

/// A function of one number.
pub(in crate::tensor) trait Curve<T: Real>: Copy + Send + Sync {
    /// The function at each lane.
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>) -> T::Lanes<S>;
}

/// A function of two numbers.
pub(in crate::tensor) trait Curve2<T: Real>: Copy + Send + Sync {
    /// The function at each pair of lanes.
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, y: T::Lanes<S>) -> T::Lanes<S>;
}

/// `f(x)` for every number.
pub(in crate::tensor) fn map<T: Real>(x: &[T], f: impl Curve<T>) -> Vec<T> {
    let mut out = vec![T::zero(); x.len()];
    let arch = Arch::new();
    let blocks = out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK));
    blocks.for_each(|(out, x)| arch.dispatch(Each { x, out, f }));
    out
}

/// `f(x, y)` for every pair of numbers of slices equally long.
pub(in crate::tensor) fn map2<T: Real>(x: &[T], y: &[T], f: impl Curve2<T>) -> Vec<T> {
    let mut out = vec![T::zero(); x.len().min(y.len())];
    let arch = Arch::new();
    let blocks = out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).zip(y.par_chunks(BLOCK));
    blocks.for_each(|((out, x), y)| arch.dispatch(Each2 { x, y, out, f }));
    out
}

struct Each<'a, T, F> {
    x: &'a [T],
    out: &'a mut [T],
    f: F,
}

impl<T: Real, F: Curve<T>> WithSimd for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = T::lanes::<S>(self.x);
        let (out, out_rest) = T::lanes_mut::<S>(self.out);
        for (out, x) in out.iter_mut().zip(x) {
            *out = self.f.at(simd, *x);
        }
        if !x_rest.is_empty() {
            T::store_part(simd, out_rest, self.f.at(simd, T::load_part(simd, x_rest)));
        }
    }
}

struct Each2<'a, T, F> {
    x: &'a [T],
    y: &'a [T],
    out: &'a mut [T],
    f: F,
}

impl<T: Real, F: Curve2<T>> WithSimd for Each2<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = T::lanes::<S>(self.x);
        let (y, y_rest) = T::lanes::<S>(self.y);
        let (out, out_rest) = T::lanes_mut::<S>(self.out);
        for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
            *out = self.f.at(simd, *x, *y);
        }
        if !x_rest.is_empty() {
            let (x, y) = (T::load_part(simd, x_rest), T::load_part(simd, y_rest));
            T::store_part(simd, out_rest, self.f.at(simd, x, y));
        }
    }
}
