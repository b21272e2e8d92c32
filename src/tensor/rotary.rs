//! Rotary position embedding.

use candle_core::{D, Result, Tensor};

/// Rotates pairs `(x_i, x_{i + n})` of the leading `2 n` dimensions (Su et al. 2021, in the half-split layout).
///
/// `x [N, H, T, d]`, `cos` and `sin` `[T, n]`; dimensions beyond `2 n` pass unchanged.
pub fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (_, half) = cos.dims2()?;
    let d = x.dim(D::Minus1)?;
    let first = x.narrow(D::Minus1, 0, half)?;
    let second = x.narrow(D::Minus1, half, half)?;
    let turned_first = (first.broadcast_mul(cos)? - second.broadcast_mul(sin)?)?;
    let turned_second = (second.broadcast_mul(cos)? + first.broadcast_mul(sin)?)?;
    if d == 2 * half {
        return Tensor::cat(&[&turned_first, &turned_second], D::Minus1);
    }
    let rest = x.narrow(D::Minus1, 2 * half, d - 2 * half)?;
    Tensor::cat(&[&turned_first, &turned_second, &rest], D::Minus1)
}
