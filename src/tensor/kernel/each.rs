//! One number after the other, in vectors and on all threads.

use pulp::{Arch, Simd, WithSimd};

use super::{Real, changed};

const BLOCK: usize = 1 << 14;

/// A function of one number.
pub(in crate::tensor) trait ScalarFunction<T: Real>: Copy + Send + Sync {
    /// The function at each lane.
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>) -> T::Lanes<S>;
}

/// A function of two numbers.
pub(in crate::tensor) trait Curve2<T: Real>: Copy + Send + Sync {
    /// The function at each pair of lanes.
    fn at<S: Simd>(self, simd: S, x: T::Lanes<S>, y: T::Lanes<S>) -> T::Lanes<S>;
}

/// `x = f(x)` for every number, on the caller's thread.
pub(in crate::tensor) fn apply<T: Real>(x: &mut [T], f: impl ScalarFunction<T>) {
    Arch::new().dispatch(Each { x, f });
}

/// `x = f(x, y)` for every pair of numbers of slices equally long, on the caller's thread.
pub(in crate::tensor) fn apply2<T: Real>(x: &mut [T], y: &[T], f: impl Curve2<T>) {
    let pairs = x.len().min(y.len());
    Arch::new().dispatch(Each2 { x: &mut x[..pairs], y: &y[..pairs], f });
}

/// A copy of `x` whose blocks went through `f`, which takes every number by itself.
pub(in crate::tensor) fn map<T: Real>(x: &[T], f: impl Fn(&mut [T]) + Sync) -> Vec<T> {
    changed(x, BLOCK, |_, x| f(x))
}

/// `f(x, y)` for every pair of numbers of slices equally long.
pub(in crate::tensor) fn map2<T: Real>(x: &[T], y: &[T], f: impl Curve2<T>) -> Vec<T> {
    let arch = Arch::new();
    let pairs = x.len().min(y.len());
    changed(&x[..pairs], BLOCK, |first, x| {
        let y = &y[first..][..x.len()];
        arch.dispatch(Each2 { x, y, f });
    })
}

struct Each<'a, T, F> {
    x: &'a mut [T],
    f: F,
}

impl<T: Real, F: ScalarFunction<T>> WithSimd for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, rest) = T::lanes_mut::<S>(self.x);
        for x in x {
            *x = self.f.at(simd, *x);
        }
        if !rest.is_empty() {
            let last = T::load_part(simd, rest);
            T::store_part(simd, rest, self.f.at(simd, last));
        }
    }
}

/// In place of the first of two.
struct Each2<'a, T, F> {
    x: &'a mut [T],
    y: &'a [T],
    f: F,
}

impl<T: Real, F: Curve2<T>> WithSimd for Each2<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, x_rest) = T::lanes_mut::<S>(self.x);
        let (y, y_rest) = T::lanes::<S>(self.y);
        for (x, y) in x.iter_mut().zip(y) {
            *x = self.f.at(simd, *x, *y);
        }
        if !x_rest.is_empty() {
            let (x, y) = (T::load_part(simd, x_rest), T::load_part(simd, y_rest));
            T::store_part(simd, x_rest, self.f.at(simd, x, y));
        }
    }
}
