//! Attention in two steps, with the weights in between: for probes, and for losses on weights.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::backward::pull;
use super::blocks::{block_rows, by_type, heads_of};
use super::weights::Rules;
use crate::tensor::kernel::{Heads, Real, Target, Threads, product, tensor};

/// `q [N, H, T, d]` and `k [N, H_kv, S, d]` to softmax weights `[N, H, T, S]`.
#[derive(Clone, Debug)]
pub(super) struct Weigh(pub Rules);

fn weigh<T: Real>(rules: &Rules, q: (&CpuStorage, &Layout), k: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
    let (q, k) = (Heads::<T>::new(q.0, q.1)?, Heads::<T>::new(k.0, k.1)?);
    let (sequences, heads, queries, _) = q.shape();
    let (_, _, keys, _) = k.shape();
    let mut out = vec![T::zero(); sequences * heads * queries * keys];
    let rows = block_rows(keys);
    rules.with(|scorer| {
        out.par_chunks_mut(queries * keys).enumerate().try_for_each(|(part, out)| {
            let at = (part / heads, part % heads);
            for asked in scorer.blocks(at.0, rows) {
                let span = scorer.span(at.0, &asked);
                // Keys before and behind the span keep the weight 0.
                let out = &mut out[asked.start * keys + span.start..asked.end * keys];
                scorer.scores(&q, &k, at.0, at.1, &asked, &span, &mut *out, keys)?;
                scorer.normalize(at.0, at.1, heads, &asked, &span, out, keys);
            }
            Ok(())
        })
    })?;
    Ok(T::to_cpu_storage_owned(out))
}

impl CustomOp2 for Weigh {
    fn name(&self) -> &'static str {
        "attention weights"
    }

    fn cpu_fwd(&self, q: &CpuStorage, ql: &Layout, k: &CpuStorage, kl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, h, t, _), (_, _, s, _)) = (ql.shape().dims4()?, kl.shape().dims4()?);
        let out = by_type!(q.dtype(), weigh(&self.0, (q, ql), (k, kl)))?;
        Ok((out, Shape::from((n, h, t, s))))
    }

    fn bwd(&self, q: &Tensor, k: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let pulled = by_type!(q.dtype(), pull(&self.0, q, k, None, &grad.contiguous()?))?;
        Ok((Some(pulled.query), Some(pulled.key)))
    }
}

/// Weights `[N, H, T, S]` times values `[N, H_kv, S, d]`: `[N, T, H, d]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix;

fn mix<T: Real>(weights: (&CpuStorage, &Layout), v: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
    let (weights, v) = (Heads::<T>::new(weights.0, weights.1)?, Heads::<T>::new(v.0, v.1)?);
    let (sequences, heads, queries, keys) = weights.shape();
    let (_, shared, _, width) = v.shape();
    let repeat = heads / shared;
    let mut out = vec![T::zero(); sequences * queries * heads * width];
    let parts = heads_of(&mut out, sequences, heads, queries, width)?;
    parts.into_par_iter().try_for_each(|((n, h), to)| {
        let (weights, values) = (weights.rows(n, h, 0, queries)?, v.rows(n, h / repeat, 0, keys)?);
        product(to, weights, values, 1.0, false, Threads::One)
    })?;
    Ok(T::to_cpu_storage_owned(out))
}

/// Gradients of weights and values; `grad [N, H, T, d]`.
fn unmix<T: Real>(weights: &Tensor, v: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor)> {
    let guards = [weights, v, grad].map(Tensor::storage_and_layout);
    let [Storage::Cpu(w), Storage::Cpu(value), Storage::Cpu(g)] = [&*guards[0].0, &*guards[1].0, &*guards[2].0] else {
        bail!("attention on the processor was given numbers on another device");
    };
    let (w, value, g) =
        (Heads::<T>::new(w, guards[0].1)?, Heads::<T>::new(value, guards[1].1)?, Heads::<T>::new(g, guards[2].1)?);
    let (_, heads, queries, keys) = w.shape();
    let (_, shared, _, width) = value.shape();
    let repeat = heads / shared;
    let mut to_weights = vec![T::zero(); weights.elem_count()];
    let mut to_values = vec![T::zero(); v.elem_count()];
    let parts = to_weights.par_chunks_mut(repeat * queries * keys);
    let parts = parts.zip(to_values.par_chunks_mut(keys * width)).enumerate();
    parts.try_for_each(|(part, (to_weights, to_values))| {
        let (n, kv) = (part / shared, part % shared);
        for (index, to_weights) in to_weights.chunks_mut(queries * keys).enumerate() {
            let h = kv * repeat + index;
            let g = g.rows(n, h, 0, queries)?;
            let to = Target::new(to_weights, queries, keys, keys)?;
            product(to, g, value.rows(n, kv, 0, keys)?.t(), 1.0, false, Threads::One)?;
            let to = Target::new(to_values, keys, width, width)?;
            product(to, w.rows(n, h, 0, queries)?.t(), g, 1.0, true, Threads::One)?;
        }
        Ok::<(), candle_core::Error>(())
    })?;
    Ok((tensor(to_weights, weights.shape())?, tensor(to_values, v.shape())?))
}

impl CustomOp2 for Mix {
    fn name(&self) -> &'static str {
        "weights times values"
    }

    fn cpu_fwd(&self, w: &CpuStorage, wl: &Layout, v: &CpuStorage, vl: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((n, h, t, _), (_, _, _, d)) = (wl.shape().dims4()?, vl.shape().dims4()?);
        Ok((by_type!(w.dtype(), mix((w, wl), (v, vl)))?, Shape::from((n, t, h, d))))
    }

    fn bwd(&self, w: &Tensor, v: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?.transpose(1, 2)?;
        let (weights, values) = by_type!(w.dtype(), unmix(w, v, &grad))?;
        Ok((Some(weights), Some(values)))
    }
}
