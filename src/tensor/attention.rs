//! Per-head scaled dot-product attention.

use candle_core::{D, DType, Result, Tensor};

use super::Visibility;

/// How scores are formed.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Factor on the products of queries and keys.
    pub scale: f64,
    /// `cap * tanh(score / cap)` after scaling.
    pub soft_cap: Option<f64>,
    /// Added after the cap: `[1 or N, H, T, S]`.
    pub bias: Option<&'a Tensor>,
    /// Which keys count.
    pub visibility: &'a Visibility,
}

/// Result of [`attention`].
#[derive(Debug)]
pub struct Attended {
    /// Weights times values, `[N, H, T, d]`.
    pub output: Tensor,
    /// Softmax weights `[N, H, T, S]`, where asked for.
    pub weights: Option<Tensor>,
}

/// `softmax(q k^T) v` per head: `q [N, H, T, d]`, `k` and `v` `[N, H_kv, S, d]`, `H` a multiple of `H_kv`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scoring: &Scoring<'_>, keep_weights: bool) -> Result<Attended> {
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
