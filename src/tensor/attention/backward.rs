//! Gradients of attention, block by block from weights formed again.

use candle_core::{Result, Storage, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::blocks::block_rows;
use super::weights::Rules;
use crate::tensor::kernel::{Heads, Matrix, Real, Target, Threads, product, tensor};

/// Gradients of queries, keys and, where they took part, values.
pub(super) struct Pulled {
    pub query: Tensor,
    pub key: Tensor,
    pub value: Option<Tensor>,
}

/// With weights `P`, the gradient `dP` of the weights and `dS = P * (dP - sum(P dP))` of the scores:
/// `dQ = scale dS K`, `dK = scale dS^T Q`. Where values took part, `grad [N, H, T, d]` is that of the output,
/// `dP = grad V^T` and `dV = P^T grad`; otherwise `grad [N, H, T, S]` is `dP` itself.
///
/// One task has all query heads of one key/value head of one sequence, so that sums have one order.
pub(super) fn pull<T: Real>(
    rules: &Rules,
    q: &Tensor,
    k: &Tensor,
    v: Option<&Tensor>,
    grad: &Tensor,
) -> Result<Pulled> {
    let (query_guard, key_guard) = (q.storage_and_layout(), k.storage_and_layout());
    let value_guard = v.map(Tensor::storage_and_layout);
    let grad_guard = grad.storage_and_layout();
    let query = heads::<T>(&query_guard.0, query_guard.1)?;
    let key = heads::<T>(&key_guard.0, key_guard.1)?;
    let value = value_guard.as_ref().map(|(storage, layout)| heads::<T>(storage, layout)).transpose()?;
    let given = heads::<T>(&grad_guard.0, grad_guard.1)?;

    let (_, all, queries, width) = query.shape();
    let (_, shared, keys, _) = key.shape();
    let repeat = all / shared;
    let rows = block_rows(keys);
    let mut to_query = vec![T::zero(); q.elem_count()];
    let mut to_key = vec![T::zero(); k.elem_count()];
    let mut to_value = vec![T::zero(); k.elem_count()];
    let size = keys * width;
    let arch = Arch::new();
    rules.with(|scorer| {
        let parts = to_query.par_chunks_mut(repeat * queries * width);
        let parts = parts.zip(to_key.par_chunks_mut(size)).zip(to_value.par_chunks_mut(size)).enumerate();
        parts.try_for_each_init(
            || [(); 3].map(|()| vec![T::zero(); rows * keys]),
            |[weights, slopes, scores], (part, ((to_query, to_key), to_value))| {
                let (n, kv) = (part / shared, part % shared);
                for h in kv * repeat..(kv + 1) * repeat {
                    for asked in scorer.blocks(n, rows) {
                        let span = scorer.span(n, &asked);
                        let (step, size) = (span.len(), asked.len() * span.len());
                        // Queries that may see no key have no gradient.
                        if step == 0 {
                            continue;
                        }
                        let (weights, slopes, scores) =
                            (&mut weights[..size], &mut slopes[..size], &mut scores[..size]);
                        scorer.scores(&query, &key, n, h, &asked, &span, &mut *weights, step)?;
                        if rules.soft_cap.is_some() {
                            scores.copy_from_slice(weights);
                        }
                        scorer.normalize(n, h, all, &asked, &span, &mut *weights, step);
                        let table = |x| Matrix::new(x, asked.len(), step, step);
                        let (key_rows, query_rows) =
                            (key.rows(n, kv, span.start, span.end)?, query.rows(n, h, asked.start, asked.end)?);
                        let behind = span.start * width;
                        match &value {
                            Some(value) => {
                                let given = given.rows(n, h, asked.start, asked.end)?;
                                let values = value.rows(n, kv, span.start, span.end)?;
                                let to = Target::new(slopes, asked.len(), step, step)?;
                                product(to, given, values.t(), 1.0, false, Threads::One)?;
                                let to = Target::new(&mut to_value[behind..], step, width, width)?;
                                product(to, table(weights)?.t(), given, 1.0, true, Threads::One)?;
                            }
                            None => {
                                for (t, slopes) in asked.clone().zip(slopes.chunks_mut(step)) {
                                    slopes.copy_from_slice(&given.row(n * all + h, t)[span.clone()]);
                                }
                            }
                        }
                        let each = slopes.chunks_mut(step).zip(weights.chunks(step));
                        for ((slopes, weights), scores) in each.zip(scores.chunks(step)) {
                            let capped = rules.soft_cap.map(|cap| (scores, cap));
                            arch.dispatch(Scores { weights, slopes, capped });
                        }
                        let slopes = table(slopes)?;
                        let to = Target::new(&mut to_key[behind..], step, width, width)?;
                        product(to, slopes.t(), query_rows, rules.scale, true, Threads::One)?;
                        let to = &mut to_query[((h - kv * repeat) * queries + asked.start) * width..];
                        let to = Target::new(to, asked.len(), width, width)?;
                        product(to, slopes, key_rows, rules.scale, false, Threads::One)?;
                    }
                }
                Ok(())
            },
        )
    })?;
    Ok(Pulled {
        query: tensor(to_query, q.shape())?,
        key: tensor(to_key, k.shape())?,
        value: v.map(|v| tensor(to_value, v.shape())).transpose()?,
    })
}

fn heads<'a, T: Real>(storage: &'a Storage, layout: &candle_core::Layout) -> Result<Heads<'a, T>> {
    match storage {
        Storage::Cpu(storage) => Heads::new(storage, layout),
        _ => bail!("attention on the processor was given numbers on another device"),
    }
}

/// From the gradient of a row of weights to that of its scores, in place.
struct Scores<'a, T> {
    weights: &'a [T],
    slopes: &'a mut [T],
    /// Scores behind their cap, and the cap: `1 - (score / cap)^2` is the slope of it.
    capped: Option<(&'a [T], f64)>,
}

impl<T: Real> WithSimd for Scores<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (weights, weights_rest) = T::lanes::<S>(self.weights);
        let (slopes, slopes_rest) = T::lanes_mut::<S>(self.slopes);
        let mut sums = T::splat(simd, 0.0);
        for (w, s) in weights.iter().zip(slopes.iter()) {
            sums = T::fused(simd, *w, *s, sums);
        }
        let mut sum = T::sum_of(simd, sums);
        for (w, s) in weights_rest.iter().zip(slopes_rest.iter()) {
            sum += *w * *s;
        }
        let sums = T::splat(simd, sum.to_f64());
        for (w, s) in weights.iter().zip(slopes.iter_mut()) {
            *s = T::times(simd, *w, T::minus(simd, *s, sums));
        }
        for (w, s) in weights_rest.iter().zip(slopes_rest.iter_mut()) {
            *s = *w * (*s - sum);
        }
        if let Some((scores, cap)) = self.capped {
            let (scores, scores_rest) = T::lanes::<S>(scores);
            let one = T::splat(simd, 1.0);
            let inverse = T::splat(simd, cap.recip());
            for (x, s) in scores.iter().zip(slopes.iter_mut()) {
                let x = T::times(simd, *x, inverse);
                *s = T::times(simd, *s, T::minus(simd, one, T::times(simd, x, x)));
            }
            for (x, s) in scores_rest.iter().zip(slopes_rest.iter_mut()) {
                let x = *x / T::from_f64(cap);
                *s *= T::one() - x * x;
            }
        }
    }
}
