//! The same operations spelt in candle's own, for devices that have no kernel here, with gradients by candle.
//!
//! On a processor they are several times slower than the kernels beside them, which tests compare with these.

use candle_core::{D, DType, Result, Tensor};

use super::activation::Nonlinearity;
use super::attention::{Attended, Scoring};
use super::kernel::widened;

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, width) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    // One large product instead of a batch of small ones.
    let flat = x.reshape(((), width))?.matmul(&weight.t()?)?;
    let flat = match bias {
        Some(bias) => flat.broadcast_add(bias)?,
        None => flat,
    };
    if let Some(last) = shape.last_mut() {
        *last = out;
    }
    flat.reshape(shape)
}

pub(super) fn activate(x: &Tensor, f: Nonlinearity) -> Result<Tensor> {
    match f {
        Nonlinearity::Gelu => x.gelu_erf(),
        Nonlinearity::GeluTanh => x.gelu(),
        Nonlinearity::QuickGelu => x * ((x * -1.702)?.exp()? + 1.0)?.recip()?,
        Nonlinearity::Relu => x.relu(),
        Nonlinearity::Silu => x.silu(),
    }
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let wide = widened(x)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let scaled = centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(&widened(weight)?)?;
    match bias {
        Some(bias) => scaled.broadcast_add(&widened(bias)?)?.to_dtype(x.dtype()),
        None => scaled.to_dtype(x.dtype()),
    }
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = widened(x)?;
    let mean_square = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = wide.broadcast_div(&(mean_square + eps)?.sqrt()?)?;
    normal.broadcast_mul(&widened(weight)?)?.to_dtype(x.dtype())
}

pub(super) fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
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

/// Rows `index`, those times 0 that are `some` 0.
pub(super) fn rows(x: &Tensor, index: &Tensor, some: &Tensor) -> Result<Tensor> {
    x.contiguous()?.index_select(index, 0)?.broadcast_mul(&some.to_dtype(x.dtype())?)
}

pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scoring: &Scoring<'_>,
    keep_weights: bool,
) -> Result<Attended> {
    let repeat = q.dim(1)? / k.dim(1)?.max(1);
    let k = repeat_heads(k, repeat)?;
    let v = repeat_heads(v, repeat)?;
    let mut scores = (q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * scoring.scale)?;
    if let Some(cap) = scoring.soft_cap {
        scores = ((scores / cap)?.tanh()? * cap)?;
    }
    let mut scores = if scores.dtype() == DType::F64 { scores } else { scores.to_dtype(DType::F32)? };
    if let Some(bias) = scoring.bias {
        scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?;
    }
    if !scoring.visibility.is_everything() {
        scores = scores.broadcast_add(&scoring.visibility.additive(scores.dtype(), scores.device())?)?;
    }
    let weights = softmax(&scores)?.to_dtype(q.dtype())?;
    let output = weights.matmul(&v.contiguous()?)?;
    Ok(Attended { output, weights: keep_weights.then_some(weights) })
}

/// Softmax over the last axis.
fn softmax(x: &Tensor) -> Result<Tensor> {
    // The maximum only shifts the exponent; its gradient cancels, so it is a constant here.
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let exp = shifted.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

/// `[N, H_kv, S, d]` to `[N, H_kv * repeat, S, d]`, each head `repeat` times in a row.
fn repeat_heads(x: &Tensor, repeat: usize) -> Result<Tensor> {
    if repeat == 1 {
        return Ok(x.clone());
    }
    let (n, h, s, d) = x.dims4()?;
    x.unsqueeze(2)?.broadcast_as((n, h, repeat, s, d))?.reshape((n, h * repeat, s, d))
}
