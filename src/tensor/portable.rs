//! The same operations spelt in candle's own, for devices that have no kernel here, with gradients by candle.
//!
//! On a processor they are several times slower than the kernels beside them, which tests compare with these.

use candle_core::{D, Result, Tensor};

use super::attention::{Attended, Scoring};
use super::kernel::widened;
use super::nonlinearity::Nonlinearity;

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, width) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    // One large product instead of a batch of small ones.
    let flat = x.reshape(((), width))?.matmul(&weight.t()?)?;
    let flat = match bias {
        Some(bias) => add_shared(&flat, bias)?,
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
    let centered = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    let scaled = centered.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(&widened(weight)?)?;
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

/// `x + y`, with `y` again and again along the leading axes of `x` that it lacks. The gradient of a product's factor is a
/// product too, and devices sum products of 16 bits in f32, at no cost in memory for numbers of 32.
pub(super) fn add_shared(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let times = x.elem_count() / y.elem_count();
    let ones = Tensor::ones((times, 1), x.dtype(), x.device())?;
    x + ones.matmul(&y.reshape((1, ()))?)?.reshape(x.shape())?
}

pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scoring: &Scoring<'_>,
    keep_weights: bool,
) -> Result<Attended> {
    let repeat = q.dim(1)? / k.dim(1)?;
    let k = repeat_heads(k, repeat)?;
    let v = repeat_heads(v, repeat)?;
    let mut scores = (q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * scoring.scale)?;
    if let Some(cap) = scoring.soft_cap {
        scores = ((scores / cap)?.tanh()? * cap)?;
    }
    let mut scores = widened(&scores)?;
    if let Some(bias) = scoring.bias {
        scores = scores.broadcast_add(&bias.to_dtype(scores.dtype())?)?;
    }
    if !scoring.visibility.is_everything() {
        scores = scores.broadcast_add(&scoring.visibility.additive(scores.dtype(), scores.device())?)?;
    }
    let weights = match scoring.sinks {
        Some(sinks) => {
            let (n, h, t, s) = scores.dims4()?;
            let sinks = sinks.to_dtype(scores.dtype())?.reshape((1, h, 1, 1))?.broadcast_as((n, h, t, 1))?;
            softmax(&Tensor::cat(&[&scores, &sinks.contiguous()?], 3)?)?.narrow(3, 0, s)?.contiguous()?
        }
        None => softmax(&scores)?,
    };
    let weights = weights.to_dtype(q.dtype())?;
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

/// Logarithm of the softmax over the last axis.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

/// `[N, H_kv, S, d]` to `[N, H_kv * repeat, S, d]`, each head `repeat` times in a row.
fn repeat_heads(x: &Tensor, repeat: usize) -> Result<Tensor> {
    if repeat == 1 {
        return Ok(x.clone());
    }
    let (n, h, s, d) = x.dims4()?;
    x.unsqueeze(2)?.broadcast_as((n, h, repeat, s, d))?.reshape((n, h * repeat, s, d))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::super::testing::{assert_half_gradients, random};
    use super::super::{Visibility, add, cross_entropy, lookup};
    use super::*;

    /// What other devices compute in 16 bits, and how they learn in it, run on this one.
    #[test]
    fn plain_operations_learn_in_16_bits() {
        let wide = [random(&[64, 3, 24], 1), random(&[40, 24], 2), random(&[40], 3)];
        assert_half_gradients(&wide, 6.0, |a| linear(&a[0], &a[1], Some(&a[2])));
        assert_half_gradients(&wide[..2], 6.0, |a| linear(&a[0], &a[1], None));
        for f in [
            Nonlinearity::Gelu,
            Nonlinearity::GeluTanh,
            Nonlinearity::QuickGelu,
            Nonlinearity::Relu,
            Nonlinearity::Silu,
        ] {
            assert_half_gradients(&wide[..1], 8.0, |a| activate(&a[0], f));
        }
        let norm = [random(&[64, 3, 24], 4), random(&[24], 5), random(&[24], 6)];
        assert_half_gradients(&norm, 3.0, |a| layer_norm(&a[0], &a[1], Some(&a[2]), 1e-5));
        assert_half_gradients(&norm[..2], 3.0, |a| rms_norm(&a[0], &a[1], 1e-5));
        let (cos, sin) = (random(&[9, 4], 7), random(&[9, 4], 8));
        assert_half_gradients(&[random(&[2, 4, 9, 10], 9)], 3.0, |a| {
            rotary(&a[0], &cos.to_dtype(a[0].dtype())?, &sin.to_dtype(a[0].dtype())?)
        });
        assert_half_gradients(&[random(&[5, 3], 10), random(&[5, 3], 11)], 3.0, |a| add(&a[0], &a[1]));
    }

    #[test]
    fn plain_attention_learns_in_16_bits() {
        let visibility = Visibility::new((2, 9, 9), true, Some(5), [&[true; 18]; 2]);
        let at =
            [random(&[2, 4, 9, 8], 1), random(&[2, 2, 9, 8], 2), random(&[2, 2, 9, 8], 3), random(&[1, 4, 9, 9], 4)];
        fn scoring<'a>(visibility: &'a Visibility, bias: Option<&'a Tensor>) -> Scoring<'a> {
            Scoring { scale: 0.6, soft_cap: Some(4.0), bias, sinks: None, visibility }
        }
        assert_half_gradients(&at, 6.0, |a| {
            Ok(attention(&a[0], &a[1], &a[2], &scoring(&visibility, Some(&a[3])), false)?.output)
        });
        assert_half_gradients(&at[..2], 6.0, |a| {
            let values = at[2].to_dtype(a[0].dtype())?;
            let kept = attention(&a[0], &a[1], &values, &scoring(&visibility, None), true)?.weights;
            kept.ok_or_else(|| candle_core::Error::msg("no weights"))
        });
    }

    #[test]
    fn what_many_positions_read_learns_in_16_bits() {
        let ids: Vec<u32> = (0..3000).map(|i| i * i % 7).collect();
        let ids = Tensor::from_vec(ids, 3000, &Device::Cpu).unwrap();
        assert_half_gradients(&[random(&[7, 6], 1)], 2.0, |a| lookup(&a[0], &ids));
        // Candle's products of f16 on the processor, which nothing else here uses, are summed in f16.
        assert_half_gradients(&[random(&[300, 7, 6], 2), random(&[7, 6], 1)], 8.0, |a| add_shared(&a[0], &a[1]));
        assert_half_gradients(&[random(&[300, 7, 6], 2), random(&[7, 6], 1)], 2.0, |a| {
            super::super::add_shared(&a[0], &a[1])
        });
        let labels: Vec<u32> = (0..50).map(|i| i * 3 % 11).collect();
        assert_half_gradients(&[random(&[50, 11], 3)], 3.0, |a| {
            cross_entropy(&a[0], &labels, 0.1)?.to_dtype(a[0].dtype())
        });
    }
}
