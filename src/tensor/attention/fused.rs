//! Attention in one pass: no weights are kept.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::backward::{Pulled, pull};
use super::blocks::{block_rows, by_type, heads_of};
use super::weights::Rules;
use crate::tensor::kernel::{Heads, Matrix, Real, Threads, product};

/// `q [N, H, T, d]`, `k` and `v` `[N, H_kv, S, d]` to weights times values, `[N, T, H, d]`.
#[derive(Clone, Debug)]
pub(super) struct Fused(pub Rules);

fn forward<T: Real>(rules: &Rules, parts: [(&CpuStorage, &Layout); 3]) -> Result<CpuStorage> {
    let [q, k, v] = parts.map(|(storage, layout)| Heads::<T>::new(storage, layout));
    let (q, k, v) = (q?, k?, v?);
    let (sequences, heads, queries, width) = q.shape();
    let (_, shared, keys, _) = k.shape();
    let repeat = heads / shared;
    let mut out = vec![T::zero(); sequences * queries * heads * width];
    let rows = block_rows(keys);
    let parts = heads_of(&mut out, sequences, heads, queries, width)?;
    rules.with(|scorer| {
        let blocks = parts.into_iter().flat_map(|((n, h), to)| {
            let blocks = to.rows(scorer.asked(n)).below(rows).zip(scorer.blocks(n, rows));
            blocks.map(move |(to, asked)| ((n, h), asked, to))
        });
        blocks.collect::<Vec<_>>().into_par_iter().try_for_each_init(
            || vec![T::zero(); rows * keys],
            |weights, ((n, h), asked, to)| {
                let span = scorer.span(n, &asked);
                let step = span.len();
                let weights = &mut weights[..asked.len() * step];
                scorer.scores(&q, &k, n, h, &asked, &span, &mut *weights, step)?;
                scorer.normalize(n, h, heads, &asked, &span, &mut *weights, step);
                let weights = Matrix::new(weights, asked.len(), step, step)?;
                let values = v.rows(n, h / repeat, span.start, span.end)?;
                product(to, weights, values, 1.0, false, Threads::One)
            },
        )
    })?;
    Ok(T::to_cpu_storage_owned(out))
}

impl CustomOp3 for Fused {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, h, t, d) = ql.shape().dims4()?;
        let out = by_type!(q.dtype(), forward(&self.0, [(q, ql), (k, kl), (v, vl)]))?;
        Ok((out, Shape::from((n, t, h, d))))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // [N, T, H, d] to [N, H, T, d], a view.
        let grad = grad.contiguous()?.transpose(1, 2)?;
        let Pulled { query, key, value } = by_type!(q.dtype(), pull(&self.0, q, k, Some(v), &grad))?;
        Ok((Some(query), Some(key), value))
    }
}
