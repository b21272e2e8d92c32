//! Vectors of f32 and f64 under one name.

use candle_core::WithDType;
use faer::traits::ComplexField;
use pulp::Simd;
use pulp::bytemuck::Pod;

/// A float type that kernels compute in, and its vectors.
///
/// Arguments and results are plain arithmetic; where a name says less, it is said there.
pub(in crate::tensor) trait Real: WithDType + Pod + ComplexField {
    /// A register of numbers.
    type Lanes<S: Simd>: Copy + Pod;

    /// The whole registers of a slice, and the numbers left over.
    fn lanes<S: Simd>(from: &[Self]) -> (&[Self::Lanes<S>], &[Self]);
    /// The same to write to.
    fn lanes_mut<S: Simd>(from: &mut [Self]) -> (&mut [Self::Lanes<S>], &mut [Self]);
    /// Fewer numbers than a register holds, the others 0.
    fn load_part<S: Simd>(simd: S, from: &[Self]) -> Self::Lanes<S>;
    /// Writes as many lanes as fit.
    fn store_part<S: Simd>(simd: S, to: &mut [Self], x: Self::Lanes<S>);

    fn splat<S: Simd>(simd: S, x: f64) -> Self::Lanes<S>;
    fn plus<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    fn minus<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    fn times<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    fn over<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a * b + c`, rounded once or twice.
    fn fused<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The larger; a NaN in `b` stays on x86.
    fn most<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `then` where `a < b`, else `or`.
    fn where_less<S: Simd>(
        simd: S,
        a: Self::Lanes<S>,
        b: Self::Lanes<S>,
        then: Self::Lanes<S>,
        or: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
    fn sum_of<S: Simd>(simd: S, x: Self::Lanes<S>) -> Self;
    fn largest_of<S: Simd>(simd: S, x: Self::Lanes<S>) -> Self;

    /// `e^x`; 0 where that is below the smallest normal number.
    fn exp<S: Simd>(simd: S, x: Self::Lanes<S>) -> Self::Lanes<S>;
    fn erf<S: Simd>(simd: S, x: Self::Lanes<S>) -> Self::Lanes<S>;
    fn tanh<S: Simd>(simd: S, x: Self::Lanes<S>) -> Self::Lanes<S>;
}

macro_rules! arithmetic {
    ($lanes:ident: $as:ident $as_mut:ident $load:ident $store:ident $splat:ident $add:ident $sub:ident $mul:ident
     $div:ident $fused:ident $max:ident $less:ident $select:ident $sum:ident $largest:ident) => {
        type Lanes<S: Simd> = S::$lanes;

        #[inline(always)]
        fn lanes<S: Simd>(from: &[Self]) -> (&[S::$lanes], &[Self]) {
            S::$as(from)
        }
        #[inline(always)]
        fn lanes_mut<S: Simd>(from: &mut [Self]) -> (&mut [S::$lanes], &mut [Self]) {
            S::$as_mut(from)
        }
        #[inline(always)]
        fn load_part<S: Simd>(simd: S, from: &[Self]) -> S::$lanes {
            simd.$load(from)
        }
        #[inline(always)]
        fn store_part<S: Simd>(simd: S, to: &mut [Self], x: S::$lanes) {
            simd.$store(to, x);
        }
        #[inline(always)]
        fn splat<S: Simd>(simd: S, x: f64) -> S::$lanes {
            simd.$splat(x as Self)
        }
        #[inline(always)]
        fn plus<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
            simd.$add(a, b)
        }
        #[inline(always)]
        fn minus<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
            simd.$sub(a, b)
        }
        #[inline(always)]
        fn times<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
            simd.$mul(a, b)
        }
        #[inline(always)]
        fn over<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
            simd.$div(a, b)
        }
        #[inline(always)]
        fn fused<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
            simd.$fused(a, b, c)
        }
        #[inline(always)]
        fn most<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
            simd.$max(a, b)
        }
        #[inline(always)]
        fn where_less<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, then: S::$lanes, or: S::$lanes) -> S::$lanes {
            simd.$select(simd.$less(a, b), then, or)
        }
        #[inline(always)]
        fn sum_of<S: Simd>(simd: S, x: S::$lanes) -> Self {
            simd.$sum(x)
        }
        #[inline(always)]
        fn largest_of<S: Simd>(simd: S, x: S::$lanes) -> Self {
            simd.$largest(x)
        }
    };
}

impl Real for f32 {
    arithmetic!(f32s: as_simd_f32s as_mut_simd_f32s partial_load_f32s partial_store_f32s splat_f32s add_f32s sub_f32s
        mul_f32s div_f32s mul_add_e_f32s max_f32s less_than_f32s select_f32s reduce_sum_f32s reduce_max_f32s);

    #[inline(always)]
    fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        super::math::exp_f32(simd, x)
    }
    #[inline(always)]
    fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        super::math::erf_f32(simd, x)
    }
    #[inline(always)]
    fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        super::math::tanh_f32(simd, x)
    }
}

impl Real for f64 {
    arithmetic!(f64s: as_simd_f64s as_mut_simd_f64s partial_load_f64s partial_store_f64s splat_f64s add_f64s sub_f64s
        mul_f64s div_f64s mul_add_e_f64s max_f64s less_than_f64s select_f64s reduce_sum_f64s reduce_max_f64s);

    // Doubles are for checking gradients, so they take the exact functions one by one.
    #[inline(always)]
    fn exp<S: Simd>(_: S, x: S::f64s) -> S::f64s {
        one_by_one::<S>(x, f64::exp)
    }
    #[inline(always)]
    fn erf<S: Simd>(_: S, x: S::f64s) -> S::f64s {
        one_by_one::<S>(x, candle_core::cpu::erf::erf_f64)
    }
    #[inline(always)]
    fn tanh<S: Simd>(_: S, x: S::f64s) -> S::f64s {
        one_by_one::<S>(x, f64::tanh)
    }
}

#[inline(always)]
fn one_by_one<S: Simd>(mut x: S::f64s, f: impl Fn(f64) -> f64) -> S::f64s {
    for x in pulp::bytemuck::cast_slice_mut::<_, f64>(std::slice::from_mut(&mut x)) {
        *x = f(*x);
    }
    x
}
