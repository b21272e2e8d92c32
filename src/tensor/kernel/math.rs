//! Exponentials of vectors.

use pulp::Simd;

/// `sum_i coefficients[i] x^(n - 1 - i)`, by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    coefficients.iter().fold(simd.splat_f32s(0.0), |sum, c| simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*c)))
}

/// After Cephes' `expf`: `x = n ln 2 + r`, a polynomial in `r`, `2^n` put into the exponent. 2 units in the last place.
#[inline(always)]
pub(super) fn exp_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, which the low bits of the sum then hold.
    const ROUND: f32 = 12_582_912.0;
    const LOWEST: f32 = -87.3;
    // Numbers whose order matters stand second: a NaN there stays one.
    let bounded = simd.min_f32s(simd.splat_f32s(88.0), simd.max_f32s(simd.splat_f32s(LOWEST), x));
    let shifted = simd.mul_add_e_f32s(bounded, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), bounded);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let series =
        polynomial(simd, r, &[1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let mantissa = simd.mul_add_e_f32s(simd.mul_f32s(r, r), series, simd.add_f32s(r, simd.splat_f32s(1.0)));
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(bits, simd.splat_u32s(127 << 23)));
    let result = simd.mul_f32s(mantissa, power);
    simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(LOWEST)), simd.splat_f32s(0.0), result)
}

/// A rational approximation of the error function on -4..4, beyond which it is 1 to f32 (that of Eigen's
/// `generic_fast_erf_float`).
#[inline(always)]
pub(super) fn erf_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.min_f32s(simd.splat_f32s(4.0), simd.max_f32s(simd.splat_f32s(-4.0), x));
    let square = simd.mul_f32s(x, x);
    let above = polynomial(
        simd,
        square,
        &[
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let below =
        polynomial(simd, square, &[-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2]);
    simd.div_f32s(simd.mul_f32s(x, above), below)
}

/// `tanh x`: an odd polynomial near 0 (Cephes' `tanhf`), elsewhere `1 - 2 / (e^2x + 1)`.
#[inline(always)]
pub(super) fn tanh_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let square = simd.mul_f32s(x, x);
    let series =
        polynomial(simd, square, &[-5.704_988_7e-3, 2.063_909e-2, -5.373_971_5e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let near = simd.mul_add_e_f32s(simd.mul_f32s(x, square), series, x);
    let one = simd.splat_f32s(1.0);
    let e = exp_f32(simd, simd.add_f32s(x, x));
    let far = simd.sub_f32s(one, simd.div_f32s(simd.splat_f32s(2.0), simd.add_f32s(e, one)));
    simd.select_f32s(simd.less_than_f32s(square, simd.splat_f32s(0.390_625)), near, far)
}

#[cfg(test)]
mod tests {
    use super::super::{Real, ScalarFunction, apply, map};
    use super::*;

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Erf,
        Tanh,
    }

    impl<T: Real> ScalarFunction<T> for Function {
        fn at<S: Simd>(self, simd: S, x: T::Lanes<S>) -> T::Lanes<S> {
            match self {
                Self::Exp => T::exp(simd, x),
                Self::Erf => T::erf(simd, x),
                Self::Tanh => T::tanh(simd, x),
            }
        }
    }

    /// Largest error over many numbers in units of the last place of f32, tiny results by their distance alone.
    fn worst(function: Function, exact: impl Fn(f64) -> f64, range: f64) -> f64 {
        let x: Vec<f32> = (0..100_003).map(|i| ((f64::from(i) / 50_001.0 - 1.0) * range) as f32).collect();
        let found = map(&x, |x| apply(x, function));
        let error = |(x, found): (&f32, &f32)| {
            let exact = exact(f64::from(*x));
            (f64::from(*found) - exact).abs() / (exact.abs().max(1e-30) * f64::from(f32::EPSILON))
        };
        x.iter().zip(&found).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn functions_agree_with_doubles() {
        assert!(worst(Function::Exp, f64::exp, 87.0) < 2.0);
        assert!(worst(Function::Exp, f64::exp, 1.0) < 2.0);
        assert!(worst(Function::Erf, candle_core::cpu::erf::erf_f64, 5.0) < 8.0);
        assert!(worst(Function::Tanh, f64::tanh, 12.0) < 4.0);
        assert!(worst(Function::Tanh, f64::tanh, 1e-3) < 2.0);
    }

    #[test]
    fn extremes_keep_their_meaning() {
        let x = [f32::NEG_INFINITY, -1e30, -88.0, 0.0, -0.0, f32::NAN];
        let exp = map(&x, |x| apply(x, Function::Exp));
        assert_eq!(exp[..5], [0.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(exp[5].is_nan());
        let tanh = map(&[-1e30f32, 1e30, f32::NAN], |x| apply(x, Function::Tanh));
        assert_eq!(tanh[..2], [-1.0, 1.0]);
        assert!(tanh[2].is_nan());
        let erf = map(&[f32::NEG_INFINITY, f32::INFINITY], |x| apply(x, Function::Erf));
        assert!((erf[0] + 1.0).abs() < 1e-6 && (erf[1] - 1.0).abs() < 1e-6);
    }
}
