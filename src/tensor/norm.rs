//! Normalisation over the last axis.

use candle_core::{D, DType, Result, Tensor};

/// Layer norm (Ba et al. 2016): `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let wide = widen(x)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.to_dtype(dtype)?;
    let scaled = normal.broadcast_mul(weight)?;
    match bias {
        Some(bias) => scaled.broadcast_add(bias),
        None => Ok(scaled),
    }
}

/// Root-mean-square norm (Zhang and Sennrich 2019): `x / sqrt(mean(x^2) + eps) * weight` over the last axis.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let wide = widen(x)?;
    let mean_square = wide.sqr()?.mean_keepdim(D::Minus1)?;
    wide.broadcast_div(&(mean_square + eps)?.sqrt()?)?.to_dtype(dtype)?.broadcast_mul(weight)
}

/// Half-precision sums are taken in f32, as the models' own code does.
fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
